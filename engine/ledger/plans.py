"""Committing a plan: bases, states, intents and the journal of a batch of links in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import sqlalchemy as sa

from engine.ledger import conflicts
from engine.ledger.conflicts import Questions
from engine.ledger.fence import Fence, check
from engine.ledger.schema import dirty, intent, item, journal, link
from engine.ledger.sql import inserting, one_of, setting
from engine.ledger.statement import Statement
from engine.ledger.worklist import CHILDREN, WHILE_WRITING, take_off


@dataclass(frozen=True, slots=True)
class NewIntent:
    """A write to be planned."""

    side: str
    scope_id: int
    kind: str
    key: str
    remote_id: str
    fields: Mapping[str, Any]
    patch: Mapping[str, Any]
    before: Mapping[str, Any]
    etag: str | None
    why: str
    state: str = "planned"
    notify: bool = False
    guests: int = 0
    mode: str = ""


@dataclass(frozen=True, slots=True)
class LinkPlan:
    """What one reconciled link becomes.

    Attributes:
        base: new base; None keeps the stored one.
        state: live, filtered, held, absent, tombstone; None keeps it.
        settled: nothing is left to do: off the work list.
        lost: journal rows ``(side, kind, before, after, why)``.
        bump: the create's key needs a new generation (it was created before and deleted since).
        questions: what becomes of its conflicts; None when it has none.
        bounces: new counts of fields that go back and forth; None keeps them.
    """

    link_id: int
    module: str
    base: Mapping[str, Any] | None = None
    state: str | None = None
    reason: str = ""
    settled: bool = True
    intents: tuple[NewIntent, ...] = ()
    lost: tuple[tuple[str, str, Any, Any, str], ...] = ()
    bump: bool = False
    start_at: int | None = None
    not_before: int | None = None
    questions: Questions | None = None
    bounces: Mapping[str, Sequence[int]] | None = None


@cache
def _changing(columns: tuple[str, ...]) -> Statement:
    """An update of columns of a link; a generation is counted up by what is given."""
    values: dict[str, Any] = {name: sa.bindparam(f"b_{name}") for name in columns}
    if "generation" in values:
        values["generation"] = link.c.generation + sa.bindparam("b_generation", type_=sa.BigInteger)
    return Statement(sa.update(link).where(link.c.id == sa.bindparam("b_link")).values(values))


_STATE = setting(link, "id", ("state",))
_WRITING = Statement(
    sa.update(dirty).where(one_of(dirty.c.link_id), dirty.c.attempts > 0).values(not_before=WHILE_WRITING)
)
_SETTLED = Statement(sa.delete(dirty).where(one_of(dirty.c.link_id), dirty.c.not_before != WHILE_WRITING))
_LATER = setting(dirty, "link_id", ("not_before",))
_ITEMS_GONE = setting(item, "link_id", ("deleted",))
_PLAN = inserting(
    intent,
    (
        "mailbox_id",
        "cycle_id",
        "link_id",
        "side",
        "scope_id",
        "module",
        "kind",
        "key",
        "remote_id",
        "fields",
        "patch",
        "before",
        "etag",
        "state",
        "why",
        "notify",
        "guests",
        "mode",
    ),
)
_JOURNAL = inserting(
    journal, ("mailbox_id", "cycle_id", "link_id", "side", "kind", "before", "after", "why", "at")
)


def commit_plan(
    connection: sa.Connection, fence: Fence, cycle_id: int, plans: Sequence[LinkPlan], now: int
) -> int:
    """Store the plan of a batch of links: bases, states, intents in state ``planned`` (or ``held``), the journal.

    Returns:
        how many intents were planned.
    """
    check(connection, fence)
    intents: list[dict[str, Any]] = []
    lost: list[dict[str, Any]] = []
    # Plans that change the same columns are written by one statement.
    changed: dict[tuple[str, ...], list[dict[str, Any]]] = {}
    for plan in plans:
        values: dict[str, Any] = {}
        if plan.base is not None:
            values["base"] = dict(plan.base)
        if plan.state is not None:
            values |= {"state": plan.state, "reason": plan.reason}
        if plan.bump:
            values["generation"] = 1
        if plan.start_at is not None:
            values["start_at"] = plan.start_at
        if plan.bounces is not None:
            values["bounces"] = dict(plan.bounces)
        if values:
            given = {f"b_{name}": value for name, value in values.items()}
            changed.setdefault(tuple(values), []).append({"b_link": plan.link_id, **given})
        intents.extend(
            {
                "mailbox_id": fence.mailbox_id,
                "cycle_id": cycle_id,
                "link_id": plan.link_id,
                "side": one.side,
                "scope_id": one.scope_id,
                "module": plan.module,
                "kind": one.kind,
                "key": one.key,
                "remote_id": one.remote_id,
                "fields": dict(one.fields),
                "patch": dict(one.patch),
                "before": dict(one.before),
                "etag": one.etag,
                "state": one.state,
                "why": one.why,
                "notify": int(one.notify),
                "guests": one.guests,
                "mode": one.mode,
            }
            for one in plan.intents
        )
        lost.extend(
            {
                "mailbox_id": fence.mailbox_id,
                "cycle_id": cycle_id,
                "link_id": plan.link_id,
                "side": side,
                "kind": kind,
                "before": before,
                "after": after,
                "why": why,
                "at": now,
            }
            for side, kind, before, after, why in plan.lost
        )
    for names, rows in changed.items():
        _changing(names).many(connection, rows)
    # Failures in a row are counted here, so the row of a link that failed before stays until its write is made.
    _WRITING.run_among(connection, [plan.link_id for plan in plans if plan.settled and plan.intents])
    _SETTLED.run_among(connection, [plan.link_id for plan in plans if plan.settled])
    _LATER.many(
        connection,
        [
            {"which": plan.link_id, "new_not_before": plan.not_before}
            for plan in plans
            if plan.not_before is not None and not plan.settled
        ],
    )
    # The occurrences of a series end with it.
    children = CHILDREN.among(connection, [plan.link_id for plan in plans if plan.state == "tombstone"])
    _STATE.many(connection, [{"which": row.id, "new_state": "tombstone"} for row in children])
    _ITEMS_GONE.many(connection, [{"which": row.id, "new_deleted": 1} for row in children])
    take_off(connection, [row.id for row in children])
    conflicts.close_all(connection, [row.id for row in children])
    asked = [(plan.link_id, plan.module, plan.questions) for plan in plans if plan.questions is not None]
    conflicts.settle(connection, fence.mailbox_id, asked, now)
    _PLAN.many(connection, intents)
    _JOURNAL.many(connection, lost)
    return len(intents)
