"""Subscriptions of a real Exchange sandbox, every request checked against the schema: pushed to our listener, and asked."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from engine.mailbox.exchange.connector import ExchangeConnector
from engine.model.port import Account, CalendarMode, Channel, News, PushMode, Scope
from engine.model.setup import Push
from engine.net.errors import ProviderError
from engine.push.exchange import Notification
from engine.push.google import WatchMessage
from engine.push.listener import listening
from tests.mailbox.exchange.lab import STRUCTURE, Lab, lab


@pytest.fixture
def place() -> Iterator[Lab]:
    with lab() as running:
        yield running


class Heard:
    """Keeps what comes, and answers as it is told."""

    def __init__(self) -> None:
        self.notifications: list[tuple[str, Notification]] = []
        self.keep = True
        self.came = asyncio.Condition()
        self._tasks: set[asyncio.Task[None]] = set()

    def watched(self, message: WatchMessage) -> bool:
        return False

    def notified(self, token: str, notification: Notification) -> bool:
        self.notifications.append((token, notification))
        task = asyncio.get_running_loop().create_task(self._tell())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return self.keep

    async def _tell(self) -> None:
        async with self.came:
            self.came.notify_all()

    async def until(self, changes: int) -> None:
        async with self.came, asyncio.timeout(90):
            await self.came.wait_for(lambda: sum(each.changes for _, each in self.notifications) >= changes)


async def feeds(connector: ExchangeConnector, account: Account) -> list[Scope]:
    return list(
        (await connector.ensure(account, replace(STRUCTURE, calendar_mode=CalendarMode.COLOUR), {})).scopes
    )


def calendar_of(scopes: list[Scope]) -> set[str]:
    """The calendar's id."""
    return {scope.remote_id for scope in scopes if scope.key == "calendar"}


async def touch(connector: ExchangeConnector, account: Account) -> None:
    """Something changes in the mailbox: a folder of a further structure is of no account, an item is."""
    body = (
        '<m:CreateItem SendMeetingInvitations="SendToNone"><m:SavedItemFolderId>'
        '<t:DistinguishedFolderId Id="calendar"/></m:SavedItemFolderId><m:Items><t:CalendarItem>'
        "<t:Subject>Told</t:Subject><t:Start>2026-12-01T10:00:00Z</t:Start><t:End>2026-12-01T11:00:00Z</t:End>"
        "</t:CalendarItem></m:Items></m:CreateItem>"
    )
    (message,) = await connector.client.call(account, "CreateItem", body, idempotent=False)
    assert message.ok, message.code


async def test_changes_are_pushed_to_the_listener(place: Lab) -> None:
    heard = Heard()
    async with listening(Push("127.0.0.1:0", "http://127.0.0.1/"), heard) as port:  # noqa: SIM117
        async with place.connector(mode="push", notification_url=f"http://127.0.0.1:{port}/ews") as connector:
            assert connector.push_mode is PushMode.PUSH
            scopes = await feeds(connector, place.account)
            ((key, channel),) = await connector.subscribe(place.account, scopes, "name", "", "token")
            assert (key, channel.resource) == ("", "name")
            await touch(connector, place.account)
            await heard.until(1)
            token, last = heard.notifications[-1]
            assert (token, last.subscription) == ("name.token", channel.remote_id)
            assert last.watermark not in {"", channel.watermark}
            assert {place for _, one in heard.notifications for place in one.places} == calendar_of(scopes)
            # Answered with Unsubscribe, it is told no more.
            heard.keep = False
            await touch(connector, place.account)
            await heard.until(2)
            number = len(heard.notifications)
            await touch(connector, place.account)
            await asyncio.sleep(0)
            assert len(heard.notifications) == number


async def test_a_pull_subscription_is_asked_and_ended(place: Lab) -> None:
    async with place.connector(mode="pull") as connector:
        scopes = await feeds(connector, place.account)
        ((_, channel),) = await connector.subscribe(place.account, scopes, "name", "", "")
        assert await connector.changed(place.account, channel) == (channel.watermark, News(0))
        for _ in range(3):
            await touch(connector, place.account)
        watermark, news = await connector.changed(place.account, channel)
        assert (watermark != channel.watermark, news.changes >= 3) == (True, True)
        assert news.places == calendar_of(scopes)
        channel = Channel(channel.remote_id, channel.resource, watermark)
        assert (await connector.changed(place.account, channel))[1] == News(0)
        await connector.unsubscribe(place.account, channel)
        await connector.unsubscribe(place.account, channel)  # one that is gone is no error
        with pytest.raises(ProviderError):
            await connector.changed(place.account, channel)


async def test_changes_come_over_a_connection_that_is_kept_open(place: Lab) -> None:
    async with place.connector(mode="streaming") as connector:
        assert connector.push_mode is PushMode.STREAM
        scopes = await feeds(connector, place.account)
        ((_, channel),) = await connector.subscribe(place.account, scopes, "name", "", "")
        told: list[tuple[str, News]] = []
        async with asyncio.timeout(90):
            news = connector.stream(place.account, [channel], 1)
            await touch(connector, place.account)
            async for each in news:
                told.append(each)
                if sum(news.changes for _, news in told) >= 1:
                    break
        assert {name for name, _ in told} == {channel.remote_id}
        assert told[-1][1].places == calendar_of(scopes)
        await connector.unsubscribe(place.account, channel)
        with pytest.raises(ProviderError):
            async for _ in connector.stream(place.account, [channel], 1):
                pass
