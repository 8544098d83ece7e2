"""The audit log: who asked for what, from where, what came of it. Rows are added and read, and never changed."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import audit


def add_audit(
    conn: sa.Connection,
    at: int,
    actor: str,
    command: str,
    object_: str,
    result: str,
    *,
    origin: str = "",
    before: str = "",
    after: str = "",
) -> None:
    """Record who asked for what, and what came of it."""
    values = {"at": at, "actor": actor, "origin": origin, "command": command, "object": object_}
    conn.execute(sa.insert(audit).values(**values, before=before, after=after, result=result))


def read(
    conn: sa.Connection, before_id: int | None = None, limit: int = 200, words: tuple[str, ...] = ()
) -> list[sa.Row[Any]]:
    """Entries, the youngest first.

    Args:
        conn: the ledger.
        before_id: older than this entry.
        limit: at most so many.
        words: each must occur in one of the columns, whatever its case.
    """
    query = sa.select(audit).order_by(audit.c.id.desc()).limit(limit)
    if before_id is not None:
        query = query.where(audit.c.id < before_id)
    columns = (audit.c.actor, audit.c.origin, audit.c.command, audit.c.object, audit.c.result)
    for word in words:
        query = query.where(sa.or_(*(column.icontains(word, autoescape=True) for column in columns)))
    return list(conn.execute(query).all())
