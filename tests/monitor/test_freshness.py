"""A state that looks fine and is not: users whom no cycle has reached for three intervals."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from engine.jobs.schedule import next_due
from engine.model.policy import Blackout, Hours, Scheduling
from engine.model.states import UserState
from engine.monitor.freshness import look, stale_at
from engine.monitor.rows import UserRow

MINUTE = 60_000
MONDAY_NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)


def _row(state: UserState = UserState.IDLE, last: int | None = MONDAY_NOON) -> UserRow:
    return UserRow("ann@acme.example", "Sales", state, last_success_ms=last)


def _grows(row: UserRow, scheduling: Scheduling, now: int, *, expected: bool = True) -> bool:
    """Whether the look changed anything, and left the user stale."""
    last = row.last_success_ms
    limit = None if last is None else stale_at(last, lambda at: next_due(scheduling, at).at_ms)
    return look(row, limit, now, expected=expected) and row.stale_since_ms is not None


def test_three_intervals_without_a_success_are_stale_and_not_a_minute_earlier() -> None:
    scheduling = Scheduling(workdays=Hours(minutes=15))
    row = _row()
    assert not _grows(row, scheduling, MONDAY_NOON + 45 * MINUTE)
    assert row.state is UserState.IDLE
    assert _grows(row, scheduling, MONDAY_NOON + 46 * MINUTE)
    assert row.state is UserState.STALE
    assert "r runs one now" in row.text
    assert row.stale_since_ms == MONDAY_NOON + 45 * MINUTE


def test_a_night_without_hours_and_a_blackout_do_not_make_anybody_stale() -> None:
    closed = Scheduling(
        workdays=Hours(time(7), time(13), 15),
        weekends=None,
        blackouts=(Blackout(1, time(6), 1, time(8)),),
    )
    row = _row(last=MONDAY_NOON + 50 * MINUTE)
    tuesday_eight = MONDAY_NOON + 20 * 60 * MINUTE
    assert not _grows(row, closed, tuesday_eight)
    assert _grows(row, closed, tuesday_eight + 31 * MINUTE)


@pytest.mark.parametrize("state", [UserState.SYNCING, UserState.FAILED, UserState.QUEUED, UserState.BACKOFF])
def test_states_that_tell_the_truth_stay_and_are_marked_besides(state: UserState) -> None:
    row = _row(state)
    assert _grows(row, Scheduling(), MONDAY_NOON + 10**9)
    assert row.state is state
    assert row.stale_since_ms == MONDAY_NOON + 45 * MINUTE
    assert not _grows(row, Scheduling(), MONDAY_NOON + 10**9 + 1)


@pytest.mark.parametrize("state", [UserState.PAUSED, UserState.DISABLED])
def test_of_whom_nobody_expects_a_success_is_not_stale(state: UserState) -> None:
    assert not _grows(_row(state), Scheduling(), MONDAY_NOON + 10**9)
    assert not _grows(_row(), Scheduling(), MONDAY_NOON + 10**9, expected=False)


@pytest.mark.parametrize("ends", ["success", "pause", "off"])
def test_it_ends_with_a_success_or_when_none_is_expected(ends: str) -> None:
    row = _row()
    late = MONDAY_NOON + 10**9
    assert _grows(row, Scheduling(), late)
    if ends == "success":
        row.last_success_ms = late
    elif ends == "pause":
        row.state = UserState.PAUSED
    limit = stale_at(row.last_success_ms or 0, lambda at: next_due(Scheduling(), at).at_ms)
    assert look(row, limit, late, expected=ends != "off")
    assert row.stale_since_ms is None
    assert row.state is (UserState.PAUSED if ends == "pause" else UserState.IDLE)


def test_who_was_never_synced_is_not_stale_but_queued() -> None:
    assert not _grows(_row(last=None), Scheduling(), MONDAY_NOON)
