"""Units of work on what is gone: how an item was found deleted, containers that vanish, access that is refused.

How a delete was learned decides how far it is believed (sync.md section 6): it is kept with the item, so that a cycle
that dies between reading and planning does not forget it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import Gone, item, link, mailbox, match_key, scope
from engine.ledger.sql import chunks
from engine.ledger.worklist import mark_dirty


def replace_container(
    connection: sa.Connection,
    fence: Fence,
    scope_id: int,
    identity: str,
    values: Mapping[str, Any],
    *,
    again: bool,
    now: int,
) -> int:
    """A container was deleted by somebody and has been made anew: what was in it is gone, and the feed starts afresh.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        scope_id: the feed of the container.
        identity: of the new container (``scope.remote_id``).
        values: columns of the mailbox that name it (containers, scopes).
        again: its items shall be made again; otherwise they count as deleted with their container.
        now: engine clock.

    Returns:
        how many linked items were in it.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    connection.execute(sa.update(mailbox).where(mailbox.c.id == fence.mailbox_id).values(**values))
    connection.execute(
        sa.update(scope).where(scope.c.id == scope_id).values(remote_id=identity, cursor=None, vanished_at=now)
    )
    rows = connection.execute(
        sa.select(item.c.id, item.c.link_id).where(item.c.scope_id == scope_id, item.c.deleted == 0)
    ).all()
    for piece in chunks([row.id for row in rows]):
        connection.execute(
            sa.update(item).where(item.c.id.in_(piece)).values(deleted=Gone.VANISHED, read_at=now)
        )
        connection.execute(sa.delete(match_key).where(match_key.c.item_id.in_(piece)))
    links = [row.link_id for row in rows if row.link_id is not None]
    if again:
        make_again(connection, links)
    mark_dirty(connection, links)
    return len(links)


def make_again(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Let links be made again where their item is gone, as if it had never been there; a create needs a new key."""
    for piece in chunks(link_ids):
        connection.execute(
            sa.update(item).where(item.c.link_id.in_(piece), item.c.deleted != 0).values(link_id=None)
        )
        connection.execute(
            sa.update(link)
            .where(link.c.id.in_(piece))
            .values(base=None, state="new", reason="", generation=link.c.generation + 1)
        )


def deny(connection: sa.Connection, fence: Fence, scope_id: int, now: int) -> None:
    """Remember since when a feed may not be read any more.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    connection.execute(
        sa.update(scope).where(scope.c.id == scope_id, scope.c.denied_at.is_(None)).values(denied_at=now)
    )


def empty(connection: sa.Connection, fence: Fence, scope_id: int, now: int) -> None:
    """Remember since when a feed lists nothing although it had items.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    connection.execute(
        sa.update(scope).where(scope.c.id == scope_id, scope.c.empty_at.is_(None)).values(empty_at=now)
    )


def admit(connection: sa.Connection, fence: Fence, scope_id: int) -> None:
    """A feed that was refused, or listed nothing, has been read to its end again.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    connection.execute(sa.update(scope).where(scope.c.id == scope_id).values(denied_at=None, empty_at=None))
