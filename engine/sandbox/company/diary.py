"""Appointments, series, service calls, phone calls and tasks around a given day, in eight zones and across DST."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from zoneinfo import ZoneInfo

from engine.sandbox.company.locales import LOCALES
from engine.sandbox.company.model import Appointment, Contact, Guest, PhoneCall, Series, Todo, User
from engine.sandbox.company.people import ZONES
from engine.sandbox.company.prose import note

_SUBJECTS = (
    "Kick-off",
    "Quarterly review",
    "Contract negotiation",
    "Demo of the new release 🚀",
    "Lunch",
    "Project steering committee",
    "Besprechung Rahmenvertrag",
    "Point d'équipe",
    "Переговоры о поставках",
    "定例会議",
    "Συνάντηση με πελάτη",
    "اجتماع المبيعات",
    "Q&A <internal>",
)
_ALL_DAY = ("Trade fair", "Public holiday", "Factory visit", "Training", "Inventory", "Messe München", "出張")
_PRIVATE = ("Dentist", "School play", "Appointment", "Vet 🐕")
_PLACES = (
    "Room 4.12",
    "https://meet.acme.example/abc-defg-hij",
    "Café Central, Herrengasse 14, 1010 Wien",
    "Customer's site, gate 3",
    "東京都千代田区丸の内1-9-1",
)
_SERVICE = (
    "Maintenance visit",
    "Installation",
    "Repair on site",
    "Calibration",
    "Wartung Anlage 7",
    "設備点検",
)
_CALLS = (
    "Call about the offer",
    "Follow-up call",
    "Call back",
    "Rückruf Angebot",
    "Позвонить по договору",
    "Cold call",
)
_TASKS = (
    "Send the offer",
    "Prepare slides",
    "Update the price list",
    "Vertrag prüfen",
    "Заказать образцы",
    "見積書を送る",
    "Order flowers 💐",
    "Collect signatures & stamp <original>",
)
_TASK_STATUS = ("Not Started", "In Progress", "Waiting on someone else", "Deferred")

#: Occurrences of one series in the CRM are limited (Salesforce: 500); ours stay well below.
_RULES = (
    ("FREQ=DAILY;COUNT=12", 12),
    ("FREQ=DAILY;INTERVAL=2;COUNT=10", 10),
    ("FREQ=WEEKLY;COUNT=26;BYDAY={day}", 26),
    ("FREQ=WEEKLY;INTERVAL=2;COUNT=18;BYDAY={day}", 18),
    ("FREQ=MONTHLY;COUNT=12;BYMONTHDAY={monthday}", 12),
    ("FREQ=MONTHLY;COUNT=9;BYDAY={nth}{day}", 9),
)
_DAYS = ("MO", "TU", "WE", "TH", "FR", "SA", "SU")


def _day(dice: Random, today: date) -> date:
    """A working day: most from 40 days before ``today`` to 120 after, some to 390 after, a few outside any window."""
    kind = dice.random()
    if kind < 0.25:
        offset = -dice.randint(1, 40)
    elif kind < 0.80:
        offset = dice.randint(0, 120)
    elif kind < 0.94:
        offset = dice.randint(121, 390)
    elif kind < 0.98:
        offset = -dice.randint(60, 700)
    else:
        offset = dice.randint(420, 800)
    day = today + timedelta(days=offset)
    return day - timedelta(days=max(0, day.weekday() - 4))


def _clock(dice: Random, day: date, zone: str) -> datetime:
    """A quarter of an hour within office hours of ``zone``, as UTC."""
    wall = datetime.combine(day, time(dice.randint(8, 17), dice.choice((0, 0, 15, 30, 30, 45))), ZoneInfo(zone))
    return wall.astimezone(UTC)


def _guests(
    dice: Random, owner: int, users: Sequence[User], own: Sequence[int], contacts: Sequence[Contact]
) -> tuple[Guest, ...]:
    guests: dict[str, Guest] = {}
    replies = ("accepted", "none", "tentative", "declined", "accepted")
    for place in dice.sample(own, min(len(own), dice.choice((1, 1, 2, 3, 6)))):
        contact = contacts[place]
        if contact.email:
            name = contact.name.replace(";", ",")
            guests[contact.email.casefold()] = Guest(
                contact.email, name, dice.choice(replies), dice.random() < 0.2
            )
    if len(users) > 1 and dice.random() < 0.4:
        colleague = users[(owner + dice.randint(1, len(users) - 1)) % len(users)]
        guests[colleague.email] = Guest(colleague.email, colleague.name, dice.choice(replies))
    return tuple(guests.values())


def _series(dice: Random, start: datetime, zone: str) -> Series:
    local = start.astimezone(ZoneInfo(zone)).date()
    template, count = dice.choice(_RULES)
    # Day 29 to 31 would skip months, a fifth weekday too: legal, but then the start may not be an occurrence later on.
    rule = template.format(
        day=_DAYS[local.weekday()], monthday=min(local.day, 28), nth=min((local.day - 1) // 7 + 1, 4)
    )
    changed = dice.sample(range(1, count), 3)
    moved: list[tuple[int, int]] = []
    if dice.random() < 0.6:
        moved.append((changed[0], dice.choice((60, -90, 120))))
        if dice.random() < 0.3:
            moved.append((changed[1], 24 * 60))
    cancelled = (changed[2],) if dice.random() < 0.5 else ()
    return Series(rule, tuple(moved), cancelled)


def _series_day(day: date) -> date:
    """A first day that every rule of ours lists itself: not after the 28th."""
    return day if day.day <= 28 else day.replace(day=28)


def make_appointments(
    dice: Random,
    count: int,
    today: date,
    users: Sequence[User],
    owned: Sequence[Sequence[int]],
    contacts: Sequence[Contact],
) -> tuple[Appointment, ...]:
    """Appointments in turn of each user: of each twenty, two series, two all-day ones (one over several days)."""
    found = []
    for place in range(count):
        owner = place % len(users)
        # Every kind comes to every user: the kind follows the user's own count, not the company's.
        turn = (place // len(users) + 3 * owner) % 20
        zone = ZONES[dice.randrange(len(ZONES))] if dice.random() < 0.4 else users[owner].zone
        contact = dice.choice(owned[owner]) if owned[owner] and dice.random() < 0.7 else None
        account = contacts[contact].account if contact is not None else None
        day = _day(dice, today)
        private = turn == 7
        text = note(dice, dice.choice(LOCALES).greeting) if dice.random() < 0.4 else None
        if turn in (3, 13):
            first = datetime.combine(day, time(), UTC)
            days = dice.randint(2, 5) if turn == 13 else 1
            found.append(
                Appointment(
                    owner,
                    dice.choice(_ALL_DAY),
                    first,
                    first + timedelta(days=days),
                    zone,
                    all_day=True,
                    busy=dice.random() < 0.5,
                    location=dice.choice(_PLACES) if dice.random() < 0.3 else None,
                    notes=text,
                )
            )
            continue
        repeating = turn in (0, 10)
        start = _clock(dice, _series_day(day) if repeating else day, zone)
        # Turn 16 goes over midnight in any zone.
        length = timedelta(minutes=dice.choice((30, 30, 60, 60, 90, 120)) if turn != 16 else 26 * 60)
        subject = dice.choice(_PRIVATE) if private else dice.choice(_SUBJECTS)
        if contact is not None and not private and dice.random() < 0.5:
            subject = f"{subject}: {contacts[contact].name}"
        found.append(
            Appointment(
                owner,
                subject[:255],
                start,
                start + length,
                zone,
                private=private,
                busy=dice.random() < 0.92,
                location=dice.choice(_PLACES) if dice.random() < 0.5 else None,
                notes=text,
                contact=None if private else contact,
                account=None if private else account,
                guests=_guests(dice, owner, users, owned[owner], contacts) if turn % 5 == 1 else (),
                series=_series(dice, start, zone) if repeating else None,
            )
        )
    return tuple(found)


def make_service_calls(
    dice: Random,
    count: int,
    today: date,
    users: Sequence[User],
    owned: Sequence[Sequence[int]],
    contacts: Sequence[Contact],
) -> tuple[Appointment, ...]:
    """Visits of a technician: two hours at a customer's address."""
    found = []
    for place in range(count):
        owner = place % len(users)
        contact = dice.choice(owned[owner]) if owned[owner] else None
        account = contacts[contact].account if contact is not None else None
        where = contacts[contact].address if contact is not None else None
        start = _clock(dice, _day(dice, today), users[owner].zone)
        found.append(
            Appointment(
                owner,
                dice.choice(_SERVICE),
                start,
                start + timedelta(minutes=dice.choice((60, 120, 120, 240))),
                users[owner].zone,
                location=f"{where.street}, {where.postcode} {where.city}".strip() if where else None,
                notes=note(dice, "Bring spare parts.") if dice.random() < 0.5 else None,
                contact=contact,
                account=account,
            )
        )
    return tuple(found)


