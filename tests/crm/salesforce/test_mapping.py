from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.crm.salesforce import mapping_event, soql
from engine.crm.salesforce.mapping import Context, Unwritable
from engine.crm.salesforce.objects import OBJECTS, OF_MODULE, observe
from engine.crm.salesforce.regions import region_of
from engine.model import canonical
from engine.model.canonical import FIELDS, Kind
from engine.model.modules import Module
from tests.crm.salesforce.org import Org, create

CONTEXT = Context("DE", "https://acme.example")

texts = st.text(st.characters(exclude_categories=["Cs", "Cc"], include_characters="\n"), max_size=40).map(
    canonical.text
)
names = st.text(st.characters(categories=["L", "M", "Nd", "So"]), min_size=1, max_size=30).map(canonical.text)
emails = st.emails().map(canonical.email)
phones = st.one_of(
    st.none(),
    st.from_regex(r"\+?[0-9]{1,4}[ /-]?[0-9]{3,9}", fullmatch=True).map(lambda raw: canonical.phone(raw, "DE")),
)
addresses = st.builds(
    canonical.address,
    street=texts,
    city=texts,
    region=texts,
    postcode=texts,
    country=st.sampled_from([None, "Germany", "Deutschland", "DE"]),
)
days = st.dates(date(1900, 1, 1), date(2099, 12, 31)).map(date.isoformat)
instants = st.datetimes(datetime(1990, 1, 1), datetime(2090, 1, 1)).map(
    lambda at: at.replace(microsecond=0, tzinfo=UTC)
)
guests = st.lists(
    st.fixed_dictionaries(
        {
            "email": st.from_regex(r"[a-z]{1,8}@[a-z]{1,8}\.example", fullmatch=True),
            "name": st.from_regex(r"[^\W\d_]{1,10}( [^\W\d_]{1,10})?", fullmatch=True).map(canonical.text),
            "status": st.sampled_from(["accepted", "declined", "tentative", "none"]),
            "optional": st.booleans(),
        }
    ),
    max_size=4,
).map(canonical.attendees)

BY_KIND: dict[Kind, st.SearchStrategy[Any]] = {
    Kind.TEXT: texts,
    Kind.EMAIL: st.one_of(st.none(), emails),
    Kind.PHONE: phones,
    Kind.ADDRESS: addresses,
    Kind.DATE: st.one_of(st.none(), days),
    Kind.FLAG: st.booleans(),
    Kind.ATTENDEES: guests,
    Kind.NUMBER: st.one_of(st.none(), st.decimals(0, 10**9, places=2).map(float)),
}


@st.composite
def spans(draw: st.DrawFn) -> dict[str, Any]:
    if draw(st.booleans()):
        first = date.fromisoformat(draw(days))
        after = first + timedelta(days=draw(st.integers(1, 14)))
        return {"start": canonical.all_day(first), "end": canonical.all_day(after)}
    begin = draw(instants)
    end = begin + timedelta(minutes=draw(st.integers(0, 20_000)))
    return {"start": canonical.moment(begin), "end": canonical.moment(end)}


@st.composite
def items(draw: st.DrawFn, module: Module) -> dict[str, Any]:
    writable = OF_MODULE[module].writable[module]
    fields = {
        name: draw(BY_KIND[field.kind])
        for name, field in FIELDS[module].items()
        if name in writable and field.kind in BY_KIND and name != "cancelled"
    }
    if "family" in fields:
        fields["family"] = draw(names)
    if "start" in writable:
        fields |= draw(spans())
    if module is Module.CALL and "date" in fields["start"]:
        fields["end"] = canonical.all_day(date.fromisoformat(fields["start"]["date"]) + timedelta(days=1))
    elif module is Module.CALL and fields["start"] == fields["end"]:
        fields["end"] = canonical.moment(canonical.instant(fields["start"]) + timedelta(minutes=30))
    return canonical.compact(fields)


def as_stored(module: Module, body: dict[str, Any]) -> dict[str, Any]:
    """What Salesforce would show of a body: stamps in its own spelling, computed fields computed."""
    row = {
        "Id": "003000000000001AAA",
        "IsDeleted": False,
        "SystemModstamp": "2026-11-21T08:00:00.123+0000",
        **body,
    }
    for name in ("StartDateTime", "EndDateTime", "ReminderDateTime"):
        if row.get(name):
            row[name] = row[name].replace("Z", "+0000")
    if "Status" in row and module is Module.TASK:
        row["IsClosed"] = row["Status"] == "Completed"
    return row


@pytest.mark.parametrize("module", list(Module))
@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_written_reads_back_the_same(module: Module, data: st.DataObject) -> None:
    fields = data.draw(items(module))
    sobject = OF_MODULE[module]
    row = as_stored(module, sobject.write(module, fields, sobject.writable[module], True))
    seen = observe(sobject, row, CONTEXT)
    assert seen.module is module
    assert canonical.diff(module, fields, seen.fields, sobject.writable[module] - {"cancelled"}) == {}


@pytest.mark.parametrize("module", list(Module))
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_a_patch_turns_one_item_into_another(module: Module, data: st.DataObject) -> None:
    sobject = OF_MODULE[module]
    writable = sobject.writable[module] - {"cancelled", "rule"}
    old, new = data.draw(items(module)), data.draw(items(module))
    row = sobject.write(module, old, writable, True)
    patch = canonical.diff(module, old, new, writable)
    row |= sobject.write(module, new, patch.keys(), False)
    seen = observe(sobject, as_stored(module, row), CONTEXT)
    assert canonical.diff(module, new, seen.fields, writable) == {}


def test_every_column_is_asked_for_once_and_every_field_is_known() -> None:
    for sobject in OBJECTS.values():
        assert len(set(sobject.select)) == len(sobject.select)
        for module in sobject.modules:
            assert sobject.writable[module] <= sobject.fields[module] <= FIELDS[module].keys()


