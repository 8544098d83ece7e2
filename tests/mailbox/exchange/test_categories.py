"""The mailbox's list of categories: ours are in it in their colours, once, and the person's own stay as they are."""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest
from lxml import etree

from engine.mailbox.exchange import categories
from engine.model.port import CalendarMode
from engine.net.errors import ErrorKind, ProviderError
from tests.mailbox.exchange.lab import STRUCTURE, Lab

COLOURS = replace(STRUCTURE, calendar_mode=CalendarMode.COLOUR)
NAMES = ["CRM Contacts", "CRM Leads", "CRM Appointment", "CRM Call", "CRM Service Call"]
SPACE = "{CategoryList.xsd}"
FOLDER = '<t:DistinguishedFolderId Id="calendar"/></m:UserConfigurationName>'

#: As Outlook writes it, with something that no version of today knows.
OUTLOOK = """<?xml version="1.0"?>
<categories default="Red Category" lastSavedSession="5" lastSavedTime="2026-11-20T09:00:00.000" future="keep"
 xmlns="CategoryList.xsd"><category name="Red Category" color="0" keyboardShortcut="1" usageCount="7"
 lastTimeUsed="2026-11-19T10:00:00.000" lastSessionUsed="3" guid="{2B7FFC8F-0E2D-4C93-9E1B-3E5F0B1A6E11}"/><category
 name="crm leads" color="4" keyboardShortcut="0" usageCount="2" lastTimeUsed="2026-11-19T10:00:00.000" lastSessionUsed="3"
 guid="{6E8A9E2B-1A43-4B0B-8D0E-0C7F8E7B5A22}"/><later kept="yes"/></categories>"""


def stored(place: Lab) -> Any | None:
    """The list as the mailbox's owner sees it."""
    status, _, answer = place.office.post(
        f'<m:GetUserConfiguration><m:UserConfigurationName Name="CategoryList">{FOLDER}'
        "<m:UserConfigurationProperties>All</m:UserConfigurationProperties></m:GetUserConfiguration>"
    )
    assert (status, answer is not None) == (200, True)
    coded = next(answer.iter("{*}XmlData"), None)  # type: ignore[union-attr]
    return None if coded is None else etree.fromstring(base64.b64decode(str(coded.text)))


def outlook(place: Lab, text: str, operation: str = "Create") -> None:
    """The owner's program keeps a list."""
    name = '<t:UserConfigurationName Name="CategoryList"><t:DistinguishedFolderId Id="calendar"/></t:UserConfigurationName>'
    data = base64.b64encode(text.encode()).decode()
    place.office.call(
        f"<m:{operation}UserConfiguration><m:UserConfiguration>{name}<t:XmlData>{data}</t:XmlData>"
        f"</m:UserConfiguration></m:{operation}UserConfiguration>"
    )


def colours(root: Any) -> dict[str, str]:
    return {str(one.get("name")): str(one.get("color")) for one in root.iter(f"{SPACE}category")}


async def test_a_mailbox_without_a_list_gets_one_and_it_is_written_once(place: Lab) -> None:
    assert stored(place) is None
    async with place.connector() as connector:
        first = await connector.ensure(place.account, COLOURS, {})
        root = stored(place)
        assert list(colours(root)) == NAMES
        assert colours(root) == {
            "CRM Contacts": "10",
            "CRM Leads": "11",
            "CRM Appointment": "7",
            "CRM Call": "20",
            "CRM Service Call": "0",
        }
        assert len({one.get("guid") for one in root.iter(f"{SPACE}category")}) == len(NAMES)
        place.asked()
        await connector.ensure(place.account, COLOURS, first.ids)
        asked = place.asked()
        assert (asked["GetUserConfiguration"], asked["UpdateUserConfiguration"]) == (1, 0)
        assert etree.tostring(stored(place)) == etree.tostring(root)
        [told] = [
            one
            for one in await connector.verify(place.account, COLOURS, first.ids)
            if one.check == "categories"
        ]
        assert told.detail == "5 in the mailbox's list, with their colours"
        place.asked()
        await connector.ensure(place.account, replace(STRUCTURE, groups={}), {})
        assert place.asked()["GetUserConfiguration"] == 0, "nothing is asked where no category is used"


async def test_what_the_person_has_stays_to_the_letter(place: Lab) -> None:
    outlook(place, OUTLOOK)
    before = etree.fromstring(OUTLOOK.encode())
    async with place.connector() as connector:
        await connector.ensure(place.account, COLOURS, {})
        root = stored(place)
        assert dict(root.attrib) == dict(before.attrib)
        kept = [dict(one.attrib) for one in root][: len(before)]
        assert kept == [dict(one.attrib) for one in before]
        # Their category of our name keeps their colour, and is not made a second time.
        assert colours(root) == {"Red Category": "0", "crm leads": "4"} | {
            name: colour for name, colour in colours(root).items() if name in NAMES
        }
        assert "CRM Leads" not in colours(root)
        # What the person removes comes back with the next change of the policy; what they recolour stays.
        changed = OUTLOOK.replace('name="Red Category" color="0"', 'name="CRM Call" color="22"')
        outlook(place, changed, "Update")
        await connector.ensure(place.account, COLOURS, {})
        assert colours(stored(place))["CRM Call"] == "22"
        assert set(colours(stored(place))) == {"crm leads", *NAMES} - {"CRM Leads"}


@pytest.mark.parametrize(
    "broken",
    [
        "not xml",
        "<categories/>",
        '<!DOCTYPE c [<!ENTITY x SYSTEM "file:///etc/hostname">]><categories>&x;</categories>',
    ],
    ids=["no XML", "another document", "an entity"],
)
async def test_a_list_that_cannot_be_read_is_never_written_over_and_is_told(place: Lab, broken: str) -> None:
    outlook(place, broken)
    async with place.connector() as connector:
        made = await connector.ensure(place.account, COLOURS, {})
        found = await connector.verify(place.account, COLOURS, made.ids)
        [told] = [one for one in found if one.check == "categories"]
        assert "not in the mailbox's list" in told.detail
        assert "CRM Contacts" in told.detail
        name = '<m:UserConfigurationName Name="CategoryList">'
        answer = place.office.call(
            f"<m:GetUserConfiguration>{name}{FOLDER}<m:UserConfigurationProperties>XmlData"
            "</m:UserConfigurationProperties></m:GetUserConfiguration>"
        )
        data = next(answer.iter("{*}XmlData")).text
        assert base64.b64decode(str(data)).decode() == broken


async def test_a_mailbox_that_refuses_its_list_is_synchronised_all_the_same(place: Lab) -> None:
    place.fault(route="UserConfiguration/part", body={"code": "ErrorAccessDenied"}, times=99)
    async with place.connector() as connector:
        made = await connector.ensure(place.account, COLOURS, {})
        assert made.scopes
        assert stored(place) is None


async def test_a_server_that_is_away_is_told(place: Lab) -> None:
    place.fault(route="GetUserConfiguration/part", body={"code": "ErrorMailboxStoreUnavailable"}, times=99)
    async with place.connector() as connector:
        with pytest.raises(ProviderError) as caught:
            await connector.ensure(place.account, COLOURS, {})
    assert caught.value.kind is ErrorKind.UNAVAILABLE


@pytest.mark.parametrize(
    ("colour", "number"), [("#d50000", 0), ("#ff8800", 1), ("#0b8043", 20), ("#3f51b5", 7), ("#000000", 14)]
)
def test_a_colour_becomes_the_nearest_that_outlook_has(colour: str, number: int) -> None:
    assert categories.nearest(colour) == number
