"""SOQL by table: conditions, order, parents, children, aggregates, pages, and refusals with their place."""

from __future__ import annotations

import random
from typing import Any

import pytest

from engine.sandbox.kit.world import open_world
from engine.sandbox.salesforce import soql_run, store
from engine.sandbox.salesforce.errors import SfError
from tests.sandbox.salesforce.conftest import DATA, Org


@pytest.fixture
def people(org: Org) -> Org:
    acme, zeta = store.insert_many(org.world, "Account", [{"Name": "Acme"}, {"Name": "Zeta"}])
    rows: list[dict[str, Any]] = [
        {
            "LastName": "Able",
            "AccountId": acme,
            "Email": "Able@x.example",
            "Birthdate": "1970-01-31",
            "DoNotCall": True,
        },
        {"LastName": "baker", "AccountId": zeta, "Title": "O'Neil 100%", "CreatedDate": "2020-02-29T10:00:00Z"},
        {"LastName": "Česák", "Syncline_Key__c": "k1"},
        {"LastName": "Dora", "AccountId": acme, "Title": "CEO", "Birthdate": "1980-06-15"},
    ]
    store.insert_many(org.world, "Contact", rows)
    return org


@pytest.mark.parametrize(
    ("condition", "names"),
    [
        ("LastName = 'able'", ["Able"]),
        ("LastName != 'able'", ["baker", "Česák", "Dora"]),
        ("Title != 'CEO'", ["Able", "baker", "Česák"]),
        ("Title = null", ["Able", "Česák"]),
        ("Title = ''", ["Able", "Česák"]),
        ("Title <> NULL", ["baker", "Dora"]),
        ("Title = 'O\\'Neil 100%'", ["baker"]),
        ("LastName LIKE '%A%'", ["Able", "baker", "Dora"]),
        ("Title LIKE '%\\%'", ["baker"]),
        ("(NOT LastName LIKE 'a%') AND Title = null", ["Česák"]),
        ("NOT (Title = 'CEO')", ["Able", "baker", "Česák"]),
        ("LastName IN ('ABLE', 'Dora')", ["Able", "Dora"]),
        ("LastName NOT IN ('ABLE', 'Dora')", ["baker", "Česák"]),
        ("Title NOT IN ('CEO')", ["Able", "baker", "Česák"]),
        ("DoNotCall = TRUE", ["Able"]),
        ("DoNotCall != true", ["baker", "Česák", "Dora"]),
        ("Birthdate < 1975-01-01", ["Able"]),
        ("Birthdate >= 1970-01-31", ["Able", "Dora"]),
        ("CreatedDate < 2020-02-29T11:00:01+01:00", ["baker"]),
        ("CreatedDate = TODAY", ["Able", "Česák", "Dora"]),
        ("CreatedDate = LAST_N_DAYS:7", ["Able", "Česák", "Dora"]),
        ("CreatedDate < LAST_N_YEARS:1 OR CreatedDate < YESTERDAY", None),
        ("CreatedDate < YESTERDAY", ["baker"]),
        ("Account.Name = 'acme'", ["Able", "Dora"]),
        ("Contact.Account.Owner.Name = 'Ann Berg' AND (Title = 'CEO' OR DoNotCall = true)", ["Able", "Dora"]),
        ("AccountId IN (SELECT Id FROM Account WHERE Name = 'Zeta')", ["baker"]),
        ("AccountId NOT IN (SELECT Id FROM Account WHERE Name = 'Zeta')", ["Able", "Dora"]),
        ("Syncline_Key__c = 'k1'", ["Česák"]),
        ("Syncline_Key__c = 'K1'", []),
    ],
)
def test_conditions(people: Org, condition: str, names: list[str] | None) -> None:
    answer = people.get("query", q=f"SELECT LastName FROM Contact WHERE {condition} ORDER BY Id")
    if names is None:
        assert people.refusal(answer) == (400, "MALFORMED_QUERY")
    else:
        assert [each["LastName"] for each in answer.json()["records"]] == names


