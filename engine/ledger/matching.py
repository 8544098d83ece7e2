"""Units of work that find twins, second copies and what has come back, and make one link of two."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.links import (
    BESIDE,
    UNDONE_DELETE,
    ItemRow,
    item_row,
)
from engine.ledger.schema import dirty, intent, item, link, match_key
from engine.ledger.sql import one_of, setting
from engine.ledger.statement import Statement
from engine.ledger.worklist import CHILDREN, DUE_MODULE, mark_dirty, occurrences_afresh, take_off
from engine.model.canonical import display_name
from engine.model.modules import Module

_NEW_LINKS = Statement(
    sa.select(dirty.c.link_id)
    .join(link, link.c.id == dirty.c.link_id)
    .where(
        dirty.c.mailbox_id == sa.bindparam("mailbox"),
        one_of(DUE_MODULE, "modules"),
        dirty.c.not_before <= sa.bindparam("now"),
        dirty.c.deferred <= sa.bindparam("deferred"),
        dirty.c.link_id > sa.bindparam("after"),
        link.c.base.is_(None),
        link.c.reason != BESIDE,
    )
    .order_by(dirty.c.link_id)
    .limit(sa.bindparam("most"))
)


def new_links(
    connection: sa.Connection,
    mailbox_id: int,
    modules: Sequence[str],
    now: int,
    limit: int,
    after: int,
    *,
    deferred: bool = True,
) -> list[int]:
    """Ids of due links that may still have a twin: they have no base yet. ``after`` pages."""
    return _NEW_LINKS.scalars(
        connection,
        mailbox=mailbox_id,
        modules=modules,
        now=now,
        most=limit,
        after=after,
        deferred=int(deferred),
    )


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two items of opposite sides that share a key.

    Attributes:
        link_id: of an item without twin.
        other_link_id: of the other item, ``None`` for the user's own.
        side: of the first item.
        paired: the other item has a twin already.
    """

    link_id: int
    other_link_id: int | None
    side: str
    key: str
    paired: bool = False


_MINE, _THEIRS = match_key.alias("mine"), match_key.alias("theirs")
_MY_ITEM, _THEIR_ITEM = item.alias("my_item"), item.alias("their_item")


def _has_twin(one: sa.FromClause) -> sa.Exists:
    twin = item.alias()
    return sa.exists().where(twin.c.link_id == one.c.link_id, twin.c.side != one.c.side, twin.c.deleted == 0)


_CANDIDATES = Statement(
    sa.select(
        _MY_ITEM.c.link_id,
        _THEIR_ITEM.c.link_id.label("other"),
        _MY_ITEM.c.side,
        _MINE.c.key,
        _has_twin(_THEIR_ITEM).label("paired"),
    )
    .select_from(_MY_ITEM)
    .join(_MINE, _MINE.c.item_id == _MY_ITEM.c.id)
    .join(
        _THEIRS,
        sa.and_(
            _THEIRS.c.mailbox_id == _MINE.c.mailbox_id,
            _THEIRS.c.key == _MINE.c.key,
            _THEIRS.c.side != _MINE.c.side,
        ),
    )
    .join(_THEIR_ITEM, sa.and_(_THEIR_ITEM.c.id == _THEIRS.c.item_id, _THEIR_ITEM.c.deleted == 0))
    .where(
        _MY_ITEM.c.deleted == 0,
        ~_has_twin(_MY_ITEM),
        one_of(_MY_ITEM.c.link_id),
        sa.or_(
            _MINE.c.key.like(sa.literal_column("'ref:%'")),
            _THEIR_ITEM.c.marker.is_(None),
            ~_has_twin(_THEIR_ITEM),
        ),
    )
)


def candidates(connection: sa.Connection, link_ids: Sequence[int]) -> list[Candidate]:
    """All items of the opposite side that share a match key with these one-sided links.

    Not one that we made and that has its twin: whatever else is alike, it mirrors that one. Its keys go when its create is
    recorded, yet stay when the engine died before and the feed has shown it.
    """
    return [
        Candidate(row.link_id, row.other, row.side, row.key, bool(row.paired))
        for row in _CANDIDATES.among(connection, link_ids)
    ]


