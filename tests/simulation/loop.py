"""An event loop whose time is virtual: nothing waits, nothing depends on the machine, and silence is an error."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from contextvars import Context
from heapq import heappop
from typing import Any

from tests.sync.fakes import START_MS, VirtualClock

#: A seed that turns the loop so often goes round in circles.
MOST_TURNS = 300_000


class Stuck(Exception):
    """Nothing is left that could ever happen, or the same things happen for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own tasks and timers, with a counter in place of the clock, and no selector: nothing comes from outside."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 0
        self.turns = 0
        self.troubles: list[str] = []
        self._clock_resolution = 1e-6
        self.set_exception_handler(lambda _, context: self.troubles.append(str(context.get("message"))))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.ms / 1000

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """As asyncio's, without its checks for other threads and a closed loop."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def _run_once(self) -> None:
        """One turn, as asyncio's own: what is ready is run; when nothing is, time goes on to the next timer."""
        ready, timers = self._ready, self._scheduled
        while timers and timers[0]._cancelled:
            self._timer_cancelled_count -= 1
            heappop(timers)._scheduled = False
        self.turns += 1
        if self.turns > MOST_TURNS:
            raise Stuck(f"still not at an end after {MOST_TURNS} turns of the loop")
        if not ready and not self._stopping:
            if not timers:
                raise Stuck("everybody waits and no timer is set")
            self.ms += max(0, math.ceil((timers[0]._when - self.ms / 1000) * 1000))
        due = self.ms / 1000 + self._clock_resolution
        while timers and timers[0]._when < due:
            timer = heappop(timers)
            timer._scheduled = False
            ready.append(timer)
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _write_to_self(self) -> None:
        pass


class SimClock(VirtualClock):
    """Time of the servers (``ms``), and the engine's own clock, which may be wrong by ``skew`` milliseconds."""

    def __init__(self, loop: VirtualLoop) -> None:
        self.loop = loop
        self.skew = 0

    @property
    def ms(self) -> int:  # type: ignore[override]
        return START_MS + self.loop.ms

    @ms.setter
    def ms(self, value: int) -> None:
        self.loop.ms = value - START_MS

    def now_ms(self) -> int:
        """The engine's wall clock."""
        return START_MS + self.loop.ms + self.skew

    def monotonic(self) -> float:
        """Seconds; no jump of the wall clock touches it."""
        return self.loop.ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)
