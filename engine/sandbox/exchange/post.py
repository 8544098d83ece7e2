"""Mail: sending, delivering to the mailboxes of this server, replies and forwards; every mail is counted."""

from __future__ import annotations

import copy

from lxml import etree

from engine.sandbox.exchange import calendar, documents, folders, items, moves, soap, store, times
from engine.sandbox.exchange.call import Call, each
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.item_values import hyper
from engine.sandbox.exchange.nodes import (
    Doc,
    Node,
    attribute,
    child,
    children,
    elements,
    local,
    node_of,
    parent,
    text,
)
from engine.sandbox.exchange.shapes import Shape
from engine.sandbox.exchange.store import Item, Mailbox
from engine.sandbox.exchange.views import View

_RECIPIENTS = ("ToRecipients", "CcRecipients", "BccRecipients")


def count(call: Call, sender: str, recipient: str, kind: str, uid: str, subject: str) -> None:
    """Book one mail: in the counters (``exchange.mails`` and by kind) and in table ``exchange_mails``."""
    call.count("mails")
    call.count(f"mails.{kind}")
    call.world.db.execute(
        "INSERT INTO exchange_mails VALUES (?, ?, ?, ?, ?, ?)",
        (call.world.clock.now_ms(), sender, recipient, kind, uid, subject),
    )


def mailbox_node(mailbox: Mailbox) -> Node:
    """The value of ``Mailbox`` for an owner of one."""
    return parent(("Name", mailbox.name), ("EmailAddress", mailbox.email), ("RoutingType", "SMTP"))


def file(
    call: Call, to: Mailbox, special: str, tag: str, doc: Doc, sender: Mailbox, uid: str, about: Item | None
) -> Item:
    """Put a mail into a folder of a mailbox; into an inbox it comes as new and unread."""
    folder = store.special_folder(call.world, to.row, special)
    assert folder is not None
    now = times.stamp(call.world.clock.now_ms())
    new = special == "inbox"
    doc["From"] = doc["Sender"] = parent(("Mailbox", mailbox_node(sender)))
    doc["DateTimeReceived"] = doc["DateTimeSent"] = now
    doc["IsRead"] = "false" if new else "true"
    doc["IsDraft"] = "false"
    made = documents.new_item(call, to, folder, tag, doc)
    made.uid = uid
    if about is not None:
        made.start_ms, made.end_ms = about.start_ms, about.end_ms
    store.insert_item(call.world, made)
    if new:
        call.happened("NewMail", to.row, folder.row, made.row)
    call.happened("Created", to.row, folder.row, made.row)
    return made


def send(call: Call, item: Item, *, keep: bool, to: etree._Element | None) -> None:
    """Send a stored message: to every recipient a mail, into the mailboxes of this server a copy; the draft goes.

    Args:
        call: the request.
        item: the message.
        keep: whether a copy is filed.
        to: where it is filed; the sent items when None.

    Raises:
        EwsError: ``ErrorInvalidRecipients``: nobody to send it to.
    """
    sender = call.box(item.mailbox)
    people = dict(calendar.recipients(item.doc, *_RECIPIENTS))
    if not people:
        raise EwsError("ErrorInvalidRecipients", "At least one recipient isn't valid.")
    subject = text(item.doc.get("Subject"))
    for address in people:
        count(call, sender.email, address, "message", "", subject)
        mailbox = store.mailbox_by_email(call.world, address)
        if mailbox is None:
            continue
        call.guids[mailbox.row] = mailbox
        doc = copy.deepcopy(item.doc)
        doc.pop("BccRecipients", None)
        made = file(call, mailbox, "inbox", "Message", doc, sender, "", None)
        _copy_files(call, item, made)
    if keep:
        folder = (
            folders.target(call, to)
            if to is not None
            else store.special_folder(call.world, sender.row, "sentitems")
        )
        assert folder is not None
        item.doc["From"] = item.doc["Sender"] = parent(("Mailbox", mailbox_node(sender)))
        item.doc["IsDraft"], item.doc["IsSubmitted"], item.doc["IsFromMe"] = "false", "true", "true"
        item.doc["IsRead"] = "true"
        item.doc["DateTimeSent"] = times.stamp(call.world.clock.now_ms())
        store.update_item(call.world, item)
        if folder.row != item.folder:
            moves.move(call, item, folder)
        return
    store.delete_item(call.world, item)
    call.happened("Deleted", item.mailbox, item.folder, item.row)


