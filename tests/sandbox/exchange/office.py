"""An Exchange sandbox on a real socket; each request to it and each answer is validated against the published schema."""

from __future__ import annotations

import base64
import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from lxml import etree

from engine.sandbox.exchange import accounts
from engine.sandbox.exchange.app import PATH, create_app
from engine.sandbox.exchange.names import M, S, T
from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world

ANNA, BEN, CARL = "anna@example.com", "ben@example.com", "carl@example.com"
SERVICE, SERVICE_PASSWORD, PASSWORD = "sync@example.com", "s3rvice!Pass", "pässw0rd"
SCHEMA = Path(__file__).resolve().parents[4] / "shared" / "schemas" / "ews"
NAMES = {"s": S, "m": M, "t": T}
_ERRORS = "http://schemas.microsoft.com/exchange/services/2006/errors"


class Watch:
    """ASGI middleware that keeps what went over the wire, and checks it against the schema where there is one."""

    schema: etree.XMLSchema | None = None

    def __init__(self, app: Any) -> None:
        self._app = app
        self.breaches: list[str] = []
        self.requests: list[etree._Element] = []
        #: Operations that were asked for as somebody else: people never do that, the connector always does.
        self.impersonated: set[str] = set()
        self.faulty = False
        if Watch.schema is None and SCHEMA.is_dir():
            Watch.schema = etree.XMLSchema(etree.parse(str(SCHEMA / "messages.xsd")))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["path"].startswith("/_sandbox"):
            await self._app(scope, receive, send)
            return
        sent, answered = bytearray(), bytearray()

        async def hear() -> Any:
            message = await receive()
            if message["type"] == "http.request":
                sent.extend(message.get("body", b""))
                # At once: who has read the answer finds the request on record.
                if sent and not message.get("more_body", False) and not self.faulty:
                    self.check(bytes(sent), "request")
            return message

        async def say(message: Any) -> None:
            answered.extend(message.get("body", b""))
            await send(message)

        await self._app(scope, hear, say)
        if answered:
            self.check(bytes(answered), "answer")

    def check(self, document: bytes, what: str) -> None:
        for part in document.split(b"<?xml")[1:] or [document]:
            whole = b"<?xml" + part if not part.startswith(b"<") else part
            if b"Envelope" not in whole:
                continue
            root = etree.fromstring(whole)
            for element in root.findall("s:Body/*", NAMES):
                if element.tag == f"{{{S}}}Fault":
                    continue
                if what == "request":
                    self.requests.append(element)
                    if root.find("s:Header/t:ExchangeImpersonation", NAMES) is not None:
                        self.impersonated.add(etree.QName(element).localname)
                checked = etree.fromstring(etree.tostring(element))
                # The schema puts the notifications of a stream into the types namespace; the servers that there are, and
                # the clients that read them, use the messages namespace.
                for one in checked.iterfind(".//m:Notifications/m:Notification", NAMES):
                    one.tag = f"{{{T}}}Notification"
                if Watch.schema is not None and not Watch.schema.validate(checked):
                    self.breaches.append(f"{what} {element.tag}: {Watch.schema.error_log.last_error}")


