"""Faults on demand: an ASGI middleware that delays, refuses, loses or truncates chosen requests."""

from __future__ import annotations

import asyncio
import json
import random
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from engine.sandbox.kit.serve import ABORT, NAMES
from engine.sandbox.kit.world import World

KINDS = ("status", "status_after", "latency", "lost_request", "lost_reply", "truncate")
SERVICES = ("google", "salesforce", "exchange", "*")


@dataclass(slots=True)
class Fault:
    """One rule.

    Attributes:
        service: ``google``, ``salesforce``, ``exchange`` or ``*``.
        route: regular expression searched in the request's path and in its method id.
        verb: HTTP method or ``*``.
        kind: ``status`` (answer at once), ``status_after`` (done, then that answer), ``latency`` (wait, then go on),
            ``lost_request`` (connection closed, nothing done), ``lost_reply`` (done, connection closed without a byte),
            ``truncate`` (full Content-Length, half of the body, connection closed).
        status: of kinds ``status`` and ``status_after``.
        seconds: of kind ``latency``.
        body: JSON value or text of kind ``status``; an error body in Google's shape when None.
        headers: response headers of kind ``status``.
        times: how often it still strikes; None without end.
        probability: chance to strike at each match.
        hits: how often it struck.
    """

    service: str = "*"
    route: str = ""
    verb: str = "*"
    kind: str = "status"
    status: int = 503
    seconds: float = 0.0
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = 1
    probability: float = 1.0
    hits: int = 0

    def matches(self, service: str, verb: str, names: tuple[str, ...]) -> bool:
        """Whether a request of ``service`` with that verb, path and method id is meant (dice aside)."""
        return (
            self.times != 0
            and self.service in ("*", service)
            and self.verb in ("*", verb)
            and any(re.search(self.route, name) for name in names)
        )

    def as_json(self) -> dict[str, Any]:
        """The rule as the control API shows it."""
        return {name: getattr(self, name) for name in self.__slots__}


def parse(spec: Any) -> Fault:
    """A rule from its JSON object.

    ``times`` is 1 unless told; JSON null means without end.

    Raises:
        ValueError: unknown field, kind or service, bad pattern or number; the text names field and value.
    """
    if not isinstance(spec, dict):
        raise ValueError("a fault must be a JSON object")
    unknown = sorted(set(spec) - (set(Fault.__slots__) - {"hits"}))
    if unknown:
        raise ValueError(f"unknown field {unknown[0]!r}; allowed: {', '.join(sorted(Fault.__slots__))}")
    fault = Fault(**spec)
    if fault.kind not in KINDS:
        raise ValueError(f"kind {fault.kind!r} is none of {', '.join(KINDS)}")
    if fault.service not in SERVICES:
        raise ValueError(f"service {fault.service!r} is none of {', '.join(SERVICES)}")
    try:
        re.compile(fault.route)
    except (re.error, TypeError) as error:
        raise ValueError(f"route {fault.route!r} is not a regular expression: {error}") from None
    numbers: tuple[tuple[str, Any, float, float], ...] = (
        ("status", fault.status, 200, 599),
        ("seconds", fault.seconds, 0, 3600),
        ("probability", fault.probability, 0, 1),
        ("times", 0 if fault.times is None else fault.times, 0, 10**9),
    )
    for name, value, low, high in numbers:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise ValueError(f"{name} {value!r} is not a number from {low} to {high}")
    return fault


def rules(world: World) -> list[Fault]:
    """The rules in force; tests may append to the list."""
    listed: list[Fault] = world.settings.setdefault("faults", [])
    return listed


def strike(
    world: World, service: str, verb: str, names: tuple[str, ...], kinds: tuple[str, ...]
) -> Fault | None:
    """The first rule that strikes this request, counted down; None when the request shall pass.

    Args:
        world: where the rules are.
        service: ``google``, ``salesforce`` or ``exchange``.
        verb: HTTP method, upper case.
        names: the request's path and its method id, where known.
        kinds: which kinds the caller can carry out.
    """
    for fault in rules(world):
        if fault.kind in kinds and fault.matches(service, verb, names):
            dice: random.Random = world.settings.setdefault("faults_dice", random.Random(7))
            if fault.probability < 1 and dice.random() >= fault.probability:
                continue
            fault.hits += 1
            if fault.times is not None:
                fault.times -= 1
            return fault
    return None


