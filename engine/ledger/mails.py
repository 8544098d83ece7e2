"""Units of work on the outbox of failure mails: written ahead, handed over, and what became of each.

A mail is a row before anything is sent, with the text and the Message-ID that go out, so that no restart loses or changes one.
At most one row exists for an incident, a kind (failure, recovery) and an address: nobody is told the same twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.incidents import Incident, with_ids
from engine.ledger.schema import incident, mail
from engine.ledger.sql import insert_ids, set_columns
from engine.ledger.statement import Statement

#: States of a mail that is not finished.
OPEN = ("waiting", "sending")


@dataclass(frozen=True, slots=True)
class MailRecord:
    """One mail. Times are epoch milliseconds; ``about``: the Message-ID of the failure mail that a recovery answers."""

    id: int
    incident_id: int
    kind: str
    address: str
    message_id: str
    subject: str
    body: str
    state: str
    attempts: int
    not_before: int
    written_at: int
    sent_at: int | None
    error: str
    about: str = ""


_failure = mail.alias("failure")

#: A recovery waits until its failure mail is out, so that nobody hears of an end before the beginning.
_EARLIER = sa.exists().where(
    _failure.c.incident_id == mail.c.incident_id,
    _failure.c.address == mail.c.address,
    _failure.c.kind == "failure",
    mail.c.kind == "recovery",
    _failure.c.state.in_(OPEN),
)
_ABOUT = (
    sa.select(_failure.c.message_id)
    .where(
        _failure.c.incident_id == mail.c.incident_id,
        _failure.c.address == mail.c.address,
        _failure.c.kind == "failure",
        mail.c.kind == "recovery",
    )
    .scalar_subquery()
    .label("about")
)
_DUE = Statement(
    sa.select(*mail.c, _ABOUT)
    .where(mail.c.state.in_(OPEN), mail.c.not_before <= sa.bindparam("now"), ~_EARLIER)
    .order_by(mail.c.id)
    .limit(100)
)
_OPEN = Statement(sa.select(*mail.c).where(mail.c.state.in_(OPEN)).order_by(mail.c.id))
_OF = Statement(sa.select(*mail.c).where(mail.c.incident_id == sa.bindparam("of")).order_by(mail.c.id))


def _record(row: Any) -> MailRecord:
    values = dict(row._asdict() if hasattr(row, "_asdict") else row._mapping)
    return MailRecord(**{**values, "about": values.get("about") or ""})


def write_failure(
    conn: sa.Connection, lead: int, ids: Sequence[int], letters: Iterable[dict[str, Any]], now: int
) -> list[Incident]:
    """Write the failure mails of live incidents that were not told yet; ``lead`` is the one that the mails name.

    Args:
        conn: the write transaction.
        lead: the first of ``ids``.
        ids: the incidents that the mails tell of.
        letters: address, message_id, subject, body.
        now: epoch milliseconds.

    Returns:
        the incidents as they are now; none when one of them was told meanwhile, and nothing was written then.
    """
    if any(one.told for one in with_ids(conn, ids)):
        return []
    rows = [{"incident_id": lead, "kind": "failure", "written_at": now, **letter} for letter in letters]
    insert_ids(conn, mail, rows)
    for one in ids:
        set_columns(conn, incident, "id", one, told=lead)
    return with_ids(conn, ids)


def write_recovery(conn: sa.Connection, lead: int, letters: Sequence[dict[str, Any]], now: int) -> None:
    """Write the recovery mails of the incidents that ``lead``'s failure mails told of, to those who were told."""
    rows = _OF.rows(conn, of=lead)
    told = {row.address for row in rows if row.kind == "failure" and row.state != "dropped"}
    told -= {row.address for row in rows if row.kind == "recovery"}
    fresh = [letter for letter in letters if letter["address"] in told]
    insert_ids(
        conn, mail, [{"incident_id": lead, "kind": "recovery", "written_at": now, **letter} for letter in fresh]
    )


def told_with(conn: sa.Connection, lead: int) -> list[Incident]:
    """The incidents that ``lead``'s failure mails told of."""
    return with_ids(conn, list(conn.execute(sa.select(incident.c.id).where(incident.c.told == lead)).scalars()))


def unanswered(conn: sa.Connection) -> set[int]:
    """Incidents whose failure mails were written and no recovery mail was: those whose end is still to be told."""
    answered = sa.select(mail.c.incident_id).where(mail.c.kind == "recovery")
    return set(
        conn.execute(
            sa.select(mail.c.incident_id).where(
                mail.c.kind == "failure", mail.c.state != "dropped", mail.c.incident_id.not_in(answered)
            )
        ).scalars()
    )


def due(conn: sa.Connection, now: int) -> list[MailRecord]:
    """Mails to be sent now, oldest first; also those of which the answer of the server was lost."""
    return [_record(row) for row in _DUE.rows(conn, now=now)]


def unsent(conn: sa.Connection) -> list[MailRecord]:
    """All mails that are not finished."""
    return [_record(row) for row in _OPEN.rows(conn)]


def of_incident(conn: sa.Connection, incident_id: int) -> list[MailRecord]:
    """The mails of an incident, or of that in whose mails it was told."""
    return [_record(row) for row in _OF.rows(conn, of=incident_id)]


def sending(conn: sa.Connection, mail_id: int, attempts: int) -> bool:
    """A mail is about to be handed over: written ahead. False when it was dropped meanwhile."""
    row = conn.execute(sa.select(mail.c.state).where(mail.c.id == mail_id)).first()
    if row is None or row.state not in OPEN:
        return False
    set_columns(conn, mail, "id", mail_id, state="sending", attempts=attempts)
    return True


def sent(conn: sa.Connection, mail_id: int, now: int) -> None:
    """The server has it."""
    set_columns(conn, mail, "id", mail_id, state="sent", sent_at=now, error="")


def failed(conn: sa.Connection, ids: Sequence[int], error: str, not_before: int) -> None:
    """Mails could not be handed over; they are tried again at ``not_before``."""
    for one in ids:
        set_columns(conn, mail, "id", one, state="waiting", error=error, not_before=not_before)


def drop(conn: sa.Connection, address: str) -> int:
    """Give up all mails to an address that are not finished; an empty one stands for all addresses. Returns how many."""
    query = sa.update(mail).where(mail.c.state.in_(OPEN)).values(state="dropped")
    return conn.execute(query if not address else query.where(mail.c.address == address)).rowcount


def retry(conn: sa.Connection) -> None:
    """An admin asks, or the configuration changed: what waits is tried at once."""
    conn.execute(sa.update(mail).where(mail.c.state.in_(OPEN)).values(not_before=0))


def prune(conn: sa.Connection, before: int) -> int:
    """Forget finished mails of incidents that are forgotten. Returns how many."""
    known = sa.select(incident.c.id)
    return conn.execute(
        sa.delete(mail).where(
            mail.c.state.not_in(OPEN), mail.c.written_at < before, mail.c.incident_id.not_in(known)
        )
    ).rowcount
