"""The feed of one folder, and items by id.

``SyncFolderItems`` tells ids and versions, 512 a page and one call when nothing has changed; what is new is then read by
``GetItem``, since Exchange gives neither bodies nor guests in a sync ("EWS synchronization", Microsoft's advice). What a
write of ours has left is known already and is not read again.

A series is one item of the feed. What it says of its changed and deleted occurrences is told as observations of their own;
which changed ones it had before stands in the cursor, so that one that Exchange has dropped (a series whose pattern is
changed loses them all) is told as well.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.mailbox.exchange import errors, props
from engine.mailbox.exchange.calendar_read import (
    Seen,
    cancelled,
    observe_occurrence,
    plain_occurrence,
    split_id,
)
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.kinds import Kind, account_of, kind_of, region_of
from engine.mailbox.exchange.recurrence import index_of
from engine.mailbox.exchange.settings import PAGE, PROVIDER
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import M, element, leaf, name_of
from engine.model.port import Account, Observation, Page, Scope
from engine.net.errors import CursorExpired, ErrorKind, ProviderError

#: Items of one ``GetItem``; more at once make Exchange 2010 delay its answers (providers.md section 3).
READ = 100


@dataclass(slots=True)
class Cursor:
    """Where a feed stands.

    Attributes:
        state: Exchange's sync state.
        changed: original starts of the changed occurrences of each series that has any.
    """

    state: str = ""
    changed: dict[str, list[str]] = field(default_factory=dict)

    def text(self) -> str:
        """As the ledger keeps it: the plain state where there are no changed occurrences."""
        if not self.changed:
            return f"s:{self.state}"
        return "x:" + json.dumps([self.state, self.changed], separators=(",", ":"), sort_keys=True)


def read_cursor(text: str) -> Cursor:
    """The cursor of a text.

    Raises:
        CursorExpired: it is none of this version's.
    """
    kind, _, rest = text.partition(":")
    if kind == "s" and rest:
        return Cursor(rest)
    if kind == "x":
        try:
            state, changed = json.loads(rest)
            return Cursor(str(state), {str(key): list(value) for key, value in changed.items()})
        except (ValueError, TypeError, AttributeError):
            pass
    raise CursorExpired("the cursor cannot be read")


async def changes(client: ExchangeClient, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
    """Pages of what changed since the cursor; every item when there is none.

    Raises:
        CursorExpired: Exchange no longer knows the sync state.
        ProviderError: a call failed.
    """
    account, kind = account_of(scope), kind_of(scope)
    place = Cursor() if cursor is None else read_cursor(cursor)
    while True:
        message = await _sync(client, account, scope, place.state)
        place.state = message.node.findtext(f"{M}SyncState") or ""
        last = message.node.findtext(f"{M}IncludesLastItemInRange")
        listed, removed = _listed(message.node.find(f"{M}Changes"))
        observed = await _observe(client, account, kind, listed, place, complete=cursor is None)
        observed += [Observation(one, kind.module, deleted=True) for one in removed]
        for one in removed:
            place.changed.pop(one, None)
        if not place.state or last not in {"true", "false"}:
            raise ProviderError(
                ErrorKind.MALFORMED,
                PROVIDER,
                f"the sync of {scope.key} brings no sync state",
                advice="Check that the url of the connection is EWS itself",
            )
        done = last == "true"
        yield Page(tuple(observed), cursor=place.text() if done else None, snapshot=cursor is None)
        if done:
            return


async def _sync(client: ExchangeClient, account: Account, scope: Scope, state: str) -> Message:
    body = element(
        "m:SyncFolderItems",
        props.IDS_ONLY
        + element("m:SyncFolderId", element("t:FolderId", Id=scope.remote_id))
        + (leaf("m:SyncState", state) if state else "")
        + leaf("m:MaxChangesReturned", PAGE),
    )
    try:
        [message] = await client.call(account, "SyncFolderItems", body, idempotent=True)
    except ValueError:
        raise ProviderError(
            ErrorKind.MALFORMED, PROVIDER, "the answer to SyncFolderItems holds another number of messages"
        ) from None
    if message.ok:
        return message
    if state and errors.is_bad_state(message.code):
        raise CursorExpired(f"{message.text} ({message.code})")
    raise errors.fault_of(message.code, message.text, message.back_off)


def _listed(node: Any) -> tuple[list[tuple[str, str]], list[str]]:
    """Ids with versions of what is there, and ids of what is gone; of several entries of one item the last counts."""
    there: dict[str, str | None] = {}
    for change in node if node is not None else ():
        name = name_of(change)
        if name in {"Create", "Update"} and len(change):
            identity, version = props.id_of(change[0])
            there.pop(identity, None)
            there[identity] = version
        elif name == "Delete":
            identity, _ = props.id_of(change)
            there.pop(identity, None)
            there[identity] = None
    live = [(identity, version) for identity, version in there.items() if version is not None]
    return live, [identity for identity, version in there.items() if version is None]


async def _observe(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    listed: Sequence[tuple[str, str]],
    place: Cursor,
    *,
    complete: bool,
) -> list[Observation]:
    known: dict[str, Observation] = {}
    for identity, version in listed:
        echo = client.echo(account, identity, version)
        if echo is not None and "rule" not in echo.fields:
            known[identity] = echo
    missing = [identity for identity, _ in listed if identity not in known]
    seen = await read_seen(client, account, kind, missing)
    observed: list[Observation] = []
    series: list[Seen] = []
    for identity, _ in listed:
        if identity in known:
            observed.append(known[identity])
            continue
        one = seen[identity]
        if one is None:
            # Gone between the sync and the read: the next sync tells, and a complete listing does not list it.
            if not complete:
                observed.append(Observation(identity, kind.module, deleted=True))
            continue
        if one is NOT_OURS:
            continue
        observed.append(one.observation)
        if one.observation.fields.get("rule") or identity in place.changed:
            series.append(one)
    observed += await _occurrences(client, account, series, place)
    return observed


#: What stands for an item that is never synchronised.
NOT_OURS = Seen(Observation("", kind_of(Scope("tasks", "", ())).module))


async def read_seen(
    client: ExchangeClient, account: Account, kind: Kind, ids: Sequence[str]
) -> dict[str, Seen | None]:
    """Items by id; ``None`` for what is gone, ``NOT_OURS`` for what is never synchronised.

    Raises:
        ProviderError: an item could be neither read nor found missing.
    """
    nodes = await get_items(client, account, kind.shape, [element("t:ItemId", Id=one) for one in ids])
    region = region_of(client)

    def observe_all() -> dict[str, Seen | None]:
        return {
            identity: None if node is None else kind.observe(node, account, region) or NOT_OURS
            for identity, node in zip(ids, nodes, strict=True)
        }

    # A page is up to 512 items: that much would hold up the loop.
    return observe_all() if len(ids) < 20 else await client.work(observe_all)


async def get_items(
    client: ExchangeClient, account: Account, shape: str, ids: Sequence[str]
) -> list[Any | None]:
    """Elements of items in the order of ``ids`` (elements, too); ``None`` for one that is gone.

    Raises:
        ProviderError: an item could be neither read nor found missing.
    """
    found: list[Any | None] = []
    for start in range(0, len(ids), READ):
        part = ids[start : start + READ]
        body = element("m:GetItem", shape + element("m:ItemIds", "".join(part)))
        messages = await client.call(account, "GetItem", body, idempotent=True)
        if len(messages) != len(part):
            raise short("GetItem", len(part), len(messages))
        for message in messages:
            items = message.items()
            if message.ok and items:
                found.append(items[0])
            elif errors.is_gone(message.code):
                found.append(None)
            else:
                raise errors.fault_of(message.code, message.text, message.back_off)
    return found


def short(operation: str, asked: int, got: int) -> ProviderError:
    """An answer that does not say of each item what became of it."""
    return ProviderError(
        ErrorKind.MALFORMED,
        PROVIDER,
        f"{operation} was asked about {asked} items and answered about {got}",
        advice="It will be tried again; if it persists, lower batch_size",
        maybe_applied=True,
    )


async def _occurrences(
    client: ExchangeClient, account: Account, series: Iterable[Seen], place: Cursor
) -> list[Observation]:
    """What some series say of their occurrences; the cursor learns which are changed now."""
    told: list[Observation] = []
    wanted: list[tuple[Seen, str, str]] = []
    for one in series:
        master = one.observation
        before = set(place.changed.get(master.remote_id, ()))
        told += [cancelled(master.remote_id, master.module, start, master.modified) for start in one.deleted]
        told += [
            dropped(master, account, start) for start in sorted(before - set(one.changed) - set(one.deleted))
        ]
        wanted += [(one, start, identity) for start, identity in one.changed.items()]
        if one.changed:
            place.changed[master.remote_id] = sorted(one.changed)
        else:
            place.changed.pop(master.remote_id, None)
    told += await _changed(client, account, wanted)
    return told


def dropped(master: Observation, account: Account, start: str) -> Observation:
    """A changed occurrence that is none any more: plain again, or with its start no longer in the series."""
    rule = master.fields.get("rule")
    first = master.fields.get("start") or {}
    if rule and index_of(rule["lines"], first, first.get("zone") or account.zone, start) is not None:
        return plain_occurrence(master, start)
    return cancelled(master.remote_id, master.module, start, master.modified)


async def _changed(
    client: ExchangeClient, account: Account, wanted: Sequence[tuple[Seen, str, str]]
) -> list[Observation]:
    from engine.mailbox.exchange.kinds import CALENDAR

    ids = [element("t:ItemId", Id=identity) for _, _, identity in wanted]
    nodes = await get_items(client, account, CALENDAR.shape, ids)
    told = []
    for (one, start, _), node in zip(wanted, nodes, strict=True):
        master = one.observation
        found = None if node is None else observe_occurrence(node, account, master.remote_id, start)
        # Deleted between two reads: the series tells so at the next sync.
        if found is not None:
            told.append(found)
    return told


async def fetch(client: ExchangeClient, scope: Scope, ids: Sequence[str]) -> list[Observation]:
    """The present state of items by id, one observation per id, in order.

    Raises:
        ProviderError: an item could be neither read nor found missing.
    """
    account, kind = account_of(scope), kind_of(scope)
    masters = list(dict.fromkeys(split_id(one)[0] for one in ids if one))
    seen = await read_seen(client, account, kind, masters)
    wanted: dict[str, tuple[Seen, str, str]] = {}
    for remote_id in ids:
        series, start = split_id(remote_id)
        one = seen.get(series)
        if start and one is not None and start in one.changed:
            wanted[remote_id] = (one, start, one.changed[start])
    changed = {each.remote_id: each for each in await _changed(client, account, list(wanted.values()))}
    return [_found(remote_id, seen, changed, kind, account) for remote_id in ids]


async def occurrences(client: ExchangeClient, scope: Scope, series: Sequence[str]) -> list[Observation]:
    """The changed and deleted occurrences of series, as these tell them now.

    Raises:
        ProviderError: an item could be neither read nor found missing.
    """
    account, kind = account_of(scope), kind_of(scope)
    seen = await read_seen(client, account, kind, series)
    there = [one for one in seen.values() if one is not None and one is not NOT_OURS]
    told = [
        cancelled(one.observation.remote_id, one.observation.module, start, one.observation.modified)
        for one in there
        for start in one.deleted
    ]
    return told + await _changed(
        client, account, [(one, start, identity) for one in there for start, identity in one.changed.items()]
    )


def _found(
    remote_id: str,
    seen: Mapping[str, Seen | None],
    changed: Mapping[str, Observation],
    kind: Kind,
    account: Account,
) -> Observation:
    series, start = split_id(remote_id)
    one = seen.get(series)
    if one is None or one is NOT_OURS:
        return Observation(remote_id, kind.module, deleted=True)
    if not start:
        return one.observation
    if remote_id in changed:
        return changed[remote_id]
    if start in one.deleted:
        return cancelled(series, one.observation.module, start, one.observation.modified)
    return dropped(one.observation, account, start)
