"""The operations on folders: get, find, create, change, move, delete, empty."""

from __future__ import annotations

from lxml import etree

from engine.sandbox.exchange import moves, paths, search, soap, store
from engine.sandbox.exchange.call import Call, each
from engine.sandbox.exchange.errors import EwsError, not_found
from engine.sandbox.exchange.folders import below, extended_value, find, show, target, value
from engine.sandbox.exchange.nodes import Doc, Node, elements, local, node_of, text
from engine.sandbox.exchange.paths import Extended, Field
from engine.sandbox.exchange.shapes import Shape, read_extended, read_shape
from engine.sandbox.exchange.store import Folder

_CLASSES = {
    "CalendarFolder": "IPF.Appointment",
    "ContactsFolder": "IPF.Contact",
    "TasksFolder": "IPF.Task",
    "SearchFolder": "IPF.Note",
    "Folder": "IPF.Note",
}
_BY_CLASS = {"IPF.Appointment": "CalendarFolder", "IPF.Contact": "ContactsFolder", "IPF.Task": "TasksFolder"}


def get_folder(call: Call) -> str:
    """``GetFolder``."""
    shape = read_shape(soap.find(call.request, "FolderShape"))

    def one(element: etree._Element) -> str:
        return f"<m:Folders>{show(call, find(call, element), shape)}</m:Folders>"

    return each(call, elements(_part(call, "FolderIds")), one)


def find_folder(call: Call) -> str:
    """``FindFolder``: shallow or deep, with restriction and pages."""
    shape = read_shape(soap.find(call.request, "FolderShape"))
    deep = call.request.get("Traversal") == "Deep"
    restriction = soap.find(call.request, "Restriction")
    if call.request.get("Traversal") == "SoftDeleted":
        raise_unless = EwsError("ErrorInvalidOperation", "SoftDeleted traversal of folders is not served.")
        return soap.answer("FindFolder", [soap.failure("FindFolder", raise_unless)])

    def one(element: etree._Element) -> str:
        folder = find(call, element)
        found = [one for one in below(call, folder) if deep or one.parent == folder.row]
        if restriction is not None:
            matches = search.compile_restriction(restriction, call.zone)
            found = [one for one in found if matches(_Seen(call, one))]
        view = soap.find(call.request, "IndexedPageFolderView")
        page, attributes = search.page(found, view, soap.find(call.request, "FractionalPageFolderView"))
        inner = "".join(show(call, folder, shape) for folder in page)
        return f"<m:RootFolder {attributes}><t:Folders>{inner}</t:Folders></m:RootFolder>"

    return each(call, elements(_part(call, "ParentFolderIds")), one)


class _Seen:
    """A folder as a restriction sees it."""

    def __init__(self, call: Call, folder: Folder) -> None:
        self._call, self._folder = call, folder

    def value(self, path: paths.Path) -> Node | list[str] | None:
        """The value at a path."""
        if isinstance(path, Extended):
            return extended_value(self._call, self._folder, path)
        return value(self._call, self._folder, path.name)


def create_folder(call: Call) -> str:
    """``CreateFolder``."""
    above = target(call, _part(call, "ParentFolderId"))

    def one(element: etree._Element) -> str:
        tag, doc = local(element), _doc(element)
        name = text(doc.pop("DisplayName", "")).strip()
        if not name:
            raise EwsError("ErrorFolderSaveFailed", "The folder save operation failed: DisplayName is missing.")
        kind = text(doc.pop("FolderClass", "")) or _CLASSES[tag]
        base = ".".join(kind.split(".")[:2])
        if tag == "Folder" and base in _BY_CLASS:
            tag = _BY_CLASS[base]
        elif not kind.startswith(_CLASSES[tag]) and tag != "Folder":
            raise EwsError("ErrorNoFolderClassOverride", "Folder class cannot be overridden.")
        check_name(call, above, name)
        folder = store.insert_folder(call.world, above.mailbox, above.row, name, tag, kind, doc=doc)
        call.happened("Created", above.mailbox, above.row, folder.row, folder_event=True)
        return f"<m:Folders>{show(call, folder, Shape('IdOnly'))}</m:Folders>"

    try:
        return each(call, elements(_part(call, "Folders")), one)
    except EwsError as error:  # of the parent
        return soap.answer("CreateFolder", [soap.failure("CreateFolder", error)])


