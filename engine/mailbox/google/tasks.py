"""The task feed and its writes. One scope is one task list.

Google keeps no cursor for tasks: the feed asks for what was updated since the latest time stamp it has seen, less an
overlap, and the engine drops by etag what it knows already.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from googleapiclient.http import HttpRequest

from engine.mailbox.google import tasks_map
from engine.mailbox.google.batch import PartResult
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import outcome_of
from engine.mailbox.google.scopes import account_of
from engine.mailbox.google.settings import Api
from engine.model.canonical import TASK_FIELDS
from engine.model.modules import Module
from engine.model.port import (
    Capability,
    CreateKey,
    Guard,
    Observation,
    Outcome,
    Page,
    Result,
    Scope,
    Write,
    WriteKind,
)

#: Google's largest page of tasks.
PAGE = 100

#: How far before the latest time stamp the next read starts: changes may become visible out of order.
OVERLAP = timedelta(minutes=3)

#: The cursor of a list in which nothing was ever seen.
BEGINNING = "1970-01-01T00:00:00.000Z"

CAPABILITY = Capability(
    fields=frozenset(TASK_FIELDS),
    writable=frozenset(TASK_FIELDS),
    create_key=CreateKey.MARKER,
    guard=Guard.ETAG,
    lag_seconds=0,
    batch=50,
    parallel=1,
    cursor_days=None,
    tombstones=True,
)


async def changes(client: GoogleClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """Pages of tasks updated since the cursor, finished and hidden ones too; the whole list when there is none."""
    account = account_of(scope)
    parameters: dict[str, Any] = {
        "tasklist": scope.remote_id,
        "maxResults": PAGE,
        "showCompleted": True,
        "showHidden": True,
        # In a complete listing a tombstone says nothing that absence does not say.
        "showDeleted": cursor is not None,
    }
    if cursor:
        parameters["updatedMin"] = _before(cursor)
    latest = cursor or BEGINNING
    while True:
        answer = await client.execute(client.tasks.tasks.list(**parameters), account, idempotent=True)
        items = answer.get("items") or ()
        latest = max([latest, *(str(item.get("updated") or "") for item in items)])
        observed = tuple(tasks_map.observe(item) for item in items)
        token = answer.get("nextPageToken")
        if not token:
            yield Page(observed, cursor=latest, snapshot=cursor is None)
            return
        yield Page(observed, snapshot=cursor is None)
        parameters["pageToken"] = token


def _before(cursor: str) -> str:
    """The cursor less the overlap, in Google's spelling (which sorts as text)."""
    at = datetime.fromisoformat(cursor).astimezone(UTC)
    if at.year < 1971:
        return BEGINNING
    return (at - OVERLAP).strftime("%Y-%m-%dT%H:%M:%S.000Z")


async def fetch(client: GoogleClient, scope: Scope, ids: Sequence[str]) -> list[Observation]:
    """The present state of tasks by id, one observation per id, in order.

    Raises:
        ProviderError: a task could be neither read nor found missing.
    """
    requests = [client.tasks.tasks.get(tasklist=scope.remote_id, task=one) for one in ids]
    parts = await client.execute_batch(Api.TASKS, requests, account_of(scope))
    found = []
    for remote_id, part in zip(ids, parts, strict=True):
        if part.error is not None and part.status not in {404, 410}:
            raise part.error
        found.append(
            tasks_map.observe(part.body) if part.ok else Observation(remote_id, Module.TASK, deleted=True)
        )
    return found


async def apply(client: GoogleClient, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
    """Make the changes, singly (a few at a time) or in batches as the settings say; one outcome per write, in order."""
    outcomes: dict[int, Outcome] = {}
    sent: list[tuple[int, HttpRequest]] = []
    for index, write in enumerate(writes):
        fault = tasks_map.fault(write)
        if fault:
            outcomes[index] = Outcome(Result.REJECTED, reason=fault)
        else:
            sent.append((index, _request(client, scope, write)))
    parts = await client.execute_batch(Api.TASKS, [request for _, request in sent], account_of(scope))
    for (index, _), part in zip(sent, parts, strict=True):
        outcomes[index] = _outcome(writes[index], part)
    return [outcomes[index] for index in range(len(writes))]


def _request(client: GoogleClient, scope: Scope, write: Write) -> HttpRequest:
    tasks = client.tasks.tasks
    if write.kind is WriteKind.CREATE:
        return tasks.insert(tasklist=scope.remote_id, body=tasks_map.body_of(write))
    if write.kind is WriteKind.DELETE:
        request = tasks.delete(tasklist=scope.remote_id, task=write.remote_id)
    else:
        request = tasks.patch(tasklist=scope.remote_id, task=write.remote_id, body=tasks_map.body_of(write))
    if write.etag:
        request.headers["If-Match"] = write.etag
    return request


def _outcome(write: Write, part: PartResult) -> Outcome:
    if part.error is not None:
        outcome = outcome_of(part.error)
        if outcome.result is Result.GONE and write.kind is WriteKind.CREATE:
            return replace(outcome, result=Result.REJECTED, reason=f"the list is missing: {outcome.reason}")
        return outcome
    if write.kind is WriteKind.DELETE:
        return Outcome(Result.DONE)
    if not isinstance(part.body, dict) or "id" not in part.body:
        return Outcome(Result.UNKNOWN, reason="Google's answer to the write holds no task")
    observation = tasks_map.observe(part.body)
    if observation.deleted:
        return Outcome(Result.GONE, reason="the task has been deleted")
    return Outcome(Result.DONE, observation)
