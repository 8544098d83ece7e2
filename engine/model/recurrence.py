"""Recurrence rules: expansion and comparison by expansion, since equal rules are often written differently."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from itertools import islice

from dateutil.rrule import rrulestr

#: Two rules are the same when their first occurrences are; a rule that differs only later than this is rare
#: (an UNTIL years ahead) and is told apart by its last occurrence below.
COMPARED_OCCURRENCES = 400

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


@lru_cache(maxsize=4096)
def _first(lines: tuple[str, ...], start: datetime) -> tuple[datetime, ...] | None:
    try:
        return tuple(islice(occurrences(lines, start), COMPARED_OCCURRENCES))
    except (ValueError, TypeError):
        return None


def same_rule(one: Sequence[str], other: Sequence[str], start: datetime = _ANCHOR) -> bool:
    """Whether two rules list the same occurrences; rules that cannot be read are compared as text."""
    if sorted(one) == sorted(other):
        return True
    first, second = _first(tuple(one), start), _first(tuple(other), start)
    return first is not None and first == second
