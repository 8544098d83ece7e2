"""Properties of items that the server works out from what is stored: ids, times, sizes, texts, defaults."""

from __future__ import annotations

import base64
import hashlib
import html
import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.sandbox.exchange import calendar, ids, mapi, store, times
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.folders import folder_id
from engine.sandbox.exchange.nodes import Node, attribute, flag, parent, text
from engine.sandbox.exchange.shapes import effective_rights
from engine.sandbox.exchange.store import Item

if TYPE_CHECKING:
    from engine.sandbox.exchange.views import View

MAIL_TAGS = ("Message", "MeetingRequest", "MeetingResponse", "MeetingCancellation", "MeetingMessage")
CLASSES = {
    "CalendarItem": "IPM.Appointment",
    "Contact": "IPM.Contact",
    "Task": "IPM.Task",
    "DistributionList": "IPM.DistList",
    "MeetingRequest": "IPM.Schedule.Meeting.Request",
    "MeetingResponse": "IPM.Schedule.Meeting.Resp.Pos",
    "MeetingCancellation": "IPM.Schedule.Meeting.Canceled",
    "PostItem": "IPM.Post",
}
CONSTANTS: dict[str, str] = {
    "Sensitivity": "Normal",
    "Importance": "Normal",
    "Culture": "en-US",
    "IsAssociated": "false",
    "IsSubmitted": "false",
    "IsDraft": "false",
    "IsFromMe": "false",
    "IsResend": "false",
    "IsUnmodified": "false",
}


def plain(content: str) -> str:
    """HTML as text, much as Exchange converts it: line breaks and paragraphs, no tags."""
    body = re.search(r"<body[^>]*>(.*)</body>", content, re.IGNORECASE | re.DOTALL)
    inner = body[1] if body else content
    inner = re.sub(r"<(style|script|head|title)\b.*?</\1>", "", inner, flags=re.IGNORECASE | re.DOTALL)
    inner = re.sub(r"\s*\r?\n\s*", " ", inner)
    inner = re.sub(r"<br\s*/?>|</(p|div|tr|li|h\d)>", "\r\n", inner, flags=re.IGNORECASE)
    return html.unescape(re.sub(r"<[^>]+>", "", inner)).replace("\xa0", " ").strip()


def hyper(content: str) -> str:
    """Text as an HTML document."""
    lines = "<br>\r\n".join(
        html.escape(line, quote=False) for line in content.replace("\r\n", "\n").split("\n")
    )
    return (
        '<html>\r\n<head>\r\n<meta http-equiv="Content-Type" content="text/html; charset=utf-8">\r\n</head>\r\n'
        f"<body>\r\n{lines}\r\n</body>\r\n</html>\r\n"
    )


def identity(call: Call, item: Item) -> Node:
    """The value of ``ItemId``."""
    key = ids.change_key(item.tag, store.key_seq(item))
    return {"a": {"Id": store.item_id(call.box(item.mailbox).guid, item), "ChangeKey": key}, "t": ""}


def _parent(view: View) -> Node:
    folder = store.folder(view.call.world, view.item.folder)
    return folder_id(view.call, view.item.folder, view.item.mailbox, folder.seq if folder else None)


def _class(view: View) -> Node:
    stored: Node | None = view.item.doc.get("ItemClass")
    if stored is not None:
        return stored
    if view.item.tag == "CalendarItem" and view.item.master:
        changed = view.item.row != 0
        return (
            "IPM.OLE.CLASS.{00061055-0000-0000-C000-000000000046}" if changed else "IPM.Appointment.Occurrence"
        )
    return CLASSES.get(view.item.tag, "IPM.Note")


def _size(view: View) -> Node:
    """What is stored: properties and attachments (MS-OXCMSG 2.2.1.7). MIME content is taken apart into these, not kept."""
    size = 512 + sum(len(repr(value)) for value in view.item.doc.values())
    return str(size + sum(one[0] for one in _attachment_sizes(view)))


def _attachment_sizes(view: View) -> list[tuple[int]]:
    row = view.item.row or view.item.master
    rows = view.call.world.db.execute(
        "SELECT LENGTH(content) FROM exchange_attachments WHERE item = ?", (row,)
    ).fetchall()
    return [(int(one[0]),) for one in rows]


def _attachments(view: View) -> Node | None:
    from engine.sandbox.exchange.attachments import listed

    return listed(view.call, view.item)


def _has_attachments(view: View) -> Node:
    return flag(bool(view.item.row) and bool(_attachment_sizes(view)))


def _names(view: View, *properties: str) -> str:
    return "; ".join(name for _, name in calendar.recipients(view.item.doc, *properties))


def _display_to(view: View) -> Node:
    return _names(view, "ToRecipients", "RequiredAttendees")


def _display_cc(view: View) -> Node:
    return _names(view, "CcRecipients", "OptionalAttendees")


def _reminder_due(view: View) -> Node | None:
    stored: Node | None = view.item.doc.get("ReminderDueBy")
    if stored is not None:
        return stored
    if view.item.tag == "CalendarItem":
        return times.stamp(view.item.start_ms)
    return None


def _reminder_set(view: View) -> Node:
    return view.item.doc.get("ReminderIsSet") or flag(view.item.tag == "CalendarItem")


def _reminder_minutes(view: View) -> Node:
    return view.item.doc.get("ReminderMinutesBeforeStart") or ("15" if view.item.tag == "CalendarItem" else "0")


