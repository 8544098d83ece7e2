"""Times, zones and recurrences of events: validation as the Calendar API does it, and expansion."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrule, rruleset, rrulestr

from engine.sandbox.google.calendar_store import ENDLESS
from engine.sandbox.google.call import ApiError
from engine.sandbox.google.errors import invalid

Doc = dict[str, Any]
MOST = 730
"""Occurrences of one series that an expansion shows at most."""

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)?")
_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_UNSERVED = re.compile(r"FREQ=(SECONDLY|MINUTELY|HOURLY)|INTERVAL=0+(;|$)")
"""Rules of less than a day are not served, and an interval of nothing would never end."""
_INSTANCE = re.compile(r"(.+)_(\d{8}(?:T\d{6}Z)?)")


def zone(name: str, which: str = "") -> ZoneInfo:
    """The IANA zone of that name.

    Raises:
        ApiError: 400 when there is none.
    """
    try:
        return ZoneInfo(name)
    except (ValueError, OSError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        what = f"Invalid time zone definition for {which} time." if which else f"Invalid time zone: {name}"
        raise invalid(what) from None


def parse_stamp(text: str, location: str) -> int:
    """Epoch milliseconds of an RFC 3339 time stamp with offset.

    Raises:
        ApiError: 400 ``badRequest`` as for a malformed ``timeMin``.
    """
    if not _RFC3339.fullmatch(text):
        raise ApiError(400, "badRequest", "Bad Request", location=location)
    try:
        moment = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ApiError(400, "badRequest", "Bad Request", location=location) from None
    if moment.tzinfo is None:
        raise ApiError(400, "badRequest", "Bad Request", location=location)
    return round(moment.timestamp() * 1000)


def normal(time: Any, calendar_zone: str, which: str, *, recurring: bool) -> Doc:
    """A start or end as the API gives it back: in the offset of the calendar's zone, with the zone named.

    Args:
        time: ``{date}`` or ``{dateTime, timeZone}``.
        calendar_zone: IANA zone of the calendar.
        which: ``start`` or ``end``, for the message.
        recurring: a series needs an explicit zone.

    Raises:
        ApiError: 400 for a missing, doubled or malformed time, or a bad or missing zone.
    """
    day, moment = time.get("date"), time.get("dateTime")
    if (day is None) == (moment is None):
        raise invalid(f"Invalid {which} time.") if day else ApiError(400, "required", f"Missing {which} time.")
    if day is not None:
        try:
            date.fromisoformat(day if _DATE.fullmatch(day) else "")
        except ValueError:
            raise invalid(f"Invalid {which} time.") from None
        return {"date": day}
    name = time.get("timeZone")
    named = zone(name, which) if name else None
    if not _RFC3339.fullmatch(moment):
        raise invalid(f"Invalid {which} time.")
    try:
        parsed = datetime.fromisoformat(moment.upper())
    except ValueError:
        raise invalid(f"Invalid {which} time.") from None
    if named is None and (parsed.tzinfo is None or recurring):
        raise ApiError(400, "required", f"Missing time zone definition for {which} time.")
    if parsed.tzinfo is None:
        parsed = parsed.replace(tzinfo=named)
    return {"dateTime": written(parsed, ZoneInfo(calendar_zone)), "timeZone": name or calendar_zone}


def written(moment: datetime, where: tzinfo) -> str:
    """A moment as RFC 3339 text with the offset that holds at ``where``."""
    return moment.astimezone(where).isoformat(timespec="seconds").replace("+00:00", "Z")


def to_ms(time: Doc, calendar_zone: str) -> int:
    """Epoch milliseconds of a normal start or end; an all-day date begins at midnight in the calendar's zone."""
    if "date" in time:
        return round(
            datetime.fromisoformat(time["date"]).replace(tzinfo=ZoneInfo(calendar_zone)).timestamp() * 1000
        )
    return round(datetime.fromisoformat(time["dateTime"]).timestamp() * 1000)