_BESIDE = item.alias("beside")
_FOUND_CREATES = Statement(
    sa.select(
        intent.c.link_id,
        item.c.link_id.label("found"),
        item.c.id.label("item_id"),
        item.c.fields.label("shown"),
        intent.c.fields.label("wanted"),
        intent.c.module,
        sa.exists()
        .where(
            _BESIDE.c.link_id == intent.c.link_id,
            _BESIDE.c.side == intent.c.side,
            _BESIDE.c.deleted == 0,
        )
        .label("occupied"),
    )
    .join(
        item,
        sa.and_(
            item.c.mailbox_id == intent.c.mailbox_id,
            item.c.side == intent.c.side,
            item.c.marker == intent.c.key,
            item.c.deleted == 0,
        ),
    )
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        one_of(intent.c.module, "modules"),
        intent.c.state.in_(("planned", "in_flight", "unknown")),
        intent.c.kind == "create",
        intent.c.sent_at.is_not(None),
        item.c.link_id != intent.c.link_id,
    )
)


def found_creates(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str]
) -> list[tuple[int, int, bool]]:
    """Creates whose answer was lost and whose item a feed has shown since: (link of the create, link of the item, occupied).

    Occupied: what the item was to replace has been taken back from the bin meanwhile. The intent's own key decides, not the
    match keys: those of an item that was linked before are gone, and a create that replaces a deleted item would otherwise be
    repeated beside the one that was made. Where a person has copied that one, with the key that is on it, it is the one that is
    still called what was sent, else the one that was seen first (seed 143923).
    """
    rows = _FOUND_CREATES.rows(connection, mailbox=mailbox_id, modules=modules)
    best: dict[int, tuple[bool, int, int, bool]] = {}
    for row in rows:
        module = Module(row.module)
        renamed = display_name(module, row.shown or {}) != display_name(module, row.wanted or {})
        found = (renamed, row.item_id, row.found, bool(row.occupied))
        best[row.link_id] = min(best.get(row.link_id, found), found)
    return [(link_id, found, occupied) for link_id, (_, _, found, occupied) in best.items()]


_DOUBLE, _FIRST, _FIRST_LINK = item.alias("double"), item.alias("first"), link.alias("first_link")


def _same_marker(*columns: Any) -> sa.Select[Any]:
    """Due links without base, and another item of the same side that carries the same marker."""
    return (
        sa.select(_DOUBLE.c.link_id.label("double_link"), *columns)
        .select_from(dirty)
        .join(link, link.c.id == dirty.c.link_id)
        .join(_DOUBLE, sa.and_(_DOUBLE.c.link_id == dirty.c.link_id, _DOUBLE.c.deleted == 0))
        .join(
            _FIRST,
            sa.and_(
                _FIRST.c.marker == _DOUBLE.c.marker,
                # + 0: without statistics SQLite takes the index by mailbox and side, and reads all items for each due link.
                _FIRST.c.mailbox_id + 0 == _DOUBLE.c.mailbox_id,
                _FIRST.c.side == _DOUBLE.c.side,
                _FIRST.c.link_id != _DOUBLE.c.link_id,
            ),
        )
        .join(_FIRST_LINK, _FIRST_LINK.c.id == _FIRST.c.link_id)
        .where(
            dirty.c.mailbox_id == sa.bindparam("mailbox"),
            one_of(dirty.c.module, "modules"),
            link.c.base.is_(None),
            link.c.reason != BESIDE,
            _DOUBLE.c.marker.is_not(None),
            ~_has_twin(_DOUBLE),
        )
        .order_by(_FIRST.c.id)
    )


_ALIVE = item.alias("alive")


def _still_there(one: sa.FromClause) -> sa.Exists:
    """Whether the link of an item has a live one on the same side."""
    return sa.exists().where(
        _ALIVE.c.link_id == one.c.link_id, _ALIVE.c.side == one.c.side, _ALIVE.c.deleted == 0
    )


