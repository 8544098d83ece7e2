"""Events (appointments and service calls, single and in series): sObject rows to canonical fields and back."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.crm.salesforce import soql
from engine.crm.salesforce.mapping import Context, Row, Unwritable
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.modules import Module
from engine.model.recurrence import occurrences

SERVICE_CALL = "Service Call"

#: ``GroupEventType`` of the record that stands for a whole Lightning series.
SERIES = "3"

SELECT = (
    "Subject", "Description", "Location", "StartDateTime", "EndDateTime", "DurationInMinutes", "IsAllDayEvent",
    "ActivityDate", "ShowAs", "IsPrivate", "Type", "GroupEventType", "IsRecurrence2", "IsRecurrence2Exception",
    "RecurrenceActivityId", "Recurrence2PatternText", "Recurrence2PatternTimeZone", "Syncline_Occurrence__c",
    "Syncline_Attendees__c",
)  # fmt: skip

WRITABLE = frozenset(
    {"subject", "body", "location", "start", "end", "busy", "private", "attendees", "rule", "cancelled"}
)

_TEXTS = {"subject": "Subject", "body": "Description", "location": "Location"}
_OPTIONAL = frozenset({"1", "true", "yes", "optional"})
_STATUSES = frozenset({"accepted", "declined", "tentative", "none"})
_EXDATE_ZONE = re.compile(r"TZID=([^;:]+)")

#: More occurrences than any series of Salesforce has; a rule is not expanded beyond it.
_MOST_OCCURRENCES = 2000


def read(row: Row, context: Context) -> tuple[Module, dict[str, Any]]:
    """The canonical fields of an event's row. Only a series tells its zone: Salesforce keeps single events in UTC."""
    zone = row.get("Recurrence2PatternTimeZone") if is_series(row) else None
    fields: dict[str, Any] = {name: canonical.text(row.get(column)) for name, column in _TEXTS.items()}
    fields["start"], fields["end"] = _times(row, zone)
    fields["busy"] = row.get("ShowAs") != "Free"
    fields["private"] = bool(row.get("IsPrivate"))
    guests = row.get("Syncline_Attendees__c")
    fields["attendees"] = read_attendees(guests) if guests else None
    if is_series(row) and row.get("Recurrence2PatternText"):
        lines = [line.strip() for line in row["Recurrence2PatternText"].splitlines() if line.strip()]
        fields["rule"] = {"lines": lines}
    module = Module.SERVICE_CALL if row.get("Type") == SERVICE_CALL else Module.APPOINTMENT
    return module, canonical.compact(fields)


def is_series(row: Row) -> bool:
    """Whether a row is the record of a whole series."""
    return bool(row.get("IsRecurrence2")) and row.get("GroupEventType") == SERIES


def is_occurrence(row: Row) -> bool:
    """Whether a row is one occurrence of a Lightning series."""
    return bool(row.get("IsRecurrence2") and row.get("RecurrenceActivityId")) and not is_series(row)


def occurrence_of(row: Row) -> str | None:
    """The original start of an occurrence: a date when it is all-day, else UTC with Z."""
    at = row.get("Syncline_Occurrence__c")
    if not at:
        return None
    at = soql.utc(at)
    return at[:10] if row.get("IsAllDayEvent") and at.endswith("T00:00:00Z") else at


def occurrence_moment(occurrence: str) -> str:
    """An original start (date or UTC with Z) as it is compared with ``Syncline_Occurrence__c``: UTC with Z."""
    return f"{occurrence}T00:00:00Z" if len(occurrence) == 10 else occurrence


def write(module: Module, fields: Fields, names: Collection[str], create: bool) -> Row:
    """The body that gives an event the canonical ``fields``, as far as they are among ``names``.

    ``cancelled`` is not part of a body: a cancelled occurrence is a deleted one.

    Raises:
        Unwritable: no start, or a rule that Salesforce cannot hold.
    """
    body: Row = {column: fields.get(name) for name, column in _TEXTS.items() if name in names}
    rule = fields.get("rule")
    if "start" in names or "end" in names:
        body |= _write_times(fields)
        if rule:
            body["Recurrence2PatternStartDate"] = body["StartDateTime"]
            body["Recurrence2PatternTimeZone"] = fields["start"].get("zone") or "UTC"
    if "busy" in names and (not create or fields.get("busy") is not None):
        body["ShowAs"] = "Busy" if fields.get("busy") else "Free"
    if "private" in names:
        body["IsPrivate"] = bool(fields.get("private"))
    if "attendees" in names:
        body["Syncline_Attendees__c"] = write_attendees(fields.get("attendees") or ())
    if "rule" in names:
        if rule:
            body["Recurrence2PatternText"] = _pattern(rule["lines"])
            if create:
                body["IsRecurrence2"] = True
        elif not create:
            raise Unwritable(
                "Salesforce cannot turn a series into a single event; delete it and make a new one"
            )
    if create and module is Module.SERVICE_CALL:
        body["Type"] = SERVICE_CALL
    return body


