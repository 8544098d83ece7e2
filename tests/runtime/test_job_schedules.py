"""When CalendarSynchronization runs on a whole engine: once at a start, and by the clock over both clock changes, as an admin sees it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from engine.model.clock import SystemClock
from engine.service import CALENDAR, EditJob, EnableJob
from tests.clocks import AheadClock
from tests.runtime.test_calendar_job import JOBS, company

BERLIN = "Europe/Berlin"
DAY = 86_400_000


async def test_a_job_at_startup_runs_once_with_each_start_of_the_engine(tmp_path: Path) -> None:
    clock, jobs = AheadClock(), JOBS + 'schedule = "startup"\n'
    async with company(tmp_path, clock, jobs) as it:
        row = it.service.store.jobs[CALENDAR]
        await it.full()
        assert (await it.service.do(EnableJob(CALENDAR), "alice")).ok
        assert (row.schedule, row.next_run_ms, row.next_why) == (
            "at startup",
            None,
            "at the next start of the engine",
        )
        assert it.service.jobs.next_runs(CALENDAR) == ()
        assert await it.service.runs(CALENDAR) == []
    for starts in (1, 2):
        begun = clock.now_ms()
        async with company(tmp_path, clock, jobs, schedule=True) as it:
            row = it.service.store.jobs[CALENDAR]
            async with asyncio.timeout(20):
                while row.last is None or row.last.started_ms < begun:  # noqa: ASYNC110 - by the clock's own loop
                    await asyncio.sleep(0.01)
                await it.service._timekeeper.finished(CALENDAR)
            assert row.last is not None
            assert row.last.result == "ok"
            # Days later, and after another look at its definition: only a start makes it run.
            clock.ahead_ms += 3 * DAY
            it.service._timekeeper.show(CALENDAR)
            it.service._timekeeper._tick()
            assert CALENDAR not in it.service._timekeeper._tasks
            assert (row.next_run_ms, row.next_why) == (None, "at the next start of the engine")
            assert len(await it.service.runs(CALENDAR)) == starts


class Noon(SystemClock):
    """A clock that stands."""

    at = 1_780_000_000_000

    def now_ms(self) -> int:
        return self.at


#: Before a change of the clocks in Berlin, at 01:00 UTC of the Sunday; what an admin sets; the next runs there.
SHOWN: list[tuple[str, dict[str, Any], list[str]]] = [
    (
        "2027-03-28T00:40:00",
        {"schedule": "minutes", "minutes": 30},
        ["28 03:00 +0200", "28 03:30 +0200", "28 04:00 +0200"],
    ),
    (
        "2026-10-25T00:10:00",
        {"schedule": "minutes", "minutes": 30},
        ["25 02:30 +0200", "25 02:00 +0100", "25 02:30 +0100"],
    ),
    (
        "2027-03-27T12:00:00",
        {"schedule": "several-times-a-day", "times": ["02:30", "17:00"]},
        ["27 17:00 +0100", "28 03:30 +0200", "28 17:00 +0200"],
    ),
    (
        "2026-10-24T12:00:00",
        {"schedule": "several-times-a-day", "times": ["02:30", "17:00"]},
        ["24 17:00 +0200", "25 02:30 +0200", "25 17:00 +0100"],
    ),
    (
        "2027-03-27T12:00:00",
        {"schedule": "daily", "at": "07:00"},
        ["28 07:00 +0200", "29 07:00 +0200", "30 07:00 +0200"],
    ),
    (
        "2026-10-24T04:00:00",
        {"schedule": "daily", "at": "07:00"},
        ["24 07:00 +0200", "25 07:00 +0100", "26 07:00 +0100"],
    ),
    (
        "2027-03-20T00:00:00",
        {"schedule": "weekly", "days": ["sun"], "at": "02:15"},
        ["21 02:15 +0100", "28 03:15 +0200", "04 02:15 +0200"],
    ),
    (
        "2026-10-20T00:00:00",
        {"schedule": "weekly", "days": ["sun"], "at": "02:15"},
        ["25 02:15 +0200", "01 02:15 +0100", "08 02:15 +0100"],
    ),
    (
        "2027-02-28T12:00:00",
        {"schedule": "monthly", "day": 28, "at": "02:00"},
        ["28 03:00 +0200", "28 02:00 +0200", "28 02:00 +0200"],
    ),
    (
        "2026-10-24T12:00:00",
        {"schedule": "yearly", "month": 10, "day": 25, "at": "02:45"},
        ["25 02:45 +0200", "25 02:45 +0200", "25 02:45 +0200"],
    ),
]


async def test_the_next_runs_are_shown_over_both_clock_changes(tmp_path: Path) -> None:
    clock = Noon()
    async with company(tmp_path, clock) as it:  # type: ignore[arg-type]
        assert (await it.service.do(EnableJob(CALENDAR), "alice")).ok
        for now, override, shown in SHOWN:
            clock.at = int(datetime.fromisoformat(now).replace(tzinfo=UTC).timestamp() * 1000)
            document = {**override, "zone": BERLIN}
            verdict = it.service.jobs.check(CALENDAR, document)
            assert verdict.problems == ()
            assert (await it.service.do(EditJob(CALENDAR, document), "alice")).ok
            listed = it.service.jobs.next_runs(CALENDAR)
            assert listed == verdict.next_ms
            assert it.service.store.jobs[CALENDAR].next_run_ms == listed[0]
            local = [datetime.fromtimestamp(one / 1000, ZoneInfo(BERLIN)) for one in listed[:3]]
            assert [f"{one:%d %H:%M %z}" for one in local] == shown, (now, override)
