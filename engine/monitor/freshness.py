"""Freshness: a user is stale when no end-to-end success lies within three intervals, whatever the states say."""

from __future__ import annotations

from collections.abc import Callable

from engine.model.states import UserState
from engine.monitor.rows import UserRow

#: Scheduled times that may pass without a success.
INTERVALS = 3

#: Nobody expects a success of these.
UNWATCHED = frozenset({UserState.PAUSED, UserState.DISABLED})

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


def look(row: UserRow, limit_ms: int | None, now_ms: int, *, expected: bool) -> bool:
    """Mark a user as stale, or as fresh again. Returns whether that changed.

    A state that claims to be fine becomes ``stale``; any other tells its own trouble and stays, with the mark beside it.

    Args:
        row: of the user.
        limit_ms: since when it is stale if nothing ends well, of ``stale_at``; None when it never is.
        now_ms: engine clock.
        expected: a success is expected: the policy is on, and the engine has had its chance.
    """
    watched = expected and row.state not in UNWATCHED and row.last_success_ms is not None
    stale = watched and limit_ms is not None and now_ms > limit_ms
    if stale and row.state is UserState.IDLE:
        row.state = UserState.STALE
        row.text = "no cycle has ended well for three intervals; W tells why none ran, r runs one now"
    elif not stale and row.state is UserState.STALE:
        row.state, row.text = UserState.IDLE, ""
    changed = stale != (row.stale_since_ms is not None)
    if changed:
        row.stale_since_ms = limit_ms if stale else None
    return changed
