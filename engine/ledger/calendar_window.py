"""Units of work on the window of a calendar: what comes into it, and what another window leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import dirty, link
from engine.ledger.sql import one_of, setting
from engine.ledger.statement import Statement, at_once
from engine.ledger.worklist import mark_dirty

_STATE = setting(link, "id", ("state",))
_COMES_IN = sa.select(link.c.id).where(
    link.c.mailbox_id == sa.bindparam("mailbox"),
    link.c.state == sa.literal_column("'filtered'"),  # written out: only then SQLite uses the partial index
    link.c.start_at <= sa.bindparam("until"),
)
_COME_IN = Statement(_COMES_IN)
_ANY_COMES_IN = Statement(_COMES_IN.limit(1))


@at_once
def wake_window(connection: sa.Connection, mailbox_id: int, until: int) -> bool:
    """Whether filtered items have come into the rolling window."""
    return _ANY_COMES_IN.first(connection, mailbox=mailbox_id, until=until) is not None


def open_window(connection: sa.Connection, fence: Fence, until: int) -> int:
    """Put filtered items that start before ``until`` back on the work list. Returns how many."""
    check(connection, fence)
    ids = [row.id for row in _COME_IN.rows(connection, mailbox=fence.mailbox_id, until=until)]
    _STATE.many(connection, [{"which": one, "new_state": "new"} for one in ids])
    mark_dirty(connection, ids)
    return len(ids)


_DEFER = Statement(sa.update(dirty).where(one_of(dirty.c.link_id)).values(deferred=1))


def defer(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> None:
    """Leave links to the full sync until they change again: they are outside the window of CalendarSynchronization."""
    check(connection, fence)
    _DEFER.run_among(connection, link_ids)


def out_of_window(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str], *, past: bool
) -> list[int]:
    """Links that the full sync filtered because of its own window, which is not that of CalendarSynchronization.

    Args:
        connection: a transaction.
        mailbox_id: whose.
        modules: of these.
        past: also those that ended long ago, which a first run may look back to; it reads all filtered links. Without it,
            only those that lie far ahead, of which there are few.
    """
    wanted = [link.c.reason.startswith("starts more than ")]
    if past:
        wanted += [link.c.reason.startswith("ended more than "), link.c.reason.startswith("the series ended ")]
    query = sa.select(link.c.id).where(
        link.c.mailbox_id == mailbox_id,
        link.c.state == sa.literal_column("'filtered'"),
        link.c.module.in_(modules),
        sa.or_(*wanted),
    )
    if not past:
        query = query.where(link.c.start_at.is_not(None))
    return list(connection.execute(query).scalars())


def reopen(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> None:
    """Put filtered links back on the work list."""
    check(connection, fence)
    _STATE.many(connection, [{"which": one, "new_state": "new"} for one in link_ids])
    mark_dirty(connection, link_ids)
