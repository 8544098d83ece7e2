"""Units of work on incidents: what is wrong, from its first to its last time, and what becomes of it.

One record per incident, however often the same thing fails. What an incident is about is its ``key``, and at most one
record of a key is *live* (``open`` or ``cancelled``); the next fault after its end begins a new one.

``open``: it fails, and the engine tries again by itself or waits for a person (``advice`` says which).
``cancelled``: retrying was given up (the notification frequency of the connection was reached, domain.md 5.5); it is still
not well, so later faults count on the same record and nobody is mailed a second time.
``healed``: it went well again. ``dismissed``: its subject is gone, or was switched off.

Where they come from: ``engine.monitor.faults`` folds the activities of cycles into strikes and heals, and the office stores
these with its next flush (once a second), so that a cycle does nothing for it. Whoever has a fault that no activity tells,
or must know that it is stored, uses ``Office.incidents`` (``engine.runtime.incidents``), which shows it at once, too::

    live = office.incidents.live(mailbox)           # IncidentRow or None: first_ms, last_ms, count, state
    await office.incidents.strike(Strike(IncidentKind.CYCLE, policy, mailbox, FaultClass.CYCLE, text, advice, ...))
    await office.incidents.cancel(mailbox, text, advice)   # True when it became cancelled now; the mail is due at once
    await office.incidents.heal(IncidentKind.CYCLE, mailbox)

One failure mail goes out per incident, when ``due_at`` has come, to each address (``engine.notify``), and a recovery mail when
an incident heals whose failure was mailed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import incident, mailbox
from engine.ledger.sql import insert_ids, set_columns
from engine.ledger.statement import Statement, chunks
from engine.model.incident import LIVE, Heal, IncidentState, Strike, key_of, legs, with_leg, without_leg

#: What waits for a person is mailed so soon after it began, milliseconds: what fails together is told together.
GRACE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Incident:
    """One record. Times are epoch milliseconds; ``told`` is the id of the incident in whose mail it was told, or 0."""

    id: int
    key: str
    kind: str
    policy: str
    mailbox_id: int
    subject: str
    fault_class: str
    phase: str
    text: str
    advice: str
    state: str
    first_at: int
    last_at: int
    count: int
    closed_at: int | None
    due_at: int | None
    told: int
    seen_by: str
    seen_at: int | None


_COLUMNS = [column.label("fault_class") if column.name == "class" else column for column in incident.c]
_ALL = sa.select(*_COLUMNS)
_LIVE_OF = Statement(
    _ALL.where(
        incident.c.state.in_([state.value for state in LIVE]),
        incident.c.key.in_(sa.bindparam("keys", expanding=True)),
    )
)
_MAILBOX_ID = Statement(sa.select(mailbox.c.id).where(mailbox.c.email == sa.bindparam("address")))


def _incident(row: Any) -> Incident:
    return Incident(*row)


def record(conn: sa.Connection, strikes: Iterable[Strike], heals: Iterable[Heal]) -> list[Incident]:
    """Store faults and ends, in the order of their times. Returns the records that changed, as they are now."""
    events: list[Strike | Heal] = sorted([*strikes, *heals], key=lambda event: event.at_ms)
    live: dict[str, Incident] = {}
    for piece in chunks(dict.fromkeys(event.key for event in events)):
        live |= {row.key: _incident(row) for row in _LIVE_OF.rows(conn, keys=piece)}
    changed: dict[int, None] = {}
    for event in events:
        before = live.get(event.key)
        if isinstance(event, Heal):
            if before is not None and event.kind in legs(before.kind):
                left = without_leg(before.kind, event.kind)
                if left:  # something else about it fails still
                    set_columns(conn, incident, "id", before.id, kind=left)
                    live[event.key] = replace(before, kind=left)
                else:
                    set_columns(conn, incident, "id", before.id, state=event.state.value, closed_at=event.at_ms)
                    del live[event.key]
                changed[before.id] = None
            continue
        after = _open(conn, event) if before is None else _repeat(conn, before, event)
        live[event.key] = after
        changed[after.id] = None
    return with_ids(conn, list(changed))


def _due(strike: Strike) -> int | None:
    if strike.wait_ms is None:
        return None
    return strike.at_ms + (min(strike.wait_ms, GRACE_MS) if strike.person else strike.wait_ms)


def _open(conn: sa.Connection, strike: Strike) -> Incident:
    values = {
        "key": strike.key,
        "kind": strike.kind.value,
        "policy": strike.policy,
        "mailbox_id": _MAILBOX_ID.scalar(conn, address=strike.subject) or 0,
        "subject": strike.subject,
        "class": strike.fault_class or "",
        "phase": strike.phase,
        "text": strike.text,
        "advice": strike.advice,
        "state": IncidentState.OPEN.value,
        "first_at": strike.at_ms,
        "last_at": strike.at_ms,
        "count": strike.attempts,
        "due_at": _due(strike),
    }
    return with_ids(conn, insert_ids(conn, incident, [values]))[0]


def _repeat(conn: sa.Connection, before: Incident, strike: Strike) -> Incident:
    due = before.due_at
    if before.told == 0 and (again := _due(strike)) is not None:
        due = again if due is None else min(due, again)
    set_columns(
        conn,
        incident,
        "id",
        before.id,
        **{"class": strike.fault_class or before.fault_class},
        kind=with_leg(before.kind, strike.kind),
        policy=strike.policy or before.policy,
        phase=strike.phase or before.phase,
        text=strike.text,
        # What was given up is told so until it is well, whatever fails meanwhile.
        advice=before.advice
        if before.state == IncidentState.CANCELLED and not strike.person
        else strike.advice,
        last_at=max(before.last_at, strike.at_ms),
        count=before.count + strike.attempts,
        due_at=due,
    )
    return with_ids(conn, [before.id])[0]


def cancel(conn: sa.Connection, key: str, text: str, advice: str, now: int) -> Incident | None:
    """Give up what an open incident of this key retried; its mail is due at once.

    Returns:
        the record, or None when none is open: nothing fails, or it was cancelled already.
    """
    found = _LIVE_OF.first(conn, keys=[key])
    if found is None or found.state != IncidentState.OPEN:
        return None
    due = found.due_at if found.told else now
    set_columns(
        conn,
        incident,
        "id",
        found.id,
        state=IncidentState.CANCELLED.value,
        text=text,
        advice=advice,
        last_at=max(found.last_at, now),
        due_at=due,
    )
    return with_ids(conn, [found.id])[0]


def acknowledge(conn: sa.Connection, ids: Collection[int], by: str, now: int) -> list[Incident]:
    """Note that a person has seen live incidents; the first who did stays on record. Returns those that changed."""
    rows = [one for one in with_ids(conn, list(ids)) if one.state in LIVE and not one.seen_by]
    for one in rows:
        set_columns(conn, incident, "id", one.id, seen_by=by, seen_at=now)
    return with_ids(conn, [one.id for one in rows])


def with_ids(conn: sa.Connection, ids: Sequence[int]) -> list[Incident]:
    """Records by id, in the order of their ids."""
    found: list[Incident] = []
    for piece in chunks(sorted(ids)):
        found += map(_incident, conn.execute(_ALL.where(incident.c.id.in_(piece)).order_by(incident.c.id)))
    return found


def shown(conn: sa.Connection, closed: int = 500) -> list[Incident]:
    """All live incidents and the last ``closed`` of the others, oldest first."""
    states = [state.value for state in LIVE]
    live = conn.execute(_ALL.where(incident.c.state.in_(states))).all()
    over = conn.execute(
        _ALL.where(incident.c.state.not_in(states)).order_by(incident.c.id.desc()).limit(closed)
    ).all()
    return [_incident(row) for row in sorted([*live, *over], key=lambda row: row.id)]


def adopt(conn: sa.Connection, records: Iterable[Incident], now: int) -> None:
    """Give live records of an earlier version the key that they have today; what is told under it already is over."""
    for one in records:
        key = key_of(legs(one.kind)[0], one.subject)
        if _LIVE_OF.first(conn, keys=[key]) is None:
            set_columns(conn, incident, "id", one.id, key=key)
        else:
            set_columns(conn, incident, "id", one.id, state=IncidentState.DISMISSED.value, closed_at=now)


def prune(conn: sa.Connection, before: int) -> int:
    """Forget incidents that were over before a time. Returns how many."""
    states = [state.value for state in LIVE]
    return conn.execute(
        sa.delete(incident).where(incident.c.closed_at < before, incident.c.state.not_in(states))
    ).rowcount
