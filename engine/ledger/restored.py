"""Items that were taken back from the bin after we had made them again: two of one link, of which one must wait.

It waits as long as the other lives, whatever is edited about it (seed 94380), or until an admin lets both be synchronised.
When the other is gone, it takes its place: the twin on the other side is its twin again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import dirty, item, link
from engine.ledger.statement import Statement

RESTORED = (
    "it was restored after a copy had taken its place: remove one of the two, or let both be synchronised"
)

_OCCUPIED = Statement(
    sa.select(item.c.link_id).where(
        item.c.link_id.in_(sa.bindparam("ids", expanding=True)),
        item.c.side == sa.bindparam("of_side"),
        item.c.deleted == 0,
    )
)
_LINK = Statement(
    sa.select(item.c.link_id).where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.remote_id == sa.bindparam("remote_id"),
        item.c.mailbox_id == sa.bindparam("mailbox"),
    )
)
_OLD = link.alias("old")
_HOLD = Statement(
    sa.update(link)
    .where(link.c.id == sa.bindparam("b_link"))
    .values(
        state="held",
        reason=RESTORED,
        base=None,
        beside=sa.bindparam("b_old"),
        # Under the keys of earlier generations its twin of then is found, which is the copy's twin now (seed 16766).
        generation=sa.select(_OLD.c.generation + 1).where(_OLD.c.id == sa.bindparam("b_old")).scalar_subquery(),
    )
)
_REST = Statement(sa.delete(dirty).where(dirty.c.link_id == sa.bindparam("b_link")))


def restored_beside(
    connection: sa.Connection, side: str, changed: Iterable[tuple[Any, Any]]
) -> list[tuple[Any, Any]]:
    """Those of ``changed`` (pairs of the known row and what is seen) that live again although their link has another item."""
    back = [(row, one) for row, one in changed if row.deleted and row.link_id is not None]
    if not back:
        return []
    found = _OCCUPIED.among(connection, sorted({row.link_id for row, _ in back}), of_side=side)
    taken = {row.link_id for row in found}
    beside = []
    for row, one in back:
        if row.link_id in taken:
            beside.append((row, one))
        taken.add(row.link_id)
    return beside


def hold_restored(connection: sa.Connection, scope_id: int, items: Sequence[tuple[int, str, int]]) -> None:
    """Let the new links of restored items, named by (mailbox id, remote id, their old link), wait for an admin."""
    for mailbox_id, remote_id, old in items:
        link_id = _LINK.scalar(connection, scope_id=scope_id, remote_id=remote_id, mailbox=mailbox_id)
        hold(connection, link_id, old)


def hold(connection: sa.Connection, link_id: int, old: int) -> None:
    """Let the link of one of the two wait for an admin; ``old`` is that of the other, which once was of both."""
    _HOLD.run(connection, b_link=link_id, b_old=old)
    _REST.run(connection, b_link=link_id)


_WAIT_BESIDE = Statement(sa.select(link.c.id).where(link.c.beside.in_(sa.bindparam("ids", expanding=True))))


def beside(connection: sa.Connection, link_ids: Iterable[int]) -> list[int]:
    """Links that wait beside an item of these, which is gone."""
    return [row.id for row in _WAIT_BESIDE.among(connection, link_ids)]
