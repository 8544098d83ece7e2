"""Loads a company into the Salesforce sandbox: users, accounts, people, activities with series, deals, cases, logins."""

from __future__ import annotations

import os
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from dateutil.rrule import rrulestr

from engine.sandbox.company.model import Address, Appointment, Company, Contact, Guest
from engine.sandbox.company.people import DOMAIN
from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import accounts, store

CLIENT_ID = "syncline-sandbox"
JWT_CLIENT_ID = "syncline-sandbox-jwt"
USERNAME = f"integration@{DOMAIN}"
SECRET_FILE = "salesforce-client-secret"  # noqa: S105 - a file name
KEY_FILE = "salesforce-jwt.pem"

Row = dict[str, Any]


def write_private(path: Path, text: str) -> None:
    """Write a secret to a file that only its owner may read, in one step."""
    part = path.with_name(f".{path.name}.part")
    part.unlink(missing_ok=True)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as handle:
        handle.write(text)
    part.replace(path)


def write_credentials(world: World, data_dir: Path) -> None:
    """Make what a server needs to log in, as files with mode 0600, and register it; what exists is kept.

    ``SECRET_FILE`` holds the client secret of the client credentials grant, ``KEY_FILE`` the RSA private key (PEM) of
    the JWT bearer grant. Both run as ``USERNAME``.
    """
    secret_path, key_path = data_dir / SECRET_FILE, data_dir / KEY_FILE
    if not secret_path.exists():
        write_private(secret_path, secrets.token_urlsafe(32))
    if not key_path.exists():
        new = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = new.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        write_private(key_path, pem.decode("ascii"))
    key = serialization.load_pem_private_key(key_path.read_bytes(), None)
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    row = world.db.execute("SELECT Id FROM sf_User WHERE Username = ?", (USERNAME,)).fetchone()
    store.set_client(world, CLIENT_ID, secret_path.read_text(encoding="ascii").strip(), str(row[0]))
    accounts.register_jwt_client(world, JWT_CLIENT_ID, public.decode("ascii"))


def load(world: World, company: Company) -> list[str]:
    """Load everything; returns the CRM ids of the company's users in their order.

    The integration user, as whom connectors log in, is the first user of the org and owns nothing.
    """
    store.add_user(world, USERNAME, "Syncline Integration", "UTC", "integr")
    with store.transaction(world.db):
        users = store.insert_many(
            world,
            "User",
            [
                {
                    "Username": user.email,
                    "Email": user.email,
                    "FirstName": user.given,
                    "LastName": user.family,
                    "Title": user.title,
                    "TimeZoneSidKey": user.zone,
                    "Alias": user.email[:8].rstrip("@."),
                }
                for user in company.users
            ],
        )
        firms = store.insert_many(
            world,
            "Account",
            [
                {
                    "OwnerId": users[firm.owner],
                    "Name": firm.name,
                    "Phone": firm.phone,
                    "Website": f"https://www.{firm.domain}/",
                    **_address("Billing", firm.address),
                }
                for firm in company.accounts
            ],
        )
        people = store.insert_many(
            world,
            "Contact",
            [
                {
                    "OwnerId": users[person.owner],
                    "AccountId": firms[person.account] if person.account is not None else None,
                    "HomePhone": person.phone_home,
                    "OtherPhone": person.phone_other,
                    "Department": person.department,
                    "Birthdate": person.birthday,
                    **_person(person),
                    **_address("Mailing", person.address),
                    **_address("Other", person.other_address),
                }
                for person in company.contacts
            ],
        )
        store.insert_many(
            world,
            "Lead",
            [
                {
                    "OwnerId": users[lead.owner],
                    "Company": lead.company,
                    "Website": lead.website,
                    "Status": lead.status,
                    **_person(lead.person),
                    **_address("", lead.person.address),
                }
                for lead in company.leads
            ],
        )
        _load_events(world, company.appointments, "Meeting", users, people, firms)
        _load_events(world, company.service_calls, "Service Call", users, people, firms)
        store.insert_many(
            world,
            "Task",
            [
                {
                    "OwnerId": users[call.owner],
                    "Subject": call.subject,
                    "Description": call.notes,
                    "TaskSubtype": "Call",
                    "CallType": "Outbound" if call.outbound else "Inbound",
                    "CallDurationInSeconds": call.minutes * 60,
                    "ActivityDate": call.start.date(),
                    "ReminderDateTime": call.start,
                    "IsReminderSet": True,
                    "Status": "Completed" if call.done else "Not Started",
                    "Priority": "Normal",
                    "WhoId": people[call.contact] if call.contact is not None else None,
                }
                for call in company.calls
            ],
        )
        store.insert_many(
            world,
            "Task",
            [
                {
                    "OwnerId": users[task.owner],
                    "Subject": task.subject,
                    "Description": task.notes,
                    "TaskSubtype": "Task",
                    "ActivityDate": task.due,
                    "Status": task.status,
                    "Priority": task.priority,
                    "WhoId": people[task.contact] if task.contact is not None else None,
                }
                for task in company.tasks
            ],
        )
        _load_records(world, company, users, people, firms)
    return users


