"""What one cycle wrote, row by row, as the journal tells it: for a history that is drilled into."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import item, journal, link
from engine.ledger.undo import WRITES


@dataclass(frozen=True, slots=True)
class Written:
    """One write of a cycle, or one item that it left alone.

    Attributes:
        id: of the journal row, for the next page.
        kind: ``create``, ``update``, ``delete`` or ``left``.
        module: empty when the link is gone.
        before: changed fields as they were; after: as they became.
        fields: the item as it was last seen, for its name.
    """

    id: int
    link_id: int
    side: str
    kind: str
    module: str
    at: int
    before: dict[str, Any]
    after: dict[str, Any]
    fields: dict[str, Any]
    why: str = ""


def written(conn: sa.Connection, cycle_id: int, after: int, limit: int) -> list[Written]:
    """A page of what a cycle wrote, in the order of the journal, from the row after ``after`` on."""
    query = (
        sa.select(journal, link.c.module)
        .outerjoin(link, link.c.id == journal.c.link_id)
        .where(journal.c.cycle_id == cycle_id, journal.c.kind.in_((*WRITES, "left")), journal.c.id > after)
        .order_by(journal.c.id)
        .limit(limit)
    )
    rows = conn.execute(query).all()
    seen = sa.select(item.c.link_id, item.c.fields).where(
        item.c.link_id.in_(sorted({row.link_id for row in rows})), item.c.fields.is_not(None)
    )
    fields = {row.link_id: row.fields for row in conn.execute(seen)} if rows else {}
    return [
        Written(
            row.id,
            row.link_id,
            row.side,
            row.kind,
            row.module or (row.after or {}).get("module", ""),
            row.at,
            row.before or {},
            row.after or {},
            fields.get(row.link_id) or {},
            row.why,
        )
        for row in rows
    ]
