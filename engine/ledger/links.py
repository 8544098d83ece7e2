"""Units of work on links: the work list as trees, finding twins, and committing a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.observe import WHILE_WRITING, mark_dirty
from engine.ledger.schema import dirty, intent, item, journal, link, match_key
from engine.ledger.sql import chunks, select_in

#: What an admin has decided about a waiting link, as its reason; people read it.
USE_OWN = "an admin lets it use the person's own item; the next cycle does it"
BESIDE = "an admin lets it stand beside its twin"
KEPT_DELETE = "an admin keeps it, although it was deleted in the other place"
DISMISSED = "an admin dismissed it"
KEPT_TWIN = "an admin leaves it where it is, since the other place has an item of its own"


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


def _item_row(row: sa.Row[Any]) -> ItemRow:
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


def wake_window(connection: sa.Connection, mailbox_id: int, until: int) -> bool:
    """Whether filtered items have come into the rolling window."""
    return (
        connection.execute(
            sa.select(link.c.id)
            .where(link.c.mailbox_id == mailbox_id, link.c.state == "filtered", link.c.start_at <= until)
            .limit(1)
        ).first()
        is not None
    )


def open_window(connection: sa.Connection, fence: Fence, until: int) -> int:
    """Put filtered items that start before ``until`` back on the work list. Returns how many."""
    check(connection, fence)
    ids = (
        connection.execute(
            sa.select(link.c.id).where(
                link.c.mailbox_id == fence.mailbox_id, link.c.state == "filtered", link.c.start_at <= until
            )
        )
        .scalars()
        .all()
    )
    for piece in chunks(ids):
        connection.execute(sa.update(link).where(link.c.id.in_(piece)).values(state="new"))
    mark_dirty(connection, ids)
    return len(ids)


# An alias of a wide table is costly to make, and this one is asked for in every cycle.
_PARENT = link.alias("parent")


def work_list(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str], now: int, limit: int, after: int = 0
) -> list[LinkRow]:
    """The dirty links of some modules that are due, masters before their occurrences, without those being written.

    ``after`` is the last link id of the previous call, for paging.
    """
    busy = sa.exists().where(
        intent.c.link_id == dirty.c.link_id,
        intent.c.state.in_(("planned", "in_flight", "unknown", "held")),
    )
    parent = _PARENT
    rows = connection.execute(
        sa.select(link, dirty.c.attempts, parent.c.state.label("parent_state"))
        .join(dirty, dirty.c.link_id == link.c.id)
        .outerjoin(parent, parent.c.id == link.c.parent_link)
        .where(
            dirty.c.mailbox_id == mailbox_id,
            dirty.c.module.in_(modules),
            dirty.c.not_before <= now,
            dirty.c.link_id > after,
            ~busy,
        )
        .order_by(dirty.c.link_id)
        .limit(limit)
    ).all()
    sides: dict[int, dict[str, ItemRow]] = {}
    for row in select_in(connection, sa.select(item), item.c.link_id, [row.id for row in rows]):
        one = _item_row(row)
        current = sides.setdefault(row.link_id, {}).get(one.side)
        # A live row wins over tombstones of earlier generations; among tombstones the youngest.
        if current is None or (current.deleted and (not one.deleted or one.id > current.id)):
            sides[row.link_id][one.side] = one
    masters: dict[int, dict[str, dict[str, Any]]] = {}
    parents = [row.parent_link for row in rows if row.parent_link is not None]
    living = sa.select(item.c.link_id, item.c.side, item.c.fields).where(item.c.deleted == 0)
    for found in select_in(connection, living, item.c.link_id, sorted(set(parents))):
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
        )
        for row in rows
    ]


def new_links(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str], now: int, limit: int, after: int
) -> list[int]:
    """Ids of due links that may still have a twin: they have no base yet. ``after`` pages."""
    return list(
        connection.execute(
            sa.select(dirty.c.link_id)
            .join(link, link.c.id == dirty.c.link_id)
            .where(
                dirty.c.mailbox_id == mailbox_id,
                dirty.c.module.in_(modules),
                dirty.c.not_before <= now,
                dirty.c.link_id > after,
                link.c.base.is_(None),
                link.c.reason != BESIDE,
            )
            .order_by(dirty.c.link_id)
            .limit(limit)
        ).scalars()
    )


@dataclass(frozen=True, slots=True)
class Pending:
    """What waits for a step: links on the work list, and whether writes are open."""

    dirty: int
    open: bool


# Built once: every step of every cycle asks it.
_PENDING = sa.select(
    sa.select(sa.func.count())
    .select_from(dirty)
    .where(
        dirty.c.mailbox_id == sa.bindparam("mailbox"),
        dirty.c.module.in_(sa.bindparam("modules", expanding=True)),
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


def pending(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> Pending:
    """Whether a step has anything to do at all; an idle step asks nothing more."""
    row = connection.execute(_PENDING, {"mailbox": mailbox_id, "modules": list(modules)}).one()
    return Pending(row.due, bool(row.waits))


# -- twins ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Candidate:
    """Two items of opposite sides that share a key. ``link_id`` is None for the user's own item."""

    link_id: int
    other_link_id: int | None
    side: str
    key: str