def _load_records(
    world: World, company: Company, users: Sequence[str], people: Sequence[str], firms: Sequence[str]
) -> None:
    deals = store.insert_many(
        world,
        "Opportunity",
        [
            {
                "OwnerId": users[deal.owner],
                "Name": deal.name[:120],
                "AccountId": firms[deal.account] if deal.account is not None else None,
                "StageName": deal.stage,
                "Amount": deal.amount,
                "CloseDate": deal.close,
                "NextStep": deal.next_step,
                "Description": deal.notes,
            }
            for deal in company.opportunities
        ],
    )
    store.insert_many(
        world,
        "OpportunityContactRole",
        [
            {
                "OpportunityId": deal_id,
                "ContactId": people[contact],
                "Role": ("Decision Maker", "Evaluator", "Influencer")[place],
                "IsPrimary": place == 0,
            }
            for deal_id, deal in zip(deals, company.opportunities, strict=True)
            for place, contact in enumerate(deal.contacts)
        ],
    )
    store.insert_many(
        world,
        "Case",
        [
            {
                "OwnerId": users[case.owner],
                "Subject": case.subject,
                "AccountId": firms[case.account] if case.account is not None else None,
                "ContactId": people[case.contact] if case.contact is not None else None,
                "Status": case.status,
                "Priority": case.priority,
                "Origin": case.origin,
                "Description": case.notes,
            }
            for case in company.cases
        ],
    )


def _person(person: Contact) -> Row:
    """What contacts and leads share, within the standard lengths of first (40) and last name (80)."""
    return {
        "Salutation": person.prefix,
        "FirstName": person.given[:40] if person.given else None,
        "MiddleName": person.middle[:40] if person.middle else None,
        "LastName": person.family[:80],
        "Suffix": person.suffix,
        "Title": person.title,
        "Email": person.email,
        "Phone": person.phone_work,
        "MobilePhone": person.phone_mobile,
        "Fax": person.fax,
        "Description": person.notes,
    }


def _address(prefix: str, place: Address | None) -> Row:
    if place is None:
        return {}
    return {
        f"{prefix}Street": place.street,
        f"{prefix}City": place.city,
        f"{prefix}State": place.region or None,
        f"{prefix}PostalCode": place.postcode or None,
        f"{prefix}Country": place.country,
    }


def guest_lines(guests: Sequence[Guest]) -> str | None:
    """The text of ``Syncline_Attendees__c``: one ``email;name;status;optional`` a line."""
    return "\n".join(f"{g.email};{g.name};{g.status};{str(g.optional).lower()}" for g in guests) or None


def _event(
    one: Appointment, kind: str, users: Sequence[str], people: Sequence[str], firms: Sequence[str]
) -> Row:
    # An all-day event's EndDateTime is midnight of its last day in the CRM, not of the day after.
    end = one.end - timedelta(days=1) if one.all_day else one.end
    row: Row = {
        "OwnerId": users[one.owner],
        "Subject": one.subject,
        "Description": one.notes,
        "Location": one.location,
        "StartDateTime": one.start,
        "EndDateTime": end,
        "IsAllDayEvent": one.all_day,
        "IsPrivate": one.private,
        "ShowAs": "Busy" if one.busy else "Free",
        "Type": kind,
        "WhoId": people[one.contact] if one.contact is not None else None,
        "WhatId": firms[one.account] if one.account is not None else None,
        "Syncline_Attendees__c": guest_lines(one.guests),
    }
    if one.series is not None:
        row |= {
            "IsRecurrence2": True,
            "Recurrence2PatternText": f"RRULE:{one.series.rule}",
            "Recurrence2PatternStartDate": one.start,
            "Recurrence2PatternTimeZone": one.zone,
        }
    return row


def occurrence_starts(one: Appointment) -> list[datetime]:
    """The starts of a series as UTC instants; the wall time in its zone is the same across clock changes."""
    if one.series is None:
        return [one.start]
    zone = ZoneInfo(one.zone)
    first = one.start.astimezone(zone).replace(tzinfo=None)
    return [wall.replace(tzinfo=zone).astimezone(UTC) for wall in rrulestr(one.series.rule, dtstart=first)]


def _load_events(
    world: World,
    events: Sequence[Appointment],
    kind: str,
    users: Sequence[str],
    people: Sequence[str],
    firms: Sequence[str],
) -> None:
    ids = store.insert_many(world, "Event", [_event(one, kind, users, people, firms) for one in events])
    for record_id, one in zip(ids, events, strict=True):
        if one.series is None:
            continue
        starts = occurrence_starts(one)
        length = one.end - one.start
        for place, minutes in one.series.moved:
            start = starts[place] + timedelta(minutes=minutes)
            store.move_occurrence(
                world, record_id, starts[place], {"StartDateTime": start, "EndDateTime": start + length}
            )
        for place in one.series.cancelled:
            store.cancel_occurrence(world, record_id, starts[place])
