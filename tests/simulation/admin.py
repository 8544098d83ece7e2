"""An admin who decides what waits: held deletes, held twins, items in quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from engine.ledger import fence as fences
from engine.ledger import twins, waiting
from engine.ledger.fence import Fence
from engine.ledger.restored import RESTORED
from engine.model.modules import Module
from engine.sync.doubles import COPY
from tests.simulation.people import NAME, tokens

if TYPE_CHECKING:
    from tests.simulation.world import SimWorld


async def settle_all(world: SimWorld, *, sample: bool = False) -> int:
    """Decide about everything that waits, or about a part of it; how much that was."""
    write: Any = world.store.write
    decided = 0
    for mailbox_id, email in world.rows("SELECT id, email FROM mailbox ORDER BY id"):
        found = await world.store.read(waiting.listed, [mailbox_id])
        if sample:
            found = [one for one in found if world.dice.random() < 0.5]
        if not found:
            continue
        decided += len(found)
        epoch = await world.store.read(fences.epoch, world.policy.name, mailbox_id)
        fence, now = Fence(world.policy.name, mailbox_id, epoch), world.clock.now_ms()
        for one in found:
            if one.kind in waiting.HELD_KINDS:
                way = world.dice.random()
                if way < 0.5:
                    done = await write(waiting.approve, fence, [one.id])
                    world.let_through[email, one.side, Module(one.module)] += len(done)
                elif way < 0.75 and one.kind == "delete":
                    done = await write(waiting.restore, fence, [one.id])
                else:
                    done = await write(waiting.discard, fence, [one.id], now)
            elif one.kind == "quarantine":
                done = await write(twins.retry, fence, [one.id])
            else:
                match world.dice.choice(("retry", "keep", "adopt")):
                    case "retry":
                        done = await write(twins.retry, fence, [one.id])
                    case "keep":
                        done = await write(twins.keep_apart, fence, [one.id], now)
                    case _:
                        done = await write(twins.use_own, fence, [one.id])
                        if done[0] and one.reason in {RESTORED, COPY}:
                            # One of two that stand beside each other gets what it can find: both stay, on the admin's word.
                            world.persons.by_hand |= tokens([one.fields.get(NAME[Module(one.module)])])
            world.note("admin", one.kind, one.id, done)
    return decided
