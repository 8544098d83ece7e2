"""Units of work on the jobs that ship: switch, override and trace, access groups, the lease of a run, and what it did.

The lease is a row of its own beside the ledger's: exactly one node runs the job, renews the lease while it does, and every
commit of the run checks the lease's token (``under``), so that a node that was thought dead can finish nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import sqlalchemy as sa

from engine.ledger.schema import access_group, intent, job, lease, run, run_mailbox, trace
from engine.ledger.sql import insert, inserting
from engine.ledger.statement import Statement, at_once
from engine.ledger.store import StaleLease

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class JobRecord:
    """A job as stored. ``override`` is the document of ``engine.model.config_jobs``; None: as shipped."""

    name: str
    enabled: bool
    override: dict[str, Any] | None
    trace: bool


def stored(conn: sa.Connection, name: str) -> JobRecord:
    """A job; one that nobody ever touched is off and as shipped."""
    row = conn.execute(sa.select(job).where(job.c.name == name)).first()
    if row is None:
        return JobRecord(name, False, None, False)
    return JobRecord(name, bool(row.enabled), row.override, bool(row.trace))


def change(conn: sa.Connection, /, name: str, **values: Any) -> None:
    """Change columns of a job: enabled, override, trace."""
    row = insert(conn, job).values(name=name, **values)
    conn.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))


def groups(conn: sa.Connection) -> dict[str, dict[str, Any]]:
    """Access groups: document by name."""
    rows = conn.execute(sa.select(access_group).order_by(access_group.c.name))
    return {row.name: row.settings for row in rows}


def replace(
    conn: sa.Connection,
    groups_: Mapping[str, Mapping[str, Any]],
    jobs: Mapping[str, tuple[Mapping[str, Any] | None, bool | None]],
) -> None:
    """Store access groups and overrides as a whole.

    Args:
        conn: the write transaction.
        groups_: document by name; others are dropped.
        jobs: override (None: none) and switch (None: as it is) by name of every job that ships.
    """
    conn.execute(sa.delete(access_group))
    inserting(access_group, ("name", "settings")).many(
        conn, [{"name": name, "settings": dict(settings)} for name, settings in groups_.items()]
    )
    for name, (override, enabled) in jobs.items():
        values: dict[str, Any] = {"override": None if override is None else dict(override)}
        if enabled is not None:
            values["enabled"] = int(enabled)
        change(conn, name, **values)


# -- the lease -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Lease:
    """Who runs a job.

    Attributes:
        holder: for people: process and host.
        token: grows with every holder.
        until_ms: its end unless it is renewed, epoch milliseconds; the past: nobody runs it.
    """

    holder: str
    token: int
    until_ms: int


def _key(name: str) -> str:
    return f"job:{name}"


_LEASE = Statement(
    sa.select(lease.c.holder, lease.c.token, lease.c.expires_at).where(lease.c.name == sa.bindparam("which"))
)


@at_once
def lease_of(conn: sa.Connection, name: str) -> Lease | None:
    """The lease of a job, also one that is over; None when it never had one."""
    row = _LEASE.first(conn, which=_key(name))
    return None if row is None else Lease(row.holder, row.token, row.expires_at)


def take_lease(conn: sa.Connection, name: str, holder: str, now: int, length: int) -> tuple[bool, Lease]:
    """Become the one node that runs a job.

    Args:
        conn: the write transaction.
        name: the job.
        holder: for people.
        now: epoch milliseconds.
        length: of the lease, milliseconds.

    Returns:
        whether it was taken, and the lease as it is now: of another holder when it was not.
    """
    found = lease_of(conn, name)
    if found is not None and found.until_ms > now:
        return False, found
    token = 1 if found is None else found.token + 1
    values = {"holder": holder, "token": token, "expires_at": now + length}
    row = insert(conn, lease).values(name=_key(name), **values)
    conn.execute(row.on_conflict_do_update(index_elements=["name"], set_=values))
    return True, Lease(holder, token, now + length)


def check_lease(conn: sa.Connection, name: str, token: int) -> None:
    """Refuse to go on when another node has taken the job over.

    Raises:
        StaleLease: it has; the text names it.
    """
    found = lease_of(conn, name)
    if found is None or found.token != token:
        by = f" by {found.holder}" if found is not None and found.holder else ""
        raise StaleLease(f"the lease of {name} was taken over{by}; this run writes nothing more")


def renew_lease(conn: sa.Connection, name: str, token: int, until: int) -> None:
    """Hold a job's lease for longer.

    Raises:
        StaleLease: another node has taken it over.
    """
    check_lease(conn, name, token)
    conn.execute(sa.update(lease).where(lease.c.name == _key(name)).values(expires_at=until))


def release_lease(conn: sa.Connection, name: str, token: int, now: int) -> None:
    """Let go of a job's lease; nothing happens when another node has it."""
    conn.execute(
        sa.update(lease).where(lease.c.name == _key(name), lease.c.token == token).values(expires_at=now)
    )


