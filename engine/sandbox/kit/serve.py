"""Running an ASGI app over loopback: the uvicorn settings every sandbox server uses, and a server for tests."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

ABORT = "syncline.abort"
"""Name of the ASGI extension by which ``kit.faults`` drops a connection without an answer."""


CONNECTION = "syncline.connection"
"""Name of the ASGI extension that holds what a connection remembers between its requests (NTLM logs in connections)."""


NAMES = "syncline.names"
"""Name of the ASGI extension by which an app tells ``kit.faults`` what a request is called besides its path."""


class AbortableProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol that also tells the app how to drop the connection, and gives it a memory (ASGI has no
    word for either)."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection without memories."""
        self.remembered: dict[object, object] = {}
        super().connection_made(transport)

    def on_message_begin(self) -> None:
        """Begin a request and hang the transport's ``abort`` and the connection's memory into its scope."""
        super().on_message_begin()
        known: dict[str, dict[object, object]] = {
            ABORT: {"abort": self.transport.abort},
            CONNECTION: self.remembered,
        }
        self.scope["extensions"] = known


def uvicorn_config(app: Any, **options: Any) -> uvicorn.Config:
    """The uvicorn configuration of a sandbox server.

    Servers started without it work, except that faults which drop connections answer 500.

    Args:
        app: ASGI app.
        options: further or other ``uvicorn.Config`` arguments (``host``, ``port``).
    """
    settings: dict[str, Any] = {
        "http": AbortableProtocol,
        "ws": "none",
        "loop": "asyncio",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "timeout_graceful_shutdown": 1,
        # Real servers keep idle connections for a minute or two; five seconds would drop them under a busy client.
        "timeout_keep_alive": 75,
        "backlog": 2048,
    }
    return uvicorn.Config(app, **(settings | options))


def loopback_socket(port: int = 0) -> socket.socket:
    """A socket bound to 127.0.0.1 at ``port`` (0: a free one), to be given to ``uvicorn.Server.serve(sockets=[..])``."""
    # The protocol is named, for asyncio sets TCP_NODELAY only on sockets that say they are TCP; without it each
    # answer waits 40 ms for the client's delayed acknowledgement.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind(("127.0.0.1", port))
    return sock


class _Server(uvicorn.Server):
    """A uvicorn server that announces that it accepts connections, and that can be told at once to stop."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._leave = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start listening, then set ``ready``."""
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets=sockets)
        self.ready.set()

    async def main_loop(self) -> None:
        """Tick every tenth of a second, as uvicorn does, until told to stop."""
        ticks = 0
        while not await self.on_tick(ticks):
            ticks = (ticks + 1) % 864_000
            try:
                await asyncio.wait_for(self._leave.wait(), 0.1)
            except TimeoutError:
                continue

    def leave(self) -> None:
        """Stop; callable from any thread."""
        self.should_exit = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._leave.set)


class LoopbackServer:
    """An app served on a free loopback port from a thread of its own; a context manager that gives the base URL.

    A thread, so that blocking clients (httplib2, requests) can talk to it from a test::

        with LoopbackServer(app) as url:
            httplib2.Http().request(url + "/calendar/v3/colors")
    """

    def __init__(self, app: Any, port: int = 0) -> None:
        self._server = _Server(uvicorn_config(app))
        self._socket = loopback_socket(port)
        self._thread = threading.Thread(target=self._run, name="loopback-server", daemon=True)
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}"

    def _run(self) -> None:
        try:
            asyncio.run(self._server.serve(sockets=[self._socket]))
        finally:
            self._server.ready.set()  # a failed start must not leave start() waiting

    def start(self) -> str:
        """Start serving; returns the base URL without a trailing slash once connections are accepted.

        Raises:
            RuntimeError: the app's start-up failed.
        """
        self._thread.start()
        self._server.ready.wait()
        if not self._server.started:
            raise RuntimeError("the loopback server could not start")
        return self.url

    def stop(self) -> None:
        """Stop serving and free the port; returns when the thread has ended."""
        self._server.leave()
        self._thread.join()
        self._socket.close()

    def __enter__(self) -> str:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@asynccontextmanager
async def serving(app: Any, port: int = 0) -> AsyncIterator[str]:
    """Serve ``app`` on loopback for the length of an ``async with``; gives the base URL without trailing slash."""
    server = LoopbackServer(app, port)
    url = await asyncio.to_thread(server.start)
    try:
        yield url
    finally:
        await asyncio.to_thread(server.stop)