def _created(view: View) -> Node:
    return times.stamp(view.item.created_ms)


def _received(view: View) -> Node:
    return view.item.doc.get("DateTimeReceived") or times.stamp(view.item.created_ms)


def _sent(view: View) -> Node | None:
    if view.item.tag in ("Contact", "DistributionList"):
        return None
    return view.item.doc.get("DateTimeSent") or times.stamp(view.item.created_ms)


def _modified(view: View) -> Node:
    return times.stamp(view.item.modified_ms)


def _modifier(view: View) -> Node:
    return view.item.doc.get("_modifier") or view.call.box(view.item.mailbox).name


def _text_body(view: View) -> Node | None:
    stored = view.item.doc.get("Body")
    content = text(stored)
    if attribute(stored, "BodyType") == "HTML":
        content = plain(content)
    return {"a": {"BodyType": "Text"}, "t": content}


def _web_query(view: View) -> Node:
    name = store.item_id(view.call.box(view.item.mailbox).guid, view.item)
    return f"?ae=Item&a=Open&t={text(_class(view))}&id={name}&exvsurl=1"


def _conversation(view: View) -> Node | None:
    if view.item.tag not in MAIL_TAGS:
        return None
    topic = text(_topic(view)).casefold()
    return {
        "a": {"Id": base64.b64encode(b"\x00\x03\x24conv" + hashlib.sha256(topic.encode()).digest()).decode()},
        "t": "",
    }


def _topic(view: View) -> Node:
    stored = view.item.doc.get("ConversationTopic")
    if stored is not None:
        return text(stored)
    return re.sub(r"^((re|fwd?|aw|wg|tr)\s*:\s*)+", "", text(view.item.doc.get("Subject")), flags=re.IGNORECASE)


def _topic_of_mail(view: View) -> Node | None:
    return _topic(view) if view.item.tag in MAIL_TAGS else None


def _flag(view: View) -> Node | None:
    if view.item.tag in ("Contact", "CalendarItem"):
        return None
    return view.item.doc.get("Flag") or parent(("FlagStatus", "NotFlagged"))


def _instance_key(view: View) -> Node:
    return base64.b64encode(
        store.item_id(view.call.box(view.item.mailbox).guid, view.item).encode()[:40]
    ).decode()


def _mail_only(name: str, default: str) -> Callable[[View], Node | None]:
    def worker(view: View) -> Node | None:
        return view.item.doc.get(name) or (default if view.item.tag in MAIL_TAGS else None)

    return worker


def _complete_name(view: View) -> Node | None:
    if view.item.tag != "Contact":
        return None
    doc = view.item.doc
    pairs = [
        ("Title", mapi.stored(doc, 0x3A45)),
        ("FirstName", doc.get("GivenName")),
        ("MiddleName", doc.get("MiddleName")),
        ("LastName", doc.get("Surname")),
        ("Suffix", doc.get("Generation")),
        ("Initials", doc.get("Initials")),
        ("FullName", doc.get("DisplayName") or doc.get("Subject")),
        ("Nickname", doc.get("Nickname")),
    ]
    shown = [(name, value) for name, value in pairs if value is not None and text(value)]
    return parent(*shown) if shown else None


def _has_picture(view: View) -> Node | None:
    if view.item.tag != "Contact":
        return None
    row = view.call.world.db.execute(
        "SELECT 1 FROM exchange_attachments WHERE item = ? AND json_extract(CAST(doc AS TEXT), '$.IsContactPhoto') = 'true'",
        (view.item.row,),
    ).fetchone()
    return flag(row is not None)


TASKS: dict[str, str] = {
    "Status": "NotStarted",
    "PercentComplete": "0",
    "IsComplete": "false",
    "IsRecurring": "false",
    "IsTeamTask": "false",
    "IsAssignmentEditable": "0",
    "ChangeCount": "1",
    "StatusDescription": "Not Started",
}

COMPUTED: dict[str, Callable[[View], Node | None]] = {
    "ItemId": lambda view: identity(view.call, view.item),
    "ParentFolderId": _parent,
    "ItemClass": _class,
    "Size": _size,
    "Body": lambda view: view.body(),
    "TextBody": _text_body,
    "UniqueBody": lambda view: view.body(),
    "NormalizedBody": lambda view: view.body(),
    "Attachments": _attachments,
    "HasAttachments": _has_attachments,
    "DisplayTo": _display_to,
    "DisplayCc": _display_cc,
    "ReminderDueBy": _reminder_due,
    "ReminderIsSet": _reminder_set,
    "ReminderMinutesBeforeStart": _reminder_minutes,
    "DateTimeCreated": _created,
    "DateTimeReceived": _received,
    "DateTimeSent": _sent,
    "LastModifiedTime": _modified,
    "LastModifiedName": _modifier,
    "EffectiveRights": lambda view: effective_rights(),
    "WebClientReadFormQueryString": _web_query,
    "ConversationId": _conversation,
    "ConversationTopic": _topic_of_mail,
    "Flag": _flag,
    "InstanceKey": _instance_key,
    "IsRead": _mail_only("IsRead", "true"),
    "IsReadReceiptRequested": _mail_only("IsReadReceiptRequested", "false"),
    "IsDeliveryReceiptRequested": _mail_only("IsDeliveryReceiptRequested", "false"),
    "CompleteName": _complete_name,
    "HasPicture": _has_picture,
}
