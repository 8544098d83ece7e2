"""Between the planner and the ledger: what an admin was asked and has decided about a link, and what he is asked now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from engine.ledger.conflicts import Asked, Questions
from engine.ledger.links import LinkRow
from engine.model.canonical import FIELDS
from engine.model.modules import Module
from engine.model.port import WriteKind
from engine.sync.merge import BOUNCES, PastWrite, Ruling, bounced, why_frozen
from engine.sync.reconcile import Decision, Rules, Tree, reconcile


@dataclass(frozen=True, slots=True)
class Judged:
    """The planner's decision with what becomes of the link's conflicts.

    Attributes:
        questions: None when there were none and there are none.
        bounces: new counts; None keeps them.
        fresh: fields about which nobody was asked before, or not about these values.
    """

    decision: Decision
    questions: Questions | None
    bounces: Mapping[str, Sequence[int]] | None
    fresh: tuple[str, ...]


def judge(row: LinkRow, tree: Tree, rules: Rules, now: int) -> Judged:
    """Plan a link with what an admin has decided about it, and freeze fields that are written back and forth."""
    table = FIELDS[tree.module]
    frozen = {name: why_frozen(table[name]) for name, (times, _) in row.bounces.items() if times >= BOUNCES}
    rulings = {
        one.field: Ruling(one.crm, one.mailbox, one.value, one.by)
        for one in row.conflicts
        if one.state == "decided"
    }
    if rulings or frozen:
        tree = replace(tree, rulings=rulings, frozen=frozen)
    decision = reconcile(tree, rules)
    again = _bouncing(row, tree, decision)
    if again:
        frozen = {**frozen, **{name: why_frozen(table[name]) for name in again}}
        decision = reconcile(replace(tree, frozen=frozen), rules)
    asked = {one.name for one in decision.asks}
    # What was decided, or what both sides agree on by themselves, is counted afresh from now on.
    over = [name for name, (times, _) in row.bounces.items() if times >= BOUNCES and name not in asked]
    bounces = {
        **row.bounces,
        **{name: [BOUNCES, now] for name in again & asked},
        **{name: [0, now] for name in over},
    }
    known = {one.field: one for one in row.conflicts}
    return Judged(
        decision,
        Questions(
            tuple(Asked(one.name, one.crm, one.base, one.mailbox, one.why) for one in decision.asks),
            decision.ruled,
        )
        if row.conflicts or decision.asks
        else None,
        bounces if bounces != dict(row.bounces) else None,
        tuple(
            one.name
            for one in decision.asks
            if one.name not in known or (known[one.name].crm, known[one.name].mailbox) != (one.crm, one.mailbox)
        ),
    )


def _bouncing(row: LinkRow, tree: Tree, decision: Decision) -> set[str]:
    """Fields that the decision would carry back and forth once too often."""
    if len(row.writes) <= BOUNCES:
        return set()
    past = [PastWrite(one.side, one.before or {}, one.after or {}, one.at) for one in row.writes]
    table = FIELDS[Module(tree.module)]
    return {
        name
        for write in decision.writes
        if write.kind is WriteKind.UPDATE
        for name, value in write.patch.items()
        if name not in decision.ruled
        and bounced(
            table[name],
            past,
            write.side.value,
            write.before.get(name),
            value,
            row.bounces.get(name, (0, 0))[1],
        )
    }
