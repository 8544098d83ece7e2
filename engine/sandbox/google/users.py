"""The people of the sandbox's Workspace domain: table ``google_users``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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


@contextmanager
def transaction(world: World) -> Iterator[None]:
    """One SQLite transaction, undone by an exception; within an open one a savepoint (the calls of a batch)."""
    nested = world.db.in_transaction
    begin, undo, end = _NESTED if nested else _OUTER
    world.db.execute(begin)
    try:
        yield
    except BaseException:
        world.db.execute(undo)
        if nested:
            world.db.execute(end)
        raise
    world.db.execute(end)


_OUTER = ("BEGIN IMMEDIATE", "ROLLBACK", "COMMIT")
_NESTED = ("SAVEPOINT inner_call", "ROLLBACK TO inner_call", "RELEASE inner_call")
