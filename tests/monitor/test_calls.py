"""Calls of a day: each hour is counted once, and forgotten after 24."""

from __future__ import annotations

from engine.monitor.calls import HourlyCalls

HOUR = 3_600_000
NOW = 1_795_266_012_000


def test_calls_are_forgotten_after_a_day() -> None:
    calls = HourlyCalls()
    for hour in range(30):
        for _ in range(hour):
            calls.add("ada@example.com", NOW + hour * HOUR)
    assert calls.total("ada@example.com", NOW + 29 * HOUR) == sum(range(6, 30))
    assert calls.total("ada@example.com", NOW + 31 * HOUR) == sum(range(8, 30))
    assert calls.total("ada@example.com", NOW + 90 * HOUR) == 0
    assert calls.total("bob@example.com", NOW) == 0


def test_a_clock_that_is_set_back_loses_nothing() -> None:
    calls = HourlyCalls()
    calls.add("ada@example.com", NOW)
    calls.add("ada@example.com", NOW - 2 * HOUR)
    assert calls.total("ada@example.com", NOW) == 2