@pytest.mark.parametrize(
    ("order", "names"),
    [
        ("LastName", ["Able", "baker", "Dora", "Česák"]),
        ("LastName DESC", ["Česák", "Dora", "baker", "Able"]),
        ("Title NULLS LAST, LastName", ["Dora", "baker", "Able", "Česák"]),
        ("Title NULLS FIRST, LastName DESC", ["Česák", "Able", "Dora", "baker"]),
        ("Account.Name DESC NULLS LAST, LastName", ["baker", "Able", "Dora", "Česák"]),
        ("LastName LIMIT 2", ["Able", "baker"]),
        ("LastName LIMIT 2 OFFSET 1", ["baker", "Dora"]),
    ],
)
def test_order_limit_offset(people: Org, order: str, names: list[str]) -> None:
    assert people.column(f"SELECT LastName FROM Contact ORDER BY {order}") == names


@pytest.mark.parametrize(
    ("soql", "code", "words"),
    [
        ("SELECT Id FRM Contact", "MALFORMED_QUERY", "unexpected token: 'FRM'"),
        ("SELECT Id FROM Contact WHERE", "MALFORMED_QUERY", "unexpected token: '<EOF>'"),
        ("SELECT Id FROM Contact WHERE A = 1 AND B = 2 OR C = 3", "MALFORMED_QUERY", "unexpected token: 'OR'"),
        ("SELECT Id FROM Contact LIMIT x", "MALFORMED_QUERY", "unexpected token: 'x'"),
        ("SELECT Id FROM Contact; DROP", "MALFORMED_QUERY", "unexpected token: ';'"),
        ("SELECT FIELDS(ALL) FROM Contact", "MALFORMED_QUERY", "LIMIT of at most 200"),
        (
            "SELECT LastName, COUNT(Id) FROM Contact",
            "MALFORMED_QUERY",
            "must be grouped or aggregated: LastName",
        ),
        ("SELECT Nope FROM Contact", "INVALID_FIELD", "No such column 'Nope' on entity 'Contact'"),
        ("SELECT Id FROM Contact WHERE Nope = 1", "INVALID_FIELD", "No such column 'Nope'"),
        ("SELECT Nope.Name FROM Contact", "INVALID_FIELD", "Didn't understand relationship 'Nope'"),
        ("SELECT Id FROM Contact WHERE CreatedDate > '2020'", "INVALID_FIELD", "must be of type dateTime"),
        ("SELECT Id FROM Contact WHERE LastName = 5", "INVALID_FIELD", "should be enclosed in quotes"),
        ("SELECT Id FROM Contact WHERE Description = 'x'", "INVALID_FIELD", "can not be filtered"),
        ("SELECT Id FROM Contact WHERE Id = 'x'", "INVALID_QUERY_FILTER_OPERATOR", "invalid ID field: x"),
        (
            "SELECT Id FROM Contact WHERE Birthdate LIKE 'x'",
            "INVALID_QUERY_FILTER_OPERATOR",
            "invalid operator",
        ),
        ("SELECT Id FROM Contact WHERE CreatedDate > 2026-13-45T00:00:00Z", "MALFORMED_QUERY", "invalid date"),
        (
            "SELECT Id FROM Contact WHERE CreatedDate = LAST_N_DAYS:99999999",
            "MALFORMED_QUERY",
            "date out of range",
        ),
        ("SELECT Id FROM Nope", "INVALID_TYPE", "sObject type 'Nope' is not supported"),
        (
            "SELECT Id, (SELECT Id FROM Nopes) FROM Contact",
            "INVALID_TYPE",
            "Didn't understand relationship 'Nopes'",
        ),
        ("SELECT Id FROM Contact LIMIT 1 OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset"),
    ],
)
def test_refusals(org: Org, soql: str, code: str, words: str) -> None:
    answer = org.get("query", q=soql)
    assert org.refusal(answer) == (400, code)
    assert words in answer.json()[0]["message"]
    assert "ERROR at Row:1:Column:" in answer.json()[0]["message"]


