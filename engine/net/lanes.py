"""Lanes: how many calls of one kind run at once, found out from what the provider bears."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from engine.net.net import Net

#: Longest back-off in seconds (Google: "32 or 64 seconds").
BACKOFF_CAP = 64.0


def backoff(net: Net, attempt: int, *, base: float = 1.0, cap: float = BACKOFF_CAP) -> float:
    """Seconds to wait after failure number ``attempt`` (0 is the first): full jitter over an exponential range."""
    return net.dice.uniform(0.0, min(cap, base * 2.0 ** min(attempt, 16)))


class Lane:
    """Adaptive concurrency: one more slot per clean window, half of them after a refusal (sync.md section 9).

    Usage::

        async with lane.slot():
            answer = await call()
        lane.ok()            # or lane.throttled(seconds)
    """

    def __init__(self, net: Net, name: str, start: int = 4, most: int = 8) -> None:
        """Make a lane.

        Args:
            net: clock, dice and observer.
            name: provider and lane in words an admin reads, e.g. ``Google Calendar``.
            start: slots at first.
            most: most slots ever.
        """
        self._net = net
        self.name = name
        self._most = most
        self._limit = max(1, min(start, most))
        self._active = 0
        self._clean = 0
        self._strikes = 0
        self._halved_at = float("-inf")
        self._gate = float("-inf")
        self._waiters: deque[asyncio.Future[None]] = deque()

    @property
    def limit(self) -> int:
        """Slots at present."""
        return self._limit

    @property
    def gated_for(self) -> float:
        """Seconds until the lane opens again after a refusal; 0 when it is open."""
        return max(0.0, self._gate - self._net.clock.monotonic())

    @asynccontextmanager
    async def slot(self) -> AsyncIterator[None]:
        """Hold one slot, first come first served, once the gate is open."""
        await self._enter()
        try:
            while (closed := self.gated_for) > 0:
                # Not all at the same instant: those who waited spread over the next tenth of the wait.
                await self._net.clock.sleep(closed + self._net.dice.uniform(0.0, min(1.0, closed / 10)))
            yield
        finally:
            self._leave()

    def ok(self) -> None:
        """A call went well. As many in a row as there are slots make one slot more."""
        self._strikes = 0
        self._clean += 1
        if self._clean >= self._limit:
            self._clean = 0
            if self._limit < self._most:
                self._limit += 1
                self._wake()

    def throttled(self, retry_after: float | None = None, *, account: str = "") -> float:
        """The provider refused a call (429, 503). Halves the lane and closes it for a while.

        Calls that were refused together halve it once.

        Args:
            retry_after: seconds the provider asked for; without them the back-off decides.
            account: mailbox for the observer.

        Returns:
            Seconds until the lane opens.
        """
        now = self._net.clock.monotonic()
        self._clean = 0
        if now - self._halved_at >= 1.0:
            self._halved_at = now
            self._limit = max(1, self._limit // 2)
            self._strikes += 1
        wait = retry_after if retry_after is not None else self.backoff(self._strikes)
        self._gate = max(self._gate, now + wait)
        self._net.observer.waiting(self.name, account, self.gated_for, "asked to slow down")
        return self.gated_for

    def backoff(self, attempt: int) -> float:
        """Seconds to wait after failure number ``attempt``, full jitter."""
        return backoff(self._net, attempt)

    async def _enter(self) -> None:
        if not self._waiters and self._active < self._limit:
            self._active += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiters.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave()  # the slot had been handed over in the same moment
            raise

    def _leave(self) -> None:
        self._active -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiters and self._active < self._limit:
            turn = self._waiters.popleft()
            if not turn.done():
                self._active += 1
                turn.set_result(None)
