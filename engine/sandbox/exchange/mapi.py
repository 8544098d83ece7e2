"""MAPI properties that stand for elements: clients read and write some of them by tag instead of by name.

Numbers are those of [MS-OXPROPS]; which of them matter was learnt from what gateways and mail programs ask for.
"""

from __future__ import annotations

import base64
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.sandbox.exchange import calendar, paths, store, times
from engine.sandbox.exchange.nodes import Doc, Node, attribute, child, children, entries, flag, text, truth
from engine.sandbox.exchange.paths import Extended
from engine.sandbox.exchange.shapes import Value

if TYPE_CHECKING:
    from engine.sandbox.exchange.views import View

_APPOINTMENT, _COMMON = paths.PROPERTY_SETS["Appointment"], paths.PROPERTY_SETS["Common"]
_TASK, _STRINGS = paths.PROPERTY_SETS["Task"], paths.PROPERTY_SETS["PublicStrings"]
_ADDRESS, _MEETING = paths.PROPERTY_SETS["Address"], paths.PROPERTY_SETS["Meeting"]
_HEADERS = paths.PROPERTY_SETS["InternetHeaders"]

ELEMENTS: dict[str, str] = {
    "0x0037/String": "Subject",
    "0x001a/String": "ItemClass",
    "0x3001/String": "DisplayName",
    "0x3a06/String": "GivenName",
    "0x3a44/String": "MiddleName",
    "0x3a11/String": "Surname",
    "0x3a05/String": "Generation",
    "0x3a0a/String": "Initials",
    "0x3a4f/String": "Nickname",
    "0x3a16/String": "CompanyName",
    "0x3a17/String": "JobTitle",
    "0x3a18/String": "Department",
    "0x3a19/String": "OfficeLocation",
    "0x3a46/String": "Profession",
    "0x3a48/String": "SpouseName",
    "0x3a4e/String": "Manager",
    "0x3a30/String": "AssistantName",
    "0x3a51/String": "BusinessHomePage",
    "0x3a42/SystemTime": "Birthday",
    "0x3a41/SystemTime": "WeddingAnniversary",
    "0x3007/SystemTime": "DateTimeCreated",
    "0x3008/SystemTime": "LastModifiedTime",
    "0x0e06/SystemTime": "DateTimeReceived",
    "0x0039/SystemTime": "DateTimeSent",
    "0x0e08/Integer": "Size",
    "0x1035/String": "InternetMessageId",
    "0x1042/String": "InReplyTo",
    "0x1039/String": "References",
    "0x0e04/String": "DisplayTo",
    "0x0e03/String": "DisplayCc",
    "0x0070/String": "ConversationTopic",
    f"{_ADDRESS}/0x8005/String": "FileAs",
    f"{_APPOINTMENT}/0x8208/String": "Location",
    f"{_APPOINTMENT}/0x820d/SystemTime": "Start",
    f"{_APPOINTMENT}/0x820e/SystemTime": "End",
    f"{_COMMON}/0x8516/SystemTime": "Start",
    f"{_COMMON}/0x8517/SystemTime": "End",
    f"{_APPOINTMENT}/0x8215/Boolean": "IsAllDayEvent",
    f"{_COMMON}/0x8503/Boolean": "ReminderIsSet",
    f"{_COMMON}/0x8501/Integer": "ReminderMinutesBeforeStart",
    f"{_TASK}/0x8104/SystemTime": "StartDate",
    f"{_TASK}/0x8105/SystemTime": "DueDate",
    f"{_TASK}/0x810f/SystemTime": "CompleteDate",
    f"{_TASK}/0x811c/Boolean": "IsComplete",
    f"{_STRINGS}/'urn:schemas:calendar:uid'/String": "UID",
}
"""Element name by property."""

_READ_ONLY = frozenset(
    ("DateTimeCreated", "LastModifiedTime", "DateTimeReceived", "DateTimeSent", "Size", "DisplayTo", "DisplayCc",
     "ItemClass", "ConversationTopic", "UID", "IsComplete")
)  # fmt: skip

