"""When a job runs: all kinds of schedule, clock changes, and what a schedule says of itself."""

from __future__ import annotations

from datetime import UTC, datetime, time
from zoneinfo import ZoneInfo

import pytest

from engine.jobs.trigger import next_run, next_runs, said
from engine.model.job import LAST_DAY, JobSettings, ScheduleKind

BERLIN = "Europe/Berlin"


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def runs(after: str, count: int = 4, **settings: object) -> list[str]:
    """The next runs as local times with their offset."""
    made = JobSettings(zone=BERLIN, **settings)  # type: ignore[arg-type]
    zone = ZoneInfo(BERLIN)
    found = next_runs(made, ms(after), count)
    assert next_run(made, ms(after)) == (found[0] if found else None)
    assert found == sorted(set(found))
    return [f"{datetime.fromtimestamp(one / 1000, UTC).astimezone(zone):%Y-%m-%d %H:%M %z}" for one in found]


def test_every_few_minutes_is_on_the_clock_and_after_the_moment() -> None:
    assert runs("2026-11-21T13:00:00", 3, schedule=ScheduleKind.MINUTES, minutes=20) == [
        "2026-11-21 14:20 +0100",
        "2026-11-21 14:40 +0100",
        "2026-11-21 15:00 +0100",
    ]


def test_every_few_minutes_goes_on_through_a_clock_change() -> None:
    assert runs("2026-10-25T00:20:00", 4, schedule=ScheduleKind.MINUTES, minutes=30) == [
        "2026-10-25 02:30 +0200",
        "2026-10-25 02:00 +0100",
        "2026-10-25 02:30 +0100",
        "2026-10-25 03:00 +0100",
    ]


def test_a_time_that_the_clock_skips_is_run_after_the_jump() -> None:
    assert runs("2026-03-28T00:00:00", 3, schedule=ScheduleKind.DAILY, at=time(2, 30)) == [
        "2026-03-28 02:30 +0100",
        "2026-03-29 03:30 +0200",
        "2026-03-30 02:30 +0200",
    ]


def test_a_time_that_there_is_twice_is_run_once() -> None:
    assert runs("2026-10-24T12:00:00", 2, schedule=ScheduleKind.DAILY, at=time(2, 30)) == [
        "2026-10-25 02:30 +0200",
        "2026-10-26 02:30 +0100",
    ]
    # Asked between the two: the first has passed.
    assert runs("2026-10-25T00:45:00", 1, schedule=ScheduleKind.DAILY, at=time(2, 30)) == [
        "2026-10-26 02:30 +0100"
    ]


@pytest.mark.parametrize("day", ["2026-03-29", "2026-10-25"])
def test_several_times_a_day_are_all_there_on_the_day_of_a_clock_change(day: str) -> None:
    times = (time(1, 30), time(2, 15), time(2, 45), time(3, 30))
    found = runs(f"{day}T00:00:00", 4, schedule=ScheduleKind.SEVERAL, times=times)
    hours = [one[11:16] for one in found]
    # In spring 02:15 and 02:45 are 03:15 and 03:45 of the new clock.
    spring = ["01:30", "03:15", "03:30", "03:45"]
    assert hours == (spring if day == "2026-03-29" else ["02:15", "02:45", "03:30", "01:30"])


def test_weekly_monthly_and_yearly() -> None:
    assert runs("2026-11-21T00:00:00", 3, schedule=ScheduleKind.WEEKLY, days=(0, 4), at=time(6)) == [
        "2026-11-23 06:00 +0100",
        "2026-11-27 06:00 +0100",
        "2026-11-30 06:00 +0100",
    ]
    assert runs("2026-11-21T00:00:00", 3, schedule=ScheduleKind.MONTHLY, day=31, at=time(6)) == [
        "2026-12-31 06:00 +0100",
        "2027-01-31 06:00 +0100",
        "2027-03-31 06:00 +0200",
    ]
    assert runs("2027-02-01T00:00:00", 2, schedule=ScheduleKind.MONTHLY, day=LAST_DAY, at=time(6)) == [
        "2027-02-28 06:00 +0100",
        "2027-03-31 06:00 +0200",
    ]
    assert runs("2026-11-21T00:00:00", 3, schedule=ScheduleKind.YEARLY, month=2, day=29, at=time(6)) == [
        "2028-02-29 06:00 +0100",
        "2032-02-29 06:00 +0100",
        "2036-02-29 06:00 +0100",
    ]


def test_a_job_that_runs_at_startup_has_no_next_run_by_the_clock() -> None:
    assert runs("2026-11-21T00:00:00", schedule=ScheduleKind.STARTUP) == []


@pytest.mark.parametrize("kind", [kind for kind in ScheduleKind if kind is not ScheduleKind.STARTUP])
def test_ten_runs_are_listed_for_every_kind(kind: ScheduleKind) -> None:
    assert len(next_runs(JobSettings(schedule=kind, zone=BERLIN), ms("2026-11-21T00:00:00"))) == 10


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (JobSettings(), "every 15 min"),
        (JobSettings(schedule=ScheduleKind.STARTUP), "at startup"),
        (JobSettings(schedule=ScheduleKind.SEVERAL), "daily 07:00 12:00 17:00"),
        (JobSettings(schedule=ScheduleKind.DAILY), "daily 02:00"),
        (JobSettings(schedule=ScheduleKind.WEEKLY, days=(0, 4)), "Mon Fri 02:00"),
        (JobSettings(schedule=ScheduleKind.MONTHLY, day=LAST_DAY), "monthly last day 02:00"),
        (JobSettings(schedule=ScheduleKind.YEARLY, month=12, day=24), "yearly Dec 24 02:00"),
    ],
)
def test_a_schedule_in_words(settings: JobSettings, words: str) -> None:
    assert said(settings) == words