def under(
    conn: sa.Connection,
    name: str,
    token: int,
    unit: Callable[..., T],
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> T:
    """Run a unit of work, if the lease is still this node's: in the same transaction.

    Raises:
        StaleLease: another node has taken the job over; nothing is written.
    """
    check_lease(conn, name, token)
    return unit(conn, *args, **kwargs)


# -- what a run did --------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RunMailbox:
    """What a run did for one mailbox. Times are epoch milliseconds.

    Attributes:
        cycle_id: the cycle that wrote; 0: there was nothing to write.
        result: ``ok``, ``failed``, ``cancelled``, ``stopped`` or ``skipped``.
        counts: items by ``module.outcome``.
        filtered: items outside the window by reason.
        note: what failed, or why it was skipped.
    """

    mailbox: str
    policy: str
    cycle_id: int
    result: str
    started_ms: int
    ended_ms: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    filtered: Mapping[str, int] = field(default_factory=dict)
    note: str = ""


def end_run(
    conn: sa.Connection,
    run_id: int,
    result: str,
    items: int,
    errors: int,
    note: str,
    now: int,
    boxes: Sequence[RunMailbox],
    lines: Sequence[tuple[int, str, str, str]],
) -> None:
    """Close a run's record, with what it did for each mailbox and, if it was traced, its lines (at, mailbox, sign, text)."""
    conn.execute(
        sa.update(run)
        .where(run.c.id == run_id)
        .values(result=result, items=items, errors=errors, note=note, ended_at=now)
    )
    if boxes:
        conn.execute(
            sa.insert(run_mailbox),
            [
                {
                    "run_id": run_id,
                    "mailbox": one.mailbox,
                    "policy": one.policy,
                    "cycle_id": one.cycle_id,
                    "result": one.result,
                    "started_at": one.started_ms,
                    "ended_at": one.ended_ms,
                    "counts": dict(one.counts),
                    "filtered": dict(one.filtered),
                    "note": one.note,
                }
                for one in boxes
            ],
        )
    if lines:
        conn.execute(
            sa.insert(trace),
            [
                {"run_id": run_id, "at": at, "mailbox": mailbox, "sign": sign, "text": text}
                for at, mailbox, sign, text in lines
            ],
        )


def run_mailboxes(conn: sa.Connection, run_id: int) -> list[RunMailbox]:
    """What a run did, by mailbox: failures first."""
    order = sa.case(
        {"failed": 0, "cancelled": 0, "stopped": 1, "skipped": 2}, value=run_mailbox.c.result, else_=1
    )
    rows = conn.execute(
        sa.select(run_mailbox).where(run_mailbox.c.run_id == run_id).order_by(order, run_mailbox.c.mailbox)
    )
    return [
        RunMailbox(
            row.mailbox,
            row.policy,
            row.cycle_id,
            row.result,
            row.started_at,
            row.ended_at,
            row.counts or {},
            row.filtered or {},
            row.note,
        )
        for row in rows
    ]


def trace_lines(conn: sa.Connection, run_id: int, limit: int = 5000) -> list[tuple[int, str, str, str]]:
    """The trace of a run, in order: (at, mailbox, sign, text); empty when it was not traced."""
    rows = conn.execute(sa.select(trace).where(trace.c.run_id == run_id).order_by(trace.c.id).limit(limit))
    return [(row.at, row.mailbox, row.sign, row.text) for row in rows]


def cycle_items(conn: sa.Connection, cycle_id: int, limit: int = 1000) -> list[Any]:
    """The writes of a cycle: module, side, kind, fields, before, patch, state, why, error."""
    query = sa.select(
        intent.c.module,
        intent.c.side,
        intent.c.kind,
        intent.c.fields,
        intent.c.before,
        intent.c.patch,
        intent.c.state,
        intent.c.why,
        intent.c.error,
    )
    return list(
        conn.execute(query.where(intent.c.cycle_id == cycle_id).order_by(intent.c.id).limit(limit)).all()
    )


def prune(conn: sa.Connection) -> int:
    """Forget details of runs whose record is gone. Returns rows removed."""
    known = sa.select(run.c.id)
    removed = conn.execute(sa.delete(run_mailbox).where(run_mailbox.c.run_id.not_in(known))).rowcount
    return removed + conn.execute(sa.delete(trace).where(trace.c.run_id.not_in(known))).rowcount
