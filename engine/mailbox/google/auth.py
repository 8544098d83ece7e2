"""Domain-wide delegation: one service account that acts as each mailbox's owner.

A signed assertion (RS256) names the person and the scopes; Google's token endpoint answers with an access token of an
hour. The key is read once, never shown, and never part of an error's text.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Hashable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from engine.mailbox.google.settings import GoogleSettings
from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import Http
from engine.net.net import Net
from engine.net.retry import with_retries
from engine.net.tokens import Token, TokenCache

PROVIDER = "Google sign-in"

GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"

#: Longest lifetime that Google accepts for an assertion.
ASSERTION_SECONDS = 3600

Key = tuple[str, tuple[str, ...]]
"""A token is for one person and one set of scopes."""


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """The parts of a service account's key file. The private key is left out of ``repr``."""

    email: str
    client_id: str
    token_uri: str
    key_id: str
    key: Any = field(repr=False)


def load_service_account(path: str) -> ServiceAccount:
    """Read a service account's JSON key (about 46 ms for the key's check).

    Raises:
        ProviderError: CONFIGURATION, naming the file and the field that is wrong.
    """
    try:
        document = json.loads(Path(path).expanduser().read_text("utf-8"))
    except OSError as error:
        raise _configuration(f"cannot read credentials_file {path}: {error.strerror or 'unreadable'}") from None
    except ValueError:
        raise _configuration(f"credentials_file {path} is not JSON") from None
    if not isinstance(document, dict) or document.get("type") != "service_account":
        raise _configuration(f'credentials_file {path}: field "type" is not "service_account"')
    for name in ("client_email", "private_key", "token_uri"):
        if not isinstance(document.get(name), str) or not document[name]:
            raise _configuration(f'credentials_file {path}: field "{name}" is missing')
    try:
        key = load_pem_private_key(document["private_key"].encode(), password=None)
    except (ValueError, TypeError):
        # The library's own text may quote the key.
        raise _configuration(f'credentials_file {path}: field "private_key" is not a PEM private key') from None
    return ServiceAccount(
        email=document["client_email"],
        client_id=str(document.get("client_id") or document["client_email"]),
        token_uri=document["token_uri"],
        key_id=str(document.get("private_key_id") or ""),
        key=key,
    )


def _configuration(detail: str) -> ProviderError:
    return ProviderError(
        ErrorKind.CONFIGURATION,
        PROVIDER,
        detail,
        advice="Download a JSON key of the service account from the Cloud console and name its path",
    )


class Delegation:
    """Access tokens for mailboxes, cached and fetched once however many ask at the same time."""

    def __init__(self, settings: GoogleSettings, net: Net) -> None:
        self._settings = settings
        self._net = net
        self._http = Http(net, PROVIDER, timeout=settings.timeout)
        self._account: ServiceAccount | None = None
        self._loading = asyncio.Lock()
        self._tokens = TokenCache(net, self._fetch)

    async def service_account(self) -> ServiceAccount:
        """The parsed key; read in a thread the first time."""
        async with self._loading:
            if self._account is None:
                self._account = await asyncio.to_thread(load_service_account, self._settings.credentials_file)
        return self._account

    async def token(self, subject: str, scopes: tuple[str, ...]) -> str:
        """An access token to act as ``subject``.

        Raises:
            ProviderError: CONFIGURATION (key file), DELEGATION (client or scope not authorised), CREDENTIAL (unknown
                person, revoked key, clock skew), UNAVAILABLE.
        """
        return await self._tokens.get((subject, scopes))

    def invalidate(self, subject: str, scopes: tuple[str, ...], token: str) -> None:
        """Forget a token that an API refused."""
        self._tokens.invalidate((subject, scopes), token)

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _fetch(self, key: Hashable) -> Token:
        subject, scopes = cast("Key", key)
        account = await self.service_account()
        now = self._net.clock.now_ms() // 1000
        assertion = jwt.encode(
            {
                "iss": account.email,
                "sub": subject,
                "scope": " ".join(scopes),
                # The endpoint that the key names, also when the settings lead there through another URL.
                "aud": account.token_uri,
                "iat": now,
                "exp": now + ASSERTION_SECONDS,
            },
            account.key,
            algorithm="RS256",
            headers={"kid": account.key_id} if account.key_id else None,
        )
        form = urlencode({"grant_type": GRANT, "assertion": assertion})

        async def ask() -> httpx.Response:
            response = await self._http.send(
                "POST",
                self._settings.token_uri or account.token_uri,
                headers={"content-type": "application/x-www-form-urlencoded"},
                content=form,
                account=subject,
            )
            if response.status_code == 429 or response.status_code >= 500:
                raise _refused(account, subject, scopes, response)
            return response

        # Asking twice for a token is harmless.
        response = await with_retries(self._net, ask, idempotent=True, attempts=3, account=subject)
        if response.status_code != 200:
            raise _refused(account, subject, scopes, response)
        try:
            body = _body(response)
            return Token(str(body["access_token"]), float(body.get("expires_in", 3600)))
        except (KeyError, ValueError, TypeError):
            raise ProviderError(
                ErrorKind.MALFORMED,
                PROVIDER,
                "the token endpoint's answer holds no access token",
                advice="Check token_uri in the connection's settings",
                status=response.status_code,
            ) from None


def _body(response: httpx.Response) -> dict[str, Any]:
    try:
        body = response.json()
    except ValueError:
        return {}
    return body if isinstance(body, dict) else {}


def _refused(
    account: ServiceAccount, subject: str, scopes: tuple[str, ...], response: httpx.Response
) -> ProviderError:
    status, body = response.status_code, _body(response)
    code = str(body.get("error") or "")
    said = str(body.get("error_description") or code or f"HTTP {status}")
    if code in {"unauthorized_client", "access_denied"}:
        return ProviderError(
            ErrorKind.DELEGATION,
            PROVIDER,
            f"domain-wide delegation refused for {subject}: {said}",
            advice=f"In the Admin console, Security, API controls, Domain-wide delegation, authorise client id "
            f"{account.client_id} for {', '.join(scopes)}",
            status=status,
        )
    if code == "invalid_scope":
        return ProviderError(
            ErrorKind.DELEGATION,
            PROVIDER,
            f"a scope is not known: {said}",
            advice=f"Check the scopes in the connection's settings: {', '.join(scopes)}",
            status=status,
        )
    if code == "invalid_grant":
        return ProviderError(
            ErrorKind.CREDENTIAL,
            PROVIDER,
            f"sign-in as {subject} refused: {said}",
            advice="Check that this address is a user of the domain and that this machine's clock is right",
            status=status,
        )
    if code == "invalid_client":
        return ProviderError(
            ErrorKind.CREDENTIAL,
            PROVIDER,
            f"the service account {account.email} is refused: {said}",
            advice="Check that the account and its key exist in the Cloud console",
            status=status,
        )
    if status == 429:
        return ProviderError(ErrorKind.THROTTLED, PROVIDER, said, status=status)
    if status >= 500:
        return ProviderError(ErrorKind.UNAVAILABLE, PROVIDER, said, status=status)
    return ProviderError(
        ErrorKind.CONFIGURATION if status == 404 else ErrorKind.CREDENTIAL,
        PROVIDER,
        f"sign-in as {subject} refused: {said}",
        advice="Check token_uri and credentials_file in the connection's settings",
        status=status,
    )