_MINE, _THEIRS = match_key.alias("mine"), match_key.alias("theirs")
_MY_ITEM, _THEIR_ITEM = item.alias("my_item"), item.alias("their_item")
_CANDIDATES = (
    sa.select(_MY_ITEM.c.link_id, _THEIR_ITEM.c.link_id.label("other"), _MY_ITEM.c.side, _MINE.c.key)
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
    .where(_MY_ITEM.c.deleted == 0)
)


def candidates(connection: sa.Connection, link_ids: Sequence[int]) -> list[Candidate]:
    """All items of the opposite side that share a match key with these one-sided links."""
    return [
        Candidate(row.link_id, row.other, row.side, row.key)
        for row in select_in(connection, _CANDIDATES, _MY_ITEM.c.link_id, link_ids)
    ]


def found_creates(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[tuple[int, int]]:
    """Creates whose answer was lost and whose item a feed has shown since: (link of the create, link of the item).

    The intent's own key decides, not the match keys: those of an item that was linked before are gone, and a create
    that replaces a deleted item would otherwise be repeated beside the one that was made.
    """
    rows = connection.execute(
        sa.select(intent.c.link_id, item.c.link_id.label("found"))
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
            intent.c.mailbox_id == mailbox_id,
            intent.c.module.in_(modules),
            intent.c.state.in_(("planned", "in_flight", "unknown")),
            intent.c.kind == "create",
            intent.c.sent_at.is_not(None),
            item.c.link_id != intent.c.link_id,
        )
    )
    return list({row.link_id: (row.link_id, row.found) for row in rows}.values())


