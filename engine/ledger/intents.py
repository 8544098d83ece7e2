"""Units of work on intents: writes are committed as in flight before they are sent, and settled when answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.observe import WHILE_WRITING, mark_dirty, wake_occurrences
from engine.ledger.schema import dirty, guard, intent, item, journal, link, match_key
from engine.ledger.sql import chunks, insert, select_in

#: After so many failures in a row an item is set aside, visible, and its mailbox goes on (sync.md section 3.8).
QUARANTINE_AFTER = 5

#: First wait after a failed item, doubled each time (domain.md 5.5).
RETRY_MS = 30_000


@dataclass(frozen=True, slots=True)
class IntentRow:
    """An open intent with what a connector needs to carry it out."""

    id: int
    link_id: int
    side: str
    scope_id: int
    module: str
    kind: str
    key: str
    remote_id: str
    fields: dict[str, Any]
    patch: dict[str, Any]
    etag: str | None
    native: Any
    shown: dict[str, Any]
    accepted: dict[str, Any]
    containers: tuple[str, ...]
    attempt: int
    notify: bool
    sent_at: int | None
    parent: str | None
    occurrence: str | None


# Statements over wide tables are costly to build, and these are asked for many times in every cycle.
_CURRENT = item.alias("current")
_MASTER = item.alias("master")


_KINDS = (
    sa.select(intent.c.kind, intent.c.side)
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
    )
    .distinct()
)
_PLANNED = (
    sa.select(
        intent,
        _CURRENT.c.native,
        _CURRENT.c.fields.label("shown"),
        _CURRENT.c.accepted,
        _CURRENT.c.containers,
        link.c.parent_link,
        link.c.occurrence.label("original"),
        _MASTER.c.remote_id.label("parent"),
    )
    .join(link, link.c.id == intent.c.link_id)
    .outerjoin(
        _CURRENT,
        sa.and_(
            _CURRENT.c.link_id == intent.c.link_id, _CURRENT.c.side == intent.c.side, _CURRENT.c.deleted == 0
        ),
    )
    .outerjoin(
        _MASTER,
        sa.and_(
            _MASTER.c.link_id == link.c.parent_link, _MASTER.c.side == intent.c.side, _MASTER.c.deleted == 0
        ),
    )
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.side == sa.bindparam("of_side"),
        intent.c.kind == sa.bindparam("of_kind"),
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
        sa.or_(link.c.parent_link.is_(None), _MASTER.c.remote_id.is_not(None)),
    )
    .order_by(link.c.parent_link.is_not(None), intent.c.id)
    .limit(sa.bindparam("most"))
)


def planned(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str], side: str, kind: str, limit: int
) -> list[IntentRow]:
    """Planned intents of one kind, masters before occurrences, oldest first.

    An occurrence whose master has no item on this side yet is left out: it waits for the next round.
    """
    rows = connection.execute(
        _PLANNED,
        {"mailbox": mailbox_id, "modules": list(modules), "of_side": side, "of_kind": kind, "most": limit},
    )
    return [
        IntentRow(
            row.id,
            row.link_id,
            row.side,
            row.scope_id,
            row.module,
            row.kind,
            row.key,
            row.remote_id,
            row.fields or {},
            row.patch or {},
            row.etag,
            row.native,
            row.shown or {},
            row.accepted or {},
            tuple(row.containers or ()),
            row.attempt,
            bool(row.notify),
            row.sent_at,
            row.parent,
            row.original,
        )
        for row in rows
    ]


def planned_kinds(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> set[tuple[str, str]]:
    """The (kind, side) of which anything is planned, so that an idle cycle asks once instead of six times."""
    rows = connection.execute(_KINDS, {"mailbox": mailbox_id, "modules": list(modules)})
    return {(row.kind, row.side) for row in rows}


def take_flight(connection: sa.Connection, fence: Fence, intent_ids: Sequence[int], now: int) -> None:
    """Write ahead: these intents are about to be sent. Every attempt passes here, not only the first."""
    check(connection, fence)
    for piece in chunks(intent_ids):
        connection.execute(
            sa.update(intent)
            .where(intent.c.id.in_(piece), intent.c.state == "planned")
            .values(state="in_flight", sent_at=now)
        )


@dataclass(frozen=True, slots=True)
class Applied:
    """A write that was made: the item as the provider now shows it.

    ``accepted`` is what the provider made of our values; ``None`` fields for a delete.
    """

    intent: IntentRow
    remote_id: str
    etag: str | None
    fields: Mapping[str, Any]
    accepted: Mapping[str, Any]
    native: Any
    containers: tuple[str, ...]
    modified: int | None
    drifted: bool  # the answer shows changes that are not ours: look again


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A write that was not made, or of which nobody can tell.

    Attributes:
        how: ``again`` (back to planned), ``reread`` (void; the link is looked at again), ``gone`` (the item no longer
            exists), ``unknown`` (wait until ``not_before``, then look for the marker), ``failed`` (the item is at fault).
        error: for people.
    """

    intent: IntentRow
    how: str
    error: str = ""
    not_before: int = 0