_ENUMS: dict[str, tuple[str, tuple[str, ...]]] = {
    "0x0036/Integer": ("Sensitivity", ("Normal", "Personal", "Private", "Confidential")),
    "0x0017/Integer": ("Importance", ("Low", "Normal", "High")),
    f"{_APPOINTMENT}/0x8205/Integer": (
        "LegacyFreeBusyStatus",
        ("Free", "Tentative", "Busy", "OOF", "WorkingElsewhere"),
    ),
    f"{_TASK}/0x8101/Integer": (
        "Status",
        ("NotStarted", "InProgress", "Completed", "WaitingOnOthers", "Deferred"),
    ),
}
"""Element and its values in the order of their numbers."""

_ENTRIES: dict[str, tuple[str, str, str]] = {
    "0x3a08/String": ("PhoneNumbers", "BusinessPhone", ""),
    "0x3a1b/String": ("PhoneNumbers", "BusinessPhone2", ""),
    "0x3a09/String": ("PhoneNumbers", "HomePhone", ""),
    "0x3a2f/String": ("PhoneNumbers", "HomePhone2", ""),
    "0x3a1c/String": ("PhoneNumbers", "MobilePhone", ""),
    "0x3a1f/String": ("PhoneNumbers", "OtherTelephone", ""),
    "0x3a21/String": ("PhoneNumbers", "Pager", ""),
    "0x3a24/String": ("PhoneNumbers", "BusinessFax", ""),
    "0x3a25/String": ("PhoneNumbers", "HomeFax", ""),
    "0x3a1e/String": ("PhoneNumbers", "CarPhone", ""),
    "0x3a2d/String": ("PhoneNumbers", "Isdn", ""),
    "0x3a59/String": ("PhysicalAddresses", "Home", "City"),
    "0x3a5a/String": ("PhysicalAddresses", "Home", "CountryOrRegion"),
    "0x3a5b/String": ("PhysicalAddresses", "Home", "PostalCode"),
    "0x3a5c/String": ("PhysicalAddresses", "Home", "State"),
    "0x3a5d/String": ("PhysicalAddresses", "Home", "Street"),
    "0x3a5f/String": ("PhysicalAddresses", "Other", "City"),
    "0x3a60/String": ("PhysicalAddresses", "Other", "CountryOrRegion"),
    "0x3a61/String": ("PhysicalAddresses", "Other", "PostalCode"),
    "0x3a62/String": ("PhysicalAddresses", "Other", "State"),
    "0x3a63/String": ("PhysicalAddresses", "Other", "Street"),
    f"{_ADDRESS}/0x8045/String": ("PhysicalAddresses", "Business", "Street"),
    f"{_ADDRESS}/0x8046/String": ("PhysicalAddresses", "Business", "City"),
    f"{_ADDRESS}/0x8047/String": ("PhysicalAddresses", "Business", "State"),
    f"{_ADDRESS}/0x8048/String": ("PhysicalAddresses", "Business", "PostalCode"),
    f"{_ADDRESS}/0x8049/String": ("PhysicalAddresses", "Business", "CountryOrRegion"),
    f"{_ADDRESS}/0x8083/String": ("EmailAddresses", "EmailAddress1", ""),
    f"{_ADDRESS}/0x8093/String": ("EmailAddresses", "EmailAddress2", ""),
    f"{_ADDRESS}/0x80a3/String": ("EmailAddresses", "EmailAddress3", ""),
    f"{_ADDRESS}/0x8084/String": ("EmailAddresses", "EmailAddress1", ""),
    f"{_ADDRESS}/0x8094/String": ("EmailAddresses", "EmailAddress2", ""),
    f"{_ADDRESS}/0x80a4/String": ("EmailAddresses", "EmailAddress3", ""),
    f"{_ADDRESS}/0x8062/String": ("ImAddresses", "ImAddress1", ""),
}
"""Dictionary property, key of the entry, part of the entry."""

_KEYWORDS = f"{_STRINGS}/'Keywords'/StringArray"
_BODIES = ("0x1000/String", "0x1013/String", "0x1013/Binary")


def stored(doc: Doc, tag: int) -> str | None:
    """A text property that no element stands for, by tag."""
    found = doc.get("ExtendedProperty", {}).get(f"{tag:#06x}/String")
    return found if isinstance(found, str) else None


