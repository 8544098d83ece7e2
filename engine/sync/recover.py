"""What an earlier run left open is settled before anything else (sync.md section 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.ledger import intents as units
from engine.ledger.intents import Open
from engine.model.canonical import FIELDS, same
from engine.model.modules import Module, Side
from engine.model.port import CreateKey, Observation, WriteKind
from engine.net.errors import ProviderError
from engine.sync.context import Run
from engine.sync.reread import record


async def recover(run: Run) -> None:
    """Settle intents of an earlier run.

    Writes that were never sent and updates and deletes in flight are planned afresh: their etag makes a repeat harmless. What
    an update has reached nevertheless becomes the base, and a delete whose item is gone was made. A create in flight is
    repeated under the same key where the provider recognises it; otherwise the item is looked for in the feed once the
    provider's lag is over, and only then repeated.
    """
    open_ = await run.ledger.read(units.left_open, run.record.id)
    if not open_:
        return
    now = run.clock.now_ms()
    void, repeat, unknown = [], [], {}
    for one in open_:
        if one.state == "in_flight" and one.kind != WriteKind.CREATE:
            void.append(one)
            continue
        capability = run.base.capability(Side(one.side), Module(one.module))
        if one.state == "planned":
            # A create that was sent before may have been made. It must stay a repeat: the connector looks for it only
            # then, and what a feed shows of it meanwhile is known by the key of the intent alone. An occurrence is known
            # by its series and start; its series may have gone since, and then a repeat would wait for ever.
            known = one.occurrence is not None or one.kind != WriteKind.CREATE
            if one.sent_at is None or known or capability is None:
                void.append(one)
            continue
        if capability is None:
            void.append(one)
        elif capability.create_key is not CreateKey.MARKER:
            repeat.append(one)
        elif one.state == "in_flight":
            unknown[one.id] = (one.sent_at or now) + capability.lag_seconds * 1000
    if void or repeat or unknown:
        found = await _looked_up(run, [one for one in void if one.state == "in_flight" and not one.mode])
        await run.ledger.write(
            units.recover,
            run.fence,
            void=[one for one in void if one.id not in found.removed | found.unseen],
            repeat=repeat,
            unknown=unknown,
            now=now,
            landed=[one for one in void if one.id in found.landed],
            reset=[one for one in void if one.id in found.landed and _resets(run, one)],
            removed=[one for one in void if one.id in found.removed],
        )
        run.note(f"resuming: {len(void) + len(repeat) + len(unknown)} writes were open when the engine ended")


@dataclass(slots=True)
class _Found:
    """What became of writes in flight, by the ids of their intents.

    Attributes:
        landed: updates whose values their item shows.
        removed: deletes whose item is gone.
        unseen: deletes whose item could not be read: they stay in flight.
    """

    landed: set[int] = field(default_factory=set)
    removed: set[int] = field(default_factory=set)
    unseen: set[int] = field(default_factory=set)


async def _looked_up(run: Run, sent: Sequence[Open]) -> _Found:
    """Look by id for what updates and deletes in flight have done.

    Values that landed must be known as ours before anybody edits on: the other side may have been edited while they were
    under way, and our own write, being younger, would win against that edit as if a person had made it. An item that went
    through us must not take its twin along, which somebody may have taken back from the bin meanwhile.
    """
    found = _Found()
    for side, feeds in ((Side.CRM, run.base.crm_feeds), (Side.MAILBOX, run.feeds)):
        connector = run.base.crm if side is Side.CRM else run.base.mailbox
        for feed in feeds:
            ours = {one.remote_id: one for one in sent if (one.side, one.scope_id) == (side, feed.row.id)}
            if not ours:
                continue
            try:
                seen = await connector.fetch(feed.scope, sorted(ours))
            except ProviderError as error:
                run.note(f"{feed.scope.key}: what was under way cannot be looked up: {error}", "!")
                found.unseen |= {one.id for one in ours.values() if one.kind == WriteKind.DELETE}
                continue
            updated: list[Observation] = []
            for one in seen:
                write = ours.get(one.remote_id)
                if write is None:
                    continue
                if write.kind == WriteKind.DELETE:
                    if one.deleted:
                        found.removed.add(write.id)
                    continue
                updated.append(one)
                if not one.deleted and _shows(write, one.fields):
                    found.landed.add(write.id)
            if updated:
                # Before the base says so: a late feed may show them as they were, which is no edit of anybody.
                await record(run, side, feed, updated, [one.remote_id for one in updated])
    return found


def _resets(run: Run, write: Open) -> bool:
    """Whether an update of a series has taken what was changed about its occurrences with it."""
    capability = run.base.capability(Side(write.side), Module(write.module))
    return capability is not None and capability.resets and not {"start", "rule"}.isdisjoint(write.patch)


def _shows(write: Open, fields: Mapping[str, Any]) -> bool:
    table = FIELDS[Module(write.module)]
    return all(same(table[name].kind, value, fields.get(name)) for name, value in write.patch.items())


async def repeat_lost(run: Run, modules: Collection[Module]) -> int:
    """Creates whose outcome was unknown, whose item the feed does not show although its lag is over: plan them again.

    Call after the mailbox's feed was read: what the feed did show has been adopted, and its intent closed. Returns how
    many still wait for the lag to end.
    """
    now = run.clock.now_ms()
    waiting = 0
    again = []
    for one in await run.ledger.read(units.left_open, run.record.id):
        if one.state == "unknown" and one.module in modules:
            if one.not_before <= now:
                again.append(one)
            else:
                waiting += 1
    if again:
        await run.ledger.write(units.recover, run.fence, void=[], repeat=again, unknown={}, now=now)
    return waiting
