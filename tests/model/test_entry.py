"""What an admin types for a field: every kind there and back, and what is refused with what is allowed instead."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.canonical import CONTACT_FIELDS, EVENT_FIELDS, RECORD_FIELDS, Field, attendees, same
from engine.model.entry import NotAllowed, allowed, read, typed

FIELDS = {**RECORD_FIELDS, **EVENT_FIELDS, **CONTACT_FIELDS}

VALUES: list[tuple[str, Any]] = [
    ("title", "Buyer"),
    ("notes", "two\nlines and a \\ or \\n"),
    ("email", "Ann@example.com"),
    ("phone_work", {"raw": "+49 30 123456", "e164": "+4930123456"}),
    ("address_work", {"street": "Am Markt 1\nHinterhaus", "city": "Kiel", "country": "DE"}),
    ("birthday", "1980-02-29"),
    ("birthday", "--02-29"),
    ("start", {"date": "2026-11-23"}),
    ("start", {"utc": "2026-11-23T08:00:00Z", "zone": "Europe/Berlin"}),
    ("start", {"utc": "2026-11-23T08:00:00Z", "zone": None}),
    ("busy", True),
    ("busy", False),
    ("attendees", attendees([{"email": "a@x.test"}, {"email": "b@x.test", "optional": True}])),
    ("rule", {"lines": ["RRULE:FREQ=WEEKLY;BYDAY=MO", "EXDATE:20261130T080000Z"]}),
    ("amount", 1500),
    ("amount", 12.5),
    ("amount", 12_345_678.9),
    ("contacts", ["Ann Lee", "Bob Ray"]),
]


@pytest.mark.parametrize(("name", "value"), VALUES)
def test_a_value_is_typed_as_it_is_shown(name: str, value: Any) -> None:
    field: Field = FIELDS[name]
    line = typed(field.kind, value)
    assert "\n" not in line
    found = read(field, line)
    assert same(field.kind, found, value)
    assert typed(field.kind, found) == line


@pytest.mark.parametrize(
    ("name", "line", "why"),
    [
        ("email", "ann at example.com", "is no e-mail address"),
        ("phone_work", "call me", "is no phone number"),
        ("address_work", "Am Markt 1, Kiel", "has 1 parts"),
        ("birthday", "30.02.1980", "is no date"),
        ("birthday", "1980-02-30", "is no date"),
        ("start", "tomorrow", "is no time"),
        ("start", "2026-11-23 25:00", "is no time"),
        ("start", "2026-11-23 09:00 Atlantis/City", "is no time"),
        ("start", "", "must have a value"),
        ("busy", "maybe", "is neither"),
        ("attendees", "a@x.test, bob", "'bob' is no e-mail address"),
        ("rule", "every monday", "is no recurrence"),
        ("rule", "RRULE:FREQ=NEVER", "is no recurrence"),
        ("amount", "much", "is no number"),
        ("amount", "nan", "is out of range"),
        ("title", "a\x1b[2J", "cannot be printed"),
        ("notes", "x" * 40_000, "40,000 characters"),
    ],
)
def test_what_is_no_value_is_refused_with_what_is_allowed(name: str, line: str, why: str) -> None:
    field = FIELDS[name]
    with pytest.raises(NotAllowed) as refused:
        read(field, line)
    assert why in str(refused.value)
    assert str(refused.value).startswith(f"{field.label}: ")
    assert allowed(field) in str(refused.value)


def test_nothing_clears_a_field_that_may_be_empty() -> None:
    assert read(FIELDS["title"], "  ") is None
    assert "nothing clears the field" in allowed(FIELDS["title"])
    assert "nothing clears" not in allowed(FIELDS["busy"])


def test_what_is_not_said_is_taken_from_where_the_mailbox_is() -> None:
    assert read(FIELDS["start"], "2026-11-23 09:00", zone="Europe/Berlin") == {
        "utc": "2026-11-23T08:00:00Z",
        "zone": "Europe/Berlin",
    }
    assert read(FIELDS["phone_work"], "030 123456", region="de")["e164"] == "+4930123456"


def test_a_guest_keeps_his_name_and_reply() -> None:
    known = attendees([{"email": "Ann@x.test", "name": "Ann", "status": "accepted"}])
    [ann] = read(FIELDS["attendees"], "ann@x.test (optional)", known=[known])
    assert (ann["name"], ann["status"], ann["optional"]) == ("Ann", "accepted", True)
