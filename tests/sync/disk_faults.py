"""The disk fails at the n-th operation of the ledger, for every n: nothing is lost, doubled or sent without a note of it.

A first sync, edits of both sides and deletes run on a ledger in a file. ``python -m tests.sync.disk_faults`` takes every n
of every kind of fault; ``make test`` some of them.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sqlite3
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Sequence
from itertools import product
from pathlib import Path
from typing import Any

from engine.ledger.lock import Lock
from engine.ledger.store import SqliteLedger
from engine.model.clock import SystemClock
from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, Policy
from engine.model.port import CreateKey, Outcome, Scope, Write
from tests.ledger.disk import Disk, failing
from tests.sync.test_cycle import FIRST, moment
from tests.sync.world import A, World

#: By name: which operations fail, with what, for how long, and whether a failed commit has been carried out.
FAULTS: dict[str, Callable[[], Disk]] = {
    "full": lambda: Disk(sqlite3.SQLITE_FULL, frozenset({"write", "commit"}), lasts=2),
    "input/output": lambda: Disk(sqlite3.SQLITE_IOERR),
    "input/output for a while": lambda: Disk(sqlite3.SQLITE_IOERR, lasts=10_000),
    "locked": lambda: Disk(sqlite3.SQLITE_BUSY, frozenset({"begin"}), lasts=3),
    "committed, and told as failed": lambda: Disk(sqlite3.SQLITE_IOERR, frozenset({"commit"}), late=True),
}


async def template(folder: Path) -> Path:
    """An empty ledger, so that each run need not migrate."""
    path = folder / "template" / "ledger.sqlite"
    await (await SqliteLedger.open(path)).close()
    return path


class _World(World):
    """A world whose ledger is a file, and whose providers look at what was written ahead."""

    async def on_file(self, template: Path, path: Path) -> _World:
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(template, path)
        ledger: Any = SqliteLedger(path, Lock.take(path.with_suffix(".lock"), SystemClock()))
        ledger.dead = False
        self.ledger = ledger
        self.look = sqlite3.connect(path, isolation_level=None)
        for provider in (self.crm, self.mail):
            provider.apply = self._watched(provider.apply)  # type: ignore[method-assign]
        return self

    def _watched(self, apply: Any) -> Any:
        async def watched(scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
            rows = self.look.execute("SELECT key, remote_id FROM intent WHERE state = 'in_flight'").fetchall()
            noted = {key for key, _ in rows} | {remote for _, remote in rows}
            for write in writes:
                assert write.key in noted or write.remote_id in noted, f"sent without a note: {write}"
            found: list[Outcome] = await apply(scope, writes)
            return found

        return watched

    async def end(self) -> None:
        self.look.close()
        await self.ledger.close()


async def story(world: World, disk: Disk) -> None:
    """A first sync, edits on both sides, deletes; the disk may fail anywhere, and is well again after each cycle."""

    async def cycle() -> None:
        assert await world.cycle() is not None
        if disk.hits:
            disk.heal()

    ids = [world.crm.add(A, Module.CONTACT, given="N", family=f"F{n}", email=f"f{n}@x.test") for n in range(5)]
    world.crm.add(A, Module.CONTACT, **FIRST)
    world.crm.add(A, Module.OPPORTUNITY, name="Big deal", stage="open")
    world.mail.add(A, Module.CONTACT, given="Mo", family="Mail", email="mo@x.test")
    world.mail.add(A, Module.APPOINTMENT, subject="lunch", start=moment(26), end=moment(26, 10))
    await cycle()
    await cycle()
    shelf = world.mail.shelf(f"{A}/contacts")
    for _ in range(2):
        # A create of which nobody can tell is made again when the feed's lag is over, two cycles later at most.
        if len(shelf.live()) < 7:
            await cycle()
    world.crm.edit("Contact", ids[0], title="Boss")
    world.crm.delete("Contact", ids[1])
    [third] = [one.id for one in shelf.live() if one.fields["family"] == "F2"]
    world.mail.edit(f"{A}/contacts", third, title="Chief")
    [fourth] = [one.id for one in shelf.live() if one.fields["family"] == "F3"]
    world.mail.delete(f"{A}/contacts", fourth)
    world.crm.add(A, Module.TASK, subject="write offer", due="2026-12-01")
    await cycle()
    disk.heal()
    disk.kinds = frozenset()  # what follows is not counted
    await world.settle(4)


async def assert_whole(world: World) -> None:
    for side in Side:
        assert world.names(side) == ["F0", "F2", "F4", "Lee", "Mail"], side
        assert world.names(side, A, Module.APPOINTMENT) == ["lunch"]
        assert world.names(side, A, Module.TASK) == ["write offer"]
        provider = world.crm if side is Side.CRM else world.mail
        titles = {one.fields["family"]: one.fields.get("title") for one in provider.of(A, Module.CONTACT)}
        assert titles["F0"] == "Boss"
        assert titles["F2"] == "Chief"
    assert len(world.mail.of(A, Module.OPPORTUNITY)) == 1
    await world.check()


def new_world(key: CreateKey) -> _World:
    policy = Policy("sales", "crm", "mail", mailbox_deletes=DeleteMode.MIRROR)
    lag = 120 if key is CreateKey.MARKER else 0
    return _World(policy=policy, crm_key=key, mail_key=key, lag=lag)


async def run(template: Path, path: Path, disk: Disk, key: CreateKey) -> None:
    with failing(disk):
        at, disk.at = disk.at, 0
        world = await new_world(key).on_file(template, path)
        try:
            await world.start()
            disk.number, disk.at = 0, at
            await story(world, disk)
            await assert_whole(world)
        finally:
            disk.heal()
            await world.end()


async def sweep(
    folder: Path, fault: str, key: CreateKey, *, runs: int | None = None, first: int = 0
) -> tuple[int, int]:
    """Run the story with a fault at every n, or at so many of them.

    Args:
        folder: for the ledgers.
        fault: of ``FAULTS``.
        key: how creates are made safe.
        runs: about so many runs, evenly spread; every n when None.
        first: moves the choice.

    Returns:
        how many operations the story has, and how many runs were struck.

    Raises:
        AssertionError: something was lost, doubled or sent without a note.
    """
    empty = await template(folder)
    calm = FAULTS[fault]()
    await run(empty, folder / "calm" / "ledger.sqlite", calm, key)
    stride = 1 if runs is None else max(1, calm.number // runs)
    struck = 0
    for at in range(1 + first % stride, calm.number + 1, stride):
        disk = FAULTS[fault]()
        disk.at = at
        try:
            await run(empty, folder / str(at) / "ledger.sqlite", disk, key)
        except BaseException as error:
            raise AssertionError(f"{fault} at operation {at} of {calm.number}, keys {key}") from error
        struck += bool(disk.hits)
        shutil.rmtree(folder / str(at))
    return calm.number, struck


def main(arguments: Sequence[str] | None = None) -> int:
    """Sweep all faults and kinds of key; the exit code is 1 when one run loses or doubles something."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.sync.disk_faults",
        description="Let the disk fail at every operation of the ledger.",
    )
    parser.add_argument("--runs", type=int, metavar="N", help="about so many runs of each sweep; else all")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures there")
    given = parser.parse_args(arguments)
    if given.runs is not None and given.runs < 1:
        parser.error("--runs must be at least 1")
    began = time.monotonic()
    figures: dict[str, Any] = {"runs": 0, "operations": 0, "by_fault": {}, "failed": []}
    for key, fault in product(CreateKey, FAULTS):
        with tempfile.TemporaryDirectory() as folder:
            try:
                operations, struck = asyncio.run(sweep(Path(folder), fault, key, runs=given.runs))
            except AssertionError as error:
                traceback.print_exception(error)
                figures["failed"].append(str(error))
            else:
                figures["operations"] = max(figures["operations"], operations)
                figures["runs"] += struck
                figures["by_fault"][fault] = figures["by_fault"].get(fault, 0) + struck
                print(f"{fault}, {key}: {struck} of {operations} operations", flush=True)
        figures["seconds"] = round(time.monotonic() - began)
        if given.json:  # after each sweep: who stops it has the figures of those that ended
            given.json.parent.mkdir(parents=True, exist_ok=True)
            given.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if figures["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
