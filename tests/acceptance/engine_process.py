"""The engine in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

from engine.service import CALENDAR, Service, Settle, SettleHeld
from tests.acceptance.forks import fork
from tests.clocks import AheadClock


def start(folder: Path, ahead_ms: int = 0, *, settle: bool = False) -> ForkServerProcess:
    """A process that opens ``folder/data``, applies ``folder/demo.toml`` and runs one cycle of each policy.

    Its report goes to ``folder/report.json``.

    Args:
        ahead_ms: how far its clock is ahead of the machine's.
        settle: approve all held deletes first, as an admin would.
    """
    return fork(_run, folder, ahead_ms, settle)


def start_check(folder: Path, dies_before: str = "") -> ForkServerProcess:
    """A process that opens ``folder/data`` and looks at all drop labels once. Its runs go to ``folder/checked.json``.

    Args:
        dies_before: it is killed by SIGKILL instead of committing the ledger's unit of that name; ``change unfiled`` is the
            one that brings a row of filed mail into that state.
    """
    return fork(_run_check, folder, dies_before)


def _run_check(folder: Path, dies_before: str) -> None:
    asyncio.run(_check(folder, dies_before))


async def _check(folder: Path, dies_before: str) -> None:
    service = await Service.open(folder / "data")
    if dies_before:
        _doom(service, *dies_before.split())
    try:
        async with service.running(schedule=False):
            runs = await service.check_labels(None, "test")
        (folder / "checked.json").write_text(
            json.dumps([[run.result, run.note] for run in runs]), encoding="utf-8"
        )
    finally:
        await service.close()


def _doom(service: Service, name: str, state: str = "") -> None:
    """Kill this process at the moment at which it would hand a certain unit of work to the ledger."""
    ledger: Any = service._ledger
    write = ledger.write

    async def fatal(unit: Any, *arguments: Any, **options: Any) -> Any:
        if unit.__name__ == name and (not state or any(one.get("state") == state for _, one in arguments[1])):
            os.kill(os.getpid(), signal.SIGKILL)
        return await write(unit, *arguments, **options)

    ledger.write = fatal


def _run(folder: Path, ahead_ms: int, settle: bool) -> None:
    asyncio.run(_cycle(folder, AheadClock(ahead_ms), settle))


async def _cycle(folder: Path, clock: AheadClock, settle: bool) -> None:
    service = await Service.open(folder / "data", clock=clock)
    try:
        answer = await service.apply((folder / "demo.toml").read_text(encoding="utf-8"), "demo.toml", "test")
        assert answer.ok, answer
        if settle:
            for mailbox in {row.mailbox for row in await service.waiting()}:
                await service.do(SettleHeld(mailbox, None, Settle.APPROVE), "test")
        async with service.running():
            report = await service.sync(None, "test")
        (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    finally:
        await service.close()


def start_job(folder: Path, ahead_ms: int = 0) -> ForkServerProcess:
    """A process that opens ``folder/data`` and runs CalendarSynchronization once. Its run goes to ``folder/run.json``."""
    return fork(_run_job, folder, ahead_ms)


def _run_job(folder: Path, ahead_ms: int) -> None:
    asyncio.run(_job(folder, AheadClock(ahead_ms)))


async def _job(folder: Path, clock: AheadClock) -> None:
    service = await Service.open(folder / "data", clock=clock)
    try:
        async with service.running(schedule=False):
            run = await service.run_job(CALENDAR, "test")
        text = json.dumps({"result": run.result, "items": run.items, "errors": run.errors, "note": run.note})
        (folder / "run.json").write_text(text, encoding="utf-8")
    finally:
        await service.close()
