"""What leaves the app: status and report for scripts, incidents and their mails, tables, a support bundle."""

from __future__ import annotations

import asyncio
from typing import Any

from engine.model.states import UserState
from engine.monitor.actor import By
from engine.monitor.report import MailRow
from engine.monitor.rows import IncidentRow
from engine.runtime import exports, incident_reports
from engine.runtime import report as reports
from engine.runtime import support as supporting
from engine.service.configuration import export
from engine.service.parts import Parts
from engine.service.views import ServiceError


async def status(parts: Parts) -> dict[str, Any]:
    """The state of policies, users and jobs as JSON-able values."""
    if not parts._running:
        parts._watch.look()
    return {
        **reports.status(parts._office),
        **await incident_reports.status(parts._office),
        "push": parts._pusher.report(),
    }


async def report(parts: Parts, policy: str | None = None) -> dict[str, Any]:
    """What the last cycle of each mailbox did: counts by module, calls, seconds, and the sums."""
    return await reports.report(parts._office, policy)


def incidents(parts: Parts, *, closed: bool = False) -> list[dict[str, Any]]:
    """Live incidents, and those that are over as well, as JSON-able values; oldest first."""
    rows = parts.store.incidents.values()
    return [incident_reports.as_json(row) for row in rows if row.live or closed]


async def mails_of(parts: Parts, incident: IncidentRow) -> list[MailRow]:
    """The failure and recovery mails of an incident; of one about mails, those that wait."""
    return await incident_reports.mails_of(parts._office, incident)


def initialising(parts: Parts) -> list[str]:
    """Mailboxes that are in their first sync's phase A."""
    return [row.id for row in parts.store.users.values() if row.state is UserState.INITIALIZING]


async def export_table(parts: Parts, name: str, ending: str, text: str, by: By) -> str:
    """Write a table that an admin looks at to a file (0600) below the data directory; returns its path.

    Raises:
        ServiceError: the disk refuses, or who asks may not.
    """
    await parts._allow(by, "export", name)
    try:
        path = await asyncio.to_thread(exports.write, parts._data_dir, name, ending, text, parts.clock.now_ms())
    except OSError as error:
        raise ServiceError(f"nothing was written below {parts._data_dir}: {error.strerror or error}") from error
    await parts._audit(by, "export", name, str(path))
    return str(path)


async def support(parts: Parts, *, anonymise: bool = True) -> dict[str, str]:
    """The files of a support bundle by name; see ``engine.runtime.support``. Reads the whole ledger file once."""
    configuration = await export(parts)
    return await supporting.bundle(parts._office, parts._ledger.path.parent, configuration, anonymise=anonymise)
