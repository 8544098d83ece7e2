"""The generator: a company from a seed, a number of users and a day."""

from __future__ import annotations

from dataclasses import dataclass, fields
from datetime import date
from random import Random

from engine.sandbox.company import diary, people, records
from engine.sandbox.company.model import Company

MOST_USERS = 5_000


@dataclass(frozen=True, slots=True)
class Counts:
    """How many items of each kind the whole company has."""

    contacts: int = 1_200
    leads: int = 150
    appointments: int = 400
    calls: int = 120
    service_calls: int = 60
    tasks: int = 200
    opportunities: int = 80
    cases: int = 40


KINDS: tuple[str, ...] = tuple(field.name for field in fields(Counts))


def counts_for(users: int, **wanted: int | None) -> Counts:
    """The counts for a number of users: the defaults are those of five users and grow with them.

    Raises:
        ValueError: a count is negative or a kind is unknown.
    """
    unknown = set(wanted) - set(KINDS)
    if unknown:
        raise ValueError(f"unknown kind {', '.join(sorted(unknown))}; known are {', '.join(KINDS)}")
    chosen = {}
    for kind in KINDS:
        asked = wanted.get(kind)
        value = getattr(Counts(), kind) * users // 5 if asked is None else asked
        if value < 0:
            raise ValueError(f"{kind} is {value}; a count of 0 or more is allowed")
        chosen[kind] = value
    return Counts(**chosen)


def generate(
    seed: int,
    users: int,
    *,
    today: date,
    contacts: int | None = None,
    leads: int | None = None,
    appointments: int | None = None,
    calls: int | None = None,
    service_calls: int | None = None,
    tasks: int | None = None,
    opportunities: int | None = None,
    cases: int | None = None,
) -> Company:
    """The company of ``seed``. The same arguments give the same company on every machine.

    Args:
        seed: any integer.
        users: 1 to 5,000 mailboxes; items are owned by them in turn.
        today: the day around which appointments lie.
        contacts: how many contacts the company has; likewise the other counts. ``None`` is the default for
            five users (1,200 contacts and so on) times ``users`` / 5.

    Raises:
        ValueError: ``users`` or a count is out of range.
    """
    if not 1 <= users <= MOST_USERS:
        raise ValueError(f"users is {users}; 1 to {MOST_USERS} is allowed")
    counts = counts_for(
        users,
        contacts=contacts,
        leads=leads,
        appointments=appointments,
        calls=calls,
        service_calls=service_calls,
        tasks=tasks,
        opportunities=opportunities,
        cases=cases,
    )

    def dice(area: str) -> Random:
        # One source per area, so that another count of tasks does not change the contacts.
        return Random(f"{seed}:{users}:{area}")

    staff = people.make_users(dice("users"), users)
    firm_count = max(1, -(-counts.contacts // 6)) if counts.contacts else 0
    firms = people.make_firms(dice("accounts"), firm_count, users)
    accounts = tuple(firm.account for firm in firms)
    persons = people.make_contacts(dice("contacts"), counts.contacts, users, firms)
    owned = [range(owner, len(persons), users) for owner in range(users)]
    return Company(
        users=staff,
        accounts=accounts,
        contacts=persons,
        leads=people.make_leads(dice("leads"), counts.leads, users),
        appointments=diary.make_appointments(
            dice("appointments"), counts.appointments, today, staff, owned, persons
        ),
        calls=diary.make_calls(dice("calls"), counts.calls, today, staff, owned, persons),
        service_calls=diary.make_service_calls(
            dice("service calls"), counts.service_calls, today, staff, owned, persons
        ),
        tasks=diary.make_tasks(dice("tasks"), counts.tasks, today, staff, owned),
        opportunities=records.make_opportunities(
            dice("opportunities"), counts.opportunities, today, users, owned, persons, accounts
        ),
        cases=records.make_cases(dice("cases"), counts.cases, users, owned, persons),
    )
