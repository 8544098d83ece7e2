"""The Salesforce server: login endpoints, sessions, daily limit, and the REST API below ``/services/data``."""

from __future__ import annotations

import base64
import binascii
import json
import re
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl, unquote
from xml.sax.saxutils import escape, unescape

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from engine.sandbox.kit.control import control_mount
from engine.sandbox.kit.faults import Faults
from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import accounts, rest, store
from engine.sandbox.salesforce.call import Call
from engine.sandbox.salesforce.errors import SfError, not_found
from engine.sandbox.salesforce.soql_run import Cursors

#: Versions that the server speaks.
OLDEST, NEWEST = 46, 65

_PATH = re.compile(r"/services/data/v(\d\d)\.0(?:/(.*))?\Z")
_METHODS = ["GET", "POST", "PATCH", "DELETE", "PUT", "HEAD"]


def create_app(world: World) -> Starlette:
    """The ASGI app of one Salesforce org whose records are in ``world``.

    Settings of ``world``: ``sf_daily_limit`` (calls per rolling 24 hours, 100,000), ``sf_session_seconds`` (idle time
    until a session ends, 7,200), ``sf_whole_seconds`` (stamps without milliseconds).
    """
    store.setup(world)
    server = _Server(world)
    return Starlette(
        routes=[
            control_mount(world),
            Route("/services/oauth2/token", server.token, methods=["POST"]),
            Route("/services/oauth2/userinfo", server.userinfo, methods=["GET", "POST"]),
            Route("/services/Soap/u/{version}", server.soap, methods=["POST"]),
            Route("/id/{org}/{user}", server.userinfo, methods=["GET"]),
            Route("/services/data", server.versions, methods=["GET"]),
            Route("/services/data/", server.versions, methods=["GET"]),
            Route("/services/data/{rest:path}", server.data, methods=_METHODS),
        ],
        middleware=[Middleware(Faults, world=world, service="salesforce")],
    )


