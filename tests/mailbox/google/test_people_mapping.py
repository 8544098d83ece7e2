"""Contacts between Google's lists and canonical slots: nothing is lost, nothing else is touched."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.mailbox.google import people_patch, people_read
from engine.model import canonical
from engine.model.canonical import CONTACT_FIELDS, Kind, same
from engine.model.modules import Module
from engine.model.port import Write, WriteKind

words = st.text(st.characters(exclude_categories=("Cs", "Cc", "Cf", "Zl", "Zp", "Co", "Cn")), max_size=20)
texts = words.map(lambda value: canonical.text(value) or "x")
maybe = st.none() | texts
digits = st.integers(10_000_000, 999_999_999).map(str)
phones = st.one_of(
    digits.map(lambda value: canonical.phone("+49 30 " + value)),
    digits.map(canonical.phone),
    st.just(canonical.phone("+1 202 555 0100 ext. 7")),
)
emails = st.from_regex(r"[a-zA-Z]{1,8}\.[a-z]{1,8}@[a-z]{1,8}\.org", fullmatch=True)
addresses = st.builds(
    lambda street, city, region, postcode, country: canonical.address(
        street=street, city=city, region=region, postcode=postcode, country=country
    ),
    maybe,
    maybe,
    maybe,
    maybe,
    maybe,
).filter(lambda value: value is not None)
birthdays = st.dates().map(lambda day: day.isoformat()) | st.dates().map(lambda day: f"--{day:%m-%d}")

_VALUES = {
    Kind.TEXT: texts,
    Kind.EMAIL: emails,
    Kind.PHONE: phones,
    Kind.ADDRESS: addresses,
    Kind.DATE: birthdays,
}


def _without_holes(fields: dict[str, Any]) -> dict[str, Any]:
    """Mail addresses are counted from the first: a second one without a first cannot be shown."""
    held = [fields[slot] for slot in people_read.EMAIL_SLOTS if slot in fields]
    rest = {name: value for name, value in fields.items() if name not in people_read.EMAIL_SLOTS}
    return rest | dict(zip(people_read.EMAIL_SLOTS, held, strict=False))


contacts = st.fixed_dictionaries(
    {}, optional={name: _VALUES[field.kind] for name, field in CONTACT_FIELDS.items()}
).map(_without_holes)

_PHONE_TYPES = ["work", "mobile", "home", "other", "workFax", "homeFax", "pager", "workMobile", "main", "Yacht"]


def _entries(values: st.SearchStrategy[str], types: list[str]) -> st.SearchStrategy[list[dict[str, Any]]]:
    entry = st.fixed_dictionaries({"value": values, "type": st.sampled_from(types)})
    return st.lists(entry, max_size=5)


#: People as Google may show them, with more entries than there are slots and attributes that we do not know.
people = st.fixed_dictionaries(
    {},
    optional={
        "names": st.lists(
            st.fixed_dictionaries({"familyName": texts, "phoneticFamilyName": texts}), min_size=1, max_size=1
        ),
        "emailAddresses": _entries(emails, ["work", "home", "other", "Navy"]),
        "phoneNumbers": _entries(digits, _PHONE_TYPES),
        "addresses": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["home", "work", "other", "Cabin"]), "streetAddress": texts},
                optional={"extendedAddress": texts, "poBox": texts},
            ),
            max_size=3,
        ),
        "organizations": st.lists(
            st.fixed_dictionaries(
                {"type": st.sampled_from(["work", "school"]), "name": texts, "jobDescription": texts},
                optional={"current": st.booleans()},
            ),
            max_size=3,
        ),
        "urls": _entries(texts, ["homePage", "blog", "profile"]),
        "biographies": st.lists(
            st.fixed_dictionaries({"value": texts, "contentType": st.just("TEXT_PLAIN")}),
            min_size=1,
            max_size=1,
        ),
        "clientData": st.just([{"key": "another-tool", "value": "77"}]),
    },
)


def update(patch: dict[str, Any]) -> Write:
    return Write(WriteKind.UPDATE, Module.CONTACT, "k", remote_id="people/c1", patch=patch, etag="1")


def applied(native: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
    """What the contact holds after the update."""
    changed = people_patch.changed_fields(update(patch), native, "")
    return {name: value for name, value in {**native, **changed}.items() if value}


@settings(max_examples=150, deadline=None)
@given(contacts)
def test_a_new_contact_reads_back_as_the_fields_it_was_made_of(fields: dict[str, Any]) -> None:
    person = people_patch.new_person(Write(WriteKind.CREATE, Module.LEAD, "key-1", fields=fields))
    seen = people_read.observe({"resourceName": "people/c1", **person})
    assert seen.fields == fields
    assert seen.marker == "key-1"
    assert seen.module is Module.LEAD


@settings(max_examples=150, deadline=None)
@given(people, contacts)
def test_a_patch_is_shown_and_nothing_else_moves(native: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = people_read.read_fields(native)
    # Setting a slot of an address list that has fewer entries fills the next free one.
    patch = {
        name: value
        for name, value in wanted.items()
        if name not in people_read.EMAIL_SLOTS or name in before or name == "email"
    }
    untouched = copy.deepcopy(native)
    after = people_read.read_fields(applied(native, patch))
    assert native == untouched
    kinds = {name: field.kind for name, field in CONTACT_FIELDS.items()}
    for name, kind in kinds.items():
        expected = patch.get(name, before.get(name))
        assert same(kind, after.get(name), expected), name


@settings(max_examples=150, deadline=None)
@given(people, contacts)
def test_22_away_and_back_leaves_every_entry_as_it_was(native: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = people_read.read_fields(native)
    # Slots that are empty would be filled by a new entry; only those that are occupied can be put back.
    away = {name: value for name, value in wanted.items() if name in before}
    back = {name: before[name] for name in away}
    state = {name: value for name, value in native.items() if value}
    original = copy.deepcopy(state)
    for _ in range(3):
        state = applied(applied(state, away), back)
    assert state == original


@settings(max_examples=100, deadline=None)
@given(people)
def test_what_the_contact_shows_already_is_not_written(native: dict[str, Any]) -> None:
    assert people_patch.changed_fields(update(people_read.read_fields(native)), native, "") == {}


def test_the_primary_address_comes_first_wherever_it_stands() -> None:
    person = {
        "emailAddresses": [
            {"value": "second@example.org"},
            {"value": "first@example.org", "metadata": {"primary": True}},
            {"value": "third@example.org"},
            {"value": "fourth@example.org"},
        ]
    }
    fields = people_read.read_fields(person)
    assert [fields[slot] for slot in people_read.EMAIL_SLOTS] == [
        "first@example.org",
        "second@example.org",
        "third@example.org",
    ]
    changed = applied(person, {"email": "new@example.org", "email_2": None})
    assert [row["value"] for row in changed["emailAddresses"]] == [
        "new@example.org",
        "third@example.org",
        "fourth@example.org",
    ]


def test_phone_types_are_not_merged() -> None:
    person = {
        "phoneNumbers": [
            {"value": "1", "type": "workFax"},
            {"value": "2", "type": "work"},
            {"value": "3", "type": "pager"},
            {"value": "4"},
            {"value": "5", "type": "main"},
        ]
    }
    fields = people_read.read_fields(person)
    assert {name: value["raw"] for name, value in fields.items()} == {
        "fax": "1",
        "phone_work": "2",
        "phone_other": "4",
    }


def test_a_number_without_country_is_read_in_the_contacts_or_the_connections_country() -> None:
    bare = {"value": "030 123456", "type": "work"}
    assert people_read.read_phone(bare, "DE")["e164"] == "+4930123456"  # type: ignore[index]
    assert people_read.read_phone({**bare, "canonicalForm": "+4930123456"}, "")["e164"] == "+4930123456"  # type: ignore[index]
    extended = {"value": "030 123456 ext 5", "canonicalForm": "+4930123456"}
    assert people_read.read_phone(extended, "")["e164"] is None  # type: ignore[index]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"date": {"year": 1906, "month": 12, "day": 9}}, "1906-12-09"),
        ({"date": {"month": 2, "day": 29}}, "--02-29"),
        ({"date": {"year": 1906}}, None),
        ({"text": "around Christmas"}, None),
    ],
)
def test_birthdays(value: dict[str, Any], expected: str | None) -> None:
    assert people_read.read_birthday(value) == expected


def test_an_address_that_is_one_free_text_is_kept_as_street() -> None:
    entry = {"type": "work", "formattedValue": "Somewhere\nin Sussex"}
    assert people_read.read_address(entry) == {"street": "Somewhere\nin Sussex"}
    changed = applied({"addresses": [entry]}, {"address_work": {"street": "1 High St", "city": "Lewes"}})
    assert changed["addresses"] == [{"type": "work", "streetAddress": "1 High St", "city": "Lewes"}]


def test_a_country_code_is_read_as_country_and_not_contradicted() -> None:
    entry = {"type": "work", "city": "Bergen", "countryCode": "NO"}
    assert people_read.read_address(entry) == {"city": "Bergen", "country": "NO"}
    changed = applied({"addresses": [entry]}, {"address_work": {"city": "Bergen", "country": "Norway"}})
    assert changed["addresses"] == [{"type": "work", "city": "Bergen", "country": "Norway"}]


def test_a_school_is_no_employer() -> None:
    person = {"organizations": [{"type": "school", "name": "Vassar"}]}
    assert people_read.read_fields(person) == {}
    changed = applied(person, {"company": "US Navy"})
    assert changed["organizations"] == [
        {"type": "school", "name": "Vassar"},
        {"type": "work", "name": "US Navy"},
    ]
    assert applied(changed, {"company": None}) == person


def test_a_name_that_is_one_free_text_survives_a_patch_of_another_part() -> None:
    person = {"names": [{"unstructuredName": "Plato"}]}
    assert people_read.read_fields(person) == {"given": "Plato"}
    assert applied(person, {"suffix": "Jr."})["names"] == [{"givenName": "Plato", "honorificSuffix": "Jr."}]


def test_profile_data_of_the_same_person_is_neither_read_nor_written() -> None:
    person = {
        "resourceName": "people/c1",
        "emailAddresses": [
            {"value": "me@example.com", "metadata": {"source": {"type": "PROFILE"}, "verified": True}},
            {"value": "private@example.org", "metadata": {"source": {"type": "CONTACT"}}},
        ],
        "memberships": [{"domainMembership": {"inViewerDomain": True}}],
    }
    seen = people_read.observe(person)
    assert seen.fields == {"email": "private@example.org"}
    assert seen.native == {"emailAddresses": [{"value": "private@example.org"}]}
    assert seen.containers == ()


def test_a_tombstone_is_a_deleted_observation() -> None:
    seen = people_read.observe({"resourceName": "people/c9", "metadata": {"deleted": True}})
    assert (seen.remote_id, seen.deleted, seen.fields) == ("people/c9", True, {})
