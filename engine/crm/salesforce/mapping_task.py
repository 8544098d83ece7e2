"""Tasks and phone calls, which Salesforce keeps in one object: sObject rows to canonical fields and back."""

from __future__ import annotations

from collections.abc import Collection
from datetime import date, timedelta
from typing import Any
from zoneinfo import ZoneInfo

from engine.crm.salesforce import soql
from engine.crm.salesforce.mapping import Context, Row, Unwritable
from engine.model import canonical
from engine.model.canonical import Fields
from engine.model.modules import Module

SELECT = (
    "Subject", "Description", "ActivityDate", "Status", "IsClosed", "TaskSubtype", "ReminderDateTime",
    "CallDurationInSeconds",
)  # fmt: skip

TASK_WRITABLE = frozenset({"subject", "body", "due", "done"})
CALL_WRITABLE = frozenset({"subject", "body", "start", "end"})

#: Length of a call that tells none, in seconds.
DEFAULT_CALL_SECONDS = 1800

_TEXTS = {"subject": "Subject", "body": "Description"}


def read(row: Row, context: Context) -> tuple[Module, dict[str, Any]]:
    """The canonical fields of a task's row; a call starts at its reminder, or lasts all of its due day."""
    fields: dict[str, Any] = {name: canonical.text(row.get(column)) for name, column in _TEXTS.items()}
    day, reminder = row.get("ActivityDate"), row.get("ReminderDateTime")
    if row.get("TaskSubtype") != "Call":
        fields["due"] = day
        fields["done"] = bool(row.get("IsClosed"))
        return Module.TASK, canonical.compact(fields)
    if reminder:
        seconds = row.get("CallDurationInSeconds") or DEFAULT_CALL_SECONDS
        fields["start"] = {"utc": soql.utc(reminder), "zone": None}
        fields["end"] = canonical.moment(soql.stamp(reminder) + timedelta(seconds=seconds))
    elif day:
        fields["start"] = canonical.all_day(day)
        fields["end"] = canonical.all_day(date.fromisoformat(day) + timedelta(days=1))
    return Module.CALL, canonical.compact(fields)


def write(module: Module, fields: Fields, names: Collection[str], create: bool) -> Row:
    """The body that gives a task or call the canonical ``fields``, as far as they are among ``names``.

    Raises:
        Unwritable: a call without a start.
    """
    body: Row = {column: fields.get(name) for name, column in _TEXTS.items() if name in names}
    if module is Module.TASK:
        if "due" in names:
            body["ActivityDate"] = fields.get("due")
        if "done" in names and (fields.get("done") or not create):
            body["Status"] = "Completed" if fields.get("done") else "Not Started"
        return body
    if create:
        body["TaskSubtype"] = "Call"
    if "start" in names or "end" in names:
        body |= _call_times(fields)
    return body


def _call_times(fields: Fields) -> Row:
    start, end = fields.get("start"), fields.get("end")
    if not start:
        raise Unwritable("a call needs a start, and this item has none")
    if "date" in start:
        return {"ActivityDate": start["date"], "ReminderDateTime": None, "IsReminderSet": False}
    begin = canonical.instant(start)
    body: Row = {
        "ActivityDate": begin.astimezone(ZoneInfo(start.get("zone") or "UTC")).date().isoformat(),
        "ReminderDateTime": soql.moment(begin),
        "IsReminderSet": True,
    }
    if end:
        body["CallDurationInSeconds"] = max(0, int((canonical.instant(end) - begin).total_seconds()))
    return body
