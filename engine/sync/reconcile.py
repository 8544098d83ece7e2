"""The planner: from the three trees of one link to what must be written. A pure function, no input or output.

The trees are what the CRM shows, what the mailbox shows, and the base: the values on which both last agreed. One rule
carries most of it: ``base[f] = v`` whenever both sides show v. Crash recovery, echoes and identical edits on both sides
all fall out of that rule (sync.md section 3.5; the algorithm is the classic three-way merge with a stored base).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.model.canonical import FIELDS, Fields, Kind, compact, same
from engine.model.modules import Module, Side
from engine.model.policy import ConflictRule, DeleteMode
from engine.model.port import WriteKind
from engine.sync.merge import TOGETHER, Ask, union
from engine.sync.trees import Decision, Lost, PlannedWrite, Rules, Tree, Verdict, View

__all__ = [
    "Decision",
    "Lost",
    "PlannedWrite",
    "Rules",
    "Tree",
    "Verdict",
    "View",
    "after_write",
    "changed",
    "reconcile",
]


def reconcile(tree: Tree, rules: Rules) -> Decision:
    """Decide what to write so that both sides agree. Pure; the same input gives the same plan."""
    crm, mailbox = tree.crm, tree.mailbox
    crm_live = crm is not None and crm.live
    mailbox_live = mailbox is not None and mailbox.live
    if crm_live and mailbox_live:
        assert crm is not None
        assert mailbox is not None
        return _merge(tree, crm, mailbox, rules)
    if not crm_live and not mailbox_live:
        return Decision(tree.link_id, Verdict.TOMBSTONE, tree.base)
    side = Side.CRM if crm_live else Side.MAILBOX
    return _one_sided(tree, side, rules)


def _merge(tree: Tree, crm: View, mailbox: View, rules: Rules) -> Decision:
    """Both live: field by field."""
    base = dict(tree.base or {})
    shown = _shown(tree, crm, mailbox, rules)
    off = _cancelled_first(tree, crm, mailbox, rules)
    asks = _asks(tree, shown, rules) if off is None else {}
    ruled: set[str] = set()
    both: set[str] = set()
    targets: dict[Side, dict[str, Any]] = {Side.CRM: {}, Side.MAILBOX: {}}
    patches: dict[Side, dict[str, Any]] = {Side.CRM: {}, Side.MAILBOX: {}}
    before: dict[Side, dict[str, Any]] = {Side.CRM: {}, Side.MAILBOX: {}}
    why: dict[Side, list[str]] = {Side.CRM: [], Side.MAILBOX: []}
    flows: dict[Side, list[str]] = {Side.CRM: [], Side.MAILBOX: []}
    lost: list[Lost] = []
    conflict = False
    table = FIELDS[tree.module]
    for name, (c, m) in shown.items():
        kind = table[name].kind
        b = base.get(name)
        targets[Side.CRM][name], targets[Side.MAILBOX][name] = c, m
        if same(kind, c, m):
            base[name] = targets[Side.MAILBOX][name] = c
            continue
        if name in asks:
            continue
        if off is None and (settled := _both_ways(tree, name, c, m, rules)) is not None:
            # Both sides may change: the base follows when the ledger knows that both have.
            value, reason, by_admin = settled
            both.add(name)
            ruled |= {name} if by_admin else set()
            for side, view, old in ((Side.CRM, crm, c), (Side.MAILBOX, mailbox, m)):
                targets[side][name] = value
                if not same(kind, old, value):
                    patches[side][name], before[side][name] = value, view.replaced(name, kind)
                    why[side].append(f"{table[name].label} {reason}")
                    lost += [Lost(side, name, old, value, reason)] if by_admin else []
            continue
        clash = False
        if off is not None:
            winner = off
        elif same(kind, c, b) and tree.base is not None:
            winner = Side.MAILBOX
        elif same(kind, m, b) and tree.base is not None:
            winner = Side.CRM
        elif tree.base is None and (c is None or m is None):
            winner = (
                Side.CRM if m is None else Side.MAILBOX
            )  # first meeting: an empty field takes the other's value
        else:
            clash = True
            winner = _winner(rules.rule(table[name]), crm, mailbox)
        loser = winner.other
        value = c if winner is Side.CRM else m
        overruled = m if winner is Side.CRM else c
        if not _may_write(tree, loser, name, rules):
            if clash and _may_write(tree, winner, name, rules):
                # Only one of the two can be written, so that one gives way, whichever is newer.
                winner, loser, value, overruled = loser, winner, overruled, value
            else:
                # The value cannot flow: this side keeps it, the other keeps its own, and neither is an edit any more.
                continue
        if off is not None and overruled is not None:
            conflict = True
            lost.append(Lost(loser, name, overruled, value, f"it was cancelled in the {_where(off)}"))
        if clash:
            conflict = True
            lost.append(Lost(loser, name, overruled, value, _why_lost(rules.rule(table[name]), winner)))
        targets[loser][name] = patches[loser][name] = value
        held = crm if loser is Side.CRM else mailbox
        before[loser][name] = held.replaced(name, kind)
        flows[loser].append(table[name].label)
    writes = tuple(
        PlannedWrite(
            side,
            WriteKind.UPDATE,
            target=compact(targets[side]),
            patch=patches[side],
            before=before[side],
            why="; ".join(
                ([f"{', '.join(flows[side])} changed in the {_where(side.other)}"] if flows[side] else [])
                + why[side]
            ),
        )
        for side in (Side.MAILBOX, Side.CRM)
        if patches[side]
    )
    return Decision(
        tree.link_id,
        Verdict.WRITE if writes else Verdict.AGREED,
        # Until both are cancelled nothing is agreed on: planned once more, it must come to the same.
        compact(base) if off is None else None,
        writes,
        tuple(lost),
        conflict=conflict,
        asks=tuple(Ask(name, *_three(shown[name], tree.base, name), asks[name]) for name in sorted(asks)),
        ruled=frozenset(ruled),
        both=frozenset(both),
    )


def _cancelled_first(tree: Tree, crm: View, mailbox: View, rules: Rules) -> Side | None:
    """The side on which an occurrence was cancelled while the other changed it, and nothing was agreed on before.

    Its values are no empty ones for the other side to fill: few providers can bring a cancelled occurrence back. It is cancelled
    in both places, if the other one may be written, and what was changed is in the journal.
    """
    off = {side for side, view in ((Side.CRM, crm), (Side.MAILBOX, mailbox)) if view.fields.get("cancelled")}
    if tree.base is not None or len(off) != 1:
        return None
    side = off.pop()
    return side if _may_write(tree, side.other, "cancelled", rules) else None


def _three(shown: tuple[Any, Any], base: Fields | None, name: str) -> tuple[Any, Any, Any]:
    return shown[0], (base or {}).get(name), shown[1]


def _shown(tree: Tree, crm: View, mailbox: View, rules: Rules) -> dict[str, tuple[Any, Any]]:
    """What both sides show of each shared field, through what the providers made of our own writes."""
    table = FIELDS[tree.module]
    return {
        name: (crm.value(name, table[name].kind), mailbox.value(name, table[name].kind))
        for name in sorted(rules.shared)
    }


def _asks(tree: Tree, shown: Mapping[str, tuple[Any, Any]], rules: Rules) -> dict[str, str]:
    """The fields that wait for an admin, and why."""
    if not tree.frozen and not {ConflictRule.ASK} & {rules.conflict, *rules.conflicts.values()}:
        return {}
    table = FIELDS[tree.module]
    private = any(view is not None and view.fields.get("private") for view in (tree.crm, tree.mailbox))
    open_: dict[str, str] = {}
    differ = []
    for name, (c, m) in shown.items():
        kind = table[name].kind
        # Nobody may read the text of a private item, so nobody is asked about it. Nor where one side cannot be written:
        # there is nothing to decide.
        if same(kind, c, m) or (table[name].body and private) or not _both_may(tree, name, rules):
            continue
        differ.append(name)
        ruling = tree.rulings.get(name)
        if ruling is not None and ruling.holds(kind, c, m):
            continue
        if name in tree.frozen:
            open_[name] = tree.frozen[name]
        elif kind is Kind.FLAG and tree.base is None:
            continue  # no base would tell the question from an edit: never set and not set are the same
        elif rules.rule(table[name]) is ConflictRule.ASK and _clash(tree, name, c, m):
            agreed = tree.base is not None and tree.base.get(name) is not None
            open_[name] = "both sides changed it" if agreed else "each side has a value of its own"
    for group in TOGETHER:
        for first in sorted(group & open_.keys())[:1]:
            for name in group & set(differ) - open_.keys():
                open_[name] = f"waits for {table[first].label}, which belongs to it"
    return open_


def _both_may(tree: Tree, name: str, rules: Rules) -> bool:
    return all(_may_write(tree, side, name, rules) for side in Side)


def _clash(tree: Tree, name: str, c: Any, m: Any) -> bool:
    """Whether both sides show something else than they last agreed on (without such: whether both show anything)."""
    if tree.base is None:
        return c is not None and m is not None
    kind, b = FIELDS[tree.module][name].kind, tree.base.get(name)
    return not same(kind, c, b) and not same(kind, m, b)


def _both_ways(tree: Tree, name: str, c: Any, m: Any, rules: Rules) -> tuple[Any, str, bool] | None:
    """A value that neither side need show yet: (value, why, whether an admin decided); None where one side's wins."""
    if not _both_may(tree, name, rules):
        return None
    known = FIELDS[tree.module][name]
    ruling = tree.rulings.get(name)
    if ruling is not None and ruling.holds(known.kind, c, m):
        return ruling.value, f"decided by {ruling.by}", True
    if rules.rule(known) is ConflictRule.UNION and _clash(tree, name, c, m):
        assert tree.crm is not None
        assert tree.mailbox is not None
        newer = _winner(ConflictRule.NEWEST, tree.crm, tree.mailbox) is Side.MAILBOX
        base = (tree.base or {}).get(name)
        return union(known.kind, base, c, m, mailbox_newer=newer), "united from both sides", False
    return None


