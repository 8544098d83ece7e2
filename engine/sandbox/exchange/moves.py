"""DeleteItem, MoveItem, CopyItem and MarkAllItemsAsRead."""

from __future__ import annotations

import copy
from dataclasses import replace

from lxml import etree

from engine.sandbox.exchange import calendar, documents, folders, items, meetings, soap, store
from engine.sandbox.exchange.call import Call, each
from engine.sandbox.exchange.errors import EwsError, SoapFault
from engine.sandbox.exchange.item_values import MAIL_TAGS
from engine.sandbox.exchange.nodes import elements
from engine.sandbox.exchange.shapes import Shape
from engine.sandbox.exchange.store import Folder, Item
from engine.sandbox.exchange.views import View


def delete_item(call: Call) -> str:
    """``DeleteItem``: for ever, into the dumpster, or into the deleted items; occurrences leave their series.

    Raises:
        SoapFault: calendar items without ``SendMeetingCancellations``, tasks without ``AffectedTaskOccurrences``.
    """
    wanted = soap.find(call.request, "ItemIds")
    parts = [] if wanted is None else list(elements(wanted))
    for part in parts:
        _check_dispositions(call, part)
    kind = call.request.get("DeleteType", "HardDelete")

    def one(element: etree._Element) -> str:
        item, key = items.find(call, element)
        if key:
            from engine.sandbox.exchange.ids import change_seq

            change_seq(key)
        if item.tag == "CalendarItem":
            meetings.cancel(call, item, call.request.get("SendMeetingCancellations", "SendToNone"))
        remove(call, item, kind)
        return ""

    return each(call, parts, one)


def _check_dispositions(call: Call, element: etree._Element) -> None:
    try:
        item, _ = items.find(call, element)
    except EwsError:
        return
    if item.tag == "CalendarItem" and call.request.get("SendMeetingCancellations") is None:
        raise SoapFault(
            "ErrorSendMeetingCancellationsRequired",
            "SendMeetingCancellations attribute is required for calendar items.",
        )
    if item.tag == "Task" and call.request.get("AffectedTaskOccurrences") is None:
        raise SoapFault(
            "ErrorAffectedTaskOccurrencesRequired",
            "AffectedTaskOccurrences attribute is required for task items.",
        )


def remove(call: Call, item: Item, kind: str) -> None:
    """Delete an item as ``kind`` says: ``HardDelete``, ``SoftDelete`` or ``MoveToDeletedItems``."""
    if item.master:
        master = store.item(call.world, item.master)
        assert master is not None
        calendar.delete_occurrence(call.world, master, item.original)
        call.happened("Modified", item.mailbox, item.folder, item.master)
        return
    special = {"MoveToDeletedItems": "deleteditems", "SoftDelete": "recoverableitemsdeletions"}.get(kind, "")
    to = store.special_folder(call.world, item.mailbox, special) if special else None
    if to is None or to.row == item.folder:
        store.delete_item(call.world, item)
        call.happened("Deleted", item.mailbox, item.folder, item.row)
        return
    move(call, item, to)


def move(call: Call, item: Item, to: Folder) -> Item:
    """Move an item: it gets another id, its place keeps a tombstone; returns it as it is now."""
    made = _duplicate(call, item, to)
    store.delete_item(call.world, item)
    call.happened("Moved", to.mailbox, to.row, made.row, old=(item.folder, item.row))
    return made


def _duplicate(call: Call, item: Item, to: Folder) -> Item:
    made = replace(item, row=0, mailbox=to.mailbox, folder=to.row, doc=copy.deepcopy(item.doc))
    store.insert_item(call.world, made)
    call.world.db.execute(
        "INSERT INTO exchange_attachments (item, tag, modified_ms, doc, content)"
        " SELECT ?, tag, modified_ms, doc, content FROM exchange_attachments WHERE item = ? ORDER BY id",
        (made.row, item.row),
    )
    for changed in store.changed_occurrences(call.world, item.row):
        twin = replace(changed, row=0, mailbox=to.mailbox, folder=to.row, master=made.row)
        store.insert_item(call.world, twin)
    return made


def move_item(call: Call) -> str:
    """``MoveItem``."""
    return _transfer(call, keep=False)


def copy_item(call: Call) -> str:
    """``CopyItem``."""
    return _transfer(call, keep=True)


def _transfer(call: Call, keep: bool) -> str:
    wanted = soap.find(call.request, "ItemIds")
    holder = soap.find(call.request, "ToFolderId")

    def one(element: etree._Element) -> str:
        assert holder is not None
        try:
            to = folders.target(call, holder)
        except EwsError as error:
            if error.code == "ErrorFolderNotFound":
                raise EwsError("ErrorToFolderNotFound", error.message) from None
            raise
        item, _ = items.find(call, element)
        if item.master:
            raise EwsError("ErrorCalendarCannotMoveOrCopyOccurrence", "Occurrences cannot be moved or copied.")
        kind = documents.ALLOWED_FOLDERS.get(item.tag)
        if (
            kind is not None
            and to.tag in ("CalendarFolder", "ContactsFolder", "TasksFolder")
            and to.tag != kind[0]
        ):
            raise EwsError("ErrorMoveCopyFailed", f"{item.tag} items cannot be put into a {to.tag}.")
        if keep:
            made = _duplicate(call, item, to)
            call.happened("Copied", to.mailbox, to.row, made.row, old=(item.folder, item.row))
        else:
            made = item if to.row == item.folder else move(call, item, to)
        if call.request.find("{*}ReturnNewItemIds") is not None and not _wants_ids(call):
            return "<m:Items/>"
        if to.mailbox != item.mailbox:
            return "<m:Items/>"
        return f"<m:Items>{View(call, made).show(Shape('IdOnly'))}</m:Items>"

    return each(call, () if wanted is None else elements(wanted), one)


def _wants_ids(call: Call) -> bool:
    return soap.text_at(call.request, "ReturnNewItemIds") in ("true", "1")


def mark_all_items_as_read(call: Call) -> str:
    """``MarkAllItemsAsRead``."""
    wanted = soap.find(call.request, "FolderIds")
    state = "true" if soap.text_at(call.request, "ReadFlag") in ("true", "1") else "false"

    def one(element: etree._Element) -> str:
        folder = folders.find(call, element)
        for item in store.items_in(call.world, folder.row):
            if item.tag in MAIL_TAGS and item.doc.get("IsRead", "true") != state:
                item.doc["IsRead"] = state
                store.update_item(call.world, item, only_read=True)
                call.happened("Modified", item.mailbox, item.folder, item.row)
        return ""

    return each(call, () if wanted is None else elements(wanted), one)


HANDLERS = {
    "DeleteItem": delete_item,
    "MoveItem": move_item,
    "CopyItem": copy_item,
    "MarkAllItemsAsRead": mark_all_items_as_read,
}
