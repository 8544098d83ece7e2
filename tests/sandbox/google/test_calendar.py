"""Calendar: ids, etags, sync tokens, paging, queries, validation, through google-api-python-client."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from googleapiclient.errors import HttpError

from tests.sandbox.google.conftest import ANNA, Google


def meeting(**changes: Any) -> dict[str, Any]:
    return {
        "summary": "Review",
        "start": {"dateTime": "2026-11-23T10:00:00", "timeZone": "Europe/Zurich"},
        "end": {"dateTime": "2026-11-23T11:00:00", "timeZone": "Europe/Zurich"},
        **changes,
    }


def refusal(request: Any) -> tuple[int, str]:
    with pytest.raises(HttpError) as caught:
        request.execute()
    details = caught.value.error_details
    return int(caught.value.resp.status), details[0]["reason"]


def pages(events: Any, **query: Any) -> tuple[list[dict[str, Any]], str]:
    items: list[dict[str, Any]] = []
    request = events.list(calendarId="primary", **query)
    while request is not None:
        page = request.execute()
        items += page["items"]
        assert ("nextPageToken" in page) != ("nextSyncToken" in page)
        request = events.list_next(request, page)
    return items, page["nextSyncToken"]


def test_own_ids_are_kept_and_refused_twice_even_after_deletion(google: Google) -> None:
    events = google.service("calendar").events()
    made = events.insert(calendarId="primary", body=meeting(id="0a1b2c3d4e")).execute()
    assert made["id"] == "0a1b2c3d4e"
    assert made["iCalUID"] == "0a1b2c3d4e@google.com"
    assert made["start"] == {"dateTime": "2026-11-23T10:00:00+01:00", "timeZone": "Europe/Zurich"}
    assert (made["status"], made["organizer"]["email"], made["sequence"]) == ("confirmed", ANNA, 0)
    assert refusal(events.insert(calendarId="primary", body=meeting(id="0a1b2c3d4e"))) == (409, "duplicate")
    events.delete(calendarId="primary", eventId="0a1b2c3d4e").execute()
    assert events.get(calendarId="primary", eventId="0a1b2c3d4e").execute()["status"] == "cancelled"
    assert refusal(events.insert(calendarId="primary", body=meeting(id="0a1b2c3d4e"))) == (409, "duplicate")
    assert refusal(events.delete(calendarId="primary", eventId="0a1b2c3d4e")) == (410, "deleted")
    for bad in ("abcd", "xyzxyz", "ABCDEF"):
        assert refusal(events.insert(calendarId="primary", body=meeting(id=bad))) == (400, "invalid")
    assert refusal(events.get(calendarId="primary", eventId="nothing")) == (404, "notFound")
    assert refusal(events.list(calendarId="ben@example.com")) == (404, "notFound")


def test_a_write_against_an_old_etag_is_refused(google: Google) -> None:
    events = google.service("calendar").events()
    made = events.insert(calendarId="primary", body=meeting()).execute()
    request = events.patch(calendarId="primary", eventId=made["id"], body={"summary": "A"})
    request.headers["If-Match"] = made["etag"]
    changed = request.execute()
    assert changed["etag"] != made["etag"]
    for late in (
        events.patch(calendarId="primary", eventId=made["id"], body={"summary": "B"}),
        events.update(calendarId="primary", eventId=made["id"], body=meeting()),
        events.delete(calendarId="primary", eventId=made["id"]),
    ):
        late.headers["If-Match"] = made["etag"]
        assert refusal(late) == (412, "conditionNotMet")
    assert events.get(calendarId="primary", eventId=made["id"]).execute()["summary"] == "A"


def test_patch_clears_with_null_and_update_resets_what_it_omits(google: Google) -> None:
    events = google.service("calendar").events()
    body = meeting(
        location="Room 1", description="Long", extendedProperties={"private": {"key": "1", "other": "2"}}
    )
    made = events.insert(calendarId="primary", body=body).execute()
    patch = {"location": None, "extendedProperties": {"private": {"other": None}}}
    changed = events.patch(calendarId="primary", eventId=made["id"], body=patch).execute()
    assert "location" not in changed
    assert changed["description"] == "Long"
    assert changed["extendedProperties"] == {"private": {"key": "1"}}
    changed = events.update(calendarId="primary", eventId=made["id"], body=meeting(summary="Other")).execute()
    assert "description" not in changed
    assert "extendedProperties" not in changed
    assert (changed["iCalUID"], changed["created"]) == (made["iCalUID"], made["created"])


def test_incremental_reads(google: Google) -> None:
    events = google.service("calendar").events()
    made = [events.insert(calendarId="primary", body=meeting(summary=str(n))).execute() for n in range(7)]
    items, token = pages(events, maxResults=3)
    assert [one["id"] for one in items] == [one["id"] for one in made]
    assert pages(events, syncToken=token)[0] == []
    events.patch(calendarId="primary", eventId=made[2]["id"], body={"summary": "new"}).execute()
    events.delete(calendarId="primary", eventId=made[4]["id"]).execute()
    items, token = pages(events, syncToken=token, maxResults=1)
    assert [(one["id"], one["status"]) for one in items] == [
        (made[2]["id"], "confirmed"),
        (made[4]["id"], "cancelled"),
    ]
    assert set(items[1]) == {"kind", "etag", "id", "status"}
    assert pages(events, syncToken=token)[0] == []
    assert len(pages(events)[0]) == 6
    shown, _ = pages(events, showDeleted=True)
    assert [one["summary"] for one in shown if one["status"] == "cancelled"] == ["4"]


def test_sync_tokens_end_and_do_not_go_with_everything(google: Google) -> None:
    events = google.service("calendar").events()
    _, token = pages(events)
    assert refusal(events.list(calendarId="primary", syncToken=token, q="x")) == (400, "badRequest")
    stamp = "2026-11-01T00:00:00Z"
    for name in ("timeMin", "timeMax", "updatedMin"):
        assert refusal(events.list(calendarId="primary", syncToken=token, **{name: stamp})) == (
            400,
            "badRequest",
        )
    assert refusal(events.list(calendarId="primary", syncToken=token, orderBy="updated")) == (400, "badRequest")
    assert refusal(events.list(calendarId="primary", syncToken=token, showDeleted=False)) == (400, "badRequest")
    assert refusal(events.list(calendarId="primary", syncToken=token, singleEvents=True)) == (400, "badRequest")
    assert refusal(events.list(calendarId="primary", syncToken="damaged")) == (410, "fullSyncRequired")
    google.world.settings["google_calendar_token_seconds"] = 3600 * 24
    google.world.clock.offset_ms += 25 * 3_600_000
    assert refusal(events.list(calendarId="primary", syncToken=token)) == (410, "fullSyncRequired")


def test_a_page_token_belongs_to_its_query(google: Google) -> None:
    events = google.service("calendar").events()
    for n in range(3):
        events.insert(calendarId="primary", body=meeting(summary=str(n))).execute()
    page = events.list(calendarId="primary", maxResults=1).execute()
    other = events.list(calendarId="primary", maxResults=1, showDeleted=True, pageToken=page["nextPageToken"])
    assert refusal(other) == (400, "invalid")
    assert refusal(events.list(calendarId="primary", pageToken="x")) == (400, "invalid")
    # A change between two pages: nothing is lost, for the change comes with the next sync.
    rest = events.list(calendarId="primary", pageToken=page["nextPageToken"])
    last = pages(events)[0][-1]
    events.patch(calendarId="primary", eventId=last["id"], body={"summary": "moved"}).execute()
    end = rest.execute()
    assert len(end["items"]) == 1
    assert [one["summary"] for one in pages(events, syncToken=end["nextSyncToken"])[0]] == ["moved"]


def test_queries(google: Google) -> None:
    events = google.service("calendar").events()
    tagged = meeting(summary="Kick-off", extendedProperties={"private": {"crm": "003A"}, "shared": {"x": "y"}})
    made = events.insert(calendarId="primary", body=tagged).execute()
    events.insert(
        calendarId="primary", body=meeting(start={"date": "2027-01-01"}, end={"date": "2027-01-03"})
    ).execute()

    def found(**query: Any) -> list[str]:
        return [one["summary"] for one in events.list(calendarId="primary", **query).execute()["items"]]

    assert found(privateExtendedProperty="crm=003A") == ["Kick-off"]
    assert found(privateExtendedProperty="crm=003B") == []
    assert found(sharedExtendedProperty=["x=y"]) == ["Kick-off"]
    assert found(iCalUID=made["iCalUID"]) == ["Kick-off"]
    assert found(q="kick-off") == ["Kick-off"]
    assert found(timeMin="2026-12-01T00:00:00Z") == ["Review"]
    assert found(timeMax="2026-12-01T00:00:00Z") == ["Kick-off"]
    assert found(timeMin="2027-01-02T00:00:00Z", timeMax="2027-01-02T01:00:00Z") == ["Review"]
    assert found(fields="items(summary)") == ["Kick-off", "Review"]
    only = events.list(calendarId="primary", fields="items/start/dateTime").execute()
    assert only == {"items": [{"start": {"dateTime": "2026-11-23T10:00:00+01:00"}}, {"start": {}}]}
    bad = events.list(calendarId="primary", timeMin="2027-01-02T00:00:00Z", timeMax="2027-01-01T00:00:00Z")
    assert refusal(bad) == (400, "timeRangeEmpty")
    assert refusal(events.list(calendarId="primary", timeMin="yesterday")) == (400, "badRequest")
    assert refusal(events.list(calendarId="primary", orderBy="startTime")) == (400, "invalid")
    assert refusal(events.list(calendarId="primary", maxResults=0)) == (400, "invalidParameter")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"end": None}, "required"),
        ({"start": {"dateTime": "2026-11-23T10:00:00"}}, "required"),
        ({"start": {"dateTime": "2026-11-23T10:00:00", "timeZone": "Mars/Olympus"}}, "invalid"),
        ({"start": {"dateTime": "23.11.2026", "timeZone": "Europe/Zurich"}}, "invalid"),
        ({"start": {"date": "2026-11-23"}}, "invalid"),
        ({"start": {"date": "2026-11-23"}, "end": {"date": "2026-11-23"}}, "timeRangeEmpty"),
        ({"start": {"dateTime": "2026-11-23T12:00:00+01:00"}}, "timeRangeEmpty"),
        ({"recurrence": ["RRULE:FREQ=SOMETIMES"]}, "invalid"),
        ({"recurrence": ["RRULE:FREQ=DAILY;INTERVAL=0"]}, "invalid"),
        ({"recurrence": ["RRULE:FREQ=HOURLY;COUNT=3"]}, "invalid"),
        ({"recurrence": ["DTSTART:20261123T100000Z", "RRULE:FREQ=DAILY"]}, "invalid"),
        ({"start": {"dateTime": "2026-11-23T10:00:00+01:00"}, "recurrence": ["RRULE:FREQ=DAILY"]}, "required"),
        ({"extendedProperties": {"private": {"k" * 45: "v"}}}, "invalid"),
        ({"extendedProperties": {"private": {"k": "v" * 1025}}}, "invalid"),
        ({"colorId": "12"}, "invalid"),
        ({"status": "perhaps"}, "invalid"),
        ({"attendees": [{"displayName": "Nobody"}]}, "required"),
        ({"attendees": [{"email": "nobody"}]}, "invalid"),
        (
            {"reminders": {"useDefault": False, "overrides": [{"method": "popup", "minutes": 50_000}]}},
            "invalid",
        ),
        (
            {"reminders": {"useDefault": True, "overrides": [{"method": "popup", "minutes": 5}]}},
            "cannotUseDefaultRemindersAndSpecifyOverride",
        ),
        ({"summary": 5}, "invalid"),
    ],
)
def test_what_is_refused(google: Google, changes: dict[str, Any], reason: str) -> None:
    events = google.service("calendar").events()
    assert refusal(events.insert(calendarId="primary", body=meeting(**changes))) == (400, reason)
    assert events.list(calendarId="primary").execute()["items"] == []


def test_times_are_shown_in_the_zone_of_the_calendar_or_of_the_query(google: Google) -> None:
    events = google.service("calendar").events()
    away = {"start": {"dateTime": "2026-07-01T09:00:00", "timeZone": "Asia/Tokyo"}}
    away["end"] = {"dateTime": "2026-07-01T10:00:00", "timeZone": "Asia/Tokyo"}
    made = events.insert(calendarId="primary", body=meeting(**away)).execute()
    assert made["start"] == {"dateTime": "2026-07-01T02:00:00+02:00", "timeZone": "Asia/Tokyo"}
    shown = events.get(calendarId="primary", eventId=made["id"], timeZone="UTC").execute()
    assert shown["start"] == {"dateTime": "2026-07-01T00:00:00Z", "timeZone": "Asia/Tokyo"}


def test_import_is_by_ical_uid_and_silent(google: Google) -> None:
    events = google.service("calendar").events()
    body = meeting(iCalUID="mail-1@elsewhere.org", organizer={"email": "boss@elsewhere.org"})
    made = events.import_(calendarId="primary", body=body).execute()
    again = events.import_(calendarId="primary", body={**body, "summary": "Moved", "sequence": 2}).execute()
    assert (again["id"], again["summary"], again["sequence"]) == (made["id"], "Moved", 2)
    assert again["organizer"] == {"email": "boss@elsewhere.org"}
    assert len(events.list(calendarId="primary").execute()["items"]) == 1
    patch = events.patch(calendarId="primary", eventId=made["id"], body={"summary": "Mine"})
    assert refusal(patch) == (403, "forbiddenForNonOrganizer")
    assert refusal(events.import_(calendarId="primary", body=meeting(iCalUID=None))) == (400, "required")
    assert google.world.counters["google.mails"] == 0


def test_secondary_calendars_and_the_list(google: Google) -> None:
    service = google.service("calendar")
    made = service.calendars().insert(body={"summary": "CRM", "description": "syncline"}).execute()
    assert made["id"].endswith("@group.calendar.google.com")
    listed = service.calendarList().list().execute()
    assert [one.get("primary", False) for one in listed["items"]] == [True, False]
    token = listed["nextSyncToken"]
    patch = {"backgroundColor": "#0088aa", "foregroundColor": "#ffffff"}
    entry = service.calendarList().patch(calendarId=made["id"], colorRgbFormat=True, body=patch).execute()
    assert (entry["backgroundColor"], entry["accessRole"]) == ("#0088aa", "owner")
    bad = service.calendarList().patch(
        calendarId=made["id"], colorRgbFormat=True, body={"backgroundColor": "red"}
    )
    assert refusal(bad)[0] == 400
    delta = service.calendarList().list(syncToken=token).execute()
    assert [one["id"] for one in delta["items"]] == [made["id"]]
    service.events().insert(calendarId=made["id"], body=meeting()).execute()
    service.calendars().delete(calendarId=made["id"]).execute()
    delta = service.calendarList().list(syncToken=delta["nextSyncToken"]).execute()
    assert [(one["id"], one["deleted"]) for one in delta["items"]] == [(made["id"], True)]
    assert refusal(service.events().list(calendarId=made["id"])) == (404, "notFound")
    assert refusal(service.calendars().delete(calendarId="primary"))[0] == 403
    assert refusal(service.calendarList().list(syncToken="x")) == (410, "fullSyncRequired")
    assert refusal(service.calendars().insert(body={"description": "no title"})) == (400, "required")


def test_event_labels_supersede_colours(google: Google) -> None:
    service = google.service("calendar")
    label = str(uuid.uuid4())
    calendar = service.calendars().get(calendarId="primary").execute()
    wanted = {
        "labelProperties": {"eventLabels": [{"id": label, "name": "Customer", "backgroundColor": "#039be5"}]}
    }
    request = service.calendars().patch(calendarId="primary", body=wanted)
    request.headers["If-Match"] = calendar["etag"]
    assert request.execute()["labelProperties"] == wanted["labelProperties"]
    assert refusal(request) == (412, "conditionNotMet")
    events = service.events()
    both = meeting(eventLabelId=label, colorId="5")
    old = events.insert(calendarId="primary", body=both).execute()
    assert ("eventLabelId" in old, old["colorId"]) == (False, "5")
    new = events.insert(calendarId="primary", eventLabelVersion=1, body=both).execute()
    assert (new["eventLabelId"], "colorId" in new) == (label, False)
    unknown = meeting(eventLabelId=str(uuid.uuid4()))
    assert refusal(events.insert(calendarId="primary", eventLabelVersion=1, body=unknown)) == (400, "invalid")
    service.calendars().patch(calendarId="primary", body={"labelProperties": {"eventLabels": []}}).execute()
    assert "eventLabelId" not in events.get(calendarId="primary", eventId=new["id"]).execute()
    for bad in ({"id": "no-uuid", "backgroundColor": "#039be5"}, {"backgroundColor": "blue"}, {"name": "x"}):
        body = {"labelProperties": {"eventLabels": [bad]}}
        assert refusal(service.calendars().patch(calendarId="primary", body=body)) == (400, "invalid")


def test_moving_an_event_leaves_a_tombstone(google: Google) -> None:
    service = google.service("calendar")
    other = service.calendars().insert(body={"summary": "Other"}).execute()["id"]
    events = service.events()
    made = events.insert(calendarId="primary", body=meeting()).execute()
    moved = events.move(calendarId="primary", eventId=made["id"], destination=other).execute()
    assert (moved["id"], moved["organizer"]["email"]) == (made["id"], other)
    assert events.get(calendarId="primary", eventId=made["id"]).execute()["status"] == "cancelled"


def test_colours_and_settings(google: Google) -> None:
    service = google.service("calendar")
    colours = service.colors().get().execute()
    assert (len(colours["calendar"]), len(colours["event"])) == (24, 11)
    assert service.settings().get(setting="timezone").execute()["value"] == "Europe/Zurich"
    assert refusal(service.acl().list(calendarId="primary")) == (501, "notImplemented")
