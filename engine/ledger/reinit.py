"""Units of work for beginning afresh: what is asked per module of a mailbox, and what it does to cursors and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.observe import mark_dirty
from engine.ledger.schema import dirty, item, link, mailbox, scope
from engine.ledger.sql import chunks

#: Ways that need the CRM to be read again.
READS_CRM = frozenset({"full", "clear"})


def ask(conn: sa.Connection, mailbox_ids: Sequence[int], modules: Sequence[str], mode: str) -> None:
    """Ask for modules of some mailboxes to begin afresh: ``resync``, ``full``, ``clear``; ``none`` drops what is asked."""
    for piece in chunks(mailbox_ids):
        for row in conn.execute(sa.select(mailbox.c.id, mailbox.c.reinit).where(mailbox.c.id.in_(piece))).all():
            asked = {**(row.reinit or {}), **dict.fromkeys(modules, mode)}
            left = {module: how for module, how in asked.items() if how != "none"}
            conn.execute(sa.update(mailbox).where(mailbox.c.id == row.id).values(reinit=left or None))


def store(conn: sa.Connection, fence: Fence, wanted: Mapping[str, str]) -> None:
    """What is left to be done for a mailbox, from within its cycle.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    conn.execute(sa.update(mailbox).where(mailbox.c.id == fence.mailbox_id).values(reinit=dict(wanted) or None))


def drop_crm_cursors(conn: sa.Connection, fence: Fence, scope_ids: Sequence[int]) -> None:
    """Let the next read of these CRM feeds be a complete one.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    for piece in chunks(scope_ids):
        conn.execute(sa.update(scope).where(scope.c.id.in_(piece)).values(cursor=None))


def renew(
    conn: sa.Connection, fence: Fence, modules: Sequence[str], scope_ids: Sequence[int], left: Mapping[str, str]
) -> int:
    """Begin modules afresh, once: their feeds are read completely next, and every pair is looked at again.

    What the CRM has and the mailbox has lost is taken for new. What only the mailbox has is left alone, so that nothing is
    deleted. Marks, links and bases stay, so that nothing is doubled. What is asked is crossed off in the same transaction.

    Returns:
        how many links will be looked at.

    Raises:
        StaleLease: somebody else has taken over.
    """
    store(conn, fence, left)
    for piece in chunks(scope_ids):
        conn.execute(sa.update(scope).where(scope.c.id.in_(piece)).values(cursor=None))

    def lives(side: str) -> sa.ColumnElement[bool]:
        return sa.exists().where(item.c.link_id == link.c.id, item.c.side == side, item.c.deleted == 0)

    mine = (link.c.mailbox_id == fence.mailbox_id, link.c.module.in_(modules))
    conn.execute(
        sa.update(link)
        .where(*mine, link.c.base.is_not(None), lives("crm"), ~lives("mailbox"))
        .values(state="tombstone", reason="")
    )
    again = conn.execute(sa.select(link.c.id).where(*mine, sa.or_(lives("crm"), link.c.base.is_(None))))
    ids = again.scalars().all()
    mark_dirty(conn, ids)
    for piece in chunks(ids):
        conn.execute(sa.update(dirty).where(dirty.c.link_id.in_(piece)).values(attempts=0))
    return len(ids)
