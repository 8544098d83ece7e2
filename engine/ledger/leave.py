"""Units of work for leaving a mailbox: which items and containers there are ours, and forgetting what the ledger knows of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from engine.ledger import mailboxes, orders
from engine.ledger.fence import Fence, check
from engine.ledger.orders import Order
from engine.ledger.schema import conflict, guard, intent, item, link
from engine.ledger.sql import chunks, select_in

#: Prefix of the entries of ``mailbox.containers`` that say which containers we made; their value is the id.
MADE = "made:"


@dataclass(frozen=True, slots=True)
class Standing:
    """A live, linked item of a mailbox that is no occurrence of a series: its link, and our mark if it bears one."""

    link_id: int
    module: str
    marker: str | None


def standing(
    conn: sa.Connection, mailbox_id: int, modules: Sequence[str], after: int, limit: int
) -> list[Standing]:
    """Live items of a mailbox by link id, from ``after`` on, changed occurrences left out: they go with their series."""
    rows = conn.execute(
        sa.select(link.c.id, link.c.module, item.c.marker)
        .join(item, item.c.link_id == link.c.id)
        .where(
            link.c.mailbox_id == mailbox_id,
            link.c.module.in_(modules),
            link.c.parent_link.is_(None),
            link.c.id > after,
            item.c.side == "mailbox",
            item.c.deleted == 0,
        )
        .order_by(link.c.id)
        .limit(limit)
    )
    return [Standing(row.id, row.module, row.marker) for row in rows]


def set_held_aside(conn: sa.Connection, fence: Fence, modules: Sequence[str]) -> None:
    """Held writes of some modules are given up: what is removed for good needs no decision any more."""
    check(conn, fence)
    conn.execute(
        sa.update(intent)
        .where(intent.c.mailbox_id == fence.mailbox_id, intent.c.module.in_(modules), intent.c.state == "held")
        .values(state="void", error="an admin removes what we made here")
    )


def tried(conn: sa.Connection, cycle_id: int, link_ids: Sequence[int]) -> dict[int, str]:
    """Items that the provider refused to remove in this cycle: link to what it said."""
    query = sa.select(intent.c.link_id, intent.c.error).where(
        intent.c.cycle_id == cycle_id, intent.c.mode.in_(("leave", "clear")), intent.c.state == "failed"
    )
    return {row.link_id: row.error for row in select_in(conn, query, intent.c.link_id, link_ids)}


def forget(conn: sa.Connection, fence: Fence, order: Order, now: int) -> dict[str, int]:
    """The mailbox is left: forget all that the ledger knows of it but cycles and journal, and close the order.

    Enabled again it begins afresh, and adopts by our marks whatever stayed. Returns the order's counts.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    done = orders.finish(conn, fence, order, now)
    mine = sa.select(link.c.id).where(link.c.mailbox_id == fence.mailbox_id)
    for piece in chunks(conn.execute(mine).scalars().all()):
        conn.execute(sa.delete(conflict).where(conflict.c.link_id.in_(piece)))
    conn.execute(sa.delete(guard).where(guard.c.mailbox_id == fence.mailbox_id))
    mailboxes.forget_items(conn, fence.mailbox_id)
    mailboxes.set_mailbox(
        conn,
        fence.mailbox_id,
        phase="new",
        containers=None,
        scopes=None,
        structure="",
        reinit=None,
        fault="",
        fault_kind="",
        fault_class="",
        failures=0,
        backoff_until=None,
    )
    return done
