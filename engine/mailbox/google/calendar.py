"""The calendar feed and its writes.

One scope is one Google calendar. The feed is read with sync tokens and without expanding series: masters and changed
occurrences only, one call when nothing changed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from googleapiclient.http import HttpRequest

from engine.mailbox.google import calendar_read, calendar_write
from engine.mailbox.google.batch import PartResult
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import outcome_of
from engine.mailbox.google.scopes import account_of
from engine.mailbox.google.settings import Api
from engine.model.canonical import EVENT_FIELDS
from engine.model.modules import Module
from engine.model.occurrences import OCCUPIED, is_plain, occupied
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
from engine.model.turns import in_slices
from engine.net.errors import ErrorKind, ProviderError

#: Google's largest page of events.
PAGE = 2500


def capability(batch: int) -> Capability:
    """What Google Calendar can do for appointments, calls and service calls; ``batch`` is the settings' size."""
    names = frozenset(EVENT_FIELDS)
    return Capability(
        fields=names,
        writable=names,
        create_key=CreateKey.NATURAL,
        guard=Guard.ETAG,
        batch=batch,
        parallel=2,
        cursor_days=None,
        tombstones=True,
        exceptions=True,
    )


async def changes(client: GoogleClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """Pages of events changed since the sync token; every event, without time window, when there is none.

    Raises:
        CursorExpired: 410; Google wants a full read.
    """
    account = account_of(scope)
    page_token: str | None = None
    while True:
        parameters: dict[str, Any] = {
            "calendarId": scope.remote_id,
            "maxResults": PAGE,
            "singleEvents": False,
        }
        if cursor:
            parameters["syncToken"] = cursor
        if page_token:
            parameters["pageToken"] = page_token
        answer = await client.execute(client.calendar.events.list(**parameters), account, idempotent=True)
        observed = tuple(await _observations(answer.get("items") or (), full=cursor is None))
        page_token = answer.get("nextPageToken")
        if page_token:
            yield Page(observed, snapshot=cursor is None)
            continue
        token = answer.get("nextSyncToken")
        if not token:
            raise ProviderError(
                ErrorKind.MALFORMED,
                Api.CALENDAR.label,
                f"the last page of calendar {scope.remote_id} brings no sync token",
                advice="Check the calendar endpoint in the connection's settings",
            )
        yield Page(observed, cursor=token, snapshot=cursor is None)
        return


async def _observations(items: Sequence[dict[str, Any]], *, full: bool) -> list[Observation]:
    seen = await in_slices(calendar_read.observe, items)
    # In a complete listing a tombstone says nothing that absence does not say.
    return [one for one in seen if one is not None and not (full and one.deleted)]


async def fetch(client: GoogleClient, scope: Scope, ids: Sequence[str]) -> list[Observation]:
    """The present state of events by id, one observation per id, in order.

    Raises:
        ProviderError: an event could be neither read nor found missing.
    """
    requests = [client.calendar.events.get(calendarId=scope.remote_id, eventId=one) for one in ids]
    parts = await client.execute_batch(Api.CALENDAR, requests, account_of(scope))
    found = []
    for remote_id, part in zip(ids, parts, strict=True):
        if part.error is not None and part.status not in {404, 410}:
            raise part.error
        observation = calendar_read.observe(part.body) if part.ok else None
        found.append(observation or Observation(remote_id, Module.APPOINTMENT, deleted=True))
    return found


async def occurrences(client: GoogleClient, scope: Scope, series: Sequence[str]) -> list[Observation]:
    """The changed and cancelled occurrences of series, in two calls for fifty of them.

    They carry the iCalUID of their series, under which the calendar is searched.

    Raises:
        ProviderError: a series could be neither read nor found missing.
    """
    account, events = account_of(scope), client.calendar.events
    calendar = {"calendarId": scope.remote_id}
    heads = [events.get(eventId=one, fields="iCalUID", **calendar) for one in series]
    wanted: list[dict[str, Any]] = []
    for part in await client.execute_batch(Api.CALENDAR, heads, account):
        if part.error is not None and part.status not in {404, 410}:
            raise part.error
        if part.ok and part.body.get("iCalUID"):
            wanted.append({"iCalUID": part.body["iCalUID"], "maxResults": PAGE, "singleEvents": False})
    found: list[Observation] = []
    while wanted:
        parts = await client.execute_batch(
            Api.CALENDAR, [events.list(**calendar, **one) for one in wanted], account
        )
        following = []
        for asked, part in zip(wanted, parts, strict=True):
            if part.error is not None:
                raise part.error
            found += [one for one in await _observations(part.body.get("items") or (), full=True) if one.parent]
            if part.body.get("nextPageToken"):
                following.append({**asked, "pageToken": part.body["nextPageToken"]})
        wanted = following
    return found


async def apply(client: GoogleClient, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
    """Make the changes in batches; one outcome per write, in order.

    Occurrences go after everything else, and two writes to one event never into one batch, whose calls Google may
    run in any order and at the same time (providers.md 1.2).
    """
    outcomes: list[Outcome | None] = [None] * len(writes)
    for wave in _waves(writes):
        ready = await _looked_at(client, scope, {index: writes[index] for index in wave})
        sent = {index: one for index, one in ready.items() if isinstance(one, Write)}
        requests = [_request(client, scope, write) for write in sent.values()]
        parts = await client.execute_batch(Api.CALENDAR, requests, account_of(scope)) if requests else []
        for (index, write), part in zip(sent.items(), parts, strict=True):
            outcomes[index] = await _outcome(client, scope, write, part)
        for index, one in ready.items():
            if isinstance(one, Outcome):
                outcomes[index] = one
    return [outcome for outcome in outcomes if outcome is not None]


async def _looked_at(
    client: GoogleClient, scope: Scope, wave: Mapping[int, Write]
) -> dict[int, Write | Outcome]:
    """The writes of a wave, those that make an occurrence with the version that they are to replace, or their outcome.

    An occurrence is there before anybody makes it: Google would let a patch pass over what a person has changed or
    cancelled there. One more batch reads them and their series.
    """
    ready: dict[int, Write | Outcome] = dict(wave)
    made = {
        index: one for index, one in wave.items() if one.kind is WriteKind.CREATE and one.parent is not None
    }
    if not made:
        return ready
    series = list(dict.fromkeys(write.parent or "" for write in made.values()))
    ids = [*series, *(_target(write) for write in made.values())]
    requests = [client.calendar.events.get(calendarId=scope.remote_id, eventId=one) for one in ids]
    parts = await client.execute_batch(Api.CALENDAR, requests, account_of(scope))
    heads = dict(zip(series, parts, strict=False))
    for (index, write), part in zip(made.items(), parts[len(series) :], strict=True):
        ready[index] = await _first(client, scope, write, heads[write.parent or ""], part)
    return ready


async def _first(
    client: GoogleClient, scope: Scope, write: Write, head: PartResult, part: PartResult
) -> Write | Outcome:
    """A create of an occurrence, guarded by the version of the plain one; its outcome where somebody was there first."""
    if head.status in {404, 410} or (head.ok and head.body.get("status") == "cancelled"):
        return Outcome(Result.GONE, reason="the series is no longer there")
    event = part.body
    if head.ok and part.status == 404:
        event = await _by_start(client, scope, write)
        if isinstance(event, Outcome):
            return event
    elif head.error is not None or part.error is not None:
        error = head.error or part.error
        assert error is not None
        return outcome_of(error)
    shown, master = calendar_read.observe(event), calendar_read.observe(head.body)
    if shown is None or master is None:
        return Outcome(Result.REJECTED, reason="its series is of a kind that is not synchronised")
    if not occupied(write, shown.fields):
        return Outcome(Result.DONE, shown)
    if not is_plain(write.module, shown.fields, master.fields, write.occurrence or ""):
        return Outcome(Result.CONFLICT, reason=OCCUPIED)
    return replace(write, remote_id=shown.remote_id, etag=shown.etag, native=shown.native)


def _waves(writes: Sequence[Write]) -> list[list[int]]:
    """Indexes of the writes, batch by batch."""
    waves: list[list[int]] = []
    for occurrences in (False, True):
        targets: list[set[str]] = []
        group: list[list[int]] = []
        for index, write in enumerate(writes):
            if (write.parent is not None) is not occurrences:
                continue
            target = _target(write)
            place = next((n for n, taken in enumerate(targets) if target not in taken), len(group))
            if place == len(group):
                group.append([])
                targets.append(set())
            group[place].append(index)
            targets[place].add(target)
        waves += group
    return waves


def _target(write: Write) -> str:
    if write.remote_id:
        return write.remote_id
    if write.parent and write.occurrence:
        return calendar_write.instance_id(write.parent, write.occurrence)
    return calendar_write.event_id(write.key)


def _request(client: GoogleClient, scope: Scope, write: Write, target: str = "") -> HttpRequest:
    """The call for a write. ``target`` overrides the event's id."""
    events = client.calendar.events
    zone = account_of(scope).zone
    common = {"calendarId": scope.remote_id, "sendUpdates": "all" if write.notify else "none"}
    event_id = target or _target(write)
    if write.kind is WriteKind.DELETE or _cancels(write):
        return _guarded(events.delete(eventId=event_id, **common), write)
    if write.parent is not None:
        body = calendar_write.occurrence_body(write, zone)
        return _guarded(events.patch(eventId=event_id, body=body, **common), write)
    if write.kind is WriteKind.CREATE:
        body = calendar_write.insert_body(write, zone)
        return events.insert(body={"id": event_id, **body}, **common, **calendar_write.label_version(body))
    body = calendar_write.patch_body(write, zone)
    request = events.patch(eventId=event_id, body=body, **common, **calendar_write.label_version(body))
    return _guarded(request, write)


def _guarded(request: HttpRequest, write: Write) -> HttpRequest:
    if write.etag:
        request.headers["If-Match"] = write.etag
    return request


def _cancels(write: Write) -> bool:
    """Whether the write cancels one occurrence, which Google calls deleting it."""
    wanted = write.patch if write.kind is WriteKind.UPDATE else write.fields
    return write.parent is not None and bool(wanted.get("cancelled"))


async def _outcome(client: GoogleClient, scope: Scope, write: Write, part: PartResult) -> Outcome:
    if part.error is None:
        return _done(write, part.body)
    if _cancels(write) and part.status == 410 and write.kind is not WriteKind.DELETE:
        return _done(write, None)
    if part.status == 404 and write.kind is WriteKind.CREATE and write.parent is not None:
        return Outcome(Result.GONE, reason="the series is no longer there")
    if _cancels(write) and part.status == 404 and write.kind is WriteKind.UPDATE:
        return await _lost_occurrence(client, scope, write)
    if part.status == 409 and write.kind is WriteKind.CREATE and write.parent is None:
        return await _taken(client, scope, write)
    if part.status == 409:
        # Another change to the same event at the same moment.
        return Outcome(Result.CONFLICT, reason=part.error.detail)
    outcome = outcome_of(part.error)
    if outcome.result is Result.GONE and write.kind is WriteKind.CREATE:
        return replace(outcome, result=Result.REJECTED, reason=f"the calendar is missing: {outcome.reason}")
    return outcome


def _done(write: Write, body: Any) -> Outcome:
    if write.kind is WriteKind.DELETE:
        return Outcome(Result.DONE)
    if _cancels(write):
        return Outcome(
            Result.DONE,
            Observation(
                _target(write),
                write.module,
                {"cancelled": True},
                parent=write.parent,
                occurrence=write.occurrence,
                native={"kind": write.module.value, "cancelled": True},
            ),
        )
    if not isinstance(body, dict) or "id" not in body:
        return Outcome(Result.UNKNOWN, reason="Google's answer to the write holds no event")
    return Outcome(Result.DONE, calendar_read.observe(body))


async def _alone(client: GoogleClient, scope: Scope, request: HttpRequest) -> PartResult:
    return (await client.execute_batch(Api.CALENDAR, [request], account_of(scope)))[0]


async def _taken(client: GoogleClient, scope: Scope, write: Write) -> Outcome:
    """409 on a create: our own event of an earlier attempt is adopted; a deleted or foreign one is passed by."""

    events = client.calendar.events
    for generation in range(calendar_write.GENERATIONS):
        target = calendar_write.event_id(write.key, generation)
        if generation > 0:
            part = await _alone(client, scope, _request(client, scope, write, target))
            if part.status != 409:
                return await _outcome(client, scope, replace(write, remote_id=target), part)
        part = await _alone(client, scope, events.get(calendarId=scope.remote_id, eventId=target))
        if part.error is not None:
            if part.status in {404, 410}:
                continue
            return outcome_of(part.error)
        if part.body.get("status") != "cancelled" and calendar_read.marker_of(part.body) == write.key:
            return Outcome(Result.DONE, calendar_read.observe(part.body))
    return Outcome(Result.REJECTED, reason="every id of this event is taken by a deleted event")


async def _by_start(client: GoogleClient, scope: Scope, write: Write) -> dict[str, Any] | Outcome:
    """404 on a computed occurrence id: ask Google for the occurrence of that original start.

    An occurrence that shall be cancelled and that the series leaves out already (``EXDATE``) is as it shall be.
    """
    request = client.calendar.events.instances(
        calendarId=scope.remote_id, eventId=write.parent, originalStart=write.occurrence, showDeleted=True
    )
    part = await _alone(client, scope, request)
    if part.error is not None and part.status not in {400, 404, 410}:
        return outcome_of(part.error)
    items = (part.body or {}).get("items") or () if part.ok else ()
    if items:
        return dict(items[0])
    if _cancels(write):
        return _done(write, None) if part.ok else Outcome(Result.GONE, reason="the series is no longer there")
    return Outcome(
        Result.REJECTED, reason=f"the series has no occurrence on {write.occurrence}, or is no longer there"
    )


async def _lost_occurrence(client: GoogleClient, scope: Scope, write: Write) -> Outcome:
    """404 on the cancelling of an occurrence under the id by which we know it."""
    event = await _by_start(client, scope, write)
    if isinstance(event, Outcome):
        return event
    found = replace(write, remote_id=str(event["id"]))
    answer = await _alone(client, scope, _request(client, scope, found))
    return _done(found, answer.body) if answer.error is None else outcome_of(answer.error)
