"""The ASGI app: one endpoint that speaks SOAP, ``/EWS/Exchange.asmx``."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Mapping, MutableMapping
from contextlib import asynccontextmanager
from typing import Any

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.sandbox.exchange import (
    accounts,
    attachments,
    auth,
    availability,
    configurations,
    creates,
    directory,
    folder_ops,
    items,
    moves,
    names,
    oauth,
    post,
    push,
    soap,
    store,
    streaming,
    subscriptions,
    sync,
    updates,
    zones,
)
from engine.sandbox.exchange.accounts import Account
from engine.sandbox.exchange.call import Call, Handler, no_moment
from engine.sandbox.exchange.errors import EwsError, SoapFault
from engine.sandbox.exchange.events import Hub, Subscription
from engine.sandbox.exchange.names import BUILDS
from engine.sandbox.exchange.nodes import node_of
from engine.sandbox.exchange.throttle import Throttle
from engine.sandbox.exchange.times import NoMoment
from engine.sandbox.kit.control import control_mount
from engine.sandbox.kit.faults import Fault, Faults
from engine.sandbox.kit.serve import CONNECTION, NAMES
from engine.sandbox.kit.world import World, transaction

PATH = names.ENDPOINT
_log = logging.getLogger(__name__)
_XML = "text/xml; charset=utf-8"
_MODULES: tuple[Any, ...] = (
    folder_ops, items, post, creates, updates, moves, sync, attachments, subscriptions, directory, availability,
    configurations,
)  # fmt: skip


def create_app(world: World) -> Starlette:
    """The Exchange sandbox as an ASGI app; creates its tables in ``world``.

    Settings: ``exchange_version`` (of ``names.BUILDS``, ``Exchange2016`` unless told), ``exchange_auth`` (see ``auth``),
    ``exchange_blocked`` (true: EWS answers 403, as Exchange Online does where it is switched off), and those of the
    modules.

    Raises:
        ValueError: ``exchange_version`` is none of the known ones.
    """
    server = _Server(world)

    def body_of(fault: Fault) -> tuple[bytes, str]:
        return fault_body(fault, server.version), _XML

    return Starlette(
        routes=[control_mount(world), Mount("/", app=server)],
        lifespan=server.lifespan,
        middleware=[Middleware(_Named), Middleware(Faults, world=world, service="exchange", body_of=body_of)],
    )


class _Named:
    """ASGI middleware that reads the whole request and tells faults which operation it asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        found = _OPERATION.search(body, max(0, body.find(b"Body")))
        extensions = {**scope.get("extensions", {}), NAMES: (found[1].decode(),) if found else ()}
        waiting: list[MutableMapping[str, Any]] = [{"type": "http.request", "body": body, "more_body": False}]

        async def again() -> MutableMapping[str, Any]:
            return waiting.pop() if waiting else await receive()

        await self._app({**scope, "extensions": extensions}, again, send)


_OPERATION = re.compile(rb"Body\b[^>]*>\s*<(?:\w+:)?(\w+)")


def fault_body(fault: Fault, version: str) -> bytes:
    """The body of an injected answer: a SOAP fault from ``{"code": .., "message": .., "values": {..}}``; text as it is."""
    if isinstance(fault.body, str):
        return fault.body.encode()
    if not isinstance(fault.body, Mapping):
        return b""
    values = {str(name): str(value) for name, value in fault.body.get("values", {}).items()}
    code = str(fault.body.get("code", "ErrorServerBusy"))
    message = str(
        fault.body.get("message", "The server cannot service this request right now. Try again later.")
    )
    return soap.fault(SoapFault(code, message, values), version)


