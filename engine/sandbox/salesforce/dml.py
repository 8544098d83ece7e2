"""Creating, changing and deleting one record, and several as one collection."""

# ruff: noqa: S608 - table and field names come from the schema, values are arguments

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import derive, ids, mail_rules, store, validate
from engine.sandbox.salesforce.errors import SfError, deleted
from engine.sandbox.salesforce.objects import find, of_id
from engine.sandbox.salesforce.schema import FieldDef, ObjectDef

Json = dict[str, Any]

#: Most records in one collection.
MOST = 200


def create(world: World, definition: ObjectDef, body: Mapping[str, Any], user: str) -> str:
    """Create a record; returns its id.

    Raises:
        SfError: it is refused.
    """
    _writable(definition, "create")
    body, extra = mail_rules.take(definition, body)
    given = validate.values(world.db, definition, body, creating=True)
    row = dict(definition.defaults)
    if "OwnerId" in row:
        row["OwnerId"] = user
    row.update(given)
    validate.record(world.db, definition, row, None, given)
    if definition.name == "Event":
        validate.event_length(derive.complete(world.db, "Event", dict(row), None))
        given["DurationInMinutes"] = row["DurationInMinutes"]
    with store.transaction(world.db):
        new = store.insert(world, definition, {"OwnerId": user, **given} if "OwnerId" in row else given, user)
        mail_rules.made(world, definition, new, extra, user)
        return new


def update(world: World, definition: ObjectDef, record_id: str, body: Mapping[str, Any], user: str) -> None:
    """Change the named fields of a record.

    Raises:
        SfError: it is refused; ``INVALID_CROSS_REFERENCE_KEY`` when there is no such record.
    """
    _writable(definition, "update")
    old = _live(world, definition, record_id)
    given = validate.values(world.db, definition, body, creating=False)
    new = {**old, **given}
    validate.record(world.db, definition, new, old, given)
    if definition.name == "Event" and old["RecurrenceActivityId"]:
        new["IsRecurrence2Exception"] = 1
    new = derive.complete(world.db, definition.name, new, old)
    if definition.name == "Event":
        if old["GroupEventType"] == "3" and new["StartDateTime"] != old["StartDateTime"]:
            new["Recurrence2PatternStartDate"] = new["StartDateTime"]
        validate.event_length(new)
    with store.transaction(world.db):
        store.save(world, definition, old, new, user)
        if definition.name == "Event" and old["GroupEventType"] == "3":
            store.change_series(world, old, new, user)
        elif definition.name == "Event" and new["IsRecurrence2"] and not old["IsRecurrence2"]:
            store.expand_series(world, record_id)


def delete(world: World, definition: ObjectDef, record_id: str, user: str) -> None:
    """Move a record to the recycle bin.

    Raises:
        SfError: there is no such record, or it lies there already.
    """
    _writable(definition, "delete")
    row = _live(world, definition, record_id)
    with store.transaction(world.db):
        store.remove(world, definition, row, user)


def upsert(
    world: World, definition: ObjectDef, key: FieldDef, value: str, body: Mapping[str, Any], user: str
) -> tuple[str, bool]:
    """Change the record with that external id, or create it; returns its id and whether it was created.

    Raises:
        SfError: it is refused.
    """
    rest = {name: each for name, each in body.items() if name.lower() != key.name.lower()}
    if key.name == "Id":
        update(world, definition, value, rest, user)
        return value, False
    found = by_key(world, definition, key, value)
    if found is not None:
        update(world, definition, found, rest, user)
        return found, False
    return create(world, definition, {**rest, key.name: value}, user), True


def by_key(world: World, definition: ObjectDef, key: FieldDef, value: str) -> str | None:
    """The id of the live record with that external id."""
    found = world.db.execute(
        f"SELECT Id FROM {definition.table} WHERE {key.name} = ? AND IsDeleted = 0",
        (value,),
    ).fetchone()
    return None if found is None else str(found[0])


def key_field(definition: ObjectDef, name: str) -> FieldDef:
    """The external id field of that name (or ``Id``).

    Raises:
        SfError: 404, as the real server answers for a path that names no external id.
    """
    found = definition.by_lower.get(name.lower())
    if found is None or not (found.external or found.name == "Id"):
        message = f"Provided external ID field does not exist or is not accessible: {name}"
        raise SfError("NOT_FOUND", message, 404)
    return found


def _live(world: World, definition: ObjectDef, record_id: str) -> store.Row:
    row = store.read(world, definition, record_id)
    if row is None:
        raise SfError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", 404, [])
    if row["IsDeleted"]:
        raise deleted()
    return row


def _writable(definition: ObjectDef, verb: str) -> None:
    if not definition.writable or (definition.name == "User" and verb == "delete"):
        message = f"entity type {definition.name} does not support {verb}"
        raise SfError("CANNOT_INSERT_UPDATE_ACTIVATE_ENTITY", message, 400, [])


# -- collections -------------------------------------------------------------------------------------------


