"""User configuration objects: named documents hidden in a folder, such as ``CategoryList`` in the calendar.

Source: Microsoft's pages "GetUserConfiguration operation" and its siblings; an object of a name exists once in a folder, and
an update changes the parts that it names and leaves the others.
"""

from __future__ import annotations

import json
from typing import Any

from lxml import etree

from engine.sandbox.exchange import soap, store, zones
from engine.sandbox.exchange.call import Call, each, mailbox_of
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.folders import target
from engine.sandbox.exchange.nodes import children, elements, local, node_of, quoted, render, text
from engine.sandbox.kit.world import World

#: What every mailbox has without having been made: Outlook on the web's options.
_OPTIONS = "OWA.UserOptions"

_PARTS = ("Dictionary", "XmlData", "BinaryData")
_TABLE = """
CREATE TABLE IF NOT EXISTS exchange_configurations (
    folder INTEGER NOT NULL, name TEXT NOT NULL, parts TEXT NOT NULL, PRIMARY KEY (folder, name));
"""


def setup(world: World) -> None:
    """Create the table."""
    store.run_script(world, _TABLE)


def _stored(call: Call, folder: int, name: str) -> dict[str, Any] | None:
    found = "SELECT parts FROM exchange_configurations WHERE folder = ? AND name = ?"
    row = call.world.db.execute(found, (folder, name)).fetchone()
    return None if row is None else dict(json.loads(row[0]))


def _keep(call: Call, folder: int, name: str, parts: dict[str, Any]) -> None:
    row = (folder, name, json.dumps(parts))
    call.world.db.execute("INSERT OR REPLACE INTO exchange_configurations VALUES (?, ?, ?)", row)


def _missing() -> EwsError:
    return EwsError("ErrorItemNotFound", "The specified object was not found in the store.")


def get_user_configuration(call: Call) -> str:
    """``GetUserConfiguration``."""
    holder = soap.find(call.request, "UserConfigurationName")
    asked = soap.find(call.request, "UserConfigurationProperties")
    wanted = set((asked.text or "").split()) if asked is not None else set()

    def one(element: etree._Element) -> str:
        name = str(element.get("Name"))
        if name == _OPTIONS:
            parts = _options(call)
        else:
            found = _stored(call, target(call, element).row, name)
            if found is None:
                raise _missing()
            parts = found
        inner = "".join(
            render(part, parts[part]) for part in _PARTS if part in parts and wanted & {part, "All"}
        )
        return f"<m:UserConfiguration>{_named(element, name)}{inner}</m:UserConfiguration>"

    return each(call, [] if holder is None else [holder], one)


def _named(element: etree._Element, name: str) -> str:
    folder = next(elements(element))
    return (
        f'<t:UserConfigurationName Name="{quoted(name)}"><t:{local(folder)} Id="{quoted(folder.get("Id", ""))}"/>'
        "</t:UserConfigurationName>"
    )


def _options(call: Call) -> dict[str, Any]:
    mailbox = mailbox_of(call, None)
    options = {"timezone": zones.windows_id(mailbox.zone), "hourincrement": "30"}
    return {"Dictionary": {"c": [["DictionaryEntry", _entry(key, value)] for key, value in options.items()]}}


def _entry(key: str, value: str) -> dict[str, Any]:
    pair = (("DictionaryKey", key), ("DictionaryValue", value))
    return {"c": [[name, {"c": [["Type", "String"], ["Value", content]]}] for name, content in pair]}


def create_user_configuration(call: Call) -> str:
    """``CreateUserConfiguration``: refused where one of that name is."""

    def one(element: etree._Element) -> str:
        folder, name, parts = _read(call, element)
        if _stored(call, folder, name) is not None:
            raise EwsError("ErrorItemSave", "A user configuration object of that name exists in the folder.")
        _keep(call, folder, name, parts)
        return ""

    return each(call, _given(call), one)


def update_user_configuration(call: Call) -> str:
    """``UpdateUserConfiguration``: the parts that are named."""

    def one(element: etree._Element) -> str:
        folder, name, parts = _read(call, element)
        before = _stored(call, folder, name)
        if before is None:
            raise _missing()
        _keep(call, folder, name, {**before, **parts})
        return ""

    return each(call, _given(call), one)


def delete_user_configuration(call: Call) -> str:
    """``DeleteUserConfiguration``."""
    holder = soap.find(call.request, "UserConfigurationName")

    def one(element: etree._Element) -> str:
        gone = call.world.db.execute(
            "DELETE FROM exchange_configurations WHERE folder = ? AND name = ?",
            (target(call, element).row, str(element.get("Name"))),
        )
        if not gone.rowcount:
            raise _missing()
        return ""

    return each(call, [] if holder is None else [holder], one)


def _given(call: Call) -> list[etree._Element]:
    holder = soap.find(call.request, "UserConfiguration")
    return [] if holder is None else [holder]


def _read(call: Call, element: etree._Element) -> tuple[int, str, dict[str, Any]]:
    holder = next(one for one in elements(element) if local(one) == "UserConfigurationName")
    parts: dict[str, Any] = {}
    for name, node in children(node_of(element)):
        if name == "Dictionary":
            parts[name] = node or {"c": []}
        elif name in _PARTS:
            parts[name] = "".join(text(node).split())
    return target(call, holder).row, str(holder.get("Name")), parts


HANDLERS = {
    "GetUserConfiguration": get_user_configuration,
    "CreateUserConfiguration": create_user_configuration,
    "UpdateUserConfiguration": update_user_configuration,
    "DeleteUserConfiguration": delete_user_configuration,
}
