"""Token buckets: how much of a provider's quota may be used now, shared fairly, with a part kept for what is urgent."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.net.net import Net

#: Part of a bucket that only an admin's request may use.
RESERVED = 0.10

#: Waits at least this long, in seconds, are told to the observer.
TOLD_FROM = 0.5

#: Seconds in which a penalised bucket returns to its full rate.
RECOVERY_SECONDS = 600.0

_LEAST_FACTOR = 0.2
_WINDOW = 60.0


class Usage(NamedTuple):
    """One line of the Limits screen.

    Attributes:
        key: the bucket's key.
        used: units taken within the last 60 seconds.
        limit: the provider's limit, units per minute.
    """

    key: Hashable
    used: float
    limit: float


@dataclass(slots=True)
class _Bucket:
    rate: float = 0.0  # units per minute that the provider grants
    fill: float = 0.8
    capacity: float = 1.0
    tokens: float = 1.0
    factor: float = 1.0  # below 1 after a refusal
    filled_at: float = 0.0
    parked_until: float = float("-inf")
    queued: float = 0.0  # cost of all who wait
    taken: deque[tuple[float, float]] = field(default_factory=deque)  # (time, cost) within the window
    # asyncio.Lock wakes its waiters in the order in which they came: that is the fairness. The urgent have
    # a queue of their own, and reach a lower level of the same bucket.
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    urgent_turn: asyncio.Lock = field(default_factory=asyncio.Lock)

    def per_second(self) -> float:
        return self.rate * self.fill * self.factor / 60.0

    def refill(self, now: float) -> None:
        elapsed = max(0.0, now - self.filled_at)
        self.filled_at = now
        self.tokens = min(self.capacity, self.tokens + elapsed * self.per_second())
        self.factor = min(1.0, self.factor + elapsed / RECOVERY_SECONDS)

    def forget_old(self, now: float) -> None:
        while self.taken and self.taken[0][0] <= now - _WINDOW:
            self.taken.popleft()

    def idle(self, now: float) -> bool:
        self.refill(now)
        self.forget_old(now)
        quiet = not self.taken and not self.queued and now >= self.parked_until
        return quiet and self.tokens >= self.capacity and self.factor >= 1.0


class Buckets:
    """All buckets of one engine, by key: for instance ``("google", project, "calendar", user)``.

    A bucket fills at ``fill`` of the granted rate and holds at most what is left of it, so that in no sixty seconds
    more than the granted rate goes out.
    """

    def __init__(self, net: Net) -> None:
        """Make an empty set of buckets; each comes into being at its first use, full."""
        self._net = net
        self._buckets: dict[Hashable, _Bucket] = {}
        self._prune_at = 4096

    async def take(
        self,
        key: Hashable,
        cost: float,
        *,
        rate_per_minute: float,
        fill: float = 0.8,
        burst: float | None = None,
        account: str = "",
        provider: str = "",
        urgent: bool = False,
    ) -> None:
        """Wait until ``cost`` units may be used, first come first served, and use them.

        A cost larger than the bucket waits for a full one and leaves a debt.

        Args:
            key: which bucket.
            cost: units; a batch counts its sub-requests.
            rate_per_minute: what the provider grants.
            fill: part of it that we use.
            burst: units that may go at once; ``(1 - fill) * rate_per_minute`` when not given.
            account: mailbox for the observer.
            provider: name for the observer.
            urgent: may use the reserved part and does not queue behind the others.
        """
        bucket = self._bucket(key, rate_per_minute, fill, burst)
        now = self._net.clock.monotonic()
        bucket.refill(now)
        bucket.queued += cost
        try:
            need = min(cost, bucket.capacity if urgent else bucket.capacity * (1 - RESERVED))
            ahead = 0.0 if urgent else bucket.queued - cost
            expected = self._delay(bucket, ahead + need, urgent, now)
            if expected > TOLD_FROM:
                reason = "paused by the provider" if now < bucket.parked_until else "quota"
                self._net.observer.waiting(provider, account, expected, reason)
            async with bucket.urgent_turn if urgent else bucket.turn:
                while True:
                    now = self._net.clock.monotonic()
                    bucket.refill(now)
                    delay = self._delay(bucket, need, urgent, now)
                    if delay <= 0:
                        break
                    await self._net.clock.sleep(delay)
                bucket.tokens -= cost
                bucket.taken.append((now, cost))
                bucket.forget_old(now)
        finally:
            bucket.queued -= cost

    def penalise(self, key: Hashable, seconds: float) -> None:
        """The provider refused: nothing goes out for so many seconds, and then at half the rate, recovering slowly."""
        bucket = self._buckets.get(key)
        now = self._net.clock.monotonic()
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(filled_at=now)
        bucket.refill(now)
        bucket.parked_until = max(bucket.parked_until, now + seconds)
        bucket.factor = max(_LEAST_FACTOR, bucket.factor / 2)

    def usage(self) -> list[Usage]:
        """What each bucket gave within the last minute beside the provider's limit."""
        now = self._net.clock.monotonic()
        rows = []
        for key, bucket in self._buckets.items():
            bucket.forget_old(now)
            rows.append(Usage(key, sum(cost for _, cost in bucket.taken), bucket.rate))
        return rows

    def _bucket(self, key: Hashable, rate: float, fill: float, burst: float | None) -> _Bucket:
        now = self._net.clock.monotonic()
        bucket = self._buckets.get(key)
        if bucket is None:
            if len(self._buckets) >= self._prune_at:
                # A full and unused bucket is the same as none: with many mailboxes only the busy ones stay.
                self._buckets = {k: b for k, b in self._buckets.items() if not b.idle(now)}
                self._prune_at = max(4096, 2 * len(self._buckets))
            bucket = self._buckets[key] = _Bucket(filled_at=now)
        capacity = max(1.0, burst if burst is not None else rate * (1 - fill))
        if bucket.rate == 0.0:
            bucket.tokens = capacity
        bucket.rate, bucket.fill, bucket.capacity = rate, fill, capacity
        return bucket

    def _delay(self, bucket: _Bucket, need: float, urgent: bool, now: float) -> float:
        """Seconds until ``need`` units are there, as far as can be told now; the head of a queue asks again."""
        level = need if urgent else need + bucket.capacity * RESERVED
        parked = max(0.0, bucket.parked_until - now)
        missing = level - bucket.tokens
        if missing <= 1e-9:
            return parked
        return max(parked, missing / bucket.per_second())
