"""What a write may say: field names, rights, types, lengths, references, keys; with the refusals of the real API."""

# ruff: noqa: S608 - table and field names come from the schema, values are arguments

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping
from typing import Any

from engine.sandbox.salesforce import ids, series, stamps
from engine.sandbox.salesforce.errors import SfError
from engine.sandbox.salesforce.objects import OBJECTS, SERIES_FIELDS
from engine.sandbox.salesforce.schema import FieldDef, ObjectDef

Row = dict[str, Any]

#: Longest event in minutes: 14 days.
LONGEST_EVENT = 14 * 1440

_EMAIL = re.compile(r"[^\s@,;<>\"()]+@[^\s@,;<>\"().]+(\.[^\s@,;<>\"().]+)+\Z")
_JSON_NAMES: dict[type, str] = {str: "VALUE_STRING", int: "VALUE_NUMBER_INT", float: "VALUE_NUMBER_FLOAT",
                                bool: "VALUE_TRUE", dict: "START_OBJECT", list: "START_ARRAY"}  # fmt: skip


def values(db: sqlite3.Connection, definition: ObjectDef, body: Mapping[str, Any], *, creating: bool) -> Row:
    """The stored values of the fields that a request names.

    Raises:
        SfError: the first thing that is wrong.
    """
    out: Row = {}
    forbidden = []
    for name, value in body.items():
        if name == "attributes":
            continue
        known = definition.by_lower.get(name.lower())
        if known is None:
            link = definition.relations.get(name.lower())
            if link is None or not isinstance(value, Mapping):
                raise unknown_field(definition, name)
            out[link.name] = _by_external(db, link, value)
            continue
        if known.name == "Id":
            raise SfError(
                "INVALID_FIELD", "The Id field should not be specified in the sobject data.", 400, ["Id"]
            )
        if not (known.createable if creating else known.updateable):
            forbidden.append(known.name)
            continue
        out[known.name] = _value(known, value)
    if forbidden:
        message = (
            f"Unable to create/update fields: {', '.join(forbidden)}. Please check the security settings of this field "
            "and verify that it is read/write for your profile or permission set."
        )
        raise SfError("INVALID_FIELD_FOR_INSERT_UPDATE", message, 400, forbidden)
    return out


def record(db: sqlite3.Connection, definition: ObjectDef, row: Row, old: Row | None, given: Row) -> None:
    """Check a whole record as it shall be, before it is stored.

    Args:
        db: for references and keys.
        definition: the object.
        row: all stored fields, computed ones not yet computed.
        old: the record as it was, ``None`` for a new one.
        given: the fields that the request named.

    Raises:
        SfError: the first thing that is wrong.
    """
    missing = [each.name for each in definition.required if row[each.name] is None]
    if missing:
        raise SfError(
            "REQUIRED_FIELD_MISSING", f"Required fields are missing: [{', '.join(missing)}]", 400, missing
        )
    for name, value in given.items():
        known = definition.by_name[name]
        if known.type == "reference" and value is not None and (old is None or old[name] != value):
            _reference(db, definition, known, value)
    if definition.name == "Event":
        _event(row, old, given)
    for known in definition.uniques:
        if row[known.name] is not None and known.name in given:
            unique(db, definition, known, row[known.name], None if old is None else old["Id"])


def unknown_field(definition: ObjectDef, name: str) -> SfError:
    """The refusal of a field that the object does not have."""
    return SfError("INVALID_FIELD", f"No such column '{name}' on sobject of type {definition.name}", 400)


def unique(db: sqlite3.Connection, definition: ObjectDef, known: FieldDef, value: str, own: str | None) -> None:
    """Refuse a value that another live record has.

    Raises:
        SfError: ``DUPLICATE_VALUE``.
    """
    found = db.execute(
        f"SELECT Id FROM {definition.table} WHERE {known.name} = ? AND IsDeleted = 0",
        (value,),
    ).fetchone()
    if found is not None and found[0] != own:
        message = f"duplicate value found: {known.name} duplicates value on record with id: {found[0]}"
        raise SfError("DUPLICATE_VALUE", message, 400, [])


