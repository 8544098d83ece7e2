"""The calendar over real sockets: feeds, writes, conflicts, repeats, lost replies, series."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.mailbox.google import calendar_write
from engine.mailbox.google.connector import GoogleConnector
from engine.mailbox.google.settings import Api
from engine.model import canonical
from engine.model.modules import Module
from engine.model.port import (
    CalendarMode,
    Observation,
    Outcome,
    Page,
    Result,
    Scope,
    Structure,
    Write,
    WriteKind,
)
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from tests.mailbox.google.conftest import ANNA, BEN, Google, scope_of

COLOURS = {
    Module.APPOINTMENT: ("CRM Appointment", "#3f51b5"),
    Module.CALL: ("CRM Phone Call", "#f4511e"),
    Module.SERVICE_CALL: ("CRM Service Call", "#0b8043"),
}
STRUCTURE = Structure(calendar_mode=CalendarMode.COLOUR, colours=COLOURS)


def event(
    subject: str = "Visit", day: int = 24, zone: str | None = "Europe/Berlin", **fields: Any
) -> dict[str, Any]:
    return canonical.compact(
        {
            "subject": subject,
            "start": canonical.moment(datetime(2026, 11, day, 8, tzinfo=UTC), zone),
            "end": canonical.moment(datetime(2026, 11, day, 9, tzinfo=UTC), zone),
            "busy": True,
            **fields,
        }
    )


def create(key: str, fields: dict[str, Any] | None = None, **more: Any) -> Write:
    return Write(WriteKind.CREATE, Module.APPOINTMENT, key, fields=fields or event(), **more)


def update(seen: Observation, key: str = "u", **patch: Any) -> Write:
    return Write(
        WriteKind.UPDATE,
        seen.module,
        key,
        seen.remote_id,
        fields={**seen.fields, **patch},
        patch=patch,
        etag=seen.etag,
        native=seen.native,
        parent=seen.parent,
        occurrence=seen.occurrence,
    )


def delete(seen: Observation) -> Write:
    return Write(WriteKind.DELETE, seen.module, "d", seen.remote_id, etag=seen.etag)


async def read(
    connector: GoogleConnector, scope: Scope, cursor: str | None = None
) -> tuple[list[Observation], str]:
    pages: list[Page] = [page async for page in connector.changes(scope, cursor)]
    assert all(page.cursor is None for page in pages[:-1])
    assert pages[-1].cursor
    assert all(page.snapshot is (cursor is None) for page in pages)
    return [one for page in pages for one in page.observations], pages[-1].cursor


def seen(outcome: Outcome) -> Observation:
    assert outcome.result is Result.DONE, outcome
    assert outcome.observation is not None
    return outcome.observation


@pytest.fixture
def connector(google: Google) -> GoogleConnector:
    return google.connector()


@pytest.fixture
async def scope(connector: GoogleConnector) -> Scope:
    return await scope_of(connector, "calendar", STRUCTURE)


async def test_writes_come_back_in_the_feed_as_they_were_answered(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    _, cursor = await read(connector, scope)
    writes = [
        create("k1", event("Visit", body="<b>Bring</b> the plan", location="Wien")),
        create(
            "k2",
            event("Tag", zone=None)
            | {"start": canonical.all_day("2026-12-01"), "end": canonical.all_day("2026-12-03")},
        ),
        Write(
            WriteKind.CREATE, Module.CALL, "k3", fields=event("Call", private=True), containers=("color:11",)
        ),
    ]
    google.forget()
    outcomes = await connector.apply(scope, writes)
    assert len(google.calls()) == 1, "three creates are one batch"
    answered = [seen(outcome) for outcome in outcomes]
    for write, item in zip(writes, answered, strict=True):
        assert item.marker == write.key
        assert item.module is write.module
        assert canonical.diff(write.module, write.fields, item.fields, canonical.EVENT_FIELDS) == {}
    assert "color:11" in answered[2].containers
    feed, cursor = await read(connector, scope, cursor)
    assert {item.remote_id: (item.etag, item.fields) for item in feed} == {
        item.remote_id: (item.etag, item.fields) for item in answered
    }
    google.forget()
    assert await read(connector, scope, cursor) == ([], cursor) or not (await read(connector, scope, cursor))[0]
    assert len(google.calls()) <= 2


async def test_an_idle_read_is_one_call(google: Google, connector: GoogleConnector, scope: Scope) -> None:
    _, cursor = await read(connector, scope)
    google.forget()
    items, _ = await read(connector, scope, cursor)
    assert items == []
    assert len(google.calls(token=True)) == 1


async def test_fifty_creates_are_one_call_and_a_hundred_and_one_are_three(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    google.forget()
    outcomes = await connector.apply(scope, [create(f"k{n}", event(f"Visit {n}")) for n in range(50)])
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    assert len(google.calls()) == 1
    await connector.apply(scope, [create(f"m{n}", event(f"Visit {n}")) for n in range(51)])
    assert len(google.calls()) == 3


async def test_a_repeated_create_adopts_its_event(connector: GoogleConnector, scope: Scope) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    again = seen((await connector.apply(scope, [create("k1"), create("k2")]))[0])
    assert (again.remote_id, again.etag) == (first.remote_id, first.etag)
    items, _ = await read(connector, scope)
    assert len(items) == 2


async def test_a_create_passes_by_the_id_of_a_deleted_event(connector: GoogleConnector, scope: Scope) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    assert (await connector.apply(scope, [delete(first)]))[0].result is Result.DONE
    second = seen((await connector.apply(scope, [create("k1")]))[0])
    assert second.remote_id == calendar_write.event_id("k1", 1)
    assert second.marker == "k1"
    third = seen((await connector.apply(scope, [create("k1")]))[0])
    assert third.remote_id == second.remote_id, "the repeat of the substitute adopts it"


async def test_a_stale_update_is_a_conflict_and_changes_nothing(
    connector: GoogleConnector, scope: Scope
) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    second = seen((await connector.apply(scope, [update(first, subject="Newer")]))[0])
    stale = await connector.apply(scope, [update(first, subject="Mine")])
    assert stale[0].result is Result.CONFLICT
    assert (await connector.apply(scope, [delete(first)]))[0].result is Result.CONFLICT
    assert (await connector.fetch(scope, [first.remote_id]))[0] == second


async def test_an_update_keeps_what_it_does_not_name(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    first = seen((await connector.apply(scope, [create("k1", event(body="Text", location="Wien"))]))[0])
    client = connector.client
    reminders = {"useDefault": False, "overrides": [{"method": "popup", "minutes": 7}]}
    patched = await client.execute(
        client.calendar.events.patch(
            calendarId="primary", eventId=first.remote_id, body={"reminders": reminders}
        ),
        ANNA,
        idempotent=True,
    )
    fresh = (await connector.fetch(scope, [first.remote_id]))[0]
    assert fresh.etag == patched["etag"]
    await connector.apply(scope, [update(fresh, location=None, subject="Other")])
    document = await client.execute(
        client.calendar.events.get(calendarId="primary", eventId=first.remote_id), ANNA, idempotent=True
    )
    assert document["reminders"] == reminders
    assert document["description"] == "Text"
    assert document["summary"] == "Other"
    assert "location" not in document


async def test_a_timed_event_becomes_all_day_and_back(connector: GoogleConnector, scope: Scope) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    whole = seen(
        (
            await connector.apply(
                scope,
                [update(first, start=canonical.all_day("2026-11-24"), end=canonical.all_day("2026-11-25"))],
            )
        )[0]
    )
    assert whole.fields["start"] == {"date": "2026-11-24"}
    back = seen(
        (await connector.apply(scope, [update(whole, start=first.fields["start"], end=first.fields["end"])]))[0]
    )
    assert back.fields["start"] == first.fields["start"]


async def test_deletes_and_what_is_gone(connector: GoogleConnector, scope: Scope) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    _, cursor = await read(connector, scope)
    assert (await connector.apply(scope, [delete(first)]))[0].result is Result.DONE
    items, _ = await read(connector, scope, cursor)
    assert [(item.remote_id, item.deleted) for item in items] == [(first.remote_id, True)]
    unguarded = Write(WriteKind.DELETE, Module.APPOINTMENT, "d", first.remote_id)
    assert (await connector.apply(scope, [unguarded]))[0].result is Result.GONE
    found = await connector.fetch(scope, [first.remote_id, "nosuchevent0"])
    assert [item.deleted for item in found] == [True, True]


async def test_an_expired_cursor(connector: GoogleConnector, scope: Scope) -> None:
    with pytest.raises(CursorExpired):
        await read(connector, scope, "CPDAlvWDx70CEPDAlvWDx70CGAU=")


async def test_a_lost_reply_leaves_no_twin(google: Google, connector: GoogleConnector, scope: Scope) -> None:
    writes = [create(f"k{n}", event(f"Visit {n}")) for n in range(3)]
    google.fault(route="/batch", kind="lost_reply")
    outcomes = await connector.apply(scope, writes)
    assert {outcome.result for outcome in outcomes} == {Result.UNKNOWN}
    outcomes = await connector.apply(scope, writes)
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    items, _ = await read(connector, scope)
    assert len(items) == 3


async def test_a_torn_batch_answer_leaves_its_parts_unknown(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    google.fault(route="/batch", kind="truncate")
    outcomes = await connector.apply(scope, [create(f"k{n}") for n in range(3)])
    assert {outcome.result for outcome in outcomes} == {Result.UNKNOWN}


async def test_a_refused_part_is_refused_alone(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    body = {
        "error": {"errors": [{"reason": "rateLimitExceeded"}], "code": 403, "message": "Rate Limit Exceeded"}
    }
    google.fault(
        route="calendar.events.insert", kind="status", status=403, body=body, headers={"Retry-After": "0"}
    )
    outcomes = await connector.apply(scope, [create(f"k{n}") for n in range(3)])
    assert sorted(outcome.result for outcome in outcomes) == [Result.DONE, Result.DONE, Result.REFUSED]


async def test_a_bad_event_is_rejected_alone(connector: GoogleConnector, scope: Scope) -> None:
    bad = event() | {"end": canonical.moment(datetime(2026, 11, 1, tzinfo=UTC), "Europe/Berlin")}
    outcomes = await connector.apply(scope, [create("k1", bad), create("k2")])
    assert [outcome.result for outcome in outcomes] == [Result.REJECTED, Result.DONE]
    assert outcomes[0].reason


async def test_without_a_batch_endpoint_calls_go_singly(google: Google) -> None:
    urls = {Api.CALENDAR: f"{google.url}/nobatch"}
    connector = google.connector(batch_urls=urls)
    scope = await scope_of(connector, "calendar", STRUCTURE)
    google.forget()
    outcomes = await connector.apply(scope, [create(f"k{n}") for n in range(4)])
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    assert [one.path for one in google.calls()].count("/nobatch") == 1
    google.forget()
    await connector.apply(scope, [create(f"m{n}") for n in range(4)])
    assert len(google.calls()) == 4, "the endpoint that is not there is not asked again"


async def test_no_guest_is_mailed_unless_the_intent_says_so(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    guests = canonical.attendees([{"email": BEN.email}, {"email": "outside@x.example", "name": "Out"}])
    first = seen((await connector.apply(scope, [create("k1", event(attendees=guests))]))[0])
    assert [row["email"] for row in first.fields["attendees"]] == [BEN.email, "outside@x.example"]
    second = seen((await connector.apply(scope, [update(first, subject="Other")]))[0])
    assert google.world.counters["google.mails"] == 0
    ben = await scope_of(connector, "calendar", STRUCTURE, BEN)
    items, _ = await read(connector, ben)
    copy = next(item for item in items if item.fields["subject"] == "Other")
    assert copy.native is not None
    assert copy.native["read_only"] is True
    assert copy.marker is None
    loud = update(second, subject="Loud")
    await connector.apply(
        scope, [Write(**{name: getattr(loud, name) for name in loud.__slots__} | {"notify": True})]
    )
    assert google.world.counters["google.mails"] > 0


async def test_a_series_and_its_changed_occurrences(connector: GoogleConnector, scope: Scope) -> None:
    series = event("Weekly", rule={"lines": ["RRULE:FREQ=WEEKLY;COUNT=6"]})
    master = seen((await connector.apply(scope, [create("k1", series)]))[0])
    _, cursor = await read(connector, scope)
    moved = Write(
        WriteKind.CREATE,
        Module.APPOINTMENT,
        "k1x",
        fields=event("Weekly, moved", day=26),
        parent=master.remote_id,
        occurrence="2026-12-01T08:00:00Z",
    )
    off = Write(
        WriteKind.CREATE,
        Module.APPOINTMENT,
        "k1y",
        fields={"cancelled": True},
        parent=master.remote_id,
        occurrence="2026-12-08T08:00:00Z",
    )
    outcomes = await connector.apply(scope, [moved, off])
    assert seen(outcomes[0]).parent == master.remote_id
    assert seen(outcomes[0]).occurrence == "2026-12-01T08:00:00Z"
    assert seen(outcomes[1]).fields == {"cancelled": True}
    items, cursor = await read(connector, scope, cursor)
    exceptions = {item.occurrence: item for item in items if item.parent}
    assert set(exceptions) == {"2026-12-01T08:00:00Z", "2026-12-08T08:00:00Z"}
    assert exceptions["2026-12-01T08:00:00Z"].fields["subject"] == "Weekly, moved"
    assert exceptions["2026-12-01T08:00:00Z"].marker is None
    assert exceptions["2026-12-08T08:00:00Z"].fields == {"cancelled": True}
    assert not exceptions["2026-12-08T08:00:00Z"].deleted
    # A repeat after an unknown outcome changes nothing and succeeds.
    repeated = await connector.apply(scope, [moved, off])
    assert {outcome.result for outcome in repeated} == {Result.DONE}
    # The full listing tells the same.
    everything, _ = await read(connector, scope)
    assert {item.occurrence for item in everything if item.parent} == set(exceptions)
    # And so does the series when it is asked; one that is not there has none.
    asked = await connector.occurrences(scope, [master.remote_id, "nosuchseries"])
    assert {one.remote_id: (one.etag, one.fields) for one in asked} == {
        one.remote_id: (one.etag, one.fields) for one in everything if one.parent
    }
    assert await connector.occurrences(scope, []) == []
    # And an update of the moved one goes by its own id and version.
    fresh = (await connector.fetch(scope, [exceptions["2026-12-01T08:00:00Z"].remote_id]))[0]
    again = seen((await connector.apply(scope, [update(fresh, subject="Moved again")]))[0])
    assert again.fields["subject"] == "Moved again"


@pytest.mark.parametrize("cancels", [False, True])
async def test_an_occurrence_that_a_person_has_changed_is_not_overwritten(
    connector: GoogleConnector, scope: Scope, cancels: bool
) -> None:
    """Seed 97735."""
    master = seen(
        (await connector.apply(scope, [create("k1", event(rule={"lines": ["RRULE:FREQ=WEEKLY;COUNT=6"]}))]))[0]
    )
    when = {"parent": master.remote_id, "occurrence": "2026-12-01T08:00:00Z"}
    theirs = seen(
        (await connector.apply(scope, [create("t", event("Theirs", 26, location="Wien"), **when)]))[0]
    )
    ours = create("o", {"cancelled": True} if cancels else event("Ours", 27), **when)
    other = create("p", event("Other"), parent=master.remote_id, occurrence="2026-12-08T08:00:00Z")
    for attempt in (0, 1):
        outcomes = await connector.apply(
            scope, [replace(ours, attempt=attempt), replace(other, attempt=attempt)]
        )
        assert [one.result for one in outcomes] == [Result.CONFLICT, Result.DONE]
        assert await connector.fetch(scope, [theirs.remote_id]) == [theirs]


async def test_an_occurrence_that_the_series_has_not(connector: GoogleConnector, scope: Scope) -> None:
    series = event("Weekly", rule={"lines": ["RRULE:FREQ=WEEKLY;COUNT=2"]})
    master = seen((await connector.apply(scope, [create("k1", series)]))[0])
    lost = Write(
        WriteKind.CREATE,
        Module.APPOINTMENT,
        "k1x",
        fields=event("Nowhere"),
        parent=master.remote_id,
        occurrence="2027-05-04T08:00:00Z",
    )
    assert (await connector.apply(scope, [lost]))[0].result is Result.REJECTED


async def test_a_missing_calendar_fails_the_read_as_a_whole(connector: GoogleConnector) -> None:
    missing = Scope("calendar:crm", "nosuch@group.calendar.google.com", (Module.APPOINTMENT,), ANNA)
    with pytest.raises(ProviderError) as caught:
        await read(connector, missing)
    assert caught.value.kind is ErrorKind.NOT_FOUND
    assert (await connector.apply(missing, [create("k1")]))[0].result is Result.REJECTED


async def test_two_writes_to_one_event_never_share_a_batch(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    google.forget()
    outcomes = await connector.apply(
        scope, [update(first, subject="One"), update(first, subject="Two"), create("k2")]
    )
    assert [outcome.result for outcome in outcomes] == [Result.DONE, Result.CONFLICT, Result.DONE]
    assert len(google.calls()) == 2


async def test_a_cancelled_occurrence_can_come_back(connector: GoogleConnector, scope: Scope) -> None:
    series = event("Weekly", rule={"lines": ["RRULE:FREQ=WEEKLY;COUNT=4"]})
    master = seen((await connector.apply(scope, [create("k1", series)]))[0])
    when = {"parent": master.remote_id, "occurrence": "2026-12-01T08:00:00Z"}
    off = create("k1x", {"cancelled": True}, **when)
    cancelled = seen((await connector.apply(scope, [off]))[0])
    fields = event("Weekly again", day=27)
    back = Write(
        WriteKind.UPDATE,
        Module.APPOINTMENT,
        "u",
        cancelled.remote_id,
        fields=fields,
        patch={**fields, "cancelled": None},
        native=cancelled.native,
        **when,
    )
    restored = seen((await connector.apply(scope, [back]))[0])
    assert restored.fields["subject"] == "Weekly again"
    assert "cancelled" not in restored.fields
    items, _ = await read(connector, scope)
    assert [item.fields["subject"] for item in items if item.parent] == ["Weekly again"]


async def test_a_whole_day_series_and_its_exceptions(connector: GoogleConnector, scope: Scope) -> None:
    series = {
        "subject": "Bank holiday",
        "start": canonical.all_day("2026-12-01"),
        "end": canonical.all_day("2026-12-02"),
        "busy": False,
        "rule": {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]},
    }
    master = seen((await connector.apply(scope, [create("k1", series)]))[0])
    assert canonical.diff(Module.APPOINTMENT, series, master.fields, canonical.EVENT_FIELDS) == {}
    off = create("k1x", {"cancelled": True}, parent=master.remote_id, occurrence="2026-12-03")
    assert seen((await connector.apply(scope, [off]))[0]).occurrence == "2026-12-03"
    items, _ = await read(connector, scope)
    assert [item.occurrence for item in items if item.parent] == ["2026-12-03"]


async def test_an_own_event_that_becomes_a_call_takes_its_mark(
    connector: GoogleConnector, scope: Scope
) -> None:
    client = connector.client
    body = {
        "summary": "Mine",
        "start": {"dateTime": "2026-11-24T09:00:00+01:00"},
        "end": {"dateTime": "2026-11-24T10:00:00+01:00"},
    }
    made = await client.execute(
        client.calendar.events.insert(calendarId="primary", body=body), ANNA, idempotent=False
    )
    own = (await connector.fetch(scope, [made["id"]]))[0]
    assert (own.module, own.marker, own.containers) == (Module.APPOINTMENT, None, ())
    linked = Write(
        WriteKind.UPDATE,
        Module.CALL,
        "u",
        own.remote_id,
        fields=own.fields,
        patch={"location": "Wien"},
        etag=own.etag,
        native=own.native,
        containers=("color:11",),
    )
    after = seen((await connector.apply(scope, [linked]))[0])
    assert (after.module, after.containers) == (Module.CALL, ("color:11",))
    assert after.fields["subject"] == "Mine"


async def test_a_guest_gives_his_own_reply_and_no_other(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    guests = canonical.attendees([{"email": BEN.email}, {"email": "outside@x.example"}])
    await connector.apply(scope, [create("k1", event(attendees=guests))])
    ben = await scope_of(connector, "calendar", STRUCTURE, BEN)
    items, _ = await read(connector, ben)
    replied = [
        row | ({"status": "accepted"} if row["email"] == BEN.email else {})
        for row in items[0].fields["attendees"]
    ]
    after = seen((await connector.apply(ben, [update(items[0], attendees=replied)]))[0])
    assert {row["email"]: row["status"] for row in after.fields["attendees"]} == {
        BEN.email: "accepted",
        "outside@x.example": "none",
    }
    # The reply went to the organiser and came back: the copy has a newer version than the answer told.
    fresh = (await connector.fetch(ben, [after.remote_id]))[0]
    refused = await connector.apply(ben, [update(fresh, subject="Hijacked")])
    assert refused[0].result is Result.REJECTED
