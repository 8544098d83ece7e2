"""When a job runs: its settings as a trigger of apscheduler (3.x), used as a value; the scheduler of that library is not used.

Times of day are meant in the job's zone. A clock change neither skips nor doubles a run: a time that does not exist on a day
is run when the clock has jumped past it, and one that there is twice is run the first time.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from apscheduler.triggers.combining import OrTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from engine.model.config_values import DAYS
from engine.model.job import LAST_DAY, JobSettings, ScheduleKind

#: Intervals are counted from here, so that "every 15 minutes" is at :00, :15, :30 and :45, whenever the engine started.
EPOCH = datetime(2020, 1, 1, tzinfo=UTC)

#: Times without number are asked for at most so far ahead: ten times 29 February are forty years or more.
HORIZON = timedelta(days=366 * 45)

MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def trigger_of(settings: JobSettings) -> Any:
    """The trigger of a schedule, in UTC for intervals and in wall time otherwise; None for a start of the engine."""
    match settings.schedule:
        case ScheduleKind.STARTUP:
            return None
        case ScheduleKind.MINUTES:
            return IntervalTrigger(minutes=settings.minutes, start_date=EPOCH, timezone=UTC)
        case ScheduleKind.SEVERAL:
            return OrTrigger([_cron(hour=at.hour, minute=at.minute) for at in settings.times])
    given: dict[str, Any] = {"hour": settings.at.hour, "minute": settings.at.minute}
    day = "last" if settings.day == LAST_DAY else settings.day
    match settings.schedule:
        case ScheduleKind.WEEKLY:
            given["day_of_week"] = ",".join(DAYS[day] for day in settings.days)
        case ScheduleKind.MONTHLY:
            given["day"] = day
        case ScheduleKind.YEARLY:
            given |= {"month": settings.month, "day": day}
    return _cron(**given)


def _cron(**given: Any) -> CronTrigger:
    # In UTC: the trigger lists wall times, of which there are neither too few nor too many; see next_runs.
    return CronTrigger(second=0, timezone=UTC, **given)


def next_runs(settings: JobSettings, after_ms: int, count: int = 10) -> list[int]:
    """The next runs after a moment, epoch milliseconds, at most ``count``; none for a job that runs at startup only."""
    trigger = trigger_of(settings)
    if trigger is None:
        return []
    after = datetime.fromtimestamp(after_ms / 1000, UTC)
    if settings.schedule is ScheduleKind.MINUTES:
        return _listed(trigger, after, after, count, None)
    zone = ZoneInfo(settings.zone)
    # Wall times, as if they were UTC, from a day before: what a clock change moves is sorted out by its moment.
    wall = after.astimezone(zone).replace(tzinfo=UTC) - timedelta(days=1)
    # A time that is moved past a jump may come after later ones: a day more is listed, and then sorted.
    more = len(settings.times) if settings.schedule is ScheduleKind.SEVERAL else 1
    return _listed(trigger, wall, after, count + more, zone)[:count]


def _listed(trigger: Any, begin: datetime, after: datetime, count: int, zone: ZoneInfo | None) -> list[int]:
    found: list[int] = []
    at = trigger.get_next_fire_time(None, begin)
    while at is not None and len(found) < count and at - begin < HORIZON:
        moment = at if zone is None else _moment(at.replace(tzinfo=None), zone)
        millis = int(moment.timestamp() * 1000)
        if moment > after and millis not in found:
            found.append(millis)
        # Its own way to go on looks back at the time before; a second later is the same, for whole minutes.
        at = trigger.get_next_fire_time(None, at + timedelta(seconds=1))
    return sorted(found)


def _moment(wall: datetime, zone: ZoneInfo) -> datetime:
    """A wall time as a moment: the first of two, and for one that is skipped the same time counted from before the jump."""
    return wall.replace(tzinfo=zone, fold=0).astimezone(UTC)


def next_run(settings: JobSettings, after_ms: int) -> int | None:
    """The next run after a moment, epoch milliseconds."""
    found = next_runs(settings, after_ms, 1)
    return found[0] if found else None


def said(settings: JobSettings) -> str:
    """A schedule in a few words, for a line of the Job Scheduler."""
    at = f"{settings.at:%H:%M}"
    day = "last day" if settings.day == LAST_DAY else f"day {settings.day}"
    match settings.schedule:
        case ScheduleKind.STARTUP:
            return "at startup"
        case ScheduleKind.MINUTES:
            return f"every {settings.minutes} min"
        case ScheduleKind.SEVERAL:
            return "daily " + " ".join(f"{one:%H:%M}" for one in settings.times)
        case ScheduleKind.DAILY:
            return f"daily {at}"
        case ScheduleKind.WEEKLY:
            return f"{' '.join(DAYS[day].capitalize() for day in settings.days)} {at}"
        case ScheduleKind.MONTHLY:
            return f"monthly {day} {at}"
        case ScheduleKind.YEARLY:
            return f"yearly {MONTHS[settings.month - 1]} {'last' if settings.day == LAST_DAY else settings.day} {at}"
