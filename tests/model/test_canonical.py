"""Canonical values: what is one and the same to a person is equal, and nothing else is."""

from __future__ import annotations

import json
import random
import unicodedata
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.canonical import (
    FIELDS,
    Kind,
    address,
    all_day,
    attendees,
    compact,
    diff,
    display_name,
    instant,
    match_keys,
    moment,
    phone,
    same,
    text,
)
from engine.model.modules import Module
from engine.model.recurrence import occurrences, same_rule

#: Of each property: 10,000 in every run.
MANY = settings(max_examples=2_500, deadline=None)
ZONES = ("UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Pacific/Kiritimati", "Pacific/Pago_Pago")


@MANY
@given(st.text())
def test_text_is_canonical_once_and_for_all(raw: str) -> None:
    once = text(raw)
    assert text(once) == once
    if once is not None:
        assert unicodedata.is_normalized("NFC", once)
        assert "\r" not in once
        assert once == once.strip() != ""
        assert json.loads(json.dumps(once)) == once or any(0xD800 <= ord(char) < 0xE000 for char in once)


@pytest.mark.parametrize(
    ("raw", "canonical"),
    [
        ("a\r\nb\rc", "a\nb\nc"),
        ("  x \n", "x"),
        ("a  \nb", "a\nb"),
        ("e\u0301", "é"),
        (" ", None),
        (None, None),
    ],
)
def test_text_in_words(raw: object, canonical: str | None) -> None:
    assert text(raw) == canonical


@MANY
@given(st.datetimes(datetime(1971, 1, 1), datetime(2100, 1, 1)), st.sampled_from(ZONES))
def test_a_moment_keeps_its_instant_to_the_second(naive: datetime, zone: str) -> None:
    at = naive.replace(tzinfo=ZoneInfo(zone))
    value = moment(at, zone)
    assert instant(value) == at.astimezone(UTC).replace(microsecond=0)
    assert same(Kind.MOMENT, value, moment(at.astimezone(UTC), "UTC"))
    assert not same(Kind.MOMENT, value, moment(at.astimezone(UTC) + timedelta(seconds=1), zone))


def test_a_moment_needs_a_zone_and_a_day_is_not_midnight() -> None:
    with pytest.raises(ValueError, match="time zone"):
        moment(datetime(2026, 11, 21, 9))
    midnight = moment(datetime(2026, 11, 21, tzinfo=UTC), "UTC")
    assert not same(Kind.MOMENT, all_day("2026-11-21"), midnight)
    assert same(Kind.MOMENT, all_day("2026-11-21"), all_day(datetime(2026, 11, 21).date()))


@pytest.mark.parametrize(
    ("raw", "region", "e164"),
    [
        ("030 123456", "DE", "+4930123456"),
        ("030 123456", "de", "+4930123456"),
        ("+49 (30) 12 34 56", None, "+4930123456"),
        ("(650) 253-0000", "US", "+16502530000"),
        ("650 253 0000 ext. 12", "US", None),
        ("030 123456", None, None),
        ("ask Anna", "DE", None),
    ],
)
def test_a_phone_number_is_read_in_its_region(raw: str, region: str | None, e164: str | None) -> None:
    value = phone(raw, region)
    assert value == {"raw": raw, "e164": e164}


def test_phone_numbers_are_the_same_by_number_or_by_text() -> None:
    assert same(Kind.PHONE, phone("030 123456", "DE"), phone("+49 30 123456"))
    assert same(Kind.PHONE, phone("ask Anna"), phone("ask Anna"))
    assert not same(Kind.PHONE, phone("ask Anna"), phone("ask Bert"))
    assert not same(Kind.PHONE, phone("650 253 0000 ext. 12", "US"), phone("650 253 0000", "US"))
    assert phone("  ") is None


def test_addresses_keep_what_is_filled_and_refuse_unknown_parts() -> None:
    assert address(street=" Main St 1\r\n2nd floor", city="", country=None) == {
        "street": "Main St 1\n2nd floor"
    }
    assert address(street=" ", city=None) is None
    with pytest.raises(TypeError, match="planet"):
        address(planet="Earth")


def test_attendees_are_sorted_without_doubles_and_compared_by_who_is_invited() -> None:
    one = attendees([{"email": "b@x.test"}, {"email": "A@x.test", "status": "accepted"}, {"email": "a@x.test"}])
    assert one is not None
    assert [row["email"] for row in one] == ["A@x.test", "b@x.test"]
    assert same(Kind.ATTENDEES, one, attendees([{"email": "a@X.test", "name": "Ann"}, {"email": "b@x.test"}]))
    assert not same(Kind.ATTENDEES, one, attendees([{"email": "a@x.test"}]))
    assert attendees([{"email": " "}]) is None


VALUES = {
    Kind.TEXT: st.sampled_from([None, "a", "A"]),
    Kind.EMAIL: st.sampled_from([None, "a@x.test", "A@X.test", "b@x.test"]),
    Kind.PHONE: st.sampled_from([None, phone("030 123456", "DE"), phone("+4930123456"), phone("x")]),
    Kind.FLAG: st.sampled_from([None, True, False]),
    Kind.NUMBER: st.sampled_from([None, 1, 1.0, 1.001, 2]),
    Kind.DATE: st.sampled_from([None, "2026-11-21", "--11-21"]),
    Kind.RULE: st.sampled_from(
        [None, {"lines": ["RRULE:FREQ=DAILY"]}, {"lines": ["RRULE:FREQ=DAILY;INTERVAL=1"]}]
    ),
    Kind.MOMENT: st.sampled_from([None, all_day("2026-11-21"), moment(datetime(2026, 11, 21, tzinfo=UTC))]),
    Kind.ATTENDEES: st.sampled_from(
        [None, attendees([{"email": "a@x.test"}]), attendees([{"email": "A@x.test"}])]
    ),
}


