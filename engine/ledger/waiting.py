"""Units of work on what waits for an admin: the list of it, and the writes that Delete Safety holds.

A row is named by the id of its link. A decision is stored in the ledger and carried out by the mailbox's next cycle,
so that it outlives the engine, and an item that changed meanwhile is planned afresh rather than treated as it was.

Two closed states of an intent carry a decision to that plan: ``approved`` (it may pass Delete Safety) and ``reviewed``
(it was held, its item changed since; if the same is planned again, it is held again without counting).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger import guests
from engine.ledger.fence import Fence, check
from engine.ledger.gone import make_again
from engine.ledger.links import KEPT_COPY, KEPT_DELETE
from engine.ledger.schema import dirty, guard, intent, item, journal, link
from engine.ledger.statement import Statement, at_once, chunks
from engine.ledger.worklist import mark_dirty

#: States of a link that wait for an admin.
WAITING = ("held", "quarantined")

#: Kinds of writes that Delete Safety holds.
HELD_KINDS = ("delete", "create")

#: States of an intent that is still to be carried out, or waits.
OPEN = ("planned", "in_flight", "unknown", "held")


@dataclass(frozen=True, slots=True)
class Waiting:
    """One item that waits for an admin.

    Attributes:
        id: of the link.
        kind: ``delete``, ``create``, ``guests``, ``twin`` or ``quarantine``.
        side: where the item is; for a delete, where it would be deleted, for a create, where it would be made.
        fields: canonical fields of the item.
        guests: of a write that would mail them, how many.
        since: when it began to wait, or was last looked at, epoch milliseconds.
    """

    id: int
    mailbox_id: int
    kind: str
    module: str
    side: str
    fields: dict[str, Any]
    reason: str
    since: int | None
    guests: int = 0


_HELD_WRITES = Statement(
    sa.select(intent).where(
        intent.c.state == "held",
        intent.c.kind.in_(HELD_KINDS),
        intent.c.mode != guests.MODE,
        intent.c.mailbox_id.in_(sa.bindparam("ids", expanding=True)),
    )
)
_GUARDS = Statement(
    sa.select(guard.c.cycle_id, guard.c.module, guard.c.cause, guard.c.at).where(
        guard.c.mailbox_id.in_(sa.bindparam("ids", expanding=True))
    )
)
_LIVE_ITEMS = Statement(
    sa.select(item).where(item.c.deleted == 0, item.c.link_id.in_(sa.bindparam("ids", expanding=True)))
)
_REFUSED = Statement(
    sa.select(intent.c.link_id, intent.c.side, intent.c.sent_at, intent.c.fields)
    .where(intent.c.state == "failed", intent.c.link_id.in_(sa.bindparam("ids", expanding=True)))
    .order_by(intent.c.id)
)
_WAITING_LINKS = Statement(
    sa.select(link).where(link.c.state.in_(WAITING), link.c.mailbox_id.in_(sa.bindparam("ids", expanding=True)))
)


_ASIDE = Statement(
    sa.select(link.c.mailbox_id, link.c.reason)
    .where(
        link.c.state.in_(WAITING),  # so that SQLite uses the partial index
        link.c.state == "quarantined",
        link.c.mailbox_id.in_(sa.bindparam("ids", expanding=True)),
    )
    .order_by(link.c.id)
)


def aside(connection: sa.Connection, mailbox_ids: Sequence[int]) -> dict[int, tuple[int, str]]:
    """How many items are in quarantine, and why the first of them; of those mailboxes that have any."""
    found: dict[int, tuple[int, str]] = {}
    for row in _ASIDE.among(connection, mailbox_ids):
        count, reason = found.get(row.mailbox_id, (0, row.reason))
        found[row.mailbox_id] = (count + 1, reason)
    return found


def listed(connection: sa.Connection, mailbox_ids: Sequence[int]) -> list[Waiting]:
    """All that waits in some mailboxes: deletes, creates, guest mails, twins, quarantine, each in the order of its links."""
    found = _writes(connection, mailbox_ids) + _guests(connection, mailbox_ids)
    found += _links(connection, mailbox_ids)
    order = {"delete": 0, "create": 1, "guests": 2, "twin": 3, "quarantine": 4}
    return sorted(found, key=lambda one: (one.mailbox_id, order[one.kind], one.id))


def held_writes(connection: sa.Connection, mailbox_id: int) -> dict[str, int]:
    """How many writes Delete Safety holds, by module."""
    rows = connection.execute(
        sa.select(intent.c.module, sa.func.count().label("held"))
        .where(intent.c.mailbox_id == mailbox_id, intent.c.state == "held", intent.c.mode != guests.MODE)
        .group_by(intent.c.module)
    )
    return {row.module: row.held for row in rows}


def _writes(connection: sa.Connection, mailbox_ids: Sequence[int]) -> list[Waiting]:
    rows = _HELD_WRITES.among(connection, mailbox_ids)
    began = {
        (row.cycle_id, row.module): row.at
        for row in _GUARDS.among(connection, {row.mailbox_id for row in rows})
    }
    return [
        Waiting(
            row.link_id,
            row.mailbox_id,
            row.kind,
            row.module,
            row.side,
            row.before or row.fields or {},
            row.error,
            began.get((row.cycle_id, row.module)),
        )
        for row in rows
    ]


def _guests(connection: sa.Connection, mailbox_ids: Sequence[int]) -> list[Waiting]:
    rows = guests.held(connection, mailbox_ids)
    began = {
        row.cycle_id: row.at
        for row in _GUARDS.among(connection, {row.mailbox_id for row in rows})
        if row.cause == "guests"
    }
    return [
        Waiting(
            row.link_id,
            row.mailbox_id,
            "guests",
            row.module,
            row.side,
            # A delete has no values to come: what people would lose is shown.
            row.fields or row.before or {},
            f"{row.error}: {row.kind} with {row.guests:,} guests; {row.why}",
            began.get(row.cycle_id),
            row.guests,
        )
        for row in rows
    ]


def _links(connection: sa.Connection, mailbox_ids: Sequence[int]) -> list[Waiting]:
    rows = _WAITING_LINKS.among(connection, mailbox_ids)
    ids = [row.id for row in rows]
    items: dict[int, sa.Row[Any]] = {}
    for one in _LIVE_ITEMS.among(connection, ids):
        # The CRM's item names a pair; "crm" sorts before "mailbox".
        if one.link_id not in items or one.side < items[one.link_id].side:
            items[one.link_id] = one
    failed: dict[int, sa.Row[Any]] = {}
    for one in _REFUSED.among(connection, [row.id for row in rows if row.state == "quarantined"]):
        failed[one.link_id] = one
    found = []
    for row in rows:
        shown, refused = items.get(row.id), failed.get(row.id)
        kind = "twin" if row.state == "held" else "quarantine"
        found.append(
            Waiting(
                row.id,
                row.mailbox_id,
                kind,
                row.module,
                refused.side if refused is not None else shown.side if shown is not None else "",
                (shown.fields if shown is not None else None)
                or (refused.fields if refused is not None else None)
                or {},
                row.reason,
                refused.sent_at if refused is not None else shown.read_at if shown is not None else None,
            )
        )
    return found


# -- writes that are held ------------------------------------------------------------------------------


def _held_writes(
    connection: sa.Connection,
    mailbox_id: int,
    link_ids: Sequence[int] | None,
    kinds: Sequence[str] = HELD_KINDS,
) -> list[sa.Row[Any]]:
    """Held writes of some links; all deletes of the mailbox, for None."""
    query = sa.select(intent).where(
        intent.c.mailbox_id == mailbox_id, intent.c.state == "held", intent.c.mode != guests.MODE
    )
    if link_ids is None:
        return list(connection.execute(query.where(intent.c.kind == "delete")).all())
    found: list[sa.Row[Any]] = []
    for piece in chunks(link_ids):
        found += connection.execute(query.where(intent.c.kind.in_(kinds), intent.c.link_id.in_(piece)))
    return found


def approve(connection: sa.Connection, fence: Fence, link_ids: Sequence[int] | None) -> list[int]:
    """Let held deletes and creates (all deletes of the mailbox, for None) pass Delete Safety in the next cycle.

    They are planned afresh then: what was edited or restored meanwhile is not deleted.

    Returns:
        the links settled.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    rows = _held_writes(connection, fence.mailbox_id, link_ids)
    for piece in chunks([row.id for row in rows]):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(state="approved"))
    mark_dirty(connection, [row.link_id for row in rows])
    _close_guards(connection, fence)
    return [row.link_id for row in rows]


