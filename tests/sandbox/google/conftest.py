"""A Google sandbox over a real socket, and google-api-python-client pointed at it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

    def http(self, api: str, user: str = ANNA) -> AuthorizedHttp:
        credentials = service_account.Credentials.from_service_account_file(
            str(self.key), scopes=SCOPES[api], subject=user
        )
        return AuthorizedHttp(credentials, http=httplib2.Http())

    def service(self, api: str, user: str = ANNA) -> Any:
        """A plain google-api-python-client service for ``user``."""
        return build(
            api,
            VERSIONS[api],
            http=self.http(api, user),
            static_discovery=True,
            client_options={"api_endpoint": self.url + ROOTS[api]},
        )


def populate(world: World, url: str, key: Path) -> None:
    """A service account and two users."""
    accounts.create_service_account(world, key, f"{url}/token")
    accounts.add_user(world, ANNA, "Anna Example", "Europe/Zurich")
    accounts.add_user(world, BEN, "Ben Example", "America/New_York")


@pytest.fixture
def google(tmp_path: Path) -> Iterator[Google]:
    world = open_world(None)
    world.settings["google_quota"] = {"enabled": False}
    server = LoopbackServer(create_app(world))
    key = tmp_path / "key.json"
    populate(world, server.url, key)
    with server as url:
        yield Google(world, url, key)
    world.db.close()


@pytest.fixture
def reason() -> Callable[[Any], tuple[int, str]]:
    """Status and first reason of an HttpError."""

    def of(error: Any) -> tuple[int, str]:
        details = error.error_details
        return int(error.resp.status), details[0]["reason"] if isinstance(details, list) and details else ""

    return of