def read_attendees(lines: str) -> list[dict[str, Any]] | None:
    """Canonical attendees from the package's field: ``email;name;status;optional``, one guest a line."""
    rows = []
    for line in lines.splitlines():
        email, name, status, optional, *_ = [*(part.strip() for part in line.split(";")), "", "", ""]
        if email:
            known = status.lower() if status.lower() in _STATUSES else "none"
            rows.append(
                {"email": email, "name": name, "status": known, "optional": optional.lower() in _OPTIONAL}
            )
    return canonical.attendees(rows)


def write_attendees(rows: Iterable[Fields]) -> str | None:
    """The package's field for canonical attendees; ``None`` when there is nobody."""
    return (
        "\n".join(
            ";".join((_plain(row["email"]), _plain(row.get("name") or ""), row.get("status") or "none",
                      "true" if row.get("optional") else "false"))
            for row in rows
        )
        or None
    )  # fmt: skip


def excluded(fields: Fields) -> list[str]:
    """The original starts (UTC with Z) that a canonical rule's ``EXDATE`` lines take out of the series.

    Salesforce's pattern knows no ``EXDATE``: there the occurrence itself is deleted.
    """
    rule, start = fields.get("rule"), fields.get("start") or {}
    out = []
    for line in (rule or {}).get("lines", ()):
        head, _, values = line.partition(":")
        if not head.upper().startswith("EXDATE"):
            continue
        found = _EXDATE_ZONE.search(head)
        zone = found[1] if found else start.get("zone") or "UTC"
        out += [_exdate(value.strip(), zone) for value in values.split(",") if value.strip()]
    return out


def lists(row: Row, occurrence: str) -> bool:
    """Whether the rule of a series record lists an original start (UTC with Z). A rule that cannot be read does."""
    zone = ZoneInfo("UTC" if row.get("IsAllDayEvent") else row.get("Recurrence2PatternTimeZone") or "UTC")
    first = soql.stamp(row["StartDateTime"]).astimezone(zone).replace(tzinfo=None)
    wanted = soql.stamp(occurrence_moment(occurrence)).astimezone(zone).replace(tzinfo=None)
    try:
        for number, at in enumerate(occurrences([row["Recurrence2PatternText"].strip()], first)):
            if at >= wanted or number > _MOST_OCCURRENCES:
                return at == wanted
    except (ValueError, TypeError):
        return True
    return False


def _times(row: Row, zone: str | None) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    start, end = row.get("StartDateTime"), row.get("EndDateTime")
    if row.get("IsAllDayEvent"):
        first = (start or row.get("ActivityDate") or "")[:10]
        if not first:
            return None, None
        # The end of an all-day event is its last day; the canonical end is the day after.
        last = date.fromisoformat((end or first)[:10])
        return {"date": first}, canonical.all_day(last + timedelta(days=1))
    if not start:
        return None, None
    return {"utc": soql.utc(start), "zone": zone}, {"utc": soql.utc(end or start), "zone": zone}


def _write_times(fields: Fields) -> Row:
    start, end = fields.get("start"), fields.get("end")
    if not start:
        raise Unwritable("Salesforce requires a start, and this item has none")
    if "date" in start:
        first = date.fromisoformat(start["date"])
        after = canonical.instant(end).date() if end else first + timedelta(days=1)
        days = max(1, (after - first).days)
        return {
            "IsAllDayEvent": True,
            "StartDateTime": f"{first.isoformat()}T00:00:00.000Z",
            "EndDateTime": f"{(first + timedelta(days=days - 1)).isoformat()}T00:00:00.000Z",
            "DurationInMinutes": days * 1440,
        }
    begin = canonical.instant(start)
    finish = max(begin, canonical.instant(end)) if end else begin
    return {
        "IsAllDayEvent": False,
        "StartDateTime": soql.moment(begin),
        "EndDateTime": soql.moment(finish),
        "DurationInMinutes": int((finish - begin).total_seconds() // 60),
    }


def _pattern(lines: Sequence[str]) -> str:
    rules = [line for line in lines if line.upper().startswith("RRULE")]
    other = [line for line in lines if not line.upper().startswith(("RRULE", "EXDATE"))]
    if len(rules) != 1 or other:
        raise Unwritable("Salesforce holds exactly one RRULE for a series and no added dates (RDATE)")
    return rules[0]


def _exdate(value: str, zone: str) -> str:
    if len(value) == 8:
        return f"{value[:4]}-{value[4:6]}-{value[6:]}T00:00:00Z"
    at = datetime.strptime(value.removesuffix("Z"), "%Y%m%dT%H%M%S")
    at = at.replace(tzinfo=UTC if value.endswith("Z") else ZoneInfo(zone))
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _plain(part: str) -> str:
    return " ".join(part.replace(";", ",").split())