def _doc(element: etree._Element) -> Doc:
    doc: Doc = {}
    for child in elements(element):
        if local(child) == "ExtendedProperty":
            path, found = read_extended(child)
            doc.setdefault("ExtendedProperty", {})[path.key] = found
        else:
            doc[local(child)] = node_of(child)
    for name in (
        "FolderId",
        "ParentFolderId",
        "TotalCount",
        "ChildFolderCount",
        "UnreadCount",
        "EffectiveRights",
    ):
        doc.pop(name, None)
    return doc


def check_name(call: Call, above: Folder, name: str, but: int = 0) -> None:
    """Refuse a second folder of that name (any case) beside others.

    Raises:
        EwsError: ``ErrorFolderExists``.
    """
    for one in store.folders_of(call.world, above.mailbox):
        if one.parent == above.row and one.name.casefold() == name.casefold() and one.row != but:
            raise EwsError("ErrorFolderExists", "A folder with the specified name already exists.")


def update_folder(call: Call) -> str:
    """``UpdateFolder``."""

    def one(change: etree._Element) -> str:
        parts = list(elements(change))
        folder = find(call, parts[0])
        for update in elements(parts[1]):
            _apply(call, folder, update)
        store.update_folder(call.world, folder)
        call.happened("Modified", folder.mailbox, folder.parent, folder.row, folder_event=True)
        return f"<m:Folders>{show(call, folder, Shape('IdOnly'))}</m:Folders>"

    return each(call, elements(_part(call, "FolderChanges")), one)


def _apply(call: Call, folder: Folder, update: etree._Element) -> None:
    parts = list(elements(update))
    path = paths.read(parts[0])
    if local(update) == "DeleteFolderField":
        if isinstance(path, Extended):
            folder.doc.get("ExtendedProperty", {}).pop(path.key, None)
            return
        if isinstance(path, Field) and path.name == "PermissionSet":
            folder.doc.pop("PermissionSet", None)
            return
        raise EwsError("ErrorInvalidPropertyDelete", "The property cannot be deleted.")
    if local(update) == "AppendToFolderField":
        raise EwsError("ErrorInvalidPropertyAppend", "Append is not supported for the property.")
    values = list(elements(parts[1]))
    if len(values) != 1:
        raise EwsError(
            "ErrorIncorrectUpdatePropertyCount", "An object within a change description must have one property."
        )
    if isinstance(path, Extended):
        named, found = read_extended(values[0])
        if named.key != path.key:
            raise EwsError("ErrorUpdatePropertyMismatch", "The property of the change is not that of its path.")
        folder.doc.setdefault("ExtendedProperty", {})[path.key] = found
    elif isinstance(path, Field) and path.name == "DisplayName":
        if folder.special:
            raise EwsError("ErrorAccessDenied", "Distinguished folders cannot be renamed.")
        name = (values[0].text or "").strip()
        above = store.folder(call.world, folder.parent)
        if above is not None:
            check_name(call, above, name, folder.row)
        folder.name = name
    elif isinstance(path, Field) and path.name in ("PermissionSet", "FolderClass"):
        if path.name == "FolderClass":
            folder.kind = values[0].text or folder.kind
        else:
            folder.doc["PermissionSet"] = node_of(values[0])
    else:
        raise EwsError("ErrorInvalidPropertySet", "Set action is invalid for property.")


