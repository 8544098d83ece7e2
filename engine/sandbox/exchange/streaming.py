"""GetStreamingEvents: one long answer, a SOAP envelope per piece of news, until the connection's time is over."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from engine.sandbox.exchange import soap, subscriptions
from engine.sandbox.exchange.call import Call
from engine.sandbox.exchange.errors import EwsError
from engine.sandbox.exchange.events import Subscription
from engine.sandbox.exchange.nodes import elements, escape

MOST_CONNECTIONS = 10
"""``HangingConnectionLimit``; setting ``exchange_hanging_connections``."""
_PING_SECONDS = 45.0


def stream(call: Call, version: str) -> AsyncIterator[bytes]:
    """The envelopes of a streaming answer.

    Settings: ``exchange_stream_minute_seconds`` (what a minute of the connection timeout lasts, 60),
    ``exchange_stream_ping_seconds`` (silence after which a status event is sent, 45).

    Args:
        call: the request.
        version: of the server, for the header.
    """
    holder = soap.find(call.request, "SubscriptionIds")
    names = [] if holder is None else [one.text or "" for one in elements(holder)]
    found, wrong = [], []
    code = "ErrorInvalidSubscription"
    for name in names:
        try:
            found.append(subscriptions.find(call, name, "streaming"))
        except EwsError as error:
            code = "ErrorSubscriptionNotFound" if error.code == "ErrorSubscriptionNotFound" else code
            wrong.append(name)
    minutes = int(soap.text_at(call.request, "ConnectionTimeout") or 30)
    return _stream(call, version, found, _refusal(code, wrong) if wrong else "", minutes)


def _refusal(code: str, names: list[str]) -> str:
    inner = "".join(f"<t:SubscriptionId>{escape(name)}</t:SubscriptionId>" for name in names)
    error = EwsError(code, "The specified subscription was not found.")
    error.inner = f"<m:ErrorSubscriptionIds>{inner}</m:ErrorSubscriptionIds>"
    return soap.answer("GetStreamingEvents", [soap.failure("GetStreamingEvents", error)])


def _message(inner: str) -> str:
    return soap.answer("GetStreamingEvents", [soap.success("GetStreamingEvents", inner)])


async def _stream(
    call: Call, version: str, found: list[Subscription], refusal: str, minutes: int
) -> AsyncIterator[bytes]:
    if refusal:
        yield soap.envelope(refusal, version)
        return
    hub, settings = call.hub, call.world.settings
    number = hub.next_listener()
    for one in found:
        one.listener, old = number, one.listener
        if old:
            one.news.set()  # the older connection ends: one connection serves a subscription
    loop = asyncio.get_running_loop()
    end = loop.time() + minutes * float(settings.get("exchange_stream_minute_seconds", 60.0))
    silence = float(settings.get("exchange_stream_ping_seconds", _PING_SECONDS))
    try:
        yield soap.envelope(_message("<m:ConnectionStatus>OK</m:ConnectionStatus>"), version)
        while True:
            mine = [one for one in found if one.listener == number]
            if not mine:
                break
            gone = [one for one in mine if one.id not in hub.subscriptions]
            if gone:
                yield soap.envelope(_refusal("ErrorSubscriptionNotFound", [one.id for one in gone]), version)
                break
            news = [one for one in mine if one.events]
            for one in news:
                happened = one.events[: subscriptions.MOST_AT_ONCE]
                shown = subscriptions.notification(call.world, one, happened, one.start, one.end)
                yield soap.envelope(_message(f"<m:Notifications>{shown}</m:Notifications>"), version)
                one.drop_before(one.start + len(happened))
            if news:
                continue
            left = end - loop.time()
            if left <= 0:
                break
            if not await _wait(mine, min(left, silence)) and end > loop.time():
                shown = "".join(
                    subscriptions.notification(call.world, one, [], one.start, one.end) for one in mine
                )
                yield soap.envelope(_message(f"<m:Notifications>{shown}</m:Notifications>"), version)
        yield soap.envelope(_message("<m:ConnectionStatus>Closed</m:ConnectionStatus>"), version)
    finally:
        for one in found:
            if one.listener == number:
                one.listener = 0


async def _wait(mine: list[Subscription], seconds: float) -> bool:
    """Wait for news of any of the subscriptions; whether there are some."""
    for one in mine:
        one.news.clear()
    tasks = [asyncio.create_task(one.news.wait()) for one in mine]
    try:
        done, _ = await asyncio.wait(tasks, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(done)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
