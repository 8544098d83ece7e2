"""What an org does by itself when an e-mail or a file is stored: relations, the activity on the time line, documents."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import ids, store
from engine.sandbox.salesforce.errors import SfError
from engine.sandbox.salesforce.mail_objects import JUNCTIONS
from engine.sandbox.salesforce.schema import ObjectDef

Row = dict[str, Any]

LARGEST_JSON = 37_500_000
"""Bytes of a file that may come as base64 inside JSON; larger ones need a multipart body (not spoken here)."""


def take(definition: ObjectDef, body: Mapping[str, Any]) -> tuple[Row, Row]:
    """What a create says that is no column: (the rest of the body, lists of ids and file data).

    Raises:
        SfError: a list of ids or base64 data that cannot be read.
    """
    if definition.name == "EmailMessage":
        lists: Row = {}
        for name in JUNCTIONS:
            wanted = body.get(name)
            if wanted is None:
                continue
            if not isinstance(wanted, list):
                raise SfError("JSON_PARSER_ERROR", f"{name} must be a list of ids", 400, [name])
            lists[name] = [_person(name, each) for each in wanted]
        return {name: value for name, value in body.items() if name not in JUNCTIONS}, lists
    if definition.name == "ContentVersion" and "VersionData" in body:
        try:
            data = base64.b64decode(str(body["VersionData"]), validate=True)
        except (ValueError, binascii.Error):
            message = "Version Data: value not of required type: base64Binary"
            raise SfError("INVALID_TYPE_ON_FIELD_IN_RECORD", message, 400, ["VersionData"]) from None
        if len(data) > LARGEST_JSON:
            raise SfError("FILE_SIZE_LIMIT_EXCEEDED", "The file is too large for a JSON body.", 400, [])
        return {**body, "VersionData": "here"}, {"data": data}
    return dict(body), {}


def _person(name: str, value: object) -> str:
    found = ids.normal(value)
    if found is None or found[:3] not in ("003", "00Q", "005"):
        raise SfError("MALFORMED_ID", f"{name}: id value of incorrect type: {value}", 400, [name])
    return found


def made(world: World, definition: ObjectDef, record_id: str, extra: Row, user: str) -> None:
    """What follows the create of a record, in its transaction.

    Raises:
        SfError: a list names a person who is not there.
    """
    if definition.name == "EmailMessage":
        _message(world, definition, record_id, extra, user)
    elif definition.name == "ContentVersion":
        _file(world, definition, record_id, extra.get("data", b""), user)


def data(world: World, record_id: str) -> bytes | None:
    """The bytes of a file version."""
    row = world.db.execute("SELECT data FROM sf_blob WHERE id = ?", (record_id,)).fetchone()
    return None if row is None else bytes(row[0])


def _message(world: World, definition: ObjectDef, record_id: str, extra: Row, user: str) -> None:
    row = store.read(world, definition, record_id)
    assert row is not None
    from engine.sandbox.salesforce.objects import OBJECTS  # these objects are among them: no import above

    relations = [
        {"EmailMessageId": record_id, "RelationId": person, "RelationType": kind, "RelationObjectType": name}
        for field, kind in JUNCTIONS.items()
        for person in dict.fromkeys(extra.get(field, ()))
        for name in (_living(world, OBJECTS, person),)
    ]
    for relation in relations:
        store.insert(world, OBJECTS["EmailMessageRelation"], relation, user)
    if row["ParentId"] is None and row["ActivityId"] is None:
        # Enhanced Email: a completed task stands for the e-mail on the time line, except on cases.
        who = next((one["RelationId"] for one in relations if one["RelationId"][:3] != "005"), None)
        what = row["RelatedToId"] if (row["RelatedToId"] or "")[:3] in ("001", "006", "500") else None
        task = {
            "Subject": f"Email: {row['Subject'] or ''}"[:255],
            "TaskSubtype": "Email",
            "Type": "Email",
            "Status": "Completed",
            "ActivityDate": (row["MessageDate"] or store.now(world))[:10],
            "WhatId": what,
            "WhoId": who,
            "OwnerId": user,
        }
        activity = store.insert(world, OBJECTS["Task"], task, user)
        world.db.execute("UPDATE sf_EmailMessage SET ActivityId = ? WHERE Id = ?", (activity, record_id))


def _living(world: World, objects: Mapping[str, ObjectDef], person: str) -> str:
    name = {"003": "Contact", "00Q": "Lead", "005": "User"}[person[:3]]
    row = store.read(world, objects[name], person)
    if row is None or row["IsDeleted"]:
        raise SfError("INVALID_CROSS_REFERENCE_KEY", "invalid cross reference id", 400, [])
    return name


def _file(world: World, definition: ObjectDef, record_id: str, content: bytes, user: str) -> None:
    from engine.sandbox.salesforce.objects import OBJECTS

    row = store.read(world, definition, record_id)
    assert row is not None
    extension = row["PathOnClient"].rpartition(".")[2][:40] if "." in row["PathOnClient"] else None
    document = store.insert(
        world,
        OBJECTS["ContentDocument"],
        {
            "Title": row["Title"],
            "ContentSize": len(content),
            "FileExtension": extension,
            "LatestPublishedVersionId": record_id,
        },
        user,
    )
    world.db.execute("INSERT INTO sf_blob VALUES (?, ?)", (record_id, content))
    world.db.execute(
        "UPDATE sf_ContentVersion SET VersionData = ?, ContentDocumentId = ?, ContentSize = ?, FileExtension = ? "
        "WHERE Id = ?",
        (f"/services/data/v62.0/sobjects/ContentVersion/{record_id}/VersionData", document, len(content), extension,
         record_id),
    )  # fmt: skip
    place = row["FirstPublishLocationId"]
    if place:
        link = {"ContentDocumentId": document, "LinkedEntityId": place, "ShareType": "V"}
        store.insert(world, OBJECTS["ContentDocumentLink"], link, user)
        if place[:3] == "02s":
            world.db.execute("UPDATE sf_EmailMessage SET HasAttachment = 1 WHERE Id = ?", (place,))
