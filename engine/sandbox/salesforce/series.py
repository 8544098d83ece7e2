"""Lightning event series: the pattern, and the occurrences that it lists.

The pattern is ``Recurrence2PatternText``, one ``RRULE:`` line of a subset of RFC 5545 without ``EXDATE``; an
occurrence that people cancelled is simply a deleted event.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from dateutil.rrule import rrulestr

from engine.sandbox.salesforce import stamps
from engine.sandbox.salesforce.errors import SfError

Row = dict[str, Any]

#: A series lists no more occurrences than this, however long its rule is.
MOST = 500

_PARTS = frozenset({"FREQ", "INTERVAL", "COUNT", "UNTIL", "BYDAY", "BYMONTHDAY", "BYMONTH", "BYSETPOS", "WKST"})
_FREQUENCIES = frozenset({"DAILY", "WEEKLY", "MONTHLY", "YEARLY"})

#: What an occurrence takes over from the record of its series.
INHERITED = (
    "Subject", "Description", "Location", "IsAllDayEvent", "DurationInMinutes", "Type", "IsPrivate", "ShowAs", "OwnerId",
    "WhoId", "WhatId", "Syncline_Attendees__c", "IsReminderSet",
)  # fmt: skip


def check(text: str, zone: str) -> None:
    """Refuse a pattern that the server cannot expand.

    Raises:
        SfError: ``FIELD_INTEGRITY_EXCEPTION``, naming the field.
    """
    try:
        ZoneInfo(zone)
    except (ValueError, OSError, KeyError):
        raise _refusal("Recurrence2PatternTimeZone", f"invalid time zone: {zone}") from None
    lines = [line for line in text.split("\n") if line.strip()]
    if len(lines) != 1 or not lines[0].startswith("RRULE:"):
        raise _refusal("Recurrence2PatternText", "the recurrence pattern must be one RRULE: line")
    parts = dict(part.partition("=")[::2] for part in lines[0].removeprefix("RRULE:").strip().split(";"))
    unknown = sorted(set(parts) - _PARTS)
    if unknown or parts.get("FREQ") not in _FREQUENCIES:
        raise _refusal(
            "Recurrence2PatternText", f"unsupported recurrence pattern: {', '.join(unknown) or lines[0]}"
        )
    try:
        rrulestr(_naive(text), dtstart=datetime(2026, 1, 5, 9))
    except (ValueError, TypeError):
        raise _refusal("Recurrence2PatternText", f"invalid recurrence pattern: {lines[0]}") from None


def head(row: Row) -> Row:
    """The record of a series with its pattern's start and zone filled in."""
    return {
        **row,
        "Recurrence2PatternStartDate": row["Recurrence2PatternStartDate"] or row["StartDateTime"],
        "Recurrence2PatternTimeZone": row["Recurrence2PatternTimeZone"] or "UTC",
    }


def starts(row: Row) -> list[str]:
    """The stamps at which the occurrences of a series start, in order, at most ``MOST``."""
    zone = _zone(row)
    first = stamps.parse(row["StartDateTime"]).astimezone(zone)
    wall = first.replace(tzinfo=None)
    listed = islice(iter(rrulestr(_naive(row["Recurrence2PatternText"], zone), dtstart=wall)), MOST)
    return [stamps.from_datetime(at.replace(tzinfo=zone)) for at in listed]


def child(row: Row, start: str) -> Row:
    """The occurrence of a series that starts at ``start``; ``Syncline_Occurrence__c`` is set by the package's flow."""
    return {
        **{name: row[name] for name in INHERITED},
        "StartDateTime": start,
        "ActivityDateTime": None,
        "ActivityDate": None,
        "EndDateTime": None,
        "IsRecurrence2": 1,
        "RecurrenceActivityId": row["Id"],
        "Syncline_Occurrence__c": start,
    }


def local_day(row: Row, stamp: str) -> str:
    """The calendar day of an occurrence in the zone of its series."""
    return stamps.parse(stamp).astimezone(_zone(row)).date().isoformat()


def _zone(row: Row) -> ZoneInfo:
    return ZoneInfo("UTC" if row["IsAllDayEvent"] else row["Recurrence2PatternTimeZone"] or "UTC")


def _naive(text: str, zone: ZoneInfo | None = None) -> str:
    """The rule with UNTIL in wall time, since dateutil refuses to mix a naive start with a UTC end."""

    def local(found: re.Match[str]) -> str:
        at = datetime.strptime(found[1], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return f"UNTIL={at.astimezone(zone or UTC):%Y%m%dT%H%M%S}"

    return re.sub(r"UNTIL=(\d{8}T\d{6}Z)", local, text.strip())


def _refusal(field: str, message: str) -> SfError:
    return SfError("FIELD_INTEGRITY_EXCEPTION", message, 400, [field])
