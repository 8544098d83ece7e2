"""Calls of each mailbox by hour, for a day: kept in memory, so that an idle cycle still commits nothing."""

from __future__ import annotations

from array import array

HOURS = 24
_HOUR_MS = 3_600_000


class HourlyCalls:
    """Counts of the last ``HOURS`` hours by mailbox; about 200 bytes for each that was called for."""

    def __init__(self) -> None:
        #: The counts by hour of the day's ring, and behind them the hour that was counted last.
        self._rings: dict[str, array[int]] = {}

    def add(self, mailbox: str, now_ms: int) -> None:
        """Count one call."""
        hour = now_ms // _HOUR_MS
        ring = self._rings.get(mailbox)
        if ring is None:
            ring = self._rings[mailbox] = array("Q", [0] * HOURS + [hour])
        self._turn(ring, hour)
        ring[hour % HOURS] += 1

    def total(self, mailbox: str, now_ms: int) -> int:
        """Calls in this hour and the 23 before it."""
        ring = self._rings.get(mailbox)
        if ring is None:
            return 0
        self._turn(ring, now_ms // _HOUR_MS)
        return sum(ring[:HOURS])

    @staticmethod
    def _turn(ring: array[int], hour: int) -> None:
        """Empty the hours that have passed since something was counted."""
        last = ring[HOURS]
        for passed in range(last + 1, min(hour, last + HOURS) + 1):
            ring[passed % HOURS] = 0
        ring[HOURS] = max(last, hour)
