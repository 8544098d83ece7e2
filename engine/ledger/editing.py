"""Units of work on single objects of the configuration: a policy, a connection, some users."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from engine.ledger import mailboxes as whole
from engine.ledger.schema import connection, job, mailbox, policy
from engine.ledger.sql import inserting


def put_policy(conn: sa.Connection, name: str, settings: Mapping[str, Any], *, new: bool) -> None:
    """Store a policy's settings; a new policy is off."""
    if new:
        inserting(policy, ("name", "settings", "state")).many(
            conn, [{"name": name, "settings": dict(settings), "state": "disabled"}]
        )
    else:
        conn.execute(sa.update(policy).where(policy.c.name == name).values(settings=dict(settings)))


def drop_policy(conn: sa.Connection, name: str, jobs: Sequence[str]) -> int:
    """Forget a policy and the switches of its jobs; its users are marked as removed.

    Links stay, so that nothing is made twice should a user come back. Returns how many users it had.
    """
    left = conn.execute(
        sa.update(mailbox).where(mailbox.c.policy == name, mailbox.c.removed == 0).values(removed=1)
    ).rowcount
    conn.execute(sa.delete(policy).where(policy.c.name == name))
    conn.execute(sa.delete(job).where(job.c.name.in_(list(jobs))))
    return int(left)


def put_connection(conn: sa.Connection, name: str, kind: str, settings: Mapping[str, Any]) -> None:
    """Store a connection in place of the one of that name, if there is one."""
    conn.execute(sa.delete(connection).where(connection.c.name == name))
    inserting(connection, ("name", "kind", "settings")).many(
        conn, [{"name": name, "kind": kind, "settings": dict(settings)}]
    )


def drop_connection(conn: sa.Connection, name: str) -> None:
    """Forget a connection."""
    conn.execute(sa.delete(connection).where(connection.c.name == name))


def add_users(conn: sa.Connection, users: Iterable[Sequence[Any]]) -> None:
    """Add users (see ``put_users``); who was removed earlier comes back and is read completely again."""
    whole.put_users(conn, users)


def remove_users(conn: sa.Connection, emails: Sequence[str]) -> None:
    """Mark users as removed; their items stay where they are, and their links in the ledger."""
    for start in range(0, len(emails), 500):
        conn.execute(
            sa.update(mailbox).where(mailbox.c.email.in_(emails[start : start + 500])).values(removed=1)
        )
