from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.crm.salesforce import SalesforceConnector, SalesforceSettings
from engine.net.net import Net
from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world
from engine.sandbox.salesforce import store
from engine.sandbox.salesforce.app import create_app
from tests.clocks import HastyClock
from tests.crm.salesforce.org import Org
from tests.net.virtual import Memory


@pytest.fixture
def world() -> World:
    return open_world(None)


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "salesforce-client-secret"
    path.write_text("s3cret-value\n")
    return path


class Switch:
    """An ASGI app that stands for another one: a server takes longer to start than most tests to run."""

    app: Any = None

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self.app(scope, receive, send)


@pytest.fixture(scope="package")
def loopback() -> Iterator[tuple[Switch, str]]:
    switch = Switch()
    with LoopbackServer(switch) as url:
        yield switch, url


@pytest.fixture
def server(world: World, loopback: tuple[Switch, str]) -> str:
    """A Salesforce org on loopback with one user, Ann, and one connected app."""
    user = store.add_user(world, "ann@acme.example", "Ann Berg", "Europe/Berlin", "ann")
    store.set_client(world, "app", "s3cret-value", user)
    switch, url = loopback
    switch.app = create_app(world)
    return url


@pytest.fixture
def settings(server: str, secret_file: Path) -> SalesforceSettings:
    return SalesforceSettings(server, "app", client_secret_file=str(secret_file), default_region="DE")


@pytest.fixture
async def org(world: World, server: str, settings: SalesforceSettings) -> AsyncIterator[Org]:
    memory = Memory()
    connector = SalesforceConnector(settings, Net(clock=HastyClock(), observer=memory))
    yield Org(world, server, connector, memory)
    await connector.close()
