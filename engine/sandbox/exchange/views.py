"""Items as clients see them: stored properties and those that the server works out."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable
from functools import cache

from engine.sandbox.exchange import calendar, calendar_view, grammar, ids, mapi, store, times
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.folders import folder_id
from engine.sandbox.exchange.nodes import (
    Node,
    attribute,
    child,
    children,
    entries,
    flag,
    parent,
    render,
    text,
)
from engine.sandbox.exchange.paths import Extended, Indexed, Path
from engine.sandbox.exchange.shapes import Shape, Value, effective_rights, extended_values
from engine.sandbox.exchange.store import Item

MAIL_TAGS = ("Message", "MeetingRequest", "MeetingResponse", "MeetingCancellation", "MeetingMessage")
_ALWAYS_ASKED = frozenset(
    ("MimeContent", "ExtendedProperty", "UniqueBody", "NormalizedBody", "TextBody", "ConflictingMeetings",
     "AdjacentMeetings", "Photo", "StoreEntryId", "InstanceKey", "SearchKey", "InternetMessageHeaders",
     "MeetingTimeZone", "Preview", "ConflictingMeetingCount", "AdjacentMeetingCount", "RecurrenceId", "DateTimeStamp")
)  # fmt: skip
"""Properties that even ``AllProperties`` leaves out."""
_NOT_IN_SEARCHES = frozenset(
    ("Attachments", "RequiredAttendees", "OptionalAttendees", "Resources", "Recurrence", "FirstOccurrence",
     "LastOccurrence", "ModifiedOccurrences", "DeletedOccurrences", "ToRecipients", "CcRecipients", "BccRecipients",
     "MeetingTimeZone", "StartTimeZone", "EndTimeZone", "ResponseObjects", "Members", "InternetMessageHeaders", "Flag")
) - {"Flag", "StartTimeZone", "EndTimeZone"}  # fmt: skip
"""Properties that FindItem does not give (``FindItem`` page of the EWS reference)."""
_SINCE_2013 = frozenset(
    ("TextBody", "NormalizedBody", "InstanceKey", "Preview", "Flag", "StartWallClock", "EndWallClock", "StartTimeZoneId",
     "EndTimeZoneId", "IsOrganizer", "JoinOnlineMeetingUrl", "IconIndex", "EntityExtractionResult")
)  # fmt: skip
_SINCE_2010 = frozenset(
    (
        "StartTimeZone",
        "EndTimeZone",
        "ConversationId",
        "UniqueBody",
        "EffectiveRights",
        "WebClientReadFormQueryString",
    )
)
_DEFAULTS: dict[str, tuple[str, ...]] = {
    "CalendarItem": ("ItemId", "Subject", "HasAttachments", "Start", "End", "LegacyFreeBusyStatus", "Location",
                     "CalendarItemType", "Organizer", "RequiredAttendees", "OptionalAttendees", "Resources", "IsAllDayEvent"),
    "Contact": ("ItemId", "FileAs", "DisplayName", "CompanyName", "EmailAddresses", "PhysicalAddresses", "PhoneNumbers",
                "CompleteName", "JobTitle", "ImAddresses"),
    "Task": ("ItemId", "Subject", "HasAttachments", "DueDate", "PercentComplete", "StartDate", "Status"),
    "DistributionList": ("ItemId", "DisplayName"),
}  # fmt: skip
_DEFAULT_MAIL = ("ItemId", "Subject", "Sensitivity", "Body", "Attachments", "Size", "DateTimeSent", "DateTimeCreated",
                 "HasAttachments", "ToRecipients", "CcRecipients", "BccRecipients", "From", "IsRead", "InternetMessageId",
                 "IsReadReceiptRequested", "IsDeliveryReceiptRequested", "References", "ConversationTopic")  # fmt: skip
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
_CONSTANTS: dict[str, str] = {
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


@cache
def _order(tag: str) -> tuple[str, ...]:
    names = {
        "Contact": "ContactItem",
        "MeetingRequest": "MeetingRequestMessage",
        "MeetingResponse": "MeetingResponseMessage",
    }
    names["MeetingCancellation"] = "MeetingCancellationMessage"
    names["MeetingMessage"] = "MeetingMessage"
    return grammar.order(f"t:{names.get(tag, tag)}Type")


def known(tag: str, name: str) -> bool:
    """Whether items of that element have a property of that name."""
    return name in _order(tag)


def local_order(tag: str) -> tuple[str, ...]:
    """Property names of items of that element, in the order of the schema."""
    return _order(tag)


class View:
    """One item within one call; ``body`` is the form in which bodies are wanted."""

    def __init__(self, call: Call, item: Item, body: str = "Best", *, searching: bool = False) -> None:
        self.call: Call = call
        self.item: Item = item
        self._body, self._searching = body, searching

    def get(self, name: str) -> Node | None:
        """A property by element name; None where it has none."""
        worker = _COMPUTED.get(name)
        if worker is not None:
            return worker(self)
        found: Node | None = self.item.doc.get(name)
        if found is not None:
            return found
        if self.item.tag == "CalendarItem" or self.item.tag.startswith("Meeting"):
            found = calendar_view.value(self, name)
            if found is not None:
                return found
        if self.item.tag == "Task":
            found = _TASKS.get(name)
            if name == "Owner":
                found = self.call.box(self.item.mailbox).name
            if found is not None:
                return found
        return _CONSTANTS.get(name)

    def extended(self, path: Extended) -> Value | None:
        """An extended property: stored, or one that stands for an element."""
        found: Value | None = self.item.doc.get("ExtendedProperty", {}).get(path.key)
        if found is None:
            found = mapi.value(self, path)
        if self._searching and isinstance(found, str) and path.kind == "String":
            return found[:255]
        return found

    def value(self, path: Path) -> Node | list[str] | None:
        """The value at any path, for restrictions and sort orders."""
        if isinstance(path, Extended):
            return self.extended(path)
        found = self.get(path.name)
        if isinstance(path, Indexed):
            entry = entries(found).get(path.index) if found is not None else None
            return child(entry, path.part) if path.part and entry is not None else entry
        return found

    def body(self) -> Node | None:
        """The body in the wanted form."""
        stored = self.item.doc.get("Body")
        if stored is None:
            return {"a": {"BodyType": "Text" if self._body != "HTML" else "HTML"}, "t": ""}
        kind, content = attribute(stored, "BodyType"), text(stored)
        if self._body == "Text" and kind == "HTML":
            return {"a": {"BodyType": "Text"}, "t": plain(content)}
        if self._body == "HTML" and kind == "Text":
            return {"a": {"BodyType": "HTML"}, "t": hyper(content)}
        return {"a": {"BodyType": kind}, "t": content}

    def show(self, shape: Shape, mime: Callable[[View], Node | None] | None = None) -> str:
        """The item as XML."""
        tag = self.item.tag
        order = _order(tag)
        if shape.base == "IdOnly":
            wanted = {"ItemId"}
        elif shape.base == "Default":
            wanted = set(_DEFAULTS.get(tag, _DEFAULT_MAIL))
        else:
            wanted = set(order) - _ALWAYS_ASKED
        wanted |= shape.names | {"ItemId"}
        if self._searching:
            wanted -= _NOT_IN_SEARCHES
            if shape.base != "IdOnly":
                wanted -= {"Body"}
        if not self.call.since("Exchange2013"):
            wanted -= _SINCE_2013
        if not self.call.since("Exchange2010"):
            wanted -= _SINCE_2010
        parts = []
        for name in order:
            if name == "ExtendedProperty":
                if shape.extended:
                    parts.extend(extended_values(shape.extended, self.extended))
            elif name == "MimeContent":
                content = mime(self) if mime is not None and shape.mime else None
                if content is not None:
                    parts.append(render(name, content))
            elif name in wanted:
                found = self.get(name)
                if found is not None:
                    parts.append(render(name, found))
            elif shape.indexed and any(path.name == name for path in shape.indexed):
                found = _entries(self.get(name), [path for path in shape.indexed if path.name == name])
                if found is not None:
                    parts.append(render(name, found))
        return f"<t:{tag}>{''.join(parts)}</t:{tag}>"


def _entries(node: Node | None, wanted: list[Indexed]) -> Node | None:
    have = entries(node)
    shown = []
    for index in dict.fromkeys(path.index for path in wanted):
        entry = have.get(index)
        if entry is None:
            continue
        parts = {path.part for path in wanted if path.index == index and path.part}
        if parts:
            kept = [[name, value] for name, value in children(entry) if name in parts]
            entry = {"a": entry["a"], "c": kept}
            if not kept:
                continue
        shown.append(["Entry", entry])
    return {"c": shown} if shown else None


# -- what the server works out ---------------------------------------------------------------------------


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
    size = 512 + sum(len(repr(value)) for value in view.item.doc.values()) + len(view.item.mime or b"")
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
    import hashlib

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


_TASKS: dict[str, str] = {
    "Status": "NotStarted",
    "PercentComplete": "0",
    "IsComplete": "false",
    "IsRecurring": "false",
    "IsTeamTask": "false",
    "IsAssignmentEditable": "0",
    "ChangeCount": "1",
    "StatusDescription": "Not Started",
}

_COMPUTED: dict[str, Callable[[View], Node | None]] = {
    "ItemId": lambda view: identity(view.call, view.item),
    "ParentFolderId": _parent,
    "ItemClass": _class,
    "Size": _size,
    "Body": View.body,
    "TextBody": _text_body,
    "UniqueBody": View.body,
    "NormalizedBody": View.body,
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
