"""Recurrence patterns of Exchange: which days they mean, as Outlook counts them."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from typing import Any, Literal

from dateutil.rrule import DAILY, MONTHLY, WEEKLY, YEARLY, rrule

from engine.sandbox.exchange import times
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Node, child, children, text

DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
INDEXES = {"First": 1, "Second": 2, "Third": 3, "Fourth": 4, "Last": -1}
_GROUPS = {"Day": range(7), "Weekday": range(5), "WeekendDay": range(5, 7)}
MOST = 999
"""Occurrences of a numbered series at most, as in Outlook."""
_LAST_DAY = date(4500, 9, 1)
"""Outlook's day without end."""
_HORIZON_DAYS = 40 * 366
"""How far an endless series is looked into."""


def check(recurrence: Node) -> None:
    """Refuse a pattern that makes no sense.

    Raises:
        EwsError: ``ErrorCalendarInvalidRecurrence``, ``ErrorRecurrenceEndDateTooBig``, ``ErrorRecurrenceHasNoOccurrence``.
    """
    parts = children(recurrence)
    if len(parts) != 2:
        raise _wrong("a pattern and a range are needed")
    pattern, span = parts[0][1], parts[1][1]
    limits = {"Interval": (1, 999), "DayOfMonth": (1, 31), "NumberOfOccurrences": (1, MOST)}
    for name, value in (*children(pattern), *children(span)):
        low, high = limits.get(name, (0, 0))
        if high and not low <= int(text(value)) <= high:
            raise _wrong(f"{name} must be from {low} to {high}")
    end = child(span, "EndDate")
    if end is not None:
        if times.parse_date(text(end)) > _LAST_DAY:
            raise EwsError(
                "ErrorRecurrenceEndDateTooBig", "The end of the recurrence range is past the largest date."
            )
        if times.parse_date(text(end)) < times.parse_date(text(child(span, "StartDate"))):
            raise EwsError("ErrorRecurrenceHasNoOccurrence", "The recurrence has no occurrence in its range.")
    if "DaysOfWeek" in dict(children(pattern)) and not weekdays(text(child(pattern, "DaysOfWeek"))):
        raise _wrong("no day of the week is named")


def _wrong(why: str) -> EwsError:
    return EwsError("ErrorCalendarInvalidRecurrence", f"The recurrence pattern is invalid: {why}.")


def weekdays(names: str) -> list[int]:
    """Numbers (0 for Monday) of the days and groups of days in a list of names."""
    found: list[int] = []
    for name in names.split():
        found.extend(_GROUPS[name] if name in _GROUPS else (DAYS.index(name),))
    return sorted(set(found))


def _clamped(day: int) -> dict[str, Any]:
    # The 31st means the last day of shorter months (unlike in RFC 5545, where they would be left out).
    return {"bymonthday": day} if day <= 28 else {"bymonthday": list(range(28, day + 1)), "bysetpos": -1}


def _relative(pattern: Node) -> dict[str, Any]:
    days = weekdays(text(child(pattern, "DaysOfWeek")))
    return {"byweekday": days, "bysetpos": INDEXES[text(child(pattern, "DayOfWeekIndex"))]}


def days(recurrence: Node) -> Iterator[date]:
    """The days of a pattern, in order: all of a bounded one, some decades of an endless one."""
    (kind, pattern), (_, span) = children(recurrence)[:2]
    first = times.parse_date(text(child(span, "StartDate")))
    frequency: Literal[0, 1, 2, 3]
    words: dict[str, Any] = {"dtstart": datetime.combine(first, time())}
    interval = child(pattern, "Interval")
    if interval is not None:
        words["interval"] = int(text(interval))
    count, end = child(span, "NumberOfOccurrences"), child(span, "EndDate")
    if count is not None:
        words["count"] = int(text(count))
    else:
        last = times.parse_date(text(end)) if end is not None else first + timedelta(days=_HORIZON_DAYS)
        words["until"] = datetime.combine(last, time())
    month = child(pattern, "Month")
    if month is not None:
        words["bymonth"] = MONTHS.index(text(month)) + 1
    if kind == "DailyRecurrence":
        frequency = DAILY
    elif kind == "WeeklyRecurrence":
        frequency = WEEKLY
        words["byweekday"] = weekdays(text(child(pattern, "DaysOfWeek")))
        words["wkst"] = DAYS.index(text(child(pattern, "FirstDayOfWeek")) or "Sunday")
    elif kind.endswith("YearlyRecurrence"):
        frequency = YEARLY
        words |= (
            _clamped(int(text(child(pattern, "DayOfMonth")))) if kind.startswith("Abs") else _relative(pattern)
        )
    elif kind.endswith("MonthlyRecurrence"):
        frequency = MONTHLY
        words |= (
            _clamped(int(text(child(pattern, "DayOfMonth")))) if kind.startswith("Abs") else _relative(pattern)
        )
    else:  # a regenerating task: the next one is made when this one is done
        yield first
        return
    for moment in rrule(frequency, **words):
        yield moment.date()


def originals(recurrence: Node, start_ms: int, zone: tzinfo) -> Iterator[int]:
    """The starts of all occurrences by the pattern, epoch milliseconds: the wall clock of the start on each day."""
    clock = times.from_ms(start_ms).astimezone(zone).time()
    for day in days(recurrence):
        yield times.to_ms(datetime.combine(day, clock, zone).astimezone(UTC))


def bounded(recurrence: Node) -> bool:
    """Whether the series has an end."""
    return child(children(recurrence)[1][1], "NumberOfOccurrences") is not None or (
        child(children(recurrence)[1][1], "EndDate") is not None
    )
