"""Canonical events to Google's documents and back."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.mailbox.google import calendar_read, calendar_write
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import Write, WriteKind

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC", None)

words = st.text(st.characters(exclude_categories=("Cs", "Cc")), max_size=60).map(canonical.text)
days = st.dates(date(2000, 1, 1), date(2040, 1, 1))
instants = st.datetimes(datetime(2000, 1, 1), datetime(2040, 1, 1)).map(
    lambda at: at.replace(tzinfo=UTC, microsecond=0)
)


@st.composite
def spans(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any]]:
    if draw(st.booleans()):
        first = draw(days)
        return canonical.all_day(first), canonical.all_day(first + timedelta(draw(st.integers(1, 30))))
    first_instant, zone = draw(instants), draw(st.sampled_from(ZONES))
    minutes = timedelta(minutes=draw(st.integers(0, 3000)))
    return canonical.moment(first_instant, zone), canonical.moment(first_instant + minutes, zone)


guests = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.emails(),
            "name": words,
            "status": st.sampled_from(["accepted", "declined", "tentative", "none"]),
            "optional": st.booleans(),
        }
    ),
    max_size=4,
).map(canonical.attendees)

rules = st.sampled_from(
    [
        None,
        {"lines": ["RRULE:FREQ=WEEKLY;BYDAY=MO,WE"]},
        {"lines": ["RRULE:FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=5", "EXDATE;TZID=Europe/Berlin:20261130T090000"]},
    ]
)


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    start, end = draw(spans())
    return canonical.compact(
        {
            "subject": draw(words),
            "body": draw(words),
            "location": draw(words),
            "start": start,
            "end": end,
            "busy": draw(st.booleans()),
            "private": draw(st.booleans()),
            "attendees": draw(guests),
            "rule": draw(rules),
        }
    )


def as_google_shows(body: dict[str, Any]) -> dict[str, Any]:
    """What an insert's body becomes: the same, with an id."""
    return {"id": "abcde", "etag": '"1"', "status": "confirmed", **body}


@settings(max_examples=120, deadline=None)
@given(events(), st.sampled_from(sorted({Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL})))
def test_an_event_comes_back_as_it_was_written(fields: dict[str, Any], module: Module) -> None:
    write = Write(WriteKind.CREATE, module, "link:1:mailbox", fields=fields, containers=("color:5",))
    seen = calendar_read.observe(as_google_shows(calendar_write.insert_body(write, "Europe/Berlin")))
    assert seen is not None
    assert seen.module is module
    assert seen.marker == "link:1:mailbox"
    assert seen.containers == ("color:5",)
    table = canonical.FIELDS[module]
    assert canonical.diff(module, fields, seen.fields, table) == {}
    for name in ("start", "end"):
        if fields[name].get("zone"):
            assert seen.fields[name]["zone"] == fields[name]["zone"]


@settings(max_examples=120, deadline=None)
@given(events(), events())
def test_a_patch_turns_one_event_into_the_other(one: dict[str, Any], other: dict[str, Any]) -> None:
    module = Module.APPOINTMENT
    before = as_google_shows(
        calendar_write.insert_body(Write(WriteKind.CREATE, module, "k", fields=one), "Europe/Berlin")
    )
    seen = calendar_read.observe(before)
    assert seen is not None
    change = canonical.diff(module, seen.fields, other, canonical.EVENT_FIELDS)
    write = Write(
        WriteKind.UPDATE, module, "k2", "abcde", fields=other, patch=change, native=seen.native, etag='"1"'
    )
    after = {**before, **calendar_write.patch_body(write, "Europe/Berlin")}
    for end in ("start", "end"):
        after[end] = {name: value for name, value in after[end].items() if value is not None}
    again = calendar_read.observe(after)
    assert again is not None
    assert canonical.diff(module, again.fields, other, canonical.EVENT_FIELDS) == {}


def test_a_patch_names_nothing_but_what_changes() -> None:
    write = Write(
        WriteKind.UPDATE,
        Module.APPOINTMENT,
        "k",
        "abcde",
        fields={"subject": "New", "body": "Text"},
        patch={"subject": "New", "location": None},
    )
    assert calendar_write.patch_body(write, "UTC") == {"summary": "New", "location": None}


