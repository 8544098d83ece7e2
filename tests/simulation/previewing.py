"""An admin who looks at a preview and carries out a part of it, while faults strike. I13 is checked around every look."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.jobs.errands import Selection, apply_errand, preview_errand
from engine.jobs.runner import PolicyRun
from engine.ledger import proposals

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld

#: Seeds with previews: the others go on as they were.
EVERY = 7
REST = 5

#: What a preview must leave as it is: the rows that were there before it.
_KEPT = (
    "SELECT 'link', id, state, base, reason, generation FROM link ORDER BY id",
    "SELECT 'intent', id, state, error, patch, fields FROM intent WHERE state NOT IN ('proposed','outdated') ORDER BY id",
    "SELECT 'journal', id, link_id, kind FROM journal ORDER BY id",
    "SELECT 'mailbox', id, phase, structure, containers, scopes FROM mailbox ORDER BY id",
    "SELECT 'guard', id, state FROM guard ORDER BY id",
)

#: Calls of an engine that may change something at a provider.
_WRITES = ("apply", "ensure", "remove")


def _kept(world: SimWorld) -> list[list[Any]]:
    return [[tuple(row) for row in world.rows(query)] for query in _KEPT]


def _written(world: SimWorld) -> int:
    return sum(count for key, count in world.calls.items() if any(name in str(key) for name in _WRITES))


def nothing_written(world: SimWorld, before: Sequence[Sequence[Any]], calls: int) -> None:
    """I13: a preview changes no byte but its own proposals and what was read, and no call of it writes."""
    from tests.simulation.world import Violation

    if _written(world) != calls:
        raise Violation("I13", "a preview made a call that writes")
    for was, now in zip(before, _kept(world), strict=True):
        there = {row[:2] for row in was}
        # Links are new when items are; nothing else is.
        left = [row for row in now if row[:2] in there] if now and now[0][0] == "link" else now
        if left != was:
            changed = [pair for pair in zip(was, left, strict=False) if pair[0] != pair[1]]
            raise Violation("I13", f"a preview changed what was there: {changed[:1] or 'a row is gone'}")


async def look_and_apply(world: SimWorld) -> None:
    """Preview all mailboxes, then carry out about half of what is shown."""
    before, calls = _kept(world), _written(world)
    world.note("admin", "previews")
    result = await world.cycle(errand=preview_errand(None))
    _no_internal_error(result)
    if not world.weather.has("two engines"):  # the other engine writes, whatever this one only looks at
        nothing_written(world, before, calls)
    ids: set[int] = set()
    for (mailbox_id,) in world.rows("SELECT id FROM mailbox ORDER BY id"):
        lines = await world.store.read(proposals.lines, mailbox_id)
        ids |= {line.id for line in lines if world.dice.random() < 0.5}
    if ids:
        world.note("admin", "applies", len(ids), "rows of the preview")
        _no_internal_error(await world.cycle(errand=apply_errand(Selection(ids=ids), set(world.people))))


def _no_internal_error(result: PolicyRun | None) -> None:
    from tests.simulation.world import Violation

    for text in result.faults.values() if result is not None else ():
        if "internal error" in text:
            raise Violation("no internal error", text)
