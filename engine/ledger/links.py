"""Units of work on links: the work list as trees, what waits of it, and the reasons that an admin's word gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from engine.ledger import conflicts
from engine.ledger.conflicts import Conflict
from engine.ledger.schema import dirty, intent, item, link
from engine.ledger.sql import one_of
from engine.ledger.statement import Statement
from engine.ledger.worklist import DUE_MODULE

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


def item_row(row: Any) -> ItemRow:
    """A side of a link of a row of the table."""
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


_CHILD_FIELDS = Statement(
    sa.select(link.c.parent_link, item.c.fields)
    .join(item, item.c.link_id == link.c.id)
    .where(one_of(link.c.parent_link), item.c.deleted == 0)
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
    .where(one_of(link.c.id))
    .order_by(link.c.id)
)


_DUE = Statement(
    sa.select(dirty.c.link_id)
    .where(
        dirty.c.mailbox_id == sa.bindparam("mailbox"),
        one_of(DUE_MODULE, "modules"),
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
    ).where(one_of(item.c.link_id))
)
_LIVING = Statement(
    sa.select(item.c.link_id, item.c.side, item.c.fields).where(one_of(item.c.link_id), item.c.deleted == 0)
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
    .where(one_of(link.c.id))
)


def trees(connection: sa.Connection, link_ids: Sequence[int]) -> list[LinkRow]:
    """Links by id, whatever their state, with both their sides; ids that no longer exist are left out."""
    return _trees(connection, _TREES.among(connection, link_ids), None)


def _trees(connection: sa.Connection, rows: Sequence[Any], since: int | None) -> list[LinkRow]:
    """Rows with both sides, and (unless ``since`` is None) with our own writes since then."""
    sides: dict[int, dict[str, ItemRow]] = {}
    for row in _ITEMS.among(connection, [row.id for row in rows]):
        one = item_row(row)
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
