"""Settings of the engine as a whole, beside connections, policies and users. Checked in ``engine.model.config_setup``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Security(StrEnum):
    """How the way to a mail server is protected."""

    STARTTLS = "starttls"  # in the clear until the server agreed to TLS; without it nothing is sent
    TLS = "tls"  # TLS from the first byte (port 465)
    NONE = "none"  # in the clear: for a relay on this machine


@dataclass(frozen=True, slots=True)
class Smtp:
    """The mail server of failure mails. The password is named by a file or an environment variable."""

    host: str
    sender: str
    port: int = 587
    security: Security = Security.STARTTLS
    username: str = ""
    password_file: str = ""
    password_env: str = ""
    ca_file: str = ""  # PEM of further authorities; empty: those of the machine
    timeout: float = 30.0  # seconds that one step of a delivery may take


@dataclass(frozen=True, slots=True)
class Push:
    """The listener for what providers tell of changes by themselves. Without the section there is none.

    ``certificate_file`` and ``key_file`` make it speak TLS itself; else a proxy in front of it does (Google calls https only).
    """

    bind: str  # address and port to listen on
    public_url: str  # how providers reach it
    certificate_file: str = ""
    key_file: str = ""
    body_limit: int = 1_048_576  # bytes of one notification
    rate_limit: int = 600  # notifications a minute and sender, before more are refused
    connections: int = 100  # at once


@dataclass(frozen=True, slots=True)
class Setup:
    """All of them; None where the configuration does not name a section."""

    smtp: Smtp | None = None
    push: Push | None = None
