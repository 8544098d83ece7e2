"""When the next cycle begins: hours, days, blackouts, zones, and the two nights on which clocks change."""

from __future__ import annotations

from datetime import datetime, time
from zoneinfo import ZoneInfo

import pytest

from engine.jobs.schedule import describe, in_blackout, next_due
from engine.model.policy import Blackout, Hours, Scheduling

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str, zone: ZoneInfo = BERLIN) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=zone).timestamp() * 1000)


def due(scheduling: Scheduling, ended: str) -> str | None:
    zone = ZoneInfo(scheduling.zone)
    found = next_due(scheduling, at(ended, zone)).at_ms
    return None if found is None else datetime.fromtimestamp(found / 1000, zone).strftime("%a %d %H:%M")


OFFICE = Scheduling("Europe/Berlin", workdays=Hours(time(8), time(18), 15), weekends=None)


@pytest.mark.parametrize(
    ("ended", "expected"),
    [
        ("2026-11-20T10:00", "Fri 20 10:15"),
        ("2026-11-20T06:00", "Fri 20 08:00"),
        ("2026-11-20T17:50", "Mon 23 08:00"),  # over the weekend
        ("2026-11-21T12:00", "Mon 23 08:00"),
    ],
)
def test_work_days_have_hours_and_weekends_may_have_none(ended: str, expected: str) -> None:
    assert due(OFFICE, ended) == expected


def test_weekends_have_an_interval_of_their_own() -> None:
    scheduling = Scheduling("Europe/Berlin", workdays=Hours(minutes=15), weekends=Hours(minutes=60))
    assert due(scheduling, "2026-11-21T12:00") == "Sat 21 13:00"
    assert due(scheduling, "2026-11-23T12:00") == "Mon 23 12:15"


def test_a_blackout_may_wrap_over_sunday() -> None:
    scheduling = Scheduling("Europe/Berlin", blackouts=(Blackout(5, time(22), 0, time(6)),))
    assert due(scheduling, "2026-11-21T21:30") == "Mon 23 06:00"
    assert due(scheduling, "2026-11-23T05:58") == "Mon 23 06:13"
    assert in_blackout(scheduling, at("2026-11-22T12:00"))
    assert not in_blackout(scheduling, at("2026-11-23T06:00"))
    assert "blackout" in next_due(scheduling, at("2026-11-21T21:30")).why


def test_hours_are_those_of_the_policys_zone() -> None:
    for name in ("America/New_York", "Asia/Kolkata", "Pacific/Auckland"):
        scheduling = Scheduling(name, workdays=Hours(time(8), time(18), 15), weekends=None)
        assert due(scheduling, "2026-11-20T06:00") == "Fri 20 08:00"


def test_the_interval_is_elapsed_time_on_the_nights_when_clocks_change() -> None:
    scheduling = Scheduling("Europe/Berlin", workdays=Hours(minutes=30), weekends=Hours(minutes=30))
    for ended in ("2026-03-29T01:45", "2026-10-25T01:45", "2026-10-25T02:45"):
        assert next_due(scheduling, at(ended)).at_ms == at(ended) + 30 * 60_000


def test_an_hour_that_the_clock_skips_still_opens() -> None:
    hours = Hours(time(2, 30), time(5), 15)
    scheduling = Scheduling("Europe/Berlin", workdays=hours, weekends=hours)
    assert due(scheduling, "2026-03-28T12:00") == "Sun 29 03:30"


def test_a_schedule_that_never_opens_says_so() -> None:
    never = Scheduling("UTC", workday_days=(), weekends=None)
    found = next_due(never, at("2026-11-20T10:00"))
    assert found.at_ms is None
    assert "no open time" in found.why


def test_a_schedule_is_described_in_a_few_words() -> None:
    assert describe(OFFICE) == "every 15 min 08:00-18:00, work days"
