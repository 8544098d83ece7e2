"""Clocks for tests that meet the real world: sockets, files and other processes, whose time cannot be turned."""

from __future__ import annotations

import asyncio

from engine.model.clock import SystemClock


class AheadClock(SystemClock):
    """The machine's clock plus so many milliseconds."""

    def __init__(self, ahead_ms: int = 0) -> None:
        self.ahead_ms = ahead_ms

    def now_ms(self) -> int:
        return super().now_ms() + self.ahead_ms


class HastyClock(SystemClock):
    """The machine's clock, which waits a moment instead of what it is asked to: for tests of what comes after a wait.

    Who has waited finds that the time has passed: a lane that was closed for a minute is open then.
    """

    _skipped = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self._skipped

    async def sleep(self, seconds: float) -> None:
        then = self.monotonic() + seconds
        await asyncio.sleep(min(seconds / 50, 0.02))
        self._skipped += max(0.0, then - self.monotonic())