def record_outcomes(
    connection: sa.Connection,
    fence: Fence,
    applied: Sequence[Applied],
    unsettled: Sequence[Unsettled],
    now: int,
) -> list[int]:
    """Settle a batch in one transaction: items, bases, journal, work list.

    Returns:
        links that went into quarantine.
    """
    check(connection, fence)
    if applied:
        _record_applied(connection, fence, applied, now)
    return _record_unsettled(connection, unsettled, now)


def _record_applied(connection: sa.Connection, fence: Fence, applied: Sequence[Applied], now: int) -> None:
    written = [one for one in applied if one.intent.kind != "delete"]
    removed = [one for one in applied if one.intent.kind == "delete"]
    bases = {
        row.id: row.base or {}
        for row in select_in(
            connection, sa.select(link.c.id, link.c.base), link.c.id, [one.intent.link_id for one in written]
        )
    }
    if written:
        statement = insert(connection, item)
        values = [
            {
                "mailbox_id": fence.mailbox_id,
                "side": one.intent.side,
                "scope_id": one.intent.scope_id,
                "remote_id": one.remote_id,
                "link_id": one.intent.link_id,
                "module": one.intent.module,
                "etag": one.etag,
                "marker": one.intent.key if one.intent.kind == "create" else None,
                "fields": dict(one.fields),
                "accepted": dict(one.accepted) or None,
                "native": one.native,
                "containers": list(one.containers),
                "parent": one.intent.parent,
                "occurrence": one.intent.occurrence,
                "modified": one.modified,
                "deleted": 0,
                "own": 0,
                "written_at": now,
                "read_at": now,
            }
            for one in written
        ]
        new = statement.excluded
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=["mailbox_id", "side", "scope_id", "remote_id"],
                set_={
                    "link_id": new.link_id,
                    "etag": new.etag,
                    "fields": new.fields,
                    "accepted": new.accepted,
                    "native": new.native,
                    "containers": new.containers,
                    "modified": new.modified,
                    "deleted": 0,
                    "own": 0,
                    "written_at": now,
                    "read_at": now,
                    "marker": sa.func.coalesce(new.marker, item.c.marker),
                },
            ),
            values,
        )
        connection.execute(
            sa.update(link)
            .where(link.c.id == sa.bindparam("b_link"))
            .values(base=sa.bindparam("b_base"), state="live", reason=""),
            [
                {
                    "b_link": one.intent.link_id,
                    "b_base": {
                        name: value
                        for name, value in {
                            # A create starts afresh: what an earlier generation had and this one lacks is no base.
                            **(bases[one.intent.link_id] if one.intent.kind == "update" else {}),
                            **one.intent.patch,
                        }.items()
                        if value is not None
                    },
                }
                for one in written
            ],
        )
        # Matched for good: natural keys are for one-sided links only.
        for piece in chunks([one.intent.link_id for one in written]):
            connection.execute(
                sa.delete(match_key).where(
                    match_key.c.item_id.in_(sa.select(item.c.id).where(item.c.link_id.in_(piece)))
                )
            )
            connection.execute(
                sa.delete(dirty).where(dirty.c.link_id.in_(piece), dirty.c.not_before == WHILE_WRITING)
            )
            connection.execute(sa.update(dirty).where(dirty.c.link_id.in_(piece)).values(attempts=0))
    for piece in chunks([one.intent.link_id for one in removed]):
        side = removed[0].intent.side
        connection.execute(
            sa.update(item)
            .where(item.c.link_id.in_(piece), item.c.side == side)
            .values(deleted=1, written_at=now)
        )
        connection.execute(sa.update(link).where(link.c.id.in_(piece)).values(state="tombstone"))
        connection.execute(
            sa.delete(dirty).where(dirty.c.link_id.in_(piece), dirty.c.not_before == WHILE_WRITING)
        )
    _close(connection, [one.intent.id for one in applied], "done")
    # Copied inside the database: the documents need not be read and written again.
    names = ["mailbox_id", "cycle_id", "link_id", "side", "kind", "before", "after", "why", "at"]
    source = (*(intent.c[name] for name in names[:6]), intent.c.patch, intent.c.why, sa.literal(now))
    for piece in chunks([one.intent.id for one in applied]):
        copied = sa.select(*source).where(intent.c.id.in_(piece)).order_by(intent.c.id)
        connection.execute(sa.insert(journal).from_select(names, copied))
    mark_dirty(connection, [one.intent.link_id for one in applied if one.drifted])
    wake_occurrences(
        connection,
        [
            one.intent.link_id
            for one in written
            if one.intent.kind == "create" and one.intent.fields.get("rule")
        ],
    )


