"""The records: one SQLite table per object with a column per field, and the loader of demo data.

Date-times are kept as the server's own stamps, which sort as text; booleans as 0 and 1.
"""

# ruff: noqa: S608 - table and field names come from the schema, values are arguments

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import Any

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import derive, ids, series, stamps
from engine.sandbox.salesforce.objects import OBJECTS
from engine.sandbox.salesforce.schema import FieldDef, ObjectDef

Row = dict[str, Any]

_SQL_TYPES = {"boolean": "INTEGER", "int": "INTEGER", "double": "REAL", "currency": "REAL", "percent": "REAL"}

_INDEXES: dict[str, tuple[str, ...]] = {
    "Contact": ("AccountId", "Email COLLATE NOCASE"),
    "Lead": ("Email COLLATE NOCASE",),
    "Event": ("RecurrenceActivityId", "StartDateTime", "WhoId", "WhatId"),
    "Task": ("WhoId", "WhatId"),
    "Opportunity": ("AccountId",),
    "OpportunityContactRole": ("OpportunityId", "ContactId"),
    "Case": ("AccountId", "ContactId"),
    "User": ("Username COLLATE NOCASE", "Email COLLATE NOCASE"),
    "EmailMessage": ("RelatedToId", "ParentId"),
    "EmailMessageRelation": ("EmailMessageId",),
    "ContentVersion": ("FirstPublishLocationId",),
    "ContentDocumentLink": ("LinkedEntityId",),
}

_savepoints = itertools.count()


@contextmanager
def transaction(db: sqlite3.Connection) -> Iterator[None]:
    """All or nothing; may be nested, the inner one then undoes only its own part."""
    name = f"s{next(_savepoints)}" if db.in_transaction else ""
    db.execute(f"SAVEPOINT {name}" if name else "BEGIN IMMEDIATE")
    try:
        yield
    except BaseException:
        db.execute(f"ROLLBACK TO {name}" if name else "ROLLBACK")
        if name:
            db.execute(f"RELEASE {name}")
        raise
    db.execute(f"RELEASE {name}" if name else "COMMIT")


def setup(world: World) -> None:
    """Create what is missing of the tables and the org's own record; cheap when nothing is."""
    found = world.db.execute("SELECT 1 FROM sqlite_master WHERE name = 'sf_blob'").fetchone()
    if found:
        return
    with transaction(world.db):
        for each in OBJECTS.values():
            columns = ", ".join(_column(definition) for definition in each.stored)
            world.db.execute(f"CREATE TABLE IF NOT EXISTS {each.table} ({columns})")
            for name, what in _indexes(each):
                world.db.execute(f"CREATE {what.replace('@', f'IF NOT EXISTS {name} ON {each.table}')}")
        for statement in (
            "CREATE TABLE IF NOT EXISTS sf_meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS sf_exclusion (series TEXT, day TEXT, PRIMARY KEY (series, day)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS sf_client (client_id TEXT PRIMARY KEY, secret TEXT, run_as TEXT, "
            "public_key TEXT)",
            "CREATE TABLE IF NOT EXISTS sf_login (username TEXT PRIMARY KEY COLLATE NOCASE, password TEXT)",
            "CREATE TABLE IF NOT EXISTS sf_token (token TEXT PRIMARY KEY, user_id TEXT, client_id TEXT, used_ms INTEGER)",
            "CREATE TABLE IF NOT EXISTS sf_blob (id TEXT PRIMARY KEY, data BLOB) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS sf_ready (version INTEGER)",
        ):
            world.db.execute(statement)
        if world.db.execute("SELECT 1 FROM sf_Organization").fetchone():
            return  # a state folder of an earlier version, which knew fewer objects
        _insert(
            world,
            OBJECTS["Organization"],
            [{"Name": "Syncline Sandbox", "OrganizationType": "Developer Edition", "InstanceName": "LOOP1"}],
            user="",
        )


def organization_id(world: World) -> str:
    """The 18-character id of the org."""
    return str(world.db.execute("SELECT Id FROM sf_Organization").fetchone()[0])


def now(world: World) -> str:
    """The stamp of this moment by the sandbox's clock.

    Stamps have milliseconds; the setting ``sf_whole_seconds`` cuts them to seconds, as most real orgs show them.
    """
    at = world.clock.now_ms()
    return stamps.from_ms(at - at % 1000 if world.settings.get("sf_whole_seconds") else at)


