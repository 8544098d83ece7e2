"""Canonical items to Exchange's XML and back, without a server: nothing is lost, and the schema allows all of it."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Any
from zoneinfo import available_timezones

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import etree

from engine.mailbox.exchange import calendar_read, calendar_write, contacts, soap, tasks, zones
from engine.mailbox.exchange.kinds import CALENDAR, CONTACTS, TASKS, Kind
from engine.mailbox.exchange.recurrence import Unwritable
from engine.mailbox.exchange.soap import envelope
from engine.mailbox.exchange.xml import MESSAGES, SOAP, TYPES, element, quoted
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Account, Observation, Write, WriteKind
from engine.net.errors import ErrorKind, ProviderError

ANN = Account("ann@acme.example", "Europe/Berlin")
SCHEMA = Path(__file__).parents[4] / "shared" / "schemas" / "ews" / "messages.xsd"


@pytest.fixture(scope="module")
def schema() -> etree.XMLSchema:
    if not SCHEMA.exists():
        pytest.skip("the schema of EWS is not here")
    return etree.XMLSchema(etree.parse(str(SCHEMA)))


def node_of(item: str) -> Any:
    """An item as Exchange would give it back: with an id, and its values."""
    text = item.replace(">", f' xmlns:t="{TYPES}"><t:ItemId Id="A" ChangeKey="K"/>', 1)
    return etree.fromstring(text)


def back(kind: Kind, write: Write, account: Account = ANN) -> Observation:
    seen = kind.observe(node_of(kind.create(write, account)), account, "DE")
    assert seen is not None
    return seen.observation


def create(module: Module, fields: dict[str, Any], *containers: str) -> Write:
    return Write(WriteKind.CREATE, module, "c.1.aa.0", fields=fields, patch=fields, containers=containers)


def update(module: Module, fields: dict[str, Any], patch: dict[str, Any], **more: Any) -> Write:
    return Write(WriteKind.UPDATE, module, "u", "A", fields=fields, patch=patch, etag="K", **more)


CONTACT: dict[str, Any] = {
    "prefix": "Dr.",
    "given": "Zoë",
    "middle": "Q",
    "family": "O'Brien <x>",
    "suffix": "Jr.",
    "company": "Acme & Söhne",
    "title": "CEO",
    "department": "R&D",
    "email": "zoe@acme.example",
    "email_2": "z@home.example",
    "email_3": "z3@home.example",
    "phone_work": canonical.phone("030 1234567", "DE"),
    "phone_mobile": canonical.phone("+49 151 1234567"),
    "phone_home": canonical.phone("1"),
    "phone_other": canonical.phone("2"),
    "fax": canonical.phone("3"),
    "address_work": {"street": "A 1\nBack", "city": "B", "region": "C", "postcode": "1", "country": "DE"},
    "address_other": {"city": "Z"},
    "birthday": "1980-02-29",
    "website": "https://acme.example",
    "notes": "one\n\ntwo",
}
EVENT: dict[str, Any] = {
    "subject": "Angebot 😀 & mehr",
    "body": "a\nb",
    "location": "Köln",
    "start": {"utc": "2026-11-21T08:00:00Z", "zone": "Europe/Berlin"},
    "end": {"utc": "2026-11-21T09:30:00Z", "zone": "Europe/Berlin"},
    "busy": False,
    "private": True,
    "attendees": [
        {"email": "bob@x.example", "name": "Bob", "status": "none", "optional": False},
        {"email": "eve@x.example", "name": None, "status": "none", "optional": True},
    ],
}


def test_every_field_of_a_contact_comes_back() -> None:
    seen = back(CONTACTS, create(Module.LEAD, CONTACT, "category:CRM Leads"))
    assert seen.fields == CONTACT
    assert seen.module is Module.LEAD
    assert seen.marker == "c.1.aa.0"
    assert seen.containers == ("category:CRM Leads",)
    assert back(CONTACTS, create(Module.CONTACT, {"birthday": "--02-29"})).fields["birthday"] == "--02-29"


def test_every_field_of_an_event_comes_back() -> None:
    seen = back(CALENDAR, create(Module.CALL, EVENT, "category:CRM Call"))
    assert seen.fields == EVENT
    assert seen.module is Module.CALL


def test_a_task_comes_back() -> None:
    fields = {"subject": "Call", "body": "x", "due": "2026-11-30", "done": True}
    assert back(TASKS, create(Module.TASK, fields)).fields == fields


def test_a_day_is_the_same_day_in_every_zone() -> None:
    """Case 19, from UTC-12 to UTC+14: an all-day event is not a day off, nor in the days of clock changes."""
    edges = {f"Etc/GMT{hours:+d}" for hours in (*range(-14, 0), *range(1, 13))}
    edges |= {"UTC", "Africa/Cairo", "America/Santiago", "Asia/Beirut", "Pacific/Kiritimati", "Asia/Kathmandu"}
    for zone in sorted(edges | set(sorted(available_timezones() - {"localtime", "Factory"})[::6])):
        account = Account("ann@acme.example", zone)
        for first, last in (
            ("2026-01-01", "2026-01-02"),
            ("2026-03-29", "2026-03-30"),
            ("2026-04-24", "2026-04-25"),  # Cairo's clocks skip midnight
            ("2026-09-06", "2026-09-07"),  # so do Santiago's
            ("2026-11-01", "2026-11-03"),
        ):
            fields = {"subject": "x", "start": {"date": first}, "end": {"date": last}}
            seen = back(CALENDAR, create(Module.APPOINTMENT, fields), account)
            assert (seen.fields["start"], seen.fields["end"]) == (fields["start"], fields["end"]), zone


@pytest.mark.parametrize("hours", range(-12, 15))
def test_a_day_in_a_zone_that_nobody_knows_is_that_of_the_mailbox(hours: int) -> None:
    name = f"Etc/GMT{-hours:+d}" if hours else "Etc/GMT"
    at = zones.midnight(date(2026, 11, 21), name)
    assert zones.day_of(at, None, name).isoformat() == "2026-11-21"


def test_windows_zones_are_those_of_the_table_and_unknown_ones_keep_their_name() -> None:
    assert zones.windows_of("Europe/Vienna") == "W. Europe Standard Time"
    assert zones.iana_of("W. Europe Standard Time") == "Europe/Berlin"
    assert zones.iana_of("Pacific/Auckland") == "Pacific/Auckland"
    assert zones.iana_of("Customized Time Zone") is None
    fields = {**EVENT, "rule": {"lines": ["RRULE:FREQ=DAILY;COUNT=3"]}}
    item = calendar_write.create(create(Module.APPOINTMENT, fields), ANN)
    node = node_of(item.replace("W. Europe Standard Time", "Customized Time Zone"))
    seen = calendar_read.observe(node, ANN)
    assert seen is not None
    native = dict(seen.observation.native or {})
    # Its times cannot be told from outside, so nothing may be written to the series.
    assert (native["zone"], native["read_only"]) == ("Customized Time Zone", True)
    assert seen.observation.fields["start"] == {"utc": "2026-11-21T08:00:00Z", "zone": None}


def test_an_update_names_what_changes_and_nothing_else() -> None:
    def paths(text: str) -> list[str]:
        node = etree.fromstring(f'<x xmlns:t="{TYPES}">{text}</x>')
        return sorted(
            f"{change.tag.rpartition('}')[2][:3]} "
            + (change[0].get("FieldURI") or change[0].get("PropertyName") or change[0].get("PropertyTag"))
            + (f" {change[0].get('FieldIndex')}" if change[0].get("FieldIndex") else "")
            for change in node
        )

    assert paths(contacts.changes(update(Module.CONTACT, CONTACT, {"email_2": None}), ANN)) == [
        "Del contacts:EmailAddress EmailAddress2"
    ]
    assert paths(contacts.changes(update(Module.CONTACT, CONTACT, {"title": "CTO", "notes": None}), ANN)) == [
        "Del item:Body",
        "Set contacts:JobTitle",
    ]
    assert paths(tasks.changes(update(Module.TASK, {}, {"due": None, "done": False}), ANN)) == [
        "Del task:DueDate",
        "Set task:Status",
    ]
    assert paths(calendar_write.changes(update(Module.APPOINTMENT, EVENT, {"location": None}), ANN)) == [
        "Del calendar:Location"
    ]
    # Times and zones belong together.
    end = {"utc": "2026-11-21T10:00:00Z", "zone": None}
    native = {"kind": "appointment"}
    assert paths(
        calendar_write.changes(update(Module.APPOINTMENT, EVENT, {"end": end}, native=native), ANN)
    ) == [
        "Set calendar:End",
        "Set calendar:EndTimeZone",
        "Set calendar:IsAllDayEvent",
        "Set calendar:Start",
        "Set calendar:StartTimeZone",
    ]


def test_guests_without_an_address_of_the_internet_survive_an_update() -> None:
    native = {
        "kind": "appointment",
        "guests": [
            {"email": "/o=acme/cn=boss", "name": "Boss", "routing": "EX", "place": "RequiredAttendees"},
            {"email": "bob@x.example", "name": "Robert", "routing": "SMTP", "place": "RequiredAttendees"},
        ],
    }
    wanted = [{"email": "bob@x.example", "name": "Bob", "status": "none", "optional": True}]
    write = update(Module.APPOINTMENT, EVENT, {"attendees": wanted}, native=native)
    text = calendar_write.changes(write, ANN)
    assert "<t:Name>Boss</t:Name><t:EmailAddress>/o=acme/cn=boss</t:EmailAddress>" in text
    assert "<t:OptionalAttendees><t:Attendee><t:Mailbox><t:Name>Robert</t:Name>" in text


def test_an_item_that_turns_into_another_module_gets_its_category_beside_the_persons_own() -> None:
    native = {"kind": "", "categories": ["Blue", "CRM Call"]}
    write = update(
        Module.CALL, EVENT, {"subject": "x"}, native=native, containers=("category:CRM Call", "category:VIP")
    )
    text = calendar_write.changes(write, ANN)
    assert "<t:String>Blue</t:String><t:String>CRM Call</t:String><t:String>VIP</t:String>" in text
    assert "call" in text


def test_what_exchange_cannot_hold_is_refused_in_words() -> None:
    with pytest.raises(Unwritable, match="without a start"):
        calendar_write.create(create(Module.APPOINTMENT, {"subject": "x"}), ANN)
    mixed = {"subject": "x", "start": {"date": "2026-01-01"}, "end": EVENT["end"]}
    with pytest.raises(Unwritable, match="on a day"):
        calendar_write.create(create(Module.APPOINTMENT, mixed), ANN)


def test_every_new_item_is_one_that_the_schema_allows(schema: etree.XMLSchema) -> None:
    series = {**EVENT, "rule": {"lines": ["RRULE:FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20270101"]}}
    day = {"subject": "x", "start": {"date": "2026-11-21"}, "end": {"date": "2026-11-22"}}
    items = "".join(
        (
            contacts.create(create(Module.LEAD, CONTACT, "category:CRM Leads"), ANN),
            calendar_write.create(create(Module.CALL, EVENT, "category:CRM Call"), ANN),
            calendar_write.create(create(Module.APPOINTMENT, series), ANN),
            calendar_write.create(create(Module.APPOINTMENT, day), ANN),
            tasks.create(create(Module.TASK, {"subject": "T", "due": "2026-11-30", "body": "b"}), ANN),
        )
    )
    body = element(
        "m:CreateItem",
        element("m:Items", items),
        MessageDisposition="SaveOnly",
        SendMeetingInvitations="SendToNone",
    )
    root = etree.fromstring(envelope(body, "Exchange2016", "ann@acme.example"))
    schema.assertValid(etree.fromstring(etree.tostring(root.find(f"{{{SOAP}}}Body")[0])))


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_any_text_survives_the_wire(text: str) -> None:
    wanted = canonical.text("".join(letter for letter in text if quoted(letter)))
    if wanted is None:
        return
    fields = {"subject": wanted, "done": False}
    assert back(TASKS, create(Module.TASK, fields)).fields["subject"] == canonical.text(wanted)


def _answer(body: str) -> bytes:
    return (
        f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Body>{body}</s:Body></s:Envelope>'
    ).encode()


def test_signs_that_xml_forbids_do_not_hide_an_answer() -> None:
    message = (
        '<m:GetItemResponse><m:ResponseMessages><m:GetItemResponseMessage ResponseClass="Success">'
        "<m:ResponseCode>NoError</m:ResponseCode><m:Items><t:Task><t:Subject>a&#x1F;b</t:Subject></t:Task></m:Items>"
        "</m:GetItemResponseMessage></m:ResponseMessages></m:GetItemResponse>"
    )
    [found] = soap.parse(_answer(message), "GetItem", "mail")
    assert found.items()[0][0].text == "ab"


@pytest.mark.parametrize("cut", [20, 300, 420])
def test_a_truncated_or_foreign_answer_is_no_answer(cut: int) -> None:
    """Case 25: what is cut short is never taken for a short list."""
    message = (
        '<m:SyncFolderItemsResponse><m:ResponseMessages><m:SyncFolderItemsResponseMessage ResponseClass="Success">'
        "<m:ResponseCode>NoError</m:ResponseCode></m:SyncFolderItemsResponseMessage></m:ResponseMessages>"
        "</m:SyncFolderItemsResponse>"
    )
    for content, operation in ((_answer(message)[:cut], "SyncFolderItems"), (_answer(message), "GetItem")):
        with pytest.raises(ProviderError) as caught:
            soap.parse(content, operation, "mail")
        assert caught.value.kind is ErrorKind.MALFORMED
        assert caught.value.maybe_applied