def test_a_refusal_points_at_its_place(org: Org) -> None:
    message = org.get("query", q="SELECT Id FRM Contact").json()[0]["message"]
    assert message == "\nSELECT Id FRM Contact\n          ^\nERROR at Row:1:Column:11\nunexpected token: 'FRM'"


def test_parents_are_nested_and_keep_their_type(people: Org) -> None:
    lead = people.create("Lead", LastName="Le", Company="Co")
    opportunity = people.create("Opportunity", Name="Deal", StageName="Prospecting", CloseDate="2026-12-01")
    contact = people.column("SELECT Id FROM Contact WHERE LastName = 'Able'")[0]
    people.create("Task", Subject="one", WhoId=lead)
    people.create("Task", Subject="two", WhoId=contact, WhatId=opportunity)
    one, two = people.query(
        "SELECT Subject, Who.Name, Who.Type, What.Name, Owner.Email, Account.Name FROM Task ORDER BY Subject"
    )
    assert (one["Who"]["attributes"]["type"], one["Who"]["Name"], one["What"]) == ("Lead", "Le", None)
    assert (two["Who"]["Type"], two["What"]["Name"]) == ("Contact", "Deal")
    assert two["What"]["attributes"]["url"] == f"{DATA}/sobjects/Opportunity/{opportunity}"
    assert one["Owner"]["Email"] == "ann.berg@acme.example"
    assert [name for name in one if name != "attributes"] == ["Subject", "Who", "What", "Owner", "Account"]


def test_child_lists(people: Org) -> None:
    opportunity = people.create("Opportunity", Name="Deal", StageName="Prospecting", CloseDate="2026-12-01")
    people.create("Opportunity", Name="Empty", StageName="Prospecting", CloseDate="2026-12-01")
    for contact in people.column("SELECT Id FROM Contact WHERE Account.Name = 'Acme'"):
        people.create("OpportunityContactRole", OpportunityId=opportunity, ContactId=contact)
    deal, empty = people.query(
        "SELECT Name, (SELECT Contact.Name FROM OpportunityContactRoles ORDER BY Contact.Name DESC) "
        "FROM Opportunity ORDER BY Name"
    )
    assert [each["Contact"]["Name"] for each in deal["OpportunityContactRoles"]["records"]] == ["Dora", "Able"]
    assert deal["OpportunityContactRoles"]["totalSize"] == 2
    assert empty["OpportunityContactRoles"] is None


def test_aggregates(people: Org) -> None:
    assert people.get("query", q="SELECT COUNT() FROM Contact WHERE Title != null").json() == {
        "totalSize": 2,
        "done": True,
        "records": [],
    }
    rows = people.query("SELECT AccountId, COUNT(Id) many, MAX(LastName) FROM Contact GROUP BY AccountId")
    assert sorted(row["many"] for row in rows) == [1, 1, 2]
    assert rows[0]["attributes"] == {"type": "AggregateResult"}
    assert "expr0" in rows[0]


def test_fields_functions(people: Org) -> None:
    (row,) = people.query("SELECT FIELDS(ALL) FROM Contact WHERE LastName = 'Able' LIMIT 1")
    assert {"Id", "Name", "MailingAddress", "Syncline_Key__c"} <= set(row)
    (row,) = people.query("SELECT Id, FIELDS(CUSTOM) FROM Contact LIMIT 1")
    assert set(row) == {"attributes", "Id", "Syncline_Key__c"}


def test_all_rows_shows_the_recycle_bin(people: Org) -> None:
    gone = people.column("SELECT Id FROM Contact WHERE LastName = 'Able'")[0]
    people.delete(f"sobjects/Contact/{gone}")
    assert people.column("SELECT Id FROM Contact WHERE IsDeleted = true ALL ROWS") == [gone]
    assert people.query("SELECT Id FROM Contact WHERE IsDeleted = true") == []


