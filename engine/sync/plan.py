"""From a dirty link to its plan: filters, twins, the planner's decision, keys. No input or output."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.ledger.conflicts import Questions
from engine.ledger.links import KEPT, ItemRow, LinkRow
from engine.ledger.matching import Candidate
from engine.ledger.plans import LinkPlan, NewIntent
from engine.ledger.restored import RESTORED
from engine.model.canonical import FIELDS, display_name, instant, moment, same
from engine.model.modules import RECORD_MODULES, ItemOutcome, Module, Side
from engine.model.policy import Attendees, Policy
from engine.model.port import Capability, Guard, WriteKind
from engine.model.recurrence import in_series, moved_to
from engine.sync.asking import Judged, judge
from engine.sync.assigned import CLOSED, CROWDED, taken_away
from engine.sync.filters import millis, why_filtered, window
from engine.sync.invitations import guests_mailed, series_of
from engine.sync.label_field import LABEL, with_label
from engine.sync.markers import create_key
from engine.sync.reconcile import Decision, Rules, Tree, Verdict, View

MOVED = "its series was moved away from this start"
SERIES_GONE = "its series is gone in the other place: what becomes of the series becomes of it"

#: States of a series master in which its occurrences have nowhere to go.
PARENT_OUT = frozenset({"filtered", "held", "absent", "tombstone", "quarantined"})


@dataclass(frozen=True, slots=True)
class Planning:
    """What planning needs to know beside the link.

    Attributes:
        policy: the policy.
        email: the mailbox.
        now: engine clock.
        rules: by module.
        guards: kind of guard by module and side.
        scopes: scope id by side and module, for creates.
        mails: whether guests may be mailed: the policy invites them, and this is no first sync.
        windowed: whether the policy's calendar window decides; a job with a window of its own has decided already.
        crowded: links of CRM records for which the policy shows no drop label, since others come first.
    """

    policy: Policy
    email: str
    now: int
    rules: Mapping[Module, Rules]
    guards: Mapping[tuple[Side, Module], Guard]
    scopes: Mapping[tuple[Side, Module], int]
    mails: bool = False
    windowed: bool = True
    crowded: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Planned:
    """A link's plan with what to count and, for some outcomes, a line for the monitor."""

    plan: LinkPlan
    module: Module
    outcome: ItemOutcome | None = None
    sign: str = ""
    text: str = ""


def rules_for(policy: Policy, module: Module, crm: Capability, mailbox: Capability) -> Rules:
    """The rules of a module from the policy and both capability records."""
    shared = crm.fields & mailbox.fields
    if policy.calendar.attendees is Attendees.UNSHARED:
        shared -= {"attendees"}
    if module in RECORD_MODULES:
        shared |= {LABEL} & mailbox.fields
    settings = policy.settings(module)
    return Rules(
        shared=shared,
        writable={Side.CRM: crm.writable & shared, Side.MAILBOX: mailbox.writable & shared},
        direction=settings.direction,
        conflict=settings.conflict or policy.conflict,
        deletes={Side.CRM: policy.crm_deletes, Side.MAILBOX: policy.mailbox_deletes},
        conflicts={name: policy.rule(module, name) for name in shared},
    )


