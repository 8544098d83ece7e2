"""A mail of thirty megabytes holds up no other mailbox: it is taken apart and decoded beside the event loop."""

from __future__ import annotations

import asyncio

import pytest

from engine.mailbox.exchange.connector import ExchangeConnector
from engine.mailbox.exchange.settings import ExchangeSettings
from engine.model.port import Account
from engine.net.beside import to_base64
from engine.net.net import Net
from tests.mailbox.watch import LONGEST, Watch

#: Half of that, at half the cost, and the loop has half the time.
DATA = bytes(range(256)) * 60_000

MESSAGES = "http://schemas.microsoft.com/exchange/services/2006/messages"
TYPES = "http://schemas.microsoft.com/exchange/services/2006/types"
SOAP = "http://schemas.xmlsoap.org/soap/envelope/"

ANSWER = (
    f'<s:Envelope xmlns:s="{SOAP}" xmlns:m="{MESSAGES}" xmlns:t="{TYPES}"><s:Body><m:GetItemResponse>'
    '<m:ResponseMessages><m:GetItemResponseMessage ResponseClass="Success"><m:ResponseCode>NoError</m:ResponseCode>'
    '<m:Items><t:Message><t:MimeContent CharacterSet="UTF-8">{}</t:MimeContent><t:ItemId Id="m1" ChangeKey="c"/>'
    "</t:Message></m:Items></m:GetItemResponseMessage></m:ResponseMessages></m:GetItemResponse></s:Body></s:Envelope>"
)


async def test_the_loop_goes_on_while_a_large_mail_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ANSWER.format(to_base64(DATA)).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {len(answer)}\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"</s:Envelope>")
        writer.write(head.encode())
        for start in range(0, len(answer), 1 << 20):
            writer.write(answer[start : start + (1 << 20)])
            await writer.drain()
        writer.close()

    monkeypatch.setenv("SYNCLINE_TEST_LARGE", "secret")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/EWS/Exchange.asmx"
        settings = ExchangeSettings(url=url, username="sync", password_env="SYNCLINE_TEST_LARGE")
        store = ExchangeConnector(settings, Net())
        try:
            watch = Watch(monkeypatch)
            found = await store.mail_sources(Account("anna@acme.example"), ["m1"])
            await asyncio.sleep(0)  # ends the callback that brought it, so that it counts
        finally:
            await store.close()
    assert found == {"m1": DATA}
    assert watch.longest < LONGEST / 2
