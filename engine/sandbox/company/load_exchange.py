"""The company as Exchange mailboxes, each with a few things that their owners had before any synchronisation."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

from engine.sandbox.company.model import Company, Contact, User
from engine.sandbox.company.people import make_person
from engine.sandbox.exchange import accounts, creates, names, store, times, zones
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.events import Hub
from engine.sandbox.exchange.nodes import Doc, parent
from engine.sandbox.kit.world import World, transaction

PATH = names.ENDPOINT
PASSWORDS = "exchange-passwords.json"
DOMAIN = accounts.DOMAIN
VERSION = "Exchange2016"
SERVICE_ACCOUNT = "syncline@acme.example"
"""The account that may impersonate everybody; it has no mailbox."""

#: Of a very large company only so many mailboxes get things of their own; a start should not take minutes.
MOST_OWN_MAILBOXES = 200
OWN_EVENTS = 6
OWN_CONTACTS = 5
OWN_TASKS = 3
#: How many of the own contacts are people whom the CRM knows too, with the same e-mail address.
TWINS = 1

_SUBJECTS = (
    "Gym",
    "Piano lesson",
    "Pick up the car",
    "Dinner with Sam",
    "Elternabend",
    "Yoga 🧘",
    "歯医者",
    "Cinéma",
)
_TASKS = ("Renew the passport", "Buy a present", "Steuererklärung", "Book the hotel", "Water the plants 🌱")


def write_credentials(world: World, data_dir: Path) -> None:
    """Give the service account and each mailbox's owner a password, in a file of mode 0600; a known one is kept."""
    logins = {SERVICE_ACCOUNT: ""} | {mailbox.email: mailbox.email for mailbox in store.mailboxes(world)}
    accounts.write_passwords(world, data_dir / PASSWORDS, logins)


def load(world: World, company: Company, *, seed: int, today: date) -> None:
    """Create the mailboxes and what they already hold.

    A company without contacts gets no own contacts, one without appointments no own events, one without tasks none.
    """
    # One transaction: each of its own would wait for the disk.
    with transaction(world):
        for place, user in enumerate(company.users):
            mailbox = accounts.add_mailbox(world, user.email, user.name, user.zone)
            if place >= MOST_OWN_MAILBOXES:
                continue
            dice = Random(f"{seed}:exchange:{user.email}")
            if company.appointments:
                _add(world, mailbox, "calendar", "CalendarItem", own_events(dice, user, today))
            if company.contacts:
                known = company.contacts[place :: len(company.users)]
                _add(world, mailbox, "contacts", "Contact", own_contacts(dice, known))
            if company.tasks:
                _add(world, mailbox, "tasks", "Task", own_tasks(dice, today))


def _add(world: World, mailbox: store.Mailbox, special: str, tag: str, docs: Sequence[Doc]) -> None:
    folder = store.special_folder(world, mailbox.row, special)
    assert folder is not None
    account = accounts.Account(mailbox.email, mailbox.row, frozenset())
    call = Call(world, Hub(), account, mailbox, VERSION, None)
    for doc in docs:
        creates.make(call, folder, tag, doc)


def own_events(dice: Random, user: User, today: date) -> list[Doc]:
    """Documents of a mailbox's own appointments: one weekly, one all-day, one private."""
    zone_id = zones.windows_id(user.zone)
    zone = {"a": {"Name": zones.shown(zone_id), "Id": zone_id}, "c": []}
    docs: list[Doc] = []
    for place in range(OWN_EVENTS):
        day = today + timedelta(days=dice.randint(-20, 60))
        doc: Doc = {"Subject": dice.choice(_SUBJECTS), "StartTimeZone": zone, "EndTimeZone": zone}
        start = datetime.combine(day, time(dice.randint(7, 20), dice.choice((0, 30))), ZoneInfo(user.zone))
        if place == 3:
            start = datetime.combine(day, time(), ZoneInfo(user.zone))
            doc["IsAllDayEvent"] = "true"
            end = datetime.combine(day + timedelta(days=1), time(), ZoneInfo(user.zone))
        else:
            end = start + timedelta(hours=1)
        doc["Start"] = times.stamp(times.to_ms(start.astimezone(UTC)))
        doc["End"] = times.stamp(times.to_ms(end.astimezone(UTC)))
        if place == 0:
            weekly = parent(("Interval", "1"), ("DaysOfWeek", day.strftime("%A")))
            span = parent(("StartDate", day.isoformat()), ("NumberOfOccurrences", "20"))
            doc["Recurrence"] = parent(("WeeklyRecurrence", weekly), ("NumberedRecurrence", span))
        if place == 2:
            doc["Sensitivity"] = "Private"
        if place == 4:
            doc["Categories"] = {"c": [["String", "Private life"]]}
        docs.append(doc)
    return docs


def own_contacts(dice: Random, known: Sequence[Contact]) -> list[Doc]:
    """Documents of a mailbox's own contacts; the first ``TWINS`` have the e-mail of a contact in ``known``."""
    names = {(contact.given, contact.family) for contact in known}
    with_email = [contact for contact in known if contact.email]
    docs = []
    for twin in dice.sample(with_email, min(TWINS, len(with_email))):
        docs.append(_contact(twin, str(twin.email), f"+49 171 46{dice.randrange(100_000):05d}"))
    place = 0
    while len(docs) < OWN_CONTACTS:
        place += 1
        person = make_person(dice, place, 0, None, None)
        if (person.given, person.family) not in names:
            email = (person.email or "").replace("@post.example", "@home.example")
            docs.append(_contact(person, email, person.phone_mobile or ""))
    return docs


def _contact(person: Contact, email: str, mobile: str) -> Doc:
    doc: Doc = {"Surname": person.family, "FileAsMapping": "LastCommaFirst"}
    if person.given:
        doc["GivenName"] = person.given
    if email:
        attributes = {"Key": "EmailAddress1", "Name": email, "RoutingType": "SMTP", "MailboxType": "Contact"}
        doc["EmailAddresses"] = {"c": [["Entry", {"a": attributes, "t": email}]]}
    if mobile:
        doc["PhoneNumbers"] = {"c": [["Entry", {"a": {"Key": "MobilePhone"}, "t": mobile}]]}
    if person.birthday:
        doc["Birthday"] = f"{person.birthday.isoformat()}T00:00:00Z"
    return doc


def own_tasks(dice: Random, today: date) -> list[Doc]:
    """Documents of a mailbox's own tasks, the first of them done."""
    docs: list[Doc] = []
    for place in range(OWN_TASKS):
        due = today + timedelta(days=dice.randint(-10, 30))
        doc: Doc = {"Subject": dice.choice(_TASKS), "DueDate": f"{due.isoformat()}T00:00:00Z"}
        if place == 0:
            doc["Status"] = "Completed"
        docs.append(doc)
    return docs
