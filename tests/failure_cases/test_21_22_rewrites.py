"""21: values that a server rewrites, and writes that never stop. 22: contacts whose fields are wiped or merged."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.model.canonical import FIELDS
from engine.model.modules import Module, Side
from tests.acceptance.town import Town, day, engine, town
from tests.failure_cases.scene import (
    PRIMARY,
    TINY,
    crm_event,
    cycle,
    mail_event,
    settled,
    shown,
    subjects,
    summaries,
)
from tests.sync.fakes import OBJECT_OF, place_of
from tests.sync.test_cycle import moment
from tests.sync.world import A, World


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=TINY) as running:
        yield running


TEXTS = {
    module: [name for name, info in FIELDS[module].items() if info.kind == "text"]
    for module in (Module.CONTACT, Module.APPOINTMENT, Module.TASK)
}
REWRITES: dict[str, Callable[[Any], Any]] = {
    "html": lambda text: f"<p>{text}</p>",
    "no emoji": lambda text: "".join(sign for sign in text if ord(sign) < 0x10000),
    "cut": lambda text: text[:5],
    "upper": lambda text: text.upper(),
}


@pytest.mark.parametrize("side", [*Side, None])
@pytest.mark.parametrize("name", REWRITES)
async def test_21_whatever_a_server_makes_of_texts_the_writes_stop(name: str, side: Side | None) -> None:
    """Every text field of every module is rewritten by one side or by both, at the first write and at each edit."""
    world = await World().start()
    for provider in (world.crm, world.mail):
        if side in (None, provider.side):
            provider.rewrites = {field: REWRITES[name] for fields in TEXTS.values() for field in fields}
    times = {"start": moment(25), "end": moment(25, 10)}
    for module, fields in TEXTS.items():
        more = times if module is Module.APPOINTMENT else {}
        for provider in (world.crm, world.mail):
            texts = {field: f"{provider.side} {field} 🎉 text" for field in fields}
            provider.add(A, module, **texts, **more)
    await world.settle(3)
    for turn in range(2):
        writes = len(world.crm.log) + len(world.mail.log)
        await world.settle(3)
        assert len(world.crm.log) + len(world.mail.log) == writes, f"turn {turn}: writes go on"
        assert await world.open_work() == (0, 0)
        assert not [line for line in world.crm.log + world.mail.log if line.startswith("delete")]
        for module, fields in TEXTS.items():
            assert len(world.crm.of(A, module)) == len(world.mail.of(A, module)) == 2, module
            for provider, where in ((world.crm, OBJECT_OF[module]), (world.mail, f"{A}/{place_of(module)}")):
                thing = provider.of(A, module)[turn]
                provider.edit(where, thing.id, **{fields[0]: f"Edited {provider.side} {turn} 🎈"})
        await world.settle(3)


async def test_21_emoji_html_and_events_without_length_keep_still(place: Town, tmp_path: Path) -> None:
    """The same over the wire: what each server makes of it is no edit, no delete and no new item."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        at = f"{day(12)}T09:00:00Z"
        moment_ = {"dateTime": at}
        text = "<b>Agenda</b><br>1. Coffee ☕<br>2. &lt;none&gt; 🎉"
        mail_event(place, user, "Odd 🎉 mail", moment_, moment_, description=text)
        record = crm_event(place, user, "Odd 🎉 crm", at, DurationInMinutes=0, Description=text + "\r\n\r\n")
        for _ in range(3):
            await cycle(service)
        wanted = ["Odd 🎉 crm", "Odd 🎉 mail"]
        assert subjects(place, "Odd") == summaries(place, user, "Odd") == wanted
        event = shown(place, user, record)
        assert event["start"]["dateTime"][:16] <= event["end"]["dateTime"][:16]
        assert "Coffee ☕" in event["description"]
        place.google(user, "PATCH", f"{PRIMARY}/{event['id']}", json={"summary": "Odd 🎈 crm"})
        await cycle(service)
        assert subjects(place, "Odd 🎈") == ["Odd 🎈 crm"]
        await settled(place, service)


