"""Orders of an admin, carried out before a mailbox's ordinary cycle: undo of a cycle, leaving a mailbox."""

from __future__ import annotations

import asyncio

from engine.ledger import orders as units
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.orders import Order
from engine.model.states import CycleKind
from engine.sync.context import PolicyContext, Run, Waits
from engine.sync.cycle import run_cycle
from engine.sync.undoing import undo_work

#: A write of unknown outcome is looked for again after so long, in milliseconds.
PATIENCE_MS = 60_000


async def carry_out(
    context: PolicyContext, record: MailboxRecord, fence: Fence, order: Order, stop: asyncio.Event
) -> Run:
    """Carry out one order in a cycle of its own; a killed one goes on where it was.

    Returns:
        the run; the order is closed when it had no fault and nothing of it is open.

    Raises:
        Stopped, Waits, StaleLease: as ``run_cycle``; the order stands.
    """
    kind = CycleKind(order.kind)
    run = await run_cycle(context, record, fence, kind, stop, work=undo_work(order), cycle_id=order.cycle_id)
    if not run.faults and not await run.ledger.read(units.unfinished, order):
        done = await run.ledger.write(units.finish, fence, order, run.clock.now_ms())
        left = done.pop("left", 0)
        said = f"{sum(done.values())} items put back" + (f", {left} left alone" if left else "")
        run.note(f"undo of cycle {order.about} finished: {said}", "✓")
    elif not run.faults:
        raise Waits("the provider has yet to show what became of a write", run.clock.now_ms() + PATIENCE_MS)
    return run
