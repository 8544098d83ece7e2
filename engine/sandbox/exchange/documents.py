"""Properties as clients send them, checked and put into the form in which they are kept."""

from __future__ import annotations

import secrets
from datetime import tzinfo

from lxml import etree

from engine.sandbox.exchange import calendar, item_values, mapi, store, times, zones
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import (
    Doc,
    Node,
    attribute,
    child,
    children,
    elements,
    flag,
    local,
    node_of,
    text,
    truth,
)
from engine.sandbox.exchange.shapes import read_extended
from engine.sandbox.exchange.store import Item, Mailbox

READ_ONLY = frozenset(
    ("ItemId", "ParentFolderId", "Size", "DateTimeReceived", "DateTimeSent", "DateTimeCreated", "LastModifiedName",
     "LastModifiedTime", "IsSubmitted", "IsFromMe", "IsResend", "IsUnmodified", "HasAttachments", "DisplayTo",
     "DisplayCc", "DisplayBcc", "ResponseObjects", "ReminderNextTime", "IsAssociated", "WebClientReadFormQueryString",
     "WebClientEditFormQueryString", "ConversationId", "EffectiveRights", "UniqueBody", "TextBody", "NormalizedBody",
     "InstanceKey", "Preview", "CompleteName", "HasPicture", "ContactSource", "IsMeeting", "IsCancelled", "IsRecurring",
     "MeetingRequestWasSent", "CalendarItemType", "MyResponseType", "Organizer", "ConflictingMeetingCount",
     "AdjacentMeetingCount", "ConflictingMeetings", "AdjacentMeetings", "Duration", "TimeZone", "AppointmentReplyTime",
     "AppointmentSequenceNumber", "AppointmentState", "FirstOccurrence", "LastOccurrence", "ModifiedOccurrences",
     "DeletedOccurrences", "OriginalStart", "RecurrenceId", "DateTimeStamp", "IsOrganizer", "AssignedTime",
     "ChangeCount", "DelegationState", "Delegator", "IsAssignmentEditable", "IsTeamTask", "Owner", "StatusDescription",
     "ReceivedBy", "ReceivedRepresenting", "ConversationTopic", "ConversationIndex", "StartWallClock", "EndWallClock")
)  # fmt: skip
"""Properties that clients cannot write."""
_SETTABLE_BY_CREATE = frozenset(("DateTimeReceived", "DateTimeSent"))
_INSTANTS = frozenset(("Start", "End", "ReminderDueBy", "DateTimeReceived", "DateTimeSent", "StartDate", "DueDate",
                       "CompleteDate", "Birthday", "WeddingAnniversary", "OriginalStart"))  # fmt: skip
_BOOLEANS = frozenset(
    ("IsAllDayEvent", "ReminderIsSet", "IsRead", "IsDraft", "IsResponseRequested", "IsReadReceiptRequested",
     "IsDeliveryReceiptRequested", "AllowNewTimeProposal", "IsOnlineMeeting", "IsComplete")
)  # fmt: skip
_LIMITS = {"Subject": 255, "Location": 255}
ALLOWED_FOLDERS = {
    "CalendarItem": ("CalendarFolder", "ErrorCannotCreateCalendarItemInNonCalendarFolder"),
    "Contact": ("ContactsFolder", "ErrorCannotCreateContactInNonContactFolder"),
    "DistributionList": ("ContactsFolder", "ErrorCannotCreateContactInNonContactFolder"),
    "Task": ("TasksFolder", "ErrorCannotCreateTaskInNonTaskFolder"),
}


def read(call: Call, element: etree._Element) -> Doc:
    """The properties of a new item.

    Raises:
        EwsError: a read-only property, or a value that is none.
    """
    doc: Doc = {}
    later = []
    for one in elements(element):
        name = local(one)
        if name == "ExtendedProperty":
            later.append(one)
        elif name in READ_ONLY and name not in _SETTABLE_BY_CREATE:
            raise EwsError("ErrorInvalidPropertySet", f"Set action is invalid for property: {name}.")
        else:
            doc[name] = node_of(one)
    for name in ("StartTimeZone", "EndTimeZone", "MeetingTimeZone"):
        if name in doc:
            take_zone(doc, name)
    zone = default_zone(call, doc)
    for name in list(doc):
        doc[name] = normal(name, doc[name], zone)
    for one in later:
        path, value = read_extended(one)
        if not mapi.set_value(doc, path, value):
            doc.setdefault("ExtendedProperty", {})[path.key] = value
    return doc


def default_zone(call: Call, doc: Doc) -> tzinfo:
    """The zone whose wall clock is meant by times without an offset."""
    if call.zone_id:
        return call.zone
    return calendar.zone_of(doc) if "StartTimeZone" in doc else call.zone