@dataclass
class Office:
    """The running sandbox."""

    world: World
    url: str
    watch: Watch
    opened: list[http.client.HTTPConnection] = field(default_factory=list)
    kept: threading.local = field(default_factory=threading.local)

    @property
    def endpoint(self) -> str:
        return self.url + PATH

    def post(
        self,
        body: str,
        *,
        user: str = ANNA,
        password: str = PASSWORD,
        act_for: str = "",
        version: str = "Exchange2016",
        headers: str = "",
        http_headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, str], etree._Element | None]:
        """Send a body's element (XML of prefixes ``m`` and ``t``); status, HTTP headers, envelope."""
        more = headers
        if act_for:
            more += (
                "<t:ExchangeImpersonation><t:ConnectingSID><t:PrimarySmtpAddress>"
                f"{act_for}</t:PrimarySmtpAddress></t:ConnectingSID></t:ExchangeImpersonation>"
            )
        envelope = (
            f'<s:Envelope xmlns:s="{S}" xmlns:m="{M}" xmlns:t="{T}"><s:Header>'
            f'<t:RequestServerVersion Version="{version}"/>{more}</s:Header><s:Body>{body}</s:Body></s:Envelope>'
        )
        return self.raw(envelope.encode(), user, password, http_headers)

    def raw(
        self, content: bytes, user: str, password: str, http_headers: dict[str, str] | None = None
    ) -> tuple[int, dict[str, str], etree._Element | None]:
        connection: http.client.HTTPConnection | None = getattr(self.kept, "connection", None)
        if connection is None:
            parts = urlsplit(self.url)
            connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=20)
            self.kept.connection = connection
            self.opened.append(connection)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        sent = {"Content-Type": "text/xml; charset=utf-8"}
        if user:
            sent["Authorization"] = f"Basic {login}"
        connection.request("POST", PATH, content, sent | (http_headers or {}))
        answer = connection.getresponse()
        body = answer.read()
        found: dict[str, str] = {}
        for name, value in answer.getheaders():
            found[name.lower()] = f"{found[name.lower()]}, {value}" if name.lower() in found else value
        return answer.status, found, etree.fromstring(body) if b"Envelope" in body else None

    def call(self, body: str, **options: Any) -> etree._Element:
        """Send a body's element and give that of the answer; anything but success fails the test."""
        status, _, envelope = self.post(body, **options)
        assert envelope is not None, status
        inner = envelope.find("s:Body", NAMES)
        assert inner is not None
        assert status == 200, etree.tostring(inner)
        codes = self.codes(inner[0])
        assert set(codes) <= {"NoError"}, etree.tostring(inner).decode()
        return inner[0]

    def refused(self, body: str, **options: Any) -> str:
        """Send a body's element and give the code of the only error message of the answer."""
        status, _, envelope = self.post(body, **options)
        assert status == 200
        assert envelope is not None
        inner = envelope.find("s:Body", NAMES)
        assert inner is not None
        codes = [code for code in self.codes(inner[0]) if code != "NoError"]
        assert len(codes) == 1, etree.tostring(inner).decode()
        return codes[0]

    def fault(self, body: str, **options: Any) -> str:
        """Send a body's element and give the code of the SOAP fault that must come."""
        status, _, envelope = self.post(body, **options)
        assert status == 500
        assert envelope is not None
        return str(envelope.findtext(f".//{{{_ERRORS}}}ResponseCode"))

    @staticmethod
    def codes(element: etree._Element) -> list[str]:
        return [str(one.text) for one in element.iter(f"{{{M}}}ResponseCode")]

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock."""
        self.world.clock.offset_ms += int(seconds * 1000)


@contextmanager
def office(settings: dict[str, Any] | None = None, data_dir: Path | None = None) -> Iterator[Office]:
    """Start a sandbox with three people and a service account that may act for all of them."""
    world = open_world(data_dir, settings or {})
    app = create_app(world)
    for address, name, zone in (
        (ANNA, "Anna Example", "Europe/Berlin"),
        (BEN, "Ben Example", "America/New_York"),
        (CARL, "Carl Example", "Asia/Tokyo"),
    ):
        accounts.add_mailbox(world, address, name, zone)
        accounts.add_account(world, address, PASSWORD, mailbox=address)
    accounts.add_account(world, SERVICE, SERVICE_PASSWORD, impersonates=["*"])
    watch = Watch(app)
    try:
        with LoopbackServer(watch) as url:
            running = Office(world, url, watch)
            try:
                yield running
            finally:
                for connection in running.opened:
                    connection.close()
    finally:
        world.db.close()
    assert watch.breaches == [], watch.breaches
