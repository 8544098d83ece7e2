"""What the connector is told: where the org is and how to log in. Secrets are named here and read elsewhere."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine.net.errors import ErrorKind, ProviderError

PROVIDER = "Salesforce"
TOKEN_PATH = "/services/oauth2/token"  # noqa: S105 - a path

#: The two OAuth grants for servers.
CLIENT_CREDENTIALS = "client_credentials"
JWT = "jwt"


@dataclass(frozen=True, slots=True)
class SalesforceSettings:
    """One org.

    Attributes:
        login_url: My Domain address or login host (``https://acme.my.salesforce.com``), with or without the token path.
        client_id: consumer key of the External Client App.
        auth: ``client_credentials`` or ``jwt``.
        client_secret_file: file with the consumer secret (``client_credentials``).
        client_secret_env: or the environment variable with it.
        username: user to act as (``jwt``).
        private_key_file: PEM file of the RSA key whose certificate the app has (``jwt``).
        audience: ``aud`` of the JWT; empty: found from ``login_url``.
        api_version: REST API version.
        link_url: base of the record links that people see; empty: the org's instance URL.
        overlap_seconds: how far before the last read a feed starts again, since a stamp is set before its
            transaction commits.
        default_region: two-letter country in which phone numbers without ``+`` are read.
        multi_currency: whether the org has ``CurrencyIsoCode`` on opportunities.
        token_seconds: how long an access token is used; Salesforce does not tell its life. Less than the session
            timeout of the org (15 minutes to 24 hours, default 2 hours).
    """

    login_url: str
    client_id: str
    auth: str = CLIENT_CREDENTIALS
    client_secret_file: str = ""
    client_secret_env: str = ""
    username: str = ""
    private_key_file: str = ""
    audience: str = ""
    api_version: str = "62.0"
    link_url: str = ""
    overlap_seconds: float = 120.0
    default_region: str = ""
    multi_currency: bool = False
    token_seconds: float = 3600.0

    @property
    def base_url(self) -> str:
        """The login address without the token path and without a slash at the end."""
        return self.login_url.strip().removesuffix("/").removesuffix(TOKEN_PATH).removesuffix("/")


def misconfigured(detail: str, advice: str) -> ProviderError:
    """The error for a setting that cannot work."""
    return ProviderError(ErrorKind.CONFIGURATION, PROVIDER, detail, advice=advice)


def client_secret(settings: SalesforceSettings) -> str:
    """The consumer secret from its file or environment variable, read at each use so that a rotation is seen.

    Raises:
        ProviderError: ``CONFIGURATION``, naming the setting and the path, never the content.
    """
    if settings.client_secret_env:
        value = os.environ.get(settings.client_secret_env, "").strip()
        if value:
            return value
        raise misconfigured(
            f"the environment variable {settings.client_secret_env} (setting client_secret_env) is empty",
            "Set it for the service, or use client_secret_file",
        )
    return _read(settings.client_secret_file, "client_secret_file", "the consumer secret").strip()


def private_key(settings: SalesforceSettings) -> str:
    """The PEM text of the signing key.

    Raises:
        ProviderError: ``CONFIGURATION``, naming the setting and the path.
    """
    return _read(settings.private_key_file, "private_key_file", "the RSA private key (PEM)")


def _read(path: str, setting: str, what: str) -> str:
    if not path:
        raise misconfigured(f"the setting {setting} is empty", f"Name the file that holds {what}")
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a text file"
        raise misconfigured(
            f"cannot read {path} (setting {setting}): {reason}",
            f"It must hold {what} and be readable by the service",
        ) from None
    if not text.strip():
        raise misconfigured(f"{path} (setting {setting}) is empty", f"It must hold {what}")
    return text
