"""Five mailboxes: calls of the first sync against their floor, its speed, and what an idle cycle costs."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from benchmarks.company import sandbox
from benchmarks.drive import Cost, engine, peak_mb
from benchmarks.floor import floor_of_first_sync
from benchmarks.rows import Row
from engine.ledger.schema import link, scope

#: Targets of the design: CPU milliseconds of an idle cycle, and first-sync calls as a multiple of the floor.
IDLE_CPU_MS = 5.0


async def measure(folder: Path, users: int) -> list[Row]:
    """Rows of the demo company with ``users`` mailboxes and all modules."""
    with sandbox(folder, "--users", str(users)) as ready:
        async with engine(folder, ready) as running:
            first = await running.cycle()
            _must_be_clean(first)
            floor = await floor_of_first_sync(running.ledger, running.policy)
            items = await running.ledger.read(_links)
            settled = await running.cycle()
            _must_be_clean(settled)
            scopes = await running.ledger.read(_scopes)
            idle = await running.cycle()
            _must_be_clean(idle)
    name = f"first sync, {users} users"
    rows = [
        Row(f"{name}: calls, {provider}", first.calls.get(provider, 0), "calls", floor=floor[provider])
        for provider in sorted(floor)
    ]
    total = sum(first.calls.values())
    rows += [
        Row(f"{name}: calls, total", total, "calls", floor=sum(floor.values())),
        Row(f"{name}: items", items, "items"),
        Row(f"{name}: items written", first.run.written, "items"),
        Row(f"{name}: time", round(first.seconds, 2), "s"),
        Row(f"{name}: speed", round(items / first.seconds, 1), "items/s"),
        Row(f"{name}: CPU of the engine", round(first.cpu_ms * 1000 / items, 1), "µs/item"),
        Row(f"{name}: waited for quotas", round(first.waited, 2), "s"),
        Row(f"{name}: peak memory", round(peak_mb(), 1), "MB"),
        Row("second run: writes", settled.run.written, "items"),
        Row("idle cycle: calls", sum(idle.calls.values()), "calls", floor=scopes),
        Row("idle cycle: writes", idle.run.written, "items"),
        Row("idle cycle: commits", idle.commits, "commits"),
        Row("idle cycle: CPU per mailbox", round(idle.cpu_ms / users, 2), "ms", peer=IDLE_CPU_MS),
        Row("idle cycle: time", round(idle.seconds, 3), "s"),
    ]
    return rows


def _must_be_clean(cost: Cost) -> None:
    """Figures of a run that failed are worth nothing.

    Raises:
        RuntimeError: with the first failures.
    """
    if cost.errors:
        raise RuntimeError(f"{len(cost.errors)} errors: " + "; ".join(cost.errors[:5]))


def _links(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(link)).scalar_one())


def _scopes(connection: sa.Connection) -> int:
    return int(connection.execute(sa.select(sa.func.count()).select_from(scope)).scalar_one())
