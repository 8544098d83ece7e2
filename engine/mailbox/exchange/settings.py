"""What the Exchange connector is told: where the server is, how to log in, how much at once. Secrets are named here."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from engine.net.errors import ErrorKind, ProviderError

PROVIDER = "Exchange"

BASIC = "basic"
NTLM = "ntlm"
OAUTH = "oauth"

#: Modes in which the server tells of changes before the slow poll would see them.
HINTED = frozenset({"push", "streaming", "pull"})

#: Largest page of SyncFolderItems and largest batch that Exchange takes (maxChangesReturned, 1 to 512).
PAGE = 512

_TOKEN_URI = "https://login.microsoftonline.com/{tenant}/oauth2/v2.0/token"  # noqa: S105 - an address


@dataclass(frozen=True, slots=True)
class ExchangeSettings:
    """One Exchange organisation; names and defaults are those of the configuration (tested).

    Attributes:
        url: of EWS, ``https://mail.example.com/EWS/Exchange.asmx``; ``http`` on this machine only.
        version: the server's: ``Exchange2010``, ``Exchange2013``, ``Exchange2016``, ``Exchange2019``, ``ExchangeSE``.
        auth: ``basic``, ``ntlm`` or ``oauth`` (client credentials).
        username: the impersonation account: ``DOMAIN\\name`` or its address (``basic``, ``ntlm``).
        password_file: file with its password.
        password_env: or the environment variable with it.
        client_id: application that may impersonate (``oauth``).
        client_secret_file: file with the application's secret.
        client_secret_env: or the environment variable with it.
        tenant: directory of the application; ``token_uri`` is made from it.
        token_uri: token endpoint; empty: Microsoft's of ``tenant``.
        scope: what tokens are asked for; empty: ``https://HOST/.default`` of ``url``.
        ca_file: PEM file of the authority that signed the server's certificate; empty: the machine's authorities.
        batch_size: items in one create, update or delete, 1 to 512.
        mode: ``polling``, or how the server tells of changes besides: ``push``, ``streaming``, ``pull``.
        notification_url: where the server sends push notifications.
        notification_frequency: minutes for which a mailbox is retried before its sync is cancelled and mails go out.
        notify_sync_failure_to: addresses of these mails, separated by ``;``.
        max_connections: calls at once to this server, for all mailboxes together.
        timeout: seconds that one call may take.
        default_region: two-letter country in which phone numbers without ``+`` are read.
    """

    url: str
    version: str = "Exchange2016"
    auth: str = BASIC
    username: str = ""
    password_file: str = ""
    password_env: str = ""
    client_id: str = ""
    client_secret_file: str = ""
    client_secret_env: str = ""
    tenant: str = ""
    token_uri: str = ""
    scope: str = ""
    ca_file: str = ""
    batch_size: int = 100
    mode: str = "polling"
    notification_url: str = ""
    notification_frequency: int = 30
    notify_sync_failure_to: str = ""
    max_connections: int = 8
    timeout: float = 60.0
    default_region: str = ""

    @property
    def token_url(self) -> str:
        """Where OAuth tokens are asked for."""
        return self.token_uri or _TOKEN_URI.format(tenant=self.tenant)

    @property
    def token_scope(self) -> str:
        """What OAuth tokens are asked for: the resource is the server's host unless the setting names another."""
        parts = urlsplit(self.url)
        return self.scope or f"{parts.scheme}://{parts.hostname}/.default"

    @property
    def recipients(self) -> tuple[str, ...]:
        """Who is mailed when a mailbox cannot be synchronised."""
        return tuple(each for each in self.notify_sync_failure_to.split(";") if each)


def parse_settings(values: Mapping[str, Any]) -> ExchangeSettings:
    """The settings of a stored connection, as ``engine.model.config_connections`` has checked them.

    Raises:
        ValueError: a setting is unknown or missing; the text names it, never a value.
    """
    known = [each.name for each in fields(ExchangeSettings)]
    unknown = [name for name in values if name not in known]
    if unknown:
        raise ValueError(f"{', '.join(unknown)}: no such setting; allowed are {', '.join(known)}")
    if not values.get("url"):
        raise ValueError("url: must be given")
    return ExchangeSettings(**values)


def misconfigured(detail: str, advice: str) -> ProviderError:
    """The error for a setting that cannot work."""
    return ProviderError(ErrorKind.CONFIGURATION, PROVIDER, detail, advice=advice)


def password(settings: ExchangeSettings) -> str:
    """The impersonation account's password, read at each use so that a rotation is seen.

    Raises:
        ProviderError: ``CONFIGURATION``, naming the setting and the place, never the content.
    """
    return _secret(
        settings.password_env, settings.password_file, "password", "the impersonation account's password"
    )


def client_secret(settings: ExchangeSettings) -> str:
    """The application's secret, as ``password``.

    Raises:
        ProviderError: ``CONFIGURATION``.
    """
    return _secret(
        settings.client_secret_env, settings.client_secret_file, "client_secret", "the application's secret"
    )


def _secret(variable: str, path: str, setting: str, what: str) -> str:
    if variable:
        value = os.environ.get(variable, "").strip()
        if value:
            return value
        raise misconfigured(
            f"the environment variable {variable} (setting {setting}_env) is empty",
            f"Set it for the service, or use {setting}_file",
        )
    if not path:
        raise misconfigured(f"the setting {setting}_file is empty", f"Name the file that holds {what}")
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else "not a text file"
        raise misconfigured(
            f"cannot read {path} (setting {setting}_file): {reason}",
            f"It must hold {what} and be readable by the service",
        ) from None
    if not text:
        raise misconfigured(f"{path} (setting {setting}_file) is empty", f"It must hold {what}")
    return text