def status_body(fault: Fault) -> bytes:
    """The body of a ``status`` fault."""
    if isinstance(fault.body, str):
        return fault.body.encode()
    body = fault.body
    if body is None:
        message = "Injected by the sandbox"
        errors = [{"domain": "global", "reason": "backendError", "message": message}]
        body = {"error": {"code": fault.status, "message": message, "errors": errors}}
    return json.dumps(body).encode()


class Faults:
    """ASGI middleware that carries out the rules of ``world`` on one service.

    Args:
        app: the app behind.
        world: where the rules are.
        service: name that rules use.
        method_of: gives the method id of (verb, path), so that rules may name it; optional. What a middleware before
            this one has put into the ASGI extension ``serve.NAMES`` may be named, too.
        body_of: gives body and content type of a ``status`` fault; those of Google's errors unless told.
    """

    def __init__(
        self,
        app: ASGIApp,
        world: World,
        service: str,
        method_of: Callable[[str, str], str] | None = None,
        body_of: Callable[[Fault], tuple[bytes, str]] | None = None,
    ) -> None:
        self._app = app
        self._world = world
        self._service = service
        self._method_of = method_of
        self._body_of = body_of or (lambda fault: (status_body(fault), "application/json; charset=UTF-8"))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, with the fault that strikes it."""
        if scope["type"] != "http" or not rules(self._world) or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        verb, path = scope["method"], scope["path"]
        names: tuple[str, ...] = (path, self._method_of(verb, path)) if self._method_of else (path,)
        names += tuple(scope.get("extensions", {}).get(NAMES, ()))
        late = strike(self._world, self._service, verb, names, ("latency",))
        if late is not None:
            await asyncio.sleep(late.seconds)
        fault = strike(
            self._world, self._service, verb, names, tuple(kind for kind in KINDS if kind != "latency")
        )
        if fault is None:
            await self._app(scope, receive, send)
        elif fault.kind == "status":
            await read_all(receive)
            await self._answer(fault, send)
        elif fault.kind == "status_after":
            await _swallow(self._app, scope, receive)
            await self._answer(fault, send)
        elif fault.kind == "lost_request":
            await drop(scope, receive)
        else:
            reply = await _swallow(self._app, scope, receive)
            if fault.kind == "truncate":
                await _send_half(reply, send)
            await drop(scope, receive)

    async def _answer(self, fault: Fault, send: Send) -> None:
        body, kind = self._body_of(fault)
        headers = {"content-type": kind}
        headers |= {name.lower(): str(value) for name, value in fault.headers.items()}
        headers["content-length"] = str(len(body))
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await send({"type": "http.response.start", "status": fault.status, "headers": raw})
        await send({"type": "http.response.body", "body": body})


async def read_all(receive: Receive) -> None:
    """Take the whole request and throw it away."""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect" or not message.get("more_body", False):
            return


async def _swallow(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """Let the app do its work and keep its answer."""
    kept: list[Message] = []

    async def keep(message: Message) -> None:
        kept.append(message)

    await app(scope, receive, keep)
    return kept


async def _send_half(reply: list[Message], send: Send) -> None:
    body = b"".join(message.get("body", b"") for message in reply if message["type"] == "http.response.body")
    start = next(message for message in reply if message["type"] == "http.response.start")
    headers = [pair for pair in start["headers"] if pair[0].lower() != b"content-length"]
    headers.append((b"content-length", str(len(body)).encode()))
    await send({"type": "http.response.start", "status": start["status"], "headers": headers})
    await send({"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True})


async def drop(scope: Scope, receive: Receive) -> None:
    """Close the connection; returns once the server has noticed, so that it adds no answer of its own.

    Raises:
        RuntimeError: the server was not started with ``serve.uvicorn_config``.
    """
    extension = scope.get("extensions", {}).get(ABORT)
    if extension is None:
        raise RuntimeError("this server cannot drop connections: start it with serve.uvicorn_config")
    # What was written (half a body) is flushed by the transport in the common case at once; abort then closes.
    await asyncio.sleep(0)
    extension["abort"]()
    while (await receive())["type"] != "http.disconnect":
        pass