def find_twins(
    candidates: Iterable[Candidate], links: Collection[int], match_existing: bool
) -> tuple[list[tuple[int, int]], dict[int, str]]:
    """Pair one-sided links with their twins on the other side.

    A marker of ours decides at once. A natural key decides if exactly one candidate stands on each side; anything else
    is held and shown, never created silently beside its twin (sync.md section 3.5).

    Args:
        candidates: of ``links``, and of those that they may be paired with.
        links: ids to decide about.
        match_existing: whether natural keys count.

    Returns:
        pairs ``(keep, drop)`` of link ids, where the CRM's link is kept, and reasons by link id that is to be held.
    """
    sure: dict[int, int] = {}
    paired: set[int] = set()
    natural: dict[str, dict[int, set[int | None]]] = {}
    sides: dict[int, str] = {}
    for one in candidates:
        sides[one.link_id] = one.side
        if one.paired and one.other_link_id is not None:
            paired.add(one.other_link_id)
        if one.key.startswith("ref:"):
            if one.other_link_id is not None and not one.paired:
                sure.setdefault(one.link_id, one.other_link_id)
                sure.setdefault(one.other_link_id, one.link_id)
            continue
        neighbours = natural.setdefault(one.key.split(":", 1)[0], {})
        neighbours.setdefault(one.link_id, set()).add(one.other_link_id)
        if one.other_link_id is not None:
            neighbours.setdefault(one.other_link_id, set()).add(one.link_id)
    pairs: list[tuple[int, int]] = []
    held: dict[int, str] = {}
    taken: set[int] = set()

    def pair(link_id: int, other: int) -> None:
        pairs.append((link_id, other) if sides[link_id] == Side.CRM else (other, link_id))
        taken.update((link_id, other))

    for link_id in sorted(set(links) & sides.keys()):
        if link_id in taken:
            continue
        if link_id in sure:
            if sure[link_id] not in taken:
                pair(link_id, sure[link_id])
            continue
        # The strongest kind of key that finds anybody decides: e-mail before name.
        kind = next((kind for kind in sorted(natural) if natural[kind].get(link_id)), None)
        if kind is None or not match_existing:
            continue
        others = natural[kind][link_id]
        other = next(iter(others))
        if len(others) > 1:
            held[link_id] = f"several items have the same {_said(kind)}"
        elif other is None:
            held[link_id] = f"the mailbox already has an item of its own with the same {_said(kind)}"
        elif other in paired:
            held[link_id] = f"several items have the same {_said(kind)}"
        elif natural[kind][other] == {link_id} and other not in taken:
            pair(link_id, other)
        elif other not in taken:
            held[link_id] = f"several items have the same {_said(kind)}"
    return pairs, held


def _said(kind: str) -> str:
    return {
        "email": "e-mail address",
        "name": "name",
        "event": "subject and start",
        "task": "subject and due date",
    }[kind]


def plan_link(row: LinkRow, planning: Planning, held: str | None) -> Planned:
    """The plan of one link."""
    planned = _plan_link(row, planning, held)
    if row.conflicts and planned.plan.questions is None:
        # Not two live sides any more: there is nothing to decide.
        return replace(planned, plan=replace(planned.plan, questions=Questions()))
    return planned


def _plan_link(row: LinkRow, planning: Planning, held: str | None) -> Planned:
    module = Module(row.module)
    rules = planning.rules[module]
    live = [view for view in (row.crm, row.mailbox) if view is not None and not view.deleted]
    if row.parent_link is not None and row.parent_state in PARENT_OUT and len(live) == 1:
        reason = f"its series is {row.parent_state}"
        return Planned(LinkPlan(row.id, module, state="filtered", reason=reason), module, ItemOutcome.FILTERED)
    if _without_place(row, live):
        return Planned(LinkPlan(row.id, module, state="absent", reason=MOVED), module, ItemOutcome.FILTERED)
    if _went_with_series(row, live):
        return Planned(
            LinkPlan(row.id, module, state="filtered", reason=SERIES_GONE), module, ItemOutcome.FILTERED
        )
    moved = _cancelled_by_a_move(row)
    if moved is not None:
        # The start that was cancelled is no longer in the series; the other side's occurrence stands for another one.
        follows = _follow(row, module, planning, rules, *moved)
        return follows or Planned(
            LinkPlan(row.id, module, state="absent", reason=MOVED), module, ItemOutcome.FILTERED
        )
    unlabelled = _without_label(row, module, planning)
    if unlabelled is not None:
        return unlabelled
    base = row.base
    if module in RECORD_MODULES and row.state == "filtered" and len(live) == 1:
        base = None  # the policy took its label away, and gives it one again
    if row.state == "tombstone" and len(live) == 1:
        # Taken back from the bin, or back from another owner, after both sides had lost it: the other side lost it through
        # us or long ago, and a person wants it.
        base = None
    if len(live) == 1 and base is None:
        if row.beside:
            return Planned(LinkPlan(row.id, module, state="held", reason=RESTORED), module, ItemOutcome.HELD)
        if held is not None:
            return Planned(
                LinkPlan(row.id, module, state="held", reason=held),
                module,
                ItemOutcome.HELD,
                "⚑",
                f"{_noun(module)} {named(module, live[0].fields)} is held: {held}",
            )
        out = why_filtered(
            planning.policy,
            module,
            live[0].fields,
            live[0].modified,
            planning.now,
            occurrence=row.parent_link is not None,
            windowed=planning.windowed,
        )
        if out is not None:
            return Planned(
                LinkPlan(row.id, module, state="filtered", reason=out, start_at=_comes_in(planning, live[0])),
                module,
                ItemOutcome.FILTERED,
            )
    crm, mailbox = _view(row.crm), _view(row.mailbox)
    if base is None and row.base is not None:
        crm, mailbox = (crm, None) if live == [row.crm] else (None, mailbox)
    if module in RECORD_MODULES:
        base, crm, mailbox = with_label(planning.policy, module, base, crm, mailbox)
    tree = Tree(row.id, module, base, crm, mailbox)
    judged = judge(row, tree, rules, planning.now)
    decision = judged.decision
    if row.state == "absent" and row.reason in KEPT and _only_deletes(decision):
        return Planned(
            LinkPlan(row.id, module, state="absent", reason=row.reason), module, ItemOutcome.FILTERED
        )
    return _to_plan(row, module, judged, planning)


