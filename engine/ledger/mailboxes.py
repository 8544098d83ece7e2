"""Units of work on configuration and state: connections, policies, mailboxes, jobs, waiting work."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import connection as connection_table
from engine.ledger.schema import (
    dirty,
    intent,
    item,
    job,
    link,
    mailbox,
    match_key,
    policy,
    scope,
    section,
    work,
)
from engine.ledger.sql import inserting, set_columns, setting
from engine.ledger.statement import Statement, at_once
from engine.model.policy import TargetUser


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """A stored policy. ``settings`` is the document that ``engine.model.config`` reads."""

    name: str
    settings: dict[str, Any]
    state: str
    initialised: bool
    fault: str
    last_full_at: int | None
    fault_class: str = ""
    rollout: dict[str, Any] | None = None


@dataclass(slots=True)
class MailboxRecord:
    """A target user with the state of its synchronisation. Times are epoch milliseconds."""

    id: int
    email: str
    policy: str
    crm_user: str
    zone: str
    phase: str
    paused: bool
    paused_by: str
    containers: dict[str, str]
    scopes: list[list[Any]]
    structure: str
    next_full_at: int | None
    last_success_at: int | None
    failures: int
    backoff_until: int | None
    fault: str
    fault_kind: str
    fault_class: str = ""
    reinit: dict[str, str] = field(default_factory=dict)
    wave: int | None = None
    calendar_sync: bool = True
    exchange_email: str = ""
    calendar_first_at: int | None = None
    team: dict[str, Any] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The address of the mailbox at its server: ``exchange_email`` where it is given."""
        return self.exchange_email or self.email

    @property
    def target(self) -> TargetUser:
        """The user as the configuration declares it."""
        return TargetUser(
            self.email, self.policy, self.crm_user, self.zone, self.calendar_sync, self.exchange_email
        )


def _mailbox(row: Any) -> MailboxRecord:
    return MailboxRecord(
        row.id,
        row.email,
        row.policy,
        row.crm_user,
        row.zone,
        row.phase,
        bool(row.paused),
        row.paused_by,
        row.containers or {},
        row.scopes or [],
        row.structure,
        row.next_full_at,
        row.last_success_at,
        row.failures,
        row.backoff_until,
        row.fault,
        row.fault_kind,
        row.fault_class,
        row.reinit or {},
        row.wave,
        bool(row.calendar_sync),
        row.exchange_email,
        row.calendar_first_at,
        row.team or {},
    )


def connections(conn: sa.Connection) -> list[tuple[str, str, dict[str, Any]]]:
    """All connections: (name, kind, settings)."""
    rows = conn.execute(sa.select(connection_table).order_by(connection_table.c.name))
    return [(row.name, row.kind, row.settings) for row in rows]


def sections(conn: sa.Connection) -> dict[str, dict[str, Any]]:
    """Settings of the engine as a whole, by section."""
    return {row.name: row.settings for row in conn.execute(sa.select(section))}


def policies(conn: sa.Connection) -> list[PolicyRecord]:
    """All policies by name."""
    return [
        PolicyRecord(
            row.name,
            row.settings,
            row.state,
            bool(row.initialised),
            row.fault,
            row.last_full_at,
            row.fault_class,
            row.rollout,
        )
        for row in conn.execute(sa.select(policy).order_by(policy.c.name))
    ]


_ALL = sa.select(mailbox).where(mailbox.c.removed == 0).order_by(mailbox.c.policy, mailbox.c.email)
_EVERYBODY = Statement(_ALL)
_OF_POLICY = Statement(_ALL.where(mailbox.c.policy == sa.bindparam("of_policy")))
_MAILBOX = Statement(sa.select(mailbox).where(mailbox.c.id == sa.bindparam("which")))


def mailboxes(conn: sa.Connection, policy_name: str | None = None) -> list[MailboxRecord]:
    """Target users, by policy and address; removed ones are left out."""
    if policy_name is None:
        return [_mailbox(row) for row in _EVERYBODY.rows(conn)]
    return [_mailbox(row) for row in _OF_POLICY.rows(conn, of_policy=policy_name)]


@at_once
def mailbox_by_id(conn: sa.Connection, mailbox_id: int) -> MailboxRecord:
    """One target user."""
    return _mailbox(_MAILBOX.one(conn, which=mailbox_id))