_CHANGED_DATE, _CHILD = item.alias("changed_date"), link.alias("child")
_TOUCHED = (
    sa.exists()
    .where(
        _CHILD.c.parent_link == _DOUBLE.c.link_id,
        _CHANGED_DATE.c.link_id == _CHILD.c.id,
        _CHANGED_DATE.c.side == _DOUBLE.c.side,
        _CHANGED_DATE.c.deleted == 0,
    )
    .label("touched")
)
_DOUBLES = Statement(
    _same_marker(_FIRST, _TOUCHED).where(
        sa.or_(
            sa.and_(
                _FIRST.c.deleted == 0,
                sa.or_(_FIRST_LINK.c.base.is_not(None), _has_twin(_FIRST), _FIRST.c.id < _DOUBLE.c.id),
            ),
            sa.and_(_FIRST.c.deleted != 0, ~_has_twin(_FIRST), _FIRST_LINK.c.base.is_not(None)),
            # It was made again meanwhile, as a newer generation.
            sa.and_(_FIRST.c.deleted != 0, _still_there(_FIRST)),
        )
    )
)
_REBORN = _same_marker(
    _FIRST.c.link_id, _FIRST.c.id.label("rank"), sa.literal_column("0").label("waited")
).where(
    _FIRST.c.deleted != 0,
    _has_twin(_FIRST),
    ~_still_there(_FIRST),
)
_RESTORED, _COPY = item.alias("restored"), item.alias("copy")
_FREED = (
    sa.select(
        link.c.id.label("double_link"),
        link.c.beside.label("link_id"),
        _RESTORED.c.id.label("rank"),
        sa.literal_column("1").label("waited"),
    )
    .select_from(dirty)
    .join(link, link.c.id == dirty.c.link_id)
    .join(_RESTORED, sa.and_(_RESTORED.c.link_id == link.c.id, _RESTORED.c.deleted == 0))
    .where(
        dirty.c.mailbox_id == sa.bindparam("mailbox"),
        one_of(dirty.c.module, "modules"),
        link.c.beside.is_not(None),
        link.c.base.is_(None),
        ~_has_twin(_RESTORED),
        sa.exists().where(
            _COPY.c.link_id == link.c.beside, _COPY.c.side != _RESTORED.c.side, _COPY.c.deleted == 0
        ),
        ~sa.exists().where(
            _ALIVE.c.link_id == link.c.beside, _ALIVE.c.side == _RESTORED.c.side, _ALIVE.c.deleted == 0
        ),
    )
)
_COME_BACK = Statement(sa.union_all(_REBORN.order_by(None), _FREED).order_by("rank"))


