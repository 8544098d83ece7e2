"""The time that is left: as narrow as things went evenly, and never without an end."""

from __future__ import annotations

import pytest

from engine.monitor.pace import time_left


def test_an_even_pace_gives_one_time() -> None:
    assert time_left(600, [10] * 300) == (60, 60)


def test_an_uneven_pace_gives_a_range_around_its_median() -> None:
    low, high = time_left(1200, [5] * 20 + [10] * 20 + [20] * 20) or (0, 0)
    assert low < 1200 / 10 < high
    assert low >= 60
    assert high <= 240


def test_what_was_a_minute_ago_does_not_count() -> None:
    assert time_left(600, [500] * 240 + [10] * 60) == (60, 60)


def test_a_pause_makes_it_longer_and_not_endless() -> None:
    even = time_left(600, [10] * 60)
    paused = time_left(600, [10] * 30 + [0] * 30)
    assert even is not None
    assert paused is not None
    assert even[1] < paused[1] < 1000


def test_a_first_sync_that_has_just_begun_says_a_wide_range() -> None:
    low, high = time_left(600, [10] * 5) or (0, 0)
    assert low < 60 < high


@pytest.mark.parametrize(("left", "settled"), [(0, [10] * 60), (-3, [10] * 60), (600, [0] * 60), (600, [])])
def test_nothing_is_guessed_of_what_does_not_move(left: float, settled: list[int]) -> None:
    assert time_left(left, settled) is None