def test_pages_follow_the_locator(org: Org) -> None:
    names = [f"n{number:05d}" for number in range(4500)]
    store.insert_many(org.world, "Contact", [{"LastName": name} for name in names])
    body = org.get("query", q="SELECT LastName FROM Contact ORDER BY LastName").json()
    sizes, seen = [], []
    while True:
        sizes.append(len(body["records"]))
        seen += [each["LastName"] for each in body["records"]]
        assert body["totalSize"] == 4500
        if body["done"]:
            break
        body = org.http.get(body["nextRecordsUrl"]).json()
    assert sizes == [2000, 2000, 500]
    assert seen == names
    assert "nextRecordsUrl" not in body


def test_the_batch_size_may_be_smaller(org: Org) -> None:
    store.insert_many(org.world, "Contact", [{"LastName": "x"}] * 450)
    headers = {"Sforce-Query-Options": "batchSize=200"}
    soql = {"q": "SELECT Id FROM Contact"}
    body = org.http.get(f"{DATA}/query", params=soql, headers=headers).json()
    assert len(body["records"]) == 200
    assert org.refusal(org.get("query/01gNonsense-200")) == (400, "INVALID_QUERY_LOCATOR")


def test_new_records_do_not_disturb_an_open_query(org: Org) -> None:
    store.insert_many(org.world, "Contact", [{"LastName": f"b{number:04d}"} for number in range(2100)])
    body = org.get("query", q="SELECT LastName FROM Contact ORDER BY LastName").json()
    org.create("Contact", LastName="a")
    rest = org.http.get(body["nextRecordsUrl"]).json()
    assert [rest["records"][0]["LastName"], len(rest["records"])] == ["b2000", 100]


def test_days_are_those_of_the_running_user(org: Org) -> None:
    # 23:30 UTC of a day is the next day in Berlin.
    now = org.world.clock.now_ms()
    late = now - now % 86_400_000 + 23 * 3_600_000 + 30 * 60_000
    org.world.settings["sf_session_seconds"] = 10**6
    org.world.clock.offset_ms += late - now + 86_400_000
    org.create("Contact", LastName="late")
    org.world.clock.offset_ms += 2 * 3_600_000
    assert org.column("SELECT LastName FROM Contact WHERE CreatedDate = TODAY") == ["late"]


WORDS = [
    "SELECT",
    "Id",
    ",",
    "(",
    ")",
    "FROM",
    "Contact",
    "WHERE",
    "AND",
    "OR",
    "NOT",
    "IN",
    "LIKE",
    "=",
    "!=",
    "<",
    ">",
    "'x'",
    "'%'",
    "5",
    "null",
    "true",
    "TODAY",
    "LAST_N_DAYS",
    ":",
    "3",
    "Account.Name",
    "Owner.Name",
    "LastName",
    "CreatedDate",
    "MailingAddress",
    "Email",
    "ORDER",
    "BY",
    "DESC",
    "LIMIT",
    "1",
    "OFFSET",
    "GROUP",
    "COUNT",
    "(",
    "Id",
    ")",
    "FIELDS",
    "ALL",
    "ROWS",
    "Contacts",
    "Account",
    "2026-01-01",
    "2026-01-01T00:00:00Z",
    "What.Name",
    "Event",
    "Who.Foo",
    "Name",
    "a.b.c",
    "''",
    "MAX",
    "LIMIT",
    "99999999999999999999",
]
STARTS = (
    "SELECT Id FROM Contact WHERE",
    "SELECT Id, Name FROM Account ORDER BY",
    "SELECT",
    "SELECT COUNT(Id) FROM Contact GROUP BY",
)


def test_whatever_is_asked_is_answered_or_refused() -> None:
    world = open_world(None)
    user = store.add_user(world, "a@acme.example", "A B", "UTC", "a")
    store.insert_many(world, "Contact", [{"LastName": "x"}])
    dice, answered, refused = random.Random(3), 0, 0
    for _ in range(8000):
        text = " ".join([dice.choice(STARTS), *dice.choices(WORDS, k=dice.randint(1, 7))])
        try:
            soql_run.run(world, soql_run.Cursors(), text, user=user, version="62.0", everything=False)
            answered += 1
        except SfError:
            refused += 1
    assert answered > 20
    assert refused > 7000
    world.db.close()