def _without_label(row: LinkRow, module: Module, planning: Planning) -> Planned | None:
    """The plan of a record that has no drop label by the policy, or loses the one it has; None when it may have one."""
    if module not in RECORD_MODULES or row.crm is None or row.crm.deleted:
        return None
    if taken_away(planning.policy, row.crm.fields):
        reason = CLOSED
    elif row.id in planning.crowded:
        reason = CROWDED
    else:
        return None
    label = row.mailbox
    if label is None or label.deleted:
        plan = LinkPlan(row.id, module, state="filtered", reason=reason)
        return Planned(plan, module, ItemOutcome.FILTERED)
    if row.state == "absent" and row.reason in KEPT:
        return None
    intent = NewIntent(
        side=Side.MAILBOX.value,
        scope_id=label.scope_id,
        kind=WriteKind.DELETE.value,
        key=f"{row.id}.{WriteKind.DELETE}",
        remote_id=label.remote_id,
        fields={},
        patch={},
        before={},
        etag=None,
        why=reason,
    )
    # It stays on the work list: once the label is gone, the link is filtered with this reason.
    return Planned(LinkPlan(row.id, module, intents=(intent,), settled=False), module)


def _went_with_series(row: LinkRow, live: Sequence[ItemRow]) -> bool:
    """Whether an occurrence is gone on a side only because its series is: nobody has deleted it by itself.

    The series may be deleted here as well, and takes it along; or an edit beats its delete, the series is made again,
    and the occurrence follows it there (``occurrences_afresh``). A delete of its own would lose what was changed about it.
    """
    if row.parent_link is None or row.base is None or len(live) != 1:
        return False
    gone = row.mailbox if live[0] is row.crm else row.crm
    return gone is not None and gone.side not in row.series


def _only_deletes(decision: Decision) -> bool:
    """Whether nothing would happen but that the one item goes, or stays alone for another reason than now."""
    if decision.verdict is Verdict.ABSENT:
        return True
    return bool(decision.writes) and all(write.kind is WriteKind.DELETE for write in decision.writes)


def _follow(
    row: LinkRow, module: Module, planning: Planning, rules: Rules, gone: ItemRow, item: ItemRow
) -> Planned | None:
    """The changed occurrence that one side keeps at its old time follows the series; ``None``: it does, or it cannot.

    The other side shows the plain series on that day, so this one does the same: what was changed about the occurrence
    is overruled by the move, as a person could see, and is in the journal.
    """
    side, series = Side(item.side), row.series.get(gone.side, {})
    mine = row.series.get(item.side, {})
    at = moved_to(series["rule"]["lines"], series["start"], row.occurrence or "")
    if at is None or not mine or not series.get("end") or not rules.direction.writes(side):
        return None
    length = instant(series["end"]) - instant(series["start"])
    zone = series["start"].get("zone")
    wanted = {**mine, "start": dict(moment(at, zone)), "end": dict(moment(at + length, zone))}
    names = sorted((rules.shared & rules.writable[side]) - {"rule"})
    table, view = FIELDS[module], _view(item)
    assert view is not None
    # Also what this side has made of the very values, which would be written in every cycle for ever (seed 22013).
    patch = {
        name: wanted.get(name)
        for name in names
        if not same(table[name].kind, item.fields.get(name), wanted.get(name))
        and not same(table[name].kind, view.value(name, table[name].kind), wanted.get(name))
    }
    if not patch:
        return None
    why = "its series was moved, and the other place shows it without changes there"
    intent = NewIntent(
        side=item.side,
        scope_id=item.scope_id,
        kind=WriteKind.UPDATE.value,
        key=f"{row.id}.{WriteKind.UPDATE}",
        remote_id=item.remote_id,
        fields={name: wanted[name] for name in names if wanted.get(name) is not None},
        patch=patch,
        before={name: item.fields.get(name) for name in patch},
        etag=item.etag if planning.guards[side, module] is Guard.ETAG else None,
        why=why,
    )
    # It stays on the work list: once that is written there is nothing left to follow, and it is settled.
    return Planned(LinkPlan(row.id, module, intents=(intent,), settled=False), module)


