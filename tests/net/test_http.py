import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import httpx
import pytest

from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import Http, host_of, retry_after
from engine.net.net import Net
from tests.net.virtual import Memory

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def serving(answer: bytes, hold: float = 0.0) -> AsyncIterator[str]:
    """A raw server that reads one request, writes ``answer`` and closes."""

    handlers: list[asyncio.Task[None] | None] = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            await reader.readuntil(b"\r\n\r\n")
            if hold:
                await asyncio.sleep(hold)
            writer.write(answer)
            await writer.drain()
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        try:
            yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/secret-path?token=hush"
        finally:
            await asyncio.gather(*(handler for handler in handlers if handler))


async def failure(net: Net, url: str, **kwargs: float) -> ProviderError:
    http = Http(net, "Salesforce", **kwargs)
    try:
        with pytest.raises(ProviderError) as caught:
            await http.send(
                "POST", url, headers={"authorization": "Bearer hush"}, content=b"{}", account="a@b.c"
            )
    finally:
        await http.aclose()
    assert "hush" not in str(caught.value)
    assert "secret-path" not in str(caught.value)
    return caught.value


async def test_a_call_is_counted_and_any_status_is_returned(net: Net, memory: Memory) -> None:
    async with serving(b"HTTP/1.1 503 Busy\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\nno") as url:
        http = Http(net, "Google People", base_headers={"x-test": "1"})
        response = await http.send("GET", url, params={"a": "b c", "n": 2}, account="ada@example.com")
        await http.aclose()
    assert response.status_code == 503
    assert response.text == "no"
    assert "a=b+c&n=2" in str(response.request.url) or "a=b%20c&n=2" in str(response.request.url)
    assert response.request.headers["x-test"] == "1"
    assert memory.calls == [("Google People", "ada@example.com")]
    assert retry_after(response, net.clock.now_ms()) == 7


async def test_nobody_listening_means_certainly_not_applied(net: Net) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    error = await failure(net, f"http://127.0.0.1:{port}/secret-path")
    assert error.kind is ErrorKind.UNAVAILABLE
    assert not error.maybe_applied
    assert f"127.0.0.1:{port}" in str(error)
    assert "Check the host name" in error.advice


@pytest.mark.parametrize(
    "answer",
    [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it", b"HTTP/1.1 200 O"],
    ids=["closed without an answer", "body cut short", "head cut short"],
)
async def test_a_lost_reply_means_perhaps_applied(net: Net, answer: bytes) -> None:
    async with serving(answer) as url:
        error = await failure(net, url)
    assert error.kind is ErrorKind.UNAVAILABLE
    assert error.maybe_applied
    assert "was lost before the answer was complete" in str(error)


async def test_a_late_reply_means_perhaps_applied(net: Net) -> None:
    async with serving(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", hold=0.5) as url:
        error = await failure(net, url, timeout=0.1)
    assert error.maybe_applied
    assert "did not answer in time" in str(error)


async def test_an_unusable_address_is_a_matter_of_configuration(net: Net) -> None:
    for url in ("ftp://example.invalid/secret-path", "example.invalid/secret-path"):
        error = await failure(net, url)
        assert error.kind is ErrorKind.CONFIGURATION
        assert "settings" in error.advice


async def test_no_more_requests_run_than_there_are_connections(net: Net) -> None:
    running = most = 0

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal running, most
        await reader.readuntil(b"\r\n\r\n")
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        http = Http(net, "Salesforce", connections=3)
        answers = await asyncio.gather(*(http.send("GET", url) for _ in range(20)))
        await http.aclose()
    assert [a.status_code for a in answers] == [200] * 20
    assert most == 3


def test_retry_after_reads_seconds_dates_and_nothing() -> None:
    now_ms = 1_793_000_000_000  # Sun, 25 Oct 2026 23:33:20 GMT

    def read(value: str) -> float | None:
        return retry_after(httpx.Response(429, headers={"retry-after": value}), now_ms)

    assert read("120") == 120
    assert read("-5") == 0
    assert read("soon") is None
    assert retry_after(httpx.Response(429), now_ms) is None
    assert httpx.Response(429) is not None
    dated = read("Sun, 25 Oct 2026 23:34:20 GMT")
    assert dated is not None
    assert 0 <= dated <= 3600


def test_host_of_never_shows_more_than_the_host() -> None:
    assert host_of("https://user:pw@example.com/x?y=z") == "example.com"
    assert host_of("http://127.0.0.1:8080/x") == "127.0.0.1:8080"
    assert host_of("nonsense") == "the server"
