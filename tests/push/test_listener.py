"""The listener on a real socket: what it believes, what it answers, and what it never does."""

from __future__ import annotations

import logging
from dataclasses import replace

import httpx
import pytest

from engine.model.setup import Push
from engine.push import exchange, tokens
from engine.push.exchange import Notification, Unreadable
from engine.push.fault import ListenerFault
from engine.push.google import WatchMessage
from engine.push.listener import listening

PUSH = Push("127.0.0.1:0", "http://127.0.0.1/")
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"
M = "http://schemas.microsoft.com/exchange/services/2006/messages"
T = "http://schemas.microsoft.com/exchange/services/2006/types"

WATCH = {
    "X-Goog-Channel-ID": "chan-1",
    "X-Goog-Channel-Token": "t0ken-never-logged",
    "X-Goog-Resource-ID": "res",
    "X-Goog-Resource-State": "exists",
    "X-Goog-Message-Number": "7",
}


def notification(*events: str, subscription: str = "SUB", code: str = "NoError") -> bytes:
    """A ``SendNotification`` as Exchange posts it."""
    inner = "".join(
        f"<t:{name}><t:Watermark>W{number}</t:Watermark><t:TimeStamp>2026-11-28T12:00:00Z</t:TimeStamp>"
        f'<t:ItemId Id="AAA" ChangeKey="B"/><t:ParentFolderId Id="F" ChangeKey="C"/></t:{name}>'
        if name != "StatusEvent"
        else f"<t:StatusEvent><t:Watermark>W{number}</t:Watermark></t:StatusEvent>"
        for number, name in enumerate(events)
    )
    ok = "Success" if code == "NoError" else "Error"
    told = (
        f"<m:Notification><t:SubscriptionId>{subscription}</t:SubscriptionId>"
        f"<t:PreviousWatermark>W</t:PreviousWatermark><t:MoreEvents>false</t:MoreEvents>{inner}</m:Notification>"
        if code == "NoError"
        else ""
    )
    return (
        f'<?xml version="1.0"?><s:Envelope xmlns:s="{SOAP}" xmlns:m="{M}" xmlns:t="{T}"><s:Body>'
        f'<m:SendNotification><m:ResponseMessages><m:SendNotificationResponseMessage ResponseClass="{ok}">'
        f"<m:ResponseCode>{code}</m:ResponseCode>{told}</m:SendNotificationResponseMessage></m:ResponseMessages>"
        "</m:SendNotification></s:Body></s:Envelope>"
    ).encode()


class Heard:
    """Takes what is heard; knows one channel and one token."""

    def __init__(self) -> None:
        self.messages: list[WatchMessage] = []
        self.notifications: list[tuple[str, Notification]] = []

    def watched(self, message: WatchMessage) -> bool:
        self.messages.append(message)
        return message.token == "t0ken-never-logged"

    def notified(self, token: str, notification: Notification) -> bool:
        self.notifications.append((token, notification))
        return token == "known"


async def test_what_providers_post_is_understood_and_answered(caplog: pytest.LogCaptureFixture) -> None:
    heard = Heard()
    async with listening(PUSH, heard) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.post("/google", headers=WATCH)).status_code == 200
        assert heard.messages == [WatchMessage("chan-1", "t0ken-never-logged", "res", "exists", 7)]
        answer = await client.post(
            "/push/known", content=notification("StatusEvent", "ModifiedEvent", "CreatedEvent")
        )
        assert (answer.status_code, b"<SubscriptionStatus>OK<" in answer.content) == (200, True)
        assert heard.notifications == [("known", Notification("SUB", "W2", 2, places=frozenset("F")))]
        answer = await client.post("/push/stranger", content=notification("StatusEvent"))
        assert b"<SubscriptionStatus>Unsubscribe<" in answer.content
        with caplog.at_level(logging.WARNING):
            wrong = {**WATCH, "X-Goog-Channel-Token": "another-secret"}
            assert (await client.post("/secret-path", headers=wrong)).status_code == 404
        assert "wrong token" in caplog.text
        for secret in ("another-secret", "t0ken", "secret-path", "chan-1"):
            assert secret not in caplog.text


async def test_what_is_no_notification_is_refused() -> None:
    heard = Heard()
    push = replace(PUSH, body_limit=2048)
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b SYSTEM "file:///etc/passwd">]>' + b"<x>&b;</x>"
    async with listening(push, heard) as port, httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        assert (await client.post("/", content=b"")).status_code == 400
        assert (await client.post("/", content=b"hello")).status_code == 400
        assert (await client.post("/", content=bomb)).status_code == 400
        assert (await client.post("/", content=b"x" * 4096)).status_code == 413

        async def endless() -> object:
            for _ in range(8):
                yield b"x" * 1024

        assert (await client.post("/", content=endless())).status_code == 413  # no length is declared
        assert (await client.post("/" + "a" * 600, content=b"x")).status_code == 414
        assert (await client.get("/")).status_code == 405
    assert (heard.messages, heard.notifications) == ([], [])


async def test_a_sender_that_is_too_fast_is_refused() -> None:
    heard = Heard()
    async with (
        listening(replace(PUSH, rate_limit=3), heard) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client,
    ):
        codes = [(await client.post("/google", headers=WATCH)).status_code for _ in range(8)]
    # A minute may turn meanwhile, which lets three more through.
    assert codes[:3] == [200, 200, 200]
    assert codes.count(429) >= 2


async def test_an_address_that_is_taken_is_told() -> None:
    async with listening(PUSH, Heard()) as port:
        with pytest.raises(ListenerFault, match=r"push\.bind"):
            async with listening(replace(PUSH, bind=f"127.0.0.1:{port}"), Heard()):
                pass


def test_an_error_in_a_notification_and_what_cannot_be_one() -> None:
    found = exchange.read(notification(code="ErrorSubscriptionNotFound"))
    assert found == Notification("", "", 0, "ErrorSubscriptionNotFound")
    for body in (b"", b"<a/>", b"<s:Envelope/>", notification().replace(b"SUB", b"")):
        with pytest.raises(Unreadable):
            exchange.read(body)


def test_tokens_are_made_from_the_key_and_the_name() -> None:
    one = tokens.token_of(b"k" * 32, "name")
    assert (len(one), tokens.is_token(b"k" * 32, "name", one)) == (43, True)
    for key, name, given in (
        (b"j" * 32, "name", one),
        (b"k" * 32, "other", one),
        (b"k" * 32, "name", one[:-1]),
    ):
        assert not tokens.is_token(key, name, given)
