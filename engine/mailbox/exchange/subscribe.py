"""Subscriptions of Exchange: push with status pings, streaming, and pull. Notifications of push come to the listener (``engine.push``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.errors import fault_of
from engine.mailbox.exchange.folders import reference
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.xml import M, T, element, leaf
from engine.model.port import Account, Channel, News, PushMode, Scope

#: What we want to hear of. New mails are creations, too.
EVENTS = ("CreatedEvent", "DeletedEvent", "ModifiedEvent", "MovedEvent", "CopiedEvent")

#: A pull subscription that is not asked for so long ends, minutes (1 to 1440).
_PULL_MINUTES = 30


async def subscribe(
    client: ExchangeClient,
    account: Account,
    scopes: Sequence[Scope],
    channel_id: str,
    address: str,
    token: str,
    mode: PushMode,
) -> list[tuple[str, Channel]]:
    """One subscription for all folders of a mailbox. See ``engine.model.port.Pushing``.

    It is charged to the mailbox (providers.md section 3); one that is made twice costs a second ping now and then, until we
    answer that one with Unsubscribe.
    """
    folders = "".join(dict.fromkeys(reference(scope.remote_id) for scope in scopes if scope.remote_id))
    if not folders:
        return []
    body = element("t:FolderIds", folders)
    body += element("t:EventTypes", "".join(leaf("t:EventType", event) for event in EVENTS))
    settings = client.settings
    if mode is PushMode.STREAM:
        request = element("m:StreamingSubscriptionRequest", body)
    elif mode is PushMode.PUSH:
        base = (settings.notification_url or address).rstrip("/")
        body += leaf("t:StatusFrequency", settings.notification_frequency)
        body += leaf("t:URL", f"{base}/{channel_id}.{token}")
        request = element("m:PushSubscriptionRequest", body)
    else:
        body += leaf("t:Timeout", _PULL_MINUTES)
        request = element("m:PullSubscriptionRequest", body)
    (message,) = await client.call(account, "Subscribe", element("m:Subscribe", request), idempotent=True)
    _check(message)
    remote_id = message.node.findtext(M + "SubscriptionId") or ""
    return [("", Channel(remote_id, channel_id, message.node.findtext(M + "Watermark") or ""))]


async def unsubscribe(client: ExchangeClient, account: Account, channel: Channel, mode: PushMode) -> None:
    """End a subscription. A push subscription is ended by the answer to its next notification."""
    if mode is PushMode.PUSH:
        return
    body = element("m:Unsubscribe", leaf("m:SubscriptionId", channel.remote_id))
    (message,) = await client.call(account, "Unsubscribe", body, idempotent=True)
    if message.code not in {"ErrorSubscriptionNotFound", "ErrorInvalidSubscription"}:
        _check(message)


def news_of(notification: Any) -> News:
    """What one ``Notification`` tells, and of which folders. A folder that changes itself is named by its own id."""
    places: set[str] = set()
    changes = 0
    for event in EVENTS:
        for one in notification.findall(T + event):
            changes += 1
            own = one.find(T + "FolderId")
            found = (
                [own]
                if own is not None
                else [one.find(T + "ParentFolderId"), one.find(T + "OldParentFolderId")]
            )
            places |= {str(each.get("Id")) for each in found if each is not None}
    return News(changes, frozenset(places))


async def changed(client: ExchangeClient, account: Account, channel: Channel) -> tuple[str, News]:
    """Ask a pull subscription what has changed since its watermark: the new one, and the changes."""
    watermark, news = channel.watermark, News(0)
    while True:
        body = element(
            "m:GetEvents", leaf("m:SubscriptionId", channel.remote_id) + leaf("m:Watermark", watermark)
        )
        (message,) = await client.call(account, "GetEvents", body, idempotent=True)
        _check(message)
        told = message.node.find(M + "Notification")
        if told is None:
            return watermark, news
        more = news_of(told)
        news = News(news.changes + more.changes, news.places | more.places)
        after = [mark.text for mark in told.iter(T + "Watermark") if mark.text]
        before, watermark = watermark, after[-1] if after else watermark
        if told.findtext(T + "MoreEvents") != "true" or watermark == before:
            return watermark, news


def _check(message: Message) -> None:
    if not message.ok:
        raise fault_of(message.code, message.text, message.back_off)
