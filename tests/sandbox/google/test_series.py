"""Calendar: series, their occurrences and exceptions, expansion across clock changes."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.google.conftest import Google
from tests.sandbox.google.test_calendar import meeting, pages, refusal

WEEKLY = ["RRULE:FREQ=WEEKLY;COUNT=4"]


@pytest.fixture
def events(google: Google) -> Any:
    return google.service("calendar").events()


def make(events: Any, **changes: Any) -> dict[str, Any]:
    body = meeting(recurrence=WEEKLY, **changes)
    made: dict[str, Any] = events.insert(calendarId="primary", body=body).execute()
    return made


def occurrences(events: Any, series: str, **query: Any) -> list[dict[str, Any]]:
    found = events.instances(calendarId="primary", eventId=series, **query).execute()["items"]
    assert all(one["recurringEventId"] == series for one in found)
    return list(found)


def test_occurrences_have_the_ids_of_their_original_start(events: Any) -> None:
    series = make(events, id="repeat01")
    found = occurrences(events, "repeat01")
    assert [one["id"] for one in found] == [f"repeat01_202611{day}T090000Z" for day in ("23", "30")] + [
        f"repeat01_202612{day}T090000Z" for day in ("07", "14")
    ]
    assert found[0]["originalStartTime"] == series["start"]
    start = found[1]["start"]["dateTime"]
    assert [one["id"] for one in occurrences(events, "repeat01", originalStart=start)] == [found[1]["id"]]
    one = events.get(calendarId="primary", eventId=found[2]["id"]).execute()
    assert one["end"]["dateTime"] == "2026-12-07T11:00:00+01:00"
    assert refusal(events.get(calendarId="primary", eventId="repeat01_20261208T090000Z")) == (404, "notFound")
    single = events.insert(calendarId="primary", body=meeting()).execute()
    assert refusal(events.instances(calendarId="primary", eventId=single["id"])) == (400, "invalid")


def test_wall_time_stays_over_a_clock_change(events: Any) -> None:
    start = {"dateTime": "2026-10-19T10:00:00", "timeZone": "Europe/Zurich"}
    end = {"dateTime": "2026-10-19T11:00:00", "timeZone": "Europe/Zurich"}
    series = make(events, start=start, end=end)
    assert [one["start"]["dateTime"] for one in occurrences(events, series["id"])] == [
        "2026-10-19T10:00:00+02:00",
        "2026-10-26T10:00:00+01:00",
        "2026-11-02T10:00:00+01:00",
        "2026-11-09T10:00:00+01:00",
    ]


def test_a_moved_and_a_cancelled_occurrence(events: Any) -> None:
    series = make(events)
    _, token = pages(events)
    second, third = (one["id"] for one in occurrences(events, series["id"])[1:3])
    times = {
        "start": {"dateTime": "2026-12-01T15:00:00", "timeZone": "Europe/Zurich"},
        "end": {"dateTime": "2026-12-01T16:00:00", "timeZone": "Europe/Zurich"},
    }
    moved = events.patch(calendarId="primary", eventId=second, body=times).execute()
    assert moved["originalStartTime"]["dateTime"] == "2026-11-30T10:00:00+01:00"
    events.delete(calendarId="primary", eventId=third).execute()
    assert refusal(events.delete(calendarId="primary", eventId=third)) == (410, "deleted")
    delta, token = pages(events, syncToken=token)
    assert [(one["id"], one["status"]) for one in delta] == [(second, "confirmed"), (third, "cancelled")]
    assert set(delta[1]) == {"kind", "etag", "id", "status", "recurringEventId", "originalStartTime"}
    # Without deleted events a list still names the cancelled occurrences of living series.
    full, _ = pages(events)
    assert sorted(one["id"] for one in full) == sorted([series["id"], second, third])
    expanded = events.list(calendarId="primary", singleEvents=True, orderBy="startTime").execute()["items"]
    assert [one["start"]["dateTime"][:10] for one in expanded] == ["2026-11-23", "2026-12-01", "2026-12-14"]
    assert len(occurrences(events, series["id"])) == 3
    assert len(occurrences(events, series["id"], showDeleted=True)) == 4


def test_a_cancelled_occurrence_can_come_back(events: Any) -> None:
    series = make(events)
    second = occurrences(events, series["id"])[1]["id"]
    events.delete(calendarId="primary", eventId=second).execute()
    back = events.patch(calendarId="primary", eventId=second, body={"status": "confirmed"}).execute()
    assert (back["summary"], back["start"]["dateTime"]) == ("Review", "2026-11-30T10:00:00+01:00")


def test_a_change_of_the_series_reaches_exceptions_that_did_not_override_it(events: Any) -> None:
    series = make(events, location="Room 1")
    second, third = (one["id"] for one in occurrences(events, series["id"])[1:3])
    events.patch(calendarId="primary", eventId=second, body={"summary": "Special"}).execute()
    events.patch(calendarId="primary", eventId=third, body={"location": "Room 9"}).execute()
    patch = {"summary": "Renamed", "location": "Room 2"}
    events.patch(calendarId="primary", eventId=series["id"], body=patch).execute()
    found = [(one["summary"], one["location"]) for one in occurrences(events, series["id"])]
    assert sorted(found) == sorted(
        [("Renamed", "Room 2"), ("Special", "Room 2"), ("Renamed", "Room 9"), ("Renamed", "Room 2")]
    )


def test_moving_the_series_drops_its_exceptions(events: Any) -> None:
    series = make(events)
    second = occurrences(events, series["id"])[1]["id"]
    events.patch(calendarId="primary", eventId=second, body={"summary": "Special"}).execute()
    times = {
        "start": {"dateTime": "2026-11-24T10:00:00", "timeZone": "Europe/Zurich"},
        "end": {"dateTime": "2026-11-24T11:00:00", "timeZone": "Europe/Zurich"},
    }
    _, token = pages(events)
    changed = events.patch(calendarId="primary", eventId=series["id"], body=times).execute()
    told = {one["id"]: one["status"] for one in pages(events, syncToken=token)[0]}
    assert told == {series["id"]: "confirmed", second: "cancelled"}
    assert changed["sequence"] == series["sequence"] + 1
    assert {one["summary"] for one in occurrences(events, series["id"])} == {"Review"}


def test_deleting_the_series_takes_everything_along(events: Any) -> None:
    series = make(events)
    second = occurrences(events, series["id"])[1]["id"]
    events.patch(calendarId="primary", eventId=second, body={"summary": "Special"}).execute()
    _, token = pages(events)
    events.delete(calendarId="primary", eventId=series["id"]).execute()
    delta, _ = pages(events, syncToken=token)
    assert sorted((one["id"], one["status"]) for one in delta) == sorted(
        [(series["id"], "cancelled"), (second, "cancelled")]
    )


@pytest.mark.parametrize(
    ("recurrence", "days"),
    [
        (["RRULE:FREQ=DAILY;UNTIL=20261125T090000Z"], ["23", "24", "25"]),
        (["RRULE:FREQ=DAILY;UNTIL=20261125"], ["23", "24", "25"]),
        (["RRULE:FREQ=DAILY;COUNT=4", "EXDATE;TZID=Europe/Zurich:20261124T100000"], ["23", "25", "26"]),
        (["RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20261124T090000Z"], ["23", "25"]),
        (["RRULE:FREQ=WEEKLY;BYDAY=MO,WE;COUNT=3"], ["23", "25", "30"]),
        (["RDATE;TZID=Europe/Zurich:20261127T100000"], ["23", "27"]),
    ],
)
def test_rules(events: Any, recurrence: list[str], days: list[str]) -> None:
    made = events.insert(calendarId="primary", body=meeting(recurrence=recurrence)).execute()
    assert [one["start"]["dateTime"][8:10] for one in occurrences(events, made["id"])] == days


def test_all_day_series_and_windows(events: Any) -> None:
    body = meeting(start={"date": "2026-11-01"}, end={"date": "2026-11-02"}, recurrence=["RRULE:FREQ=MONTHLY"])
    made = events.insert(calendarId="primary", body=body).execute()
    found = occurrences(events, made["id"], timeMin="2027-01-15T00:00:00Z", timeMax="2027-04-15T00:00:00Z")
    assert [one["id"].split("_")[1] for one in found] == ["20270201", "20270301", "20270401"]
    # An endless series is in every later window.
    late = events.list(calendarId="primary", timeMin="2030-01-01T00:00:00Z").execute()["items"]
    assert [one["id"] for one in late] == [made["id"]]
