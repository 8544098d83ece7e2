"""Units of work on what happened: cycles, monitor lines, job runs, verifications, pruning."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from engine.ledger import incidents, jobs, mails, schema
from engine.ledger.schema import cycle, line, run, verify
from engine.ledger.sql import insert, insert_ids, set_columns


def start_cycle(conn: sa.Connection, mailbox_id: int, policy: str, kind: str, now: int) -> int:
    """Open a cycle's record; returns its id."""
    row = {"mailbox_id": mailbox_id, "policy": policy, "kind": kind, "started_at": now}
    return insert_ids(conn, cycle, [row])[0]


def end_cycle(
    conn: sa.Connection, cycle_id: int, state: str, counts: Mapping[str, Any], calls: int, error: str, now: int
) -> None:
    """Close a cycle's record: state ``ok``, ``failed`` or ``stopped``."""
    set_columns(
        conn, cycle, "id", cycle_id, state=state, counts=dict(counts), calls=calls, error=error, ended_at=now
    )


def last_cycles(conn: sa.Connection) -> dict[int, sa.Row[Any]]:
    """The youngest cycle record that changed or failed something, by mailbox."""
    newest = (
        sa.select(sa.func.max(cycle.c.id))
        .where(cycle.c.kind != "preview")
        .group_by(cycle.c.mailbox_id)
        .scalar_subquery()
    )
    rows = conn.execute(sa.select(cycle).where(cycle.c.id.in_(newest)))
    return {row.mailbox_id: row for row in rows}


def cycles_since(conn: sa.Connection, mailbox_id: int, since: int) -> list[tuple[int, str, dict[str, Any]]]:
    """Start, state and counts of the cycles of a mailbox that began since then and changed or failed something."""
    query = sa.select(cycle.c.started_at, cycle.c.state, cycle.c.counts).where(
        cycle.c.mailbox_id == mailbox_id, cycle.c.started_at >= since, cycle.c.kind != "preview"
    )
    return [(row.started_at, row.state, row.counts or {}) for row in conn.execute(query)]


def first_counts(conn: sa.Connection, mailbox_id: int) -> list[dict[str, Any]]:
    """The counts of all cycles of a mailbox, oldest first."""
    rows = conn.execute(
        sa.select(cycle.c.counts)
        .where(cycle.c.mailbox_id == mailbox_id, cycle.c.kind != "preview")
        .order_by(cycle.c.id)
    )
    return [row.counts or {} for row in rows]


def add_lines(conn: sa.Connection, rows: Sequence[tuple[int, int, str, str, int]]) -> None:
    """Append monitor lines: (mailbox id, at, sign, text, level)."""
    conn.execute(
        sa.insert(line),
        [
            {"mailbox_id": mailbox_id, "at": at, "sign": sign, "text": text, "level": level}
            for mailbox_id, at, sign, text, level in rows
        ],
    )


def lines(conn: sa.Connection, mailbox_id: int, before: int | None, limit: int) -> list[sa.Row[Any]]:
    """Monitor lines of a mailbox, oldest first, ending before a line id (or at the end)."""
    query = sa.select(line).where(line.c.mailbox_id == mailbox_id)
    if before is not None:
        query = query.where(line.c.id < before)
    return list(reversed(conn.execute(query.order_by(line.c.id.desc()).limit(limit)).all()))


def newest_lines(conn: sa.Connection, limit: int, mailbox_id: int | None = None) -> list[sa.Row[Any]]:
    """The newest monitor lines with the address of their ``mailbox``, of one mailbox or of all, oldest first."""
    whose = schema.mailbox
    query = sa.select(
        line.c.id, line.c.at, line.c.sign, line.c.text, line.c.level, whose.c.email.label("mailbox")
    )
    query = query.join(whose, whose.c.id == line.c.mailbox_id)
    if mailbox_id is not None:
        query = query.where(line.c.mailbox_id == mailbox_id)
    return list(reversed(conn.execute(query.order_by(line.c.id.desc()).limit(limit)).all()))


def start_run(conn: sa.Connection, job: str, now: int) -> int:
    """Open a job run; returns its id."""
    result = conn.execute(sa.insert(run).values(job=job, started_at=now))
    assert result.inserted_primary_key is not None
    return int(result.inserted_primary_key[0])


def end_run(
    conn: sa.Connection, run_id: int, result: str, items: int, errors: int, note: str, now: int
) -> None:
    """Close a job run."""
    conn.execute(
        sa.update(run)
        .where(run.c.id == run_id)
        .values(result=result, items=items, errors=errors, note=note, ended_at=now)
    )


def abandon_runs(conn: sa.Connection, now: int) -> int:
    """Close runs and cycles that an earlier process left open. Returns how many runs."""
    conn.execute(
        sa.update(cycle)
        .where(cycle.c.ended_at.is_(None), cycle.c.state != "asked")
        .values(state="stopped", error="the engine ended", ended_at=now)
    )
    return conn.execute(
        sa.update(run)
        .where(run.c.ended_at.is_(None))
        .values(result="stopped", note="the engine ended", ended_at=now)
    ).rowcount


def runs(conn: sa.Connection, job: str, limit: int) -> list[sa.Row[Any]]:
    """The last runs of a job, youngest first."""
    return list(
        conn.execute(sa.select(run).where(run.c.job == job).order_by(run.c.id.desc()).limit(limit)).all()
    )


def last_runs(conn: sa.Connection) -> dict[str, sa.Row[Any]]:
    """The youngest run of each job."""
    newest = sa.select(sa.func.max(run.c.id)).group_by(run.c.job).scalar_subquery()
    return {row.job: row for row in conn.execute(sa.select(run).where(run.c.id.in_(newest)))}


def store_verification(
    conn: sa.Connection,
    policy: str,
    rows: Sequence[tuple[str, str, bool, int, int, str]],
    now: int,
    only: str | None = None,
) -> None:
    """Replace the verification of a policy, or of one of its mailboxes: (mailbox, check, ok, have, want, detail)."""
    old = sa.delete(verify).where(verify.c.policy == policy)
    conn.execute(old if only is None else old.where(verify.c.mailbox == only))
    for mailbox, check, ok, have, want, detail in rows:
        conn.execute(
            insert(conn, verify).values(
                policy=policy,
                mailbox=mailbox,
                check=check,
                ok=int(ok),
                have=have,
                want=want,
                detail=detail,
                at=now,
            )
        )


def verification(conn: sa.Connection, policy: str) -> list[sa.Row[Any]]:
    """The last verification of a policy."""
    return list(
        conn.execute(sa.select(verify).where(verify.c.policy == policy).order_by(verify.c.mailbox)).all()
    )


def prune(conn: sa.Connection, before: int) -> int:
    """Forget monitor lines, cycles and runs older than ``before``; the journal stays. Returns rows removed."""
    removed = conn.execute(sa.delete(line).where(line.c.at < before)).rowcount
    removed += conn.execute(sa.delete(cycle).where(cycle.c.ended_at < before)).rowcount
    removed += conn.execute(sa.delete(run).where(run.c.ended_at < before)).rowcount
    removed += incidents.prune(conn, before) + mails.prune(conn, before) + jobs.prune(conn)
    return removed