@cache
def _upserting(table: sa.Table, key: str, columns: tuple[str, ...]) -> Statement:
    """Insert a row, or change these columns of the row with the same key."""

    def build(insert: Any) -> Any:
        made = insert(table)
        return made.on_conflict_do_update(
            index_elements=[key], set_={name: made.excluded[name] for name in columns}
        )

    return Statement(build, (key, *columns))


def _address(of: Any) -> sa.ColumnElement[str]:
    """The address of a mailbox at its server."""
    return sa.case((of.exchange_email != "", of.exchange_email), else_=of.email)


def _upsert_mailbox(insert: Any) -> Any:
    upsert = insert(mailbox)
    new = upsert.excluded
    elsewhere = sa.or_(mailbox.c.policy != new.policy, _address(mailbox.c) != _address(new))
    return upsert.on_conflict_do_update(
        index_elements=["email"],
        set_={
            "policy": new.policy,
            "crm_user": sa.case((new.crm_user != "", new.crm_user), else_=mailbox.c.crm_user),
            "zone": sa.case((new.zone != "", new.zone), else_=mailbox.c.zone),
            "calendar_sync": new.calendar_sync,
            "exchange_email": new.exchange_email,
            "removed": 0,
            "structure": sa.case((elsewhere, ""), else_=mailbox.c.structure),
            # Who comes back, or moves to another policy or mailbox, is read completely again.
            "phase": sa.case((sa.or_(elsewhere, mailbox.c.removed == 1), "new"), else_=mailbox.c.phase),
        },
    )


#: Columns of a user, in the order in which ``replace_configuration`` takes them; the last two may be left out.
_USER = ("email", "policy", "crm_user", "zone", "calendar_sync", "exchange_email")
_USUAL = (1, "")

_UPSERT_MAILBOX = Statement(_upsert_mailbox, _USER)
_DROP_CONNECTIONS = Statement(sa.delete(connection_table))
_DROP_POLICIES = Statement(sa.delete(policy).where(policy.c.name.not_in(sa.bindparam("named", expanding=True))))
_TURN = Statement(
    sa.update(mailbox).where(mailbox.c.removed == sa.bindparam("was")).values(removed=sa.bindparam("becomes"))
)
_PLACES = Statement(
    sa.select(mailbox.c.id, mailbox.c.email, mailbox.c.policy, _address(mailbox.c).label("address"))
)


