"""A mail of thirty megabytes holds up no other mailbox: it is decoded beside the event loop."""

from __future__ import annotations

import asyncio
import base64
import json
from pathlib import Path

import pytest

from engine.mailbox.google.mailstore import GmailStore
from engine.mailbox.google.settings import Api
from engine.net.beside import from_base64, from_base64url, to_base64
from tests.mailbox.google.lab import open_lab
from tests.mailbox.watch import LONGEST, Watch

DATA = bytes(range(256)) * 120_000


async def test_the_loop_goes_on_while_a_large_mail_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    answer = json.dumps({"id": "m1", "raw": base64.urlsafe_b64encode(DATA).decode()}).encode()
    head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(answer)}\r\n\r\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(head.encode())
        for start in range(0, len(answer), 1 << 20):
            writer.write(answer[start : start + (1 << 20)])
            await writer.drain()
        writer.close()

    with open_lab(tmp_path) as lab:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        endpoints = {**lab.settings().endpoints, Api.GMAIL: f"http://127.0.0.1:{port}"}
        async with server, lab.client(endpoints=endpoints) as client:
            store = GmailStore()
            store.client = client
            account = lab.account()
            await client.token(Api.GMAIL, account)  # the first one signs, which is another matter
            _ = client.gmail
            watch = Watch(monkeypatch)
            found = await store.mail_sources(account, ["m1"])
            await asyncio.sleep(0)  # ends the callback that brought it, so that it counts
            assert found == {"m1": DATA}
            assert watch.longest < LONGEST


@pytest.mark.parametrize("size", [0, 1, 2, 3, 1_048_575, 3_145_729])
def test_pieces_are_the_whole(size: int) -> None:
    data = DATA[:size]
    assert to_base64(data) == base64.b64encode(data).decode()
    for padded in (
        base64.urlsafe_b64encode(data).decode(),
        base64.urlsafe_b64encode(data).decode().rstrip("="),
    ):
        assert from_base64url(padded) == data
    assert from_base64(to_base64(data)) == data
    assert from_base64(base64.encodebytes(data).decode()) == data


@pytest.mark.parametrize("text", ["QUJD?", "QQ", "Q" * (1 << 20) + "!!!!"])
def test_what_is_no_base64_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"base64|padding"):
        from_base64(text)
