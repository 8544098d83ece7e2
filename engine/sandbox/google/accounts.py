"""Service accounts with domain-wide delegation, and the users they may act for."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from engine.sandbox.google import calendar_store, discovery, tasks, users
from engine.sandbox.kit.world import World, transaction

ACCOUNT = "syncline@syncline-sandbox.iam.gserviceaccount.com"
PROJECT = "syncline-sandbox"


def setup(world: World) -> None:
    """Create the tables of users and service accounts."""
    users.setup(world)
    world.db.execute(
        "CREATE TABLE IF NOT EXISTS google_accounts (email TEXT PRIMARY KEY, project TEXT NOT NULL,"
        " token_uri TEXT NOT NULL, public_key TEXT NOT NULL, scopes TEXT NOT NULL)"
    )


def create_service_account(
    world: World, path: Path, token_uri: str, scopes: Iterable[str] | None = None, *, email: str = ACCOUNT
) -> None:
    """Make a service account with delegation and write its JSON key file (mode 0600) in Google's format.

    When both the account and its key file exist already (a restart), the key stays and only the token URI is renewed.

    Args:
        world: where the public key is kept.
        path: of the key file.
        token_uri: absolute URL of this server's ``/token``.
        scopes: what the domain's admin has delegated; every scope of the four APIs when None.
        email: the account's ``client_email``.
    """
    setup(world)
    granted = json.dumps(sorted(scopes) if scopes is not None else discovery.all_scopes())
    known = world.db.execute("SELECT public_key FROM google_accounts WHERE email = ?", (email,)).fetchone()
    info = _read_key(path, email) if known else None
    if info is None:
        info, public = _new_key(email)
        world.db.execute(
            "INSERT OR REPLACE INTO google_accounts VALUES (?, ?, ?, ?, ?)",
            (email, PROJECT, token_uri, public, granted),
        )
    else:
        world.db.execute(
            "UPDATE google_accounts SET token_uri = ?, scopes = ? WHERE email = ?", (token_uri, granted, email)
        )
    info["token_uri"] = token_uri
    path.touch(mode=0o600)
    path.chmod(0o600)
    path.write_text(json.dumps(info, indent=2), encoding="utf-8")


def delegate(world: World, scopes: Iterable[str], *, email: str = ACCOUNT) -> None:
    """Change the scopes that the admin has delegated to a service account."""
    world.db.execute(
        "UPDATE google_accounts SET scopes = ? WHERE email = ?", (json.dumps(sorted(scopes)), email)
    )


def add_user(world: World, email: str, name: str, zone: str) -> None:
    """Add a person with a primary calendar and a default task list; nothing happens when the address is known.

    Args:
        world: where to add.
        email: primary address; kept in lower case.
        name: display name.
        zone: IANA time zone of the calendar.
    """
    email = email.lower()
    setup(world)
    calendar_store.setup(world)
    tasks.setup(world)
    with transaction(world):
        if users.find(world, email) is not None:
            return
        world.db.execute("INSERT INTO google_users VALUES (?, ?, ?)", (email, name, zone))
        calendar_store.create_primary(world, email, zone)
        tasks.create_default_list(world, email)


def _read_key(path: Path, email: str) -> dict[str, Any] | None:
    try:
        info: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return info if info.get("client_email") == email else None


def _new_key(email: str) -> tuple[dict[str, Any], str]:
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
    public = (
        key.public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        .decode()
    )
    numbers = key.public_key().public_numbers()
    info = {
        "type": "service_account",
        "project_id": PROJECT,
        "private_key_id": f"{numbers.n % 2**160:040x}",
        "private_key": private,
        "client_email": email,
        "client_id": f"1{numbers.n % 10**20:020d}",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "auth_provider_x509_cert_url": "https://www.googleapis.com/oauth2/v1/certs",
        "client_x509_cert_url": f"https://www.googleapis.com/robot/v1/metadata/x509/{email.replace('@', '%40')}",
        "universe_domain": "googleapis.com",
    }
    return info, public
