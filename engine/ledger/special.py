"""Units of work on writes that an order of an admin made: what becomes of their links is not what agreement makes of them.

An undone update leaves base and state as they are: its item's accepted form carries what it shows now. An item that was
taken back or put back stands alone, and stays so until somebody changes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.links import UNDONE_CREATE, UNDONE_DELETE
from engine.ledger.schema import dirty, intent, item, journal, link
from engine.ledger.sql import chunks, set_columns
from engine.ledger.statement import Statement


@dataclass(frozen=True, slots=True)
class Special:
    """A write that was made on an order: ``mode`` is the order's kind."""

    link_id: int
    side: str
    kind: str
    mode: str
    patch: Mapping[str, Any]


def settle(connection: sa.Connection, made: Sequence[Special]) -> None:
    """Give the links of such writes the state that the order wants."""
    alone = {"delete": UNDONE_CREATE, "create": UNDONE_DELETE}
    for one in made:
        if one.mode == "undo" and one.kind in alone:
            values: dict[str, Any] = {"state": "absent", "reason": alone[one.kind]}
            if one.kind == "create":
                values["base"] = {name: value for name, value in one.patch.items() if value is not None}
            set_columns(connection, link, "id", one.link_id, **values)
    _end_occurrences(connection, [one for one in made if one.kind == "delete"])


def record_lost(
    connection: sa.Connection, fence: Fence, cycle_id: int, lost: Sequence[tuple[int, str]], now: int
) -> None:
    """Deletes and creates of an order whose answer was lost, and which were seen to be made: record them as done.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        cycle_id: of the order.
        lost: links and sides.
        now: engine clock.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    made: list[Special] = []
    for link_id, side in lost:
        row = connection.execute(
            sa.select(intent)
            .where(
                intent.c.link_id == link_id,
                intent.c.side == side,
                intent.c.cycle_id == cycle_id,
                intent.c.state == "void",
                intent.c.sent_at.is_not(None),
            )
            .order_by(intent.c.id.desc())
            .limit(1)
        ).one()
        made.append(Special(link_id, side, row.kind, row.mode, row.patch or {}))
        set_columns(connection, intent, "id", row.id, state="done", error="")
        connection.execute(
            sa.insert(journal).values(
                mailbox_id=row.mailbox_id,
                cycle_id=cycle_id,
                link_id=link_id,
                side=side,
                kind=row.kind,
                before=row.before,
                after=row.patch,
                why=row.why,
                at=now,
                intent_id=row.id,
            )
        )
    settle(connection, made)


_OCCURRENCES = Statement(
    sa.select(link.c.id).where(link.c.parent_link.in_(sa.bindparam("ids", expanding=True)))
)


def _end_occurrences(connection: sa.Connection, masters: Sequence[Special]) -> None:
    """The changed occurrences of a removed series went with it, by our hand: nobody has cancelled them.

    They are forgotten on that side, and their other side waits for the series like a new one.
    """
    for side in sorted({one.side for one in masters}):
        for piece in chunks([one.link_id for one in masters if one.side == side]):
            for children in chunks(_OCCURRENCES.scalars(connection, ids=piece)):
                connection.execute(
                    sa.update(link)
                    .where(link.c.id.in_(children))
                    .values(state="filtered", reason="its series is not there", base=sa.null())
                )
                connection.execute(
                    sa.update(item)
                    .where(item.c.link_id.in_(children), item.c.side == side)
                    .values(deleted=1, link_id=None)
                )
                connection.execute(sa.delete(dirty).where(dirty.c.link_id.in_(children)))
