"""Units of work on links: the work list as trees, finding twins, and committing a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy as sa

from engine.ledger import conflicts
from engine.ledger.conflicts import Conflict, Questions
from engine.ledger.fence import Fence, check
from engine.ledger.observe import WHILE_WRITING, mark_dirty, occurrences_afresh
from engine.ledger.schema import dirty, intent, item, journal, link, match_key
from engine.ledger.sql import inserting, setting
from engine.ledger.statement import Statement, at_once

#: A plan knows our own writes of so many milliseconds, to see what goes back and forth.
WRITES_MS = 24 * 3600 * 1000

#: What an admin has decided about a waiting link, as its reason; people read it.
USE_OWN = "an admin lets it use the person's own item; the next cycle does it"
BESIDE = "an admin lets it stand beside its twin"
KEPT_DELETE = "an admin keeps it, although it was deleted in the other place"
DISMISSED = "an admin dismissed it"
KEPT_COPY = "an admin leaves it where it is, since the other place has it already"
UNDONE_CREATE = "an admin undid its creation; it is sent again when it changes"
UNDONE_DELETE = "an admin undid its deletion in this place; the other place gets it again when it changes"
KEPT_TWIN = "an admin leaves it where it is, since the other place has an item of its own"


#: Reasons of a link in state ``absent`` under which its one item is not deleted because the other is gone.
KEPT = frozenset({KEPT_DELETE, UNDONE_CREATE, UNDONE_DELETE})


@dataclass(slots=True)
class ItemRow:
    """One side of a link as the ledger has it."""

    id: int
    side: str
    scope_id: int
    remote_id: str
    etag: str | None
    fields: dict[str, Any]
    accepted: dict[str, Any]
    native: Any
    containers: tuple[str, ...]
    parent: str | None
    occurrence: str | None
    modified: int | None
    deleted: bool


@dataclass(slots=True)
class LinkRow:
    """A link on the work list with both its sides."""

    id: int
    mailbox_id: int
    module: str
    base: dict[str, Any] | None
    state: str
    generation: int
    parent_link: int | None
    occurrence: str | None
    parent_state: str | None
    attempts: int
    crm: ItemRow | None
    mailbox: ItemRow | None
    reason: str = ""
    #: For an occurrence: what its series shows, by side.
    series: Mapping[str, dict[str, Any]] = field(default_factory=dict)
    #: Fields that wait for an admin, or whose decision is to be carried out.
    conflicts: tuple[Conflict, ...] = ()
    #: By field: how often it went back and forth, and since when that is counted, epoch milliseconds.
    bounces: Mapping[str, Sequence[int]] = field(default_factory=dict)
    #: Our updates of the last day, oldest first.
    writes: tuple[Any, ...] = ()
    #: A restored item, whose copy lives.
    beside: bool = False


def _in(column: sa.ColumnElement[Any], name: str = "ids") -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam(name, expanding=True))


def _item_row(row: Any) -> ItemRow:
    return ItemRow(
        row.id,
        row.side,
        row.scope_id,
        row.remote_id,
        row.etag,
        row.fields or {},
        row.accepted or {},
        row.native,
        tuple(row.containers or ()),
        row.parent,
        row.occurrence,
        row.modified,
        bool(row.deleted),
    )


_COMES_IN = sa.select(link.c.id).where(
    link.c.mailbox_id == sa.bindparam("mailbox"),
    link.c.state == sa.literal_column("'filtered'"),  # written out: only then SQLite uses the partial index
    link.c.start_at <= sa.bindparam("until"),
)
_COME_IN = Statement(_COMES_IN)
_ANY_COMES_IN = Statement(_COMES_IN.limit(1))
_STATE = setting(link, "id", ("state",))


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


_DEFER = Statement(sa.update(dirty).where(_in(dirty.c.link_id)).values(deferred=1))


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


_CHILD_FIELDS = Statement(
    sa.select(link.c.parent_link, item.c.fields)
    .join(item, item.c.link_id == link.c.id)
    .where(_in(link.c.parent_link), item.c.deleted == 0)
)


def occurrences_of(connection: sa.Connection, link_ids: Sequence[int]) -> dict[int, list[dict[str, Any]]]:
    """What both sides show of the changed occurrences of series, by the link of the series."""
    found: dict[int, list[dict[str, Any]]] = {}
    for row in _CHILD_FIELDS.among(connection, link_ids):
        found.setdefault(row.parent_link, []).append(row.fields or {})
    return found


_PARENT = link.alias("parent")
_RESTORED, _COPY = item.alias("restored"), item.alias("copy")
_STANDS_BESIDE = sa.and_(
    link.c.beside.is_not(None),
    sa.exists().where(
        _RESTORED.c.link_id == link.c.id,
        _RESTORED.c.deleted == 0,
        _COPY.c.link_id == link.c.beside,
        _COPY.c.side == _RESTORED.c.side,
        _COPY.c.deleted == 0,
    ),
).label("stands_beside")
_WORK = Statement(
    sa.select(
        link.c.id,
        link.c.mailbox_id,
        link.c.module,
        link.c.base,
        link.c.state,
        link.c.generation,
        link.c.parent_link,
        link.c.occurrence,
        link.c.reason,
        link.c.bounces,
        _STANDS_BESIDE,
        dirty.c.attempts,
        _PARENT.c.state.label("parent_state"),
    )
    .join(dirty, dirty.c.link_id == link.c.id)
    .outerjoin(_PARENT, _PARENT.c.id == link.c.parent_link)
    .where(_in(link.c.id))
    .order_by(link.c.id)
)
# The module is compared in this way so that SQLite goes by ix_dirty_order, and stops at the end of the page.
_MODULE = dirty.c.module.concat("")
_DUE = Statement(
    sa.select(dirty.c.link_id)
    .where(
        dirty.c.mailbox_id == sa.bindparam("mailbox"),
        _in(_MODULE, "modules"),
        dirty.c.not_before <= sa.bindparam("now"),
        dirty.c.deferred <= sa.bindparam("deferred"),
        dirty.c.link_id > sa.bindparam("after"),
        ~sa.exists().where(
            intent.c.link_id == dirty.c.link_id,
            intent.c.state.in_(("planned", "in_flight", "unknown", "held")),
        ),
    )
    .order_by(dirty.c.link_id)
    .limit(sa.bindparam("most"))
)
_ITEMS = Statement(
    sa.select(
        item.c.id,
        item.c.link_id,
        item.c.side,
        item.c.scope_id,
        item.c.remote_id,
        item.c.etag,
        item.c.fields,
        item.c.accepted,
        item.c.native,
        item.c.containers,
        item.c.parent,
        item.c.occurrence,
        item.c.modified,
        item.c.deleted,
    ).where(_in(item.c.link_id))
)
_LIVING = Statement(
    sa.select(item.c.link_id, item.c.side, item.c.fields).where(_in(item.c.link_id), item.c.deleted == 0)
)


def work_list(
    connection: sa.Connection,
    mailbox_id: int,
    modules: Sequence[str],
    now: int,
    limit: int,
    after: int = 0,
    *,
    deferred: bool = True,
) -> list[LinkRow]:
    """The dirty links of some modules that are due, masters before their occurrences, without those being written.

    ``after`` is the last link id of the previous call, for paging; ``deferred`` are those that
    CalendarSynchronization leaves to the full sync.
    """
    due = _DUE.scalars(
        connection,
        mailbox=mailbox_id,
        modules=modules,
        now=now,
        after=after,
        most=limit,
        deferred=int(deferred),
    )
    rows = _WORK.among(connection, due)
    return _trees(connection, rows, now - WRITES_MS)


_TREES = Statement(
    sa.select(
        link.c.id,
        link.c.mailbox_id,
        link.c.module,
        link.c.base,
        link.c.state,
        link.c.generation,
        link.c.parent_link,
        link.c.occurrence,
        link.c.reason,
        link.c.bounces,
        _STANDS_BESIDE,
        sa.literal_column("0").label("attempts"),
        _PARENT.c.state.label("parent_state"),
    )
    .select_from(link)
    .outerjoin(_PARENT, _PARENT.c.id == link.c.parent_link)
    .where(_in(link.c.id))
)


def trees(connection: sa.Connection, link_ids: Sequence[int]) -> list[LinkRow]:
    """Links by id, whatever their state, with both their sides; ids that no longer exist are left out."""
    return _trees(connection, _TREES.among(connection, link_ids), None)


def _trees(connection: sa.Connection, rows: Sequence[Any], since: int | None) -> list[LinkRow]:
    """Rows with both sides, and (unless ``since`` is None) with our own writes since then."""
    sides: dict[int, dict[str, ItemRow]] = {}
    for row in _ITEMS.among(connection, [row.id for row in rows]):
        one = _item_row(row)
        current = sides.setdefault(row.link_id, {}).get(one.side)
        # A live row wins over tombstones of earlier generations; among tombstones the youngest.
        if current is None or (current.deleted and (not one.deleted or one.id > current.id)):
            sides[row.link_id][one.side] = one
    masters: dict[int, dict[str, dict[str, Any]]] = {}
    parents = [row.parent_link for row in rows if row.parent_link is not None]
    ids = [row.id for row in rows if row.base is not None]
    asked = conflicts.of_links(connection, ids)
    writes = {} if since is None else conflicts.past_writes(connection, ids, since)
    for found in _LIVING.among(connection, sorted(set(parents))):
        masters.setdefault(found.link_id, {})[found.side] = found.fields or {}
    return [
        LinkRow(
            row.id,
            row.mailbox_id,
            row.module,
            row.base,
            row.state,
            row.generation,
            row.parent_link,
            row.occurrence,
            row.parent_state,
            row.attempts,
            sides.get(row.id, {}).get("crm"),
            sides.get(row.id, {}).get("mailbox"),
            row.reason,
            masters.get(row.parent_link, {}) if row.parent_link is not None else {},
            asked.get(row.id, ()),
            row.bounces or {},
            tuple(writes.get(row.id, ())),
            bool(row.stands_beside),
        )
        for row in rows
    ]


_NEW_LINKS = Statement(
    sa.select(dirty.c.link_id)
    .join(link, link.c.id == dirty.c.link_id)
    .where(
        dirty.c.mailbox_id == sa.bindparam("mailbox"),
        _in(_MODULE, "modules"),
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
class Pending:
    """What waits for a step: links on the work list, and whether writes are open."""

    dirty: int
    open: bool


_PENDING = Statement(
    sa.select(
        sa.select(sa.func.count())
        .select_from(dirty)
        .where(
            dirty.c.mailbox_id == sa.bindparam("mailbox"),
            dirty.c.module.in_(sa.bindparam("modules", expanding=True)),
            dirty.c.deferred <= sa.bindparam("deferred"),
        )
        .scalar_subquery()
        .label("due"),
        sa.exists()
        .where(
            intent.c.mailbox_id == sa.bindparam("mailbox"),
            intent.c.state.in_(("planned", "in_flight", "unknown")),
            intent.c.module.in_(sa.bindparam("modules", expanding=True)),
        )
        .label("waits"),
    )
)


def pending(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str], *, deferred: bool = True
) -> Pending:
    """Whether a step has anything to do at all; an idle step asks nothing more."""
    row = _PENDING.one(connection, mailbox=mailbox_id, modules=modules, deferred=int(deferred))
    return Pending(row.due, bool(row.waits))


_LEFT = Statement(
    sa.select(
        sa.exists()
        .where(
            dirty.c.mailbox_id == sa.bindparam("mailbox"),
            dirty.c.module.in_(sa.bindparam("modules", expanding=True)),
        )
        .label("due"),
        sa.exists()
        .where(
            intent.c.mailbox_id == sa.bindparam("mailbox"),
            intent.c.state.in_(("planned", "in_flight", "unknown", "approved", "reviewed", "invited", "quiet")),
            intent.c.module.in_(sa.bindparam("modules", expanding=True)),
        )
        .label("waits"),
    )
)


def left(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> bool:
    """Whether a round of a step has left anything: links on the work list, open writes, or an admin's decisions to close."""
    row = _LEFT.one(connection, mailbox=mailbox_id, modules=modules)
    return bool(row.due or row.waits)