def _value(known: FieldDef, value: Any) -> Any:
    if value is None:
        if known.type == "boolean":
            raise SfError(
                "INVALID_TYPE_ON_FIELD_IN_RECORD",
                f"{known.label}: value not of required type: ",
                400,
                [known.name],
            )
        return None
    match known.type:
        case "boolean":
            if not isinstance(value, bool):
                raise _json_type(known.type, value)
            return int(value)
        case "int" | "double" | "currency" | "percent":
            return _number(known, value)
        case "date" | "datetime":
            if value == "":
                return None
            if not isinstance(value, str):
                raise _json_type(known.type, value)
            try:
                return stamps.canonical(value) if known.type == "datetime" else stamps.canonical_date(value)
            except ValueError:
                raise _json_type(known.type, value) from None
    if not isinstance(value, str):
        raise _json_type("string", value)
    text = value.strip()
    if not text:
        return None
    if known.type == "reference":
        return _id(known, text)
    if known.length and len(text) > known.length:
        message = f"{known.label}: data value too large: {text[:200]} (max length={known.length})"
        raise SfError("STRING_TOO_LONG", message, 400, [known.name])
    if known.type == "email" and not _EMAIL.match(text):
        message = f"{known.label}: invalid email address: {text}"
        raise SfError("INVALID_EMAIL_ADDRESS", message, 400, [known.name])
    if known.restricted and text not in known.values:
        message = f"{known.label}: bad value for restricted picklist field: {text}"
        raise SfError("INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST", message, 400, [known.name])
    return text


