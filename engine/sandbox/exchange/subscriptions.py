"""Subscribe, Unsubscribe, GetEvents, and notifications as XML."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from urllib.parse import urlsplit

from lxml import etree

from engine.sandbox.exchange import events, folders, ids, soap, store, times
from engine.sandbox.exchange.call import Call, each, mailbox_of
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.events import Event, Subscription
from engine.sandbox.exchange.nodes import elements, flag, local, render, text
from engine.sandbox.kit.world import World

MOST_AT_ONCE = 100
"""Events in one notification at most."""
MOST_SUBSCRIPTIONS = 20
"""``EWSMaxSubscriptions`` of a mailbox in Exchange 2013 and later; setting ``exchange_subscriptions``."""
_KINDS = {
    "PullSubscriptionRequest": "pull",
    "PushSubscriptionRequest": "push",
    "StreamingSubscriptionRequest": "streaming",
}


def subscribe(call: Call) -> str:
    """``Subscribe``."""

    def one(element: etree._Element) -> str:
        made = _read(call, element)
        call.hub.expire(call.world.clock.now_ms())
        known = [other for other in call.hub.subscriptions.values() if other.mailbox == made.mailbox]
        if len(known) >= int(call.world.settings.get("exchange_subscriptions", MOST_SUBSCRIPTIONS)):
            raise EwsError(
                "ErrorExceededSubscriptionCount",
                "You have exceeded the available subscriptions for your account.",
            )
        call.hub.add(made)
        if made.kind == "push":
            call.started.append(made)
        mark = f"<m:Watermark>{watermark(made, made.end)}</m:Watermark>" if made.kind != "streaming" else ""
        return f"<m:SubscriptionId>{made.id}</m:SubscriptionId>{mark}"

    return each(call, elements(call.request), one)


def _read(call: Call, element: etree._Element) -> Subscription:
    kind = _KINDS[local(element)]
    rows: frozenset[int] | None = None
    if element.get("SubscribeToAllFolders") in ("true", "1"):
        mailbox = mailbox_of(call, None)
        if soap.find(element, "FolderIds") is not None:
            raise EwsError(
                "ErrorInvalidSubscriptionRequest", "Folder ids and SubscribeToAllFolders exclude each other."
            )
        row = mailbox.row
    else:
        holder = soap.find(element, "FolderIds")
        found = [] if holder is None else [folders.find(call, one) for one in elements(holder)]
        if not found:
            raise EwsError("ErrorInvalidSubscriptionRequest", "A subscription needs at least one folder.")
        if len({one.mailbox for one in found}) > 1:
            raise EwsError("ErrorInvalidSubscriptionRequest", "All folders must be of one mailbox.")
        row, rows = found[0].mailbox, frozenset(one.row for one in found)
    types = soap.find(element, "EventTypes")
    kinds = frozenset(
        text(one.text or "").removesuffix("Event") for one in (() if types is None else elements(types))
    )
    prefix = base64.b64encode(b"\x10\x00exchange." + call.box(row).guid).decode().rstrip("=")
    made = Subscription(events.new_id(prefix), kind, call.account.name, row, rows, kinds)
    made.start = store.last_seq(call.world)
    if kind == "pull":
        made.minutes = int(soap.text_at(element, "Timeout") or 30)
        made.expires_ms = call.world.clock.now_ms() + made.minutes * 60_000
    elif kind == "push":
        made.minutes = int(soap.text_at(element, "StatusFrequency") or 30)
        made.url = soap.text_at(element, "URL") or ""
        made.caller_data = soap.text_at(element, "CallerData") or ""
        if urlsplit(made.url).scheme not in ("http", "https") or not urlsplit(made.url).hostname:
            raise EwsError("ErrorInvalidPushSubscriptionUrl", "Invalid URL for push subscription.")
    mark = soap.text_at(element, "Watermark")
    if mark:
        _read_mark(mark)
    return made


def watermark(subscription: Subscription, number: int) -> str:
    """The watermark after the event before ``number``."""
    return ids.pack(3, subscription.mailbox, number)


def _read_mark(mark: str) -> int:
    try:
        kind, _, number = ids.unpack(mark)
    except ValueError:
        kind, number = 0, 0
    if kind != 3:
        raise EwsError("ErrorInvalidWatermark", "The watermark is invalid.")
    return number


def find(call: Call, subscription_id: str, kind: str = "") -> Subscription:
    """The subscription of that id.

    Raises:
        EwsError: unknown or ended, another account's, or of another kind.
    """
    call.hub.expire(call.world.clock.now_ms())
    found = call.hub.subscriptions.get(subscription_id)
    if found is None:
        raise EwsError("ErrorSubscriptionNotFound", "The specified subscription was not found.")
    if found.account != call.account.name:
        raise EwsError("ErrorSubscriptionAccessDenied", "The subscription is another account's.")
    if kind and found.kind != kind:
        raise EwsError("ErrorInvalidSubscription", f"The subscription is not a {kind} subscription.")
    return found


def unsubscribe(call: Call) -> str:
    """``Unsubscribe``."""

    def one(subscription_id: str) -> str:
        found = find(call, subscription_id)
        del call.hub.subscriptions[found.id]
        found.news.set()
        return ""

    return each(call, [soap.text_at(call.request, "SubscriptionId") or ""], one)


def get_events(call: Call) -> str:
    """``GetEvents`` of a pull subscription."""

    def one(subscription_id: str) -> str:
        found = find(call, subscription_id, "pull")
        number = _read_mark(soap.text_at(call.request, "Watermark") or "")
        if found.missed and number < found.start:
            del call.hub.subscriptions[found.id]
            raise EwsError(
                "ErrorMissedNotificationEvents", "Some events were missed; subscribe again and synchronise."
            )
        if not found.start <= number <= found.end:
            raise EwsError("ErrorInvalidWatermark", "The watermark is invalid.")
        found.drop_before(number)
        found.expires_ms = call.world.clock.now_ms() + found.minutes * 60_000
        return notification(call.world, found, found.events[:MOST_AT_ONCE], number, found.end)

    return each(call, [soap.text_at(call.request, "SubscriptionId") or ""], one)


def notification(
    world: World, subscription: Subscription, happened: Sequence[Event], number: int, end: int
) -> str:
    """A ``Notification`` of events from ``number`` on, or of a status event when nothing has happened."""
    with_marks = subscription.kind != "streaming"
    inner = []
    for place, event in enumerate(happened):
        mark = watermark(subscription, number + place + 1) if with_marks else ""
        inner.append(_event(world, event, mark))
    if not inner:
        mark = f"<t:Watermark>{watermark(subscription, number)}</t:Watermark>" if with_marks else ""
        inner.append(f"<t:StatusEvent>{mark}</t:StatusEvent>")
    before = ""
    if with_marks:
        more = number + len(happened) < end
        before = f"<t:PreviousWatermark>{watermark(subscription, number)}</t:PreviousWatermark>"
        before += f"<t:MoreEvents>{flag(more)}</t:MoreEvents>"
    return (
        f"<m:Notification><t:SubscriptionId>{subscription.id}</t:SubscriptionId>{before}{''.join(inner)}"
        "</m:Notification>"
    )


def _event(world: World, event: Event, mark: str) -> str:
    guid = store.mailbox_by_row(world, event.mailbox).guid
    kind = "F" if event.of_folder else "I"
    name = "FolderId" if event.of_folder else "ItemId"

    def identity(as_: str, letter: str, row: int) -> str:
        seq = 0
        tag = "Folder"
        if letter == "I":
            item = store.item(world, row)
            if item is not None:
                tag, seq = item.tag, store.key_seq(item)
        else:
            folder = store.folder(world, row)
            seq = folder.seq if folder is not None else 0
        key = ids.change_key(tag, seq)
        return render(as_, {"a": {"Id": str(ids.Id(guid, letter, row)), "ChangeKey": key}, "t": ""})

    inner = f"<t:Watermark>{mark}</t:Watermark>" if mark else ""
    inner += f"<t:TimeStamp>{times.stamp(event.at_ms)}</t:TimeStamp>"
    inner += identity(name, kind, event.row) + identity("ParentFolderId", "F", event.folder)
    if event.kind in ("Moved", "Copied"):
        inner += identity(f"Old{name}", kind, event.old_row) + identity(
            "OldParentFolderId", "F", event.old_folder
        )
    return f"<t:{event.kind}Event>{inner}</t:{event.kind}Event>"


HANDLERS = {"Subscribe": subscribe, "Unsubscribe": unsubscribe, "GetEvents": get_events}
