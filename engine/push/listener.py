"""The HTTP listener for notifications: Starlette on uvicorn, off unless the configuration has a section ``[push]``.

Strangers can reach it, so it reads little and believes less: bodies have a limit, senders a rate, and nothing is done before the
token was checked. What is logged is the kind of refusal and the sender's address, never a path, a header or a body.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Protocol

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from engine.model.setup import Push
from engine.push import exchange, google
from engine.push.exchange import Notification, Unreadable
from engine.push.fault import ListenerFault
from engine.push.google import WatchMessage

log = logging.getLogger(__name__)

#: Senders whose rate is remembered at once.
MOST_SENDERS = 10_000

#: Time in which a body must be there, seconds.
BODY_SECONDS = 20.0

#: Longest path of a request, characters.
LONGEST_PATH = 512

_XML = "text/xml; charset=utf-8"


class Hints(Protocol):
    """What becomes of notifications. Both must be quick and must not raise."""

    def watched(self, message: WatchMessage) -> bool:
        """A message of a watch channel. False: no such channel, or its token is wrong."""
        ...

    def notified(self, token: str, notification: Notification) -> bool:
        """A notification of Exchange; ``token`` is the last part of its path. False: it shall be unsubscribed."""
        ...


class _Rate:
    """At most so many notifications a minute from one address."""

    def __init__(self, limit: int, clock: Callable[[], float]) -> None:
        self._limit, self._clock = limit, clock
        self._minute = 0
        self._seen: dict[str, int] = {}

    def allows(self, sender: str) -> bool:
        minute = int(self._clock() // 60)
        if minute != self._minute:
            self._minute, self._seen = minute, {}
        if sender not in self._seen and len(self._seen) >= MOST_SENDERS:
            return False
        self._seen[sender] = self._seen.get(sender, 0) + 1
        return self._seen[sender] <= self._limit


def create_app(push: Push, hints: Hints, clock: Callable[[], float] = time.monotonic) -> Starlette:
    """The listener as an ASGI app."""
    rate = _Rate(push.rate_limit, clock)

    async def receive(request: Request) -> Response:
        sender = request.client.host if request.client is not None else ""
        if not rate.allows(sender):
            return _refused(429, "too many notifications", sender)
        if len(request.url.path) > LONGEST_PATH:
            return _refused(414, "a path that is too long", sender)
        message = google.read(request.headers)
        body = await _body(request, push.body_limit)
        if body is None:
            return _refused(413, "a body that is too long", sender)
        if message is not None:
            if hints.watched(message):
                return Response(status_code=200)
            return _refused(404, "an unknown channel or a wrong token", sender)
        if not body:
            return _refused(400, "no notification", sender)
        try:
            notification = exchange.read(body)
        except Unreadable as error:
            return _refused(400, f"no notification: {error}", sender)
        token = request.url.path.rpartition("/")[2]
        keep = hints.notified(token, notification)
        if not keep:
            log.warning("push: a notification of an unknown subscription from %s; answered Unsubscribe", sender)
        return Response(exchange.answer(keep), media_type=_XML)

    return Starlette(routes=[Route("/{path:path}", receive, methods=["POST"])])


async def _body(request: Request, most: int) -> bytes | None:
    """The body, or None when it is longer than allowed; no more than that is ever kept."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:18]) > most:
        return None
    parts, size = [], 0
    try:
        async with asyncio.timeout(BODY_SECONDS):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    return None
                parts.append(part)
    except (ClientDisconnect, TimeoutError):
        return None
    return b"".join(parts)


def _refused(status: int, why: str, sender: str) -> Response:
    log.warning("push: refused %s from %s (%d)", why, sender or "nobody", status)
    return Response(status_code=status)


class _Server(uvicorn.Server):
    """A server whose signals are ours."""

    def install_signal_handlers(self) -> None:
        """None: the engine hears them."""


def _bound(bind: str) -> socket.socket:
    name, _, port = bind.rpartition(":")
    family = socket.AF_INET6 if name.startswith("[") else socket.AF_INET
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.bind((name.strip("[]"), int(port)))
        made.listen(128)
    except OSError as error:
        made.close()
        raise ListenerFault(
            f"cannot listen at {bind} (push.bind): {error.strerror}; choose another address"
        ) from None
    return made


@asynccontextmanager
async def listening(push: Push, hints: Hints) -> AsyncIterator[int]:
    """Listen; gives the port.

    Raises:
        ListenerFault: the address is taken, or the certificate cannot be used.
    """
    made = _bound(push.bind)
    config = uvicorn.Config(
        create_app(push, hints),
        log_config=None,
        log_level="warning",
        access_log=False,
        lifespan="off",
        limit_concurrency=push.connections,
        timeout_keep_alive=10,
        h11_max_incomplete_event_size=32_768,
        server_header=False,
        date_header=True,
        http="h11",
        ws="none",
        timeout_graceful_shutdown=2,
        ssl_certfile=push.certificate_file or None,
        ssl_keyfile=push.key_file or None,
    )
    try:
        config.load()
    except (OSError, ssl.SSLError) as error:
        made.close()
        raise ListenerFault(
            f"cannot use push.certificate_file and push.key_file: {error}; both must be PEM and belong together"
        ) from None
    server = _Server(config)
    task = asyncio.get_running_loop().create_task(_serve(server, made))
    try:
        yield made.getsockname()[1]
    finally:
        server.should_exit = True
        with suppress(asyncio.CancelledError):
            await task
        made.close()


async def _serve(server: uvicorn.Server, made: socket.socket) -> None:
    server.lifespan = server.config.lifespan_class(server.config)
    await server.startup(sockets=[made])
    await server.main_loop()
    await server.shutdown(sockets=[made])
