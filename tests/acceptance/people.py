"""People who work on both sides while an engine is killed, and what must be there of their work at the end."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any

from tests.acceptance.town import Town, assert_no_doubles, day

#: Contacts that go at once, more than the policy lets go without an admin.
MANY = 6


@dataclass
class Wanted:
    """What people have written, and so must be there at the end.

    Attributes:
        crm: value by (object, id, field) as the CRM must show it.
        mailbox: text that the mailbox's item of a CRM record must show, by (record, field).
        gone: CRM ids that must be gone on both sides.
        names: family names and subjects that must be on both sides exactly once.
    """

    crm: dict[tuple[str, str, str], str] = field(default_factory=dict)
    mailbox: dict[tuple[str, str], str] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)
    names: set[str] = field(default_factory=set)


class People:
    """What one side edits, the other leaves alone, so that each edit must stay.

    Attributes:
        edits: what they did, by kind.
    """

    def __init__(self, place: Town, dice: Random) -> None:
        self.place = place
        self.dice = dice
        self.edits: Counter[str] = Counter()
        self.wanted = Wanted()
        #: CRM ids by what people do with them.
        self.pools: dict[str, list[str]] = {}
        #: Mailbox and id there, by CRM id.
        self.resources: dict[str, tuple[str, str]] = {}

    def cast(self) -> None:
        """Who does what with which item, once the first sync is over."""
        contacts: list[str] = []
        events: list[str] = []
        for user, identity, record in self.linked():
            self.resources[record] = (user, identity)
            (contacts if record.startswith("003") else events).append(record)
        contacts.sort()
        events.sort()
        self.dice.shuffle(contacts)
        self.dice.shuffle(events)
        self.pools["edit"] = contacts[:10]
        self.pools["delete in the CRM"] = contacts[10:15]
        self.pools["delete in the mailbox"] = contacts[15:20]
        self.pools["many"] = contacts[20:]
        self.pools["events"] = events[:5]
        self.pools["delete events"] = events[5:]

    # -- what people do in their mailboxes, and see there ------------------------------------------------

    def linked(self) -> list[tuple[str, str, str]]:
        """Mailbox, id and record of contacts and of single events that mirror one."""
        found = []
        for user in self.place.users:
            for person in self.place.contacts(user):
                for entry in person.get("clientData", []):
                    if entry["key"] == "syncline_key" and entry["value"].startswith("c.003"):
                        found.append((user, str(person["resourceName"]), str(entry["value"].split(".")[1])))
            for event in self.place.events(user):
                key = event.get("extendedProperties", {}).get("private", {}).get("syncline_key", "")
                if key.startswith("c.00U") and not {"recurrence", "recurringEventId"} & event.keys():
                    found.append((user, str(event["id"]), str(key.split(".")[1])))
        return found

    def set_phone(self, user: str, contact: str, phone: str) -> None:
        """Give a contact a phone at work."""

        def write() -> None:
            person = self.place.contact(user, contact)
            phones = [{"type": "work", "value": phone}]
            self.place.google(
                user,
                "PATCH",
                f"v1/{contact}:updateContact",
                params={"updatePersonFields": "phoneNumbers"},
                json={"etag": person["etag"], "phoneNumbers": phones},
            )

        _again(write)

    def set_location(self, user: str, event: str, location: str) -> None:
        """Move an event to another place."""
        path = f"calendar/v3/calendars/primary/events/{event}"
        self.place.google(user, "PATCH", path, json={"location": location})

    def new_contact(self, user: str, name: str) -> None:
        """A new contact in the group of the CRM's."""
        group = self.place.groups(user)["CRM Contacts"]
        member = {"contactGroupMembership": {"contactGroupResourceName": group}}
        body = {"names": [{"familyName": name}], "memberships": [member]}
        self.place.google(user, "POST", "v1/people:createContact", json=body)

    def throw_contact(self, user: str, contact: str) -> None:
        """Delete a contact."""
        self.place.google(user, "DELETE", f"v1/{contact}:deleteContact")

    def throw_event(self, user: str, event: str) -> None:
        """Delete an event."""
        self.place.google(user, "DELETE", f"calendar/v3/calendars/primary/events/{event}")

    def seen(self) -> list[tuple[str, str]]:
        """Name and whole text of every contact and event of all mailboxes."""
        return [
            (
                item.get("summary") or next((one.get("familyName", "") for one in item.get("names", [])), ""),
                json.dumps(item),
            )
            for user in self.place.users
            for item in [*self.place.contacts(user), *self.place.events(user)]
        ]

    def writes(self) -> dict[str, int]:
        """What was written at either provider since the counters were reset."""
        return self.place.writes()

    def assert_no_harm(self) -> None:
        """Nothing is there twice, and nobody was mailed."""
        assert self.place.stats()["google.mails"] == 0
        assert_no_doubles(self.place)

    # -- their day ---------------------------------------------------------------------------------------

    def work(self) -> None:
        """A few edits, creates and deletes on both sides."""
        works = (
            self._edit_in_crm,
            self._edit_in_mailbox,
            self._edit_event,
            self._create_in_crm,
            self._create_in_mailbox,
            self._delete,
        )
        for work in self.dice.sample(works, 3):
            work()

    def _number(self) -> str:
        number = self.edits.total()
        return f"{number:05d}"

    def _edit_in_crm(self) -> None:
        record = self.dice.choice(self.pools["edit"])
        title = f"Head of {self._number()}"
        self.place.change("Contact", record, Title=title)
        self.wanted.crm["Contact", record, "Title"] = self.wanted.mailbox[record, "title"] = title
        self.edits["contact edited in the CRM"] += 1

    def _edit_in_mailbox(self) -> None:
        record = self.dice.choice(self.pools["edit"])
        user, resource = self.resources[record]
        phone = f"+49 30 901{self._number()}"

        self.set_phone(user, resource, phone)
        self.wanted.crm["Contact", record, "Phone"] = self.wanted.mailbox[record, "phone"] = phone
        self.edits["contact edited in the mailbox"] += 1

    def _edit_event(self) -> None:
        record = self.dice.choice(self.pools["events"])
        user, event = self.resources[record]
        number = self._number()
        if self.dice.random() < 0.5:
            self.place.change("Event", record, Subject=f"Visit {number}")
            self.wanted.crm["Event", record, "Subject"] = self.wanted.mailbox[record, "summary"] = (
                f"Visit {number}"
            )
        else:
            self.set_location(user, event, f"Room {number}")
            self.wanted.crm["Event", record, "Location"] = self.wanted.mailbox[record, "location"] = (
                f"Room {number}"
            )
        self.edits["appointment edited"] += 1

    def _create_in_crm(self) -> None:
        owner = self.place.crm_user(self.dice.choice(self.place.users))
        name = f"Alt{self._number()}"
        if self.dice.random() < 0.5:
            self.place.crm("POST", "sobjects/Contact", json={"LastName": name, "OwnerId": owner})
        else:
            start_at = f"{day(self.dice.randint(2, 20))}T09:00:00Z"
            body = {"Subject": name, "StartDateTime": start_at, "DurationInMinutes": 30, "OwnerId": owner}
            self.place.crm("POST", "sobjects/Event", json=body)
        self.wanted.names.add(name)
        self.edits["created in the CRM"] += 1

    def _create_in_mailbox(self) -> None:
        user = self.dice.choice(self.place.users)
        name = f"Neu{self._number()}"
        self.new_contact(user, name)
        self.wanted.names.add(name)
        self.edits["created in the mailbox"] += 1

    def _delete(self) -> None:
        what = self.dice.choice(("delete in the CRM", "delete in the mailbox", "delete events"))
        if not self.pools[what]:
            return
        record = self.pools[what].pop()
        user, resource = self.resources[record]
        if what == "delete in the CRM":
            self._crm_removes("Contact", record)
        elif what == "delete in the mailbox":
            self.throw_contact(user, resource)
        elif self.dice.random() < 0.5:
            self._crm_removes("Event", record)
        else:
            self.throw_event(user, resource)
        self.wanted.gone.add(record)
        self.edits["deleted"] += 1

    def _crm_removes(self, name: str, record: str) -> None:
        self.place.remove(name, record)
        self.wanted.gone.add(record)

    def remove_many(self) -> None:
        """So many contacts of the CRM go at once that an admin is asked."""
        for record in self.pools["many"][:MANY]:
            self._crm_removes("Contact", record)
        del self.pools["many"][:MANY]
        self.edits["held deletes"] += MANY

    def assert_nothing_is_lost(self) -> None:
        """Everything they wrote is on both sides, once, and what they deleted is on none."""
        rows: dict[str, dict[str, Any]] = {}
        for question in (
            "SELECT Id, LastName, Title, Phone FROM Contact",
            "SELECT Id, Subject, Location FROM Event",
        ):
            rows |= {row["Id"]: row for row in self.place.soql(question)}
        shown: dict[str, str] = {}
        names: Counter[str] = Counter()
        for name, text in self.seen():
            names[name] += 1
            for record in self.resources:
                if f"c.{record}." in text:
                    shown[record] = text
        lost = [
            f"{what}: {rows.get(what[1], {}).get(what[2])!r}, not {value!r}"
            for what, value in self.wanted.crm.items()
            if rows.get(what[1], {}).get(what[2]) != value
        ]
        lost += [
            f"{what} in the mailbox: not {value!r}"
            for what, value in self.wanted.mailbox.items()
            if value not in shown.get(what[0], "")
        ]
        lost += [
            f"{record} was deleted and is there" for record in self.wanted.gone if {record} & {*rows, *shown}
        ]
        there = Counter(row.get("LastName") or row.get("Subject") for row in rows.values())
        lost += [
            f"{name}: {there[name]} in the CRM, {names[name]} in the mailboxes"
            for name in self.wanted.names
            if there[name] != 1 or names[name] != 1
        ]
        assert not lost, lost


def _again(write: Callable[[], None]) -> None:
    """A person who meets an edit of somebody else looks again and repeats."""
    for _ in range(8):
        try:
            write()
            return
        except AssertionError as error:
            if ": 400 " not in str(error) and ": 412 " not in str(error):
                raise
    raise AssertionError("a person could not write for conflicts")
