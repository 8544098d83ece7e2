"""A Google sandbox on loopback for a test module, and a connector's client for one fresh mailbox per test."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.settings import Api, GoogleSettings, Quotas
from engine.model.port import Account, Observation, Page
from engine.net.net import Net
from engine.sandbox.google.accounts import add_user, create_service_account
from engine.sandbox.google.app import create_app
from engine.sandbox.kit.faults import parse, rules
from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world
from tests.clocks import HastyClock

USERS = 80

#: Limits so high that no test waits for a bucket.
PLENTY = Quotas(**dict.fromkeys((limit.name for limit in fields(Quotas)), 1e9))


@dataclass
class Lab:
    """The sandbox of one test module."""

    world: World
    url: str
    key_file: Path
    users: Iterator[int] = field(default_factory=itertools.count)

    def account(self) -> Account:
        """A mailbox that no test has touched."""
        number = next(self.users)
        assert number < USERS, "more tests than mailboxes in the lab"
        return Account(f"user{number}@example.com", "Europe/Berlin", f"005{number:012d}")

    def settings(self, **options: Any) -> GoogleSettings:
        """Settings whose APIs are all in the sandbox."""
        roots = {
            Api.CALENDAR: self.url + "/calendar/v3/",
            Api.PEOPLE: self.url,
            Api.TASKS: self.url,
            Api.GMAIL: self.url,
        }
        batches = {
            Api.CALENDAR: self.url + "/batch/calendar/v3",
            Api.PEOPLE: self.url + "/batch",
            Api.TASKS: self.url + "/batch",
            Api.GMAIL: self.url + "/batch",
        }
        defaults: dict[str, Any] = {
            "credentials_file": str(self.key_file),
            "endpoints": roots,
            "batch_urls": batches,
            "quotas": PLENTY,
            "timeout": 10.0,
        }
        return GoogleSettings(**(defaults | options))

    @asynccontextmanager
    async def client(self, **options: Any) -> AsyncIterator[GoogleClient]:
        """A client, closed at the end."""
        client = GoogleClient(self.settings(**options), Net(clock=HastyClock()))
        try:
            yield client
        finally:
            await client.close()
            rules(self.world).clear()

    def fault(self, **spec: Any) -> None:
        """Let requests fail; see ``engine.sandbox.kit.faults.Fault``."""
        rules(self.world).append(parse({"service": "google", **spec}))

    def calls(self) -> int:
        """HTTP requests so far, without those for tokens."""
        counters = self.world.counters
        return counters["google.http"] - counters["google.token"]

    def count(self, method: str) -> int:
        """Calls of one API method so far, those within batches included."""
        return self.world.counters[f"google.{method}"]


@contextmanager
def open_lab(folder: Path, **settings: Any) -> Iterator[Lab]:
    """A sandbox with users, served until the end of the block."""
    world = open_world(None, {"google_quota": {"enabled": False}, **settings})
    app = create_app(world)
    for number in range(USERS):
        add_user(world, f"user{number}@example.com", f"User {number}", "Europe/Berlin")
    server = LoopbackServer(app)
    key_file = folder / "key.json"
    create_service_account(world, key_file, server.url + "/token")
    with server as url:
        yield Lab(world, url, key_file)


async def read_all(pages: AsyncIterator[Page]) -> tuple[list[Observation], Page]:
    """All observations of a feed, and its last page."""
    seen: list[Observation] = []
    last: Page | None = None
    async for page in pages:
        seen += page.observations
        last = page
    assert last is not None
    return seen, last
