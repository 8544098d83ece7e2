"""Items as clients see them: stored properties and those that the server works out."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from engine.sandbox.exchange import calendar_view, grammar, mapi
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.item_values import COMPUTED, CONSTANTS, TASKS, hyper, plain
from engine.sandbox.exchange.nodes import (
    Node,
    attribute,
    child,
    children,
    entries,
    render,
    text,
)
from engine.sandbox.exchange.paths import Extended, Indexed, Path
from engine.sandbox.exchange.shapes import Shape, Value, extended_values
from engine.sandbox.exchange.store import Item

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
        worker = COMPUTED.get(name)
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
            found = TASKS.get(name)
            if name == "Owner":
                found = self.call.box(self.item.mailbox).name
            if found is not None:
                return found
        return CONSTANTS.get(name)

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
