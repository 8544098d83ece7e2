"""Putting links on the work list: what changed, what waited for it, and what follows a series."""

from __future__ import annotations

from collections.abc import Sequence

import sqlalchemy as sa

from engine.ledger.schema import Gone, dirty, intent, item, link, match_key
from engine.ledger.sql import one_of
from engine.ledger.statement import Statement, chunks

#: ``dirty.not_before`` of a link that failed before and is being written now: not due, but its failures are kept.
WHILE_WRITING = 2**62
_GONE_KEY, _HELD_KEY = match_key.alias("gone"), match_key.alias("held")
_WAITING_FOR = Statement(
    sa.select(link.c.id)
    .distinct()
    .select_from(_GONE_KEY)
    .join(
        _HELD_KEY, sa.and_(_HELD_KEY.c.mailbox_id == _GONE_KEY.c.mailbox_id, _HELD_KEY.c.key == _GONE_KEY.c.key)
    )
    .join(item, item.c.id == _HELD_KEY.c.item_id)
    .join(link, link.c.id == item.c.link_id)
    .where(one_of(_GONE_KEY.c.item_id), _HELD_KEY.c.side != _GONE_KEY.c.side, link.c.state == "held")
)


def waiting_for(connection: sa.Connection, item_ids: Sequence[int]) -> list[int]:
    """Held links that wait because of these items of the user's own: they may go on when the item is gone."""
    return [row.id for row in _WAITING_FOR.among(connection, item_ids)]


_MARK_DIRTY = Statement(
    lambda insert: (
        insert(dirty)
        .from_select(
            ["link_id", "mailbox_id", "module"],
            sa.select(link.c.id, link.c.mailbox_id, link.c.module).where(one_of(link.c.id)),
        )
        .on_conflict_do_update(index_elements=["link_id"], set_={"not_before": 0, "deferred": 0})
    )
)
_WAITING_OCCURRENCES = Statement(
    sa.select(link.c.id).where(one_of(link.c.parent_link), link.c.state == "filtered")
)


def mark_dirty(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Put links on the work list, to be looked at now; a waiting back-off ends, since something changed."""
    _MARK_DIRTY.run_among(connection, link_ids)


_OFF = Statement(sa.delete(dirty).where(dirty.c.link_id == sa.bindparam("b_link")))


def take_off(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Take links off the work list, whatever their back-off."""
    _OFF.many(connection, [{"b_link": one} for one in link_ids])


def wake_occurrences(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Put changed occurrences that had nowhere to go back on the work list: their series is on both sides now."""
    mark_dirty(connection, [row.id for row in _WAITING_OCCURRENCES.among(connection, link_ids)])


_AGREED_OCCURRENCES = Statement(
    sa.select(link.c.id).where(
        link.c.parent_link.in_(sa.bindparam("ids", expanding=True)),
        link.c.base.is_not(None),
        link.c.state != "tombstone",
    )
)


def occurrences_afresh(connection: sa.Connection, link_ids: Sequence[int], side: str) -> None:
    """A series was made again on a side, or got other times: what its changed occurrences were there went with the old one.

    They are made anew on the new one, from what the other side shows.
    """
    for children in chunks([row.id for row in _AGREED_OCCURRENCES.among(connection, link_ids)]):
        connection.execute(
            sa.update(intent)
            .where(intent.c.link_id.in_(children), intent.c.side == side, intent.c.state == "planned")
            .values(state="void", error="its series was made anew")
        )
        connection.execute(
            sa.update(item)
            .where(item.c.link_id.in_(children), item.c.side == side, item.c.deleted == 0)
            .values(deleted=Gone.TOLD)
        )
        connection.execute(
            sa.update(item).where(item.c.link_id.in_(children), item.c.side == side).values(link_id=None)
        )
        connection.execute(
            sa.update(link)
            .where(link.c.id.in_(children))
            .values(base=None, state="new", reason="", generation=link.c.generation + 1)
        )
        mark_dirty(connection, children)


CHILDREN = Statement(
    sa.select(link.c.id, link.c.parent_link, link.c.occurrence)
    .where(one_of(link.c.parent_link))
    .order_by(link.c.id)
)
# The module is compared in this way so that SQLite goes by ix_dirty_order, and stops at the end of the page.
DUE_MODULE = dirty.c.module.concat("")
