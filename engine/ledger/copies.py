"""What a create has made in the place of an item that was taken back from the bin before the create was repeated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.matching import merge_links
from engine.ledger.restored import hold
from engine.ledger.schema import intent, item, link
from engine.ledger.sql import insert_ids
from engine.ledger.statement import Statement
from engine.ledger.worklist import mark_dirty

_VOID = Statement(
    sa.update(intent)
    .where(
        intent.c.link_id == sa.bindparam("b_link"),
        intent.c.kind == "create",
        intent.c.state.in_(("planned", "in_flight", "unknown")),
    )
    .values(state="void", error="what it was to replace was restored")
)
_LIVING = Statement(
    sa.select(item.c.link_id, item.c.side, item.c.remote_id).where(
        item.c.link_id.in_(sa.bindparam("ids", expanding=True)), item.c.deleted == 0
    )
)
_MOVED = Statement(
    sa.update(intent).where(intent.c.id == sa.bindparam("b_id")).values(link_id=sa.bindparam("b_link"))
)


_UNAGREED = Statement(sa.update(link).where(link.c.id == sa.bindparam("b_link")).values(base=None))


def retake(connection: sa.Connection, fence: Fence, pairs: Sequence[tuple[int, int]]) -> None:
    """Let restored items take the places of copies that are gone: ``(link of the copy, link of the restored)``.

    What was agreed with the copy is not what the older item shows, and must not make its old values look new: both
    sides are merged by the policy's rule, as twins are that were found.

    Raises:
        StaleLease: somebody else has taken over.
    """
    merge_links(connection, fence, pairs)
    _UNAGREED.many(connection, [{"b_link": keep} for keep, _ in pairs])


def hold_copies(connection: sa.Connection, fence: Fence, pairs: Sequence[tuple[int, int]]) -> None:
    """Let copies that a feed has shown wait for an admin, and look at the restored items again.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        pairs: link of the create, which the restored item has by now; link of the copy.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for keep, copy in pairs:
        _VOID.run(connection, b_link=keep)
        hold(connection, copy, keep)
    mark_dirty(connection, [keep for keep, _ in pairs])


@dataclass(frozen=True, slots=True)
class Copy:
    """What a create has made: its intent and link, where it is, and what it is called there."""

    intent_id: int
    link_id: int
    module: str
    side: str
    remote_id: str


def part(connection: sa.Connection, mailbox_id: int, made: Sequence[Copy]) -> dict[int, int]:
    """Give copies links of their own where the link of their create has another live item on that side (seed 37525).

    Returns:
        the new link by intent; ``hold`` it when its item is recorded.
    """
    there = {
        (row.link_id, row.side): row.remote_id
        for row in _LIVING.among(connection, [one.link_id for one in made])
    }
    copies = [one for one in made if there.get((one.link_id, one.side), one.remote_id) != one.remote_id]
    ids = insert_ids(connection, link, [{"mailbox_id": mailbox_id, "module": one.module} for one in copies])
    found = {one.intent_id: new for one, new in zip(copies, ids, strict=True)}
    _MOVED.many(connection, [{"b_id": one, "b_link": new} for one, new in found.items()])
    return found