def _cancelled_by_a_move(row: LinkRow) -> tuple[ItemRow, ItemRow] | None:
    """An occurrence that is shown as cancelled only because its series was moved away from that start.

    Returns the side that shows it so, and the other; ``None`` when it is none.

    Google drops the changed occurrences of a series that is moved and tells them as cancelled under their old starts; it
    is not a person's cancellation, and must delete nothing on the other side.
    """
    if (
        row.occurrence is None
        or row.crm is None
        or row.mailbox is None
        or row.crm.deleted
        or row.mailbox.deleted
    ):
        return None
    for one, other in ((row.crm, row.mailbox), (row.mailbox, row.crm)):
        series = row.series.get(one.side, {})
        if (
            one.fields.get("cancelled")
            and not other.fields.get("cancelled")
            and series.get("rule")
            and series.get("start")
            and not in_series(series["rule"]["lines"], series["start"], row.occurrence)
        ):
            return one, other
    return None


def _without_place(row: LinkRow, live: Sequence[ItemRow]) -> bool:
    """Whether an occurrence that is to be made has no place in the series of the other side, which was moved meanwhile."""
    if row.occurrence is None or row.base is not None or len(live) != 1:
        return False
    series = row.series.get(Side(live[0].side).other, {})
    if not series.get("rule") or not series.get("start"):
        return False
    return not in_series(series["rule"]["lines"], series["start"], row.occurrence)


def _comes_in(planning: Planning, item: ItemRow) -> int | None:
    """The start of an event beyond the calendar window: time will bring it in, and then it is looked at again."""
    start = item.fields.get("start")
    if start is None:
        return None
    begins = millis(instant(start))
    return begins if begins > window(planning.policy, planning.now)[1] else None


def tree_of(row: LinkRow) -> Tree:
    """A link as the planner sees it."""
    return Tree(row.id, Module(row.module), row.base, _view(row.crm), _view(row.mailbox))


def _view(item: ItemRow | None) -> View | None:
    if item is None:
        return None
    native = item.native if isinstance(item.native, dict) else {}
    return View(
        live=not item.deleted,
        fields=item.fields,
        accepted=item.accepted,
        etag=item.etag,
        remote_id=item.remote_id,
        modified=item.modified,
        read_only=bool(native.get("read_only")),
    )


def _to_plan(row: LinkRow, module: Module, judged: Judged, planning: Planning) -> Planned:
    decision = judged.decision
    lost = tuple(
        (lost.side.value, "conflict", {lost.name: lost.value}, {lost.name: lost.winner}, lost.why)
        for lost in decision.lost
    )
    if decision.verdict is Verdict.AGREED:
        plan = LinkPlan(
            row.id,
            module,
            base=decision.base,
            state="live",
            lost=lost,
            questions=judged.questions,
            bounces=judged.bounces,
        )
        if not judged.fresh:
            return Planned(plan, module, ItemOutcome.UNCHANGED)
        return Planned(plan, module, ItemOutcome.CONFLICT, "!", _asked(row, module, judged))
    if decision.verdict is Verdict.TOMBSTONE:
        return Planned(LinkPlan(row.id, module, state="tombstone", lost=_unsaid(row, module, planning)), module)
    if decision.verdict is Verdict.ABSENT:
        return Planned(
            LinkPlan(
                row.id, module, state="absent", reason="deleted in one place; the policy keeps it in the other"
            ),
            module,
            ItemOutcome.FILTERED,
        )
    if decision.verdict is Verdict.NOTHING:
        return Planned(
            LinkPlan(row.id, module, state="filtered", reason="the policy's direction keeps it on its side"),
            module,
            ItemOutcome.FILTERED,
        )
    intents = []
    bump = False
    for write in decision.writes:
        item = row.crm if write.side is Side.CRM else row.mailbox
        other = row.mailbox if write.side is Side.CRM else row.crm
        if write.kind is WriteKind.CREATE:
            assert other is not None
            bump = item is not None
            key = create_key(write.side, planning.email, other.remote_id, row.generation + int(bump))
            scope_id = planning.scopes[write.side, module]
        else:
            assert item is not None
            key = f"{row.id}.{write.kind}"
            scope_id = item.scope_id
        guarded = planning.guards[write.side, module] is Guard.ETAG
        guests = (
            guests_mailed(
                module,
                write.kind,
                write.patch,
                write.target,
                item.fields if item is not None and not item.deleted else {},
                series_of(row.series, write.side),
                planning.email,
            )
            if planning.mails and write.side is Side.MAILBOX
            else 0
        )
        intents.append(
            NewIntent(
                side=write.side.value,
                scope_id=scope_id,
                kind=write.kind.value,
                key=key,
                remote_id="" if write.kind is WriteKind.CREATE or item is None else item.remote_id,
                fields=write.target,
                patch=write.patch,
                before=write.before,
                etag=item.etag if item is not None and guarded and write.kind is not WriteKind.CREATE else None,
                why=write.why,
                notify=guests > 0,
                guests=guests,
            )
        )
    outcome = ItemOutcome.CONFLICT if decision.conflict or judged.fresh else None
    name = named(module, intents[0].fields) if intents else ""
    # What both sides show alike becomes the base when they are planned once more (seed 27847).
    unagreed = decision.base is None and all(
        one is not None and not one.deleted for one in (row.crm, row.mailbox)
    )
    told = [_asked(row, module, judged)] if judged.fresh else []
    if decision.conflict:
        told.append(f"{_noun(module)} {name}: {_overruled(decision)}, the other value is in the journal")
    return Planned(
        LinkPlan(
            row.id,
            module,
            base=decision.base,
            settled=not decision.both and not unagreed,
            intents=tuple(intents),
            lost=lost,
            bump=bump,
            questions=judged.questions,
            bounces=judged.bounces,
        ),
        module,
        outcome,
        "!" if outcome else "",
        "; ".join(told),
    )


