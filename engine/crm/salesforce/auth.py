"""Logging in: the two OAuth grants for servers, client credentials and JWT bearer."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlencode, urlsplit

import jwt

from engine.crm.salesforce.errors import login_refusal
from engine.crm.salesforce.settings import (
    CLIENT_CREDENTIALS,
    JWT,
    PROVIDER,
    TOKEN_PATH,
    SalesforceSettings,
    client_secret,
    misconfigured,
    private_key,
)
from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import Http
from engine.net.net import Net
from engine.net.tokens import Token

_JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: Life of an assertion in seconds; Salesforce refuses more than a few minutes.
_ASSERTION_SECONDS = 180


async def log_in(settings: SalesforceSettings, http: Http, net: Net) -> tuple[Token, str]:
    """Get an access token.

    Returns:
        The token, and the org's instance URL for all further calls.

    Raises:
        ProviderError: ``CREDENTIAL`` when the login is refused, ``CONFIGURATION`` when a setting cannot work.
    """
    if settings.auth == CLIENT_CREDENTIALS:
        secret = await asyncio.to_thread(client_secret, settings)
        form = {"grant_type": CLIENT_CREDENTIALS, "client_id": settings.client_id, "client_secret": secret}
    elif settings.auth == JWT:
        # Reading and parsing a key takes tens of milliseconds (providers.md section 2): not on the loop.
        form = {
            "grant_type": _JWT_GRANT,
            "assertion": await asyncio.to_thread(assertion, settings, net.clock.now_ms()),
        }
    else:
        raise misconfigured(f"unknown auth {settings.auth!r}", f"Set auth to {CLIENT_CREDENTIALS} or {JWT}")
    response = await http.send(
        "POST",
        settings.base_url + TOKEN_PATH,
        headers={"content-type": "application/x-www-form-urlencoded"},
        content=urlencode(form),
    )
    if response.status_code != 200:
        raise login_refusal(response, net.clock.now_ms())
    try:
        body = json.loads(response.content)
        token, instance = str(body["access_token"]), str(body["instance_url"])
    except (ValueError, KeyError, TypeError):
        raise ProviderError(
            ErrorKind.MALFORMED,
            PROVIDER,
            "the login address answered without a token",
            advice="Check login_url; it is the My Domain address of the org",
            status=response.status_code,
        ) from None
    return Token(token, settings.token_seconds), instance.rstrip("/")


def assertion(settings: SalesforceSettings, now_ms: int) -> str:
    """The signed JWT of the bearer grant (RS256; ``iss``, ``sub``, ``aud``, ``exp``)."""
    claims = {
        "iss": settings.client_id,
        "sub": settings.username,
        "aud": settings.audience or audience(settings.base_url),
        "exp": now_ms // 1000 + _ASSERTION_SECONDS,
    }
    key = private_key(settings)
    try:
        return jwt.encode(claims, key, algorithm="RS256")
    except (jwt.PyJWTError, ValueError, TypeError):
        raise misconfigured(
            f"{settings.private_key_file} (setting private_key_file) holds no usable RSA key",
            "It must be an unencrypted PEM private key",
        ) from None


def audience(base_url: str) -> str:
    """Salesforce's audience for a login address; an address that is not Salesforce's is its own."""
    host = urlsplit(base_url).hostname or ""
    if not host.endswith("salesforce.com"):
        return base_url
    sandbox = host == "test.salesforce.com" or ".sandbox." in host
    return "https://test.salesforce.com" if sandbox else "https://login.salesforce.com"
