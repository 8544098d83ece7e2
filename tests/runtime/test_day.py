"""The last 24 hours of a mailbox: what its cycles wrote and what failed, and no cycle of another or of yesterday."""

from __future__ import annotations

from engine.ledger import history
from engine.monitor.history import DayRow
from engine.runtime.history import day
from tests.runtime.test_explain import office_of
from tests.sync.world import A, B, World

HOUR = 3_600_000


async def test_a_day_sums_what_cycles_wrote() -> None:
    world = World(people=(A, B))
    await world.start()
    office = await office_of(world)
    now = world.clock.now_ms()

    async def cycle(mailbox: str, hours_ago: float, state: str, **counts: int) -> None:
        began = now - int(hours_ago * HOUR)
        found = await world.ledger.write(
            history.start_cycle, office.mailbox_ids[mailbox], world.policy.name, "full", began
        )
        by = {f"contact.{outcome}": number for outcome, number in counts.items()}
        await world.ledger.write(history.end_cycle, found, state, by, 0, "", began + 1000)

    await cycle(A, 30, "ok", created=1000)
    await cycle(A, 23.5, "ok", created=4, unchanged=50)
    await cycle(A, 1.5, "failed", updated=2, failed=3)
    await cycle(A, 0.1, "ok", deleted=1, merged=1, held=7)
    await cycle(B, 0.1, "ok", created=9)
    for _ in range(5):
        office.net.observer.called("Google People", A)

    assert await day(office, A) == DayRow(3, 1, 8, 3, 5, (4, *[0] * 21, 2, 2))
    assert (await day(office, B)).items == 9