def test_guests_keep_their_replies_and_unknown_attributes() -> None:
    native = [
        {"email": "Me@firm.example", "self": True, "organizer": True, "responseStatus": "accepted"},
        {"email": "guest@x.example", "responseStatus": "declined", "comment": "sorry", "additionalGuests": 2},
        {"email": "room@resource.example", "resource": True, "responseStatus": "accepted"},
        {"email": "gone@x.example", "responseStatus": "accepted"},
    ]
    wanted = canonical.attendees(
        [
            {"email": "me@firm.example", "status": "accepted"},
            {"email": "guest@x.example", "status": "none", "optional": True},
            {"email": "new@x.example", "name": "New"},
        ]
    )
    merged = {row["email"]: row for row in calendar_write.merged_guests(native, wanted or [])}
    assert merged["guest@x.example"] == {**native[1], "optional": True}
    assert merged["Me@firm.example"] == native[0]
    assert merged["room@resource.example"] == native[2]
    assert merged["new@x.example"] == {
        "email": "new@x.example",
        "displayName": "New",
        "responseStatus": "needsAction",
    }
    assert "gone@x.example" not in merged


def test_ids_are_valid_and_differ_by_key_and_generation() -> None:
    ids = {calendar_write.event_id("a"), calendar_write.event_id("b"), calendar_write.event_id("a", 1)}
    assert len(ids) == 3
    for one in ids:
        assert 5 <= len(one) <= 1024
        assert set(one) <= set("0123456789abcdefghijklmnopqrstuv")


def test_occurrence_ids() -> None:
    assert calendar_write.instance_id("abc", "2026-11-21") == "abc_20261121"
    assert calendar_write.instance_id("abc", "2026-11-21T08:00:00Z") == "abc_20261121T080000Z"
    assert calendar_write.instance_id("abc_R20261101T080000", "2026-11-21T08:00:00Z") == "abc_20261121T080000Z"


def test_a_series_without_zone_takes_the_mailboxes() -> None:
    fields = {
        "subject": "Weekly",
        "start": canonical.moment(datetime(2026, 11, 23, 8, tzinfo=UTC)),
        "end": canonical.moment(datetime(2026, 11, 23, 9, tzinfo=UTC)),
        "rule": {"lines": ["RRULE:FREQ=WEEKLY"]},
    }
    body = calendar_write.insert_body(
        Write(WriteKind.CREATE, Module.APPOINTMENT, "k", fields=fields), "Europe/Berlin"
    )
    assert body["start"] == {"dateTime": "2026-11-23T09:00:00+01:00", "timeZone": "Europe/Berlin"}
    single = {**fields, "rule": None}
    body = calendar_write.insert_body(
        Write(WriteKind.CREATE, Module.APPOINTMENT, "k", fields=single), "Europe/Berlin"
    )
    assert "timeZone" not in body["start"]


def test_birthdays_and_absences_are_nobodys_appointments() -> None:
    for kind in ("birthday", "focusTime", "outOfOffice", "workingLocation", "fromGmail"):
        assert calendar_read.observe({"id": "abcde", "eventType": kind, "status": "confirmed"}) is None


def test_a_cancelled_occurrence_is_a_change_of_its_series() -> None:
    seen = calendar_read.observe(
        {
            "id": "abc_20261121T080000Z",
            "status": "cancelled",
            "recurringEventId": "abc",
            "originalStartTime": {"dateTime": "2026-11-21T09:00:00+01:00", "timeZone": "Europe/Berlin"},
        }
    )
    assert seen is not None
    assert not seen.deleted
    assert (seen.parent, seen.occurrence, seen.fields) == ("abc", "2026-11-21T08:00:00Z", {"cancelled": True})


def test_a_tombstone_has_only_an_id() -> None:
    seen = calendar_read.observe({"id": "abcde", "status": "cancelled"})
    assert seen is not None
    assert seen.deleted


def test_a_guests_copy_is_read_only() -> None:
    seen = calendar_read.observe({"id": "abcde", "organizer": {"email": "boss@x.example"}, "summary": "Theirs"})
    assert seen is not None
    assert seen.native is not None
    assert seen.native["read_only"] is True
    assert seen.native["organizer"] is False


def test_native_holds_no_text_of_the_event() -> None:
    seen = calendar_read.observe(
        {"id": "abcde", "summary": "Secret", "description": "Very secret", "visibility": "private"}
    )
    assert seen is not None
    assert "ecret" not in repr(seen.native)
