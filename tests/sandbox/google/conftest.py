"""A Google sandbox over a real socket, and google-api-python-client pointed at it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httplib2
import pytest
from google.oauth2 import service_account
from google_auth_httplib2 import AuthorizedHttp
from googleapiclient.discovery import build

from engine.sandbox.google import accounts
from engine.sandbox.google.app import create_app
from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world

ANNA, BEN = "anna@example.com", "ben@example.com"
ROOTS = {"calendar": "/calendar/v3/", "people": "/", "tasks": "/", "gmail": "/"}
VERSIONS = {"calendar": "v3", "people": "v1", "tasks": "v1", "gmail": "v1"}
SCOPES = {
    "calendar": ["https://www.googleapis.com/auth/calendar"],
    "people": ["https://www.googleapis.com/auth/contacts"],
    "tasks": ["https://www.googleapis.com/auth/tasks"],
    "gmail": ["https://mail.google.com/"],
}


@dataclass
class Google:
    """The running sandbox: its world, base URL and key file."""

    world: World
    url: str
    key: Path
    signer: Any
    opened: list[httplib2.Http] = field(default_factory=list)

    def http(self, api: str, user: str = ANNA) -> AuthorizedHttp:
        credentials = service_account.Credentials(
            self.signer, accounts.ACCOUNT, f"{self.url}/token", scopes=SCOPES[api], subject=user
        )
        self.opened.append(httplib2.Http())
        return AuthorizedHttp(credentials, http=self.opened[-1])

    def service(self, api: str, user: str = ANNA) -> Any:
        """A plain google-api-python-client service for ``user``."""
        return build(
            api,
            VERSIONS[api],
            http=self.http(api, user),
            static_discovery=True,
            client_options={"api_endpoint": self.url + ROOTS[api]},
        )


@pytest.fixture(scope="session")
def account(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, tuple[Any, ...], Any]:
    """A service account made once, for making and loading a key takes a while: its key file, its row, its signer."""
    key = tmp_path_factory.mktemp("account") / "key.json"
    world = open_world(None)
    accounts.create_service_account(world, key, "http://127.0.0.1/token")
    row = tuple(world.db.execute("SELECT * FROM google_accounts").fetchone())
    world.db.close()
    return key, row, service_account.Credentials.from_service_account_file(str(key)).signer


@pytest.fixture
def google(tmp_path: Path, account: tuple[Path, tuple[Any, ...], Any]) -> Iterator[Google]:
    world = open_world(None, {"google_quota": {"enabled": False}})
    server = LoopbackServer(create_app(world))
    key = tmp_path / "key.json"
    shutil.copy(account[0], key)
    world.db.execute("INSERT INTO google_accounts VALUES (?, ?, ?, ?, ?)", account[1])
    accounts.create_service_account(world, key, f"{server.url}/token")
    accounts.add_user(world, ANNA, "Anna Example", "Europe/Zurich")
    accounts.add_user(world, BEN, "Ben Example", "America/New_York")
    with server as url:
        running = Google(world, url, key, account[2])
        yield running
        for http in running.opened:
            http.close()
    world.db.close()