def reborn(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[tuple[int, int, bool]]:
    """Items that have come back under another id: (link of the one that is gone, link of the new one, waited).

    The new item carries the marker of one that was deleted: it was moved by copying, restored under a new id, or made
    by a request of ours that arrived late. Or it is an older one that waited beside the one that is gone now. The twin on
    the other side waits for it, and must not get a second one.
    """
    pairs: dict[int, tuple[int, bool]] = {}
    for row in _COME_BACK.rows(connection, mailbox=mailbox_id, modules=modules):
        pairs.setdefault(row.link_id, (row.double_link, bool(row.waited)))
    return [(keep, *drop) for keep, drop in pairs.items()]


@dataclass(frozen=True, slots=True)
class Double:
    """An item that carries the marker of others: those others, and whether an occurrence of this one was changed.

    There are several others where a person has copied the item, with all that is on it.
    """

    firsts: tuple[ItemRow, ...]
    touched: bool


def doubles(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> dict[int, Double]:
    """Due links of items that carry the marker of another item of the same side, by link id.

    A create of ours was carried out twice (a request that was delivered twice, or late), or a person copied the item
    with all that is on it.
    """
    rows = _DOUBLES.rows(connection, mailbox=mailbox_id, modules=modules)
    firsts: dict[int, list[ItemRow]] = {}
    touched: dict[int, bool] = {}
    for row in rows:
        firsts.setdefault(row.double_link, []).append(item_row(row))
        touched[row.double_link] = bool(row.touched)
    return {link_id: Double(tuple(found), touched[link_id]) for link_id, found in firsts.items()}


# Creates whose answer was lost, found again by their marker: both sides had agreed on what they wrote.
_SENT = Statement(
    sa.select(intent.c.link_id, item.c.link_id.label("found"), intent.c.side, intent.c.patch, intent.c.mode)
    .join(
        item,
        sa.and_(
            item.c.mailbox_id == intent.c.mailbox_id,
            item.c.side == intent.c.side,
            item.c.marker == intent.c.key,
        ),
    )
    .where(
        one_of(intent.c.link_id),
        item.c.link_id.is_not(None),
        intent.c.kind == "create",
        intent.c.state.in_(("planned", "in_flight", "unknown")),
    )
)
_OPEN = intent.c.state.in_(("planned", "in_flight", "unknown", "held"))
_VOID_FOUND = Statement(
    sa.update(intent)
    .where(intent.c.link_id == sa.bindparam("b_link"), _OPEN)
    .values(state="void", error="the item was found")
)
_MOVE_ITEMS = setting(item, "link_id", ("link_id",))
_AFRESH = setting(link, "id", ("state", "reason"))
_AGREED = setting(link, "id", ("base",))
_REPARENT = setting(link, "id", ("parent_link",))
_STOOD_BESIDE = Statement(
    sa.update(link).where(link.c.beside == sa.bindparam("b_drop")).values(beside=sa.bindparam("b_keep"))
)
_STANDS_ALONE = Statement(sa.update(link).where(link.c.id == sa.bindparam("b_link")).values(beside=None))
_DROP_LINK = Statement(sa.delete(link).where(link.c.id == sa.bindparam("b_link")))


def merge_links(connection: sa.Connection, fence: Fence, pairs: Sequence[tuple[int, int]]) -> None:
    """Make one link of two one-sided ones: ``(keep, drop)``; open intents of both end, occurrences move along."""
    check(connection, fence)
    apart: list[tuple[int, int]] = []
    taken: set[int] = set()
    for pair in pairs:
        if taken.intersection(pair):
            _merge_apart(connection, apart)
            apart, taken = [], set()
        apart.append(pair)
        taken.update(pair)
    _merge_apart(connection, apart)


def _merge_apart(connection: sa.Connection, pairs: Sequence[tuple[int, int]]) -> None:
    """Merge pairs that have no link in common."""
    if not pairs:
        return
    keeper = {one: keep for keep, drop in pairs for one in (keep, drop)}
    sent: dict[int, Any] = {}
    restored: set[int] = set()
    series: dict[str, list[int]] = {}
    for row in _SENT.among(connection, keeper):
        if keeper.get(row.found) == keeper[row.link_id]:
            sent.setdefault(keeper[row.link_id], row.patch)
            if row.mode:
                restored.add(keeper[row.link_id])
            elif (row.patch or {}).get("rule"):
                series.setdefault(row.side, []).append(keeper[row.link_id])
    _VOID_FOUND.many(connection, [{"b_link": one} for one in keeper])
    _MOVE_ITEMS.many(connection, [{"which": drop, "new_link_id": keep} for keep, drop in pairs])
    dropped = [drop for _, drop in pairs]
    take_off(connection, dropped)
    _AFRESH.many(connection, [{"which": keep, "new_state": "new", "new_reason": ""} for keep, _ in pairs])
    # An undo made it again, although its other side stays deleted: it stands alone.
    _AFRESH.many(
        connection, [{"which": one, "new_state": "absent", "new_reason": UNDONE_DELETE} for one in restored]
    )
    _AGREED.many(connection, [{"which": keep, "new_base": patch} for keep, patch in sent.items() if patch])
    moved, doubles = [], []
    children = CHILDREN.among(connection, keeper)
    present = {(row.parent_link, row.occurrence): row.id for row in children}
    for row in children:
        keep = keeper[row.parent_link]
        if keep == row.parent_link:
            continue
        twin = present.get((keep, row.occurrence))
        if twin is None:
            moved.append({"which": row.id, "new_parent_link": keep})
        else:
            doubles.append((twin, row.id))
    _REPARENT.many(connection, moved)
    _merge_apart(connection, doubles)
    _STOOD_BESIDE.many(connection, [{"b_drop": drop, "b_keep": keep} for keep, drop in pairs])
    _STANDS_ALONE.many(connection, [{"b_link": keep} for keep, _ in pairs])
    _DROP_LINK.many(connection, [{"b_link": drop} for drop in dropped])
    for side, again in series.items():
        occurrences_afresh(connection, again, side)
    mark_dirty(connection, [keep for keep, _ in pairs])