def _overruled(decision: Decision) -> str:
    return next(lost.why for lost in decision.lost if lost.name not in decision.ruled)


def _asked(row: LinkRow, module: Module, judged: Judged) -> str:
    """A line for the monitor about fields that wait for an admin from now on."""
    shown = row.crm.fields if row.crm is not None else {}
    if row.mailbox is not None and row.mailbox.fields.get("private"):
        shown = row.mailbox.fields
    why = {one.name: one.why for one in judged.decision.asks}
    fields = "; ".join(f"{FIELDS[module][name].label}: {why[name]}" for name in judged.fresh)
    return f"{_noun(module)} {named(module, shown)} waits for you ({fields}); key C, or syncline conflicts, decides"


def _unsaid(row: LinkRow, module: Module, planning: Planning) -> tuple[tuple[str, str, Any, Any, str], ...]:
    """What a side showed that never crossed over, of an item that is gone in both places.

    A delete of ours whose answer was lost leaves no other trace of what a person had written meanwhile (seed 1517).
    """
    if row.base is None:
        return ()
    table = FIELDS[module]
    rows = []
    for side, view in ((Side.CRM, _view(row.crm)), (Side.MAILBOX, _view(row.mailbox))):
        if view is None:
            continue
        shown = {name: view.value(name, table[name].kind) for name in sorted(planning.rules[module].shared)}
        unsaid = {
            name: value
            for name, value in shown.items()
            if value is not None and not same(table[name].kind, value, row.base.get(name))
        }
        if unsaid:
            why = "it was gone in both places before this crossed over"
            rows.append((side.value, "conflict", unsaid, None, why))
    return tuple(rows)


_NOUNS = {
    Module.CONTACT: "contact",
    Module.LEAD: "lead",
    Module.APPOINTMENT: "appointment",
    Module.CALL: "phone call",
    Module.SERVICE_CALL: "service call",
    Module.TASK: "task",
    Module.OPPORTUNITY: "opportunity",
    Module.CASE: "case",
}


def _noun(module: Module) -> str:
    return _NOUNS[module]


def named(module: Module, fields: Mapping[str, Any]) -> str:
    """An item's name in a sentence; a private one is named by its kind only."""
    return "(private)" if fields.get("private") else repr(display_name(module, fields))


def line_for(
    module: Module, side: Side, kind: str, fields: Mapping[str, Any], patch: Iterable[str] = ()
) -> tuple[str, str]:
    """Sign and text of a monitor line for a write. Private items are named by their kind only."""
    sign = {"create": "+", "update": "~", "delete": "-"}[kind]
    origin = "from CRM" if side is Side.MAILBOX else "to CRM"
    name = named(module, fields)
    changed = ", ".join(FIELDS[module][field].label for field in patch)
    return sign, f"{_noun(module)} {name} {origin}" + (f": {changed}" if changed else "")