def _one_sided(tree: Tree, side: Side, rules: Rules) -> Decision:
    """Only ``side`` is live: the other never was, or was deleted."""
    view, other = tree.side(side), tree.side(side.other)
    assert view is not None
    base = tree.base
    if other is None:
        if not rules.direction.writes(side.other) or (view.read_only and side is Side.MAILBOX):
            return Decision(tree.link_id, Verdict.NOTHING, base)
        return _create(tree, side, view, rules, f"new in the {_where(side)}")
    if view.read_only:
        # Somebody else's meeting: deleting it would decline it, and its changes are not this person's edits.
        return Decision(tree.link_id, Verdict.ABSENT, base)
    if changed(tree, view, rules) and rules.direction.writes(side.other):
        # An edit beats a delete; both are in the journal.
        decision = _create(
            tree, side, view, rules, f"changed in the {_where(side)} after it was deleted elsewhere"
        )
        return Decision(
            decision.link_id,
            decision.verdict,
            decision.base,
            decision.writes,
            (Lost(side.other, "deleted", True, False, "an edit beats a delete"),),
            conflict=True,
        )
    if rules.deletes[side.other] is DeleteMode.MIRROR and rules.direction.writes(side):
        write = PlannedWrite(
            side,
            WriteKind.DELETE,
            before=view.fields,
            why=f"deleted in the {_where(side.other)}",
        )
        return Decision(tree.link_id, Verdict.WRITE, base, (write,))
    return Decision(tree.link_id, Verdict.ABSENT, base)


