"""Units of work for undo: what a cycle wrote, as the journal tells it, and which cycles there are to be undone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.orders import Left
from engine.ledger.schema import cycle, intent, journal, link, run
from engine.ledger.sql import select_in
from engine.ledger.statement import Statement

#: Kinds of journal rows that stand for a write to a provider.
WRITES = ("create", "update", "delete")


@dataclass(frozen=True, slots=True)
class Wrote:
    """One write of a cycle: the fields before and after it (a create has no before, a delete no after)."""

    link_id: int
    side: str
    kind: str
    before: dict[str, Any]
    after: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Tried:
    """How an earlier attempt of an undo ended for one side of a link.

    Attributes:
        state: ``done``, ``failed``, ``open``, or ``void`` (planned again).
        sent: whether it ever went out; its answer may have been lost.
    """

    state: str
    sent: bool
    error: str = ""


_WRITTEN = (
    sa.select(journal.c.link_id)
    .distinct()
    .where(
        journal.c.cycle_id == sa.bindparam("cycle"),
        journal.c.kind.in_(WRITES),
        journal.c.link_id > sa.bindparam("after"),
    )
    .order_by(journal.c.link_id)
    .limit(sa.bindparam("most"))
)
_WRITTEN_LINKS = Statement(_WRITTEN)
_WRITTEN_OF = Statement(
    _WRITTEN.join(link, link.c.id == journal.c.link_id).where(
        link.c.module.in_(sa.bindparam("modules", expanding=True))
    )
)
_WRITES_OF = Statement(
    sa.select(journal).where(
        journal.c.cycle_id == sa.bindparam("cycle"),
        journal.c.kind.in_(WRITES),
        journal.c.link_id.in_(sa.bindparam("ids", expanding=True)),
    )
)
_TRIED = Statement(
    sa.select(intent).where(
        intent.c.cycle_id == sa.bindparam("cycle"),
        intent.c.mode == "undo",
        intent.c.link_id.in_(sa.bindparam("ids", expanding=True)),
    )
)
_BUSY = Statement(
    sa.select(intent.c.link_id, intent.c.side).where(
        intent.c.state.in_(("planned", "in_flight", "unknown", "held")),
        intent.c.link_id.in_(sa.bindparam("ids", expanding=True)),
    )
)
_OCCURRENCES = Statement(
    sa.select(link.c.id, link.c.parent_link).where(link.c.parent_link.in_(sa.bindparam("ids", expanding=True)))
)


def written_links(
    conn: sa.Connection, cycle_id: int, modules: Sequence[str] | None, after: int, limit: int
) -> list[int]:
    """Ids of links that a cycle wrote to, in order, from ``after`` on. ``modules`` None: all, also links that are gone."""
    if modules is None:
        return _WRITTEN_LINKS.scalars(conn, cycle=cycle_id, after=after, most=limit)
    return (
        _WRITTEN_OF.scalars(conn, cycle=cycle_id, after=after, most=limit, modules=modules) if modules else []
    )


def writes_of(conn: sa.Connection, cycle_id: int, link_ids: Sequence[int]) -> dict[int, list[Wrote]]:
    """The writes of a cycle by link, in the order in which they were made."""
    found: dict[int, list[Wrote]] = {}
    for row in sorted(_WRITES_OF.among(conn, link_ids, cycle=cycle_id), key=lambda row: row.id):
        one = Wrote(row.link_id, row.side, row.kind, row.before or {}, row.after or {})
        found.setdefault(row.link_id, []).append(one)
    return found


def tried(conn: sa.Connection, cycle_id: int, link_ids: Sequence[int]) -> dict[tuple[int, str], Tried]:
    """What became of the writes that an undo (its own cycle) has planned before, by link and side."""
    found: dict[tuple[int, str], Tried] = {}
    for row in sorted(_TRIED.among(conn, link_ids, cycle=cycle_id), key=lambda row: row.id):
        earlier = found.get((row.link_id, row.side))
        state = row.state if row.state in {"done", "failed", "void"} else "open"
        if earlier is not None and earlier.state == "done":
            continue
        sent = row.sent_at is not None or (earlier is not None and earlier.sent)
        found[row.link_id, row.side] = Tried(state, sent, row.error)
    return found


def busy(conn: sa.Connection, link_ids: Sequence[int]) -> set[tuple[int, str]]:
    """Sides of links of which a write is open or held: nothing else may be planned for them."""
    return {(row.link_id, row.side) for row in _BUSY.among(conn, link_ids)}


def occurrences_of(conn: sa.Connection, link_ids: Sequence[int]) -> dict[int, list[int]]:
    """Links of the changed occurrences of series, by the link of the series."""
    found: dict[int, list[int]] = {}
    for row in _OCCURRENCES.among(conn, link_ids):
        found.setdefault(row.parent_link, []).append(row.id)
    return found


@dataclass(frozen=True, slots=True)
class CycleRecord:
    """A cycle that did something, as a history shows it. Times are epoch milliseconds.

    Attributes:
        about: the cycle that this one undid.
        undone_by: the undo that took this one back.
        counts: ``module.outcome`` to number.
        wrote: writes in its journal; 0 means that there is nothing to undo.
        left: items that an undo or a leave did not touch.
    """

    id: int
    mailbox_id: int
    policy: str
    kind: str
    state: str
    started_at: int
    ended_at: int | None
    about: int | None
    undone_by: int | None
    error: str
    counts: dict[str, Any]
    wrote: int = 0
    left: int = 0


def cycles(
    conn: sa.Connection,
    mailbox_ids: Sequence[int] | None = None,
    *,
    ids: Sequence[int] | None = None,
    limit: int = 200,
) -> list[CycleRecord]:
    """Cycles, youngest first: of some mailboxes or all, or those of some ids."""
    query = sa.select(cycle).where(cycle.c.kind != "preview").order_by(cycle.c.id.desc()).limit(limit)
    if mailbox_ids is not None:
        query = query.where(cycle.c.mailbox_id.in_(mailbox_ids))
    if ids is not None:
        query = query.where(cycle.c.id.in_(ids))
    rows = conn.execute(query).all()
    numbers: dict[tuple[int, bool], int] = {}
    grouped = sa.select(journal.c.cycle_id, journal.c.kind, sa.func.count().label("number")).where(
        journal.c.kind.in_((*WRITES, "left"))
    )
    for one in select_in(
        conn,
        grouped.group_by(journal.c.cycle_id, journal.c.kind),
        journal.c.cycle_id,
        [row.id for row in rows],
    ):
        key = (one.cycle_id, one.kind == "left")
        numbers[key] = numbers.get(key, 0) + one.number
    return [
        CycleRecord(
            row.id,
            row.mailbox_id,
            row.policy,
            row.kind,
            row.state,
            row.started_at,
            row.ended_at,
            row.about,
            row.undone_by,
            row.error,
            row.counts or {},
            numbers.get((row.id, False), 0),
            numbers.get((row.id, True), 0),
        )
        for row in rows
    ]


def cycles_of_run(conn: sa.Connection, cycle_id: int) -> list[int]:
    """The cycles of all mailboxes that ran with this one in the same run of its policy, itself among them."""
    own = conn.execute(sa.select(cycle).where(cycle.c.id == cycle_id)).first()
    if own is None:
        return []
    began = conn.execute(
        sa.select(run.c.started_at, run.c.ended_at)
        .where(
            run.c.job == f"full:{own.policy}",
            run.c.started_at <= own.started_at,
            sa.or_(run.c.ended_at.is_(None), run.c.ended_at >= own.started_at),
        )
        .order_by(run.c.id.desc())
        .limit(1)
    ).first()
    if began is None:
        return [cycle_id]
    query = sa.select(cycle.c.id).where(
        cycle.c.policy == own.policy, cycle.c.kind == own.kind, cycle.c.started_at >= began.started_at
    )
    if began.ended_at is not None:
        query = query.where(cycle.c.started_at <= began.ended_at)
    return list(conn.execute(query.order_by(cycle.c.id)).scalars())


def left_alone(conn: sa.Connection, cycle_id: int) -> list[Left]:
    """What an undo or a leave did not touch, in the order in which it was told."""
    query = sa.select(journal).where(journal.c.cycle_id == cycle_id, journal.c.kind == "left")
    return [
        Left(row.link_id, (row.after or {}).get("module", ""), row.side, row.before or {}, row.why)
        for row in conn.execute(query.order_by(journal.c.id))
    ]
