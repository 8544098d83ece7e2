"""Folders: which one a request means, and how it is shown."""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from engine.sandbox.exchange import grammar, ids, soap, store, times
from engine.sandbox.exchange.call import Call, mailbox_of, resolve
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import Node, elements, flag, local, render, text
from engine.sandbox.exchange.paths import Extended
from engine.sandbox.exchange.shapes import Shape, effective_rights, extended_values
from engine.sandbox.exchange.store import Folder

_DEFAULT = ("FolderId", "DisplayName", "TotalCount", "ChildFolderCount", "UnreadCount")
_TAGS = {
    0x3001: "DisplayName",
    0x3613: "FolderClass",
    0x3602: "TotalCount",
    0x3603: "UnreadCount",
}
"""MAPI properties of folders that are shown as elements, too ([MS-OXCFOLD])."""


# -- which folder ----------------------------------------------------------------------------------------


def find(call: Call, element: etree._Element) -> Folder:
    """The folder that a ``FolderId`` or ``DistinguishedFolderId`` element names.

    Raises:
        EwsError: unknown, or no right to it.
    """
    if local(element) == "DistinguishedFolderId":
        return _distinguished(call, element.get("Id", ""), soap.text_at(element, "Mailbox", "EmailAddress"))
    if local(element) == "AddressListId":
        raise EwsError("ErrorInvalidOperation", "Address lists cannot be used here.")
    found = ids.parse(element.get("Id", ""))
    if found.kind != "F":
        raise EwsError("ErrorCannotUseItemIdForFolderId", "Item id cannot be used in place of a folder id.")
    resolve(call, element.get("Id", ""), "F")
    folder = store.folder(call.world, found.number)
    if folder is None:
        raise EwsError("ErrorFolderNotFound", "The specified folder could not be found in the store.")
    key = element.get("ChangeKey")
    if key:
        ids.change_seq(key)
    return folder


def _distinguished(call: Call, name: str, owner: str | None) -> Folder:
    mailbox = mailbox_of(call, owner)
    if name == "publicfoldersroot":
        raise EwsError("ErrorNoPublicFolderReplicaAvailable", "No public folder replica is available.")
    call.guids[mailbox.row] = mailbox
    folder = store.special_folder(call.world, mailbox.row, name)
    if folder is None:
        raise EwsError("ErrorFolderNotFound", "The specified folder could not be found in the store.")
    return folder


def target(call: Call, holder: etree._Element) -> Folder:
    """The one folder that an element such as ``ParentFolderId`` holds.

    Raises:
        EwsError: unknown, or no right to it.
    """
    return find(call, next(elements(holder)))


def below(call: Call, folder: Folder) -> Iterator[Folder]:
    """All folders under one, parents first."""
    known: dict[int, list[Folder]] = {}
    for one in store.folders_of(call.world, folder.mailbox):
        known.setdefault(one.parent, []).append(one)
    waiting = list(known.get(folder.row, ()))
    while waiting:
        one = waiting.pop(0)
        yield one
        waiting = known.get(one.row, []) + waiting


# -- how it is shown -------------------------------------------------------------------------------------


def folder_id(call: Call, row: int, mailbox: int, seq: int | None = None) -> Node:
    """The value of ``FolderId``, with a change key where ``seq`` is given."""
    attributes = {"Id": str(ids.Id(call.box(mailbox).guid, "F", row))}
    if seq is not None:
        attributes["ChangeKey"] = ids.change_key("Folder", seq)
    return {"a": attributes, "t": ""}


def value(call: Call, folder: Folder, name: str) -> Node | None:
    """One property of a folder by element name; None where it has none."""
    if name == "FolderId":
        return folder_id(call, folder.row, folder.mailbox, folder.seq)
    if name == "ParentFolderId":
        if folder.parent:
            above = store.folder(call.world, folder.parent)
            return folder_id(call, folder.parent, folder.mailbox, above.seq if above else None)
        return folder_id(call, folder.row, folder.mailbox, folder.seq)
    if name == "FolderClass":
        return folder.kind or None
    if name == "DisplayName":
        return folder.name
    if name == "TotalCount":
        return str(
            _count(call, "SELECT COUNT(*) FROM exchange_items WHERE folder = ? AND master = 0", folder.row)
        )
    if name == "ChildFolderCount":
        return str(_count(call, "SELECT COUNT(*) FROM exchange_folders WHERE parent = ?", folder.row))
    if name == "UnreadCount":
        unread = "SELECT COUNT(*) FROM exchange_items WHERE folder = ? AND master = 0 AND tag LIKE 'M%'"
        unread += " AND json_extract(CAST(doc AS TEXT), '$.IsRead') = 'false'"
        return str(_count(call, unread, folder.row))
    if name == "EffectiveRights":
        return effective_rights()
    if name == "DistinguishedFolderId" and folder.special and call.since("Exchange2013"):
        return folder.special
    found: Node | None = folder.doc.get(name)
    return found


def _count(call: Call, statement: str, row: int) -> int:
    return int(call.world.db.execute(statement, (row,)).fetchone()[0])


def show(call: Call, folder: Folder, shape: Shape) -> str:
    """A folder as XML."""
    kind = f"t:{folder.tag}Type"
    order = grammar.order(kind)
    if shape.base == "IdOnly":
        wanted = {"FolderId"}
    elif shape.base == "Default":
        wanted = set(_DEFAULT)
    else:
        wanted = set(order) - {"PermissionSet", "ManagedFolderInformation", "ReplicaList"}
    wanted |= shape.names
    parts = []
    for name in order:
        if name == "ExtendedProperty":
            parts.extend(extended_values(shape.extended, lambda path: extended_value(call, folder, path)))
        elif name in wanted:
            found = value(call, folder, name)
            if found is not None:
                parts.append(render(name, found))
    return f"<t:{folder.tag}>{''.join(parts)}</t:{folder.tag}>"


def extended_value(call: Call, folder: Folder, path: Extended) -> str | list[str] | None:
    """An extended property of a folder, stored or of those that mirror an element."""
    found: str | list[str] | None = folder.doc.get("ExtendedProperty", {}).get(path.key)
    if found is not None:
        return found
    tag, _, kind = path.key.partition("/")
    if not tag.startswith("0x"):
        return None
    number = int(tag, 16)
    if number in _TAGS:
        return text(value(call, folder, _TAGS[number])) or None
    if number == 0x360A and kind == "Boolean":  # PR_SUBFOLDERS
        return flag(text(value(call, folder, "ChildFolderCount")) != "0")
    if number == 0x10F4 and kind == "Boolean":  # PR_ATTR_HIDDEN
        return "false"
    if number == 0x3601 and kind == "Integer":  # PR_FOLDER_TYPE
        return "0" if folder.special == "root" else "1"
    if number == 0x670A and kind == "SystemTime":  # PidTagLocalCommitTimeMax ([MS-OXCFOLD] 2.2.2.2.1.14)
        if not call.world.settings.get("exchange_commit_times", True):
            return None
        row = call.world.db.execute(
            "SELECT MAX(modified_ms) FROM exchange_items WHERE folder = ?", (folder.row,)
        ).fetchone()
        return times.stamp(int(row[0] or 0))
    return None