class _Server:
    """Log-in, schema, impersonation and throttling in front of the handlers."""

    def __init__(self, world: World) -> None:
        self._world = world
        accounts.setup(world)
        configurations.setup(world)
        self.hub = Hub()
        world.closing.append(self.hub.clear)
        self.group: asyncio.TaskGroup | None = None
        self._pushing: set[asyncio.Task[None]] = set()
        self._throttle = Throttle(world)
        self._handlers: dict[str, Handler] = {}
        for module in _MODULES:
            self._handlers |= module.HANDLERS
        if self.version not in BUILDS:
            raise ValueError(f"exchange_version {self.version!r} is none of {', '.join(BUILDS)}")

    @property
    def version(self) -> str:
        """The version that the server is."""
        return str(self._world.settings.get("exchange_version", "Exchange2016"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        if scope["type"] != "http":
            return
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        body = await _read(receive)
        asked = oauth.PATH.match(scope["path"])
        if asked is not None and scope["method"] == "POST":
            host = headers.get("host", "").partition(":")[0]
            status, document = oauth.answer(self._world, asked[1], host, body)
            await _send(send, status, [], document, "application/json; charset=utf-8")
            return
        self._world.counters["exchange.http"] += 1
        try:
            account = self._admit(scope, headers)
            if scope["method"] != "POST":
                await _send(send, 200, [], b"<html><body>Service</body></html>")
                return
            with self._throttle.admitted(
                account.name, b":GetStreamingEvents" in body or b"<GetStreamingEvents" in body
            ):
                wait = self._world.settings.get("exchange_latency_seconds")
                if wait:
                    await asyncio.sleep(wait)
                answer = self._call(account, body)
                if isinstance(answer, bytes):
                    await _send(send, 200, [], answer)
                else:
                    await _send_stream(answer, receive, send)
        except _Refused as error:
            await _send(send, error.status, error.headers, b"")
        except SoapFault as error:
            self._world.counters[f"exchange.{error.code}"] += 1
            await _send(send, error.status, list(error.headers.items()), soap.fault(error, self.version))
        except Exception:
            # A flaw of the sandbox itself: loud in its log, and to the client what Exchange says in such a case.
            _log.exception("a request failed")
            fault = SoapFault(
                "ErrorInternalServerError", "An internal server error occurred. The operation failed."
            )
            await _send(send, 500, [], soap.fault(fault, self.version))

    def _admit(self, scope: Scope, headers: Mapping[str, str]) -> Account:
        connection: MutableMapping[str, Any] = scope.get("extensions", {}).get(CONNECTION, {})
        try:
            account = auth.identify(self._world, headers.get("authorization", ""), connection)
        except auth.Unauthorized as error:
            raise _Refused(401, [("www-authenticate", value) for value in error.challenges]) from None
        if scope["path"].lower().rstrip("/") not in (PATH.lower(), "/ews/services.wsdl"):
            raise _Refused(404)
        if self._world.settings.get("exchange_blocked"):
            # What Exchange Online answers where EWS is switched off for the tenant or the application.
            raise _Refused(403, [("x-ms-diagnostics", '4000000;reason="EWS is blocked for this application"')])
        if scope["method"] not in ("GET", "POST"):
            raise _Refused(405, [("allow", "GET, POST")])
        return account

    def _call(self, account: Account, body: bytes) -> bytes | AsyncIterator[bytes]:
        request = soap.read(body, self.version)
        mailbox = self._mailbox(account, request)
        call = Call(self._world, self.hub, account, mailbox, request.version, request.element)
        self._world.counters[f"exchange.{request.operation}"] += 1
        zone = request.headers.get("TimeZoneContext")
        if zone is not None:
            try:
                call.zone_id, call.zone = zones.read_definition(node_of(zone[0]))
            except EwsError as error:
                raise SoapFault(error.code, error.message) from None
        if request.operation == "GetStreamingEvents":
            return streaming.stream(call, self.version)
        handler = self._handlers.get(request.operation)
        if handler is None:
            raise SoapFault("ErrorInvalidRequest", f"The sandbox does not serve {request.operation}.")
        with transaction(self._world):
            try:
                answer = handler(call)
            except (EwsError, NoMoment) as refused:
                wrong = refused if isinstance(refused, EwsError) else no_moment(refused)
                # A part that all of the request needs: the one response message says so.
                self._world.counters[f"exchange.{wrong.code}"] += 1
                answer = soap.answer(request.operation, [soap.failure(request.operation, wrong)])
        self.hub.publish(call.events)
        for subscription in call.started:
            self._begin_push(subscription)
        return soap.envelope(answer, self.version)

    def _begin_push(self, subscription: Subscription) -> None:
        if self.group is None:
            raise RuntimeError("push subscriptions need the app's lifespan: serve it by uvicorn")
        task = self.group.create_task(push.serve(self._world, self.hub, subscription, self.version))
        self._pushing.add(task)
        task.add_done_callback(self._pushing.discard)

    @asynccontextmanager
    async def lifespan(self, app: Starlette) -> AsyncIterator[None]:
        """The length of the app's life: push subscriptions are served meanwhile, and end with it."""
        async with asyncio.TaskGroup() as self.group:
            try:
                yield
            finally:
                for task in self._pushing:
                    task.cancel()

    def _mailbox(self, account: Account, request: soap.Request) -> store.Mailbox | None:
        header = request.headers.get("ExchangeImpersonation")
        if header is None:
            return store.mailbox_by_row(self._world, account.mailbox) if account.mailbox else None
        named = header[0][0] if len(header) and len(header[0]) else None
        address = "" if named is None else (named.text or "").strip()
        mailbox = store.mailbox_by_email(self._world, address)
        if mailbox is None:
            raise SoapFault("ErrorNonExistentMailbox", "The SMTP address has no mailbox associated with it.")
        if not account.may_act_for(mailbox.email):
            raise SoapFault(
                "ErrorImpersonateUserDenied",
                "The account does not have permission to impersonate the requested user.",
            )
        return mailbox


class _Refused(Exception):
    """A refusal by HTTP status alone."""

    def __init__(self, status: int, headers: list[tuple[str, str]] | None = None) -> None:
        super().__init__(str(status))
        self.status, self.headers = status, headers or []


async def _send(send: Send, status: int, more: list[tuple[str, str]], content: bytes, kind: str = _XML) -> None:
    raw = [(b"content-length", str(len(content)).encode())]
    if content:
        raw.append((b"content-type", kind.encode()))
    raw += [(name.encode(), value.encode("latin-1")) for name, value in more]
    await send({"type": "http.response.start", "status": status, "headers": raw})
    await send({"type": "http.response.body", "body": content})


async def _send_stream(pieces: AsyncIterator[bytes], receive: Receive, send: Send) -> None:
    """Send each piece as soon as it is there; end when the client has left."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", _XML.encode())]})

    async def all_of_them() -> None:
        async for piece in pieces:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    async def left() -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    tasks = [asyncio.create_task(all_of_them()), asyncio.create_task(left())]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _read(receive: Receive) -> bytes:
    chunks = []
    while True:
        message = await receive()
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)