PERSON: dict[str, Any] = {
    "names": [{"givenName": "Grace", "familyName": "Hopper", "phoneticGivenName": "Grays"}],
    "nicknames": [{"value": "Amazing Grace"}],
    "emailAddresses": [
        {"value": "grace@example.org", "type": "Navy", "displayName": "Adm. Hopper"},
        {"value": "g2@example.org", "type": "home"},
        {"value": "g3@example.org", "type": "work"},
        {"value": "g4@example.org", "type": "Yale"},
    ],
    "phoneNumbers": [
        {"value": "+1 202 555 0101", "type": "pager"},
        {"value": "+1 202 555 0102", "type": "mobile"},
        {"value": "+1 202 555 0103", "type": "mobile"},
        {"value": "+1 202 555 0104", "type": "Yacht"},
        {"value": "+1 202 555 0105", "type": "homeFax"},
        {"value": "+1 202 555 0106", "type": "workMobile"},
    ],
    "addresses": [
        {"type": "home", "streetAddress": "1 Elm St", "city": "Arlington", "poBox": "7", "countryCode": "US"},
        {"type": "work", "streetAddress": "2 Navy Yard", "extendedAddress": "Floor 3", "city": "Washington"},
        {"type": "Cabin", "streetAddress": "Wolfeboro"},
    ],
    "organizations": [
        {"name": "Vassar", "type": "school", "title": "Professor"},
        {
            "name": "US Navy",
            "type": "work",
            "title": "Admiral",
            "department": "BuShips",
            "jobDescription": "COBOL",
            "costCenter": "9",
        },
        {"name": "DEC", "type": "work", "title": "Consultant"},
    ],
    "birthdays": [{"date": {"year": 1906, "month": 12, "day": 9}}],
    "urls": [{"value": "https://example.org/grace", "type": "homePage"}],
    "biographies": [{"value": "Nanosecond wires\nand a second line"}],
    "userDefined": [{"key": "Rank", "value": "Rear admiral"}],
    "relations": [{"person": "Howard Aiken", "type": "manager"}],
    "events": [{"date": {"year": 1930, "month": 6, "day": 15}, "type": "anniversary"}],
}


def raw(place: Town, user: str, resource: str) -> dict[str, Any]:
    """A contact with every field that Google has, without versions, and without what we and Google mark it with."""
    fields = ",".join((*PERSON, "memberships"))
    found = place.google(user, "GET", f"v1/{resource}", params={"personFields": fields})
    return {name: [bare(one) for one in found.get(name, [])] for name in (*PERSON, "memberships")}


def bare(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "metadata"}


async def test_22_every_field_of_a_contact_survives_three_round_trips(place: Town, tmp_path: Path) -> None:
    """The CRM changes what it knows and changes it back, three times: Google's document ends to the letter as it was."""
    user = place.users[0]
    async with engine(tmp_path, place.config(policy="enabled = true")) as service:
        await cycle(service)
        group = place.groups(user)["CRM Contacts"]
        members = [{"contactGroupMembership": {"contactGroupResourceName": group}}]
        made = place.google(user, "POST", "v1/people:createContact", json=PERSON | {"memberships": members})
        resource = made["resourceName"]
        before = raw(place, user, resource)
        await cycle(service)
        await cycle(service)
        columns = (
            "FirstName, Title, Department, Email, Phone, MobilePhone, HomePhone, OtherPhone, Fax, Birthdate, "
            "Description, MailingStreet, MailingCity, OtherStreet, OtherCity"
        )
        [row] = place.soql(f"SELECT Id, {columns} FROM Contact WHERE LastName = 'Hopper'")
        record = row["Id"]
        assert row["Description"] == "Nanosecond wires\nand a second line"
        assert row["MobilePhone"] == "+1 202 555 0102"
        known = {name: row[name] for name in columns.split(", ") if row[name] is not None}
        assert raw(place, user, resource) == before
        away = {
            "FirstName": "Brewster",
            "Title": "Captain",
            "Email": "other@example.org",
            "MobilePhone": "+1 202 555 0199",
            "Birthdate": "1907-01-01",
            "Description": "changed",
        }
        for _ in range(3):
            place.change("Contact", record, **away)
            await cycle(service)
            changed = raw(place, user, resource)
            assert changed["biographies"] != before["biographies"]
            types = [one["type"] for one in changed["phoneNumbers"]]
            assert types == [one["type"] for one in PERSON["phoneNumbers"]]
            place.change("Contact", record, **{name: row[name] for name in away})
            await cycle(service)
            assert raw(place, user, resource) == before
        [again] = place.soql(f"SELECT Id, {columns} FROM Contact WHERE LastName = 'Hopper'")
        assert {name: again[name] for name in known} == known
        await settled(place, service)
