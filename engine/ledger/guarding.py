"""Units of work of Delete Safety: what is planned, how it was learned, and holding it for an admin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger import waiting
from engine.ledger.fence import Fence, check
from engine.ledger.schema import Gone, guard, intent, item
from engine.ledger.sql import chunks, select_in
from engine.ledger.statement import Statement

#: How many of the writes that are held are told by name.
SAMPLE = 3

# What an admin has let through does not count, and is never held again.
_APPROVED = intent.alias("approved")
_NOT_APPROVED = ~sa.exists().where(
    _APPROVED.c.link_id == intent.c.link_id,
    _APPROVED.c.side == intent.c.side,
    _APPROVED.c.state == "approved",
)

# The deleted item of the other side, because of which a delete is planned: the youngest, should there be several.
_CAUSE, _YOUNGEST = item.alias("cause"), item.alias("youngest")
_HOW = (
    sa.select(_CAUSE.c.deleted)
    .where(
        _CAUSE.c.id
        == sa.select(sa.func.max(_YOUNGEST.c.id))
        .where(_YOUNGEST.c.link_id == intent.c.link_id, _YOUNGEST.c.side != intent.c.side)
        .correlate(intent)
        .scalar_subquery()
    )
    .correlate(intent)
    .scalar_subquery()
)
_DELETES = Statement(
    sa.select(intent.c.id, intent.c.module, intent.c.side, intent.c.remote_id, _HOW.label("how")).where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.kind == "delete",
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
        _NOT_APPROVED,
    )
)
_HOWS = Statement(
    sa.select(intent.c.id, _HOW.label("how")).where(intent.c.id.in_(sa.bindparam("ids", expanding=True)))
)
_LIVING = (
    item.c.mailbox_id == sa.bindparam("mailbox"),
    item.c.module == sa.bindparam("module"),
    item.c.side == sa.bindparam("side"),
    item.c.deleted == 0,
    item.c.link_id.is_not(None),
)
_LIVE_ITEMS = Statement(sa.select(sa.func.count().label("living")).where(*_LIVING))
_LIVE_FIELDS = Statement(sa.select(item.c.fields).where(*_LIVING))
_CREATES = Statement(
    sa.select(intent.c.module, intent.c.side, sa.func.count().label("creates"))
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.kind == "create",
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
        _NOT_APPROVED,
    )
    .group_by(intent.c.module, intent.c.side)
)


@dataclass(frozen=True, slots=True)
class PlannedDelete:
    """A delete that is planned and that no admin has let through.

    Attributes:
        id: of the intent.
        side: where it would be deleted.
        remote_id: of what would be deleted.
        how: how its deletion in the other place was learned.
    """

    id: int
    module: str
    side: str
    remote_id: str
    how: Gone


def planned_deletes(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[PlannedDelete]:
    """Planned deletes, without those that an admin has let through."""
    rows = _DELETES.rows(connection, mailbox=mailbox_id, modules=modules)
    return [
        PlannedDelete(row.id, row.module, row.side, row.remote_id, Gone(row.how or Gone.TOLD)) for row in rows
    ]


@dataclass(frozen=True, slots=True)
class PlannedWrites:
    """What Delete Safety looks at before anything is sent.

    Attributes:
        reviews: decisions about held writes are still to be carried to the plan.
        creates: how many by (module, side).
    """

    reviews: bool
    deletes: list[PlannedDelete]
    creates: dict[tuple[str, str], int]


def planned(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> PlannedWrites:
    """Planned deletes and creates without those that an admin has let through, in one look."""
    return PlannedWrites(
        waiting.reviews(connection, mailbox_id),
        planned_deletes(connection, mailbox_id, modules),
        planned_creates(connection, mailbox_id, modules),
    )


def hows(connection: sa.Connection, intent_ids: Sequence[int]) -> dict[int, Gone]:
    """How the deletions behind some deletes were learned, by intent."""
    return {row.id: Gone(row.how or Gone.TOLD) for row in _HOWS.among(connection, intent_ids)}


def planned_creates(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str]
) -> dict[tuple[str, str], int]:
    """How many creates are planned by (module, side), without those that an admin has let through."""
    rows = _CREATES.rows(connection, mailbox=mailbox_id, modules=modules)
    return {(row.module, row.side): row.creates for row in rows}


def creates_of(
    connection: sa.Connection, mailbox_id: int, module: str, side: str
) -> list[tuple[int, dict[str, Any]]]:
    """The planned creates of a module on a side: (intent id, fields), changed occurrences of a series left out."""
    rows = connection.execute(
        sa.select(intent.c.id, intent.c.fields).where(
            intent.c.mailbox_id == mailbox_id,
            intent.c.state == "planned",
            intent.c.kind == "create",
            intent.c.module == module,
            intent.c.side == side,
            _NOT_APPROVED,
        )
    )
    return [(row.id, row.fields or {}) for row in rows]


def live_items(connection: sa.Connection, mailbox_id: int, module: str, side: str) -> int:
    """Live linked items of a module on a side."""
    return int(_LIVE_ITEMS.scalar(connection, mailbox=mailbox_id, module=module, side=side))


def live_fields(connection: sa.Connection, mailbox_id: int, module: str, side: str) -> list[dict[str, Any]]:
    """What the live linked items of a module show on a side. It reads them all."""
    rows = _LIVE_FIELDS.rows(connection, mailbox=mailbox_id, module=module, side=side)
    return [row.fields or {} for row in rows]


def hold(
    connection: sa.Connection,
    fence: Fence,
    cycle_id: int,
    intent_ids: Sequence[int],
    *,
    module: str,
    side: str,
    cause: str,
    total: int,
    why: str,
    now: int,
) -> list[dict[str, Any]]:
    """Planned writes of a module on a side wait for an admin; all else goes on.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        cycle_id: the cycle that planned them.
        intent_ids: what is held.
        module, side: of all of them.
        cause: see ``engine.sync.guard.Cause``.
        total: live items of the module on that side.
        why: for people.
        now: engine clock.

    Returns:
        the fields of a few of them, as a sample.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks(intent_ids):
        connection.execute(
            sa.update(intent)
            .where(intent.c.id.in_(piece), intent.c.state == "planned")
            .values(state="held", error=why)
        )
    connection.execute(
        sa.insert(guard).values(
            mailbox_id=fence.mailbox_id,
            cycle_id=cycle_id,
            module=module,
            side=side,
            cause=cause,
            deletes=len(intent_ids),
            total=total,
            why=why,
            at=now,
        )
    )
    shown = select_in(
        connection, sa.select(intent.c.before, intent.c.fields), intent.c.id, sorted(intent_ids)[:SAMPLE]
    )
    return [row.before or row.fields or {} for row in shown]


def held_deletes(connection: sa.Connection, mailbox_id: int) -> int:
    """How many deletes of a mailbox wait for an admin."""
    return connection.execute(
        sa.select(sa.func.count()).where(
            intent.c.mailbox_id == mailbox_id, intent.c.state == "held", intent.c.kind == "delete"
        )
    ).scalar_one()