def default_user(world: World) -> str:
    """Who owns what is loaded without an owner: the first user, or an empty text when there is none."""
    found = world.db.execute("SELECT Id FROM sf_User ORDER BY rowid LIMIT 1").fetchone()
    return str(found[0]) if found else ""


def insert_many(world: World, sobject: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Load records fast and without the API's validation; for the generator of demo data.

    Values may be ``datetime`` and ``date`` objects or texts. System fields (``CreatedDate``, ``SystemModstamp``, ...)
    are set when a row does not bring them, ``OwnerId`` falls to the first user, computed fields (``Name``, ``IsClosed``,
    ``EndDateTime``) are computed. An ``Event`` with ``IsRecurrence2`` and ``Recurrence2PatternText`` becomes a series
    with its occurrences, exactly as the API would make it; ``move_occurrence`` and ``cancel_occurrence`` change them.

    Returns:
        The 18-character ids in the order of the rows; for a series the id of the series record.

    Raises:
        KeyError: an unknown object or field.
    """
    setup(world)
    definition = OBJECTS[sobject]
    with transaction(world.db):
        new = _insert(world, definition, rows, user=default_user(world))
        if sobject == "Event":
            for record_id, row in zip(new, rows, strict=True):
                if row.get("IsRecurrence2") and not row.get("RecurrenceActivityId"):
                    expand_series(world, record_id)
    return new


def add_user(world: World, email: str, name: str, zone: str, alias: str) -> str:
    """Create an active user whose login name is his e-mail address.

    Args:
        world: the sandbox.
        email: address and user name.
        name: full name; the last word is the family name.
        zone: IANA time zone.
        alias: at most eight characters.

    Returns:
        The user's id.
    """
    first, _, last = name.rpartition(" ")
    row = {
        "Username": email,
        "Email": email,
        "FirstName": first or None,
        "LastName": last,
        "TimeZoneSidKey": zone,
        "Alias": alias[:8],
    }
    return insert_many(world, "User", [row])[0]


def set_client(world: World, client_id: str, client_secret: str, run_as_user_id: str) -> None:
    """Register (or change) the connected app of the client credentials and password grants."""
    setup(world)
    world.db.execute(
        "INSERT INTO sf_client (client_id, secret, run_as) VALUES (?, ?, ?) ON CONFLICT (client_id) "
        "DO UPDATE SET secret = excluded.secret, run_as = excluded.run_as",
        (client_id, client_secret, run_as_user_id),
    )


def move_occurrence(world: World, series_id: str, original: str | datetime, changes: Mapping[str, Any]) -> str:
    """Change one occurrence of a series, given by its original start; it becomes an exception. Returns its id.

    Raises:
        LookupError: the series has no such occurrence.
    """
    row = _occurrence(world, series_id, original)
    with transaction(world.db):
        new = {**row, **coerce(OBJECTS["Event"], changes), "IsRecurrence2Exception": 1}
        save(world, OBJECTS["Event"], row, derive.complete(world.db, "Event", new, row), default_user(world))
    return str(row["Id"])


def cancel_occurrence(world: World, series_id: str, original: str | datetime) -> str:
    """Delete one occurrence of a series, given by its original start. Returns its id.

    Raises:
        LookupError: the series has no such occurrence.
    """
    row = _occurrence(world, series_id, original)
    with transaction(world.db):
        remove(world, OBJECTS["Event"], row, default_user(world))
    return str(row["Id"])


def _occurrence(world: World, series_id: str, original: str | datetime) -> Row:
    found = world.db.execute(
        "SELECT * FROM sf_Event WHERE RecurrenceActivityId = ? AND Syncline_Occurrence__c = ? AND IsDeleted = 0",
        (ids.normal(series_id), stamps.canonical(original)),
    ).fetchone()
    if found is None:
        raise LookupError(f"series {series_id} has no occurrence at {original}")
    return dict(found)


# -- what the API's writes use -----------------------------------------------------------------------------


def read(world: World, definition: ObjectDef, record_id: str) -> Row | None:
    """One record with all stored fields, deleted or not."""
    found = world.db.execute(f"SELECT * FROM {definition.table} WHERE Id = ?", (record_id,)).fetchone()
    return None if found is None else dict(found)


def insert(world: World, definition: ObjectDef, row: Row, user: str) -> str:
    """Store one validated new record and, for a series, its occurrences. Returns its id."""
    record_id = _insert(world, definition, [row], user, clean=True)[0]
    if definition.name == "Event" and row.get("IsRecurrence2"):
        expand_series(world, record_id)
    return record_id


def save(world: World, definition: ObjectDef, old: Row, new: Row, user: str) -> None:
    """Store the fields of a record that changed, and stamp it even when none did, as the real server does."""
    stamp = now(world)
    if stamp <= old["SystemModstamp"] and not world.settings.get("sf_whole_seconds"):
        stamp = stamps.shift(old["SystemModstamp"], milliseconds=1)
    new = {**new, "LastModifiedDate": stamp, "SystemModstamp": stamp, "LastModifiedById": user}
    changed = {name: value for name, value in new.items() if value != old[name]}
    assignments = ", ".join(f"{name} = ?" for name in changed)
    world.db.execute(
        f"UPDATE {definition.table} SET {assignments} WHERE Id = ?",
        (*changed.values(), old["Id"]),
    )


def remove(world: World, definition: ObjectDef, row: Row, user: str) -> None:
    """Move a record to the recycle bin, with what belongs to it."""
    stamp = max(now(world), row["SystemModstamp"])
    table, args = definition.table, (stamp, stamp, user)
    mark = "SET IsDeleted = 1, SystemModstamp = ?, LastModifiedDate = ?, LastModifiedById = ?"
    world.db.execute(f"UPDATE {table} {mark} WHERE Id = ?", (*args, row["Id"]))
    if definition.name == "Event":
        if row["GroupEventType"] == "3":
            world.db.execute(
                f"UPDATE sf_Event {mark} WHERE RecurrenceActivityId = ? AND IsDeleted = 0",
                (*args, row["Id"]),
            )
        elif row["RecurrenceActivityId"] and row["Syncline_Occurrence__c"]:
            parent = read(world, definition, row["RecurrenceActivityId"])
            if parent is not None:
                day = series.local_day(parent, row["Syncline_Occurrence__c"])
                world.db.execute("INSERT OR IGNORE INTO sf_exclusion VALUES (?, ?)", (parent["Id"], day))
    role = {"Opportunity": "OpportunityId", "Contact": "ContactId"}.get(definition.name)
    if definition.name == "EmailMessage":
        # The relations and the task on the time line go with it.
        world.db.execute(
            f"UPDATE sf_EmailMessageRelation {mark} WHERE EmailMessageId = ? AND IsDeleted = 0",
            (*args, row["Id"]),
        )
        world.db.execute(f"UPDATE sf_Task {mark} WHERE Id = ? AND IsDeleted = 0", (*args, row["ActivityId"]))
    if role:
        world.db.execute(
            f"UPDATE sf_OpportunityContactRole {mark} WHERE {role} = ? AND IsDeleted = 0", (*args, row["Id"])
        )


def purge(world: World, definition: ObjectDef) -> None:
    """Empty the recycle bin of what has lain there for 15 days."""
    cutoff = stamps.from_ms(world.clock.now_ms() - 15 * 86_400_000)
    world.db.execute(f"DELETE FROM {definition.table} WHERE IsDeleted = 1 AND SystemModstamp < ?", (cutoff,))


def expand_series(world: World, series_id: str) -> None:
    """Make a stored event the record of a series and create its occurrences."""
    event = OBJECTS["Event"]
    row = read(world, event, series_id)
    if row is None:
        return
    head = series.head(row)
    world.db.execute(
        "UPDATE sf_Event SET GroupEventType = '3', Recurrence2PatternVersion = '1', Recurrence2PatternStartDate = ?, "
        "Recurrence2PatternTimeZone = ? WHERE Id = ?",
        (head["Recurrence2PatternStartDate"], head["Recurrence2PatternTimeZone"], series_id),
    )
    children = [series.child(head, start) for start in series.starts(head)]
    _insert(world, event, children, user=row["CreatedById"])


def change_series(world: World, old: Row, new: Row, user: str) -> None:
    """Bring the occurrences of a series in line with its changed record; exceptions keep what makes them differ."""
    event = OBJECTS["Event"]
    excluded = {
        row[0] for row in world.db.execute("SELECT day FROM sf_exclusion WHERE series = ?", (old["Id"],))
    }
    present = {
        series.local_day(old, row["Syncline_Occurrence__c"]): dict(row)
        for row in world.db.execute(
            "SELECT * FROM sf_Event WHERE RecurrenceActivityId = ? AND IsDeleted = 0", (old["Id"],)
        )
    }
    missing = []
    for start in series.starts(new):
        day = series.local_day(new, start)
        if day in excluded:
            continue
        child = present.pop(day, None)
        if child is None:
            missing.append(series.child(new, start))
        elif child["IsRecurrence2Exception"]:
            if child["Syncline_Occurrence__c"] != start:
                save(world, event, child, {**child, "Syncline_Occurrence__c": start}, user)
        else:
            wanted = {**child, **series.child(new, start)}
            wanted = derive.complete(world.db, "Event", wanted, None)
            if any(wanted[name] != child[name] for name in wanted):
                save(world, event, child, wanted, user)
    _insert(world, event, missing, user)
    stamp = now(world)
    world.db.executemany(
        "UPDATE sf_Event SET IsDeleted = 1, SystemModstamp = ?, LastModifiedDate = ? WHERE Id = ?",
        [(stamp, stamp, row["Id"]) for row in present.values()],
    )


def coerce(definition: ObjectDef, row: Mapping[str, Any]) -> Row:
    """Values of any convenient type as they are stored.

    Raises:
        KeyError: a field that the object does not have.
        ValueError: a text that is no date or date-time.
    """
    return {name: _coerce(definition.by_name[name], value) for name, value in row.items()}


def _coerce(definition: FieldDef, value: Any) -> Any:
    if value is None or value == "":
        return None
    match definition.type:
        case "datetime":
            return stamps.canonical(value)
        case "date":
            return stamps.canonical_date(value.date() if isinstance(value, datetime) else value)
        case "boolean":
            return int(bool(value))
        case "int":
            return int(value)
        case "double" | "currency" | "percent":
            return float(value)
        case "reference" | "id":
            return ids.normal(value)
    return value if isinstance(value, str) else value.isoformat() if isinstance(value, date) else str(value)


def _insert(
    world: World, definition: ObjectDef, rows: Sequence[Mapping[str, Any]], user: str, *, clean: bool = False
) -> list[str]:
    if not rows:
        return []
    stamp = now(world)
    number = _reserve(world, definition.name, len(rows))
    defaults: Row = dict(definition.defaults)
    defaults.update(
        CreatedDate=stamp, LastModifiedDate=stamp, SystemModstamp=stamp, CreatedById=user, LastModifiedById=user
    )
    if "OwnerId" in defaults:
        defaults["OwnerId"] = user
    values = []
    new = []
    for offset, given in enumerate(rows):
        row = {**defaults, **(given if clean else coerce(definition, given))}
        row["Id"] = row["Id"] or ids.make(definition.prefix, number + offset)
        if definition.name == "Case" and not row["CaseNumber"]:
            row["CaseNumber"] = f"{1000 + number + offset:08d}"
        row = derive.complete(world.db, definition.name, row, None)
        new.append(row["Id"])
        values.append([row[name] for name in definition.defaults])
    world.db.executemany(definition.insert_sql, values)
    return new


def _reserve(world: World, name: str, count: int) -> int:
    world.db.execute(
        "INSERT INTO sf_meta VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = value + excluded.value",
        (f"next:{name}", count),
    )
    last = world.db.execute("SELECT value FROM sf_meta WHERE name = ?", (f"next:{name}",)).fetchone()[0]
    return int(last) - count + 1


def _column(definition: FieldDef) -> str:
    kind = _SQL_TYPES.get(definition.type, "TEXT")
    return f"{definition.name} {kind}" + (" PRIMARY KEY" if definition.name == "Id" else "")


def _indexes(definition: ObjectDef) -> Iterator[tuple[str, str]]:
    base = f"{definition.table}_"
    # IsDeleted stands in it so that listing a whole object reads the index alone.
    yield base + "stamp", "INDEX @ (SystemModstamp, Id, IsDeleted)"
    yield base + "bin", "INDEX @ (SystemModstamp) WHERE IsDeleted = 1"
    if "OwnerId" in definition.by_name:
        yield base + "owner", "INDEX @ (OwnerId)"
    for each in definition.uniques:
        yield base + each.name, f"UNIQUE INDEX @ ({each.name}) WHERE IsDeleted = 0 AND {each.name} IS NOT NULL"
    for columns in _INDEXES.get(definition.name, ()):
        yield base + columns.partition(" ")[0], f"INDEX @ ({columns})"