def check_span(start: Doc, end: Doc, calendar_zone: str) -> tuple[int, int]:
    """Start and end in epoch milliseconds.

    Raises:
        ApiError: 400 when one is a date and the other a time, or the end lies before the start.
    """
    if ("date" in start) != ("date" in end):
        raise invalid("Start and end times must either both be date or both be dateTime.")
    first, last = to_ms(start, calendar_zone), to_ms(end, calendar_zone)
    if last < first or ("date" in start and last == first):
        raise ApiError(
            400, "timeRangeEmpty", "The specified time range is empty.", domain="calendar", location="timeMax"
        )
    return first, last


def _local(text: str, where: tzinfo | None) -> datetime:
    """An RFC 5545 date or date-time as naive wall time at ``where`` (None: of an all-day event)."""
    if text.endswith("Z"):
        moment = datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return moment.astimezone(where).replace(tzinfo=None) if where else moment.replace(tzinfo=None)
    return datetime.strptime(text, "%Y%m%dT%H%M%S" if "T" in text else "%Y%m%d")


def _listed(line: str, where: tzinfo | None) -> list[datetime]:
    head, _, values = line.partition(":")
    match = re.search(r"TZID=([^;:]+)", head)
    own = ZoneInfo(match[1]) if match else None
    out = []
    for value in values.split(","):
        moment = _local(value.strip(), where)
        if own is not None and where is not None and not value.strip().endswith("Z"):
            moment = moment.replace(tzinfo=own).astimezone(where).replace(tzinfo=None)
        out.append(moment)
    return out


def _rule(text: str, first: datetime, where: tzinfo | None) -> rrule:
    def until(match: re.Match[str]) -> str:
        value = match[1]
        end = _local(value, where)
        if "T" not in value and where is not None:
            end += timedelta(hours=23, minutes=59, seconds=59)
        if where is None:
            end = end.replace(hour=0, minute=0, second=0)
        return f"UNTIL={end:%Y%m%dT%H%M%S}"

    if _UNSERVED.search(text.upper()):
        raise ValueError(text)
    rule = rrulestr(re.sub(r"UNTIL=([0-9TZ]+)", until, text.upper()), dtstart=first)
    if not isinstance(rule, rrule):
        raise ValueError(text)
    return rule


def rules(doc: Doc) -> tuple[rruleset, tzinfo | None]:
    """The occurrences of a series as naive wall times at its zone (None for all-day ones).

    Raises:
        ApiError: 400 for a line that is no RRULE, EXRULE, RDATE or EXDATE of RFC 5545.
    """
    start = doc["start"]
    where: tzinfo | None = None
    if "dateTime" in start:
        where = ZoneInfo(start["timeZone"])
        first = datetime.fromisoformat(start["dateTime"]).astimezone(where).replace(tzinfo=None)
    else:
        first = datetime.fromisoformat(start["date"])
    found = rruleset(cache=False)
    ruled = False
    try:
        for line in doc["recurrence"]:
            name = re.split("[;:]", line, maxsplit=1)[0].upper()
            if name == "RRULE":
                found.rrule(_rule(line, first, where))
                ruled = True
            elif name == "EXRULE":
                found.exrule(_rule("RRULE" + line[6:], first, where))
            elif name == "RDATE":
                for moment in _listed(line, where):
                    found.rdate(moment)
            elif name == "EXDATE":
                for moment in _listed(line, where):
                    found.exdate(moment)
            else:
                raise ValueError(line)
    except (ValueError, KeyError, TypeError, OSError, AttributeError):
        raise invalid("Invalid recurrence rule.") from None
    if not ruled:
        found.rdate(first)
    return found, where