@MANY
@given(st.data())
def test_sameness_is_reflexive_and_symmetric_and_survives_storage(data: st.DataObject) -> None:
    kind = data.draw(st.sampled_from(list(VALUES)))
    one, other = data.draw(VALUES[kind]), data.draw(VALUES[kind])
    assert same(kind, one, one)
    assert same(kind, one, other) == same(kind, other, one)
    assert same(kind, one, json.loads(json.dumps(one)))


def one_item(seed: int) -> dict[str, object]:
    """A contact with some fields in some of the forms in which providers give them."""
    dice = random.Random(seed)
    raw = ("", " a ", "e\u0301", "x\r\ny", "\u212b", "Zoë 🚀", "1")
    numbers = ("030 123456", "+49 30 123456", "(650) 253-0000", "ask Anna", "")
    values = {
        name: (phone(dice.choice(numbers), "DE") if field.kind is Kind.PHONE else text(dice.choice(raw)))
        for name, field in FIELDS[Module.CONTACT].items()
        if field.kind in {Kind.TEXT, Kind.EMAIL, Kind.PHONE} and dice.random() < 0.5
    }
    return compact(values)


@MANY
@given(st.integers(0, 2**32).map(one_item), st.integers(0, 2**32).map(one_item))
def test_an_item_survives_storage_and_a_diff_leads_from_one_to_the_other(
    old: dict[str, object], new: dict[str, object]
) -> None:
    names = FIELDS[Module.CONTACT]
    stored = json.loads(json.dumps(old, ensure_ascii=False))
    assert diff(Module.CONTACT, old, stored, names) == {}
    changed = diff(Module.CONTACT, old, new, names)
    after = compact({**old, **changed})
    assert diff(Module.CONTACT, after, new, names) == {}
    assert {name: after.get(name) for name in changed} == {name: new.get(name) for name in changed}


def test_a_diff_names_what_changed_and_clears_with_none() -> None:
    old = {"title": "a", "email": "A@x.test", "notes": "n"}
    new = {"title": "b", "email": "a@x.test"}
    assert diff(Module.CONTACT, old, new, FIELDS[Module.CONTACT]) == {"title": "b", "notes": None}
    assert compact({"a": None, "b": [], "c": {}, "d": "", "e": 0, "f": False}) == {"d": "", "e": 0, "f": False}


def test_match_keys_are_strongest_first_and_blind_to_case() -> None:
    ann = {"given": "Ann", "family": "Lee", "company": "Acme", "email": "Ann@Acme.test"}
    assert match_keys(Module.CONTACT, ann) == ("email:ann@acme.test", "name:ann|lee|acme")
    assert match_keys(Module.LEAD, ann) == match_keys(Module.CONTACT, ann)
    assert match_keys(Module.CONTACT, {"given": "Ann"}) == ()
    event = {"subject": "Lunch", "start": all_day("2026-11-21")}
    assert match_keys(Module.CALL, event) == ("event:lunch|2026-11-21",)
    assert match_keys(Module.TASK, {"subject": "Buy"}) == ("task:buy|",)
    assert match_keys(Module.OPPORTUNITY, {"name": "Deal"}) == ()


def test_items_are_called_what_people_call_them() -> None:
    assert display_name(Module.CONTACT, {"given": "Ann", "family": "Lee"}) == "Ann Lee"
    assert display_name(Module.CONTACT, {"company": "Acme"}) == "Acme"
    assert display_name(Module.CONTACT, {}) == "(no name)"
    assert display_name(Module.CASE, {"name": "Broken"}) == "Broken"
    assert display_name(Module.TASK, {}) == "(no subject)"


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (["RRULE:FREQ=WEEKLY;BYDAY=MO"], ["RRULE:BYDAY=MO;FREQ=WEEKLY"], True),
        (["RRULE:FREQ=WEEKLY;INTERVAL=1"], ["RRULE:FREQ=WEEKLY"], True),
        (["RRULE:FREQ=DAILY;COUNT=3"], ["RRULE:FREQ=DAILY;UNTIL=20260107T090000Z"], True),
        (["RRULE:FREQ=DAILY;COUNT=3"], ["RRULE:FREQ=DAILY;COUNT=4"], False),
        (["RRULE:FREQ=DAILY", "EXDATE:20260106T090000"], ["RRULE:FREQ=DAILY"], False),
        (["RRULE:FREQ=WEEKLY"], ["RRULE:FREQ=MONTHLY"], False),
        (["RRULE:FREQ=SOMETIMES"], ["RRULE:FREQ=SOMETIMES"], True),
        (["RRULE:FREQ=SOMETIMES"], ["RRULE:FREQ=DAILY"], False),
    ],
)
def test_rules_are_the_same_when_they_list_the_same_days(one: list[str], other: list[str], equal: bool) -> None:
    assert same_rule(one, other) is equal
    assert same_rule(other, one) is equal


def test_rules_that_end_later_than_the_compared_part_are_told_apart() -> None:
    one, other = ["RRULE:FREQ=DAILY;COUNT=500"], ["RRULE:FREQ=DAILY;COUNT=600"]
    assert not same_rule(one, other)
    assert not same_rule(one, ["RRULE:FREQ=DAILY"])
    assert not same_rule(["RRULE:FREQ=DAILY", "EXDATE:20280105T090000"], ["RRULE:FREQ=DAILY"])


def test_occurrences_keep_their_wall_time() -> None:
    found = occurrences(["RRULE:FREQ=WEEKLY;COUNT=3", "EXDATE:20261031T090000"], datetime(2026, 10, 24, 9))
    assert [one.isoformat() for one in found] == ["2026-10-24T09:00:00", "2026-11-07T09:00:00"]
