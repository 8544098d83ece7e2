"""Carrying out a part of a preview: an ordinary cycle that plans the chosen links afresh and writes what was previewed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from engine.ledger import proposals
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.proposals import Proposal
from engine.model.states import CycleKind
from engine.sync.chosen import Chosen
from engine.sync.context import PolicyContext, Run
from engine.sync.cycle import run_cycle

GONE = "nothing is left to do about it: it was synced, or changed back, since the preview"


async def apply_preview(
    context: PolicyContext,
    record: MailboxRecord,
    fence: Fence,
    stop: asyncio.Event,
    lines: Iterable[Proposal],
) -> Run:
    """Carry out lines of a mailbox's preview, and nothing else.

    Both sides are read first. A link whose plan is no longer what was previewed (other writes, other values, another
    version) is left alone and its lines become outdated with the reason; an ordinary cycle deals with it. Guards hold
    what they must. A mailbox that was never initialised stays so, and its guests are not mailed.

    Returns:
        the finished run.

    Raises:
        Stopped, Waits, StaleLease: as ``run_cycle``; what was not done stays proposed.
    """
    chosen = Chosen.of(lines)
    kind = CycleKind.FULL if record.phase == "ready" else CycleKind.FIRST
    try:
        run = await run_cycle(context, record, fence, kind, stop, chosen=chosen)
    finally:
        # A killed or stopped run is told from the ledger as well: what was written is gone from the preview's work list.
        await context.ledger.write(proposals.settle, fence, (), chosen.changed)
    await _settle(run, chosen)
    return run


async def _settle(run: Run, chosen: Chosen) -> None:
    written = await run.ledger.read(proposals.written, run.cycle_id, run.record.id) if run.cycle_id else {}
    over: set[int] = set()
    outdated = {key: why for key, why in chosen.changed.items() if key not in written}
    for link_id in chosen.agreed:
        state, error = written.get(link_id, ("done", ""))
        if state in {"done", "planned", "in_flight", "unknown", "held"}:
            over.add(link_id)
        else:
            outdated[link_id] = error or "it could not be written"
    if not run.faults:
        # After a fault nobody knows whether there is something left to do; the lines stay proposed.
        outdated |= dict.fromkeys(chosen.left(over | outdated.keys()), GONE)
    await run.ledger.write(proposals.settle, run.fence, over, outdated)
    held = sum(written.get(link_id, ("", ""))[0] == "held" for link_id in over)
    said = [f"{len(over) - held:,} items of the preview carried out"]
    if held:
        said.append(f"{held:,} held: key h on the user, or syncline held, settles them")
    if outdated:
        said.append(f"{len(outdated):,} left alone: they changed since the preview")
    run.note("; ".join(said), "✓")
