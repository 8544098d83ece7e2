"""Writes to single occurrences of series.

An occurrence has no id of its own until somebody changes it; before, it is "the n-th of that series". Whatever is written is
first read: that it is the wanted occurrence is then certain, only what differs is sent, and what another has changed since
we saw it is a conflict; so is a create of what somebody has changed or deleted already. A change of one occurrence is a
change of its series and gives all of them a new version, so that no two writes to one series go into one call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.mailbox.exchange import calls, errors, feed, props
from engine.mailbox.exchange.calendar_read import (
    Seen,
    cancelled,
    content_version,
    observe_occurrence,
    split_id,
)
from engine.mailbox.exchange.calls import Item
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.kinds import Kind
from engine.mailbox.exchange.recurrence import Unwritable, index_of
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import element, text_of
from engine.model.canonical import diff
from engine.model.occurrences import OCCUPIED, occupied
from engine.model.port import Account, Observation, Outcome, Result, Write, WriteKind


@dataclass(frozen=True, slots=True)
class _Target:
    """An occurrence that stands in its series.

    Attributes:
        index, write: what was asked.
        id, version: Exchange's of the occurrence.
        now: how it is.
    """

    index: int
    write: Write
    id: str
    version: str
    now: Observation


def waves(items: Sequence[Item], size: int) -> list[list[Item]]:
    """The writes in groups of at most ``size`` in which no series stands twice."""
    groups: list[list[Item]] = []
    taken: list[set[str]] = []
    for item in items:
        series = item[1].parent or ""
        place = next(
            (n for n, names in enumerate(taken) if series not in names and len(groups[n]) < size), len(groups)
        )
        if place == len(groups):
            groups.append([])
            taken.append(set())
        groups[place].append(item)
        taken[place].add(series)
    return groups


async def apply(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    items: Sequence[Item],
    outcomes: dict[int, Outcome],
) -> None:
    """Make the changes of one wave.

    Raises:
        ProviderError: a call failed as a whole.
    """
    targets = await _find(client, account, kind, items, outcomes)
    removed = [one for one in targets if cancels(one.write)]
    for notify in (False, True):
        await _remove(client, account, kind, [one for one in removed if one.write.notify is notify], outcomes)
    changed = [one for one in targets if not cancels(one.write)]
    for notify in (False, True):
        await _change(client, account, kind, [one for one in changed if one.write.notify is notify], outcomes)


def cancels(write: Write) -> bool:
    """Whether a write takes the occurrence out of its series."""
    wanted = write.patch if write.kind is WriteKind.UPDATE else write.fields
    return write.kind is WriteKind.DELETE or bool(wanted.get("cancelled"))


async def _find(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    items: Sequence[Item],
    outcomes: dict[int, Outcome],
) -> list[_Target]:
    """The occurrences as they are; those that are not there are settled."""
    seen = await feed.read_seen(
        client, account, kind, list(dict.fromkeys(write.parent or "" for _, write in items))
    )
    there: list[Item] = []
    ids: list[str] = []
    for index, write in items:
        series, start = write.parent or "", write.occurrence or split_id(write.remote_id)[1]
        master = seen[series]
        if master is None or master is feed.NOT_OURS:
            outcomes[index] = Outcome(Result.GONE, reason="the series is no longer there")
        elif start in master.deleted:
            outcomes[index] = _left_out(write, master, start)
        else:
            where = _where(master, account, start)
            if where is None:
                outcomes[index] = _not_in_series(write, master, start)
                continue
            ids.append(where)
            there.append((index, replace(write, occurrence=start)))
    nodes = await feed.get_items(client, account, kind.shape, ids)
    found = []
    for (index, write), node in zip(there, nodes, strict=True):
        master = seen[write.parent or ""]
        assert master is not None
        outcome = _target(index, write, node, master, account)
        if isinstance(outcome, Outcome):
            outcomes[index] = outcome
        else:
            found.append(outcome)
    return found


def _where(master: Seen, account: Account, start: str) -> str | None:
    """The id element of an occurrence: its own, or its number in the series; ``None`` when the series has none there."""
    if start in master.changed:
        return element("t:ItemId", Id=master.changed[start])
    fields = master.observation.fields
    first = fields.get("start") or {}
    rule = fields.get("rule")
    if not rule or not first:
        return None
    number = index_of(rule["lines"], first, first.get("zone") or account.zone, start)
    if number is None:
        return None
    return element("t:OccurrenceItemId", RecurringMasterId=master.observation.remote_id, InstanceIndex=number)


def _target(index: int, write: Write, node: Any, master: Seen, account: Account) -> _Target | Outcome:
    series, start = write.parent or "", write.occurrence or ""
    now = None if node is None else observe_occurrence(node, account, series, start)
    if now is None:
        return _left_out(write, master, start)
    unchanged = start not in master.changed
    if unchanged and not _begins(now.fields, start):
        # Exchange counts otherwise than we do: nothing is written rather than to another day.
        return Outcome(Result.REJECTED, reason=f"Exchange has another occurrence in place of {start}")
    if write.kind is not WriteKind.CREATE and write.etag and write.etag != now.etag:
        return Outcome(Result.CONFLICT, reason="it was changed since it was seen")
    # The occurrence itself tells best: it may have been changed after its series was read.
    taken = not unchanged or text_of(node, "CalendarItemType") == "Exception"
    if write.kind is WriteKind.CREATE and taken and occupied(write, now.fields):
        return Outcome(Result.CONFLICT, reason=OCCUPIED)
    native = now.native or {}
    return _Target(index, write, str(native.get("occurrence")), str(native.get("version")), now)


def _begins(fields: Mapping[str, Any], start: str) -> bool:
    moment = fields.get("start") or {}
    return start in {moment.get("date"), moment.get("utc")}


def _left_out(write: Write, master: Seen, start: str) -> Outcome:
    """The outcome of a write to an occurrence that is deleted."""
    shown = master.observation
    if write.kind is WriteKind.DELETE:
        return Outcome(Result.GONE, reason="it is deleted already")
    if cancels(write):
        return Outcome(Result.DONE, cancelled(shown.remote_id, write.module, start, shown.modified))
    if write.kind is WriteKind.CREATE:
        return Outcome(Result.CONFLICT, reason=OCCUPIED)
    return Outcome(
        Result.REJECTED,
        reason=f"the occurrence of {start} was deleted, and Exchange cannot bring one back into its series",
    )


def _not_in_series(write: Write, master: Seen, start: str) -> Outcome:
    if cancels(write):
        return _left_out(write, master, start)
    return Outcome(Result.REJECTED, reason=f"the series has no occurrence on {start}")


async def _remove(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    targets: Sequence[_Target],
    outcomes: dict[int, Outcome],
) -> None:
    if not targets:
        return
    ids = [element("t:ItemId", Id=one.id, ChangeKey=one.version or None) for one in targets]
    messages = await calls.delete_items(client, account, kind, ids, targets[0].write)
    if len(messages) != len(targets):
        raise feed.short("DeleteItem", len(targets), len(messages))
    for one, message in zip(targets, messages, strict=True):
        if not message.ok:
            outcomes[one.index] = _failed(message, one.write)
        elif one.write.kind is WriteKind.DELETE:
            outcomes[one.index] = Outcome(Result.DONE)
        else:
            shown = cancelled(
                one.write.parent or "", one.write.module, one.write.occurrence or "", one.now.modified
            )
            outcomes[one.index] = Outcome(Result.DONE, shown)


async def _change(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    targets: Sequence[_Target],
    outcomes: dict[int, Outcome],
) -> None:
    sent: list[_Target] = []
    bodies: list[str] = []
    for one in targets:
        write = _difference(one)
        try:
            updates = kind.changes(write, account) if write.patch else ""
        except Unwritable as reason:
            outcomes[one.index] = Outcome(Result.REJECTED, reason=str(reason))
            continue
        if not updates:
            outcomes[one.index] = Outcome(Result.DONE, one.now)
            continue
        sent.append(one)
        bodies.append(calls.change(one.id, one.version, updates))
    if not sent:
        return
    messages = await calls.update_items(client, account, kind, bodies, sent[0].write)
    if len(messages) != len(sent):
        raise feed.short("UpdateItem", len(sent), len(messages))
    done: list[tuple[_Target, str]] = []
    for one, message in zip(sent, messages, strict=True):
        items = message.items()
        if not message.ok:
            outcomes[one.index] = _failed(message, one.write)
        else:
            identity = props.id_of(items[0])[0] if items else one.id
            done.append((one, identity))
    nodes = await feed.get_items(
        client, account, kind.shape, [element("t:ItemId", Id=identity) for _, identity in done]
    )
    for (one, _), node in zip(done, nodes, strict=True):
        series, start = one.write.parent or "", one.write.occurrence or ""
        shown = None if node is None else observe_occurrence(node, account, series, start)
        if shown is None:
            fields = {**one.now.fields, **_difference(one).patch}
            shown = replace(one.now, fields=fields, etag=content_version(fields))
        outcomes[one.index] = Outcome(Result.DONE, shown)


def _failed(message: Message, write: Write) -> Outcome:
    """As ``calls.failed``; an occurrence that we were to make and that is gone since we looked was deleted by somebody.

    Raises:
        ProviderError: it means the mailbox or the connection.
    """
    outcome = calls.failed(message, write)
    if write.kind is WriteKind.CREATE and errors.is_gone(message.code):
        return replace(outcome, result=Result.CONFLICT)
    return outcome


def _difference(target: _Target) -> Write:
    """The write with a patch of what differs from how the occurrence is, and the guests that it has."""
    write = target.write
    wanted = {**write.fields, **write.patch}
    names = set(write.patch if write.kind is WriteKind.UPDATE else wanted) - {"rule", "cancelled"}
    patch = diff(write.module, target.now.fields, wanted, sorted(names))
    native = {**(write.native or {}), **(target.now.native or {})}
    fields = {**target.now.fields, **{name: value for name, value in wanted.items() if value is not None}}
    return replace(write, patch=patch, fields=fields, native=native)