def value(view: View, path: Extended) -> Value | None:
    """What an extended property says that stands for something else; None when it stands for nothing."""
    key = path.key
    element = ELEMENTS.get(key)
    if element is not None:
        found = view.get(element)
        return None if found is None else text(found)
    if key in _ENUMS:
        element, names = _ENUMS[key]
        word = text(view.get(element))
        return str(names.index(word)) if word in names else None
    if key in _ENTRIES:
        name, index, part = _ENTRIES[key]
        entry = entries(view.item.doc.get(name)).get(index)
        found = child(entry, part) if part else entry
        return None if found is None else text(found)
    if key == _KEYWORDS:
        return [text(one) for _, one in children(view.item.doc.get("Categories"))] or None
    worker = _WORKERS.get(key)
    return worker(view) if worker is not None else None


def set_value(doc: Doc, path: Extended, found: Value | None) -> bool:
    """Write (or with None delete) what an extended property stands for; False when it stands for nothing."""
    key = path.key
    name = ELEMENTS.get(key)
    if name is not None and name not in _READ_ONLY:
        _put(doc, name, found if not isinstance(found, list) else None)
        return True
    if key in _ENUMS:
        name, names = _ENUMS[key]
        number = int(found) if isinstance(found, str) else -1
        _put(doc, name, names[number] if 0 <= number < len(names) else None)
        return True
    if key in _ENTRIES:
        name, index, part = _ENTRIES[key]
        set_entry(doc, name, index, part, found if isinstance(found, str) else None)
        return True
    if key == _KEYWORDS:
        _put(doc, "Categories", {"c": [["String", one] for one in found]} if isinstance(found, list) else None)
        return True
    if key == "0x1000/String":
        _put(doc, "Body", {"a": {"BodyType": "Text"}, "t": found} if isinstance(found, str) else None)
        return True
    if key == "0x0e07/Integer" and isinstance(found, str):
        # PidTagMessageFlags: 1 read, 8 unsent. It is how clients file a message that is no draft.
        doc["IsRead"], doc["IsDraft"] = flag(bool(int(found) & 1)), flag(bool(int(found) & 8))
        return True
    if key == f"{_COMMON}/0x8506/Boolean":
        _put(doc, "Sensitivity", "Private" if found == "true" else None)
        return True
    return False


def _put(doc: Doc, name: str, node: Node | None) -> None:
    if node is None:
        doc.pop(name, None)
    else:
        doc[name] = node


def set_entry(doc: Doc, name: str, index: str, part: str, found: Node | None) -> None:
    """Write (or with None delete) an entry of a dictionary property, or one part of it."""
    have = entries(doc.get(name))
    if part:
        parts = dict(children(have.get(index)))
        if found is None:
            parts.pop(part, None)
        else:
            parts[part] = text(found)
        order = ("Street", "City", "State", "CountryOrRegion", "PostalCode")
        entry: Node | None = (
            {"a": {"Key": index}, "c": [[one, parts[one]] for one in order if one in parts]} if parts else None
        )
    else:
        entry = None if found is None else {"a": {"Key": index}, "t": text(found)}
    if entry is None:
        have.pop(index, None)
    else:
        have[index] = entry
    if have:
        doc[name] = {"c": [["Entry", one] for one in have.values()]}
    else:
        doc.pop(name, None)


# -- worked out ------------------------------------------------------------------------------------------


def _search_key(view: View) -> str:
    return base64.b64encode(
        view.call.box(view.item.mailbox).guid[:8] + view.item.row.to_bytes(8, "big")
    ).decode()


def _entry_id(view: View) -> str:
    return store.item_id(view.call.box(view.item.mailbox).guid, view.item)


def _private(view: View) -> str:
    return flag(text(view.item.doc.get("Sensitivity")) in ("Private", "Confidential"))


def _message_flags(view: View) -> str:
    read = text(view.get("IsRead")) != "false"
    return str((1 if read else 0) | (8 if truth(view.item.doc.get("IsDraft")) else 0))


