"""Many mailboxes of a hundred contacts each: time, calls against the floor, memory, errors."""

from __future__ import annotations

from pathlib import Path

from benchmarks.company import sandbox
from benchmarks.drive import engine, peak_mb
from benchmarks.floor import floor_of_first_sync
from benchmarks.rows import Row

CONTACTS_PER_USER = 100

_OTHER_KINDS = ("leads", "appointments", "calls", "service-calls", "tasks", "opportunities", "cases")


async def measure(folder: Path, users: int) -> list[Row]:
    """Rows of a first sync of ``users`` mailboxes; every module is on, only contacts have items."""
    options = ["--users", str(users), "--contacts", str(users * CONTACTS_PER_USER)]
    for kind in _OTHER_KINDS:
        options += [f"--{kind}", "0"]
    with sandbox(folder, *options) as ready:
        async with engine(folder, ready) as running:
            first = await running.cycle()
            floor = await floor_of_first_sync(running.ledger, running.policy)
    name = f"{users} users of {CONTACTS_PER_USER} contacts"
    total = sum(first.calls.values())
    return [
        Row(f"{name}: time", round(first.seconds, 1), "s"),
        Row(f"{name}: items written", first.run.written, "items"),
        Row(f"{name}: speed", round(first.run.written / first.seconds, 1), "items/s"),
        *(
            Row(f"{name}: calls, {provider}", first.calls.get(provider, 0), "calls", floor=floor[provider])
            for provider in sorted(floor)
        ),
        Row(f"{name}: calls, total", total, "calls", floor=sum(floor.values())),
        Row(f"{name}: CPU of the engine", round(first.cpu_ms * 1000 / max(1, first.run.written), 1), "µs/item"),
        Row(f"{name}: peak memory", round(peak_mb(), 1), "MB"),
        Row(f"{name}: mailboxes finished", first.run.mailboxes, "mailboxes", floor=users),
        Row(f"{name}: errors", len(first.errors), "errors"),
    ]
