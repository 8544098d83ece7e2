"""The engine in a process of its own, to be killed: ``python -m tests.acceptance.engine_process DATA [CONFIG]``.

Applies CONFIG when it is given, runs one cycle of every enabled policy and prints its report as one line of JSON.
``--ahead SECONDS`` sets the engine's clock that much before the machine's.
"""

from __future__ import annotations

import argparse
import asyncio
import json
from pathlib import Path

from engine.model.clock import SystemClock
from engine.service import Service


class AheadClock(SystemClock):
    """The machine's clock plus so many seconds."""

    def __init__(self, seconds: float = 0) -> None:
        self.ahead_ms = int(seconds * 1000)

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


async def main() -> None:
    """Open, apply, run once, report."""
    parser = argparse.ArgumentParser()
    parser.add_argument("data", type=Path)
    parser.add_argument("config", type=Path, nargs="?")
    parser.add_argument("--ahead", type=float, default=0)
    given = parser.parse_args()
    service = await Service.open(given.data, clock=AheadClock(given.ahead))
    if given.config is not None:
        answer = await service.apply(given.config.read_text(encoding="utf-8"), given.config.name, "test")
        if not answer.ok:
            raise SystemExit("\n".join((answer.text, *answer.details)))
    async with service.running():
        print("running", flush=True)
        report = await service.sync(None, "test")
    print(json.dumps(report), flush=True)
    await service.close()


if __name__ == "__main__":
    asyncio.run(main())
