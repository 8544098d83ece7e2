"""Incidents and their mails as JSON-able values and as lines."""

from __future__ import annotations

from typing import Any

from engine.ledger import mails
from engine.ledger.mails import MailRecord
from engine.monitor.report import MailRow
from engine.monitor.rows import IncidentRow
from engine.runtime.office import Office


def as_json(row: IncidentRow) -> dict[str, Any]:
    """An incident as a script reads it; times are epoch milliseconds."""
    return {
        "id": int(row.id),
        "kind": row.kind,
        "policy": row.policy,
        "subject": row.subject,
        "class": row.fault_class,
        "phase": row.phase,
        "text": row.text,
        "advice": row.advice,
        "state": row.state,
        "first": row.first_ms,
        "last": row.last_ms,
        "count": row.count,
        "closed": row.closed_ms,
        "mailed": bool(row.told),
        "seen_by": row.seen_by,
        "seen": row.seen_ms,
    }


def _mail(one: MailRecord) -> MailRow:
    return MailRow(
        one.kind, one.address, one.state, one.attempts, one.written_at, one.sent_at, one.not_before, one.error
    )


async def status(office: Office) -> dict[str, Any]:
    """What ``status`` says of them: live incidents, and mails that are not delivered."""
    unsent = await office.ledger.read(mails.unsent)
    return {
        "incidents": [as_json(row) for row in office.store.live_incidents.values()],
        "mails": {
            "waiting": len(unsent),
            "undelivered": [
                {"address": one.address, "kind": one.kind, "attempts": one.attempts, "error": one.error}
                for one in unsent
                if one.error
            ],
        },
    }


async def mails_of(office: Office, row: IncidentRow) -> list[MailRow]:
    """The mails that were written for an incident; for one about mails, those that wait."""
    if row.kind == "mail":
        waiting = await office.ledger.read(mails.unsent)
        return [_mail(one) for one in waiting if row.subject in {one.address, "mail server"}]
    if not row.told:
        return []
    return [_mail(one) for one in await office.ledger.read(mails.of_incident, row.told)]
