"""The token endpoint of applications: client credentials, as Microsoft's identity platform answers them.

Source: Microsoft's pages "OAuth 2.0 client credentials flow" (request, answer, error document) and "Microsoft Entra
authentication and authorization error codes" (the AADSTS numbers).
"""

from __future__ import annotations

import hmac
import json
import re
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from urllib.parse import parse_qs

from engine.sandbox.exchange import accounts
from engine.sandbox.kit.world import World

#: ``/TENANT/oauth2/v2.0/token``.
PATH = re.compile(r"^/([^/]+)/oauth2/v2\.0/token$")

#: The directory that applications are registered in.
TENANT = "sandbox.example"

#: Seconds that a token lives, unless ``exchange_token_seconds`` says otherwise.
LIFE = 3599

_DEFAULT = "/.default"


class _Wrong(Exception):
    """A request that gets no token."""

    def __init__(self, status: int, error: str, number: int, text: str) -> None:
        super().__init__(text)
        self.status, self.error, self.number, self.text = status, error, number, text


def answer(world: World, tenant: str, host: str, body: bytes) -> tuple[int, bytes]:
    """Status and JSON document for a form that asks for a token.

    Args:
        world: applications, clock and settings.
        tenant: the directory named in the path.
        host: the server's own host name; its resource is the one that tokens are given for.
        body: the form.
    """
    form = {name: values[-1] for name, values in parse_qs(body.decode("utf-8", "replace")).items()}
    world.counters["exchange.token"] += 1
    try:
        token = _issue(world, tenant, host, form)
    except _Wrong as wrong:
        now = f"{datetime.fromtimestamp(world.clock.now_ms() / 1000, UTC):%Y-%m-%d %H:%M:%SZ}"
        document = {
            "error": wrong.error,
            "error_description": f"AADSTS{wrong.number}: {wrong.text}",
            "error_codes": [wrong.number],
            "timestamp": now,
        }
        return wrong.status, json.dumps(document).encode()
    seconds = int(world.settings.get("exchange_token_seconds", LIFE))
    return 200, json.dumps({"token_type": "Bearer", "expires_in": seconds, "access_token": token}).encode()


def _issue(world: World, tenant: str, host: str, form: Mapping[str, str]) -> str:
    if tenant.lower() != TENANT:
        raise _Wrong(400, "invalid_request", 90002, f"Tenant '{tenant}' not found.")
    if form.get("grant_type") != "client_credentials":
        raise _Wrong(400, "unsupported_grant_type", 70003, "The app requested an unsupported grant type.")
    client, scope = form.get("client_id", ""), form.get("scope", "")
    found = accounts.application(world, client)
    if found is None:
        text = f"Application with identifier '{client}' was not found in the directory '{tenant}'."
        raise _Wrong(400, "unauthorized_client", 700016, text)
    name, secret = found
    if not hmac.compare_digest(secret.encode(), form.get("client_secret", "").encode()):
        raise _Wrong(401, "invalid_client", 7000215, f"Invalid client secret provided for app '{client}'.")
    if not scope.endswith(_DEFAULT):
        text = f"The provided value for scope {scope} is not valid. Client credential flows must have a scope value with /.default suffixed."
        raise _Wrong(400, "invalid_scope", 1002012, text)
    if scope.removesuffix(_DEFAULT).rpartition("//")[2].lower() != host.lower():
        text = f"The resource principal named {scope.removesuffix(_DEFAULT)} was not found in the tenant."
        raise _Wrong(400, "invalid_resource", 500011, text)
    token = secrets.token_urlsafe(48)
    seconds = int(world.settings.get("exchange_token_seconds", LIFE))
    accounts.issue(world, token, name, world.clock.now_ms() + seconds * 1000)
    return token
