"""Orders of an admin, carried out before a mailbox's ordinary cycle: undo of a cycle, leaving a mailbox."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from engine.ledger import leave as leave_units
from engine.ledger import orders as units
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.orders import Order
from engine.model.modules import Module
from engine.model.states import CycleKind
from engine.net.errors import ProviderError
from engine.sync.context import Feed, PolicyContext, Run, Waits
from engine.sync.cycle import Work, run_cycle
from engine.sync.faults import fault_class
from engine.sync.leave import removal_of, remove_ours
from engine.sync.telling import tell_left
from engine.sync.undoing import tell_unreached, undo_work

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
    work = undo_work(order) if kind is CycleKind.UNDO else leave_work(order)
    run = await run_cycle(context, record, fence, kind, stop, work=work, cycle_id=order.cycle_id)
    if run.faults:
        return run
    if await run.ledger.read(units.unfinished, order):
        raise Waits("the provider has yet to show what became of a write", run.clock.now_ms() + PATIENCE_MS)
    if kind is CycleKind.UNDO:
        await tell_unreached(run, order)
        done = await run.ledger.write(units.finish, fence, order, run.clock.now_ms())
        _ended(run, f"undo of cycle {order.about}", "put back", done)
    elif await _containers(run):
        done = await run.ledger.write(leave_units.forget, fence, order, run.clock.now_ms())
        _ended(run, "leaving", "removed", done)
    return run


def _ended(run: Run, what: str, verb: str, done: dict[str, int]) -> None:
    left = done.pop("left", 0)
    said = f"{sum(done.values())} items {verb}" + (f", {left} left alone" if left else "")
    run.note(f"{what} finished: {said}", "✓")


def leave_work(order: Order) -> Work:
    """The work of leaving for the modules of one step: remove what we made, tell what stays."""

    async def work(run: Run, modules: Sequence[Module], feeds: Sequence[Feed]) -> None:
        removal = removal_of(run.base, run.account.email, "leave", edited_too=bool(order.options.get("edited")))
        await tell_left(run, await remove_ours(run, removal, modules, feeds))

    return work


async def _containers(run: Run) -> bool:
    """Take away the containers that we made, and tell which stay; False when that failed."""
    made = {
        name.removeprefix(leave_units.MADE): value
        for name, value in run.containers.items()
        if name.startswith(leave_units.MADE)
    }
    try:
        told = await run.base.mailbox.remove(run.account, made) if made else {}
    except ProviderError as error:
        run.fault(f"containers: {error}", fault_class(error, in_step=True))
        return False
    for name, why in told.items():
        run.note(f"{name} stays: {why}" if why else f"removed {name}", "=" if why else "-")
    return True
