"""Loads a company into the Google sandbox: its mailboxes, and in a third of them what was there before any sync.

The owners' own contacts and events are written through the API's handlers, so they are as valid as any client's.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import date, datetime, time, timedelta
from pathlib import Path
from random import Random
from typing import Any

from engine.sandbox.company.locales import LOCALES
from engine.sandbox.company.model import Address, Company, Contact, User
from engine.sandbox.company.people import make_person
from engine.sandbox.google import accounts, calendar, people
from engine.sandbox.google.call import Call
from engine.sandbox.kit.world import World, transaction

CREDENTIALS = "google-service-account.json"

#: Of a very large company only so many mailboxes get things of their own; a start should not take minutes.
MOST_OWN_MAILBOXES = 200
OWN_CONTACTS = 40
OWN_EVENTS = 20
#: How many of the own contacts are people whom the CRM knows too, with the same e-mail address.
TWINS = 4

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

Body = dict[str, Any]


def write_credentials(world: World, data_dir: Path, token_uri: str) -> str:
    """Make the service account's key file (mode 0600), or bring its token address up to date; returns the project id."""
    path = data_dir / CREDENTIALS
    accounts.create_service_account(world, path, token_uri)
    return str(json.loads(path.read_text(encoding="utf-8"))["project_id"])


def has_own_items(place: int) -> bool:
    """Whether the mailbox of the ``place``-th user (from 0) held contacts and events before: each third one."""
    return place % 3 == 1 and place < 3 * MOST_OWN_MAILBOXES


def load(world: World, company: Company, *, seed: int, today: date) -> None:
    """Create the mailboxes and what some of them already hold.

    A company without contacts gets no own contacts, one without appointments no own events.
    """
    for user in company.users:
        accounts.add_user(world, user.email, user.name, user.zone)
    # One transaction: each of its own would wait for the disk.
    with transaction(world):
        for place, user in enumerate(company.users):
            if not has_own_items(place):
                continue
            dice = Random(f"{seed}:own:{user.email}")
            if company.contacts:
                known = company.contacts[place :: len(company.users)]
                _load_contacts(world, user, own_contacts(dice, known))
            if company.appointments:
                for body in own_events(dice, user, today):
                    params = {"calendarId": "primary", "sendUpdates": "none"}
                    method = "calendar.events.insert"
                    calendar.HANDLERS[method](Call(world, user.email, method, params, body))


def own_contacts(dice: Random, known: Sequence[Contact]) -> list[Body]:
    """Person bodies of a mailbox's own contacts; the first ``TWINS`` have the e-mail of a contact in ``known``."""
    names = {(contact.given, contact.family) for contact in known}
    with_email = [contact for contact in known if contact.email]
    bodies = []
    for twin in dice.sample(with_email, min(TWINS, len(with_email))):
        # The same person as the owner knows them: shorter, with a number that the CRM does not have.
        bodies.append(
            {
                "names": [_name(twin.given, twin.family)],
                "emailAddresses": [{"value": str(twin.email), "type": "work"}],
                "phoneNumbers": [{"value": f"+49 171 45{dice.randrange(100_000):05d}", "type": "mobile"}],
            }
        )
    place = 0
    while len(bodies) < OWN_CONTACTS:
        place += 1
        person = make_person(dice, place, 0, None, None)
        if (person.given, person.family) not in names:
            bodies.append(_person(person))
    return bodies


def _load_contacts(world: World, user: User, bodies: Sequence[Body]) -> None:
    method = "people.contactGroups.create"
    group = people.HANDLERS[method](
        Call(world, user.email, method, {}, {"contactGroup": {"name": "Family"}})
    ).body["resourceName"]
    for place, body in enumerate(bodies):
        if place % 6 == 5:
            body["memberships"] = [
                {"contactGroupMembership": {"contactGroupResourceName": name}}
                for name in ("contactGroups/myContacts", group)
            ]
    method = "people.people.batchCreateContacts"
    request = {"contacts": [{"contactPerson": body} for body in bodies]}
    people.HANDLERS[method](Call(world, user.email, method, {}, request))


def _name(given: str | None, family: str) -> Body:
    return {"givenName": given, "familyName": family} if given else {"familyName": family}


def _person(person: Contact) -> Body:
    body: Body = {"names": [_name(person.given, person.family)]}
    if person.email:
        body["emailAddresses"] = [
            {"value": person.email.replace("@post.example", "@home.example"), "type": "home"}
        ]
    numbers = (("mobile", person.phone_mobile), ("home", person.phone_home))
    if any(number for _, number in numbers):
        body["phoneNumbers"] = [{"value": number, "type": kind} for kind, number in numbers if number]
    if person.address:
        body["addresses"] = [_address(person.address)]
    if person.birthday:
        day = person.birthday
        body["birthdays"] = [{"date": {"year": day.year, "month": day.month, "day": day.day}}]
    if person.notes:
        body["biographies"] = [{"value": person.notes, "contentType": "TEXT_PLAIN"}]
    return body


def _address(place: Address) -> Body:
    code = next(locale.region for locale in LOCALES if locale.country == place.country)
    body = {
        "streetAddress": place.street,
        "city": place.city,
        "region": place.region,
        "postalCode": place.postcode,
        "country": place.country,
        "countryCode": code,
    }
    return {"type": "home", **{name: value for name, value in body.items() if value}}


def own_events(dice: Random, user: User, today: date) -> list[Body]:
    """Event bodies of a mailbox's own appointments, one of them weekly and two all-day."""
    bodies: list[Body] = []
    for place in range(OWN_EVENTS):
        day = today + timedelta(days=dice.randint(-30, 90))
        body: Body = {"summary": f"{dice.choice(_SUBJECTS)}", "reminders": {"useDefault": True}}
        if place in (5, 11):
            body["start"] = {"date": day.isoformat()}
            body["end"] = {"date": (day + timedelta(days=1)).isoformat()}
        else:
            start = datetime.combine(day, time(dice.randint(7, 20), dice.choice((0, 30))))
            body["start"] = {"dateTime": start.isoformat(), "timeZone": user.zone}
            body["end"] = {"dateTime": (start + timedelta(hours=1)).isoformat(), "timeZone": user.zone}
        if place == 0:
            body["recurrence"] = ["RRULE:FREQ=WEEKLY;COUNT=20"]
        if place % 4 == 2:
            body["visibility"] = "private"
        bodies.append(body)
    return bodies
