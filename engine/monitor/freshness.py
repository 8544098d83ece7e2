"""Freshness: a user is stale when no cycle has ended well within three intervals, whatever the states say."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.states import UserState
from engine.monitor.rows import UserRow

#: Scheduled times that may pass without a success.
INTERVALS = 3

NextDue = Callable[[int], int | None]
"""The scheduled time that follows a moment, both in epoch milliseconds."""


def stale_at(last_success_ms: int, next_due: NextDue) -> int | None:
    """When a user becomes stale; ``None`` when the schedule has no more open time."""
    at: int | None = last_success_ms
    for _ in range(INTERVALS):
        if at is None:
            return None
        at = next_due(at)
    return at


def grow_stale(row: UserRow, next_due: NextDue, now_ms: int) -> bool:
    """Mark a user as stale whose state looks fine and is not. Returns whether it was marked now."""
    if row.state is not UserState.IDLE or row.last_success_ms is None:
        return False
    limit = stale_at(row.last_success_ms, next_due)
    if limit is None or now_ms <= limit:
        return False
    row.state = UserState.STALE
    row.text = (
        "no cycle has ended well for three intervals; r runs one now, and the Job Scheduler tells why none ran"
    )
    return True
