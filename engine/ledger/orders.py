"""Units of work on orders: what an admin has asked to be done in a mailbox once, before its next ordinary cycle.

An order is a row of ``cycle`` in state ``asked``: to undo an earlier cycle (``about``), or to leave the mailbox. It stands
until it is carried out, whatever dies meanwhile, and its record then tells what it did.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import cycle, intent, journal
from engine.ledger.sql import chunks, set_columns
from engine.ledger.statement import Statement, at_once

#: Kinds of cycle that are carried out on an admin's order only.
UNDO, LEAVE = "undo", "leave"


@dataclass(frozen=True, slots=True)
class Order:
    """One order that is still to be carried out.

    Attributes:
        cycle_id: of its record.
        about: the cycle that is to be undone.
        options: what the admin has chosen with it.
    """

    cycle_id: int
    mailbox_id: int
    policy: str
    kind: str
    about: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


# Asked before every cycle, by the partial index of what is asked.
_ASKED = Statement(sa.select(cycle).where(cycle.c.state == "asked"))


@at_once
def asked(conn: sa.Connection, mailbox_ids: Sequence[int] | None = None) -> list[Order]:
    """Orders that are still to be carried out, oldest first; of some mailboxes, or all."""
    return [
        Order(row.id, row.mailbox_id, row.policy, row.kind, row.about, row.counts or {})
        for row in sorted(
            _ASKED.rows(conn), key=lambda row: row.id
        )  # sorted by SQLite, it would read all cycles
        if mailbox_ids is None or row.mailbox_id in mailbox_ids
    ]


def ask(
    conn: sa.Connection,
    mailbox_id: int,
    policy: str,
    kind: str,
    now: int,
    *,
    about: int | None = None,
    options: Mapping[str, Any] | None = None,
) -> int:
    """Store an order; one that asks for the same and stands already is left as it is. Returns its record's id."""
    for one in asked(conn, [mailbox_id]):
        if (one.kind, one.about) == (kind, about):
            return one.cycle_id
    result = conn.execute(
        sa.insert(cycle).values(
            mailbox_id=mailbox_id,
            policy=policy,
            kind=kind,
            started_at=now,
            state="asked",
            about=about,
            counts=dict(options or {}),
        )
    )
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def drop(conn: sa.Connection, cycle_id: int, why: str, now: int) -> None:
    """Give up an order that is not carried out yet; what was done of it stays done, and stays in the journal."""
    conn.execute(
        sa.update(cycle)
        .where(cycle.c.id == cycle_id, cycle.c.state == "asked")
        .values(state="stopped", error=why, ended_at=now)
    )


@dataclass(frozen=True, slots=True)
class Left:
    """An item that an order has not touched, and why."""

    link_id: int
    module: str
    side: str
    before: Mapping[str, Any]
    why: str


def record_left(conn: sa.Connection, fence: Fence, cycle_id: int, left: Sequence[Left], now: int) -> None:
    """Journal what an order leaves alone; a repeat after a kill replaces what it told before.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    for piece in chunks({one.link_id for one in left}):
        conn.execute(
            sa.delete(journal).where(
                journal.c.cycle_id == cycle_id, journal.c.kind == "left", journal.c.link_id.in_(piece)
            )
        )
    if left:
        conn.execute(
            sa.insert(journal),
            [
                {
                    "mailbox_id": fence.mailbox_id,
                    "cycle_id": cycle_id,
                    "link_id": one.link_id,
                    "side": one.side,
                    "kind": "left",
                    "before": dict(one.before),
                    "after": {"module": one.module},
                    "why": one.why,
                    "at": now,
                }
                for one in left
            ],
        )


_UNFINISHED = Statement(
    sa.select(intent.c.id)
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state.in_(("planned", "in_flight", "unknown")),
        intent.c.cycle_id == sa.bindparam("cycle"),
        intent.c.mode != "",
    )
    .limit(1)
)
_DONE = Statement(
    sa.select(intent.c.module, intent.c.kind, sa.func.count().label("number"))
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "done",
        intent.c.cycle_id == sa.bindparam("cycle"),
    )
    .group_by(intent.c.module, intent.c.kind)
)
_LEFT = Statement(
    sa.select(sa.func.count(sa.distinct(journal.c.link_id)).label("number")).where(
        journal.c.cycle_id == sa.bindparam("cycle"), journal.c.kind == "left"
    )
)


def unfinished(conn: sa.Connection, order: Order) -> bool:
    """Whether writes of an order are still open: planned, in flight, or of unknown outcome."""
    return _UNFINISHED.first(conn, mailbox=order.mailbox_id, cycle=order.cycle_id) is not None


_OUTCOME = {"create": "created", "update": "updated", "delete": "deleted"}


def counts(conn: sa.Connection, order: Order) -> dict[str, int]:
    """What an order has done so far, from the ledger: ``module.outcome`` to number, and ``left``."""
    rows = _DONE.rows(conn, mailbox=order.mailbox_id, cycle=order.cycle_id)
    found = {f"{row.module}.{_OUTCOME[row.kind]}": row.number for row in rows}
    left = _LEFT.scalar(conn, cycle=order.cycle_id)
    return {**found, "left": left} if left else found


def finish(conn: sa.Connection, fence: Fence, order: Order, now: int) -> dict[str, int]:
    """An order is carried out: close its record, and mark the cycle that it undid. Returns its counts.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    done = counts(conn, order)
    set_columns(conn, cycle, "id", order.cycle_id, state="ok", counts=done, ended_at=now)
    if order.kind == UNDO:
        set_columns(conn, cycle, "id", order.about, undone_by=order.cycle_id)
    return done
