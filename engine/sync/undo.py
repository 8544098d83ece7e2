"""Undo of a cycle: from what its journal says and what both sides show now to what is put back. No input or output.

An undo acts on one side alone. What it restores must not flow to the other side as if somebody had edited it, and what
that side shows must not flow back over it. So the base stays as it is, and the item keeps an *accepted form* of three
parts: the agreed value, what it shows now, and what the undo wrote. As long as it shows that, the planner sees the agreed
value; the first later edit, on either side, flows as ever (``reconcile.View``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.ledger.intents import IntentRow
from engine.ledger.links import ItemRow, LinkRow
from engine.ledger.plans import LinkPlan, NewIntent
from engine.ledger.undo import Tried, Wrote
from engine.model.canonical import FIELDS, compact, same
from engine.model.modules import EVENT_MODULES, Module, Side
from engine.model.port import Guard, WriteKind
from engine.sync.markers import create_key

#: Fields that mean something together only: one of them edited since keeps all of them.
TIMES = frozenset({"start", "end", "rule"})


class What(StrEnum):
    """What an undo does with one side of an item."""

    RESTORE = "restore"  # fields get the values that they had before the cycle
    REMOVE = "remove"  # the cycle made it: it is deleted
    RECREATE = "recreate"  # the cycle deleted it: it is made again
    LEFT = "left"  # somebody, or a later cycle, has changed it since: it is listed, not forced


@dataclass(frozen=True, slots=True)
class UndoRow:
    """One line of an undo's plan, for its preview and its record.

    Attributes:
        fields: of the item as it is now, or was, to name it by.
        now: the fields concerned, as they are.
        then: the fields concerned, as they will be; empty when nothing is written.
        why: the reason why it is left alone, or what to know about it.
    """

    link_id: int
    module: str
    side: str
    what: What
    fields: Mapping[str, Any] = field(default_factory=dict)
    now: Mapping[str, Any] = field(default_factory=dict)
    then: Mapping[str, Any] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Undoing:
    """What planning an undo needs to know beside the links.

    Attributes:
        email: the mailbox.
        cycle: the cycle that is undone, for the reasons that people read.
        guards: kind of guard by module and side.
        scopes: scope id by side and module, for what is made again.
        writable: fields that a side lets us write.
    """

    email: str
    cycle: int
    guards: Mapping[tuple[Side, Module], Guard]
    scopes: Mapping[tuple[Side, Module], int]
    writable: Mapping[tuple[Side, Module], Collection[str]]


@dataclass(frozen=True, slots=True)
class Net:
    """All that a cycle did to one side of a link, as one change."""

    kind: str
    before: Mapping[str, Any]
    after: Mapping[str, Any]


def net_changes(writes: Sequence[Wrote]) -> dict[Side, Net]:
    """Fold the writes of a cycle to one link: made and deleted again is nothing, the first before and the last after count."""
    found: dict[Side, Net] = {}
    for one in writes:
        side = Side(one.side)
        known = found.get(side)
        if known is None:
            found[side] = Net(one.kind, one.before, one.after)
        elif one.kind == WriteKind.CREATE:
            names = {*known.before, *one.after}
            found[side] = Net(
                WriteKind.UPDATE,
                {name: known.before.get(name) for name in names},
                {name: one.after.get(name) for name in names},
            )
        elif one.kind == WriteKind.UPDATE:
            before = known.before if known.kind == WriteKind.CREATE else {**one.before, **known.before}
            found[side] = Net(known.kind, before, {**known.after, **one.after})
        elif known.kind == WriteKind.CREATE:
            del found[side]
        else:
            found[side] = Net(WriteKind.DELETE, {**one.before, **known.before}, {})
    return found


def still(module: Module, item: ItemRow, name: str, wrote: Any) -> bool:
    """Whether a field still shows what we wrote, also in the form that the provider made of it."""
    kind = FIELDS[module][name].kind
    shown = item.fields.get(name)
    if same(kind, shown, wrote):
        return True
    pair = item.accepted.get(name)
    return (
        pair is not None and same(kind, shown, pair[1]) and same(kind, pair[-1 if len(pair) > 2 else 0], wrote)
    )


def _agreed(module: Module, item: ItemRow, name: str) -> Any:
    """What stands in a field, for the journal: the value that we once wrote where the provider only rewrote it."""
    shown, pair = item.fields.get(name), item.accepted.get(name)
    if pair is not None and len(pair) == 2 and same(FIELDS[module][name].kind, shown, pair[1]):
        return pair[0]
    return shown


def edited_since(module: Module, item: ItemRow, wrote: Mapping[str, Any]) -> list[str]:
    """Labels of the fields in which an item differs from the whole that we wrote."""
    table = FIELDS[module]
    return [info.label for name, info in table.items() if not still(module, item, name, wrote.get(name))]


def plan_undo(
    row: LinkRow,
    writes: Sequence[Wrote],
    undoing: Undoing,
    *,
    tried: Mapping[tuple[int, str], Tried],
    busy: Collection[tuple[int, str]] = (),
    occurrences: Sequence[tuple[LinkRow, Sequence[Wrote]]] = (),
    goes_with: bool = False,
) -> tuple[list[UndoRow], LinkPlan | None, list[Side]]:
    """Plan the undo of what a cycle did to one link.

    Args:
        row: the link as it stands.
        writes: of the cycle, to this link.
        undoing: see there.
        tried: what an earlier attempt of this undo did.
        busy: sides of links with an open write.
        occurrences: of a series: its changed occurrences, each with what the cycle wrote to it.
        goes_with: the link is an occurrence whose series is removed by the same undo.

    Returns:
        lines for people, the plan to commit (None when nothing is written), and the sides on which an earlier attempt made
        or deleted the item although its answer was lost: they are recorded as done.
    """
    module = Module(row.module)
    rows: list[UndoRow] = []
    lost_answers: list[Side] = []
    intents: list[NewIntent] = []
    bump = False
    for side, net in net_changes(writes).items():
        earlier = tried.get((row.id, side))
        done = earlier is not None and earlier.state == "done"
        if earlier is not None and (earlier.state == "open" or (done and net.kind != WriteKind.UPDATE)):
            continue
        item = row.crm if side is Side.CRM else row.mailbox
        live = item is not None and not item.deleted
        known = item.fields if item is not None and item.fields else {**net.before, **net.after}
        if goes_with and net.kind == WriteKind.CREATE:
            continue
        sent = earlier is not None and earlier.sent and not done
        if sent and live is (net.kind == WriteKind.DELETE) and net.kind != WriteKind.UPDATE:
            lost_answers.append(side)
            continue
        reason = _hindered(row, side, net, live, busy)
        if earlier is not None and earlier.state == "failed":
            reason = f"refused: {earlier.error}"
        if reason is None and net.kind == WriteKind.CREATE and live:
            assert item is not None
            reason = _grown(module, side, item, net, occurrences)
        if reason == "":
            continue
        if reason is not None:
            rows.append(UndoRow(row.id, module, side, What.LEFT, known, why=reason))
            continue
        if net.kind == WriteKind.UPDATE:
            assert item is not None
            more, intent = _restore(row, module, side, item, net, undoing, lost=sent, done=done)
        elif net.kind == WriteKind.CREATE:
            assert item is not None
            more = [UndoRow(row.id, module, side, What.REMOVE, known, now=known)]
            intent = _intent(row, side, WriteKind.DELETE, item, undoing, before=item.fields)
        else:
            more, intent = _recreate(row, module, side, net, undoing)
            bump = True
        rows += more
        intents += [] if intent is None else [intent]
    plan = LinkPlan(row.id, module, settled=False, intents=tuple(intents), bump=bump) if intents else None
    return rows, plan, lost_answers


def _hindered(row: LinkRow, side: Side, net: Net, live: bool, busy: Collection[tuple[int, str]]) -> str | None:
    """Why nothing can be done on this side; empty when it is as it was already; None when nothing is in the way."""
    if (row.id, side) in busy:
        return "another write of it is open or held; settle that first"
    other = row.mailbox if side is Side.CRM else row.crm
    match net.kind:
        case WriteKind.UPDATE:
            return None if live else "it was deleted since"
        case WriteKind.CREATE:
            if not live:
                return ""
            if row.occurrence is not None:
                return "a changed occurrence of a series is not taken back by itself: change it by hand"
            return None
        case _:
            if live:
                return "it is there again"
            if row.occurrence is not None:
                return "an occurrence of a series is not put back by itself: change it by hand"
            if other is None or not other.deleted:
                return "it is back in the other place, and is synced from there"
            return None


def _grown(
    module: Module,
    side: Side,
    item: ItemRow,
    net: Net,
    occurrences: Sequence[tuple[LinkRow, Sequence[Wrote]]],
) -> str | None:
    """What somebody, or a later cycle, has done to an item that the cycle made; None when nothing."""
    edited = edited_since(module, item, net.after)
    if edited:
        return f"changed since: {', '.join(edited)}"
    for child, writes in occurrences:
        theirs = child.crm if side is Side.CRM else child.mailbox
        if theirs is None or theirs.deleted:
            continue
        made = net_changes(writes).get(side)
        if made is None or made.kind != WriteKind.CREATE or edited_since(module, theirs, made.after):
            return "an occurrence of it was changed since"
    return None


def _restore(
    row: LinkRow,
    module: Module,
    side: Side,
    item: ItemRow,
    net: Net,
    undoing: Undoing,
    *,
    lost: bool,
    done: bool,
) -> tuple[list[UndoRow], NewIntent | None]:
    """Put back the fields of an update that still show what it wrote. ``done``: only tell what was not put back."""
    table = FIELDS[module]
    patch: dict[str, Any] = {}
    now: dict[str, Any] = {}
    changed: list[str] = []
    for name, wrote in net.after.items():
        kind = table[name].kind
        before, shown = net.before.get(name), item.fields.get(name)
        if still(module, item, name, before):
            if lost and same(kind, shown, before):
                # Written by an attempt whose answer was lost: once more, so that the answer can be recorded.
                patch[name], now[name] = before, (row.base or {}).get(name, wrote)
        elif still(module, item, name, wrote) and not done:
            patch[name], now[name] = before, _agreed(module, item, name)
        else:
            changed.append(name)
    if module in EVENT_MODULES and TIMES & set(changed):
        changed += sorted(TIMES & patch.keys())
        patch = {name: value for name, value in patch.items() if name not in TIMES}
    rows = []
    if patch:
        now = {name: now[name] for name in patch}
        rows.append(UndoRow(row.id, module, side, What.RESTORE, item.fields, now=now, then=patch))
    if changed:
        labels = ", ".join(table[name].label for name in changed)
        held = {name: item.fields.get(name) for name in changed}
        rows.append(
            UndoRow(row.id, module, side, What.LEFT, item.fields, now=held, why=f"changed since: {labels}")
        )
    if not patch:
        return rows, None
    target = compact({**item.fields, **patch})
    intent = _intent(row, side, WriteKind.UPDATE, item, undoing, before=now, patch=patch, fields=target)
    return rows, intent


def _recreate(
    row: LinkRow, module: Module, side: Side, net: Net, undoing: Undoing
) -> tuple[list[UndoRow], NewIntent]:
    """Make an item again from its last values, under a key of its own: the old one may stay taken for ever."""
    fields = compact(
        {name: value for name, value in net.before.items() if name in undoing.writable[side, module]}
    )
    other = row.mailbox if side is Side.CRM else row.crm
    assert other is not None
    why = "its text was private, and is not in the journal" if fields.get("private") else ""
    intent = NewIntent(
        side=side.value,
        scope_id=undoing.scopes[side, module],
        kind=WriteKind.CREATE.value,
        key=create_key(side, undoing.email, other.remote_id, row.generation + 1),
        remote_id="",
        fields=fields,
        patch=fields,
        before={},
        etag=None,
        why=_why(undoing),
        mode="undo",
    )
    return [UndoRow(row.id, module, side, What.RECREATE, fields, then=fields, why=why)], intent


def _intent(
    row: LinkRow,
    side: Side,
    kind: WriteKind,
    item: ItemRow,
    undoing: Undoing,
    *,
    before: Mapping[str, Any],
    patch: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
) -> NewIntent:
    guarded = undoing.guards[side, Module(row.module)] is Guard.ETAG
    return NewIntent(
        side=side.value,
        scope_id=item.scope_id,
        kind=kind.value,
        key=f"{row.id}.{kind}",
        remote_id=item.remote_id,
        fields=fields or {},
        patch=patch or {},
        before=before,
        etag=item.etag if guarded else None,
        why=_why(undoing),
        mode="undo",
    )


def _why(undoing: Undoing) -> str:
    return f"undo of cycle {undoing.cycle}"


def undone(row: IntentRow, module: Module, shows: Mapping[str, Any]) -> dict[str, Any]:
    """The accepted forms of fields that an undo has restored: ``[agreed, shows, wrote]``, see the head of this module."""
    table = FIELDS[module]
    found: dict[str, Any] = {}
    for name, wrote in row.patch.items():
        kind = table[name].kind
        pair, held = row.accepted.get(name), row.shown.get(name)
        if pair is not None and same(kind, held, pair[1]):
            agreed = pair[0]
        elif same(kind, held, wrote):
            agreed = row.before.get(name)  # the answer of an earlier attempt was lost
        else:
            agreed = held
        if not same(kind, agreed, shows.get(name)):
            found[name] = [agreed, shows.get(name), wrote]
    return found