def test_a_phone_number_is_read_in_the_country_of_the_address() -> None:
    row = as_stored(Module.CONTACT, {"LastName": "Rossi", "MailingCountry": "Italia", "Phone": "06 1234 5678"})
    assert observe(OBJECTS["Contact"], row, CONTEXT).fields["phone_work"]["e164"] == "+390612345678"
    row["MailingCountry"] = None
    assert observe(OBJECTS["Contact"], row, CONTEXT).fields["phone_work"]["e164"] == "+49612345678"


@pytest.mark.parametrize(
    ("country", "region"),
    [("Germany", "DE"), (" germany ", "DE"), ("de", "DE"), ("United Kingdom", "GB"), ("South Korea", "KR"),
     ("USA", "US"), ("日本", "JP"), ("Atlantis", ""), ("", ""), (None, "")],
)  # fmt: skip
def test_countries_are_known_by_name_and_code(country: str | None, region: str) -> None:
    assert region_of(country) == region


def test_an_all_day_event_ends_on_its_last_day_there_and_on_the_day_after_here() -> None:
    fields = {"start": {"date": "2026-11-24"}, "end": {"date": "2026-11-26"}}
    body = mapping_event.write(Module.APPOINTMENT, fields, {"start", "end"}, True)
    assert body["StartDateTime"][:10] == "2026-11-24"
    assert body["EndDateTime"][:10] == "2026-11-25"
    assert body["DurationInMinutes"] == 2880


def test_a_birthday_without_a_year_is_left_alone() -> None:
    write = OBJECTS["Contact"].write
    assert "Birthdate" not in write(Module.CONTACT, {"birthday": "--11-21"}, {"birthday"}, False)
    assert write(Module.CONTACT, {}, {"birthday"}, False) == {"Birthdate": None}


def test_what_salesforce_requires_is_asked_for_before_it_refuses() -> None:
    with pytest.raises(Unwritable, match="last name"):
        OBJECTS["Contact"].write(Module.CONTACT, {}, {"family"}, False)
    for module in (Module.APPOINTMENT, Module.CALL):
        with pytest.raises(Unwritable, match="start"):
            OF_MODULE[module].write(module, {}, {"start"}, True)


def test_guests_are_read_from_careless_lines_too() -> None:
    lines = "b@x.example;Bo Ray;ACCEPTED;true\n\na@x.example\n ; nobody\nc@x.example;Cy;later;no;more"
    assert mapping_event.read_attendees(lines) == [
        {"email": "a@x.example", "name": None, "status": "none", "optional": False},
        {"email": "b@x.example", "name": "Bo Ray", "status": "accepted", "optional": True},
        {"email": "c@x.example", "name": "Cy", "status": "none", "optional": False},
    ]


def test_a_separator_in_a_name_does_not_break_the_line() -> None:
    line = mapping_event.write_attendees([{"email": "a@x.example", "name": "Berg; Ann\nDr."}])
    assert line == "a@x.example;Berg, Ann Dr.;none;false"


def test_literals_cannot_end_early() -> None:
    assert soql.text("O'Brien\\ \n") == r"'O\'Brien\\ \n'"
    assert soql.texts(["a", "b'"]) == r"('a','b\'')"


@pytest.mark.parametrize(
    ("lines", "zone", "expected"),
    [
        (["EXDATE:20261130T080000Z"], None, ["2026-11-30T08:00:00Z"]),
        (["EXDATE;TZID=Europe/Berlin:20260730T090000"], None, ["2026-07-30T07:00:00Z"]),
        (["EXDATE;VALUE=DATE:20261130,20261201"], None, ["2026-11-30T00:00:00Z", "2026-12-01T00:00:00Z"]),
        (["RRULE:FREQ=DAILY", "EXDATE:20261130T090000"], "Europe/Berlin", ["2026-11-30T08:00:00Z"]),
    ],
)
def test_excluded_dates_are_read_in_their_zone(lines: list[str], zone: str | None, expected: list[str]) -> None:
    fields = {"start": {"utc": "2026-11-23T08:00:00Z", "zone": zone}, "rule": {"lines": lines}}
    assert mapping_event.excluded(fields) == expected


async def test_any_script_survives_the_way_there_and_back(org: Org) -> None:
    values = {
        "given": "Zoë 🦊",
        "family": "Müller-Łukasiewicz",
        "title": 'מנהל O\'Neil "q" \\ %_ <b>',
        "notes": "第一行\n\nخط دوم\n\tмысль & <p>HTML</p>",
        "department": "ฝ่ายขาย",
        "email": "zoe@example.com",
        "phone_mobile": canonical.phone("0171 1234567", "DE"),
        "address_work": canonical.address(street="1 rue\nB", city="Genève", country="Switzerland"),
        "birthday": "1980-02-29",
    }
    (outcome,) = await org.apply(create(Module.CONTACT, "O'Brien's \\ key", **values))
    assert outcome.observation is not None
    assert canonical.diff(Module.CONTACT, values, outcome.observation.fields, values) == {}
    assert outcome.observation.marker == "O'Brien's \\ key"


@pytest.mark.parametrize(
    "module", [Module.APPOINTMENT, Module.SERVICE_CALL, Module.CALL, Module.TASK, Module.LEAD]
)
@settings(max_examples=1, deadline=None)
@given(data=st.data())
def test_modules_that_share_an_object_stay_apart(module: Module, data: st.DataObject) -> None:
    sobject = OF_MODULE[module]
    row = as_stored(module, sobject.write(module, data.draw(items(module)), sobject.writable[module], True))
    assert observe(sobject, row, CONTEXT).module is module