# -- twins ---------------------------------------------------------------------------------------------


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
        _in(_MY_ITEM.c.link_id),
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
        _in(intent.c.module, "modules"),
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
    repeated beside the one that was made.
    """
    rows = _FOUND_CREATES.rows(connection, mailbox=mailbox_id, modules=modules)
    return list({row.link_id: (row.link_id, row.found, bool(row.occupied)) for row in rows}.values())


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
            _in(dirty.c.module, "modules"),
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
        _in(dirty.c.module, "modules"),
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
    """An item that carries the marker of another one: that other one, and whether an occurrence of this one was changed."""

    first: ItemRow
    touched: bool


def doubles(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> dict[int, Double]:
    """Due links of items that carry the marker of another item of the same side, by link id.

    A create of ours was carried out twice (a request that was delivered twice, or late), or a person copied the item
    with all that is on it.
    """
    rows = _DOUBLES.rows(connection, mailbox=mailbox_id, modules=modules)
    return {row.double_link: Double(_item_row(row), bool(row.touched)) for row in rows}


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
        _in(intent.c.link_id),
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
_UNDIRTY = Statement(sa.delete(dirty).where(dirty.c.link_id == sa.bindparam("b_link")))
_AFRESH = setting(link, "id", ("state", "reason"))
_AGREED = setting(link, "id", ("base",))
_CHILDREN = Statement(
    sa.select(link.c.id, link.c.parent_link, link.c.occurrence)
    .where(_in(link.c.parent_link))
    .order_by(link.c.id)
)
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
    dropped = [{"b_link": drop} for _, drop in pairs]
    _UNDIRTY.many(connection, dropped)
    _AFRESH.many(connection, [{"which": keep, "new_state": "new", "new_reason": ""} for keep, _ in pairs])
    # An undo made it again, although its other side stays deleted: it stands alone.
    _AFRESH.many(
        connection, [{"which": one, "new_state": "absent", "new_reason": UNDONE_DELETE} for one in restored]
    )
    _AGREED.many(connection, [{"which": keep, "new_base": patch} for keep, patch in sent.items() if patch])
    moved, doubles = [], []
    children = _CHILDREN.among(connection, keeper)
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
    _DROP_LINK.many(connection, dropped)
    for side, again in series.items():
        occurrences_afresh(connection, again, side)
    mark_dirty(connection, [keep for keep, _ in pairs])


# -- plans ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class NewIntent:
    """A write to be planned."""

    side: str
    scope_id: int
    kind: str
    key: str
    remote_id: str
    fields: Mapping[str, Any]
    patch: Mapping[str, Any]
    before: Mapping[str, Any]
    etag: str | None
    why: str
    state: str = "planned"
    notify: bool = False
    guests: int = 0
    mode: str = ""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What one reconciled link becomes.

    Attributes:
        base: new base; None keeps the stored one.
        state: live, filtered, held, absent, tombstone; None keeps it.
        settled: nothing is left to do: off the work list.
        lost: journal rows ``(side, kind, before, after, why)``.
        bump: the create's key needs a new generation (it was created before and deleted since).
        questions: what becomes of its conflicts; None when it has none.
        bounces: new counts of fields that go back and forth; None keeps them.
    """

    link_id: int
    module: str
    base: Mapping[str, Any] | None = None
    state: str | None = None
    reason: str = ""
    settled: bool = True
    intents: tuple[NewIntent, ...] = ()
    lost: tuple[tuple[str, str, Any, Any, str], ...] = ()
    bump: bool = False
    start_at: int | None = None
    not_before: int | None = None
    questions: Questions | None = None
    bounces: Mapping[str, Sequence[int]] | None = None