def merge_links(connection: sa.Connection, fence: Fence, pairs: Sequence[tuple[int, int]]) -> None:
    """Make one link of two one-sided ones: ``(keep, drop)``; open intents of both end, occurrences move along."""
    check(connection, fence)
    for keep, drop in pairs:
        # A create of ours whose answer was lost, found again by its marker: both sides had agreed on what it wrote.
        sent = connection.execute(
            sa.select(intent.c.patch)
            .join(
                item,
                sa.and_(
                    item.c.mailbox_id == intent.c.mailbox_id,
                    item.c.side == intent.c.side,
                    item.c.marker == intent.c.key,
                ),
            )
            .where(
                intent.c.link_id.in_((keep, drop)),
                item.c.link_id.in_((keep, drop)),
                intent.c.kind == "create",
                intent.c.state.in_(("planned", "in_flight", "unknown")),
            )
        ).scalar()
        connection.execute(
            sa.update(intent)
            .where(
                intent.c.link_id.in_((keep, drop)),
                intent.c.state.in_(("planned", "in_flight", "unknown", "held")),
            )
            .values(state="void", error="the item was found")
        )
        connection.execute(sa.update(item).where(item.c.link_id == drop).values(link_id=keep))
        connection.execute(sa.delete(dirty).where(dirty.c.link_id == drop))
        connection.execute(
            sa.update(link)
            .where(link.c.id == keep)
            .values(state="new", reason="", **({"base": sent} if sent else {}))
        )
        for row in connection.execute(
            sa.select(link.c.id, link.c.occurrence).where(link.c.parent_link == drop)
        ).all():
            twin = connection.execute(
                sa.select(link.c.id).where(link.c.parent_link == keep, link.c.occurrence == row.occurrence)
            ).scalar()
            if twin is None:
                connection.execute(sa.update(link).where(link.c.id == row.id).values(parent_link=keep))
            else:
                merge_links(connection, fence, [(twin, row.id)])
        connection.execute(sa.delete(link).where(link.c.id == drop))
        mark_dirty(connection, [keep])


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


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What one reconciled link becomes.

    Attributes:
        base: new base; None keeps the stored one.
        state: live, filtered, held, absent, tombstone; None keeps it.
        settled: nothing is left to do: off the work list.
        lost: journal rows ``(side, kind, before, after, why)``.
        bump: the create's key needs a new generation (it was created before and deleted since).
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


@dataclass(slots=True)
class Committed:
    """Intents of a committed plan: how many by kind."""

    intents: int = 0
    kinds: dict[str, int] = field(default_factory=dict)


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
        columns: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in names}
        if "generation" in columns:
            columns["generation"] += link.c.generation
        connection.execute(sa.update(link).where(link.c.id == sa.bindparam("b_link")).values(**columns), rows)
    settled = [plan.link_id for plan in plans if plan.settled]
    writing = [plan.link_id for plan in plans if plan.settled and plan.intents]
    for piece in chunks(writing):
        # Failures in a row are counted here, so the row of a link that failed before stays until its write is made.
        connection.execute(
            sa.update(dirty)
            .where(dirty.c.link_id.in_(piece), dirty.c.attempts > 0)
            .values(not_before=WHILE_WRITING)
        )
    for piece in chunks(settled):
        connection.execute(
            sa.delete(dirty).where(dirty.c.link_id.in_(piece), dirty.c.not_before != WHILE_WRITING)
        )
    for plan in plans:
        if plan.not_before is not None and not plan.settled:
            connection.execute(
                sa.update(dirty).where(dirty.c.link_id == plan.link_id).values(not_before=plan.not_before)
            )
    tombs = [plan.link_id for plan in plans if plan.state == "tombstone"]
    for piece in chunks(tombs):
        # The occurrences of a series end with it.
        children = connection.execute(sa.select(link.c.id).where(link.c.parent_link.in_(piece))).scalars().all()
        if children:
            connection.execute(sa.update(link).where(link.c.id.in_(children)).values(state="tombstone"))
            connection.execute(sa.update(item).where(item.c.link_id.in_(children)).values(deleted=1))
            connection.execute(sa.delete(dirty).where(dirty.c.link_id.in_(children)))
    if intents:
        connection.execute(sa.insert(intent), intents)
    if lost:
        connection.execute(sa.insert(journal), lost)
    return len(intents)


def resolve_unknown(connection: sa.Connection, mailbox_id: int) -> list[int]:
    """Links whose create had an unknown outcome."""
    return list(
        connection.execute(
            sa.select(intent.c.link_id).where(intent.c.mailbox_id == mailbox_id, intent.c.state == "unknown")
        ).scalars()
    )


def module_totals(connection: sa.Connection, mailbox_id: int) -> dict[tuple[str, str], int]:
    """Links of a mailbox by module and state."""
    rows = connection.execute(
        sa.select(link.c.module, link.c.state, sa.func.count())
        .where(link.c.mailbox_id == mailbox_id)
        .group_by(link.c.module, link.c.state)
    )
    return {(module, state): count for module, state, count in rows}


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
