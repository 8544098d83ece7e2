"""Calendar: copies of invitations, replies, what only the organizer may do, mails."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sandbox.google.conftest import ANNA, BEN, Google
from tests.sandbox.google.test_calendar import meeting, pages, refusal

GUESTS = [{"email": BEN}, {"email": "visitor@elsewhere.org"}]


@pytest.fixture
def anna(google: Google) -> Any:
    return google.service("calendar", ANNA).events()


@pytest.fixture
def ben(google: Google) -> Any:
    return google.service("calendar", BEN).events()


def replies(event: dict[str, Any]) -> dict[str, str]:
    return {one["email"]: one["responseStatus"] for one in event["attendees"]}


def test_a_known_guest_gets_a_copy_and_answers_on_it(anna: Any, ben: Any) -> None:
    body = meeting(attendees=GUESTS, extendedProperties={"private": {"crm": "1"}, "shared": {"s": "2"}})
    made = anna.insert(calendarId="primary", body=body).execute()
    copy = ben.get(calendarId="primary", eventId=made["id"]).execute()
    assert (copy["iCalUID"], copy["organizer"]) == (made["iCalUID"], {"email": ANNA})
    assert [one.get("self", False) for one in copy["attendees"]] == [True, False]
    assert copy["extendedProperties"] == {"shared": {"s": "2"}}
    assert copy["start"] == {"dateTime": "2026-11-23T04:00:00-05:00", "timeZone": "Europe/Zurich"}
    answer = {"attendees": [{"email": BEN, "responseStatus": "accepted"}]}
    ben.patch(calendarId="primary", eventId=made["id"], body=answer).execute()
    seen = anna.get(calendarId="primary", eventId=made["id"]).execute()
    assert replies(seen) == {BEN: "accepted", "visitor@elsewhere.org": "needsAction"}
    assert seen["extendedProperties"]["private"] == {"crm": "1"}


def test_a_guest_may_not_change_what_is_shared(anna: Any, ben: Any) -> None:
    made = anna.insert(calendarId="primary", body=meeting(attendees=GUESTS)).execute()
    for body in ({"summary": "Mine"}, {"description": "x"}, {"location": "here"}):
        request = ben.patch(calendarId="primary", eventId=made["id"], body=body)
        assert refusal(request) == (403, "forbiddenForNonOrganizer")
    other = {"attendees": [{"email": BEN}, {"email": "visitor@elsewhere.org", "responseStatus": "declined"}]}
    assert refusal(ben.patch(calendarId="primary", eventId=made["id"], body=other))[0] == 403
    private = {
        "colorId": "3",
        "reminders": {"useDefault": False},
        "extendedProperties": {"private": {"a": "b"}},
    }
    mine = ben.patch(calendarId="primary", eventId=made["id"], body=private).execute()
    assert (mine["colorId"], mine["extendedProperties"]["private"]) == ("3", {"a": "b"})
    anna.patch(calendarId="primary", eventId=made["id"], body={"summary": "Changed"}).execute()
    mine = ben.get(calendarId="primary", eventId=made["id"]).execute()
    assert (mine["summary"], mine["colorId"]) == ("Changed", "3")


def test_guests_who_may_modify_do(anna: Any, ben: Any) -> None:
    made = anna.insert(calendarId="primary", body=meeting(attendees=GUESTS, guestsCanModify=True)).execute()
    ben.patch(calendarId="primary", eventId=made["id"], body={"summary": "Better"}).execute()
    assert anna.get(calendarId="primary", eventId=made["id"]).execute()["summary"] == "Better"


def test_disinviting_declining_and_cancelling(anna: Any, ben: Any) -> None:
    made = anna.insert(calendarId="primary", body=meeting(attendees=GUESTS)).execute()
    _, token = pages(ben)
    anna.patch(calendarId="primary", eventId=made["id"], body={"attendees": GUESTS[1:]}).execute()
    assert [one["status"] for one in pages(ben, syncToken=token)[0]] == ["cancelled"]
    anna.patch(calendarId="primary", eventId=made["id"], body={"attendees": GUESTS}).execute()
    assert [one["status"] for one in pages(ben, syncToken=token)[0]] == ["confirmed"]
    ben.delete(calendarId="primary", eventId=made["id"]).execute()
    assert replies(anna.get(calendarId="primary", eventId=made["id"]).execute())[BEN] == "declined"
    assert ben.list(calendarId="primary").execute()["items"] == []
    anna.patch(calendarId="primary", eventId=made["id"], body={"summary": "Again"}).execute()
    anna.delete(calendarId="primary", eventId=made["id"]).execute()
    assert ben.get(calendarId="primary", eventId=made["id"]).execute()["status"] == "cancelled"


def test_mails_are_sent_only_when_told(google: Google, anna: Any, ben: Any) -> None:
    counters = google.world.counters
    made = anna.insert(calendarId="primary", body=meeting(attendees=GUESTS)).execute()
    anna.patch(calendarId="primary", eventId=made["id"], body={"summary": "a"}, sendUpdates="none").execute()
    assert counters["google.mails"] == 0
    anna.patch(
        calendarId="primary", eventId=made["id"], body={"summary": "b"}, sendUpdates="externalOnly"
    ).execute()
    assert counters["google.mails"] == 1
    anna.delete(calendarId="primary", eventId=made["id"], sendUpdates="all").execute()
    rows = google.world.db.execute("SELECT kind, recipient FROM google_mails ORDER BY rowid").fetchall()
    assert [tuple(row) for row in rows] == [
        ("update", "visitor@elsewhere.org"),
        ("cancellation", BEN),
        ("cancellation", "visitor@elsewhere.org"),
    ]


def test_a_guest_of_a_series_sees_its_exceptions(anna: Any, ben: Any) -> None:
    body = meeting(attendees=GUESTS, recurrence=["RRULE:FREQ=DAILY;COUNT=3"])
    made = anna.insert(calendarId="primary", body=body).execute()
    second = anna.instances(calendarId="primary", eventId=made["id"]).execute()["items"][1]["id"]
    anna.patch(calendarId="primary", eventId=second, body={"summary": "Special"}).execute()
    found = ben.instances(calendarId="primary", eventId=made["id"]).execute()["items"]
    assert [one["summary"] for one in found] == ["Review", "Special", "Review"]