def make_calls(
    dice: Random,
    count: int,
    today: date,
    users: Sequence[User],
    owned: Sequence[Sequence[int]],
    contacts: Sequence[Contact],
) -> tuple[PhoneCall, ...]:
    """Phone calls; those before ``today`` are done."""
    found = []
    for place in range(count):
        owner = place % len(users)
        contact = dice.choice(owned[owner]) if owned[owner] and dice.random() < 0.9 else None
        day = _day(dice, today)
        subject = dice.choice(_CALLS)
        if contact is not None and dice.random() < 0.6:
            subject = f"{subject}: {contacts[contact].name}"
        found.append(
            PhoneCall(
                owner,
                subject[:255],
                _clock(dice, day, users[owner].zone),
                dice.choice((5, 10, 15, 30, 45)),
                outbound=dice.random() < 0.7,
                done=day < today,
                contact=contact,
                notes=note(dice, "Left a message.") if dice.random() < 0.4 else None,
            )
        )
    return tuple(found)


def make_tasks(
    dice: Random, count: int, today: date, users: Sequence[User], owned: Sequence[Sequence[int]]
) -> tuple[Todo, ...]:
    """Tasks: a fifth without due date, a quarter done, a few overdue."""
    found = []
    for place in range(count):
        owner = place % len(users)
        due = None if dice.random() < 0.2 else _day(dice, today)
        done = dice.random() < 0.25
        found.append(
            Todo(
                owner,
                f"{dice.choice(_TASKS)} #{place + 1}",
                due,
                "Completed" if done else dice.choice(_TASK_STATUS),
                dice.choice(("High", "Normal", "Normal", "Low")),
                dice.choice(owned[owner]) if owned[owner] and dice.random() < 0.6 else None,
                note(dice, dice.choice(LOCALES).greeting) if dice.random() < 0.4 else None,
            )
        )
    return tuple(found)