def create_all(world: World, records: Sequence[Any], all_or_none: bool, user: str) -> list[Json]:
    """``POST composite/sobjects``: one result per record, in order."""

    def work(record: Any) -> Json:
        definition = _typed(record)
        if "id" in {name.lower() for name in record}:
            raise SfError("INVALID_FIELD_FOR_INSERT_UPDATE", "cannot specify Id in an insert call", 400, ["Id"])
        return {"id": create(world, definition, record, user), "success": True, "errors": []}

    return _collection(world, records, all_or_none, work)


def update_all(world: World, records: Sequence[Any], all_or_none: bool, user: str) -> list[Json]:
    """``PATCH composite/sobjects``: one result per record, in order."""
    twice = _repeated(records, "id")

    def work(record: Any) -> Json:
        definition = _typed(record)
        own = _member(record, "id")
        record_id = ids.normal(own) if own else None
        if not own:
            raise SfError("MISSING_ARGUMENT", "Id not specified in an update call", 400, [])
        if record_id is None:
            raise SfError("MALFORMED_ID", f"bad id {own}", 400, ["Id"])
        if own in twice:
            raise SfError("DUPLICATE_VALUE", "Cannot specify the same Id twice in one update call", 400, ["Id"])
        if record_id[:3] != definition.prefix:
            raise SfError("MALFORMED_ID", f"Record ID: id value of incorrect type: {own}", 400, ["Id"])
        body = {name: value for name, value in record.items() if name.lower() != "id"}
        update(world, definition, record_id, body, user)
        return {"id": record_id, "success": True, "errors": []}

    return _collection(world, records, all_or_none, work)


def upsert_all(
    world: World, definition: ObjectDef, key: FieldDef, records: Sequence[Any], all_or_none: bool, user: str
) -> list[Json]:
    """``PATCH composite/sobjects/X/key``: one result per record, in order."""
    twice = _repeated(records, key.name.lower())

    def work(record: Any) -> Json:
        if _typed(record) is not definition:
            message = f"all records of an upsert must be of type {definition.name}"
            raise SfError("INVALID_TYPE", message, 400, [])
        value = _member(record, key.name.lower())
        if not value:
            raise SfError("MISSING_ARGUMENT", f"{key.name} not specified", 400, [])
        if value in twice:
            message = f"Duplicate external id specified: {value}"
            raise SfError("DUPLICATE_EXTERNAL_ID", message, 400, [key.name])
        if key.name == "Id" and ids.normal(value) is None:
            raise SfError("MALFORMED_ID", f"bad id {value}", 400, ["Id"])
        record_id, created = upsert(
            world, definition, key, ids.normal(value) or value if key.name == "Id" else value, record, user
        )
        return {"id": record_id, "success": True, "errors": [], "created": created}

    return _collection(world, records, all_or_none, work)


def delete_all(world: World, record_ids: Sequence[str], all_or_none: bool, user: str) -> list[Json]:
    """``DELETE composite/sobjects?ids=``: one result per id, in order."""

    def work(own: str) -> Json:
        record_id = ids.normal(own)
        definition = of_id(record_id) if record_id else None
        if record_id is None or definition is None:
            raise SfError("MALFORMED_ID", f"malformed id {own}", 400, [])
        delete(world, definition, record_id, user)
        return {"id": record_id, "success": True, "errors": []}

    return _collection(world, record_ids, all_or_none, work)


def _collection(
    world: World, records: Sequence[Any], all_or_none: bool, work: Callable[[Any], Json]
) -> list[Json]:
    if len(records) > MOST:
        message = f"record limit reached. cannot submit more than {MOST} records into this call"
        raise SfError("EXCEEDED_ID_LIMIT", message, 400)
    results: list[Json] = []
    failed = False

    def all_of_them() -> None:
        nonlocal failed
        for record in records:
            try:
                results.append(work(record))
            except SfError as error:
                failed = True
                results.append({"success": False, "errors": [error.row()]})
        if failed and all_or_none:
            raise _RolledBack

    try:
        with store.transaction(world.db):
            all_of_them()
    except _RolledBack:
        error = SfError(
            "ALL_OR_NONE_OPERATION_ROLLED_BACK",
            "Record rolled back because not all records were valid and the request was using AllOrNone header",
            400,
            [],
        )
        results = [
            {"success": False, "errors": [error.row()]} if result["success"] else result for result in results
        ]
    return results


class _RolledBack(Exception):
    """One record failed and none shall stay."""


def _typed(record: Any) -> ObjectDef:
    kind = record.get("attributes", {}).get("type") if isinstance(record, Mapping) else None
    if not isinstance(kind, str):
        raise SfError("INVALID_INPUT", "each record needs attributes with its type", 400, [])
    found = find(kind)
    if found is None:
        raise SfError("INVALID_TYPE", f"sObject type '{kind}' is not supported.", 400, [])
    return found


def _member(record: Mapping[str, Any], lower: str) -> str | None:
    for name, value in record.items():
        if name.lower() == lower and isinstance(value, str):
            return value
    return None


def _repeated(records: Sequence[Any], lower: str) -> set[str]:
    counted = Counter(_member(record, lower) for record in records if isinstance(record, Mapping))
    return {value for value, count in counted.items() if value is not None and count > 1}
