"""Reports as JSON-able values: the state of everything, and what the last cycles did."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from engine.ledger import links, waiting
from engine.model.modules import ItemOutcome, Module
from engine.model.states import UserState
from engine.monitor.fold import WRITTEN
from engine.runtime.office import Office


def status(office: Office) -> dict[str, Any]:
    """The state of everything as JSON-able values."""
    store = office.store
    return {
        "stale": [row.id for row in store.users.values() if row.stale_since_ms is not None],
        "engine": {"running": store.engine.running, "fault": store.engine.fault},
        "policies": [
            {
                "name": row.id,
                "state": row.state,
                "users": row.users,
                "initialised": row.initialised,
                "running": row.running,
                "last_full": row.last_full_ms,
                "next_full": row.next_full_ms,
                "next_why": row.next_why,
                "held": row.held,
                "conflicts": row.conflicts,
                "failed": row.failed,
                "fault": row.fault,
                "fault_class": row.fault_class,
                "rollout": row.rollout,
                "rollout_stage": row.rollout_stage,
                "notice": row.notice,
                "stale": row.stale,
            }
            for row in store.policies.values()
        ],
        "users": [
            {
                "email": row.id,
                "policy": row.policy,
                "state": row.state,
                "last_success": row.last_success_ms,
                "held": row.held,
                "conflicts": row.conflicts,
                "fault_class": row.fault_class,
                "stale_since": row.stale_since_ms,
                "text": row.text or row.why,
            }
            for row in store.users.values()
        ],
        "jobs": [
            {
                "name": row.id,
                "state": row.state,
                "next_run": row.next_run_ms,
                "next_why": row.next_why,
                "last": None if row.last is None else asdict(row.last),
            }
            for row in store.jobs.values()
        ],
    }


async def report(office: Office, policy: str | None = None) -> dict[str, Any]:
    """What the last cycle of each mailbox did: counts by module, calls, seconds, and the sums."""
    users = []
    writes = items = 0
    for row in office.store.users.values():
        if policy is not None and row.policy != policy:
            continue
        totals = await office.ledger.read(links.module_totals, office.mailbox_ids[row.id])
        deletes = await office.ledger.read(waiting.held_writes, office.mailbox_ids[row.id])
        modules = {}
        for module in Module:
            counts = row.module_counts.get(module, {})
            live = totals.get((module.value, "live"), 0)
            created = counts.get(ItemOutcome.CREATED, 0)
            updated = counts.get(ItemOutcome.UPDATED, 0)
            held = deletes.get(module.value, 0)
            modules[module.value] = {
                "created": created,
                "updated": updated,
                "deleted": counts.get(ItemOutcome.DELETED, 0),
                "unchanged": max(live - created - updated - held, 0),
                "filtered": totals.get((module.value, "filtered"), 0) + totals.get((module.value, "absent"), 0),
                "held": held
                + totals.get((module.value, "held"), 0)
                + totals.get((module.value, "quarantined"), 0),
                "failed": counts.get(ItemOutcome.FAILED, 0),
            }
            items += live
        writes += sum(row.counts.get(outcome, 0) for outcome in WRITTEN)
        seconds = (
            ((row.ended_ms or 0) - (row.started_ms or 0)) / 1000 if row.ended_ms and row.started_ms else 0.0
        )
        users.append(
            {
                "email": row.id,
                "state": row.state,
                "modules": modules,
                "calls": row.calls,
                "seconds": round(seconds, 3),
                "text": row.text if row.state is not UserState.IDLE else "",
            }
        )
    return {
        "users": users,
        "totals": {
            "writes": writes,
            "calls": office.calls.total(),
            "calls_by_provider": dict(sorted(office.calls.items())),
            "items": items,
        },
    }
