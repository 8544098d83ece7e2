"""Our own properties on items, and what of an item is asked for."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from engine.mailbox.exchange.xml import T, element, field, leaf, text_of, time_of

#: The property set of Syncline; nobody else's.
GUID = "7f1c9a4e-52d0-4a6b-9e37-c0d1a8b64f25"

#: The idempotency key (``Write.key``) that a create leaves on its item.
KEY = "CrmKey"

#: The module that the item mirrors.
KIND = "CrmKind"

#: PidTagDisplayNamePrefix: the title before a name; EWS has no own property that can be written.
PREFIX_TAG = "0x3A45"


def own(name: str) -> str:
    """The path of a property of ours."""
    return element("t:ExtendedFieldURI", PropertySetId=GUID, PropertyName=name, PropertyType="String")


def tagged(tag: str, kind: str = "String") -> str:
    """The path of a MAPI property by its tag."""
    return element("t:ExtendedFieldURI", PropertyTag=tag, PropertyType=kind)


def extended(path: str, value: str) -> str:
    """An extended property with its value."""
    return element("t:ExtendedProperty", path + leaf("t:Value", value))


def marks(key: str, kind: str) -> str:
    """Our key and module, for a new item."""
    return extended(own(KEY), key) + extended(own(KIND), kind)


def extended_of(node: Any) -> dict[str, str]:
    """Values of extended properties: ours by name, others by tag (``0x3A45``)."""
    found = {}
    for one in node.findall(f"{T}ExtendedProperty"):
        path = one.find(f"{T}ExtendedFieldURI")
        if path is None:
            continue
        if (path.get("PropertySetId") or "").lower() == GUID:
            found[str(path.get("PropertyName"))] = text_of(one, "Value")
        elif path.get("PropertyTag"):
            found[f"0x{int(path.get('PropertyTag'), 16):04X}"] = text_of(one, "Value")
    return found


def shape(uris: Sequence[str], extra: Sequence[str] = (), *, body: bool = True) -> str:
    """``m:ItemShape`` with ids and what is named. Bodies are asked for as plain text."""
    paths = "".join(field(uri) for uri in uris) + own(KEY) + own(KIND) + "".join(extra)
    return element(
        "m:ItemShape",
        leaf("t:BaseShape", "IdOnly")
        + (leaf("t:BodyType", "Text") if body else "")
        + element("t:AdditionalProperties", paths),
    )


#: Ids and versions, nothing else.
IDS_ONLY = element("m:ItemShape", leaf("t:BaseShape", "IdOnly"))


def id_of(node: Any) -> tuple[str, str]:
    """Id and change key of an item or folder."""
    for name in ("ItemId", "FolderId"):
        found = node.find(T + name)
        if found is not None:
            return str(found.get("Id")), str(found.get("ChangeKey") or "")
    return "", ""


def modified_of(node: Any) -> int | None:
    """Exchange's time of the last change, epoch milliseconds."""
    at: datetime | None = time_of(text_of(node, "LastModifiedTime"))
    return None if at is None else int(at.timestamp() * 1000)


def categories_of(node: Any) -> tuple[str, ...]:
    """Names of an item's categories."""
    found = node.find(f"{T}Categories")
    return () if found is None else tuple(str(one.text) for one in found if one.text)


def container(name: str) -> str:
    """The container id of a category."""
    return f"category:{name}"


def named(containers: Sequence[str]) -> list[str]:
    """The categories among container ids."""
    return [one.removeprefix("category:") for one in containers if one.startswith("category:")]
