"""A Google sandbox on a real socket, with the clients that Google ships."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import google_auth_httplib2
import httplib2
import pytest
from google.oauth2 import service_account
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

from engine.sandbox.google import accounts
from engine.sandbox.google.app import create_app
from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world

_SETTINGS = {"google_quota": {"enabled": False}, "google_token_seconds": 10**9}
_SCOPES = {"people": "https://www.googleapis.com/auth/contacts", "gmail": "https://mail.google.com/"}


class Resources:
    """A client whose sub-resources (``api.people()``) are made once: each making costs the library 5 to 20 ms."""

    def __init__(self, resource: Any) -> None:
        self._resource = resource
        self._made: dict[str, Resources] = {}

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._resource, name)
        if not getattr(attribute, "__is_resource__", False):
            return attribute
        if name not in self._made:
            self._made[name] = Resources(attribute())
        return lambda: self._made[name]


class Workspace:
    """A running sandbox and what is needed to call it as one of its users."""

    def __init__(self, world: World, url: str, key_file: Path) -> None:
        self.world, self.url, self._key_file = world, url, key_file
        self._users = 0

    def new_user(self) -> str:
        """A fresh mailbox; returns its address."""
        self._users += 1
        address = f"user{self._users}@example.com"
        accounts.add_user(self.world, address, f"User {self._users}", "Europe/Berlin")
        return address

    @contextmanager
    def client(self, api: str, version: str, user: str) -> Iterator[Resources]:
        """A google-api-python-client service that impersonates ``user`` by domain-wide delegation."""
        credentials = service_account.Credentials.from_service_account_file(
            str(self._key_file), scopes=[_SCOPES[api]], subject=user
        )
        http = google_auth_httplib2.AuthorizedHttp(credentials, http=httplib2.Http(timeout=10))
        options = {"api_endpoint": self.url}
        with build(api, version, http=http, client_options=options, static_discovery=True) as service:
            yield Resources(service)

    def advance(self, seconds: float) -> None:
        """Move the sandbox's clock."""
        self.world.clock.offset_ms += int(seconds * 1000)


@contextmanager
def workspace(data_dir: Path) -> Iterator[Workspace]:
    """Start a sandbox on a free port; its state lies in ``data_dir``."""
    world = open_world(data_dir, dict(_SETTINGS))
    try:
        with LoopbackServer(create_app(world)) as url:
            key_file = data_dir / "key.json"
            accounts.create_service_account(world, key_file, f"{url}/token")
            yield Workspace(world, url, key_file)
    finally:
        world.db.close()


@contextmanager
def refusal(status: int) -> Iterator[dict[str, Any]]:
    """Expect a refusal; afterwards the mapping holds the ``error`` object of the body."""
    body: dict[str, Any] = {}
    with pytest.raises(HttpError) as caught:
        yield body
    body.update(json.loads(caught.value.content)["error"])
    assert (caught.value.resp.status, body["code"]) == (status, status), body
