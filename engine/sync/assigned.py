"""Which CRM records have a drop label: a policy's filters, and which come first when there are more than it shows.

Level-triggered: what each record shall have is compared with what it has, so that a record that others push out, or one for
which there is room again, is looked at although nothing about it changed. Pure; the work is in ``choose``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence

from engine.ledger.links import KEPT
from engine.ledger.records import RecordRow
from engine.model.canonical import Fields
from engine.model.modules import Module
from engine.model.policy import ClosedRecords, FirstRecords, Policy
from engine.sync.filters import why_filtered
from engine.sync.label_field import given, label_name

CLOSED = "closed, and the policy takes the label of a closed record away"
CROWDED = "more records than the policy shows below one label"

#: States in which a person or a fault decides about a link, not a filter.
_NOT_OURS = frozenset({"absent", "held", "quarantined"})


def rules_of(policy: Policy) -> str:
    """Changes with the settings that decide which records have a drop label."""
    labels = policy.labels
    said = (
        labels.open_only,
        labels.max_records,
        labels.closed,
        sorted(labels.records.items()),
        policy.start_date,
    )
    return f"{zlib.crc32(repr(said).encode()):08x}"


def taken_away(policy: Policy, fields: Fields) -> bool:
    """Whether a record loses its drop label because it is closed."""
    return policy.labels.closed is ClosedRecords.REMOVE and bool(fields.get("closed"))


def crowded_out(policy: Policy, module: Module, rows: Sequence[RecordRow], now: int) -> frozenset[int]:
    """Links of the records for which there is no room."""
    labels = policy.labels
    first = labels.records[module].first
    wanted = [row for row in rows if _may_have(policy, module, row, now)]
    if first is FirstRecords.KEPT:
        wanted.sort(key=lambda row: (not row.labelled, row.link_id))
    else:
        wanted.sort(key=lambda row: (bool(row.fields.get("closed")), *_rank(first, row), row.link_id))
    over = wanted[labels.most(module) :]
    return frozenset(row.link_id for row in over if not (first is FirstRecords.KEPT and row.labelled))


def _may_have(policy: Policy, module: Module, row: RecordRow, now: int) -> bool:
    """Whether nothing but room decides about a record's label."""
    if taken_away(policy, row.fields):
        return False
    if row.labelled:
        return True
    return row.state not in _NOT_OURS and why_filtered(policy, module, row.fields, row.modified, now) is None


def _rank(first: FirstRecords, row: RecordRow) -> tuple[float, str]:
    match first:
        case FirstRecords.CHANGED:
            return -float(row.modified or 0), ""
        case FirstRecords.CLOSING:
            return 0.0, str(row.fields.get("close_date") or "~")
        case FirstRecords.AMOUNT:
            return -float(row.fields.get("amount") or 0), ""
        case FirstRecords.KEPT:
            return 0.0, ""


def to_look_at(
    policy: Policy, module: Module, rows: Sequence[RecordRow], over: frozenset[int], now: int
) -> list[int]:
    """Links whose record has a label that it should not have, or of another name, or should have one."""
    found = []
    for row in rows:
        if row.labelled:
            kept = row.state == "absent" and row.reason in KEPT
            away = (row.link_id in over or taken_away(policy, row.fields)) and not kept
            if away or label_name(policy, module, row.fields) != given(row.shown):
                found.append(row.link_id)
        elif row.state == "filtered" and row.link_id not in over and _may_have(policy, module, row, now):
            found.append(row.link_id)
    return found