def take_zone(doc: Doc, name: str) -> None:
    """Put a zone that a client has sent into its kept form: id and name; rules only where they are of no known zone.

    Raises:
        EwsError: ``ErrorCalendarInvalidTimeZone``.
    """
    node = doc[name]
    if name == "MeetingTimeZone":
        windows_id, zone = zones.read_meeting_zone(doc.pop(name))
        name = "StartTimeZone"
        node = None
    else:
        windows_id, zone = zones.read_definition(node)
    try:
        zones.of(windows_id)
        shown = zones.shown(windows_id)
        doc.pop(calendar.CUSTOM_ZONE, None)
    except EwsError:
        shown = attribute(node, "Name") or windows_id
        if name == "StartTimeZone" and node is not None:
            doc[calendar.CUSTOM_ZONE] = node
        elif node is None:
            windows_id = zones.windows_id(str(zone))
            shown = zones.shown(windows_id)
    doc[name] = {"a": {"Name": shown, "Id": windows_id}, "c": []}


def normal(name: str, node: Node, zone: tzinfo) -> Node:
    """A property's value in normal form: instants in UTC, booleans as words.

    Raises:
        EwsError: too long, or no value of the property.
    """
    if name in _INSTANTS:
        try:
            return times.normal(text(node), zone)
        except (ValueError, OverflowError):
            raise EwsError(
                "ErrorInvalidValueForProperty", f"{name}: {text(node)[:40]!r} is not a time."
            ) from None
    if name in _BOOLEANS:
        return flag(truth(node))
    if name in _LIMITS and len(text(node)) > _LIMITS[name]:
        raise EwsError("ErrorInvalidValueForProperty", f"{name} is longer than {_LIMITS[name]} characters.")
    if name == "Body":
        return {
            "a": {"BodyType": attribute(node, "BodyType")},
            "t": text(node).replace("\r\n", "\n").replace("\n", "\r\n"),
        }
    if name in ("RequiredAttendees", "OptionalAttendees", "Resources"):
        return {"c": [["Attendee", _attendee(one)] for _, one in children(node)]}
    if name == "EmailAddresses":
        return {"c": [["Entry", _email(one)] for _, one in children(node) if text(one)]}
    if name in ("PhoneNumbers", "ImAddresses"):
        return {"c": [["Entry", one] for _, one in children(node) if text(one)]}
    return node


def _email(node: Node) -> Node:
    attributes = {
        "Key": attribute(node, "Key"),
        "Name": attribute(node, "Name") or text(node),
        "RoutingType": "SMTP",
    }
    return {"a": {**attributes, "MailboxType": "Contact"}, "t": text(node)}


def _attendee(node: Node) -> Node:
    mailbox = child(node, "Mailbox")
    address = text(child(mailbox, "EmailAddress"))
    shown = [
        ["Name", text(child(mailbox, "Name")) or address],
        ["EmailAddress", address],
        ["RoutingType", "SMTP"],
    ]
    response = text(child(node, "ResponseType")) or "Unknown"
    pairs = [["Mailbox", {"c": shown}], ["ResponseType", response]]
    when = text(child(node, "LastResponseTime"))
    if when:
        pairs.append(["LastResponseTime", when])
    return {"c": pairs}


# -- what a new item gets --------------------------------------------------------------------------------


def new_item(call: Call, mailbox: Mailbox, folder: store.Folder, tag: str, doc: Doc) -> Item:
    """An item of a new document, with what the server adds to it; not yet stored.

    Raises:
        EwsError: its times or its recurrence make no sense, or the folder is of another kind.
    """
    wanted = ALLOWED_FOLDERS.get(tag)
    trash = folder.special in ("deleteditems", "drafts") or not folder.kind
    if wanted is not None and folder.tag != wanted[0] and not trash:
        raise EwsError(wanted[1], f"{tag} items cannot be created in a folder of type {folder.tag}.")
    item = Item(0, mailbox.row, folder.row, tag, doc)
    doc.setdefault("Subject", "")
    complete(call, item, mailbox)
    return item


def complete(call: Call, item: Item, mailbox: Mailbox) -> None:
    """Fill in what the server works out when an item is stored.

    Raises:
        EwsError: its times or its recurrence make no sense.
    """
    doc = item.doc
    if item.tag == "CalendarItem":
        _complete_appointment(call, item, mailbox)
    elif item.tag == "Contact":
        _complete_contact(doc)
    elif item.tag == "Task":
        _complete_task(call, doc)
    elif item.tag in item_values.MAIL_TAGS:
        doc.setdefault("InternetMessageId", f"<{secrets.token_hex(12)}@{mailbox.email.partition('@')[2]}>")
        doc.setdefault("IsRead", "true")


