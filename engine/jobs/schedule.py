"""When a policy's next full sync begins: workday and weekend hours, intervals, blackout periods, in the policy's zone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

from engine.model.policy import Blackout, Hours, Scheduling

WEEK_MINUTES = 7 * 24 * 60

#: A schedule without any open time within a fortnight has none at all.
HORIZON = timedelta(days=15)


@dataclass(frozen=True, slots=True)
class Due:
    """The next run. ``at_ms`` is None when the schedule never opens; ``why`` says what it waits for."""

    at_ms: int | None
    why: str


def next_due(scheduling: Scheduling, ended_ms: int) -> Due:
    """The time of the next cycle, counted from the end of the last one (domain.md 5.3).

    Args:
        scheduling: the policy's schedule.
        ended_ms: end of the last cycle, epoch milliseconds.
    """
    zone = ZoneInfo(scheduling.zone)
    ended = datetime.fromtimestamp(ended_ms / 1000, UTC)
    at = ended
    hours = _hours(scheduling, at.astimezone(zone))
    if hours is not None:
        at = ended + timedelta(minutes=hours.minutes)
    why = "at its interval"
    limit = ended + HORIZON
    while at < limit:
        local = at.astimezone(zone)
        hours = _hours(scheduling, local)
        if hours is None:
            at, why = _tomorrow(local), "the policy does not run on this day"
            continue
        opens, closes = _bounds(local, hours)
        if local < opens:
            at, why = opens.astimezone(UTC), f"outside its hours; they begin at {hours.start:%H:%M}"
            continue
        if local >= closes:
            at, why = _tomorrow(local), f"outside its hours; they ended at {hours.end:%H:%M}"
            continue
        left = blackout_left(scheduling.blackouts, local)
        if left is not None:
            at, why = at + left, "a blackout period"
            continue
        return Due(int(at.timestamp() * 1000), why)
    return Due(None, "the schedule has no open time in the next two weeks")


def labels_due(scheduling: Scheduling, ended_ms: int) -> Due:
    """The time of the next drop-label check: its own interval, within the hours of the full syncs."""
    minutes = scheduling.label_check_minutes
    weekends = scheduling.weekends
    return next_due(
        replace(
            scheduling,
            workdays=replace(scheduling.workdays, minutes=minutes),
            weekends=None if weekends is None else replace(weekends, minutes=minutes),
        ),
        ended_ms,
    )


def in_blackout(scheduling: Scheduling, now_ms: int) -> bool:
    """Whether no cycle may start now."""
    local = datetime.fromtimestamp(now_ms / 1000, UTC).astimezone(ZoneInfo(scheduling.zone))
    return blackout_left(scheduling.blackouts, local) is not None


def blackout_until(scheduling: Scheduling, now_ms: int) -> int | None:
    """The end of the blackout period in force, epoch milliseconds; ``None`` outside of one."""
    if not scheduling.blackouts:
        return None
    second = now_ms // 1000
    local = datetime.fromtimestamp(second, UTC).astimezone(ZoneInfo(scheduling.zone))
    left = blackout_left(scheduling.blackouts, local)
    return None if left is None else (second + int(left.total_seconds())) * 1000


def blackout_left(blackouts: tuple[Blackout, ...], local: datetime) -> timedelta | None:
    """How long the blackout period in force goes on; ``None`` outside of one."""
    minute = local.weekday() * 1440 + local.hour * 60 + local.minute
    for blackout in blackouts:
        start = blackout.start_day * 1440 + blackout.start.hour * 60 + blackout.start.minute
        end = blackout.end_day * 1440 + blackout.end.hour * 60 + blackout.end.minute
        length = (end - start) % WEEK_MINUTES
        inside = (minute - start) % WEEK_MINUTES
        if inside < length:
            return timedelta(minutes=length - inside, seconds=-local.second)
    return None


def describe(scheduling: Scheduling) -> str:
    """The schedule in a few words, for the Job Scheduler."""
    parts = [_words(scheduling.workdays)]
    if scheduling.weekends is None:
        parts.append("work days")
    elif scheduling.weekends != scheduling.workdays:
        parts.append(f"weekends {_words(scheduling.weekends)}")
    return ", ".join(parts)


def _words(hours: Hours) -> str:
    span = "" if hours.start == hours.end == time(0, 0) else f" {hours.start:%H:%M}-{hours.end:%H:%M}"
    return f"every {hours.minutes} min{span}"


def _hours(scheduling: Scheduling, local: datetime) -> Hours | None:
    return scheduling.workdays if local.weekday() in scheduling.workday_days else scheduling.weekends


def _bounds(local: datetime, hours: Hours) -> tuple[datetime, datetime]:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    opens = day.replace(hour=hours.start.hour, minute=hours.start.minute)
    if hours.end == time(0, 0):
        return opens, day + timedelta(days=1)
    return opens, day.replace(hour=hours.end.hour, minute=hours.end.minute)


def _tomorrow(local: datetime) -> datetime:
    day = local.replace(hour=0, minute=0, second=0, microsecond=0)
    return (day + timedelta(days=1)).astimezone(UTC)
