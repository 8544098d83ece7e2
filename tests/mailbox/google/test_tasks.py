"""Tasks over real sockets."""

from __future__ import annotations

from typing import Any

import pytest

from engine.mailbox.google.connector import GoogleConnector
from engine.model.modules import Module
from engine.model.port import Observation, Outcome, Result, Scope, Structure, Write, WriteKind
from tests.mailbox.google.conftest import Google, scope_of

STRUCTURE = Structure(tasks=True)


def create(key: str, **fields: Any) -> Write:
    return Write(WriteKind.CREATE, Module.TASK, key, fields={"subject": "Call back", "done": False, **fields})


def update(seen: Observation, **patch: Any) -> Write:
    return Write(
        WriteKind.UPDATE,
        Module.TASK,
        "u",
        seen.remote_id,
        fields={**seen.fields, **patch},
        patch=patch,
        etag=seen.etag,
        native=seen.native,
    )


async def read(
    connector: GoogleConnector, scope: Scope, cursor: str | None = None
) -> tuple[list[Observation], str]:
    pages = [page async for page in connector.changes(scope, cursor)]
    assert pages[-1].cursor
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
    return await scope_of(connector, "tasks", STRUCTURE)


async def test_a_task_goes_there_and_back(google: Google, connector: GoogleConnector, scope: Scope) -> None:
    items, cursor = await read(connector, scope)
    assert items == []
    writes = [
        create("k1", body="About the offer", due="2026-12-01"),
        create("k2", subject="Fertig", done=True),
    ]
    answered = [seen(outcome) for outcome in await connector.apply(scope, writes)]
    assert [item.marker for item in answered] == ["k1", "k2"]
    for write, item in zip(writes, answered, strict=True):
        assert item.fields == write.fields
    items, cursor = await read(connector, scope, cursor)
    assert {item.remote_id: item.etag for item in items} == {item.remote_id: item.etag for item in answered}
    google.forget()
    await read(connector, scope, cursor)
    assert len(google.calls(token=True)) == 1, "an idle read is one call"


async def test_updates_are_guarded_and_keep_the_marker(connector: GoogleConnector, scope: Scope) -> None:
    first = seen((await connector.apply(scope, [create("k1", body="Old", due="2026-12-01")]))[0])
    second = seen((await connector.apply(scope, [update(first, body="New", due=None)]))[0])
    assert second.marker == "k1"
    assert second.fields == {"subject": "Call back", "body": "New", "done": False}
    done = seen((await connector.apply(scope, [update(second, done=True)]))[0])
    assert done.fields["done"] is True
    open_again = seen((await connector.apply(scope, [update(done, done=False)]))[0])
    assert open_again.fields["done"] is False
    stale = await connector.apply(scope, [update(first, subject="Mine")])
    assert stale[0].result is Result.CONFLICT


async def test_deletes_come_as_tombstones(connector: GoogleConnector, scope: Scope) -> None:
    first = seen((await connector.apply(scope, [create("k1")]))[0])
    _, cursor = await read(connector, scope)
    gone = Write(WriteKind.DELETE, Module.TASK, "d", first.remote_id, etag=first.etag)
    assert (await connector.apply(scope, [gone]))[0].result is Result.DONE
    items, _ = await read(connector, scope, cursor)
    assert [(item.remote_id, item.deleted) for item in items] == [(first.remote_id, True)]
    assert (await read(connector, scope))[0] == []
    missing = Write(WriteKind.DELETE, Module.TASK, "d", "nosuchtask")
    assert (await connector.apply(scope, [missing]))[0].result is Result.GONE
    assert (await connector.fetch(scope, [first.remote_id, "nosuchtask"]))[1].deleted


async def test_a_hundred_and_fifty_tasks_are_two_pages(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    outcomes = await connector.apply(scope, [create(f"k{n}", subject=f"Task {n}") for n in range(150)])
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    google.forget()
    items, _ = await read(connector, scope)
    assert len(items) == 150
    assert len(google.calls()) == 2


async def test_a_lost_reply_is_unknown_and_the_marker_tells(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    google.fault(route="tasks.tasks.insert", kind="lost_reply")
    outcomes = await connector.apply(scope, [create("k1")])
    assert outcomes[0].result is Result.UNKNOWN
    items, _ = await read(connector, scope)
    assert [item.marker for item in items] == ["k1"]


async def test_a_lost_request_is_not_repeated_blindly(
    google: Google, connector: GoogleConnector, scope: Scope
) -> None:
    google.fault(route="tasks.tasks.insert", kind="lost_request")
    assert (await connector.apply(scope, [create("k1")]))[0].result is Result.UNKNOWN
    assert (await read(connector, scope))[0] == []


async def test_a_title_that_is_too_long_stays_here(connector: GoogleConnector, scope: Scope) -> None:
    outcomes = await connector.apply(scope, [create("k1", subject="x" * 1100), create("k2")])
    assert [outcome.result for outcome in outcomes] == [Result.REJECTED, Result.DONE]
    assert "1024" in outcomes[0].reason


async def test_tasks_can_go_in_batches(google: Google) -> None:
    connector = google.connector(tasks_batch=True)
    scope = await scope_of(connector, "tasks", STRUCTURE)
    google.forget()
    outcomes = await connector.apply(scope, [create(f"k{n}") for n in range(10)])
    assert {outcome.result for outcome in outcomes} == {Result.DONE}
    assert len(google.calls()) == 1