def discard(connection: sa.Connection, fence: Fence, link_ids: Sequence[int] | None, now: int) -> list[int]:
    """Give up held writes (all deletes of the mailbox, for None): deletes, so that the items stay, and creates, so that they are not made elsewhere.

    Either holds until something changes about the item.

    Returns:
        the links settled.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    rows = _held_writes(connection, fence.mailbox_id, link_ids)
    for kind, state, reason in (("delete", "absent", KEPT_DELETE), ("create", "filtered", KEPT_COPY)):
        some = [row for row in rows if row.kind == kind]
        _void(connection, some, reason)
        for piece in chunks([row.link_id for row in some]):
            # A link that changed since it was held stays on the work list, and is planned as it is now.
            connection.execute(sa.update(link).where(link.c.id.in_(piece)).values(state=state, reason=reason))
        if some:
            connection.execute(sa.insert(journal), [_kept(row, reason, now) for row in some])
    _close_guards(connection, fence)
    return [row.link_id for row in rows]


def restore(connection: sa.Connection, fence: Fence, link_ids: Sequence[int] | None) -> list[int]:
    """Instead of deleting items here (all held deletes, for None), make them again where they were deleted.

    Returns:
        the links settled.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    rows = _held_writes(connection, fence.mailbox_id, link_ids, ("delete",))
    links = [row.link_id for row in rows]
    _void(connection, rows, "an admin lets it be made again")
    make_again(connection, links)
    mark_dirty(connection, links)
    _close_guards(connection, fence)
    return links


