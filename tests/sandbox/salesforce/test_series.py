"""Event series: occurrences across summer time, exceptions, cancelled occurrences, changes of the series."""

from __future__ import annotations

from typing import Any

import pytest

from engine.sandbox.salesforce import store
from tests.sandbox.salesforce.conftest import Org

WEEKLY = {
    "Subject": "Jour fixe",
    "StartDateTime": "2026-03-23T08:00:00Z",
    "DurationInMinutes": 30,
    "IsRecurrence2": True,
    "Recurrence2PatternText": "RRULE:FREQ=WEEKLY;COUNT=4",
    "Recurrence2PatternTimeZone": "Europe/Berlin",
}


def children(org: Org, series: str, fields: str = "Id, Subject, StartDateTime, EndDateTime, IsDeleted, "
             "IsRecurrence2Exception, Syncline_Occurrence__c", everything: bool = False) -> list[dict[str, Any]]:  # fmt: skip
    soql = f"SELECT {fields} FROM Event WHERE RecurrenceActivityId = '{series}' ORDER BY StartDateTime"
    return org.query(soql, everything=everything)


def starts(org: Org, series: str) -> list[str]:
    return [row["StartDateTime"][:16] for row in children(org, series)]


def test_a_series_has_a_record_and_its_occurrences_in_wall_time(org: Org) -> None:
    series = org.create("Event", **WEEKLY)
    row = org.get(f"sobjects/Event/{series}").json()
    assert (row["IsRecurrence2"], row["GroupEventType"], row["Recurrence2PatternVersion"]) == (True, "3", "1")
    assert row["Recurrence2PatternText"] == "RRULE:FREQ=WEEKLY;COUNT=4"
    # Summer time begins on 29 March: nine o'clock in Berlin is then an hour earlier in UTC.
    assert starts(org, series) == [
        "2026-03-23T08:00",
        "2026-03-30T07:00",
        "2026-04-06T07:00",
        "2026-04-13T07:00",
    ]
    first = children(org, series)[0]
    assert first["Subject"] == "Jour fixe"
    assert first["EndDateTime"] == "2026-03-23T08:30:00.000+0000"
    assert first["Syncline_Occurrence__c"] == first["StartDateTime"]


@pytest.mark.parametrize(
    ("text", "listed"),
    [
        ("RRULE:FREQ=DAILY;INTERVAL=2;COUNT=3", ["2026-03-23", "2026-03-25", "2026-03-27"]),
        ("RRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=3", ["2026-03-23", "2026-03-25", "2026-03-30"]),
        ("RRULE:FREQ=MONTHLY;BYDAY=-1FR;COUNT=2", ["2026-03-27", "2026-04-24"]),
        ("RRULE:FREQ=YEARLY;COUNT=2", ["2026-03-23", "2027-03-23"]),
        ("RRULE:FREQ=WEEKLY;UNTIL=20260406T070000Z", ["2026-03-23", "2026-03-30", "2026-04-06"]),
    ],
)
def test_patterns(org: Org, text: str, listed: list[str]) -> None:
    series = org.create("Event", **{**WEEKLY, "Recurrence2PatternText": text})
    assert [start[:10] for start in starts(org, series)] == listed


