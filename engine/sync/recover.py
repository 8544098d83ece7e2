"""What an earlier run left open is settled before anything else (sync.md section 3.2)."""

from __future__ import annotations

from collections.abc import Collection

from engine.ledger import intents as units
from engine.model.modules import Module, Side
from engine.model.port import CreateKey, WriteKind
from engine.sync.context import Run


async def recover(run: Run) -> None:
    """Settle intents of an earlier run.

    Writes that were never sent and updates and deletes in flight are planned afresh: their etag makes a repeat harmless. A create in
    flight is repeated under the same key where the provider recognises it; otherwise the item is looked for in the feed
    once the provider's lag is over, and only then repeated.
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
            # A create that was sent before must stay a repeat, since the connector looks for it only then.
            if one.sent_at is None or capability is None or capability.create_key is not CreateKey.PROBE:
                void.append(one)
            continue
        if capability is None:
            void.append(one)
        elif capability.create_key is not CreateKey.MARKER:
            repeat.append(one)
        elif one.state == "in_flight":
            unknown[one.id] = (one.sent_at or now) + capability.lag_seconds * 1000
    if void or repeat or unknown:
        await run.ledger.write(units.recover, run.fence, void=void, repeat=repeat, unknown=unknown, now=now)
        run.note(f"resuming: {len(void) + len(repeat) + len(unknown)} writes were open when the engine ended")


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
