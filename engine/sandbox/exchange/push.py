"""Push subscriptions: the server posts SendNotification to the client's URL, with status pings and retries."""

from __future__ import annotations

import asyncio
import re
from contextlib import suppress

import httpx

from engine.sandbox.exchange import soap, subscriptions
from engine.sandbox.exchange.events import Hub, Subscription
from engine.sandbox.kit.world import World

FIRST_RETRY_SECONDS = 30.0
"""Wait before the first retry; each further one waits twice as long, until the status frequency is used up."""
_STATUS = re.compile(rb"SubscriptionStatus>\s*(\w+)\s*<")


async def serve(world: World, hub: Hub, subscription: Subscription, version: str) -> None:
    """Post what happens until the client unsubscribes or cannot be reached for the length of its status frequency.

    Settings: ``exchange_push_minute_seconds`` (what a minute of the status frequency lasts, 60), and
    ``exchange_push_retry_seconds`` (the first wait after a failed post, 30).

    Args:
        world: clock, counters, settings.
        hub: from which the subscription is taken when it ends.
        subscription: the push subscription.
        version: of the server, for the header.
    """
    minute = float(world.settings.get("exchange_push_minute_seconds", 60.0))
    async with httpx.AsyncClient(timeout=30.0, trust_env=False) as client:
        try:
            if not await _deliver(world, client, subscription, version):
                return
            while subscription.id in hub.subscriptions:
                subscription.news.clear()
                if not subscription.events:
                    # Without news in time it is time for a status ping.
                    with suppress(TimeoutError):
                        await asyncio.wait_for(subscription.news.wait(), subscription.minutes * minute)
                if subscription.id not in hub.subscriptions or not await _deliver(
                    world, client, subscription, version
                ):
                    return
        finally:
            hub.subscriptions.pop(subscription.id, None)
            world.counters["exchange.push_ended"] += 1


async def _deliver(world: World, client: httpx.AsyncClient, subscription: Subscription, version: str) -> bool:
    """One notification, with retries; False when the subscription has ended by it."""
    minute = float(world.settings.get("exchange_push_minute_seconds", 60.0))
    wait = float(world.settings.get("exchange_push_retry_seconds", FIRST_RETRY_SECONDS))
    waited = 0.0
    while True:
        happened = subscription.events[: subscriptions.MOST_AT_ONCE]
        number = subscription.start
        status = await _post(world, client, subscription, version)
        if status == "OK":
            subscription.drop_before(number + len(happened))
            return True
        if status == "Unsubscribe":
            return False
        world.counters["exchange.push_failed"] += 1
        if waited + wait > subscription.minutes * minute:
            world.counters["exchange.push_given_up"] += 1
            return False
        await asyncio.sleep(wait)
        waited += wait
        wait *= 2


async def _post(world: World, client: httpx.AsyncClient, subscription: Subscription, version: str) -> str:
    happened = subscription.events[: subscriptions.MOST_AT_ONCE]
    inner = soap.answer(
        "SendNotification",
        [
            soap.success(
                "SendNotification",
                subscriptions.notification(world, subscription, happened, subscription.start, subscription.end),
            )
        ],
    ).replace("m:SendNotificationResponse>", "m:SendNotification>")
    headers = {
        "Content-Type": "text/xml; charset=utf-8",
        "SOAPAction": "http://schemas.microsoft.com/exchange/services/2006/messages/SendNotification",
    }
    try:
        answer = await client.post(subscription.url, content=soap.envelope(inner, version), headers=headers)
    except httpx.HTTPError:
        return ""
    world.counters["exchange.push_sent"] += 1
    found = _STATUS.search(answer.content)
    return found[1].decode() if answer.is_success and found else ""