@cache
def _changing(columns: tuple[str, ...]) -> Statement:
    """An update of columns of a link; a generation is counted up by what is given."""
    values: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in columns}
    if "generation" in values:
        values["generation"] = link.c.generation + sa.bindparam("b_generation", type_=sa.BigInteger)
    return Statement(sa.update(link).where(link.c.id == sa.bindparam("b_link")).values(values))


_WRITING = Statement(
    sa.update(dirty).where(_in(dirty.c.link_id), dirty.c.attempts > 0).values(not_before=WHILE_WRITING)
)
_SETTLED = Statement(sa.delete(dirty).where(_in(dirty.c.link_id), dirty.c.not_before != WHILE_WRITING))
_LATER = setting(dirty, "link_id", ("not_before",))
_ITEMS_GONE = setting(item, "link_id", ("deleted",))
_PLAN = inserting(
    intent,
    (
        "mailbox_id",
        "cycle_id",
        "link_id",
        "side",
        "scope_id",
        "module",
        "kind",
        "key",
        "remote_id",
        "fields",
        "patch",
        "before",
        "etag",
        "state",
        "why",
        "notify",
        "guests",
        "mode",
    ),
)
_JOURNAL = inserting(
    journal, ("mailbox_id", "cycle_id", "link_id", "side", "kind", "before", "after", "why", "at")
)