def test_an_endless_rule_lists_500_occurrences(org: Org) -> None:
    series = org.create("Event", **{**WEEKLY, "Recurrence2PatternText": "RRULE:FREQ=DAILY"})
    assert len(children(org, series)) == 500


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"Recurrence2PatternText": None}, "REQUIRED_FIELD_MISSING"),
        ({"Recurrence2PatternText": "FREQ=DAILY"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Recurrence2PatternText": "RRULE:FREQ=HOURLY;COUNT=2"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Recurrence2PatternText": "RRULE:FREQ=DAILY\nEXDATE:20260324T080000Z"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Recurrence2PatternText": "RRULE:FREQ=WEEKLY;BYDAY=XX"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"Recurrence2PatternTimeZone": "Mars/Base"}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"IsRecurrence2": False}, "FIELD_INTEGRITY_EXCEPTION"),
        ({"GroupEventType": "3"}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
    ],
)
def test_refused_series(org: Org, change: dict[str, Any], code: str) -> None:
    assert org.refusal(org.post("sobjects/Event", {**WEEKLY, **change})) == (400, code)
    assert org.query("SELECT Id FROM Event") == []


def test_a_changed_occurrence_is_an_exception_and_survives_a_change_of_the_series(org: Org) -> None:
    series = org.create("Event", **WEEKLY)
    second = children(org, series)[1]
    org.patch(f"sobjects/Event/{second['Id']}", {"StartDateTime": "2026-03-31T10:00:00Z"})
    org.patch(f"sobjects/Event/{series}", {"Subject": "Renamed"})
    rows = children(org, series)
    assert [row["Subject"] for row in rows] == ["Renamed", "Jour fixe", "Renamed", "Renamed"]
    moved = rows[1]
    assert moved["IsRecurrence2Exception"] is True
    assert moved["Syncline_Occurrence__c"] == "2026-03-30T07:00:00.000+0000"
    assert moved["EndDateTime"] == "2026-03-31T10:30:00.000+0000"


def test_a_deleted_occurrence_is_cancelled_and_does_not_come_back(org: Org) -> None:
    series = org.create("Event", **WEEKLY)
    third = children(org, series)[2]
    org.delete(f"sobjects/Event/{third['Id']}")
    org.patch(f"sobjects/Event/{series}", {"StartDateTime": "2026-03-23T09:00:00Z"})
    assert starts(org, series) == ["2026-03-23T09:00", "2026-03-30T08:00", "2026-04-13T08:00"]
    (cancelled,) = [row for row in children(org, series, everything=True) if row["IsDeleted"]]
    assert (cancelled["Id"], cancelled["Syncline_Occurrence__c"]) == (third["Id"], third["StartDateTime"])


def test_a_longer_or_shorter_rule_adds_and_removes_occurrences_and_keeps_the_others(org: Org) -> None:
    series = org.create("Event", **WEEKLY)
    before = [row["Id"] for row in children(org, series)]
    org.patch(f"sobjects/Event/{series}", {"Recurrence2PatternText": "RRULE:FREQ=WEEKLY;COUNT=6"})
    assert [row["Id"] for row in children(org, series)][:4] == before
    assert len(children(org, series)) == 6
    org.patch(f"sobjects/Event/{series}", {"Recurrence2PatternText": "RRULE:FREQ=WEEKLY;COUNT=2"})
    assert [row["Id"] for row in children(org, series)] == before[:2]


def test_the_pattern_of_an_occurrence_cannot_be_written(org: Org) -> None:
    series = org.create("Event", **WEEKLY)
    one = children(org, series)[0]["Id"]
    answer = org.patch(f"sobjects/Event/{one}", {"Recurrence2PatternText": "RRULE:FREQ=DAILY;COUNT=2"})
    assert org.refusal(answer) == (400, "INVALID_FIELD_FOR_INSERT_UPDATE")


def test_a_single_event_can_become_a_series_but_not_the_other_way(org: Org) -> None:
    pattern = {name: value for name, value in WEEKLY.items() if "ecurrence" in name}
    event = org.create("Event", **{name: value for name, value in WEEKLY.items() if name not in pattern})
    assert org.patch(f"sobjects/Event/{event}", pattern).status_code == 204
    assert len(children(org, event)) == 4
    answer = org.patch(f"sobjects/Event/{event}", {"IsRecurrence2": False})
    assert org.refusal(answer) == (400, "FIELD_INTEGRITY_EXCEPTION")


def test_deleting_the_series_deletes_its_occurrences(org: Org) -> None:
    series = org.create("Event", **WEEKLY)
    org.delete(f"sobjects/Event/{series}")
    assert org.query("SELECT Id FROM Event") == []
    assert len(org.query("SELECT Id FROM Event WHERE IsDeleted = true", everything=True)) == 5


def test_an_all_day_series_knows_no_zone(org: Org) -> None:
    fields = {
        **WEEKLY,
        "IsAllDayEvent": True,
        "StartDateTime": "2026-03-23T00:00:00Z",
        "DurationInMinutes": 1440,
    }
    series = org.create("Event", **fields)
    assert {start[10:] for start in starts(org, series)} == {"T00:00"}


def test_a_series_in_a_collection(org: Org) -> None:
    record = {"attributes": {"type": "Event"}, "Syncline_Key__c": "k", **WEEKLY}
    for created in (True, False):
        (result,) = org.patch("composite/sobjects/Event/Syncline_Key__c", {"records": [record]}).json()
        assert result["created"] is created
        assert len(children(org, result["id"])) == 4


def test_the_loader_makes_series_and_changes_occurrences(org: Org) -> None:
    (series,) = store.insert_many(org.world, "Event", [WEEKLY])
    original = ["2026-03-30T07:00:00Z", "2026-04-06T07:00:00Z"]
    store.move_occurrence(
        org.world, series, original[0], {"StartDateTime": "2026-03-31T07:00:00Z", "Subject": "Moved"}
    )
    store.cancel_occurrence(org.world, series, original[1])
    rows = children(org, series)
    assert [row["StartDateTime"][:10] for row in rows] == ["2026-03-23", "2026-03-31", "2026-04-13"]
    assert [row["IsRecurrence2Exception"] for row in rows] == [False, True, False]
    assert rows[1]["EndDateTime"] == "2026-03-31T07:30:00.000+0000"
    with pytest.raises(LookupError):
        store.cancel_occurrence(org.world, series, original[1])
