"""Dates and times as the REST API writes them: ``2026-11-21T08:00:00.000+0000`` and ``2026-11-21``."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta

_DATETIME = re.compile(
    r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d(?::\d\d)?)(?:\.(\d{1,6}))?\s*(Z|[+-]\d\d:?\d\d)?\Z", re.IGNORECASE
)
_CANONICAL = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+0000\Z")


def from_ms(epoch_ms: int) -> str:
    """The stamp of an instant given in epoch milliseconds UTC."""
    whole, rest = divmod(epoch_ms, 1000)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{rest:03d}+0000"


def from_datetime(at: datetime) -> str:
    """The stamp of an instant; a naive one is read as UTC."""
    utc = at.replace(tzinfo=UTC) if at.tzinfo is None else at.astimezone(UTC)
    return f"{utc:%Y-%m-%dT%H:%M:%S}.{utc.microsecond // 1000:03d}+0000"


def parse(stamp: str) -> datetime:
    """The instant of a date-time text as clients write it (``Z``, ``+0000``, ``+01:00``, or no zone: UTC).

    Raises:
        ValueError: it is not a date-time.
    """
    found = _DATETIME.match(stamp)
    if found is None:
        raise ValueError(f"not a date-time: {stamp}")
    day, clock, fraction, zone = found.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    return datetime.fromisoformat(
        f"{day}T{clock}{'.' + fraction.ljust(6, '0') if fraction else ''}{zone}"
    ).astimezone(UTC)


def canonical(value: str | datetime) -> str:
    """Any accepted spelling of a date-time as the server's own stamp.

    Raises:
        ValueError: it is not a date-time.
    """
    if isinstance(value, datetime):
        return from_datetime(value)
    if _CANONICAL.match(value):
        return value
    return from_datetime(parse(value))


def canonical_date(value: str | date) -> str:
    """A date as ``YYYY-MM-DD``; a date-time is cut to its date as the real server does.

    Raises:
        ValueError: it is not a date.
    """
    if isinstance(value, date):
        return value.isoformat()[:10]
    if len(value) > 10:
        parse(value)
    return date.fromisoformat(value[:10]).isoformat()


def shift(stamp: str, **delta: float) -> str:
    """A stamp moved by a ``timedelta`` given in keywords."""
    return from_datetime(parse(stamp) + timedelta(**delta))


def minutes_between(start: str, end: str) -> int:
    """Whole minutes from one stamp to another."""
    return int((parse(end) - parse(start)).total_seconds() // 60)
