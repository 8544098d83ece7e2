"""Fields that the server computes from others: names, ends and durations, closed flags, the account of an activity."""

# ruff: noqa: S608 - table and field names come from the schema, values are arguments

from __future__ import annotations

import sqlite3
from typing import Any

from engine.sandbox.salesforce import stamps
from engine.sandbox.salesforce.objects import STAGES

Row = dict[str, Any]


def complete(db: sqlite3.Connection, sobject: str, row: Row, old: Row | None) -> Row:
    """The record with its computed fields.

    Args:
        db: for looking up related records.
        sobject: name of the object.
        row: the record as it shall be, all stored fields.
        old: the record as it was, ``None`` for a new one. Of two fields that say the same (end and duration), the one
            that changed decides.
    """
    match sobject:
        case "Contact" | "Lead" | "User":
            parts = (row.get("FirstName"), row.get("MiddleName"), row.get("LastName"), row.get("Suffix"))
            row["Name"] = " ".join(part for part in parts if part)
        case "Opportunity":
            known = STAGES.get(row["StageName"] or "")
            if known:
                probability, row["IsClosed"], row["IsWon"], row["ForecastCategory"] = known
                row["IsClosed"], row["IsWon"] = int(row["IsClosed"]), int(row["IsWon"])
                if row["Probability"] is None or (old is not None and old["StageName"] != row["StageName"]):
                    row["Probability"] = float(probability)
        case "Case":
            row["IsClosed"] = int(row["Status"] == "Closed")
            row["ClosedDate"] = (row["ClosedDate"] or row["SystemModstamp"]) if row["IsClosed"] else None
            _case_contact(db, row, old)
        case "Task":
            row["IsClosed"] = int(row["Status"] == "Completed")
            row["IsHighPriority"] = int(row["Priority"] == "High")
            row["CompletedDateTime"] = (
                (row["CompletedDateTime"] or row["SystemModstamp"]) if row["IsClosed"] else None
            )
            _account(db, row, old)
        case "Event":
            _times(row, old)
            row["EventSubtype"] = "Event"
            _account(db, row, old)
    return row


def _case_contact(db: sqlite3.Connection, row: Row, old: Row | None) -> None:
    if old is not None and old["ContactId"] == row["ContactId"]:
        return
    found = None
    if row["ContactId"]:
        found = db.execute(
            "SELECT Email, Phone, AccountId FROM sf_Contact WHERE Id = ?", (row["ContactId"],)
        ).fetchone()
    row["ContactEmail"], row["ContactPhone"] = (found[0], found[1]) if found else (None, None)
    if found and row["AccountId"] is None:
        row["AccountId"] = found[2]


def _account(db: sqlite3.Connection, row: Row, old: Row | None) -> None:
    if old is not None and (old["WhoId"], old["WhatId"]) == (row["WhoId"], row["WhatId"]):
        return
    what, who = row["WhatId"] or "", row["WhoId"] or ""
    row["AccountId"] = None
    if what.startswith("001"):
        row["AccountId"] = what
        return
    for record_id, prefix, table in (
        (what, "006", "sf_Opportunity"),
        (what, "500", "sf_Case"),
        (who, "003", "sf_Contact"),
    ):
        if record_id.startswith(prefix):
            found = db.execute(f"SELECT AccountId FROM {table} WHERE Id = ?", (record_id,)).fetchone()
            row["AccountId"] = found[0] if found else None
            return


def _changed(row: Row, old: Row | None, name: str) -> bool:
    return row[name] is not None and (old is None or old[name] != row[name])


def _times(row: Row, old: Row | None) -> None:
    start = _start(row, old)
    if start is None:
        return
    if row["IsAllDayEvent"]:
        # All-day events have no clock: start and end are midnights in UTC, the end is the last day itself.
        start = start[:10] + "T00:00:00.000+0000"
    minutes, end = row["DurationInMinutes"], row["EndDateTime"]
    moved = old is not None and old["StartDateTime"] != start
    if _changed(row, old, "EndDateTime") or (minutes is None and end is not None):
        if row["IsAllDayEvent"]:
            end = end[:10] + "T00:00:00.000+0000"
            minutes = stamps.minutes_between(start, end) + 1440
        else:
            minutes = stamps.minutes_between(start, end)
    elif minutes is not None and (moved or end is None or _changed(row, old, "DurationInMinutes")):
        end = stamps.shift(start, minutes=max(minutes - 1440, 0) if row["IsAllDayEvent"] else minutes)
    row.update(
        StartDateTime=start,
        ActivityDateTime=start,
        ActivityDate=start[:10],
        DurationInMinutes=minutes,
        EndDateTime=end,
        EndDate=end[:10] if end else None,
    )


def _start(row: Row, old: Row | None) -> str | None:
    """Of the three fields that can tell the start, the one that was written."""
    for name in ("StartDateTime", "ActivityDateTime"):
        if _changed(row, old, name):
            return str(row[name])
    if _changed(row, old, "ActivityDate"):
        return f"{row['ActivityDate']}T00:00:00.000+0000"
    return row["StartDateTime"]  # type: ignore[no-any-return]
