"""The ASGI app: all Google APIs on one origin, with their token and batch endpoints."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Mount
from starlette.types import Receive, Scope, Send

from engine.sandbox.google import (
    accounts,
    batch,
    calendar,
    calendar_watch,
    discovery,
    errors,
    fields,
    gmail,
    oauth,
    people,
    tasks,
)
from engine.sandbox.google.batch import Request, Response
from engine.sandbox.google.call import ApiError, Call, Handler
from engine.sandbox.google.media import split_upload
from engine.sandbox.google.quota import Quota
from engine.sandbox.kit.control import control_mount
from engine.sandbox.kit.faults import Faults, status_body, strike
from engine.sandbox.kit.world import World, transaction

_log = logging.getLogger(__name__)
_JSON = "application/json; charset=UTF-8"
_ONE_COMMIT = ("calendar", "tasks")
"""APIs whose batches are committed once: a third of the time of a small write is its commit."""
_MODULES = (calendar, tasks, people, gmail)


def create_app(world: World) -> Starlette:
    """The Google sandbox as an ASGI app; creates its tables in ``world``.

    Settings: ``google_quota`` (see ``quota``), ``google_batch`` (calls per batch by API), ``google_latency_seconds``
    (added to each HTTP request), ``google_token_seconds`` (see ``oauth``), and those of the API modules.
    """
    server = _Server(world)

    def method_of(verb: str, path: str) -> str:
        found = discovery.route(verb, path)
        return found[0].id if found else ""

    return Starlette(
        routes=[control_mount(world), Mount("/", app=server)],
        middleware=[
            Middleware(calendar_watch.Announcer, world=world),
            Middleware(Faults, world=world, service="google", method_of=method_of),
        ],
    )


class _Server:
    """Routing, credentials, quota and validation in front of the handlers."""

    def __init__(self, world: World) -> None:
        self._world = world
        accounts.setup(world)
        oauth.setup(world)
        self._handlers: dict[str, Handler] = {}
        for module in _MODULES:
            module.setup(world)
            self._handlers |= module.HANDLERS
        self._quota = Quota(world)
        for verb in ("GET", "POST"):
            discovery.route(verb, "/")  # compiles the tables before the first request

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one HTTP request."""
        request = Request(
            scope["method"],
            scope.get("raw_path", scope["path"].encode()).decode("latin-1"),
            scope["query_string"].decode("latin-1"),
            {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]},
            await _read(receive),
        )
        self._world.counters["google.http"] += 1
        wait = self._world.settings.get("google_latency_seconds")
        if wait:
            await asyncio.sleep(wait)
        if request.path.startswith("/batch") and request.verb == "POST":
            kind, response = self._batch(request)
        elif request.path == "/token" and request.verb == "POST":
            status, answer = oauth.grant(self._world, request.body)
            kind, response = _JSON, Response(status, json.dumps(answer).encode())
        else:
            kind, response = _JSON, self.answer(request)
        headers = [(b"content-length", str(len(response.body)).encode())]
        if response.body:
            headers.append((b"content-type", kind.encode()))
        headers += [
            (name.lower().encode(), value.encode("latin-1")) for name, value in (response.headers or {}).items()
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": headers})
        await send({"type": "http.response.body", "body": response.body})

    def answer(self, request: Request) -> Response:
        """Answer one API call, alone or within a batch."""
        verb, query = request.verb, request.query
        if verb == "POST" and "x-http-method-override" in request.headers:
            # A GET whose address would be too long comes as a form (googleapiclient does so above 2,048 characters).
            verb = request.headers["x-http-method-override"].upper()
            if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
                query = request.body.decode("latin-1")
        found = discovery.route(verb, request.path)
        if found is None:
            return _refused(errors.not_found(), _api_of(request.path))
        method, path_values = found
        try:
            return self._call(method, path_values, query, request)
        except ApiError as error:
            return _refused(error, method.api)
        except Exception:
            # A flaw of the sandbox itself: loud in its log, and to the client what Google says in such a case.
            _log.exception("%s failed", method.id)
            return _refused(ApiError(500, "backendError", "Backend Error"), method.api)

    def _call(
        self, method: discovery.Method, path_values: dict[str, str], query: str, request: Request
    ) -> Response:
        caller = oauth.identify(self._world, request.headers.get("authorization", ""))
        if not caller.scopes & method.scopes:
            raise errors.insufficient_scope()
        self._quota.charge(
            method.api, method.id, caller.project, _quota_user(query, request.headers, caller.account)
        )
        self._world.counters[f"google.{method.id}"] += 1
        handler = self._handlers.get(method.id)
        if handler is None:
            raise ApiError(501, "notImplemented", f"The sandbox does not implement {method.id}.")
        params = discovery.parameters(method, query, path_values)
        body: Any = None
        if method.upload:
            body, params["__media__"] = split_upload(params.get("uploadType", ""), request)
        elif method.request:
            body = _parse(request.body)
        if method.request and body is not None:
            # The media of an upload stands for the fields that a plain call must have (Gmail's raw).
            needs = "" if method.upload else method.id
            body = discovery.schemas(method.api).clean(method.request, body, needs)
        reply = handler(Call(self._world, caller.user, method.id, params, body, request.headers))
        if reply.body is None:
            return Response(204, b"", reply.headers)
        content = reply.body
        if "fields" in params:
            content = fields.select(
                params["fields"], json.loads(content) if isinstance(content, bytes) else content
            )
        if not isinstance(content, bytes):
            content = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        return Response(reply.status, content, reply.headers)

    def _batch(self, request: Request) -> tuple[str, Response]:
        words = request.path.strip("/").split("/")
        if len(words) > 1 and words[1] not in batch.LIMITS:
            return _JSON, _refused(errors.not_found(), words[1])
        try:
            parts = batch.read(request.headers.get("content-type", ""), request.body)
            apis = [_api_of(part.request.path) for part in parts]
            batch.check_size(apis + words[1:2], len(parts), self._world.settings.get("google_batch", {}))
        except ApiError as error:
            return _JSON, _refused(error, words[1] if len(words) > 1 else "people")
        self._world.counters["google.batch"] += 1
        outer = request.headers.get("authorization", "")
        if apis and apis[0] in _ONE_COMMIT:
            with transaction(self._world):
                responses = [self._inner(part.request, outer) for part in parts]
        else:
            responses = [self._inner(part.request, outer) for part in parts]
        kind, body = batch.write(parts, responses)
        return kind, Response(200, body)

    def _inner(self, request: Request, authorization: str) -> Response:
        if "authorization" not in request.headers:
            request = Request(
                request.verb,
                request.path,
                request.query,
                {**request.headers, "authorization": authorization},
                request.body,
            )
        found = discovery.route(request.verb, request.path)
        if found is not None and found[0].upload:
            return _refused(
                ApiError(400, "badRequest", "Media uploads are not allowed in a batch."), found[0].api
            )
        names = (request.path, found[0].id) if found else (request.path,)
        fault = strike(self._world, "google", request.verb, names, ("status",))
        if fault is not None:
            return Response(fault.status, status_body(fault), fault.headers)
        return self.answer(request)


async def _read(receive: Receive) -> bytes:
    message = await receive()
    body: bytes = message.get("body", b"")
    if not message.get("more_body", False):
        return body
    chunks = [body]
    while message.get("more_body", False):
        message = await receive()
        chunks.append(message.get("body", b""))
    return b"".join(chunks)


def _parse(body: bytes) -> Any:
    if not body:
        return {}
    try:
        return json.loads(body)
    except (ValueError, UnicodeDecodeError):
        raise ApiError(400, "parseError", "Parse Error") from None


def _quota_user(query: str, headers: Mapping[str, str], account: str) -> str:
    if "quotaUser=" in query:
        named = parse_qs(query).get("quotaUser")
        if named:
            return named[0]
    return headers.get("x-goog-quota-user") or account


def _refused(error: ApiError, api: str) -> Response:
    return Response(error.status, errors.encoded(error, api), error.headers)


def _api_of(path: str) -> str:
    for start, api in (
        ("/calendar/", "calendar"),
        ("/v1/", "people"),
        ("/tasks/", "tasks"),
        ("/gmail/", "gmail"),
    ):
        if path.startswith(start) or path.startswith("/upload" + start):
            return api
    return ""
