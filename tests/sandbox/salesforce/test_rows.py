"""Rows one by one and in collections: what is stored, what is computed, and every refusal by its name."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from engine.sandbox.kit.world import open_world
from engine.sandbox.salesforce import ids, store
from tests.sandbox.salesforce.conftest import DATA, Org

CONTACT = {"attributes": {"type": "Contact"}}


def test_ids_of_15_and_18_characters_mean_the_same() -> None:
    assert ids.checksum("001A0000006Vm9r") == "IAC"
    assert ids.normal("001A0000006Vm9r") == "001A0000006Vm9rIAC"
    assert ids.normal("001A0000006Vm9rAAA") is None
    assert ids.normal("short") is None
    assert len({ids.make("003", number) for number in range(5000)}) == 5000


def test_a_new_contact_has_system_fields_a_name_and_an_owner(org: Org) -> None:
    record_id = org.create(
        "Contact", FirstName="Ann", LastName=" Ünal ", MailingCity="Bonn", Email="a@b.example"
    )
    row = org.get(f"sobjects/Contact/{record_id[:15]}").json()
    assert row["Id"] == record_id
    assert record_id.startswith("003")
    assert (row["Name"], row["LastName"]) == ("Ann Ünal", "Ünal")
    assert row["OwnerId"] == row["CreatedById"] == org.user
    assert row["SystemModstamp"].endswith("+0000")
    assert row["IsDeleted"] is False
    assert row["MailingAddress"]["city"] == "Bonn"
    assert row["OtherAddress"] is None


def test_reading_chosen_fields(org: Org) -> None:
    record_id = org.create("Lead", LastName="Li", Company="Acme")
    row = org.get(f"sobjects/Lead/{record_id}", fields="Company,Status").json()
    assert row == {
        "attributes": {"type": "Lead", "url": f"{DATA}/sobjects/Lead/{record_id}"},
        "Company": "Acme",
        "Status": "Open - Not Contacted",
    }


def test_an_update_changes_the_named_fields_and_the_stamp(org: Org) -> None:
    record_id = org.create("Contact", LastName="Li", Phone="1", Title="CEO")
    before = org.get(f"sobjects/Contact/{record_id}").json()
    assert org.patch(f"sobjects/Contact/{record_id}", {"Phone": None, "lastname": "Lee"}).status_code == 204
    after = org.get(f"sobjects/Contact/{record_id}").json()
    assert (after["Phone"], after["Name"], after["Title"]) == (None, "Lee", "CEO")
    assert after["SystemModstamp"] > before["SystemModstamp"]


def test_two_edits_within_one_second_have_different_stamps_unless_the_org_counts_seconds(org: Org) -> None:
    path = f"sobjects/Contact/{org.create('Contact', LastName='Li')}"

    def edit(phone: str) -> str:
        org.patch(path, {"Phone": phone})
        return str(org.get(path).json()["SystemModstamp"])

    assert len({edit(str(number)) for number in range(3)}) == 3
    org.world.settings["sf_whole_seconds"] = True
    assert edit("9").endswith(".000+0000")


@pytest.mark.parametrize(
    ("sobject", "body", "code"),
    [
        ("Contact", {"FirstName": "a"}, "REQUIRED_FIELD_MISSING"),
        ("Lead", {"LastName": "a"}, "REQUIRED_FIELD_MISSING"),
        ("Opportunity", {"Name": "a", "StageName": "Prospecting"}, "REQUIRED_FIELD_MISSING"),
        ("Event", {"Subject": "a"}, "REQUIRED_FIELD_MISSING"),
        ("Event", {"StartDateTime": "2026-11-21T08:00:00Z"}, "REQUIRED_FIELD_MISSING"),
        ("Contact", {"LastName": "a" * 81}, "STRING_TOO_LONG"),
        ("Contact", {"LastName": "a", "Email": "nonsense"}, "INVALID_EMAIL_ADDRESS"),
        ("Contact", {"LastName": "a", "AccountId": "xyz"}, "MALFORMED_ID"),
        ("Contact", {"LastName": "a", "AccountId": ids.make("005", 1)}, "MALFORMED_ID"),
        ("Contact", {"LastName": "a", "AccountId": ids.make("001", 99)}, "INVALID_CROSS_REFERENCE_KEY"),
        ("Contact", {"LastName": "a", "Name": "b"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        (
            "Contact",
            {"LastName": "a", "CreatedDate": "2026-11-21T08:00:00Z"},
            "INVALID_FIELD_FOR_INSERT_UPDATE",
        ),
        ("Contact", {"LastName": "a", "Nonsense__c": 1}, "INVALID_FIELD"),
        ("Contact", {"LastName": 5}, "JSON_PARSER_ERROR"),
        ("Contact", {"LastName": "a", "Birthdate": "tomorrow"}, "JSON_PARSER_ERROR"),
        ("Contact", {"LastName": "a", "DoNotCall": "yes"}, "JSON_PARSER_ERROR"),
        (
            "Opportunity",
            {"Name": "a", "StageName": "Odd", "CloseDate": "2026-11-21"},
            "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST",
        ),
        (
            "Event",
            {"StartDateTime": "2026-11-21T08:00:00Z", "EndDateTime": "2026-11-21T07:00:00Z"},
            "FIELD_INTEGRITY_EXCEPTION",
        ),
        (
            "Event",
            {"StartDateTime": "2026-11-21T08:00:00Z", "DurationInMinutes": 20_161},
            "FIELD_INTEGRITY_EXCEPTION",
        ),
    ],
)
def test_refused_creates(org: Org, sobject: str, body: dict[str, Any], code: str) -> None:
    assert org.refusal(org.post(f"sobjects/{sobject}", body)) == (400, code)
    assert org.query(f"SELECT Id FROM {sobject}") == []


def test_a_refusal_names_the_field(org: Org) -> None:
    assert org.post("sobjects/Contact", {"LastName": "x" * 81}).json() == [
        {
            "message": f"Last Name: data value too large: {'x' * 81} (max length=80)",
            "errorCode": "STRING_TOO_LONG",
            "fields": ["LastName"],
        }
    ]


def test_an_inactive_user_can_own_nothing(org: Org) -> None:
    other = store.add_user(org.world, "b@acme.example", "Bo", "UTC", "b")
    org.patch(f"sobjects/User/{other}", {"IsActive": False})
    answer = org.post("sobjects/Contact", {"LastName": "a", "OwnerId": other})
    assert org.refusal(answer) == (400, "INACTIVE_OWNER_OR_USER")


def test_a_deleted_record_is_gone_and_stays_in_the_recycle_bin(org: Org) -> None:
    record_id = org.create("Contact", LastName="Gone")
    path = f"sobjects/Contact/{record_id}"
    assert org.delete(path).status_code == 204
    assert org.refusal(org.get(path)) == (404, "NOT_FOUND")
    assert org.refusal(org.patch(path, {"Phone": "1"})) == (404, "ENTITY_IS_DELETED")
    assert org.refusal(org.delete(path)) == (404, "ENTITY_IS_DELETED")
    assert org.query("SELECT Id FROM Contact") == []
    (bin_row,) = org.query("SELECT IsDeleted, LastName FROM Contact", everything=True)
    assert (bin_row["IsDeleted"], bin_row["LastName"]) == (True, "Gone")
    org.world.settings["sf_session_seconds"] = 10**8
    org.world.clock.offset_ms += 16 * 86_400_000
    assert org.query("SELECT Id FROM Contact", everything=True) == []


def test_an_unknown_record_is_not_found(org: Org) -> None:
    for path in (f"sobjects/Contact/{ids.make('003', 9)}", "sobjects/Contact/x", "sobjects/Nonsense/x"):
        assert org.refusal(org.get(path)) == (404, "NOT_FOUND")


def test_upsert_by_the_external_id_creates_once_then_updates(org: Org) -> None:
    path = "sobjects/Contact/Syncline_Key__c/Key-1"
    first = org.patch(path, {"LastName": "a"})
    again = org.patch(path, {"LastName": "b"})
    assert (first.status_code, first.json()["created"]) == (201, True)
    assert (again.status_code, again.json()["created"]) == (200, False)
    assert first.json()["id"] == again.json()["id"]
    assert org.get(path).json()["LastName"] == "b"
    assert org.patch("sobjects/Contact/Syncline_Key__c/KEY-1", {"LastName": "c"}).status_code == 201
    assert org.delete(path).status_code == 204
    assert org.get(path).status_code == 404
    assert org.patch(path, {"LastName": "d"}).status_code == 201


def test_upsert_needs_an_external_id_field(org: Org) -> None:
    assert org.refusal(org.patch("sobjects/Contact/Title/x", {"LastName": "a"})) == (404, "NOT_FOUND")


def test_the_key_is_unique(org: Org) -> None:
    first = org.create("Contact", LastName="a", Syncline_Key__c="k")
    answer = org.post("sobjects/Contact", {"LastName": "b", "Syncline_Key__c": "k"})
    assert org.refusal(answer) == (400, "DUPLICATE_VALUE")
    assert first in answer.json()[0]["message"]


def test_a_parent_may_be_named_by_its_external_id(org: Org) -> None:
    account = org.create("Account", Name="Acme", Syncline_Key__c="acme")
    org.create("Contact", LastName="a", Account={"Syncline_Key__c": "acme"})
    assert org.column("SELECT AccountId FROM Contact") == [account]


def test_a_row_that_changed_since_is_not_written(org: Org) -> None:
    record_id = org.create("Contact", LastName="a")
    path = f"sobjects/Contact/{record_id}"
    seen = org.get(path).headers["Last-Modified"]
    assert org.patch(path, {"Phone": "1"}, **{"If-Unmodified-Since": seen}).status_code == 204
    org.world.clock.offset_ms += 2000
    assert org.patch(path, {"Phone": "2"}).status_code == 204
    answer = org.patch(path, {"Phone": "3"}, **{"If-Unmodified-Since": seen})
    assert org.refusal(answer) == (412, "PRECONDITION_FAILED")
    assert org.column("SELECT Phone FROM Contact") == ["2"]


# -- what the server computes ------------------------------------------------------------------------------


def test_end_and_duration_of_an_event_follow_each_other(org: Org) -> None:
    record_id = org.create(
        "Event", Subject="s", StartDateTime="2026-11-21T09:00:00+01:00", DurationInMinutes=30
    )
    path = f"sobjects/Event/{record_id}"
    assert org.get(path).json()["EndDateTime"] == "2026-11-21T08:30:00.000+0000"
    org.patch(path, {"EndDateTime": "2026-11-21T10:00:00Z"})
    assert org.get(path).json()["DurationInMinutes"] == 120
    org.patch(path, {"StartDateTime": "2026-11-22T08:00:00Z"})
    row = org.get(path).json()
    assert (row["EndDateTime"], row["ActivityDate"]) == ("2026-11-22T10:00:00.000+0000", "2026-11-22")


def test_an_all_day_event_ends_on_its_last_day(org: Org) -> None:
    record_id = org.create("Event", IsAllDayEvent=True, ActivityDate="2026-11-21")
    row = org.get(f"sobjects/Event/{record_id}").json()
    assert (row["StartDateTime"], row["DurationInMinutes"]) == ("2026-11-21T00:00:00.000+0000", 1440)
    assert row["EndDate"] == "2026-11-21"
    org.patch(f"sobjects/Event/{record_id}", {"DurationInMinutes": 2880})
    assert org.get(f"sobjects/Event/{record_id}").json()["EndDate"] == "2026-11-22"


def test_a_phone_call_is_a_task_of_its_own_subtype(org: Org) -> None:
    record_id = org.create(
        "Task",
        Subject="Call Li",
        TaskSubtype="Call",
        CallDurationInSeconds=600,
        IsReminderSet=True,
        ReminderDateTime="2026-11-21T08:00:00Z",
        ActivityDate="2026-11-21",
        Status="Completed",
    )
    row = org.get(f"sobjects/Task/{record_id}").json()
    assert (row["TaskSubtype"], row["CallDurationInSeconds"], row["IsClosed"]) == ("Call", 600, True)
    refused = org.patch(f"sobjects/Task/{record_id}", {"TaskSubtype": "Task"})
    assert org.refusal(refused) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


def test_stages_and_statuses_close(org: Org) -> None:
    won = org.create("Opportunity", Name="a", StageName="Closed Won", CloseDate="2026-11-21", Amount=12.5)
    row = org.get(f"sobjects/Opportunity/{won}").json()
    assert (row["IsClosed"], row["IsWon"], row["Probability"], row["Amount"]) == (True, True, 100.0, 12.5)
    case = org.create("Case", Subject="x")
    assert org.get(f"sobjects/Case/{case}").json()["CaseNumber"].isdigit()
    org.patch(f"sobjects/Case/{case}", {"Status": "Closed"})
    assert org.get(f"sobjects/Case/{case}").json()["IsClosed"] is True


# -- collections -------------------------------------------------------------------------------------------


def test_a_collection_answers_row_by_row_in_order(org: Org) -> None:
    rows = [{**CONTACT, "LastName": "a"}, {**CONTACT, "FirstName": "b"}, {**CONTACT, "LastName": "c"}]
    results = org.post("composite/sobjects", {"records": rows}).json()
    assert [each["success"] for each in results] == [True, False, True]
    assert results[1] == {
        "success": False,
        "errors": [
            {
                "statusCode": "REQUIRED_FIELD_MISSING",
                "message": "Required fields are missing: [LastName]",
                "fields": ["LastName"],
            }
        ],
    }
    assert org.column("SELECT LastName FROM Contact ORDER BY LastName") == ["a", "c"]


def test_all_or_none_leaves_nothing_of_a_collection(org: Org) -> None:
    rows = [{**CONTACT, "LastName": "a"}, {**CONTACT, "FirstName": "b"}]
    results = org.post("composite/sobjects", {"records": rows, "allOrNone": True}).json()
    codes = [each["errors"][0]["statusCode"] for each in results]
    assert codes == ["ALL_OR_NONE_OPERATION_ROLLED_BACK", "REQUIRED_FIELD_MISSING"]
    assert org.query("SELECT Id FROM Contact") == []


def test_a_collection_holds_at_most_200(org: Org) -> None:
    rows = [{**CONTACT, "LastName": "a"}] * 201
    assert org.refusal(org.post("composite/sobjects", {"records": rows})) == (400, "EXCEEDED_ID_LIMIT")


def test_upserting_a_collection_twice_gives_the_same_records(org: Org) -> None:
    rows = [{**CONTACT, "LastName": "a", "Syncline_Key__c": f"k{number}"} for number in range(200)]
    path = "composite/sobjects/Contact/Syncline_Key__c"
    first, again = (org.patch(path, {"records": rows, "allOrNone": False}).json() for _ in range(2))
    assert all(each["created"] for each in first)
    assert not any(each["created"] for each in again)
    assert [each["id"] for each in first] == [each["id"] for each in again]


def test_a_key_named_twice_in_one_upsert_is_refused_both_times(org: Org) -> None:
    rows = [{**CONTACT, "LastName": "a", "Syncline_Key__c": "k"}] * 2
    results = org.patch("composite/sobjects/Contact/Syncline_Key__c", {"records": rows}).json()
    assert [each["errors"][0]["statusCode"] for each in results] == ["DUPLICATE_EXTERNAL_ID"] * 2


def test_updating_and_deleting_a_collection(org: Org) -> None:
    one, two = org.create("Contact", LastName="a"), org.create("Contact", LastName="b")
    missing = ids.make("003", 77)
    rows = [{**CONTACT, "id": record_id, "Phone": "5"} for record_id in (one, missing, two)]
    results = org.patch("composite/sobjects", {"records": rows}).json()
    assert [each["success"] for each in results] == [True, False, True]
    assert results[1]["errors"][0]["statusCode"] == "INVALID_CROSS_REFERENCE_KEY"
    assert org.column("SELECT Phone FROM Contact") == ["5", "5"]
    results = org.delete(f"composite/sobjects?ids={one},{missing}&allOrNone=false").json()
    assert [each["success"] for each in results] == [True, False]
    results = org.delete(f"composite/sobjects?ids={one},{two}&allOrNone=true").json()
    assert [each["errors"][0]["statusCode"] for each in results] == [
        "ENTITY_IS_DELETED",
        "ALL_OR_NONE_OPERATION_ROLLED_BACK",
    ]
    assert org.column("SELECT Id FROM Contact") == [two]


def test_retrieving_a_collection_keeps_the_order_and_shows_gaps(org: Org) -> None:
    one, two = org.create("Contact", LastName="a"), org.create("Contact", LastName="b")
    wanted = [two, ids.make("003", 77), one]
    body = {"ids": wanted, "fields": ["LastName"]}
    for answer in (
        org.post("composite/sobjects/Contact", body),
        org.get("composite/sobjects/Contact", ids=",".join(wanted), fields="LastName"),
    ):
        assert [each and each["LastName"] for each in answer.json()] == ["b", None, "a"]


# -- composite ---------------------------------------------------------------------------------------------


def test_a_composite_request_uses_earlier_answers_and_counts_once(org: Org) -> None:
    parts = [
        {"method": "POST", "url": f"{DATA}/sobjects/Account", "referenceId": "acc", "body": {"Name": "Acme"}},
        {
            "method": "POST",
            "url": f"{DATA}/sobjects/Contact",
            "referenceId": "con",
            "body": {"LastName": "Li", "AccountId": "@{acc.id}"},
        },
        {
            "method": "GET",
            "url": f"{DATA}/query?q=SELECT+Account.Name+FROM+Contact+WHERE+Id='@{{con.id}}'",
            "referenceId": "back",
        },
    ]
    used = org.get("limits").headers["Sforce-Limit-Info"]
    answer = org.post("composite", {"compositeRequest": parts, "allOrNone": True})
    replies = answer.json()["compositeResponse"]
    assert [each["httpStatusCode"] for each in replies] == [201, 201, 200]
    assert replies[2]["body"]["records"][0]["Account"]["Name"] == "Acme"
    assert (used, answer.headers["Sforce-Limit-Info"]) == ("api-usage=1/100000", "api-usage=2/100000")


def test_a_failed_composite_leaves_nothing_when_all_or_none(org: Org) -> None:
    parts = [
        {"method": "POST", "url": f"{DATA}/sobjects/Account", "referenceId": "a", "body": {"Name": "Acme"}},
        {"method": "POST", "url": f"{DATA}/sobjects/Contact", "referenceId": "b", "body": {}},
        {"method": "GET", "url": f"{DATA}/sobjects/Account/@{{b.id}}", "referenceId": "c"},
    ]
    replies = org.post("composite", {"compositeRequest": parts, "allOrNone": True}).json()["compositeResponse"]
    assert [each["body"][0]["errorCode"] for each in replies] == [
        "PROCESSING_HALTED",
        "REQUIRED_FIELD_MISSING",
        "PROCESSING_HALTED",
    ]
    assert org.query("SELECT Id FROM Account") == []
    replies = org.post("composite", {"compositeRequest": parts}).json()["compositeResponse"]
    assert [each["httpStatusCode"] for each in replies] == [201, 400, 400]
    assert len(org.query("SELECT Id FROM Account")) == 1


def test_a_composite_request_is_limited(org: Org) -> None:
    part = {"method": "GET", "url": f"{DATA}/limits"}
    query = {"method": "GET", "url": f"{DATA}/query?q=SELECT+Id+FROM+User"}
    for one, count in ((part, 26), (query, 6)):
        many = [{**one, "referenceId": f"r{number}"} for number in range(count)]
        (reply,) = org.post("composite", {"compositeRequest": many}).json()["compositeResponse"]
        assert (reply["httpStatusCode"], reply["referenceId"]) == (400, None)
        assert reply["body"][0]["errorCode"] == "LIMIT_EXCEEDED"


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("composite", {"compositeRequest": ["x"]}),
        ("composite", {}),
        ("composite/batch", {"batchRequests": [1]}),
        ("composite/sobjects", {"records": {}}),
        ("composite/sobjects/Contact", {"ids": [], "fields": ["Id"]}),
        ("composite/sobjects/Contact", {"ids": ["x"], "fields": ["Id"]}),
    ],
)
def test_malformed_bodies_are_refused(org: Org, path: str, body: dict[str, Any]) -> None:
    assert org.post(path, body).status_code == 400
    assert org.http.post(f"{DATA}/{path}", content=b"{").json()[0]["errorCode"] == "JSON_PARSER_ERROR"


def test_a_batch_goes_on_after_an_error_unless_told(org: Org) -> None:
    parts = [
        {"method": "GET", "url": "v62.0/sobjects/Nonsense/describe"},
        {"method": "POST", "url": "v62.0/sobjects/Contact", "richInput": {"LastName": "a"}},
    ]
    body = org.post("composite/batch", {"batchRequests": parts}).json()
    assert body["hasErrors"] is True
    assert [each["statusCode"] for each in body["results"]] == [404, 201]
    body = org.post("composite/batch", {"batchRequests": parts, "haltOnError": True}).json()
    assert [each["statusCode"] for each in body["results"]] == [404, 412]


# -- describe, feeds, restart ------------------------------------------------------------------------------


def test_describe_tells_lengths_rights_references_and_the_key(org: Org) -> None:
    body = org.get("sobjects/Contact/describe").json()
    fields = {each["name"]: each for each in body["fields"]}
    assert body["keyPrefix"] == "003"
    assert (fields["LastName"]["length"], fields["LastName"]["nillable"]) == (80, False)
    assert (fields["AccountId"]["referenceTo"], fields["AccountId"]["relationshipName"]) == (
        ["Account"],
        "Account",
    )
    assert not fields["Name"]["createable"]
    key = fields["Syncline_Key__c"]
    assert (key["externalId"], key["unique"], key["caseSensitive"], key["custom"]) == (True, True, True, True)
    event = org.get("sobjects/Event/describe").json()["fields"]
    types = next(each for each in event if each["name"] == "Type")
    assert "Service Call" in [each["value"] for each in types["picklistValues"]]


def test_updated_and_deleted_lists(org: Org) -> None:
    kept, gone = org.create("Contact", LastName="a"), org.create("Contact", LastName="b")
    org.delete(f"sobjects/Contact/{gone}")
    now = org.world.clock.now_ms() // 1000

    def stamp(seconds: int) -> str:
        return datetime.fromtimestamp(now + seconds, UTC).isoformat()

    span = {"start": stamp(-600), "end": stamp(60)}
    assert org.get("sobjects/Contact/updated", **span).json()["ids"] == [kept]
    deleted = org.get("sobjects/Contact/deleted", **span).json()
    assert [each["id"] for each in deleted["deletedRecords"]] == [gone]
    assert deleted["latestDateCovered"] > deleted["earliestDateAvailable"]
    for name, days in (("updated", 31), ("deleted", 16)):
        old = {"start": stamp(-days * 86_400), "end": stamp(0)}
        assert org.refusal(org.get(f"sobjects/Contact/{name}", **old)) == (400, "INVALID_REPLICATION_DATE")


def test_state_survives_a_restart(tmp_path: Any) -> None:
    world = open_world(tmp_path)
    store.add_user(world, "a@acme.example", "A B", "UTC", "a")
    first = store.insert_many(world, "Contact", [{"LastName": "x"}])[0]
    world.db.close()
    world = open_world(tmp_path)
    second = store.insert_many(world, "Contact", [{"LastName": "y"}])[0]
    assert first != second
    assert world.db.execute("SELECT COUNT(*) FROM sf_Contact").fetchone()[0] == 2
    world.db.close()