def commit_plan(
    connection: sa.Connection, fence: Fence, cycle_id: int, plans: Sequence[LinkPlan], now: int
) -> int:
    """Store the plan of a batch of links: bases, states, intents in state ``planned`` (or ``held``), the journal.

    Returns:
        how many intents were planned.
    """
    check(connection, fence)
    intents: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    # Plans that change the same columns are written by one statement.
    changed: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for plan in plans:
        values: dict[str, Any] = {}
        if plan.base is not None:
            values["base"] = dict(plan.base)
        if plan.state is not None:
            values |= {"state": plan.state, "reason": plan.reason}
        if plan.bump:
            values["generation"] = 1
        if plan.start_at is not None:
            values["start_at"] = plan.start_at
        if plan.bounces is not None:
            values["bounces"] = dict(plan.bounces)
        if values:
            given = {f"b_{name}": value for name, value in values.items()}
            changed.setdefault(tuple(values), []).append({"b_link": plan.link_id, **given})
        intents.extend(
            {
                "mailbox_id": fence.mailbox_id,
                "cycle_id": cycle_id,
                "link_id": plan.link_id,
                "side": one.side,
                "scope_id": one.scope_id,
                "module": plan.module,
                "kind": one.kind,
                "key": one.key,
                "remote_id": one.remote_id,
                "fields": dict(one.fields),
                "patch": dict(one.patch),
                "before": dict(one.before),
                "etag": one.etag,
                "state": one.state,
                "why": one.why,
                "notify": int(one.notify),
                "guests": one.guests,
                "mode": one.mode,
            }
            for one in plan.intents
        )
        lost.extend(
            {
                "mailbox_id": fence.mailbox_id,
                "cycle_id": cycle_id,
                "link_id": plan.link_id,
                "side": side,
                "kind": kind,
                "before": before,
                "after": after,
                "why": why,
                "at": now,
            }
            for side, kind, before, after, why in plan.lost
        )
    for names, rows in changed.items():
        _changing(names).many(connection, rows)
    # Failures in a row are counted here, so the row of a link that failed before stays until its write is made.
    _WRITING.run_among(connection, [plan.link_id for plan in plans if plan.settled and plan.intents])
    _SETTLED.run_among(connection, [plan.link_id for plan in plans if plan.settled])
    _LATER.many(
        connection,
        [
            {"which": plan.link_id, "new_not_before": plan.not_before}
            for plan in plans
            if plan.not_before is not None and not plan.settled
        ],
    )
    # The occurrences of a series end with it.
    children = _CHILDREN.among(connection, [plan.link_id for plan in plans if plan.state == "tombstone"])
    _STATE.many(connection, [{"which": row.id, "new_state": "tombstone"} for row in children])
    _ITEMS_GONE.many(connection, [{"which": row.id, "new_deleted": 1} for row in children])
    _UNDIRTY.many(connection, [{"b_link": row.id} for row in children])
    conflicts.close_all(connection, [row.id for row in children])
    asked = [(plan.link_id, plan.module, plan.questions) for plan in plans if plan.questions is not None]
    conflicts.settle(connection, fence.mailbox_id, asked, now)
    _PLAN.many(connection, intents)
    _JOURNAL.many(connection, lost)
    return len(intents)


_TOTALS = Statement(
    sa.select(link.c.module, link.c.state, sa.func.count().label("links"))
    .where(link.c.mailbox_id == sa.bindparam("mailbox"))
    .group_by(link.c.module, link.c.state)
)


def module_totals(connection: sa.Connection, mailbox_id: int) -> dict[tuple[str, str], int]:
    """Links of a mailbox by module and state."""
    return {(row.module, row.state): row.links for row in _TOTALS.rows(connection, mailbox=mailbox_id)}


def live_remote_ids(connection: sa.Connection, mailbox_id: int, side: str, module: str) -> set[str]:
    """Remote ids of the live, linked items of a module on one side, series occurrences left out."""
    rows = connection.execute(
        sa.select(item.c.remote_id)
        .join(link, link.c.id == item.c.link_id)
        .where(
            item.c.mailbox_id == mailbox_id,
            item.c.side == side,
            item.c.deleted == 0,
            link.c.module == module,
            link.c.state == "live",
            link.c.occurrence.is_(None),
        )
    )
    return set(rows.scalars())
