"""Attachments: files and items that hang on an item."""

from __future__ import annotations

import base64
import binascii
import secrets
import sqlite3

import orjson
from lxml import etree

from engine.sandbox.exchange import ids, item_values, items, soap, store, times
from engine.sandbox.exchange.call import Call, each, resolve
from engine.sandbox.exchange.errors import EwsError, not_found
from engine.sandbox.exchange.nodes import (
    Doc,
    Node,
    attribute,
    child,
    children,
    elements,
    flag,
    local,
    node_of,
    render,
    text,
    truth,
)
from engine.sandbox.exchange.store import Item

_SHOWN = (
    "AttachmentId",
    "Name",
    "ContentType",
    "ContentId",
    "ContentLocation",
    "Size",
    "LastModifiedTime",
    "IsInline",
    "IsContactPhoto",
)
MOST_BYTES = 35 * 1024 * 1024


def add(call: Call, item: Item, tag: str, node: Node) -> int:
    """Hang an attachment of element ``tag`` onto an item; returns its row.

    Raises:
        EwsError: content that is no base64, or too large.
    """
    doc: Doc = {name: value for name, value in children(node) if name in _SHOWN and name != "AttachmentId"}
    doc.setdefault("Name", "attachment")
    if tag == "FileAttachment":
        try:
            content = base64.b64decode("".join(text(child(node, "Content")).split()), validate=True)
        except binascii.Error:
            raise EwsError("ErrorContentConversionFailed", "The attachment's content is not base64.") from None
    else:
        inner = next(((name, value) for name, value in children(node) if name not in _SHOWN), None)
        if inner is None:
            raise EwsError("ErrorMissingItemForCreateItemAttachment", "The item of the attachment is missing.")
        content = orjson.dumps(inner)
    if len(content) > int(call.world.settings.get("exchange_attachment_bytes", MOST_BYTES)):
        raise EwsError("ErrorAttachmentSizeLimitExceeded", "The attachment exceeds the size limit.")
    return insert(call, item, tag, doc, content)


def insert(call: Call, item: Item, tag: str, doc: Doc, content: bytes) -> int:
    """Store an attachment; returns its row."""
    row = call.world.db.execute(
        "INSERT INTO exchange_attachments (item, tag, modified_ms, doc, content) VALUES (?, ?, ?, ?, ?) RETURNING id",
        (item.row or item.master, tag, call.world.clock.now_ms(), orjson.dumps(doc), content),
    ).fetchone()
    return int(row[0])


def add_from(call: Call, item: Item, node: Node) -> None:
    """Hang the attachments that came with a new item onto it."""
    for tag, one in children(node):
        add(call, item, tag, one)


def rows_of(call: Call, item: Item) -> list[sqlite3.Row]:
    """The stored attachments of an item."""
    return call.world.db.execute(
        "SELECT id, item, tag, modified_ms, doc, content FROM exchange_attachments WHERE item = ? ORDER BY id",
        (item.row or item.master,),
    ).fetchall()


def listed(call: Call, item: Item) -> Node | None:
    """The value of ``Attachments``: what hangs on an item, without content."""
    found = [[row["tag"], _described(call, item, row)] for row in rows_of(call, item)]
    return {"c": found} if found else None


def _described(call: Call, item: Item, row: sqlite3.Row) -> Node:
    doc: Doc = orjson.loads(row["doc"])
    doc["AttachmentId"] = {"a": {"Id": str(ids.Id(call.box(item.mailbox).guid, "A", row["id"]))}, "t": ""}
    if call.since("Exchange2010"):
        doc["Size"] = str(len(row["content"]))
        doc["LastModifiedTime"] = times.stamp(row["modified_ms"])
        doc.setdefault("IsInline", "false")
        if row["tag"] == "FileAttachment":
            doc["IsContactPhoto"] = flag(truth(doc.get("IsContactPhoto")))
    if row["tag"] != "FileAttachment":
        doc.pop("IsContactPhoto", None)
    return {"c": [[name, doc[name]] for name in _SHOWN if name in doc]}


