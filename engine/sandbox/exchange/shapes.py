"""Response shapes: which properties an answer holds, in the order of the schema."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from lxml import etree

from engine.sandbox.exchange import paths, soap
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Node, elements, escape, local, parent
from engine.sandbox.exchange.paths import Extended, Field, Indexed

Value = str | list[str]


@dataclass(slots=True)
class Shape:
    """What to show.

    Attributes:
        base: ``IdOnly``, ``Default`` or ``AllProperties``.
        names: element names of further properties.
        indexed: entries of dictionary properties.
        extended: extended properties.
        mime: whether the MIME content is wanted.
        body: ``Best``, ``HTML`` or ``Text``.
        families: field URI prefixes among the further properties, to refuse what a folder cannot hold.
    """

    base: str
    names: set[str] = field(default_factory=set)
    indexed: list[Indexed] = field(default_factory=list)
    extended: list[Extended] = field(default_factory=list)
    mime: bool = False
    body: str = "Best"


def read_shape(element: etree._Element | None) -> Shape:
    """The shape that an ``ItemShape`` or ``FolderShape`` element describes.

    Raises:
        EwsError: a bad extended path.
    """
    if element is None:
        return Shape("AllProperties")
    shape = Shape(soap.text_at(element, "BaseShape") or "Default")
    shape.mime = soap.text_at(element, "IncludeMimeContent") in ("true", "1")
    shape.body = soap.text_at(element, "BodyType") or "Best"
    more = soap.find(element, "AdditionalProperties")
    for one in () if more is None else elements(more):
        path = paths.read(one)
        if isinstance(path, Field):
            if path.name == "MimeContent":
                shape.mime = True
            else:
                shape.names.add(path.name)
        elif isinstance(path, Indexed):
            shape.indexed.append(path)
        else:
            shape.extended.append(path)
    return shape


def effective_rights() -> Node:
    """All rights: nobody sees a mailbox here who may not do everything in it."""
    names = (
        "CreateAssociated",
        "CreateContents",
        "CreateHierarchy",
        "Delete",
        "Modify",
        "Read",
        "ViewPrivateItems",
    )
    return parent(*[(name, "true") for name in names])


def extended_values(wanted: Iterable[Extended], value: Callable[[Extended], Value | None]) -> list[str]:
    """``ExtendedProperty`` elements of those wanted properties that are there."""
    shown = []
    for path in wanted:
        found = value(path)
        if found is None:
            continue
        if isinstance(found, list):
            inner = "".join(f"<t:Value>{escape(one)}</t:Value>" for one in found)
            inner = f"<t:Values>{inner}</t:Values>"
        else:
            inner = f"<t:Value>{escape(found)}</t:Value>"
        shown.append(f"<t:ExtendedProperty>{path.shown}{inner}</t:ExtendedProperty>")
    return shown


def read_extended(element: etree._Element) -> tuple[Extended, Value]:
    """Path and value of an ``ExtendedProperty`` element, in normal form.

    Raises:
        EwsError: a bad path, or a value that is not of the property's type.
    """
    parts = list(elements(element))
    path = paths.extended(parts[0])
    many = path.kind.endswith("Array")
    if len(parts) < 2 or (local(parts[1]) == "Values") != many:
        raise EwsError(
            "ErrorInvalidExtendedPropertyValue", "The extended property value does not fit the property's type."
        )
    if many:
        return path, [_normal(path.kind.removesuffix("Array"), one.text or "") for one in elements(parts[1])]
    return path, _normal(path.kind, parts[1].text or "")


def _normal(kind: str, value: str) -> str:
    from engine.sandbox.exchange.times import normal

    try:
        if kind in ("Integer", "Long", "Short"):
            return str(int(value))
        if kind == "Boolean":
            if value.strip().lower() not in ("true", "false", "1", "0"):
                raise ValueError(value)
            return "true" if value.strip().lower() in ("true", "1") else "false"
        if kind == "SystemTime":
            return normal(value)
        if kind in ("Double", "Float", "Currency", "ApplicationTime"):
            return repr(float(value)) if not float(value).is_integer() else str(int(float(value)))
        if kind == "Binary":
            return base64.b64encode(base64.b64decode(value, validate=True)).decode()
        if kind == "CLSID":
            return value.strip("{}").lower()
    except (ValueError, binascii.Error):
        raise EwsError(
            "ErrorInvalidExtendedPropertyValue", f"The value {value[:80]!r} is not of the property type {kind}."
        ) from None
    return value