def _close(connection: sa.Connection, ids: Sequence[int], state: str, **values: Any) -> None:
    for piece in chunks(ids):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(state=state, **values))


def _record_unsettled(connection: sa.Connection, unsettled: Sequence[Unsettled], now: int) -> list[int]:
    quarantined: list[int] = []
    again = [one.intent.id for one in unsettled if one.how == "again"]
    for piece in chunks(again):
        connection.execute(
            sa.update(intent)
            .where(intent.c.id.in_(piece))
            .values(state="planned", attempt=intent.c.attempt + 1)
        )
    for one in unsettled:
        if one.how == "again":
            continue
        if one.how == "unknown":
            _close(connection, [one.intent.id], "unknown", error=one.error, not_before=one.not_before)
            continue
        _close(connection, [one.intent.id], "failed" if one.how == "failed" else "void", error=one.error)
        if one.how == "gone":
            connection.execute(
                sa.update(item)
                .where(item.c.link_id == one.intent.link_id, item.c.side == one.intent.side)
                .values(deleted=1, read_at=now)
            )
        mark_dirty(connection, [one.intent.link_id])
        if one.how == "failed":
            attempts = connection.execute(
                sa.update(dirty)
                .where(dirty.c.link_id == one.intent.link_id)
                .values(attempts=dirty.c.attempts + 1)
                .returning(dirty.c.attempts)
            ).scalar_one()
            if attempts >= QUARANTINE_AFTER:
                quarantined.append(one.intent.link_id)
                connection.execute(sa.delete(dirty).where(dirty.c.link_id == one.intent.link_id))
                connection.execute(
                    sa.update(link)
                    .where(link.c.id == one.intent.link_id)
                    .values(state="quarantined", reason=one.error)
                )
            else:
                connection.execute(
                    sa.update(dirty)
                    .where(dirty.c.link_id == one.intent.link_id)
                    .values(not_before=now + RETRY_MS * 2 ** (attempts - 1))
                )
                connection.execute(
                    sa.update(link).where(link.c.id == one.intent.link_id).values(reason=one.error)
                )
    return quarantined


# -- recovery ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """An intent that an earlier run left open."""

    id: int
    link_id: int
    module: str
    side: str
    kind: str
    state: str
    sent_at: int | None
    not_before: int


def left_open(connection: sa.Connection, mailbox_id: int) -> list[Open]:
    """What an earlier run left open; held deletes are not in it, they wait for an admin."""
    rows = connection.execute(
        sa.select(intent).where(
            intent.c.mailbox_id == mailbox_id, intent.c.state.in_(("planned", "in_flight", "unknown"))
        )
    )
    return [
        Open(row.id, row.link_id, row.module, row.side, row.kind, row.state, row.sent_at, row.not_before)
        for row in rows
    ]