def _copy_files(call: Call, item: Item, made: Item) -> None:
    call.world.db.execute(
        "INSERT INTO exchange_attachments (item, tag, modified_ms, doc, content)"
        " SELECT ?, tag, modified_ms, doc, content FROM exchange_attachments WHERE item = ? ORDER BY id",
        (made.row, item.row),
    )


def send_item(call: Call) -> str:
    """``SendItem``: drafts."""
    holder = soap.find(call.request, "ItemIds")
    to = soap.find(call.request, "SavedItemFolderId")
    keep = call.request.get("SaveItemToFolder") in ("true", "1")
    if to is not None and not keep:
        error = EwsError(
            "ErrorInvalidSendItemSaveSettings", "A folder is named although nothing is to be saved."
        )
        return soap.answer("SendItem", [soap.failure("SendItem", error)])

    def one(element: etree._Element) -> str:
        item, key = items.find(call, element)
        if item.tag != "Message":
            raise EwsError("ErrorInvalidItemForOperationSendItem", "The item cannot be sent.")
        if not key:
            raise EwsError("ErrorChangeKeyRequired", "The change key is required for this operation.")
        send(call, item, keep=keep, to=to)
        return ""

    return each(call, () if holder is None else elements(holder), one)


# -- replies ---------------------------------------------------------------------------------------------


def reply(call: Call, element: etree._Element, saved: etree._Element | None) -> str:
    """Reply to, reply to all or forward a message; returns the items of the answer.

    Raises:
        EwsError: no such message, or nobody to send it to.
    """
    name = local(element)
    reference = soap.find(element, "ReferenceItemId")
    if reference is None:
        raise EwsError("ErrorMissingInformationReferenceItemId", "ReferenceItemId is missing.")
    item, _ = items.find(call, reference)
    if name == "SuppressReadReceipt":
        return ""
    if name == "PostReplyItem":
        raise EwsError("ErrorInvalidItemForOperationCreateItem", "Posts are not served.")
    mailbox = call.box(item.mailbox)
    given = {local(one): node_of(one) for one in elements(element)}
    subject = text(item.doc.get("Subject"))
    prefix = "FW" if name == "ForwardItem" else "RE"
    doc: Doc = {"Subject": text(given.get("Subject")) or f"{prefix}: {subject}"}
    for recipients in _RECIPIENTS:
        if recipients in given:
            doc[recipients] = given[recipients]
    if name != "ForwardItem" and "ToRecipients" not in doc:
        back = [child(item.doc.get("From"), "Mailbox")]
        if name == "ReplyAllToItem":
            others = [one for _, one in children(item.doc.get("ToRecipients"))]
            back += [one for one in others if text(child(one, "EmailAddress")).lower() != mailbox.email]
            if "CcRecipients" in item.doc:
                doc["CcRecipients"] = item.doc["CcRecipients"]
        doc["ToRecipients"] = {"c": [["Mailbox", one] for one in back if one is not None]}
    new = given.get("NewBodyContent")
    old = View(call, item, attribute(new, "BodyType") or "Best").body()
    kind = attribute(new, "BodyType") or attribute(old, "BodyType") or "Text"
    quoted = (
        text(old) if kind == "HTML" and "<" in text(old) else hyper(text(old)) if kind == "HTML" else text(old)
    )
    doc["Body"] = {"a": {"BodyType": kind}, "t": f"{text(new)}\r\n{quoted}" if text(new) else quoted}
    doc["InReplyTo"] = text(item.doc.get("InternetMessageId"))
    folder = (
        folders.target(call, saved)
        if saved is not None
        else store.special_folder(call.world, mailbox.row, "drafts")
    )
    assert folder is not None
    doc["IsDraft"] = "true"
    made = documents.new_item(call, mailbox, folder, "Message", doc)
    store.insert_item(call.world, made)
    call.happened("Created", mailbox.row, folder.row, made.row)
    disposition = call.request.get("MessageDisposition", "SaveOnly")
    if disposition == "SaveOnly":
        return View(call, made).show(Shape("IdOnly"))
    send(call, made, keep=disposition == "SendAndSaveCopy", to=saved)
    return ""


HANDLERS = {"SendItem": send_item}
