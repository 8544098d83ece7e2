"""CreateItem."""

from __future__ import annotations

from lxml import etree

from engine.sandbox.exchange import attachments, documents, folders, meetings, mime, post, soap, store
from engine.sandbox.exchange.call import Call, each, mailbox_of
from engine.sandbox.exchange.errors import EwsError, SoapFault
from engine.sandbox.exchange.nodes import Doc, elements, flag, local
from engine.sandbox.exchange.shapes import Shape
from engine.sandbox.exchange.store import Folder, Item
from engine.sandbox.exchange.views import View

_HOMES = {"CalendarItem": "calendar", "Contact": "contacts", "DistributionList": "contacts", "Task": "tasks"}
_RESPONSES = ("AcceptItem", "TentativelyAcceptItem", "DeclineItem", "CancelCalendarItem", "RemoveItem")
_REPLIES = ("ReplyToItem", "ReplyAllToItem", "ForwardItem", "SuppressReadReceipt", "PostReplyItem")
_SERVED = ("Item", "Message", "CalendarItem", "Contact", "DistributionList", "Task", "PostItem")


def create_item(call: Call) -> str:
    """``CreateItem``: one response message per item, in order.

    Raises:
        SoapFault: a disposition that the items need is missing (the whole request is refused).
    """
    items = soap.find(call.request, "Items")
    parts = [] if items is None else list(elements(items))
    for one in parts:
        name = local(one)
        if name == "CalendarItem" and call.request.get("SendMeetingInvitations") is None:
            raise SoapFault(
                "ErrorSendMeetingInvitationsRequired",
                "SendMeetingInvitations attribute is required for calendar items.",
            )
        if name in ("Message", *_RESPONSES, *_REPLIES) and call.request.get("MessageDisposition") is None:
            raise SoapFault(
                "ErrorMessageDispositionRequired", "Message disposition is required for messages and responses."
            )
    saved = soap.find(call.request, "SavedItemFolderId")
    return each(call, parts, lambda one: _create(call, one, saved))


def _create(call: Call, element: etree._Element, saved: etree._Element | None) -> str:
    tag = local(element)
    if tag in _RESPONSES:
        return f"<m:Items>{meetings.respond(call, element)}</m:Items>"
    if tag in _REPLIES:
        return f"<m:Items>{post.reply(call, element, saved)}</m:Items>"
    if tag not in _SERVED:
        raise EwsError("ErrorInvalidItemForOperationCreateItem", f"{tag} items cannot be created.")
    doc = documents.read(call, element)
    if tag == "Item":
        tag = "Message"
    folder = _folder(call, saved, tag)
    made = make(call, folder, tag, doc)
    if tag == "Message":
        disposition = call.request.get("MessageDisposition", "SaveOnly")
        if disposition != "SaveOnly":
            post.send(call, made, keep=disposition == "SendAndSaveCopy", to=saved)
            return "<m:Items/>"
    if tag == "CalendarItem":
        meetings.invite(call, made, call.request.get("SendMeetingInvitations", "SendToNone"))
    return f"<m:Items>{View(call, made).show(Shape('IdOnly'))}</m:Items>"


def _folder(call: Call, saved: etree._Element | None, tag: str) -> Folder:
    if saved is not None:
        try:
            return folders.target(call, saved)
        except EwsError as error:
            if error.code == "ErrorFolderNotFound":
                raise EwsError("ErrorFolderNotFound", error.message) from None
            raise
    mailbox = mailbox_of(call, None)
    home = _HOMES.get(tag, "drafts")
    found = store.special_folder(call.world, mailbox.row, home)
    if found is None:
        raise EwsError("ErrorFolderNotFound", "The specified folder could not be found in the store.")
    return found


def make(call: Call, folder: Folder, tag: str, doc: Doc) -> Item:
    """Store a new item of a document in normal form; returns it.

    Raises:
        EwsError: it cannot stand in that folder, or its values make no sense.
    """
    raw = doc.pop("MimeContent", None)
    files = doc.pop("Attachments", None)
    mailbox = call.box(folder.mailbox)
    content = None
    if raw is not None:
        content = mime.take(tag, doc, raw)
    if tag == "Message":
        doc.setdefault("IsDraft", flag("IsRead" not in doc and "DateTimeReceived" not in doc and raw is None))
    item = documents.new_item(call, mailbox, folder, tag, doc)
    item.mime = content
    store.insert_item(call.world, item)
    if content is not None and tag == "Message":
        mime.take_files(call, item, content)
    if files is not None:
        attachments.add_from(call, item, files)
    call.count("items")
    call.happened("Created", folder.mailbox, folder.row, item.row)
    return item


HANDLERS = {"CreateItem": create_item}
