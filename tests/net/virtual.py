"""A clock that only moves when everybody waits for it, and an observer that remembers."""

from __future__ import annotations

import asyncio
import heapq
import itertools


class VirtualClock:
    """Time for tests: ``run`` jumps from one sleeper to the next."""

    def __init__(self) -> None:
        self.now = 1000.0
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._order = itertools.count()

    def now_ms(self) -> int:
        return int(self.now * 1000)

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        wake = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self.now + max(0.0, seconds), next(self._order), wake))
        await wake

    async def run(self, *tasks: asyncio.Future) -> None:
        """Let time pass until all tasks are done."""
        while not all(task.done() for task in tasks):
            ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]
            await asyncio.sleep(0)
            while ready:  # noqa: ASYNC110  (until nothing can go on at this moment)
                await asyncio.sleep(0)
            if all(task.done() for task in tasks):
                break
            assert self._sleepers, "nobody sleeps and yet the tasks do not end"
            at, _, wake = heapq.heappop(self._sleepers)
            self.now = max(self.now, at)
            if not wake.done():
                wake.set_result(None)


class Memory:
    """An observer that keeps what it hears."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.waits: list[tuple[str, str, float, str]] = []

    def called(self, provider: str, account: str) -> None:
        self.calls.append((provider, account))

    def waiting(self, provider: str, account: str, seconds: float, reason: str) -> None:
        self.waits.append((provider, account, seconds, reason))