def _void(connection: sa.Connection, rows: Sequence[sa.Row[Any]], why: str) -> None:
    for piece in chunks([row.id for row in rows]):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(state="void", error=why))


def _kept(row: sa.Row[Any], why: str, now: int) -> dict[str, Any]:
    return {
        "mailbox_id": row.mailbox_id,
        "cycle_id": row.cycle_id,
        "link_id": row.link_id,
        "side": row.side,
        "kind": "kept",
        "before": row.before,
        "after": None,
        "why": why,
        "at": now,
    }


def _close_guards(connection: sa.Connection, fence: Fence) -> None:
    waits = sa.exists().where(
        intent.c.mailbox_id == guard.c.mailbox_id,
        intent.c.module == guard.c.module,
        intent.c.state == "held",
        intent.c.mode != guests.MODE,
    )
    connection.execute(
        sa.update(guard)
        .where(
            guard.c.mailbox_id == fence.mailbox_id,
            guard.c.state == "open",
            guard.c.cause != "guests",
            ~waits,
        )
        .values(state="settled")
    )


_CHANGED_SINCE_HELD = Statement(
    sa.select(intent.c.link_id)
    .join(dirty, dirty.c.link_id == intent.c.link_id)
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "held",
        intent.c.mode != guests.MODE,
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
    )
)
_REVIEWS = Statement(
    sa.select(intent.c.id)
    .where(intent.c.mailbox_id == sa.bindparam("mailbox"), intent.c.state.in_(("approved", "reviewed")))
    .limit(1)
)


def changed_since_held(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[int]:
    """Links of held writes about which something has changed: restored, edited, or put back by hand."""
    return _CHANGED_SINCE_HELD.scalars(connection, mailbox=mailbox_id, modules=modules)


def review(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> None:
    """Plan held writes afresh; what comes out the same is held again by ``close_reviews``."""
    check(connection, fence)
    for piece in chunks(link_ids):
        connection.execute(
            sa.update(intent)
            .where(intent.c.link_id.in_(piece), intent.c.state == "held", intent.c.mode != guests.MODE)
            .values(state="reviewed")
        )


@at_once
def reviews(connection: sa.Connection, mailbox_id: int) -> bool:
    """Whether decisions about held writes are still to be carried to a plan."""
    return _REVIEWS.first(connection, mailbox=mailbox_id) is not None


def close_reviews(connection: sa.Connection, fence: Fence) -> None:
    """After planning: hold reviewed writes again, and forget decisions that have been carried out or outlived."""
    check(connection, fence)
    again = intent.alias("again")
    rows = connection.execute(
        sa.select(intent.c.id, intent.c.state, intent.c.error, again.c.id.label("again"), dirty.c.link_id)
        .outerjoin(
            again,
            sa.and_(
                again.c.link_id == intent.c.link_id,
                again.c.side == intent.c.side,
                again.c.kind == intent.c.kind,
                again.c.state.in_(OPEN),
            ),
        )
        .outerjoin(dirty, dirty.c.link_id == intent.c.link_id)
        .where(intent.c.mailbox_id == fence.mailbox_id, intent.c.state.in_(("approved", "reviewed")))
    ).all()
    over = []
    for row in rows:
        if row.state == "reviewed" and row.again is not None:
            connection.execute(
                sa.update(intent)
                .where(intent.c.id == row.again, intent.c.state == "planned")
                .values(state="held", error=row.error)
            )
            over.append(row.id)
        elif row.again is None and row.link_id is None:
            over.append(row.id)
    for piece in chunks(over):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(state="void"))
