"""The window of CalendarSynchronization: which appointments a run of the job looks at (Pega's rule; domain.md 5.2).

The first run for a mailbox takes all future appointments and those of the last so many days; later runs only future ones
that were created, changed or cancelled since. What decides is the *end* of an item, as a moment in UTC: whole days end at
midnight in the mailbox's zone, and a series is in if any of its occurrences is. Pure functions.

What lies outside is counted as filtered, and left on the work list for the full sync, whose own window (``filters``) says
what becomes of it: the two never undo each other's work, and neither hides a change from the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from itertools import islice
from zoneinfo import ZoneInfo

from engine.ledger.links import LinkRow
from engine.model.canonical import Fields
from engine.model.recurrence import LONGEST, occurrences
from engine.sync.filters import DAY_MS, millis

#: Why an item is filtered in later runs.
PAST = "ended already; later runs look at future appointments only"


@dataclass(frozen=True, slots=True)
class Window:
    """What a run looks at.

    Attributes:
        now_ms: the run's moment, epoch milliseconds.
        past_days: how far a first run looks back; None: a later run, which looks at the future alone.
        zone: IANA zone of the mailbox, for whole days.
    """

    now_ms: int
    past_days: int | None
    zone: str

    @property
    def edge_ms(self) -> int:
        """An item that ended before this moment is outside."""
        return self.now_ms - (self.past_days or 0) * DAY_MS

    @property
    def reason(self) -> str:
        """Why an item outside is filtered, for people."""
        return PAST if self.past_days is None else f"ended more than {self.past_days} days ago"


def ends_ms(fields: Fields, zone: str) -> int | None:
    """When an item that is no series ends, epoch milliseconds; ``None`` without a start.

    The end of whole days is the midnight after the last one (``canonical``: their end is exclusive), in ``zone``.
    """
    start = fields.get("start")
    if not start:
        return None
    end = fields.get("end") or start
    if "date" in end:
        day = date.fromisoformat(end["date"])
        if "date" in start and end["date"] <= start["date"]:
            day = date.fromisoformat(start["date"]) + timedelta(days=1)
        return millis(_at(datetime.combine(day, time()), ZoneInfo(zone)))
    return millis(_moment(end["utc"]))


def is_in(fields: Fields, window: Window) -> bool:
    """Whether an item ends at the window's edge or later; a series, whether any of its occurrences does.

    A rule that cannot be read, and an item without times, are in: nothing is left out that cannot be judged.
    """
    end = ends_ms(fields, window.zone)
    if end is None or end >= window.edge_ms:
        return True
    rule = fields.get("rule")
    return bool(rule) and _later(fields, window)


def _later(fields: Fields, window: Window) -> bool:
    """Whether any occurrence of a series ends at the edge or later."""
    try:
        return any(end >= window.edge_ms for end in islice(_ends(fields, window.zone), LONGEST))
    except (ValueError, TypeError):
        return True


def _ends(fields: Fields, zone: str) -> Iterator[int]:
    """The ends of the occurrences of a series, in order, epoch milliseconds."""
    start, end = fields["start"], fields.get("end") or fields["start"]
    lines = fields["rule"]["lines"]
    if "date" in start:
        first = datetime.fromisoformat(start["date"])
        length = max(datetime.fromisoformat(end["date"]) - first, timedelta(days=1))
        where: tzinfo = ZoneInfo(zone)
        for at in occurrences(lines, first):
            yield millis(_at(at + length, where))
        return
    where = ZoneInfo(start.get("zone") or "UTC")
    begins = _moment(start["utc"])
    lasts = _moment(end["utc"]) - begins
    for at in occurrences(lines, begins.astimezone(where).replace(tzinfo=None)):
        yield millis(_at(at, where) + lasts)


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.removesuffix("Z")).replace(tzinfo=UTC)


def _at(wall: datetime, zone: tzinfo) -> datetime:
    """A wall time as a moment in UTC; one that a clock change skips is as long after the change as it was after its start."""
    return wall.replace(tzinfo=zone).astimezone(UTC)


def shows(row: LinkRow, window: Window) -> bool:
    """Whether a link belongs to a run: any of what either side shows, or both last agreed on, is in.

    A changed occurrence that is not yet on both sides goes with its series. Occurrences that were moved into the window
    bring in their series; those are not in the row, see ``engine.sync.calendar``.
    """
    known = [side.fields for side in (row.crm, row.mailbox) if side is not None and side.fields]
    if row.base:
        known.append(row.base)
    if row.parent_link is not None and row.base is None:
        known.extend(row.series.values())
    return not known or any(is_in(fields, window) for fields in known)
