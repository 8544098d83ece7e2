"""Writes in batches of the setting's size, with a result for each item; see ``occurrences`` for those of a series.

Exchange answers a write with ids and versions alone. What it made of the values is read once after some batches and kept for
the feed, which would otherwise read it: the number of calls is the same, and what Exchange rewrites is known at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from engine.mailbox.exchange import feed, occurrences, props, search
from engine.mailbox.exchange.calendar_write import left_out
from engine.mailbox.exchange.calls import Item, change, delete_items, failed, guarded, said, update_items
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.kinds import Kind, account_of, kind_of
from engine.mailbox.exchange.recurrence import Unwritable
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import element
from engine.model.port import Account, Observation, Outcome, Result, Scope, Write, WriteKind
from engine.net.errors import ProviderError

#: So many writes are taken at once, in batches of the setting's size: they are read back together.
GROUP = 25

Written = tuple[int, Write, str, str]
"""A write that was done: its place, itself, id and version of the item as the answer gave them."""


async def apply(client: ExchangeClient, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
    """Make the changes; one outcome per write, in order.

    Raises:
        ProviderError: nothing could be written at all, for a reason that concerns the mailbox or the connection.
    """
    account, kind = account_of(scope), kind_of(scope)
    outcomes: dict[int, Outcome] = {}
    plain = [(index, write) for index, write in enumerate(writes) if write.parent is None]
    for work, of in ((_create, WriteKind.CREATE), (_update, WriteKind.UPDATE), (_delete, WriteKind.DELETE)):
        for notify in (False, True):
            items = [(index, write) for index, write in plain if write.kind is of and write.notify is notify]
            size = client.settings.batch_size
            written: list[Written] = []
            for start in range(0, len(items), size):
                batch = items[start : start + size]
                await guarded(outcomes, batch, work(client, account, scope, kind, batch, outcomes, written))
                if stops(outcomes, batch, items[start + size :]):
                    break
            if written:
                await read_back(client, account, kind, written, outcomes)
            if of is WriteKind.CREATE and kind.events:
                made = [(index, write) for index, write in items if outcomes[index].result is Result.DONE]
                await _leave_out(client, account, kind, made, outcomes)
    # What leaves a series goes first: another occurrence may then take its place, over which Exchange lets none pass.
    changed = sorted(
        ((index, write) for index, write in enumerate(writes) if write.parent is not None),
        key=lambda item: not occurrences.cancels(item[1]),
    )
    waves = occurrences.waves(changed, client.settings.batch_size)
    for number, wave in enumerate(waves):
        await guarded(outcomes, wave, occurrences.apply(client, account, kind, wave, outcomes))
        if stops(outcomes, wave, [item for later in waves[number + 1 :] for item in later]):
            break
    return [outcomes[index] for index in range(len(writes))]


def group(size: int) -> int:
    """How many writes are worth taking at once where a batch has so many: reading back then costs little beside them."""
    return size * ceil(GROUP / size)


def stops(outcomes: dict[int, Outcome], batch: Sequence[Item], behind: Sequence[Item]) -> bool:
    """Whether a batch went so badly that those behind it are better not sent; they are settled as refused then."""
    bad = [
        outcomes[index]
        for index, _ in batch
        if index in outcomes and outcomes[index].result in {Result.REFUSED, Result.UNKNOWN}
    ]
    if not bad:
        return False
    waits = [one.retry_after for one in bad if one.retry_after is not None]
    refused = Outcome(Result.REFUSED, reason=bad[0].reason, retry_after=max(waits, default=None))
    for index, _ in behind:
        outcomes.setdefault(index, refused)
    return True


async def read_back(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    written: Sequence[Written],
    outcomes: dict[int, Outcome],
) -> None:
    """Read what writes have left; a write whose result cannot be read is done all the same, as it was asked for.

    So is one whose item has another version by now: what is read then may be a person's edit, which the feed shall tell.

    Args:
        client: the server.
        account: the mailbox.
        kind: of item.
        written: place, write, id and version as the answer to the write gave them.
        outcomes: where the results go.
    """
    try:
        seen = await feed.read_seen(client, account, kind, [identity for _, _, identity, _ in written])
    except ProviderError:
        # The feed will show it. Its version is known, so nothing of it is taken for a person's edit.
        seen = {}
    for index, write, identity, version in written:
        one = seen.get(identity)
        if one is not None and one is not feed.NOT_OURS and one.observation.etag == version:
            observation = one.observation
            client.remember(account, observation, version)
        elif identity in seen and one is None:
            outcomes[index] = Outcome(Result.GONE, reason="deleted right after it was written")
            continue
        else:
            observation = as_asked(write, identity, version)
        outcomes[index] = Outcome(Result.DONE, observation)


def as_asked(write: Write, identity: str, version: str) -> Observation:
    """The item after a write that could not be read back: as it was asked for."""
    fields = {name: value for name, value in {**write.fields, **write.patch}.items() if value is not None}
    native = dict(write.native or {}) | {"kind": write.module.value}
    return Observation(
        identity,
        write.module,
        fields,
        etag=version,
        marker=write.key if write.kind is WriteKind.CREATE else None,
        containers=write.containers,
        native=native,
    )


# -- creates -----------------------------------------------------------------------------------------------


async def _create(
    client: ExchangeClient,
    account: Account,
    scope: Scope,
    kind: Kind,
    items: Sequence[Item],
    outcomes: dict[int, Outcome],
    written: list[Written],
) -> None:
    await _adopt(client, account, scope, kind, [one for one in items if one[1].attempt > 0], outcomes)
    sent: list[Item] = []
    bodies: list[str] = []
    for index, write in items:
        if index in outcomes:
            continue
        try:
            bodies.append(kind.create(write, account))
            sent.append((index, write))
        except Unwritable as reason:
            outcomes[index] = Outcome(Result.REJECTED, reason=str(reason))
    if not sent:
        return
    body = element(
        "m:CreateItem",
        element("m:SavedItemFolderId", element("t:FolderId", Id=scope.remote_id))
        + element("m:Items", "".join(bodies)),
        MessageDisposition="SaveOnly",
        SendMeetingInvitations=said(sent[0][1]) if kind.events else None,
    )
    messages = await client.call(account, "CreateItem", body, idempotent=False)
    written += _told("CreateItem", sent, messages, outcomes)


def _told(
    operation: str, sent: Sequence[Item], messages: Sequence[Message], outcomes: dict[int, Outcome]
) -> list[Written]:
    """Settle each; what was done with its id and version, until it has been read back."""
    if len(messages) != len(sent):
        raise feed.short(operation, len(sent), len(messages))
    done = []
    for (index, write), message in zip(sent, messages, strict=True):
        found = message.items()
        identity, version = props.id_of(found[0]) if message.ok and found else ("", "")
        if identity:
            done.append((index, write, identity, version))
            outcomes[index] = Outcome(Result.DONE, as_asked(write, identity, version))
        elif message.ok:
            outcomes[index] = Outcome(Result.UNKNOWN, reason="Exchange's answer to the write holds no item")
        else:
            outcomes[index] = failed(message, write)
    return done


async def _leave_out(
    client: ExchangeClient,
    account: Account,
    kind: Kind,
    made: Sequence[Item],
    outcomes: dict[int, Outcome],
) -> None:
    """Delete the occurrences that the rule of a new series leaves out (``EXDATE``)."""
    for index, write in made:
        seen = outcomes[index].observation
        identity = "" if seen is None else seen.remote_id
        for start in left_out(write, account):
            cancel = Write(
                WriteKind.CREATE,
                write.module,
                write.key,
                fields={"cancelled": True},
                parent=identity,
                occurrence=start,
            )
            told: dict[int, Outcome] = {}
            await guarded(told, [(0, cancel)], occurrences.apply(client, account, kind, [(0, cancel)], told))
            # What a person has changed meanwhile stays: the feed tells of it.
            if told[0].result not in {Result.DONE, Result.CONFLICT}:
                # A repeat finds the series by its key and tries these again.
                outcomes[index] = Outcome(Result.UNKNOWN, reason=f"{start} is not left out: {told[0].reason}")


async def _adopt(
    client: ExchangeClient,
    account: Account,
    scope: Scope,
    kind: Kind,
    items: Sequence[Item],
    outcomes: dict[int, Outcome],
) -> None:
    """Find what earlier attempts left, by our key; one search per fifty."""
    reference = element("t:FolderId", Id=scope.remote_id)
    by_key = await search.by_keys(client, account, reference, [write.key for _, write in items])
    found = [(index, write, *by_key[write.key]) for index, write in items if write.key in by_key]
    if not found:
        return
    seen = await feed.read_seen(client, account, kind, [identity for _, _, identity, _ in found])
    for index, _write, identity, _ in found:
        one = seen[identity]
        if one is not None and one is not feed.NOT_OURS:
            outcomes[index] = Outcome(Result.DONE, one.observation)


# -- updates and deletes -----------------------------------------------------------------------------------


async def _update(
    client: ExchangeClient,
    account: Account,
    scope: Scope,
    kind: Kind,
    items: Sequence[Item],
    outcomes: dict[int, Outcome],
    written: list[Written],
) -> None:
    sent: list[Item] = []
    bodies: list[str] = []
    for index, write in items:
        try:
            updates = kind.changes(write, account)
        except Unwritable as reason:
            outcomes[index] = Outcome(Result.REJECTED, reason=str(reason))
            continue
        if not updates:
            outcomes[index] = Outcome(Result.DONE, as_asked(write, write.remote_id, write.etag or ""))
            written.append((index, write, write.remote_id, write.etag or ""))
            continue
        sent.append((index, write))
        bodies.append(change(write.remote_id, write.etag or "", updates))
    if sent:
        messages = await update_items(client, account, kind, bodies, sent[0][1])
        written += _told("UpdateItem", sent, messages, outcomes)


async def _delete(
    client: ExchangeClient,
    account: Account,
    scope: Scope,
    kind: Kind,
    items: Sequence[Item],
    outcomes: dict[int, Outcome],
    _written: list[Written],
) -> None:
    """Into the person's Deleted Items. Exchange does not compare versions when it deletes, so they are read just before."""
    nodes = await feed.get_items(
        client, account, props.IDS_ONLY, [element("t:ItemId", Id=write.remote_id) for _, write in items]
    )
    sent: list[Item] = []
    for (index, write), node in zip(items, nodes, strict=True):
        if node is None:
            outcomes[index] = Outcome(Result.GONE, reason="it is no longer there")
        elif write.etag and props.id_of(node)[1] != write.etag:
            outcomes[index] = Outcome(Result.CONFLICT, reason="it was changed since it was seen")
        else:
            sent.append((index, write))
    if not sent:
        return
    ids = [element("t:ItemId", Id=write.remote_id) for _, write in sent]
    messages = await delete_items(client, account, kind, ids, sent[0][1])
    if len(messages) != len(sent):
        raise feed.short("DeleteItem", len(sent), len(messages))
    for (index, write), message in zip(sent, messages, strict=True):
        outcomes[index] = Outcome(Result.DONE) if message.ok else failed(message, write)
