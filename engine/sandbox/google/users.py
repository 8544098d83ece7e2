"""The people of the sandbox's Workspace domain: table ``google_users``."""

from __future__ import annotations

from dataclasses import dataclass

from engine.sandbox.kit.world import World


@dataclass(frozen=True, slots=True)
class User:
    """A mailbox owner: address, display name, IANA time zone."""

    email: str
    name: str
    zone: str


def setup(world: World) -> None:
    """Create the table."""
    world.db.execute(
        "CREATE TABLE IF NOT EXISTS google_users (email TEXT PRIMARY KEY, name TEXT NOT NULL, zone TEXT NOT NULL)"
    )


def find(world: World, email: str) -> User | None:
    """The user with that address (any case), or None."""
    row = world.db.execute(
        "SELECT email, name, zone FROM google_users WHERE email = ?", (email.lower(),)
    ).fetchone()
    return User(*row) if row else None
