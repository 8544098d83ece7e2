"""An org over a real socket, with one integration user and a logged-in client."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
import pytest
from starlette.applications import Starlette

from engine.sandbox.kit.serve import LoopbackServer
from engine.sandbox.kit.world import World, open_world
from engine.sandbox.salesforce import store
from engine.sandbox.salesforce.app import create_app

DATA = "/services/data/v62.0"


@dataclass
class Org:
    """A served org: the world behind it, its address, its first user, and a client with a session."""

    world: World
    url: str
    user: str
    http: httpx.Client

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.http.get(f"{DATA}/{path}", params=params or None)

    def post(self, path: str, body: Any) -> httpx.Response:
        return self.http.post(f"{DATA}/{path}", json=body)

    def patch(self, path: str, body: Any, **headers: str) -> httpx.Response:
        return self.http.patch(f"{DATA}/{path}", json=body, headers=headers)

    def delete(self, path: str) -> httpx.Response:
        return self.http.delete(f"{DATA}/{path}")

    def create(self, sobject: str, **fields: Any) -> str:
        answer = self.post(f"sobjects/{sobject}", fields)
        assert answer.status_code == 201, answer.text
        return str(answer.json()["id"])

    def query(self, soql: str, *, everything: bool = False) -> list[dict[str, Any]]:
        answer = self.get("queryAll" if everything else "query", q=soql)
        assert answer.status_code == 200, answer.text
        return list(answer.json()["records"])

    def column(self, soql: str) -> list[Any]:
        """The values of the first field of each record."""
        return [list(record.values())[1] for record in self.query(soql)]

    def refusal(self, answer: httpx.Response) -> tuple[int, str]:
        return answer.status_code, answer.json()[0]["errorCode"]


class _Switch:
    """One server for all tests, which serves the app of the present one: starting a server costs more than a test."""

    app: Any = Starlette()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        await self.app(scope, receive, send)


@pytest.fixture(scope="session")
def _server() -> Iterator[tuple[_Switch, str]]:
    switch = _Switch()
    with LoopbackServer(switch) as url:
        yield switch, url


@pytest.fixture
def org(_server: tuple[_Switch, str]) -> Iterator[Org]:
    switch, url = _server
    world = open_world(None)
    user = store.add_user(world, "ann.berg@acme.example", "Ann Berg", "Europe/Berlin", "aberg")
    store.set_client(world, "client", "secret", user)
    switch.app = create_app(world)
    # Plain HTTP: without ``verify=False`` each client would load all certificates of the machine.
    with httpx.Client(base_url=url, trust_env=False, verify=False) as http:
        form = {"grant_type": "client_credentials", "client_id": "client", "client_secret": "secret"}
        token = http.post("/services/oauth2/token", data=form).json()["access_token"]
        http.headers["Authorization"] = f"Bearer {token}"
        yield Org(world, url, user, http)
    world.db.close()
