"""Who is calling: Basic, NTLM (NTLMv2, bound to the connection) or an OAuth bearer token."""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import MutableMapping
from typing import Any

from engine.sandbox.exchange import accounts, ntlm
from engine.sandbox.exchange.accounts import Account
from engine.sandbox.kit.world import World

SCHEMES = ("ntlm", "basic", "bearer")
_HANDSHAKE, _ACCOUNT = "exchange.ntlm", "exchange.account"


class Unauthorized(Exception):
    """Nobody, or not the one they say they are: HTTP 401 with these ``WWW-Authenticate`` values."""

    def __init__(self, challenges: list[str]) -> None:
        super().__init__("401")
        self.challenges = challenges


def schemes(world: World) -> tuple[str, ...]:
    """What the server offers: setting ``exchange_auth``, of ``SCHEMES``."""
    return tuple(world.settings.get("exchange_auth", SCHEMES))


def identify(world: World, header: str, connection: MutableMapping[str, Any]) -> Account:
    """The account behind a request.

    Args:
        world: accounts and settings.
        header: ``Authorization``, or empty.
        connection: what the TCP connection remembers; NTLM logs in a connection, not a request.

    Raises:
        Unauthorized: with the challenges to send.
    """
    offered = schemes(world)
    scheme, _, rest = header.partition(" ")
    scheme = scheme.lower()
    if scheme == "basic" and "basic" in offered:
        found = _basic(world, rest)
        if found is not None:
            return found
    elif scheme == "bearer" and "bearer" in offered:
        found = accounts.by_token(world, rest.strip())
        if found is not None:
            return found
        raise Unauthorized([f'{one}, error="invalid_token"' for one in _challenges(("bearer",))])
    elif scheme in ("ntlm", "negotiate") and "ntlm" in offered:
        return _ntlm(world, header, connection)
    elif not header and _ACCOUNT in connection:
        known: Account = connection[_ACCOUNT]
        return known
    raise Unauthorized(_challenges(offered))


def _challenges(offered: tuple[str, ...]) -> list[str]:
    words = {
        "ntlm": "NTLM",
        "basic": 'Basic realm="127.0.0.1"',
        "bearer": 'Bearer client_id="00000002-0000-0ff1-ce00-000000000000", token_types="app_asserted_user_v1"',
    }
    return [words[scheme] for scheme in offered]


def _basic(world: World, coded: str) -> Account | None:
    try:
        raw = base64.b64decode(coded.strip(), validate=True)
    except binascii.Error:
        return None
    try:
        login = raw.decode("utf-8")
    except UnicodeDecodeError:
        login = raw.decode("cp1252", "replace")  # older clients do not send UTF-8
    name, _, password = login.partition(":")
    found = accounts.by_login(world, name)
    if found is None or not hmac.compare_digest(found[1], ntlm.nt_hash(password)):
        return None
    return found[0]


def _ntlm(world: World, header: str, connection: MutableMapping[str, Any]) -> Account:
    try:
        message = ntlm.token(header)
        if ntlm.kind(message) == 1:
            shake = ntlm.challenge(message, accounts.DOMAIN, "EXCHANGE", world.clock.now_ms())
            connection[_HANDSHAKE] = shake
            connection.pop(_ACCOUNT, None)
            raise Unauthorized([f"NTLM {base64.b64encode(shake.challenge_message).decode()}"])
        begun = connection.pop(_HANDSHAKE, None)
        if begun is None:
            raise ntlm.Refused("no handshake on this connection")

        def hash_of(name: str, domain: str) -> bytes | None:
            found = accounts.by_login(world, name, domain)
            return found[1] if found else None

        name, domain = ntlm.verify(begun, message, hash_of)
    except ntlm.Refused:
        world.counters["exchange.ntlm_refused"] += 1
        raise Unauthorized(_challenges(schemes(world))) from None
    found = accounts.by_login(world, name, domain)
    assert found is not None
    world.counters["exchange.ntlm_logins"] += 1
    connection[_ACCOUNT] = found[0]
    return found[0]
