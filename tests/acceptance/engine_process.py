"""The engine in a process of its own, to be killed."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from engine.model.clock import SystemClock
from engine.service import Service


class AheadClock(SystemClock):
    """The machine's clock plus so many milliseconds."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class HastyClock(SystemClock):
    """The machine's clock, which waits a fiftieth of what it is asked to: for tests of what comes after a wait."""

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds / 50)


def start(folder: Path) -> ForkServerProcess:
    """A process that opens ``folder/data``, applies ``folder/demo.toml`` and runs one cycle of each policy.

    Its report goes to ``folder/report.json``. Such processes are forked from one that has imported the engine already:
    that saves a second or more for each, and changes nothing for the engine.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([__name__])
    process = context.Process(target=_run, args=(folder,))
    process.start()
    return process


def _run(folder: Path) -> None:
    asyncio.run(_cycle(folder))


async def _cycle(folder: Path) -> None:
    service = await Service.open(folder / "data")
    try:
        answer = await service.apply((folder / "demo.toml").read_text(encoding="utf-8"), "demo.toml", "test")
        assert answer.ok, answer
        async with service.running():
            report = await service.sync(None, "test")
        (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    finally:
        await service.close()
