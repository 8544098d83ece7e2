"""Delete Safety: a cycle that would delete too much waits for an admin; creates and updates go on (sync.md section 6)."""

from __future__ import annotations

from engine.ledger import intents as units
from engine.ledger import waiting
from engine.model.modules import ItemOutcome, Module
from engine.model.policy import DeleteThreshold
from engine.sync.context import Run

#: A share says little about a handful of items: the percentage counts from here on.
PERCENT_FROM = 5


def why_held(deletes: int, total: int, threshold: DeleteThreshold) -> str | None:
    """Why so many deletes wait; ``None`` when they may go on.

    Args:
        deletes: deletes planned in this cycle.
        total: live items before it.
        threshold: the policy's.
    """
    if deletes > threshold.count:
        return f"{deletes} deletes, more than the {threshold.count} that the policy allows in one cycle"
    if deletes > PERCENT_FROM and total and deletes * 100 > threshold.percent * total:
        return f"{deletes} of {total} items would be deleted, more than the {threshold.percent:g} % that the policy allows"
    return None


async def hold_excess(run: Run, modules: list[Module]) -> None:
    """Hold the deletes of every module and side that trips its threshold."""
    if await run.ledger.read(waiting.reviews, run.record.id):
        await run.ledger.write(waiting.close_reviews, run.fence)
    planned = await run.ledger.read(units.planned_deletes, run.record.id, [module.value for module in modules])
    for (name, side), deletes in planned.items():
        module = Module(name)
        total = await run.ledger.read(units.live_items, run.record.id, name, side)
        why = why_held(deletes, total, run.policy.threshold(module))
        if why is None:
            continue
        await run.ledger.write(
            units.hold_deletes,
            run.fence,
            run.cycle_id,
            name,
            side,
            deletes=deletes,
            total=total,
            why=why,
            now=run.clock.now_ms(),
        )
        run.count({(module, ItemOutcome.HELD): deletes})
        run.fault(
            f"Delete Safety holds {module.value} deletes in the {side}: {why}. Nothing was deleted; "
            "key h on the user, or syncline held, shows and settles them"
        )
