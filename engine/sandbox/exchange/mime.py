"""MIME content in and out."""

from __future__ import annotations

import base64

from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.nodes import Doc, Node, text
from engine.sandbox.exchange.store import Item
from engine.sandbox.exchange.views import View


def take(tag: str, doc: Doc, raw: Node) -> bytes:
    """Fill a document from MIME content."""
    return base64.b64decode(text(raw))


def take_files(call: Call, item: Item, content: bytes) -> None:
    """Attachments of MIME content."""


def content(view: View) -> Node | None:
    """The MIME content of an item."""
    return (
        {"a": {"CharacterSet": "UTF-8"}, "t": base64.b64encode(view.item.mime).decode()}
        if view.item.mime
        else None
    )
