"""What an order of an admin leaves alone is never silent: journalled, and shown line by line."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger import orders
from engine.ledger.orders import Left
from engine.model.activity import ActivityKind
from engine.model.modules import Module
from engine.sync.context import Run
from engine.sync.plan import named


async def tell_left(run: Run, left: Sequence[Left]) -> None:
    """Journal and show what an order leaves alone."""
    if not left:
        return
    await run.ledger.write(orders.record_left, run.fence, run.cycle_id, left, run.clock.now_ms())
    for one in left:
        what = named(Module(one.module), one.before) if one.module else "an item"
        run.tell(ActivityKind.ITEMS, sign="=", text=f"{what} is left alone: {one.why}")
