"""Carrying out an undo: what the cycle wrote is planned backwards, page by page, applied, and what stays is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from engine.ledger import links, plans, special
from engine.ledger import undo as units
from engine.ledger.links import LinkRow
from engine.ledger.orders import Left, Order
from engine.ledger.plans import LinkPlan
from engine.ledger.store import Ledger
from engine.model.modules import Module, Side
from engine.model.port import Capability, Guard
from engine.sync.apply import apply_writes
from engine.sync.context import Feed, PolicyContext, Run
from engine.sync.cycle import Work
from engine.sync.reread import ROUNDS, read_again
from engine.sync.telling import tell_left
from engine.sync.undo import Undoing, UndoRow, What, net_changes, plan_undo

OFF = "its module is off in the policy by now"

#: Links planned in one transaction.
BATCH = 500


@dataclass(frozen=True, slots=True)
class Page:
    """A part of an undo's plan."""

    rows: list[UndoRow]
    plans: list[LinkPlan]
    lost: list[tuple[int, str]]
    last: int


async def plan_page(
    ledger: Ledger,
    undoing: Undoing,
    modules: Sequence[Module] | None,
    after: int,
    order_id: int = 0,
) -> Page | None:
    """Plan the undo of the next links that a cycle wrote to. Reads only.

    Args:
        ledger: the ledger.
        undoing: what is undone, and with what.
        modules: only these; None for all.
        after: last link of the previous page.
        order_id: the undo's own cycle; 0 for a preview.

    Returns:
        None when there are no more.
    """
    names = None if modules is None else [module.value for module in modules]
    ids = await ledger.read(units.written_links, undoing.cycle, names, after, BATCH)
    if not ids:
        return None
    found = {row.id: row for row in await ledger.read(links.trees, ids)}
    children = await ledger.read(units.occurrences_of, ids)
    below = {
        row.id: row
        for row in await ledger.read(links.trees, sorted(one for some in children.values() for one in some))
    }
    parents = [row.parent_link for row in found.values() if row.parent_link is not None]
    writes = await ledger.read(units.writes_of, undoing.cycle, sorted({*ids, *below, *parents}))
    tried = await ledger.read(units.tried, order_id, ids) if order_id else {}
    busy = await ledger.read(units.busy, ids)
    rows: list[UndoRow] = []
    plans: list[LinkPlan] = []
    lost: list[tuple[int, str]] = []
    for link_id in ids:
        row = found.get(link_id)
        if row is None:
            rows.append(_lost(link_id, writes[link_id][0].side))
            continue
        said, plan, sides = plan_undo(
            row,
            writes[link_id],
            undoing,
            tried=tried,
            busy=busy,
            occurrences=[
                (below[one], writes.get(one, ())) for one in children.get(link_id, ()) if one in below
            ],
            goes_with=_series_made(row, writes),
        )
        rows += said
        plans += [] if plan is None else [plan]
        lost += [(row.id, side.value) for side in sides]
    return Page(rows, plans, lost, ids[-1])


def _lost(link_id: int, side: str) -> UndoRow:
    why = "the ledger no longer knows it: its mailbox was left, or moved to another policy"
    return UndoRow(link_id, "", side, What.LEFT, why=why)


def _series_made(row: LinkRow, writes: Mapping[int, Sequence[units.Wrote]]) -> bool:
    """Whether the series of an occurrence was made by the same cycle: it then goes, or stays, with it."""
    made = net_changes(writes.get(row.parent_link or 0, ()))
    return any(net.kind == "create" for net in made.values())


async def undoing_of(context: PolicyContext, email: str, cycle_id: int, feeds: Sequence[Feed]) -> Undoing:
    """What planning the undo of a cycle needs, from both capability records."""
    guards: dict[tuple[Side, Module], Guard] = {}
    writable = {}
    scopes = {}
    for side, known in ((Side.CRM, context.crm_feeds), (Side.MAILBOX, feeds)):
        for module in Module:
            capability: Capability | None = context.capability(side, module)
            feed = next((one for one in known if module in one.scope.modules), None)
            guards[side, module] = Guard.ETAG if capability is None else capability.guard
            writable[side, module] = frozenset() if capability is None else capability.writable
            scopes[side, module] = 0 if feed is None else feed.row.id
    return Undoing(email, cycle_id, guards, scopes, writable)


def undo_work(order: Order) -> Work:
    """The work of an undo for the modules of one step."""

    async def work(run: Run, modules: Sequence[Module], feeds: Sequence[Feed]) -> None:
        undoing = await undoing_of(run.base, run.account.email, order.about or 0, run.feeds)
        for _ in range(ROUNDS):
            planned = await _plan(run, undoing, modules)
            conflicts = await apply_writes(run, modules)
            if conflicts:
                await read_again(run, feeds, modules, conflicts)
            elif not planned:
                break
        await _tell_left(run, undoing, modules)

    return work


async def _plan(run: Run, undoing: Undoing, modules: Sequence[Module]) -> int:
    after = total = 0
    while (page := await plan_page(run.ledger, undoing, modules, after, run.cycle_id)) is not None:
        run.check_stop()
        if page.lost:
            await run.ledger.write(special.record_lost, run.fence, run.cycle_id, page.lost, run.clock.now_ms())
        if page.plans:
            total += await run.ledger.write(
                plans.commit_plan, run.fence, run.cycle_id, page.plans, run.clock.now_ms()
            )
        after = page.last
    return total


async def tell_unreached(run: Run, order: Order) -> None:
    """What an undo could not come to: modules that are off by now, and items that the ledger no longer knows."""
    undoing = await undoing_of(run.base, run.account.email, order.about or 0, run.feeds)
    on = {module.value for module in run.base.modules()}
    after = 0
    while (page := await plan_page(run.ledger, undoing, None, after, run.cycle_id)) is not None:
        after = page.last
        left = [
            Left(row.link_id, row.module, row.side, row.fields, row.why if not row.module else OFF)
            for row in page.rows
            if row.module not in on
        ]
        await tell_left(run, left)


async def _tell_left(run: Run, undoing: Undoing, modules: Sequence[Module]) -> None:
    """What an undo does not touch goes into the journal, and onto the monitor."""
    after = 0
    while (page := await plan_page(run.ledger, undoing, modules, after, run.cycle_id)) is not None:
        after = page.last
        left = [row for row in page.rows if row.what is What.LEFT]
        await tell_left(run, [Left(row.link_id, row.module, row.side, row.fields, row.why) for row in left])
