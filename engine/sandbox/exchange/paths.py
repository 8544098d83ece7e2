"""Paths to properties: field URIs, indexed fields (an e-mail address of three), extended (MAPI) properties."""

from __future__ import annotations

from dataclasses import dataclass

from lxml import etree

from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.nodes import local, quoted

PROPERTY_SETS = {
    "Meeting": "6ed8da90-450b-101b-98da-00aa003f1305",
    "Appointment": "00062002-0000-0000-c000-000000000046",
    "Common": "00062008-0000-0000-c000-000000000046",
    "PublicStrings": "00020329-0000-0000-c000-000000000046",
    "Address": "00062004-0000-0000-c000-000000000046",
    "InternetHeaders": "00020386-0000-0000-c000-000000000046",
    "CalendarAssistant": "11000e07-b51b-40d6-af21-caa85edab1d0",
    "UnifiedMessaging": "4442858e-a9e3-4e80-b900-317a210cc15b",
    "Task": "00062003-0000-0000-c000-000000000046",
    "Sharing": "00062040-0000-0000-c000-000000000046",
}
"""GUIDs of the distinguished property sets ([MS-OXPROPS] 1.3.2)."""

INDEXED = {
    "contacts:EmailAddress": ("EmailAddresses", ""),
    "contacts:PhoneNumber": ("PhoneNumbers", ""),
    "contacts:ImAddress": ("ImAddresses", ""),
    "contacts:PhysicalAddress:Street": ("PhysicalAddresses", "Street"),
    "contacts:PhysicalAddress:City": ("PhysicalAddresses", "City"),
    "contacts:PhysicalAddress:State": ("PhysicalAddresses", "State"),
    "contacts:PhysicalAddress:CountryOrRegion": ("PhysicalAddresses", "CountryOrRegion"),
    "contacts:PhysicalAddress:PostalCode": ("PhysicalAddresses", "PostalCode"),
    "item:InternetMessageHeader": ("InternetMessageHeaders", ""),
    "distributionlist:Members:Member": ("Members", ""),
}
"""Property and part of an entry that an indexed field URI means."""

_RENAMED = {
    "contacts:PhysicalAddresses": "PhysicalAddresses",
    "folder:PermissionSet": "PermissionSet",
    "meetingRequest:MeetingRequestType": "MeetingRequestType",
}

FAMILIES: dict[str, tuple[str, ...]] = {
    "item": (),
    "message": (
        "Message",
        "MeetingMessage",
        "MeetingRequest",
        "MeetingResponse",
        "MeetingCancellation",
        "SharingMessage",
    ),
    "calendar": ("CalendarItem", "MeetingRequest", "MeetingCancellation", "MeetingResponse"),
    "meeting": ("MeetingMessage", "MeetingRequest", "MeetingResponse", "MeetingCancellation"),
    "meetingRequest": ("MeetingRequest",),
    "task": ("Task",),
    "contacts": ("Contact",),
    "distributionlist": ("DistributionList",),
    "postitem": ("PostItem",),
}
"""Elements on which the fields of a family stand; ``item`` fields stand on all."""


@dataclass(frozen=True, slots=True)
class Field:
    """A property by field URI: its element's name, and the family of the URI."""

    name: str
    family: str

    def xml(self) -> str:
        """The path as an element."""
        return f'<t:FieldURI FieldURI="{self.family}:{self.name}"/>'


@dataclass(frozen=True, slots=True)
class Indexed:
    """One entry of a dictionary property, or one part of it (the city of the home address)."""

    name: str
    index: str
    part: str
    uri: str

    def xml(self) -> str:
        """The path as an element."""
        return f'<t:IndexedFieldURI FieldURI="{self.uri}" FieldIndex="{quoted(self.index)}"/>'


@dataclass(frozen=True, slots=True)
class Extended:
    """An extended property. ``key`` is the same however the property set was named; ``shown`` is what the client wrote."""

    key: str
    kind: str
    shown: str

    def xml(self) -> str:
        """The path as an element."""
        return self.shown


Path = Field | Indexed | Extended


def read(element: etree._Element) -> Path:
    """The path that a ``FieldURI``, ``IndexedFieldURI`` or ``ExtendedFieldURI`` element names.

    Raises:
        EwsError: an extended path without or with contradicting identifiers.
    """
    name = local(element)
    if name == "FieldURI":
        uri = element.get("FieldURI", "")
        return Field(_RENAMED.get(uri, uri.rpartition(":")[2]), uri.partition(":")[0])
    if name == "IndexedFieldURI":
        uri = element.get("FieldURI", "")
        base, part = INDEXED[uri]
        return Indexed(base, element.get("FieldIndex", ""), part, uri)
    return extended(element)


def extended(element: etree._Element) -> Extended:
    """The extended property that an ``ExtendedFieldURI`` element names.

    Raises:
        EwsError: ``ErrorInvalidExtendedProperty``.
    """
    given = {str(key): str(value) for key, value in element.attrib.items()}
    kind = given.get("PropertyType", "")
    tag, name, number = given.get("PropertyTag"), given.get("PropertyName"), given.get("PropertyId")
    group = given.get("PropertySetId")
    known = given.get("DistinguishedPropertySetId")
    shown = "".join(f' {key}="{quoted(value)}"' for key, value in given.items())
    shown = f"<t:ExtendedFieldURI{shown}/>"
    if kind.startswith(("Object", "Error", "Null")):
        raise EwsError("ErrorUnsupportedMapiPropertyType", f"The property type {kind} is not supported.")
    if tag is not None:
        if name or number or group or known:
            raise _contradiction()
        return Extended(f"{number_of(tag):#06x}/{kind}", kind, shown)
    if (group is None) == (known is None) or (name is None) == (number is None):
        raise _contradiction()
    guid = PROPERTY_SETS.get(known, "") if known else (group or "").lower()
    what = f"{int(number):#06x}" if number is not None else f"'{name}'"
    # Names of internet headers are compared without case, others with it ([MS-OXCMSG], [MS-OXPROPS]).
    if known == "InternetHeaders" or guid == PROPERTY_SETS["InternetHeaders"]:
        what = what.lower()
    return Extended(f"{guid}/{what}/{kind}", kind, shown)


def number_of(text: str) -> int:
    """A number written in decimal or, after ``0x``, in hexadecimal digits."""
    digits = text.lower().removeprefix("0x")
    return int(digits or "0", 16 if text.lower().startswith("0x") else 10)


def _contradiction() -> EwsError:
    return EwsError(
        "ErrorInvalidExtendedProperty",
        "The extended property attribute combination is invalid: name a tag, or a property set with a name or an id.",
    )