def delete_folder(call: Call) -> str:
    """``DeleteFolder``: for ever, or into the deleted items."""
    kind = call.request.get("DeleteType", "")

    def one(element: etree._Element) -> str:
        folder = find(call, element)
        if folder.special:
            raise EwsError("ErrorDeleteDistinguishedFolder", "Distinguished folders cannot be deleted.")
        remove(call, folder, kind)
        return ""

    return each(call, elements(_part(call, "FolderIds")), one)


def remove(call: Call, folder: Folder, kind: str) -> None:
    """Delete a folder with all below it as ``kind`` (``HardDelete``, ``SoftDelete``, ``MoveToDeletedItems``) says."""
    bin_ = store.special_folder(call.world, folder.mailbox, "deleteditems")
    above = folder.parent
    if kind == "MoveToDeletedItems" and bin_ is not None and folder.parent != bin_.row:
        base, number = folder.name, 1
        taken = {
            one.name.casefold()
            for one in store.folders_of(call.world, folder.mailbox)
            if one.parent == bin_.row
        }
        while folder.name.casefold() in taken:
            number += 1
            folder.name = f"{base}{number}"
        folder.parent = bin_.row
        store.update_folder(call.world, folder)
        call.happened("Moved", folder.mailbox, bin_.row, folder.row, folder_event=True, old=(above, folder.row))
        return
    for one in reversed(list(below(call, folder))):
        store.delete_folder(call.world, one)
    store.delete_folder(call.world, folder)
    call.happened("Deleted", folder.mailbox, above, folder.row, folder_event=True)


def move_folder(call: Call) -> str:
    """``MoveFolder``."""

    def one(element: etree._Element) -> str:
        folder, to = find(call, element), target(call, _part(call, "ToFolderId"))
        if folder.special:
            raise EwsError("ErrorMoveDistinguishedFolder", "Distinguished folders cannot be moved.")
        if to.mailbox != folder.mailbox:
            raise EwsError("ErrorCrossMailboxMoveCopy", "Folders cannot be moved to another mailbox.")
        if to.row == folder.row or any(one.row == to.row for one in below(call, folder)):
            raise EwsError("ErrorMoveCopyFailed", "A folder cannot be moved into itself.")
        check_name(call, to, folder.name, folder.row)
        above, folder.parent = folder.parent, to.row
        store.update_folder(call.world, folder)
        call.happened("Moved", folder.mailbox, to.row, folder.row, folder_event=True, old=(above, folder.row))
        return f"<m:Folders>{show(call, folder, Shape('IdOnly'))}</m:Folders>"

    return each(call, elements(_part(call, "FolderIds")), one)


def empty_folder(call: Call) -> str:
    """``EmptyFolder``."""
    kind = call.request.get("DeleteType", "")

    def one(element: etree._Element) -> str:
        folder = find(call, element)
        if folder.tag == "CalendarFolder":
            raise EwsError("ErrorCannotEmptyFolder", "Calendar folders cannot be emptied.")
        bin_ = store.special_folder(call.world, folder.mailbox, "deleteditems")
        if call.request.get("DeleteSubFolders") in ("true", "1"):
            for sub in [one for one in below(call, folder) if one.parent == folder.row]:
                remove(call, sub, kind)
        for item in store.items_in(call.world, folder.row):
            if kind == "MoveToDeletedItems" and bin_ is not None and folder.row != bin_.row:
                moves.move(call, item, bin_)
            else:
                store.delete_item(call.world, item)
                call.happened("Deleted", folder.mailbox, folder.row, item.row)
        return ""

    return each(call, elements(_part(call, "FolderIds")), one)


def _part(call: Call, name: str) -> etree._Element:
    found = soap.find(call.request, name)
    if found is None:
        raise not_found()
    return found


HANDLERS = {
    "GetFolder": get_folder,
    "FindFolder": find_folder,
    "CreateFolder": create_folder,
    "UpdateFolder": update_folder,
    "DeleteFolder": delete_folder,
    "MoveFolder": move_folder,
    "EmptyFolder": empty_folder,
}
