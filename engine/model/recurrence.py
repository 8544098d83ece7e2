"""Recurrence rules: expansion and comparison by expansion, since equal rules are often written differently."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice, takewhile
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

#: Two rules are the same when their first occurrences are, and what they say of the time after these: whether and
#: when they end, and which days they leave out or add.
COMPARED_OCCURRENCES = 400

#: A series is followed so far to find its last occurrence; nobody's series is longer.
LONGEST = 20_000

_ANCHOR = datetime(2026, 1, 5, 9, 0)  # a Monday; used when the caller has no start of the series


def occurrences(lines: Sequence[str], start: datetime) -> Iterator[datetime]:
    """The starts of a series in wall time, lazily.

    Args:
        lines: RFC 5545 lines (``RRULE:``, ``EXDATE:``, ``RDATE:``) without ``DTSTART``.
        start: the first occurrence as naive wall time in the series' zone.

    Raises:
        ValueError: the rule cannot be read.
    """
    # UNTIL may be in UTC while DTSTART is naive wall time; dateutil refuses the mix, and the hour does not
    # matter for which days are listed except at the very edge, so the suffix is dropped.
    text = "\n".join(line.replace("Z", "") if line.startswith("RRULE") else line for line in lines)
    return iter(rrulestr(text, dtstart=start, forceset=True, ignoretz=True))


def in_series(lines: Sequence[str], start: Mapping[str, Any], occurrence: str) -> bool:
    """Whether a series has, or had before a cancellation, an occurrence with this original start.

    Args:
        lines: the master's rule; what it leaves out (``EXDATE``) counts as in the series.
        start: canonical moment of the master's start.
        occurrence: ISO date, or UTC date-time with Z.

    A rule that cannot be read is taken to have it.
    """
    if "date" in start:
        first, wanted = datetime.fromisoformat(start["date"]), datetime.fromisoformat(occurrence[:10])
    else:
        zone = ZoneInfo(start.get("zone") or "UTC")
        first, wanted = (
            datetime.fromisoformat(text.removesuffix("Z"))
            .replace(tzinfo=UTC)
            .astimezone(zone)
            .replace(tzinfo=None)
            for text in (start["utc"], occurrence)
        )
    kept = [line for line in lines if not line.startswith("EXDATE")]
    try:
        return wanted in takewhile(lambda at: at <= wanted, islice(occurrences(kept, first), LONGEST))
    except (ValueError, TypeError):
        return True


def moved_to(lines: Sequence[str], start: Mapping[str, Any], occurrence: str) -> datetime | None:
    """Where the occurrence of a day stands after its series was moved within the day; aware, in UTC.

    Args:
        lines: the master's rule.
        start: canonical moment of the master's start.
        occurrence: the original start before the move, UTC date-time with Z.

    ``None``: the series has none on that day, or several, or is one of whole days.
    """
    if "date" in start or "T" not in occurrence:
        return None
    zone = ZoneInfo(start.get("zone") or "UTC")
    first, before = (
        datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC).astimezone(zone).replace(tzinfo=None)
        for text in (start["utc"], occurrence)
    )
    try:
        near = takewhile(lambda at: at.date() <= before.date(), islice(occurrences(lines, first), LONGEST))
        found = [at for at in near if at.date() == before.date()]
    except (ValueError, TypeError):
        return None
    return found[0].replace(tzinfo=zone).astimezone(UTC) if len(found) == 1 else None


@lru_cache(maxsize=4096)
def _first(lines: tuple[str, ...], start: datetime) -> tuple[datetime, ...] | None:
    try:
        return tuple(islice(occurrences(lines, start), COMPARED_OCCURRENCES))
    except (ValueError, TypeError):
        return None


@lru_cache(maxsize=1024)
def _later(lines: tuple[str, ...], start: datetime, after: datetime) -> tuple[datetime | None, tuple[str, ...]]:
    """The last occurrence (None: no end) and the days left out or added later than ``after``."""
    digits = f"{after:%Y%m%dT%H%M%S}"
    days = {
        day
        for line in lines
        if not line.startswith("RRULE")
        for day in re.findall(r"\d{8}(?:T\d{6})?", line.partition(":")[2])
        if day > digits
    }
    last = None
    if any(part in line for line in lines for part in ("COUNT=", "UNTIL=")):
        last = max(islice(occurrences(lines, start), LONGEST), default=None)
    return last, tuple(sorted(days))


def same_rule(one: Sequence[str], other: Sequence[str], start: datetime = _ANCHOR) -> bool:
    """Whether two rules list the same occurrences; rules that cannot be read are compared as text."""
    if sorted(one) == sorted(other):
        return True
    first, second = _first(tuple(one), start), _first(tuple(other), start)
    if first is None or first != second:
        return False
    if len(first) < COMPARED_OCCURRENCES:
        return True
    return _later(tuple(one), start, first[-1]) == _later(tuple(other), start, first[-1])
