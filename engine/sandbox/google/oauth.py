"""The token endpoint (JWT bearer grant of service accounts) and the check of access tokens."""

from __future__ import annotations

import json
import secrets
import time
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

import jwt

from engine.sandbox.google import users
from engine.sandbox.google.errors import unauthenticated
from engine.sandbox.kit.world import World

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
AUDIENCE = "https://oauth2.googleapis.com/token"
"""google-auth names the public endpoint as audience whatever ``token_uri`` its key file gives."""
LONGEST_S = 3600
"""An assertion may not live longer than an hour."""
SKEW_S = 300


@dataclass(frozen=True, slots=True)
class Identity:
    """Who calls: the impersonated user, the service account, its project, the token's scopes."""

    user: str
    account: str
    project: str
    scopes: frozenset[str]


class _Refused(Exception):
    def __init__(self, status: int, error: str, description: str) -> None:
        super().__init__(description)
        self.answer = status, {"error": error, "error_description": description}


def setup(world: World) -> None:
    """Create the table of access tokens."""
    world.db.execute(
        "CREATE TABLE IF NOT EXISTS google_tokens (token TEXT PRIMARY KEY, user TEXT NOT NULL, account TEXT NOT NULL,"
        " project TEXT NOT NULL, scopes TEXT NOT NULL, expires_ms INTEGER NOT NULL)"
    )


def grant(world: World, form: bytes) -> tuple[int, dict[str, Any]]:
    """Answer ``POST /token``.

    The life of a token is ``settings["google_token_seconds"]`` (3600 unless told) on the world's clock.

    Args:
        world: state.
        form: the URL-encoded body.

    Returns:
        HTTP status and JSON body (RFC 6749 section 5; wording as Google's).
    """
    try:
        fields = dict(parse_qsl(form.decode("utf-8", "replace")))
        if fields.get("grant_type") != GRANT:
            raise _Refused(400, "unsupported_grant_type", f"Invalid grant_type: {fields.get('grant_type', '')}")
        return 200, _grant(world, fields.get("assertion", ""))
    except _Refused as refused:
        return refused.answer


def _grant(world: World, assertion: str) -> dict[str, Any]:
    try:
        unchecked = jwt.decode(assertion, options={"verify_signature": False})
    except jwt.PyJWTError:
        raise _Refused(400, "invalid_grant", "Invalid JWT: Failed to parse the assertion.") from None
    account = world.db.execute(
        "SELECT email, project, token_uri, public_key, scopes FROM google_accounts WHERE email = ?",
        (unchecked.get("iss"),),
    ).fetchone()
    if account is None:
        raise _Refused(400, "invalid_grant", "Invalid grant: account not found")
    claims = _verified(assertion, account["public_key"])
    if claims.get("aud") not in (account["token_uri"], AUDIENCE):
        raise _Refused(400, "invalid_grant", "Invalid JWT: audience is not this token endpoint.")
    user = str(claims.get("sub") or account["email"]).lower()
    if user != account["email"] and users.find(world, user) is None:
        raise _Refused(400, "invalid_grant", "Invalid email or User ID")
    scopes = str(claims.get("scope", "")).split()
    if not scopes:
        raise _Refused(400, "invalid_scope", "Invalid OAuth scope or ID token audience provided.")
    if not set(scopes) <= set(json.loads(account["scopes"])):
        raise _Refused(
            401,
            "unauthorized_client",
            "Client is unauthorized to retrieve access tokens using this method, or client not authorized for any of"
            " the scopes requested.",
        )
    seconds = int(world.settings.get("google_token_seconds", 3600))
    token = "ya29.c." + secrets.token_urlsafe(48)
    now = world.clock.now_ms()
    world.db.execute("DELETE FROM google_tokens WHERE expires_ms < ?", (now,))
    world.db.execute(
        "INSERT INTO google_tokens VALUES (?, ?, ?, ?, ?, ?)",
        (token, user, account["email"], account["project"], json.dumps(scopes), now + seconds * 1000),
    )
    world.counters["google.token"] += 1
    return {"access_token": token, "expires_in": max(seconds - 1, 1), "token_type": "Bearer"}


def _verified(assertion: str, public_key: str) -> dict[str, Any]:
    try:
        claims = jwt.decode(
            assertion,
            public_key,
            algorithms=["RS256"],
            options={"verify_aud": False, "verify_exp": False, "verify_iat": False},
        )
    except jwt.PyJWTError:
        raise _Refused(400, "invalid_grant", "Invalid JWT Signature.") from None
    # The client made these stamps with the machine's clock, which tests cannot move; so it is asked here too.
    now = time.time()
    issued, expires = claims.get("iat"), claims.get("exp")
    timely = (
        isinstance(issued, int | float)
        and isinstance(expires, int | float)
        and issued - SKEW_S <= now <= expires + SKEW_S
        and expires - issued <= LONGEST_S
    )
    if not timely:
        raise _Refused(
            400,
            "invalid_grant",
            "Invalid JWT: Token must be a short-lived token (60 minutes) and in a reasonable timeframe. Check your iat"
            " and exp values in the JWT claim.",
        )
    return claims


def identify(world: World, header: str) -> Identity:
    """The caller behind an ``Authorization`` header.

    Raises:
        ApiError: 401 when it is missing, not a bearer token, unknown or expired.
    """
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer" or not token:
        raise unauthenticated()
    row = world.db.execute(
        "SELECT user, account, project, scopes, expires_ms FROM google_tokens WHERE token = ?", (token.strip(),)
    ).fetchone()
    if row is None or row["expires_ms"] <= world.clock.now_ms():
        raise unauthenticated()
    return Identity(row["user"], row["account"], row["project"], _scopes(row["scopes"]))


@lru_cache(maxsize=64)
def _scopes(text: str) -> frozenset[str]:
    return frozenset(json.loads(text))
