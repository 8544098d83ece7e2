"""A create of an occurrence that a person has changed or cancelled already: it is left as the person left it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.mailbox.google.connector import GoogleConnector
from engine.mailbox.google.settings import Api
from engine.model import canonical
from engine.model.port import Observation, Outcome, Result, Scope, Write
from tests.mailbox.google.conftest import ANNA, Google, scope_of
from tests.mailbox.google.test_calendar import STRUCTURE, create, event, read, seen

STARTS = ("2026-12-01T08:00:00Z", "2026-12-08T08:00:00Z")


@pytest.fixture
def connector(google: Google) -> GoogleConnector:
    return google.connector()


@pytest.fixture
async def scope(connector: GoogleConnector) -> Scope:
    return await scope_of(connector, "calendar", STRUCTURE)


async def series(connector: GoogleConnector, scope: Scope, key: str = "k1", **fields: Any) -> Observation:
    rule = {"lines": ["RRULE:FREQ=WEEKLY;COUNT=6"]}
    made = create(key, event("Weekly", rule=rule, location="Room 1", **fields))
    return seen((await connector.apply(scope, [made]))[0])


def ours(master: Observation, start: str = STARTS[0], **fields: Any) -> Write:
    """What a person made of an occurrence in the CRM."""
    wanted = (
        {"cancelled": True}
        if fields.get("cancelled")
        else event("Ours", day=26, **{"location": "Room 1", **fields})
    )
    return create(f"x.{start}", wanted, parent=master.remote_id, occurrence=start)


def instance(master: Observation, start: str = STARTS[0]) -> str:
    return f"{master.remote_id}_{start.replace('-', '').replace(':', '')}"


async def change(connector: GoogleConnector, item: str, **body: Any) -> None:
    """A person changes an event; no field: he deletes it."""
    events = connector.client.calendar.events
    common = {"calendarId": "primary", "eventId": item}
    request = events.patch(body=body, **common) if body else events.delete(**common)
    await connector.client.execute(request, ANNA, idempotent=False)


async def state(connector: GoogleConnector, item: str) -> dict[str, Any]:
    get = connector.client.calendar.events.get(calendarId="primary", eventId=item)
    return dict(await connector.client.execute(get, ANNA, idempotent=True))


async def apply(connector: GoogleConnector, scope: Scope, write: Write) -> Outcome:
    [outcome] = await connector.apply(scope, [write])
    return outcome


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("person", [{"location": "the cellar"}, {}])
async def test_nothing_is_written_over_what_a_person_did(
    connector: GoogleConnector, scope: Scope, cancels: bool, person: dict[str, str]
) -> None:
    master = await series(connector, scope)
    _, cursor = await read(connector, scope)
    await change(connector, instance(master), **person)
    before = await state(connector, instance(master))
    outcome = await apply(connector, scope, ours(master, cancelled=True) if cancels else ours(master))
    same = cancels and not person
    assert outcome.result is (Result.DONE if same else Result.CONFLICT)
    assert await state(connector, instance(master)) == before
    # The feed tells of it, and so does the series when it is asked.
    told, _ = await read(connector, scope, cursor)
    asked = await connector.occurrences(scope, [master.remote_id])
    wanted = [person.get("location")]
    assert [one.fields.get("location") for one in told] == wanted
    assert [one.fields.get("location") for one in asked] == wanted


@pytest.mark.parametrize("cancels", [False, True])
@pytest.mark.parametrize("person", [{"location": "the cellar"}, {}])
async def test_nor_over_what_he_did_while_we_looked(
    connector: GoogleConnector,
    scope: Scope,
    cancels: bool,
    person: dict[str, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    master = await series(connector, scope)
    item, client = instance(master), connector.client
    send = client.execute_batch
    sent: list[list[str]] = []

    async def meanwhile(api: Api, requests: Any, *args: Any, **options: Any) -> Any:
        sent.append([one.method for one in requests])
        if len(sent) == 2:
            await change(connector, item, **person)
        return await send(api, requests, *args, **options)

    monkeypatch.setattr(client, "execute_batch", meanwhile)
    outcome = await apply(connector, scope, ours(master, cancelled=True) if cancels else ours(master))
    assert sent == [["GET", "GET"], ["DELETE" if cancels else "PATCH"]]
    same = cancels and not person
    assert outcome.result is (Result.DONE if same else Result.CONFLICT)
    after = await state(connector, item)
    assert after["status"] == ("confirmed" if person else "cancelled")
    assert after.get("summary", "Weekly") == "Weekly"


async def test_a_series_that_changed_while_we_looked_is_looked_at_again(
    connector: GoogleConnector, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    master = await series(connector, scope)
    send, sent = connector.client.execute_batch, 0

    async def meanwhile(*args: Any, **options: Any) -> Any:
        nonlocal sent
        sent += 1
        if sent == 2:
            await change(connector, master.remote_id, location="Room 2")
        return await send(*args, **options)

    monkeypatch.setattr(connector.client, "execute_batch", meanwhile)
    assert (await apply(connector, scope, ours(master))).result is Result.CONFLICT
    assert seen(await apply(connector, scope, ours(master))).fields["subject"] == "Ours"


async def test_many_occurrences_cost_one_look(google: Google, connector: GoogleConnector, scope: Scope) -> None:
    guests = canonical.attendees([{"email": "outside@x.example"}])
    first, second = await series(connector, scope), await series(connector, scope, "k2", attendees=guests)
    google.forget()
    writes = [
        ours(first, STARTS[0]),
        ours(first, STARTS[1]),
        ours(second, STARTS[0], attendees=guests),
        ours(second, STARTS[1], cancelled=True),
    ]
    outcomes = await connector.apply(scope, writes)
    assert [one.result for one in outcomes] == [Result.DONE] * 4
    assert len(google.calls()) == 2
    google.forget()
    # A repeat after an unknown outcome finds all of it done.
    repeated = await connector.apply(scope, [replace(one, attempt=1) for one in writes])
    assert [seen(one).fields for one in repeated] == [seen(one).fields for one in outcomes]
    assert [seen(one).etag for one in repeated[:3]] == [seen(one).etag for one in outcomes[:3]]
    assert len(google.calls()) == 1


async def test_an_occurrence_of_a_series_that_is_gone(connector: GoogleConnector, scope: Scope) -> None:
    master = await series(connector, scope)
    await change(connector, master.remote_id)
    for write in (ours(master), ours(master, cancelled=True)):
        outcome = await apply(connector, scope, write)
        assert outcome.result is Result.GONE
        assert "series" in outcome.reason


async def test_days_and_hours_that_the_clocks_change_make_no_conflict(
    connector: GoogleConnector, scope: Scope
) -> None:
    """Berlin's summer time begins on 28 March 2027, between the first and the occurrence that is changed."""
    start, rule = "2027-03-29T06:00:00Z", {"lines": ["RRULE:FREQ=WEEKLY;COUNT=20"]}
    fields = event("Weekly", day=23, rule=rule) | {
        "start": {"utc": "2027-03-01T07:00:00Z", "zone": "Europe/Berlin"},
        "end": {"utc": "2027-03-01T08:00:00Z", "zone": "Europe/Berlin"},
    }
    master = seen((await connector.apply(scope, [create("k1", fields)]))[0])
    days = {"start": canonical.all_day("2026-12-01"), "end": canonical.all_day("2026-12-02"), "rule": rule}
    whole = seen((await connector.apply(scope, [create("k2", event("Days") | days)]))[0])
    outcomes = await connector.apply(scope, [ours(master, start), ours(whole, "2026-12-08")])
    assert [seen(one).fields["subject"] for one in outcomes] == ["Ours", "Ours"]