def replace_configuration(
    conn: sa.Connection,
    connections_: Iterable[tuple[str, str, Mapping[str, Any]]],
    policies_: Iterable[tuple[str, Mapping[str, Any], bool | None]],
    users: Iterable[Sequence[Any]],
    sections: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Store a whole, already validated configuration.

    What it does not name is switched off or removed: connections are dropped, policies deleted when they have no
    users left, users marked as removed (their links stay, so that nothing is created twice when they come back).

    Args:
        conn: the write transaction.
        connections_: (name, kind, settings).
        policies_: (name, settings, enabled or None to leave the switch as it is).
        users: (email, policy, crm_user, zone, calendar_sync, exchange_email); the last two may be left out.
        sections: settings of the engine as a whole by section: ``smtp``, ``push``; None leaves them as they are.
    """
    if sections is not None:
        conn.execute(sa.delete(section))
        inserting(section, ("name", "settings")).many(
            conn, [{"name": name, "settings": dict(settings)} for name, settings in sections.items()]
        )
    _DROP_CONNECTIONS.run(conn)
    inserting(connection_table, ("name", "kind", "settings")).many(
        conn,
        [{"name": name, "kind": kind, "settings": dict(settings)} for name, kind, settings in connections_],
    )
    named = []
    for name, settings, enabled in policies_:
        named.append(name)
        values: dict[str, Any] = {"settings": dict(settings)}
        if enabled is not None:
            values["state"] = "enabled" if enabled else "disabled"
        _upserting(policy, "name", tuple(values)).run(conn, name=name, **values)
    _DROP_POLICIES.run(conn, named=named or [""])
    leaving = 2
    _TURN.run(conn, was=0, becomes=leaving)
    put_users(conn, users)
    _TURN.run(conn, was=leaving, becomes=1)


def put_users(conn: sa.Connection, users: Iterable[Sequence[Any]]) -> None:
    """Add users, or change those of the same address; see ``replace_configuration``."""
    rows = [dict(zip(_USER, (*user, *_USUAL[len(user) - 4 :]), strict=True)) for user in users]
    _forget_moved(conn, {row["email"]: (row["policy"], row["exchange_email"] or row["email"]) for row in rows})
    _UPSERT_MAILBOX.many(conn, rows)


def _forget_moved(conn: sa.Connection, place_of: Mapping[str, tuple[str, str]]) -> None:
    """Who moves to another policy or another mailbox begins anew there.

    What both sides agreed on under other rules says nothing, and what stood in the old mailbox and is not in the new one
    was deleted by nobody. Nothing is created twice by it: our marks on the items find their twins again. The journal stays.
    """
    for row in _PLACES.rows(conn):
        policy_name, address = place_of.get(row.email, (row.policy, row.address))
        if address != row.address:
            set_mailbox(conn, row.id, containers={})
        elif policy_name == row.policy:
            continue
        forget_items(conn, row.id)


def forget_items(conn: sa.Connection, mailbox_id: int) -> None:
    """Forget feeds, items, links and writes of a mailbox; its journal and its cycles stay."""
    conn.execute(sa.delete(dirty).where(dirty.c.mailbox_id == mailbox_id))
    for table in (match_key, intent, item, link, scope):
        conn.execute(sa.delete(table).where(table.c.mailbox_id == mailbox_id))
    set_mailbox(conn, mailbox_id, calendar_first_at=None)


def set_policy(conn: sa.Connection, /, name: str, **values: Any) -> None:
    """Change columns of a policy: state, initialised, fault, last_full_at."""
    set_columns(conn, policy, "name", name, **values)


def set_mailbox(conn: sa.Connection, /, mailbox_id: int, **values: Any) -> None:
    """Change columns of a mailbox that no cycle owns: paused, next_full_at, crm_user, zone, fault ..."""
    set_columns(conn, mailbox, "id", mailbox_id, **values)


def set_mailbox_fenced(conn: sa.Connection, /, fence: Fence, **values: Any) -> None:
    """Change columns of a mailbox from within its cycle.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(conn, fence)
    set_mailbox(conn, fence.mailbox_id, **values)


def set_phase(conn: sa.Connection, fence: Fence, mailbox_ids: Sequence[int], phase: str) -> None:
    """Mark mailboxes of a policy as having passed a phase of the first sync; the fence is the policy's."""
    check(conn, fence)
    setting(mailbox, "id", ("phase",)).many(conn, [{"which": one, "new_phase": phase} for one in mailbox_ids])


# -- waiting work (level-triggered: a row here is what must be done; the queue in memory is a hint) -----


def want(conn: sa.Connection, rows: Sequence[tuple[int, Sequence[str], int]], now: int) -> None:
    """Remember that mailboxes want cycles: (mailbox id, kinds, priority). Reasons merge, priority only rises."""
    for mailbox_id, kinds, priority in rows:
        current = conn.execute(sa.select(work).where(work.c.mailbox_id == mailbox_id)).first()
        if current is None:
            conn.execute(
                sa.insert(work).values(mailbox_id=mailbox_id, want=sorted(kinds), priority=priority, since=now)
            )
        else:
            conn.execute(
                sa.update(work)
                .where(work.c.mailbox_id == mailbox_id)
                .values(
                    want=sorted({*current.want, *kinds}),
                    priority=max(priority, current.priority),
                )
            )


def served(conn: sa.Connection, mailbox_ids: Sequence[int]) -> None:
    """The work of these mailboxes is done or given up."""
    conn.execute(sa.delete(work).where(work.c.mailbox_id.in_(mailbox_ids)))


def waiting(conn: sa.Connection) -> list[tuple[int, list[str], int, int]]:
    """All waiting work: (mailbox id, kinds, priority, since)."""
    return [
        (row.mailbox_id, row.want, row.priority, row.since)
        for row in conn.execute(sa.select(work).order_by(work.c.priority.desc(), work.c.since))
    ]


# -- jobs ----------------------------------------------------------------------------------------------


def jobs(conn: sa.Connection) -> dict[str, tuple[bool, int | None]]:
    """Stored switches: job name to (enabled, next run)."""
    return {row.name: (bool(row.enabled), row.next_run_at) for row in conn.execute(sa.select(job))}


def set_job(conn: sa.Connection, name: str, *, enabled: bool, next_run_at: int | None) -> None:
    """Store a job's switch and its next run."""
    values = {"enabled": int(enabled), "next_run_at": next_run_at}
    _upserting(job, "name", tuple(values)).run(conn, name=name, **values)