def series_end(doc: Doc, start_ms: int, end_ms: int) -> int:
    """When the last occurrence of a series ends, in epoch milliseconds; ``ENDLESS`` without an end.

    Raises:
        ApiError: 400 for bad rules, or rules without any occurrence.
    """
    found, where = rules(doc)
    if any(
        line.upper().startswith("RRULE") and "COUNT=" not in line.upper() and "UNTIL=" not in line.upper()
        for line in doc["recurrence"]
    ):
        return ENDLESS
    last = None
    for index, moment in enumerate(found):
        last = moment
        if index > 20_000:
            return ENDLESS
    if last is None:
        raise invalid("Invalid recurrence rule.")
    return round(last.replace(tzinfo=where or UTC).timestamp() * 1000) + end_ms - start_ms


def occurrences(
    doc: Doc, calendar_zone: str, low: int, high: int, most: int = MOST
) -> Iterator[tuple[Doc, int]]:
    """Original starts of the occurrences that overlap a window.

    Args:
        doc: the series.
        calendar_zone: IANA zone of the calendar.
        low: end of an occurrence must be after this (epoch milliseconds).
        high: start must be before this.
        most: how many at most.

    Yields:
        the start as the API writes it, and in epoch milliseconds.
    """
    found, where = rules(doc)
    length = to_ms(doc["end"], calendar_zone) - to_ms(doc["start"], calendar_zone)
    home = ZoneInfo(calendar_zone)
    shown = 0
    for moment in found:
        at = round(moment.replace(tzinfo=where or home).timestamp() * 1000)
        if at >= high or shown >= most:
            return
        if at + max(length, 1) <= low:
            continue
        shown += 1
        if where is None:
            yield {"date": f"{moment:%Y-%m-%d}"}, at
        else:
            text = written(moment.replace(tzinfo=where), home)
            yield {"dateTime": text, "timeZone": doc["start"]["timeZone"]}, at


def instance_id(master: str, start: Doc) -> str:
    """The id of an occurrence: ``<series>_<original start in UTC, basic format>``."""
    if "date" in start:
        return f"{master}_{start['date'].replace('-', '')}"
    return f"{master}_{datetime.fromisoformat(start['dateTime']).astimezone(UTC):%Y%m%dT%H%M%SZ}"


def split_instance(event_id: str) -> tuple[str, str] | None:
    """Series id and original start of an occurrence's id, or None when it has not that form."""
    match = _INSTANCE.fullmatch(event_id)
    return (match[1], match[2]) if match else None


def original_start(doc: Doc, calendar_zone: str, suffix: str) -> Doc | None:
    """The original start that an instance suffix names, when the series has such an occurrence."""
    found, where = rules(doc)
    if ("T" in suffix) == (where is None):
        return None
    wanted = _local(suffix, where)
    if not found.between(wanted, wanted, inc=True):
        return None
    if where is None:
        return {"date": f"{wanted:%Y-%m-%d}"}
    text = written(wanted.replace(tzinfo=where), ZoneInfo(calendar_zone))
    return {"dateTime": text, "timeZone": doc["start"]["timeZone"]}


def shifted_end(doc: Doc, start: Doc, calendar_zone: str) -> Doc:
    """The end of an occurrence that begins at ``start``: same length as the series' first."""
    if "date" in start:
        days = date.fromisoformat(doc["end"]["date"]) - date.fromisoformat(doc["start"]["date"])
        return {"date": (date.fromisoformat(start["date"]) + days).isoformat()}
    length = datetime.fromisoformat(doc["end"]["dateTime"]) - datetime.fromisoformat(doc["start"]["dateTime"])
    end = datetime.fromisoformat(start["dateTime"]) + length
    return {"dateTime": written(end, ZoneInfo(calendar_zone)), "timeZone": doc["end"]["timeZone"]}


def shown_in(doc: Doc, name: str) -> Doc:
    """A copy of an event with its times written in the offset of zone ``name``."""
    where = zone(name)
    out = dict(doc)
    for field in ("start", "end", "originalStartTime"):
        if "dateTime" in out.get(field, {}):
            out[field] = {
                **out[field],
                "dateTime": written(datetime.fromisoformat(out[field]["dateTime"]), where),
            }
    return out
