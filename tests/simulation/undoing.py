"""An admin undoes a cycle, in some seeds after all has settled, and the engine may die while it does it (I14)."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.jobs.queue import Priority
from engine.ledger import links, orders
from engine.ledger import undo as units
from engine.ledger.links import ItemRow, LinkRow
from engine.ledger.undo import Wrote
from engine.model.canonical import FIELDS, same
from engine.model.modules import Module, Side
from tests.simulation.world import Life, SimWorld, Violation

if TYPE_CHECKING:
    from tests.simulation.run import Seed

#: One in so many seeds ends with an undo.
EVERY = 8

#: An undo that is killed again and again must be done after so many cycles, in the last few of which nobody kills it.
ENOUGH = 16
LAST = 4


def wanted(seed: int) -> bool:
    """Whether a seed ends with an undo. It begins when all else is over, so that what comes before is as it was."""
    return seed % EVERY == 3


@dataclass(frozen=True, slots=True)
class Before:
    """What stood before the undo: the cycle's writes by link, its links, and versions on the servers."""

    writes: Mapping[int, list[Wrote]]
    rows: Mapping[int, LinkRow]


async def undo_something(seed: Seed) -> None:
    """Undo a cycle that wrote something, and check that all of it is restored or listed."""
    world, dice = seed.world, random.Random(f"undo {seed.number}")
    found = [one for one in await world.store.read(units.cycles) if one.wrote and one.kind != orders.LEAVE]
    if not found:
        return
    chosen = dice.choice(found)
    before = await _look(world, chosen.id)
    order = await world.store.write(
        orders.ask, chosen.mailbox_id, world.policy.name, orders.UNDO, world.clock.now_ms(), about=chosen.id
    )
    world.note("admin", "undoes cycle", chosen.id, "as", order)
    usual, world.killer = world.killer, _killer(dice, dice.choice((0.0, 0.05)))
    world.undoing = True
    for turn in range(ENOUGH):
        if turn == ENOUGH - LAST:
            world.killer = usual
        await world.cycle(Priority.ADMIN)
        if not await world.store.read(orders.asked):
            break
    else:
        raise Violation("I14", f"the undo of cycle {chosen.id} does not come to an end")
    world.killer, world.undoing = usual, False
    await restored_or_listed(world, chosen.id, order, before)


def _killer(dice: random.Random, chance: float) -> Any:
    def kill(life: Life, where: str) -> None:
        if dice.random() < chance:
            life.die(where)

    return kill


async def _look(world: SimWorld, cycle_id: int) -> Before:
    ids = await world.store.read(units.written_links, cycle_id, None, 0, 10_000)
    writes = await world.store.read(units.writes_of, cycle_id, ids)
    rows = {row.id: row for row in await world.store.read(links.trees, ids)}
    return Before(writes, rows)


def _item(row: LinkRow | None, side: str) -> ItemRow | None:
    if row is None:
        return None
    item = row.crm if side == Side.CRM else row.mailbox
    return None if item is None or item.deleted else item


async def restored_or_listed(world: SimWorld, cycle_id: int, order: int, before: Before) -> None:
    """I14: undo restores where nobody edited since, and lists the rest."""
    now = {row.id: row for row in await world.store.read(links.trees, list(before.writes))}
    listed = {(one.link_id, one.side) for one in await world.store.read(units.left_alone, order)}
    for link_id, writes in before.writes.items():
        for side in {one.side for one in writes}:
            mine = [one for one in writes if one.side == side]
            shown, was = _item(now.get(link_id), side), _item(before.rows.get(link_id), side)
            told = (link_id, side) in listed
            if told or _occurrence(before.rows.get(link_id)):
                continue
            if not _back(mine, shown, was):
                kinds = "+".join(one.kind for one in mine)
                raise Violation(
                    "I14",
                    f"cycle {cycle_id} wrote ({kinds}) to the {side} of link {link_id}: neither restored nor listed",
                )


def _occurrence(row: LinkRow | None) -> bool:
    """A changed occurrence goes with its series."""
    return row is not None and row.occurrence is not None


def _back(writes: list[Wrote], shown: ItemRow | None, was: ItemRow | None) -> bool:
    kinds = [one.kind for one in writes]
    if kinds[0] == "create":
        # It was made: it is gone, and what waited beside it may have taken its place (seed 107331).
        return shown is None or (was is not None and shown.remote_id != was.remote_id)
    if kinds[-1] == "delete":
        return shown is not None  # it was deleted: it is there again
    first: dict[str, Any] = {}
    for one in reversed(writes):
        first |= one.before
    if shown is None:
        return was is None
    return all(_shows(shown, name, value) for name, value in first.items())


def _shows(item: ItemRow, name: str, value: Any) -> bool:
    """Whether a field has its earlier value again, also in the form that the provider makes of it."""
    info = FIELDS[Module.CONTACT].get(name) or FIELDS[Module.APPOINTMENT].get(name) or FIELDS[Module.TASK][name]
    shown = item.fields.get(name)
    pair = item.accepted.get(name)
    return same(info.kind, shown, value) or (
        pair is not None
        and same(info.kind, shown, pair[1])
        and same(info.kind, pair[-1 if len(pair) > 2 else 0], value)
    )
