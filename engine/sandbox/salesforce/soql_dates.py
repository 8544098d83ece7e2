"""Date literals of SOQL (``TODAY``, ``LAST_N_DAYS:7``) as ranges of days in the running user's zone."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta

Range = tuple[date, date]


def _month(day: date, by: int) -> date:
    months = day.year * 12 + day.month - 1 + by
    return date(months // 12, months % 12 + 1, 1)


def _week(day: date, by: int) -> date:
    # The org's locale is en_US: weeks begin on Sunday.
    return day - timedelta(days=(day.weekday() + 1) % 7) + timedelta(weeks=by)


def _days(day: date, start: int, end: int) -> Range:
    return day + timedelta(days=start), day + timedelta(days=end)


_PLAIN: dict[str, Callable[[date], Range]] = {
    "today": lambda day: _days(day, 0, 1),
    "yesterday": lambda day: _days(day, -1, 0),
    "tomorrow": lambda day: _days(day, 1, 2),
    "last_week": lambda day: (_week(day, -1), _week(day, 0)),
    "this_week": lambda day: (_week(day, 0), _week(day, 1)),
    "next_week": lambda day: (_week(day, 1), _week(day, 2)),
    "last_month": lambda day: (_month(day, -1), _month(day, 0)),
    "this_month": lambda day: (_month(day, 0), _month(day, 1)),
    "next_month": lambda day: (_month(day, 1), _month(day, 2)),
    "last_90_days": lambda day: _days(day, -90, 1),
    "next_90_days": lambda day: _days(day, 1, 91),
    "last_year": lambda day: (date(day.year - 1, 1, 1), date(day.year, 1, 1)),
    "this_year": lambda day: (date(day.year, 1, 1), date(day.year + 1, 1, 1)),
    "next_year": lambda day: (date(day.year + 1, 1, 1), date(day.year + 2, 1, 1)),
}

_COUNTED: dict[str, Callable[[date, int], Range]] = {
    "last_n_days": lambda day, n: _days(day, -n, 1),
    "next_n_days": lambda day, n: _days(day, 1, n + 1),
    "n_days_ago": lambda day, n: _days(day, -n, 1 - n),
    "last_n_weeks": lambda day, n: (_week(day, -n), _week(day, 0)),
    "next_n_weeks": lambda day, n: (_week(day, 1), _week(day, n + 1)),
    "last_n_months": lambda day, n: (_month(day, -n), _month(day, 0)),
    "next_n_months": lambda day, n: (_month(day, 1), _month(day, n + 1)),
}


def span(literal: str, count: int | None, today: date) -> Range | None:
    """The first day and the day after the last one; ``None`` for a word that is no date literal."""
    if count is None:
        plain = _PLAIN.get(literal)
        return plain(today) if plain else None
    counted = _COUNTED.get(literal)
    return counted(today, count) if counted else None
