"""Windows time zones and IANA's, by the table of Unicode CLDR (``windowsZones.xml``) that exchangelib carries."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

#: Half a day: an all-day event's edge lies at most an hour off midnight, where a clock change skips midnight.
_NOON = timedelta(hours=12)


@lru_cache(maxsize=1)
def _tables() -> tuple[dict[str, str], dict[str, str]]:
    """Windows id by IANA name, and the reverse. Importing exchangelib takes half a second: not before the first use."""
    from exchangelib.winzone import IANA_TO_MS_TIMEZONE_MAP, MS_TIMEZONE_TO_IANA_MAP

    return {name: windows for name, (windows, _) in IANA_TO_MS_TIMEZONE_MAP.items()}, dict(
        MS_TIMEZONE_TO_IANA_MAP
    )


def windows_of(name: str) -> str | None:
    """The Windows id of an IANA zone; ``None`` when the table has none."""
    return _tables()[0].get(name)


def iana_of(windows: str) -> str | None:
    """The IANA zone of a Windows id; ``None`` for a custom or unknown one. A name that is IANA's already stays."""
    to_windows, to_iana = _tables()
    return to_iana.get(windows) or (windows if windows in to_windows else None)


@lru_cache(maxsize=1024)
def info(name: str | None) -> ZoneInfo:
    """The zone of that IANA name; UTC when it is empty or unknown."""
    try:
        return ZoneInfo(name or "UTC")
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def midnight(day: date, zone: str) -> datetime:
    """Where a day begins in a zone, aware."""
    return datetime(day.year, day.month, day.day, tzinfo=info(zone))


def day_of(at: datetime, zone: str | None, mailbox: str) -> date:
    """The day of an edge of an all-day event: where it is midnight in the event's zone.

    Args:
        at: the edge, aware.
        zone: IANA zone of the event; ``None`` when Exchange names one that no table has.
        mailbox: IANA zone of the mailbox. It decides where the zone is unknown; if it is not midnight there, the offset
            nearest to Greenwich at which it is.
    """
    if zone is None:
        local = at.astimezone(info(mailbox))
        if (local.hour, local.minute) == (0, 0):
            return local.date()
    # With an unknown zone this is the day at the nearest offset: 23:00 UTC is midnight an hour to the east.
    return (at.astimezone(info(zone)).replace(tzinfo=None) + _NOON).date()
