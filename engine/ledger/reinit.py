"""Units of work for beginning afresh: what is asked per module of a mailbox, and what it does to cursors and links."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import dirty, item, link, mailbox, scope
from engine.ledger.sql import chunks
from engine.ledger.worklist import mark_dirty

#: Ways that need the CRM to be read again.
READS_CRM = frozenset({"full", "clear"})


def ask(conn: sa.Connection, mailbox_ids: Sequence[int], modules: Sequence[str], mode: str) -> None:
    """Ask for modules of some mailboxes to begin afresh: ``resync``, ``full``, ``clear``; ``none`` drops what is asked."""
    for piece in chunks(mailbox_ids):
        for row in conn.execute(sa.select(mailbox.c.id, mailbox.c.reinit).where(mailbox.c.id.in_(piece))).all():
            asked = {**(row.reinit or {}), **dict.fromkeys(modules, mode)}
            left = {module: how for module, how in asked.items() if how != "none"}
            conn.execute(sa.update(mailbox).where(mailbox.c.id == row.id).values(reinit=left or None))


def cross_off(conn: sa.Connection, fence: Fence, done: Mapping[str, str], then: str = "") -> None:
    """A stage is done, from within the mailbox's cycle: what an admin has asked meanwhile stands.

    Args:
        conn: the write transaction.
        fence: of the mailbox.
        done: module to the mode that was carried out.
        then: the next stage of these modules; empty when there is none.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    which = mailbox.c.id == fence.mailbox_id
    asked = dict(conn.execute(sa.select(mailbox.c.reinit).where(which)).scalar() or {})
    for module, mode in done.items():
        if asked.get(module) == mode:
            asked[module] = then
    left = {module: mode for module, mode in asked.items() if mode}
    conn.execute(sa.update(mailbox).where(which).values(reinit=left or None))


def drop_crm_cursors(conn: sa.Connection, fence: Fence, scope_ids: Sequence[int]) -> None:
    """Let the next read of these CRM feeds be a complete one.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    for piece in chunks(scope_ids):
        conn.execute(sa.update(scope).where(scope.c.id.in_(piece)).values(cursor=None))


def renew(conn: sa.Connection, fence: Fence, done: Mapping[str, str], scope_ids: Sequence[int]) -> int:
    """Begin modules afresh, once: their feeds are read completely next, and every pair is looked at again.

    What the CRM has and the mailbox has lost is taken for new. What only the mailbox has is left alone, so that nothing is
    deleted. Marks, links and bases stay, so that nothing is doubled. What is asked is crossed off in the same transaction.

    Returns:
        how many links will be looked at.

    Raises:
        StaleLease: somebody else has taken over.
    """
    cross_off(conn, fence, done)
    for piece in chunks(scope_ids):
        conn.execute(sa.update(scope).where(scope.c.id.in_(piece)).values(cursor=None))

    def lives(side: str) -> sa.ColumnElement[bool]:
        return sa.exists().where(item.c.link_id == link.c.id, item.c.side == side, item.c.deleted == 0)

    mine = (link.c.mailbox_id == fence.mailbox_id, link.c.module.in_(list(done)))
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
