"""A Google sandbox on a real socket, with what it was asked, and our connector pointed at it."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pytest

from engine.mailbox.google.connector import GoogleConnector
from engine.mailbox.google.settings import Api, GoogleSettings
from engine.model.port import Account, Scope, Structure
from engine.net.net import Net
from engine.sandbox.google.accounts import add_user, create_service_account
from engine.sandbox.google.app import create_app
from engine.sandbox.kit.faults import Fault, rules
from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world
from tests.clocks import HastyClock

ANNA = Account("anna@firm.example", "Europe/Berlin")
BEN = Account("ben@firm.example", "America/New_York")


@dataclass(frozen=True, slots=True)
class Asked:
    """One HTTP request as it arrived."""

    verb: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes


class Recorder:
    """ASGI middleware that keeps every request and passes it on."""

    def __init__(self, app: Any) -> None:
        self.app = app
        self.asked: list[Asked] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        body, more = b"", True
        while more:
            message = await receive()
            body += message.get("body", b"")
            more = message.get("more_body", False)
        # Kept before it is answered, so that a test that has its answer sees its call.
        self.asked.append(
            Asked(
                scope["method"],
                scope.get("raw_path", scope["path"].encode()).decode(),
                parse_qs(scope["query_string"].decode()),
                {name.decode(): value.decode() for name, value in scope["headers"]},
                body,
            )
        )
        replayed = False

        async def replay() -> Any:
            nonlocal replayed
            if replayed:
                return await receive()
            replayed = True
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, replay, send)


@dataclass
class Google:
    """The sandbox of one test."""

    world: World
    url: str
    key_file: Path
    recorder: Recorder
    connectors: list[GoogleConnector] = field(default_factory=list)

    def settings(self, **changes: Any) -> GoogleSettings:
        """Settings that point all APIs at the sandbox."""
        known: dict[str, Any] = {
            "credentials_file": str(self.key_file),
            "endpoints": {
                Api.CALENDAR: f"{self.url}/calendar/v3/",
                Api.PEOPLE: f"{self.url}/",
                Api.TASKS: f"{self.url}/",
                Api.GMAIL: f"{self.url}/",
            },
            "batch_urls": {
                Api.CALENDAR: f"{self.url}/batch/calendar/v3",
                Api.PEOPLE: f"{self.url}/batch",
                Api.TASKS: f"{self.url}/batch",
                Api.GMAIL: f"{self.url}/batch",
            },
            "timeout": 10.0,
        }
        return GoogleSettings(**{**known, **changes})

    def connector(self, **changes: Any) -> GoogleConnector:
        """A connector with changed settings; closed when the test ends."""
        made = GoogleConnector(self.settings(**changes), Net(clock=HastyClock()))
        self.connectors.append(made)
        return made

    def fault(self, **rule: Any) -> Fault:
        """Switch a fault on."""
        made = Fault(**rule)
        rules(self.world).append(made)
        return made

    def calls(self, *, token: bool = False) -> list[Asked]:
        """API calls so far, without those to the token endpoint unless asked for."""
        return [one for one in self.recorder.asked if token or one.path != "/token"]

    def forget(self) -> None:
        """Forget the calls so far."""
        self.recorder.asked.clear()


@pytest.fixture(scope="session")
def service_account(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[str, ...]]:
    """A key file and the server's row about it; making an RSA key for each test would take longer than the tests."""
    world = open_world(None, {})
    path = tmp_path_factory.mktemp("google") / "service-account.json"
    create_service_account(world, path, "http://127.0.0.1/token")
    row = tuple(world.db.execute("SELECT * FROM google_accounts").fetchone())
    world.db.close()
    return path, row


@pytest.fixture
def google_server(tmp_path: Path, service_account: tuple[Path, tuple[str, ...]]) -> Iterator[Google]:
    world = open_world(None, {})
    recorder = Recorder(create_app(world))
    with LoopbackServer(recorder) as url:
        key_file = tmp_path / "service-account.json"
        shutil.copy(service_account[0], key_file)
        world.db.execute("INSERT INTO google_accounts VALUES (?, ?, ?, ?, ?)", service_account[1])
        create_service_account(world, key_file, f"{url}/token")
        for account in (ANNA, BEN):
            add_user(world, account.email, account.email.split("@")[0].title(), account.zone)
        yield Google(world, url, key_file, recorder)
    world.db.close()


@pytest.fixture
async def google(google_server: Google) -> AsyncIterator[Google]:
    yield google_server
    for connector in google_server.connectors:
        await connector.close()


async def scope_of(
    connector: GoogleConnector, key: str, structure: Structure, account: Account = ANNA
) -> Scope:
    """The scope of that key after ``ensure``."""
    containers = await connector.ensure(account, structure, {})
    return next(scope for scope in containers.scopes if scope.key == key)