def _complete_appointment(call: Call, item: Item, mailbox: Mailbox) -> None:
    doc = item.doc
    if "StartTimeZone" not in doc:
        name = call.zone_id or "UTC"
        doc["StartTimeZone"] = {"a": {"Name": zones.shown(name), "Id": name}, "c": []}
    doc.setdefault("EndTimeZone", doc["StartTimeZone"])
    if "Start" not in doc:
        half_hour = 1_800_000
        doc["Start"] = times.stamp(-(-call.world.clock.now_ms() // half_hour) * half_hour)
    if "End" not in doc:
        length = 86_400_000 if truth(doc.get("IsAllDayEvent")) else 1_800_000
        doc["End"] = times.stamp(times.parse_ms(text(doc["Start"])) + length)
    item.start_ms, item.end_ms = calendar.settle(doc)
    given = text(doc.pop("UID", None)) if "UID" in doc else ""
    if not item.uid:
        head = "040000008200E00074C5B7101A82E00800000000"
        item.uid = given or head + secrets.token_hex(20).upper() + "10000000" + secrets.token_hex(16).upper()
    for name in ("RequiredAttendees", "OptionalAttendees", "Resources"):
        if name in doc and not children(doc[name]):
            del doc[name]


def _complete_contact(doc: Doc) -> None:
    given, family = text(doc.get("GivenName")), text(doc.get("Surname"))
    company = text(doc.get("CompanyName"))
    name = " ".join(part for part in (given, text(doc.get("MiddleName")), family) if part)
    mapping = text(doc.get("FileAsMapping"))
    last_first = f"{family}, {given}" if family and given else family or given
    filed = {
        "LastCommaFirst": last_first,
        "FirstSpaceLast": f"{given} {family}".strip(),
        "Company": company,
        "LastCommaFirstCompany": f"{last_first}\r\n{company}".strip(),
        "CompanyLastCommaFirst": f"{company}\r\n{last_first}".strip(),
        "CompanyLastFirst": f"{company}\r\n{family}{given}".strip(),
        "LastFirst": f"{family}{given}",
        "LastSpaceFirst": f"{family} {given}".strip(),
    }
    if mapping in filed:
        doc["FileAs"] = filed[mapping]
    elif "FileAs" not in doc and (name or company):
        doc["FileAs"] = last_first or company
    if "DisplayName" not in doc and (name or company):
        doc["DisplayName"] = name or company
    if not text(doc.get("Subject")) and (name or company):
        doc["Subject"] = text(doc.get("DisplayName")) or name or company


_WORDS = {
    "NotStarted": "Not Started",
    "InProgress": "In Progress",
    "Completed": "Completed",
    "WaitingOnOthers": "Waiting on someone else",
    "Deferred": "Deferred",
}


def _complete_task(call: Call, doc: Doc) -> None:
    percent = float(text(doc.get("PercentComplete")) or 0)
    if not 0 <= percent <= 100:
        raise EwsError("ErrorInvalidPercentCompleteValue", "PercentComplete must be from 0 to 100.")
    done = text(doc.get("Status")) == "Completed"
    if done or percent == 100:
        doc["Status"], doc["PercentComplete"] = "Completed", "100"
        today = times.stamp(call.world.clock.now_ms())[:10] + "T00:00:00Z"
        doc.setdefault("CompleteDate", today)
        if times.parse_ms(text(doc["CompleteDate"])) > call.world.clock.now_ms() + 86_400_000:
            raise EwsError("ErrorInvalidCompleteDate", "The complete date cannot be in the future.")
    else:
        doc.pop("CompleteDate", None)
        if percent and text(doc.get("Status")) in ("", "NotStarted"):
            doc["Status"] = "InProgress"
    doc["IsComplete"] = flag(text(doc.get("Status")) == "Completed")
    doc["StatusDescription"] = _WORDS.get(text(doc.get("Status")), "Not Started")
    doc["IsRecurring"] = flag("Recurrence" in doc)
    for name in ("StartDate", "DueDate", "CompleteDate"):
        if name in doc:
            # Tasks are on days: the time of day is cut off.
            doc[name] = (
                text(doc[name])[:10] + "T00:00:00Z" if text(doc[name]).endswith("T00:00:00Z") else doc[name]
            )
    if "DueDate" in doc and "StartDate" in doc and text(doc["DueDate"]) < text(doc["StartDate"]):
        doc["StartDate"] = doc["DueDate"]
