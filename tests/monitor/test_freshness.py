"""A state that looks fine and is not: users whom no cycle has reached for three intervals."""

from __future__ import annotations

from datetime import UTC, datetime, time

import pytest

from engine.jobs.schedule import next_due
from engine.model.policy import Blackout, Hours, Scheduling
from engine.model.states import UserState
from engine.monitor.freshness import grow_stale
from engine.monitor.rows import UserRow

MINUTE = 60_000
MONDAY_NOON = int(datetime(2026, 11, 23, 12, tzinfo=UTC).timestamp() * 1000)


def _row(state: UserState = UserState.IDLE, last: int | None = MONDAY_NOON) -> UserRow:
    return UserRow("ann@acme.example", "Sales", state, last_success_ms=last)


def _grows(row: UserRow, scheduling: Scheduling, now: int) -> bool:
    return grow_stale(row, lambda at: next_due(scheduling, at).at_ms, now)


def test_three_intervals_without_a_success_are_stale_and_not_a_minute_earlier() -> None:
    scheduling = Scheduling(workdays=Hours(minutes=15))
    row = _row()
    assert not _grows(row, scheduling, MONDAY_NOON + 45 * MINUTE)
    assert row.state is UserState.IDLE
    assert _grows(row, scheduling, MONDAY_NOON + 46 * MINUTE)
    assert row.state is UserState.STALE
    assert "r runs one now" in row.text


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


@pytest.mark.parametrize("state", [UserState.SYNCING, UserState.PAUSED, UserState.FAILED, UserState.QUEUED])
def test_states_that_tell_the_truth_stay(state: UserState) -> None:
    row = _row(state)
    assert not _grows(row, Scheduling(), MONDAY_NOON + 10**9)
    assert row.state is state


def test_who_was_never_synced_is_not_stale_but_queued() -> None:
    assert not _grows(_row(last=None), Scheduling(), MONDAY_NOON)
