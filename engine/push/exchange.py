"""A push notification of Exchange: what ``SendNotification`` says, and the answers OK and Unsubscribe.

Exchange posts an event when something changes and a status ping after each StatusFrequency (domain.md 5.6). The answer is
SOAP, too; whoever answers anything else is tried again, ever more rarely, and forgotten after StatusFrequency.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lxml import etree

_SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
_MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
_TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"

#: Events that are no change: the ping, and one that only says that the folder has been listed anew.
_STATUS = "StatusEvent"

#: Event elements of the schema (types.xsd, NotificationType).
EVENTS = frozenset(
    {
        "CopiedEvent",
        "CreatedEvent",
        "DeletedEvent",
        "ModifiedEvent",
        "MovedEvent",
        "NewMailEvent",
        "FreeBusyChangedEvent",
    }
)


@dataclass(frozen=True, slots=True)
class Notification:
    """What one ``SendNotification`` says.

    Attributes:
        subscription: its id.
        watermark: the newest one in it.
        changes: how many changes it tells of; 0: a status ping.
        places: ids of the folders in which they are; a folder that changes itself is named by its own.
        error: response code of a notification that is none, such as ``ErrorSubscriptionNotFound``; empty: none.
    """

    subscription: str
    watermark: str
    changes: int
    error: str = ""
    places: frozenset[str] = frozenset()


class Unreadable(Exception):
    """The body is no ``SendNotification``."""


def read(body: bytes) -> Notification:
    """Parse a body. Entities and document types are refused, and nothing is fetched.

    Raises:
        Unreadable: it is none.
    """
    parser = etree.XMLParser(resolve_entities=False, no_network=True, huge_tree=False, load_dtd=False)
    try:
        root = etree.fromstring(body, parser)
    except (etree.XMLSyntaxError, ValueError):
        raise Unreadable("no XML") from None
    if root.getroottree().docinfo.doctype:
        raise Unreadable("a document type")
    found = root.find(f"{{{_SOAP}}}Body/{{{_MESSAGES}}}SendNotification")
    if found is None:
        raise Unreadable("no SendNotification")
    subscription = watermark = error = ""
    changes = 0
    places: set[str] = set()
    for message in found.iter(f"{{{_MESSAGES}}}SendNotificationResponseMessage"):
        code = message.findtext(f"{{{_MESSAGES}}}ResponseCode") or ""
        if message.get("ResponseClass") == "Error":
            error = error or code or "Error"
        notification = message.find(f"{{{_MESSAGES}}}Notification")
        if notification is None:
            continue
        named = notification.findtext(f"{{{_TYPES}}}SubscriptionId") or ""
        if subscription and named != subscription:
            raise Unreadable("two subscriptions in one notification")
        subscription = named
        for event in notification:
            if not isinstance(event.tag, str):
                continue
            name = etree.QName(event).localname
            if name in EVENTS:
                changes += 1
                places |= _places(event)
            if name in EVENTS or name == _STATUS:
                watermark = event.findtext(f"{{{_TYPES}}}Watermark") or watermark
    if not subscription and not error:
        raise Unreadable("no subscription is named")
    return Notification(subscription, watermark, changes, error, frozenset(places))


def _places(event: Any) -> set[str]:
    own = event.find(f"{{{_TYPES}}}FolderId")
    names = ("ParentFolderId", "OldParentFolderId")
    found = [own] if own is not None else [event.find(f"{{{_TYPES}}}{name}") for name in names]
    return {str(one.get("Id")) for one in found if one is not None}


def answer(keep: bool) -> bytes:
    """The SOAP answer: go on, or end the subscription."""
    status = "OK" if keep else "Unsubscribe"
    return (
        '<?xml version="1.0" encoding="utf-8"?>'
        f'<s:Envelope xmlns:s="{_SOAP}"><s:Body><SendNotificationResult xmlns="{_MESSAGES}">'
        f"<SubscriptionStatus>{status}</SubscriptionStatus></SendNotificationResult></s:Body></s:Envelope>"
    ).encode()
