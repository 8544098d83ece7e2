"""Property values as plain data: read from XML, kept as JSON, written as XML.

A value is text, or a mapping with ``a`` (attributes), ``t`` (text) or ``c`` (children: name and value, in order). All
names are of the types namespace, whose prefix in answers is ``t``.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lxml import etree

Node = Any
"""``str`` or ``{"a": {..}, "t": str}`` or ``{"a": {..}, "c": [[name, Node], ..]}``."""

Doc = dict[str, Node]
"""Properties of an item or folder by element name. ``ExtendedProperty`` holds values by path (``paths.Extended.key``)."""

_UNFIT = [code for code in range(32) if code not in (9, 10, 13)] + [0xFFFE, 0xFFFF]


def _table() -> dict[int, str | None]:
    table: dict[int, str | None] = dict.fromkeys(_UNFIT)
    table |= {ord("&"): "&amp;", ord("<"): "&lt;", ord(">"): "&gt;", ord("\r"): "&#xD;"}
    return table


_ESCAPES = _table()
_QUOTED = _table() | {ord('"'): "&quot;", ord("\n"): "&#xA;", ord("\t"): "&#x9;"}


def escape(text: str) -> str:
    """Text as XML content; what XML cannot hold is left out."""
    return text.translate(_ESCAPES)


def quoted(text: str) -> str:
    """Text as an XML attribute's content."""
    return text.translate(_QUOTED)


def local(element: etree._Element) -> str:
    """The local name of an element."""
    tag = str(element.tag)
    return tag[tag.index("}") + 1 :] if "}" in tag else tag


def elements(parent: etree._Element) -> Iterator[etree._Element]:
    """Child elements, without comments."""
    return (child for child in parent if isinstance(child.tag, str))


def node_of(element: etree._Element) -> Node:
    """The value of an element."""
    attributes = {str(key): str(value) for key, value in element.attrib.items() if "}" not in str(key)}
    if len(element):
        node: dict[str, Any] = {"c": [[local(child), node_of(child)] for child in elements(element)]}
    elif attributes:
        node = {"t": element.text or ""}
    else:
        return element.text or ""
    if attributes:
        node["a"] = attributes
    return node


def render(name: str, node: Node) -> str:
    """An element with that value, as XML text."""
    if isinstance(node, str):
        return f"<t:{name}>{node.translate(_ESCAPES)}</t:{name}>"
    attributes = "".join(f' {key}="{value.translate(_QUOTED)}"' for key, value in node.get("a", {}).items())
    if "c" in node:
        inner = "".join([render(key, value) for key, value in node["c"]])
    else:
        inner = node.get("t", "").translate(_ESCAPES)
    return f"<t:{name}{attributes}>{inner}</t:{name}>" if inner else f"<t:{name}{attributes}/>"


def child(node: Node, *path: str) -> Node | None:
    """The first descendant along ``path``, or None."""
    for name in path:
        if not isinstance(node, dict):
            return None
        node = next((value for key, value in node.get("c", ()) if key == name), None)
    return node


def children(node: Node | None) -> list[tuple[str, Node]]:
    """Name and value of each child."""
    return [(key, value) for key, value in node.get("c", ())] if isinstance(node, dict) else []


def text(node: Node | None) -> str:
    """The text of a value; empty for None."""
    if node is None:
        return ""
    return node if isinstance(node, str) else str(node.get("t", ""))


def attribute(node: Node | None, name: str) -> str:
    """An attribute; empty where there is none."""
    return str(node.get("a", {}).get(name, "")) if isinstance(node, dict) else ""


def parent(*pairs: tuple[str, Node | None], **attributes: str) -> Node:
    """A value of children; those that are None are left out."""
    node: dict[str, Any] = {"c": [[name, value] for name, value in pairs if value is not None]}
    if attributes:
        node["a"] = attributes
    return node


def flag(value: bool) -> str:
    """A boolean as EWS writes it."""
    return "true" if value else "false"


def truth(node: Node | None) -> bool:
    """Whether a boolean value is true."""
    return text(node).strip() in ("true", "1")


def entries(node: Node | None) -> dict[str, Node]:
    """The entries of a dictionary property (``EmailAddresses``) by key."""
    return {attribute(value, "Key"): value for _, value in children(node)}