def create_attachment(call: Call) -> str:
    """``CreateAttachment``: the parent's change key changes with it."""
    parent_element, files = soap.find(call.request, "ParentItemId"), soap.find(call.request, "Attachments")
    assert parent_element is not None
    assert files is not None
    item, _ = items.find(call, parent_element)

    def one(element: etree._Element) -> str:
        row = add(call, item, local(element), node_of(element))
        root = _touched(call, item)
        identity = {"Id": str(ids.Id(call.box(item.mailbox).guid, "A", row)), **root}
        shown = render("AttachmentId", {"a": identity, "t": ""})
        tag = local(element)
        return f"<m:Attachments><t:{tag}>{shown}</t:{tag}></m:Attachments>"

    return each(call, elements(files), one)


def _touched(call: Call, item: Item) -> dict[str, str]:
    stored = store.item(call.world, item.row or item.master)
    assert stored is not None
    store.update_item(call.world, stored)
    call.happened("Modified", stored.mailbox, stored.folder, stored.row)
    identity = item_values.identity(call, stored)
    return {"RootItemId": attribute(identity, "Id"), "RootItemChangeKey": attribute(identity, "ChangeKey")}


def _row(call: Call, text_: str) -> sqlite3.Row:
    found = resolve(call, text_, "A")
    row: sqlite3.Row | None = call.world.db.execute(
        "SELECT id, item, tag, modified_ms, doc, content FROM exchange_attachments WHERE id = ?",
        (found.number,),
    ).fetchone()
    if row is None:
        raise not_found()
    return row


def get_attachment(call: Call) -> str:
    """``GetAttachment``."""
    wanted = soap.find(call.request, "AttachmentIds")

    def one(element: etree._Element) -> str:
        row = _row(call, element.get("Id", ""))
        item = store.item(call.world, row["item"])
        if item is None:
            raise not_found()
        node = _described(call, item, row)
        inner = "".join(render(name, value) for name, value in children(node))
        if row["tag"] == "FileAttachment":
            inner += f"<t:Content>{base64.b64encode(row['content']).decode()}</t:Content>"
        else:
            name, value = orjson.loads(row["content"])
            inner += render(name, value)
        return f"<m:Attachments><t:{row['tag']}>{inner}</t:{row['tag']}></m:Attachments>"

    return each(call, () if wanted is None else elements(wanted), one)


def delete_attachment(call: Call) -> str:
    """``DeleteAttachment``."""
    wanted = soap.find(call.request, "AttachmentIds")

    def one(element: etree._Element) -> str:
        row = _row(call, element.get("Id", ""))
        item = store.item(call.world, row["item"])
        if item is None:
            raise not_found()
        call.world.db.execute("DELETE FROM exchange_attachments WHERE id = ?", (row["id"],))
        root = _touched(call, item)
        return (
            f'<m:RootItemId RootItemId="{root["RootItemId"]}" RootItemChangeKey="{root["RootItemChangeKey"]}"/>'
        )

    return each(call, () if wanted is None else elements(wanted), one)


def kind_of(row: sqlite3.Row) -> str:
    """The content type of a stored file."""
    return text(orjson.loads(row["doc"]).get("ContentType")) or "application/octet-stream"


def name_of(row: sqlite3.Row) -> str:
    """The name of a stored attachment."""
    return text(orjson.loads(row["doc"]).get("Name"))


def file_of(name: str, kind: str, inline_id: str = "") -> Doc:
    """The document of a file attachment."""
    doc: Doc = {"Name": name or f"attachment-{secrets.token_hex(3)}", "ContentType": kind}
    if inline_id:
        doc["ContentId"] = inline_id
        doc["IsInline"] = "true"
    return doc


HANDLERS = {
    "CreateAttachment": create_attachment,
    "GetAttachment": get_attachment,
    "DeleteAttachment": delete_attachment,
}