def _number(known: FieldDef, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise _json_type(known.type, value)
    try:
        number = float(value)
    except ValueError:
        raise _json_type(known.type, value) from None
    if known.type == "int":
        if number != int(number):
            raise _json_type(known.type, value)
        return int(number)
    if abs(number) >= 10**18:
        message = f"{known.label}: value outside of valid range on numeric field: {value}"
        raise SfError("NUMBER_OUTSIDE_VALID_RANGE", message, 400, [known.name])
    return number


def _id(known: FieldDef, text: str) -> str:
    normal = ids.normal(text)
    if normal is None or normal[:3] not in {OBJECTS[each].prefix for each in known.refers}:
        message = f"{known.label}: id value of incorrect type: {text}"
        raise SfError("MALFORMED_ID", message, 400, [known.name])
    return normal


def _by_external(db: sqlite3.Connection, link: FieldDef, value: Mapping[str, Any]) -> str:
    """The id of the parent that a nested object names by an external id."""
    for target in link.refers:
        for name, wanted in value.items():
            known = OBJECTS[target].by_lower.get(name.lower())
            if known is not None and known.external:
                found = db.execute(
                    f"SELECT Id FROM sf_{target} WHERE {known.name} = ? AND IsDeleted = 0",
                    (wanted,),
                ).fetchone()
                if found is None:
                    message = (
                        f"Foreign key external ID: {wanted} not found for field {known.name} in entity {target}"
                    )
                    raise SfError("INVALID_FIELD", message, 400)
                return str(found[0])
    raise SfError("INVALID_FIELD", f"The relationship {link.relation} needs an external id field", 400)


def _reference(db: sqlite3.Connection, definition: ObjectDef, known: FieldDef, value: str) -> None:
    for target in known.refers:
        if value.startswith(OBJECTS[target].prefix):
            active = "IsActive" if target == "User" else "1"
            found = db.execute(
                f"SELECT {active} FROM sf_{target} WHERE Id = ? AND IsDeleted = 0",
                (value,),
            ).fetchone()
            if found is None:
                raise SfError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", 400, [])
            if not found[0]:
                message = (
                    f"operation performed with inactive user [{value}] as owner of {definition.label.lower()}"
                )
                raise SfError("INACTIVE_OWNER_OR_USER", message, 400, [])


def _event(row: Row, old: Row | None, given: Row) -> None:
    start = row["StartDateTime"] or row["ActivityDateTime"]
    if start is None and not (row["IsAllDayEvent"] and row["ActivityDate"]):
        message = "Required fields are missing: [StartDateTime, ActivityDateTime]"
        raise SfError("REQUIRED_FIELD_MISSING", message, 400, ["StartDateTime", "ActivityDateTime"])
    if old is None and row["DurationInMinutes"] is None and row["EndDateTime"] is None:
        if not row["IsAllDayEvent"]:
            message = "Required fields are missing: [DurationInMinutes, EndDateTime]"
            raise SfError("REQUIRED_FIELD_MISSING", message, 400, ["DurationInMinutes", "EndDateTime"])
        row["DurationInMinutes"] = 1440
    if given.get("StartDateTime") and given.get("ActivityDateTime") not in (None, given["StartDateTime"]):
        message = "Start Date Time and Due Date Time must match"
        raise SfError("FIELD_INTEGRITY_EXCEPTION", message, 400, ["ActivityDateTime", "StartDateTime"])
    if (given.get("DurationInMinutes") or 0) < 0:
        raise SfError("FIELD_INTEGRITY_EXCEPTION", "Duration must not be negative", 400, ["DurationInMinutes"])
    _series(row, old, given)


def _series(row: Row, old: Row | None, given: Row) -> None:
    named = [name for name in SERIES_FIELDS if given.get(name) is not None]
    if old is not None and old["IsRecurrence2"]:
        if not row["IsRecurrence2"]:
            message = "An event of a series cannot become a single event"
            raise SfError("FIELD_INTEGRITY_EXCEPTION", message, 400, ["IsRecurrence2"])
        if old["GroupEventType"] != "3":
            if named:
                message = (
                    f"Unable to create/update fields: {', '.join(named)}. Please check the security settings of this "
                    "field and verify that it is read/write for your profile or permission set."
                )
                raise SfError("INVALID_FIELD_FOR_INSERT_UPDATE", message, 400, named)
            return
    if not row["IsRecurrence2"]:
        if named:
            message = "Recurrence pattern fields need IsRecurrence2"
            raise SfError("FIELD_INTEGRITY_EXCEPTION", message, 400, named)
        return
    if not row["Recurrence2PatternText"]:
        message = "Required fields are missing: [Recurrence2PatternText]"
        raise SfError("REQUIRED_FIELD_MISSING", message, 400, ["Recurrence2PatternText"])
    series.check(row["Recurrence2PatternText"], row["Recurrence2PatternTimeZone"] or "UTC")


def event_length(row: Row) -> None:
    """Refuse an event, its end already computed, that ends before it starts or lasts more than 14 days.

    Raises:
        SfError: ``FIELD_INTEGRITY_EXCEPTION``.
    """
    minutes = row["DurationInMinutes"]
    if minutes is None:
        return
    if minutes < 0:
        message = "The end date and time must be on or after the start date and time"
        raise SfError("FIELD_INTEGRITY_EXCEPTION", message, 400, ["EndDateTime"])
    if minutes > LONGEST_EVENT:
        message = "Event duration can't be more than fourteen days."
        raise SfError("FIELD_INTEGRITY_EXCEPTION", message, 400, ["DurationInMinutes"])


def _json_type(kind: str, value: Any) -> SfError:
    shown = "VALUE_FALSE" if value is False else _JSON_NAMES.get(type(value), "VALUE_EMBEDDED_OBJECT")
    message = (
        f"Cannot deserialize instance of {kind} from {shown} value {value} or request may be missing a required field "
        "at [line:1, column:1]"
    )
    return SfError("JSON_PARSER_ERROR", message, 400)