class _Server:
    """The endpoints with what they keep in memory: open queries and the calls of the last 24 hours."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._cursors = Cursors()
        self._hours: Counter[int] = Counter()

    # -- login ---------------------------------------------------------------------------------------------

    async def token(self, request: Request) -> Response:
        """The OAuth token endpoint: client credentials, JWT bearer, password."""
        form = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        form = {**_basic(request), **form}
        origin = _origin(request)
        headers = {"Cache-Control": "no-store", "Pragma": "no-cache"}
        try:
            session = accounts.grant(self._world, form, origin)
        except accounts.LoginRefused as refused:
            body = {"error": refused.error, "error_description": refused.description}
            return JSONResponse(body, refused.status, headers)
        body = {
            "access_token": session.token,
            "scope": "api",
            "instance_url": origin,
            "id": self._identity(origin, session.user_id),
            "token_type": "Bearer",
            "issued_at": str(self._world.clock.now_ms()),
            "api_instance_url": origin,
        }
        return JSONResponse(body, headers=headers)

    async def soap(self, request: Request) -> Response:
        """The partner API's ``login`` and nothing else of it."""
        text = (await request.body()).decode("utf-8", "replace")
        found = re.search(r"<(?:\w+:)?username>(.*?)</.*?<(?:\w+:)?password>(.*?)</", text, re.DOTALL)
        try:
            if found is None:
                raise accounts.LoginRefused("invalid_grant", "no login in the request")
            session = accounts.login(self._world, unescape(found[1]), unescape(found[2]))
        except accounts.LoginRefused:
            return Response(_SOAP_FAULT, 500, media_type="text/xml")
        url = f"{_origin(request)}/services/Soap/u/{request.path_params['version']}"
        body = _SOAP_LOGIN.format(
            url=escape(url),
            session=escape(session.token),
            user=session.user_id,
            org=store.organization_id(self._world),
        )
        return Response(body, media_type="text/xml")

    async def userinfo(self, request: Request) -> Response:
        """Who the session stands for."""
        try:
            session = self._session(request)
        except SfError as error:
            return Response("Bad_OAuth_Token", 403 if error.status == 401 else error.status)
        row = self._world.db.execute("SELECT * FROM sf_User WHERE Id = ?", (session.user_id,)).fetchone()
        origin = _origin(request)
        org = store.organization_id(self._world)
        return JSONResponse(
            {
                "sub": self._identity(origin, session.user_id),
                "user_id": session.user_id,
                "organization_id": org,
                "preferred_username": row["Username"],
                "nickname": row["Alias"],
                "name": row["Name"],
                "email": row["Email"],
                "email_verified": True,
                "given_name": row["FirstName"],
                "family_name": row["LastName"],
                "zoneinfo": row["TimeZoneSidKey"],
                "active": bool(row["IsActive"]),
                "urls": {"rest": f"{origin}/services/data/v{{version}}/"},
            }
        )

    async def versions(self, request: Request) -> Response:
        """The API versions; asked without a session."""
        return JSONResponse(
            [
                {"label": f"Release {number}", "url": f"/services/data/v{number}.0", "version": f"{number}.0"}
                for number in range(OLDEST, NEWEST + 1)
            ]
        )

    # -- REST ----------------------------------------------------------------------------------------------

    async def data(self, request: Request) -> Response:
        """Everything below ``/services/data/vXX.0``."""
        try:
            content = await request.body()
        except ClientDisconnect:
            # The client died in the middle of its request: nobody waits for an answer.
            return Response(status_code=400)
        try:
            reply = rest.dispatch(self._call(request, content))
        except SfError as error:
            return self._refusal(error)
        headers = {**reply.headers, **self._usage()}
        if reply.body is None:
            return Response(status_code=reply.status, headers=headers)
        if isinstance(reply.body, bytes):
            return Response(reply.body, reply.status, headers, "application/octet-stream")
        text = json.dumps(reply.body, ensure_ascii=False, separators=(",", ":"))
        return Response(text, reply.status, headers, "application/json;charset=UTF-8")

    def _refusal(self, error: SfError) -> Response:
        headers = {**error.headers, **self._usage()}
        if error.status == 304:
            return Response(status_code=304, headers=headers)
        return JSONResponse([error.rest()], error.status, headers)

    def _call(self, request: Request, content: bytes) -> Call:
        raw = request.scope["raw_path"].decode("latin-1")
        size = len(raw) + len(request.scope["query_string"])
        if size > rest.LONGEST_URL:
            raise SfError("URI_TOO_LONG", f"The URL has {size} bytes; {rest.LONGEST_URL} are allowed", 414)
        session = self._session(request)
        found = _PATH.match(raw)
        if found is None or not OLDEST <= int(found[1]) <= NEWEST:
            raise not_found()
        self._charge()
        params = dict(parse_qsl(request.scope["query_string"].decode("latin-1"), keep_blank_values=True))
        method = request.method
        if method == "POST" and "_HttpMethod" in params:
            method = params.pop("_HttpMethod").upper()
        path = unquote((found[2] or "").strip("/"))
        body = _json(content)
        self._world.counters[f"salesforce.{_counter_name(method, path, body)}"] += 1
        return Call(
            world=self._world,
            cursors=self._cursors,
            user=session.user_id,
            version=f"{found[1]}.0",
            method="GET" if method == "HEAD" else method,
            path=path,
            params=params,
            body=body,
            headers=dict(request.headers),
            used=self._used(),
        )

    def _session(self, request: Request) -> accounts.Session:
        kind, _, token = request.headers.get("authorization", "").partition(" ")
        session = accounts.session(self._world, token.strip()) if kind in ("Bearer", "OAuth") else None
        if session is None:
            headers = {"WWW-Authenticate": "Token"}
            raise SfError("INVALID_SESSION_ID", "Session expired or invalid", 401, headers=headers)
        return session

    # -- limits --------------------------------------------------------------------------------------------

    def _used(self) -> tuple[int, int]:
        hour = self._world.clock.now_ms() // 3_600_000
        for old in [each for each in self._hours if each <= hour - 24]:
            del self._hours[old]
        return sum(self._hours.values()), int(self._world.settings.get("sf_daily_limit", 100_000))

    def _charge(self) -> None:
        used, most = self._used()
        if used >= most:
            raise SfError("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.", 403)
        self._hours[self._world.clock.now_ms() // 3_600_000] += 1

    def _usage(self) -> dict[str, str]:
        used, most = self._used()
        return {"Sforce-Limit-Info": f"api-usage={used}/{most}"}

    def _identity(self, origin: str, user_id: str) -> str:
        return f"{origin}/id/{store.organization_id(self._world)}/{user_id}"


def _origin(request: Request) -> str:
    return f"{request.url.scheme}://{request.headers.get('host', 'localhost')}"


def _basic(request: Request) -> dict[str, str]:
    kind, _, coded = request.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return {}
    try:
        client, _, secret = base64.b64decode(coded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return {}
    return {"client_id": unquote(client), "client_secret": unquote(secret)}


def _json(content: bytes) -> Any:
    if not content:
        return None
    try:
        return json.loads(content)
    except ValueError as error:
        raise SfError("JSON_PARSER_ERROR", f"The HTTP entity body is not valid JSON: {error}", 400) from None


def _counter_name(method: str, path: str, body: Any) -> str:
    """A short stable name for counting: the resource without ids (``GET query``, ``PATCH composite/sobjects``).

    A composite request of reads alone changes nothing, and is counted as ``GET composite``.
    """
    parts = path.split("/")
    inside = body.get("compositeRequest") if path == "composite" and isinstance(body, dict) else None
    if isinstance(inside, list) and all(isinstance(one, dict) and one.get("method") == "GET" for one in inside):
        method = "GET"
    depth = 2 if parts[0] in ("composite", "sobjects") else 1
    return f"{method} {'/'.join(parts[:depth])}".rstrip()


_SOAP_LOGIN = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns="urn:partner.soap.sforce.com">
<soapenv:Body><loginResponse><result><metadataServerUrl>{url}</metadataServerUrl><passwordExpired>false</passwordExpired>
<sandbox>true</sandbox><serverUrl>{url}</serverUrl><sessionId>{session}</sessionId><userId>{user}</userId>
<userInfo><organizationId>{org}</organizationId></userInfo></result></loginResponse></soapenv:Body></soapenv:Envelope>"""

_SOAP_FAULT = """<?xml version="1.0" encoding="UTF-8"?>
<soapenv:Envelope xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" xmlns:sf="urn:fault.partner.soap.sforce.com">
<soapenv:Body><soapenv:Fault><faultcode>sf:INVALID_LOGIN</faultcode><faultstring>INVALID_LOGIN: Invalid username,
password, security token; or user locked out.</faultstring><detail><sf:LoginFault>
<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode><sf:exceptionMessage>Invalid username, password, security token; or
user locked out.</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault></soapenv:Body></soapenv:Envelope>"""