def recover(
    connection: sa.Connection,
    fence: Fence,
    *,
    void: Sequence[Open],
    repeat: Sequence[Open],
    unknown: Mapping[int, int],
    now: int,
) -> None:
    """Settle what an earlier run left open (sync.md section 3.2).

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        void: planned again from scratch; harmless, since an update or delete names its etag.
        repeat: creates that may be sent again under the same key.
        unknown: creates that must be looked for first: intent id to the time until which the feed may lag.
        now: engine clock.
    """
    check(connection, fence)
    _close(connection, [one.id for one in void], "void", error="planned again after a restart")
    mark_dirty(connection, [one.link_id for one in void])
    for piece in chunks([one.id for one in repeat]):
        connection.execute(
            sa.update(intent)
            .where(intent.c.id.in_(piece))
            .values(state="planned", attempt=intent.c.attempt + 1)
        )
    for intent_id, until in unknown.items():
        _close(connection, [intent_id], "unknown", not_before=until, error="sent, but the answer never came")


# -- delete safety -------------------------------------------------------------------------------------


# Deletes that an admin has let through do not count, and are never held again.
_APPROVED = intent.alias("approved")
_NOT_APPROVED = ~sa.exists().where(
    _APPROVED.c.link_id == intent.c.link_id,
    _APPROVED.c.side == intent.c.side,
    _APPROVED.c.state == "approved",
)


def planned_deletes(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str]
) -> dict[tuple[str, str], int]:
    """Planned deletes by (module, side), without those that an admin has let through."""
    rows = connection.execute(
        sa.select(intent.c.module, intent.c.side, sa.func.count())
        .where(
            intent.c.mailbox_id == mailbox_id,
            intent.c.state == "planned",
            intent.c.kind == "delete",
            intent.c.module.in_(modules),
            _NOT_APPROVED,
        )
        .group_by(intent.c.module, intent.c.side)
    )
    return {(module, side): count for module, side, count in rows}


def live_items(connection: sa.Connection, mailbox_id: int, module: str, side: str) -> int:
    """Live linked items of a module on a side."""
    return connection.execute(
        sa.select(sa.func.count()).where(
            item.c.mailbox_id == mailbox_id,
            item.c.module == module,
            item.c.side == side,
            item.c.deleted == 0,
            item.c.link_id.is_not(None),
        )
    ).scalar_one()


def hold_deletes(
    connection: sa.Connection,
    fence: Fence,
    cycle_id: int,
    module: str,
    side: str,
    *,
    deletes: int,
    total: int,
    why: str,
    now: int,
) -> None:
    """Delete Safety has tripped: the deletes of a module on a side wait for an admin; all else goes on."""
    check(connection, fence)
    connection.execute(
        sa.update(intent)
        .where(
            intent.c.mailbox_id == fence.mailbox_id,
            intent.c.state == "planned",
            intent.c.kind == "delete",
            intent.c.module == module,
            intent.c.side == side,
            _NOT_APPROVED,
        )
        .values(state="held", error=why)
    )
    connection.execute(
        sa.insert(guard).values(
            mailbox_id=fence.mailbox_id,
            cycle_id=cycle_id,
            module=module,
            deletes=deletes,
            total=total,
            why=why,
            at=now,
        )
    )


def held_counts(connection: sa.Connection) -> dict[int, int]:
    """Items that wait for an admin, by mailbox: held and quarantined links, held deletes."""
    counts: dict[int, int] = {}
    links = (
        sa.select(link.c.mailbox_id, sa.func.count())
        .where(link.c.state.in_(("held", "quarantined")))
        .group_by(link.c.mailbox_id)
    )
    deletes = (
        sa.select(intent.c.mailbox_id, sa.func.count())
        .where(intent.c.state == "held")
        .group_by(intent.c.mailbox_id)
    )
    for query in (links, deletes):
        for mailbox_id, count in connection.execute(query):
            counts[mailbox_id] = counts.get(mailbox_id, 0) + count
    return counts
