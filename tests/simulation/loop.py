"""An event loop whose time is virtual: nothing waits, nothing depends on the machine, and silence is an error."""

from __future__ import annotations

import asyncio
import math
from typing import Any

from tests.sync.fakes import START_MS, VirtualClock

#: A seed that turns the loop so often goes round in circles.
MOST_TURNS = 300_000


class Stuck(Exception):
    """Nothing is left that could ever happen, or the same things happen for ever."""


class VirtualLoop(asyncio.BaseEventLoop):
    """asyncio's own scheduling, with a counter in place of the clock and of the selector."""

    def __init__(self) -> None:
        super().__init__()
        self.ms = 0
        self.turns = 0
        self.troubles: list[str] = []
        self._clock_resolution = 1e-6
        self._selector = self
        self.set_exception_handler(lambda _, context: self.troubles.append(str(context.get("message"))))

    def time(self) -> float:
        """Seconds since the loop was made."""
        return self.ms / 1000

    def select(self, timeout: float | None) -> tuple[()]:
        """Asked by asyncio for events: there are none, so time goes on to the next timer."""
        self.turns += 1
        if timeout is None:
            raise Stuck("everybody waits and no timer is set")
        if self.turns > MOST_TURNS:
            raise Stuck(f"still not at an end after {MOST_TURNS} turns of the loop")
        if timeout > 0:
            self.ms += math.ceil(timeout * 1000)
        return ()

    def _process_events(self, event_list: Any) -> None:
        pass

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
        return self.ms + self.skew

    def monotonic(self) -> float:
        """Seconds; no jump of the wall clock touches it."""
        return self.loop.ms / 1000

    async def sleep(self, seconds: float) -> None:
        """Wait in virtual time."""
        await asyncio.sleep(seconds)
