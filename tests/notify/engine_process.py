"""An engine in a process of its own, which sends what is in its outbox until it is killed."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.service import Service
from tests.clocks import AheadClock


def run(folder: Path, ahead_ms: int) -> None:
    """Open ``folder/data`` with a clock that is so many milliseconds ahead, and run without a schedule."""

    async def serve() -> None:
        service = await Service.open(folder / "data", clock=AheadClock(ahead_ms))
        async with service.running(schedule=False):
            await asyncio.Event().wait()

    asyncio.run(serve())