def _flag_status(view: View) -> str | None:
    word = text(child(view.item.doc.get("Flag"), "FlagStatus"))
    return {"Complete": "1", "Flagged": "2"}.get(word)


def _appointment_only(worker: Callable[[View], str | None]) -> Callable[[View], str | None]:
    return lambda view: worker(view) if view.item.tag == "CalendarItem" else None


def _goid(view: View) -> str | None:
    """GlobalObjectId ([MS-OXOCAL] 2.2.1.27): the UID in a frame."""
    uid = view.item.uid
    if not uid:
        return None
    head = bytes.fromhex("040000008200E00074C5B7101A82E008")
    try:
        raw = bytes.fromhex(uid)
        if raw.startswith(head):
            return base64.b64encode(raw).decode()
    except ValueError:
        pass
    data = b"vCal-Uid\x01\x00\x00\x00" + uid.encode() + b"\x00"
    return base64.b64encode(head + bytes(20) + len(data).to_bytes(4, "little") + data).decode()


def _percent(view: View) -> str | None:
    if view.item.tag != "Task":
        return None
    return str(float(text(view.get("PercentComplete")) or 0) / 100)


def _body(view: View) -> str | None:
    body = view.item.doc.get("Body")
    if body is None or attribute(body, "BodyType") != "Text":
        return text(view.get("TextBody")) or None
    return text(body)


def _address(index: str) -> Callable[[View], str | None]:
    def worker(view: View) -> str | None:
        entry = entries(view.item.doc.get("PhysicalAddresses")).get(index)
        if entry is None:
            return None
        parts = [
            text(child(entry, part)) for part in ("Street", "PostalCode", "City", "State", "CountryOrRegion")
        ]
        return "\r\n".join(part for part in parts if part)

    return worker


_WORKERS: dict[str, Callable[[View], Value | None]] = {
    "0x0ff9/Binary": _search_key,
    "0x300b/Binary": _search_key,
    "0x0fff/Binary": _entry_id,
    "0x65e0/Binary": _search_key,
    "0x0e07/Integer": _message_flags,
    "0x1090/Integer": _flag_status,
    "0x1000/String": _body,
    "0x0e23/Integer": lambda view: str(view.item.row or view.item.master),
    "0x670e/String": lambda view: f"/{view.item.row or view.item.master}.EML",
    "0x0e1b/Boolean": lambda view: text(view.get("HasAttachments")),
    f"{_COMMON}/0x8506/Boolean": _private,
    f"{_COMMON}/0x8502/SystemTime": lambda view: text(view.get("ReminderDueBy")) or None,
    f"{_APPOINTMENT}/0x8217/Integer": _appointment_only(lambda view: text(view.get("AppointmentState"))),
    f"{_APPOINTMENT}/0x8223/Boolean": _appointment_only(
        lambda view: flag(bool(view.item.master) or calendar.recurs(view.item.doc))
    ),
    f"{_APPOINTMENT}/0x8213/Integer": _appointment_only(
        lambda view: str((view.item.end_ms - view.item.start_ms) // 60_000)
    ),
    f"{_APPOINTMENT}/0x8235/SystemTime": _appointment_only(
        lambda view: times.stamp(view.item.start_ms) if calendar.recurs(view.item.doc) else None
    ),
    f"{_MEETING}/0x0003/Binary": _appointment_only(_goid),
    f"{_MEETING}/0x0023/Binary": _appointment_only(_goid),
    f"{_STRINGS}/'urn:schemas:calendar:instancetype'/Integer": _appointment_only(
        lambda view: {"Single": "0", "RecurringMaster": "1", "Occurrence": "2", "Exception": "3"}[
            text(view.get("CalendarItemType"))
        ]
    ),
    f"{_TASK}/0x8102/Double": _percent,
    f"{_ADDRESS}/0x801a/String": _address("Home"),
    f"{_ADDRESS}/0x801b/String": _address("Business"),
    f"{_ADDRESS}/0x801c/String": _address("Other"),
    f"{_HEADERS}/'to'/String": lambda view: text(view.get("DisplayTo")) or None,
    f"{_HEADERS}/'cc'/String": lambda view: text(view.get("DisplayCc")) or None,
}
