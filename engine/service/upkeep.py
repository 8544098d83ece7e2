"""What the engine does once a second: places in the queue, sums, freshness, limits, and storing what is only in memory."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from engine.ledger import audit as audits
from engine.ledger import holder
from engine.ledger.health import LedgerFault
from engine.model.states import FaultClass
from engine.monitor.rows import WaitRow
from engine.monitor.store import Table
from engine.runtime import rows
from engine.service.parts import Parts

log = logging.getLogger(__name__)

#: Monitor lines and times of success reach the disk at least so often, in seconds.
FLUSH_SECONDS = 1.0

#: Freshness is looked at so often, in milliseconds.
FRESHNESS_MS = 30_000


async def seconds(parts: Parts) -> None:
    """Go round once a second, until cancelled."""
    office = parts._office
    freshness_due = 0
    while True:
        await asyncio.sleep(FLUSH_SECONDS)
        office.fold.second(parts.clock.now_ms())
        waiting = office.queue.waiting()
        engine = office.store.engine
        engine.waiting, engine.next_waiting = len(waiting), waiting[0] if waiting else ""
        engine.waits = tuple(WaitRow(one.lane, one.p50, one.p95, one.now) for one in office.queue.waits())
        for place, email in enumerate(waiting, 1):
            row = office.store.users.get(email)
            if row is not None and row.place != place:
                row.place = place
                office.store.touch(Table.USERS, row)
        for policy in office.store.policies.values():
            if policy.running:
                rows.sum_up(office, policy)
                office.store.touch(Table.POLICIES, policy)
        if parts.clock.now_ms() >= freshness_due:
            freshness_due = parts.clock.now_ms() + FRESHNESS_MS
            parts._stale += parts._watch.look()
        office.store.engine.busy = len(office.queue.running())
        await office.sweep()
        _limits(parts)
        await flush(parts)


async def flush(parts: Parts) -> None:
    """Store what is only in memory. A disk that refuses is shown, and tried again; the engine stays up."""
    try:
        await parts._office.flush()
        await parts._pusher.store_heard()
        await _record_stale(parts)
        if parts._office.unwell:
            await parts._ledger.write(holder.beat, parts.clock.now_ms())
    except LedgerFault as fault:
        _tell_ledger(parts, str(fault))
    except Exception as error:  # a fault of ours: seen on every screen rather than ending the program
        log.exception("cannot write the ledger")
        _tell_ledger(parts, f"the ledger cannot be written ({error.__class__.__name__}); see syncline.log")
    else:
        _tell_ledger(parts, "")


def _tell_ledger(parts: Parts, text: str) -> None:
    """Show on every screen that the ledger cannot be used (empty: that it can again)."""
    engine = parts.store.engine
    told = f"{FaultClass.CRITICAL.capitalize()}: {text}" if text else ""
    if told == parts._ledger_told:
        return
    if told:
        log.error("%s", told)
        engine.fault = told
    else:
        if engine.fault == parts._ledger_told:
            engine.fault = ""
        engine.message, engine.message_ms, engine.message_ok = (
            "The ledger can be used again; what had to wait goes on.",
            parts.clock.now_ms(),
            True,
        )
    parts._ledger_told = told
    parts.store.touch(Table.ENGINE, engine)


async def _record_stale(parts: Parts) -> None:
    """Who became stale is on record, since a screen may not have been looked at."""
    found, parts._stale = parts._stale, []
    if found:
        try:
            await parts._ledger.write(_audit_stale, parts.clock.now_ms(), found)
        except Exception:
            parts._stale = found + parts._stale
            raise


def _limits(parts: Parts) -> None:
    """Lanes and quotas as the connectors report them."""
    limits = parts.store.limits
    for used in [*parts._office.usage(), *parts._pusher.usage()]:
        row = limits.get(used.id)
        if row is None:
            limits[used.id] = used
            parts.store.reshape(Table.LIMITS)
        elif (row.used, row.limit) != (used.used, used.limit):
            row.used, row.limit = used.used, used.limit
            parts.store.touch(Table.LIMITS, row)


def _audit_stale(connection: Any, now: int, found: list[tuple[str, str]]) -> None:
    for mailbox, text in found:
        audits.add_audit(connection, now, "engine", "Stale", mailbox, text)
