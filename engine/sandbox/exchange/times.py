"""Instants as EWS writes them, and as the store keeps them."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta, tzinfo

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MS = timedelta(milliseconds=1)
_FIRST_YEAR, _LAST_YEAR = 1601, 4500
"""What Outlook's calendar can show."""


class NoMoment(ValueError):
    """A text that is a time by the schema and none by the calendar, or that lies outside of what Exchange keeps."""


def to_ms(moment: datetime) -> int:
    """Epoch milliseconds of an aware datetime."""
    return (moment - EPOCH) // _MS


def from_ms(ms: int) -> datetime:
    """The UTC datetime of epoch milliseconds, also before 1970."""
    return EPOCH + timedelta(milliseconds=ms)


def stamp(ms: int) -> str:
    """Epoch milliseconds as Exchange writes them: whole seconds, UTC."""
    return (EPOCH + timedelta(seconds=ms // 1000)).strftime("%Y-%m-%dT%H:%M:%SZ").rjust(20, "0")


def parse(text: str, zone: tzinfo = UTC) -> datetime:
    """An aware datetime of an ``xs:dateTime``; without an offset it is a wall clock of ``zone``.

    Raises:
        NoMoment: no such moment, or one before 1601 or after 4500.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise NoMoment(f"{text[:40]!r} is not a time") from None
    if not _FIRST_YEAR <= moment.year <= _LAST_YEAR:
        raise NoMoment(f"{text[:40]!r} is not within the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return moment.replace(tzinfo=zone) if moment.tzinfo is None else moment


def parse_ms(text: str, zone: tzinfo = UTC) -> int:
    """Epoch milliseconds of an ``xs:dateTime``.

    Raises:
        NoMoment: no such moment.
    """
    return to_ms(parse(text, zone))


def parse_date(text: str) -> date:
    """The day of an ``xs:date``, whatever its offset.

    Raises:
        NoMoment: no such day, or one before 1601 or after 4500.
    """
    try:
        day = date.fromisoformat(text.strip()[:10])
    except ValueError:
        raise NoMoment(f"{text[:40]!r} is not a day") from None
    if not _FIRST_YEAR <= day.year <= _LAST_YEAR:
        raise NoMoment(f"{text[:40]!r} is not within the years {_FIRST_YEAR} to {_LAST_YEAR}")
    return day


def normal(text: str, zone: tzinfo = UTC) -> str:
    """An ``xs:dateTime`` in UTC with whole seconds.

    Raises:
        NoMoment: no such moment.
    """
    return stamp(parse_ms(text, zone))