def _create(tree: Tree, side: Side, view: View, rules: Rules, why: str) -> Decision:
    target = side.other
    names = rules.shared & rules.writable[target]
    table = FIELDS[tree.module]
    values = compact({name: view.value(name, table[name].kind) for name in sorted(names)})
    write = PlannedWrite(target, WriteKind.CREATE, target=values, patch=values, why=why)
    return Decision(tree.link_id, Verdict.WRITE, tree.base, (write,))


def changed(tree: Tree, view: View, rules: Rules) -> bool:
    """Whether a live side shows something else than the base."""
    if tree.base is None:
        return True
    table = FIELDS[tree.module]
    return any(
        not same(table[name].kind, view.value(name, table[name].kind), tree.base.get(name))
        for name in rules.shared
        if name in tree.base or name in rules.writable[Side.CRM] & rules.writable[Side.MAILBOX]
    )


def _may_write(tree: Tree, side: Side, name: str, rules: Rules) -> bool:
    view = tree.side(side)
    if view is not None and view.read_only:
        return False
    return rules.direction.writes(side) and name in rules.writable[side]


def _winner(rule: ConflictRule, crm: View, mailbox: View) -> Side:
    if rule is ConflictRule.CRM:
        return Side.CRM
    if rule is ConflictRule.MAILBOX:
        return Side.MAILBOX
    # Server times only, never a client clock; a tie or an unknown time goes to the CRM.
    return Side.MAILBOX if (mailbox.modified or 0) > (crm.modified or 0) else Side.CRM


def _why_lost(rule: ConflictRule, winner: Side) -> str:
    if rule in {ConflictRule.CRM, ConflictRule.MAILBOX}:
        return f"both sides differed; the policy lets the {_where(winner)} win"
    return f"both sides differed; the {_where(winner)} was changed last"


def _where(side: Side) -> str:
    return "CRM" if side is Side.CRM else "mailbox"


def after_write(module: Module, shared: frozenset[str], wrote: Fields, shows: Fields) -> dict[str, Any]:
    """What a provider made of the values that we wrote: field to ``[wrote, shows]`` where the two differ.

    Kept with the item, so that a rewritten value (HTML, phone format, a default for an empty field) is not taken for
    an edit (sync.md section 7).
    """
    table = FIELDS[module]
    return {
        name: [wrote.get(name), shows.get(name)]
        for name in sorted(shared)
        if wrote.get(name) != shows.get(name) and not same(table[name].kind, wrote.get(name), shows.get(name))
    }
