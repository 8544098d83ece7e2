"""What is known of one item, in words: pure functions from the ledger's rows to the sections of an explanation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, tzinfo
from typing import Any

from engine.ledger.explain import Material
from engine.ledger.links import ItemRow
from engine.model.canonical import FIELDS, Field, same
from engine.model.modules import Direction, Module, Side
from engine.model.policy import Policy
from engine.model.port import WriteKind
from engine.monitor.explain import Fact, FieldView, Section
from engine.runtime import words
from engine.runtime.held import LONGEST, said
from engine.sync.filters import why_filtered
from engine.sync.plan import Planned
from engine.sync.reconcile import View

PLACE = {"crm": "CRM", "mailbox": "mailbox", "": "-"}

_DOING = {"create": "create it", "update": "update", "delete": "delete it"}

#: States of an intent, as people read them.
INTENT = {
    "planned": "planned",
    "in_flight": "sent, not yet answered",
    "unknown": "sent, outcome unknown",
    "held": "held",
    "done": "done",
    "void": "given up and planned afresh",
    "failed": "refused",
    "approved": "let through by an admin",
    "reviewed": "looked at afresh",
    "proposed": "previewed",
}


@dataclass(frozen=True, slots=True)
class Times:
    """Moments as people read them, in one zone, with how long ago or ahead they are."""

    now_ms: int
    zone: tzinfo = UTC

    def __call__(self, at_ms: int | None) -> str:
        """``2026-11-21 14:00:12 CET, 3 min ago``; ``unknown`` for none."""
        if at_ms is None:
            return "unknown"
        return f"{words.clock(self.zone)(at_ms)}, {self.away(at_ms)}"

    def away(self, at_ms: int) -> str:
        """``3 min ago``, ``in 40 s``, ``now``."""
        seconds = (at_ms - self.now_ms) // 1000
        amount = abs(seconds)
        if amount < 2:
            return "now"
        if amount < 120:
            text = f"{amount} s"
        elif amount < 7_200:
            text = f"{amount // 60} min"
        elif amount < 172_800:
            text = f"{amount // 3_600} h"
        else:
            text = f"{amount // 86_400} days"
        return f"in {text}" if seconds > 0 else f"{text} ago"


def shown(info: Field, value: Any) -> str:
    """A value in words; of a text only its length, since an admin need not read people's notes."""
    if value in (None, "", [], {}):
        return ""
    if info.body:
        return words.count(len(str(value)), "character", "characters")
    text = said(info.kind, value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _view(item: ItemRow | None) -> View | None:
    if item is None or item.deleted:
        return None
    return View(True, item.fields, item.accepted)


def field_views(material: Material, planned: Planned | None, *, private: bool) -> tuple[FieldView, ...]:
    """Every field that either side or the base has, with who differs and what would be written."""
    module = Module(material.row.module)
    crm, mailbox, base = _view(material.row.crm), _view(material.row.mailbox), material.row.base
    frozen = {row.field: row.state for row in material.conflicts}
    plans: dict[str, list[str]] = {}
    for intent in planned.plan.intents if planned is not None else ():
        if intent.kind == WriteKind.UPDATE:
            for name in intent.patch:
                plans.setdefault(name, []).append(f"to the {PLACE[intent.side]}")
    found = []
    for name, info in FIELDS[module].items():
        values = [None if view is None else view.value(name, info.kind) for view in (crm, mailbox)] + [
            None if base is None else base.get(name)
        ]
        plan = "waits for a decision" if frozen.get(name) == "open" else " and ".join(plans.get(name, ()))
        if all(value in (None, "", [], {}) for value in values) and not plan:
            continue
        c, m, b = values
        differs = ""
        if crm is not None and mailbox is not None and not same(info.kind, c, m):
            differs = _who(info, c, m, b, agreed=base is not None)
        told = (
            ["(private)" if value else "" for value in values]
            if private
            else [shown(info, value) for value in values]
        )
        if not private and _rewritten(material, name, info):
            plan = plan or "a side rewrote it; kept as its form"
        found.append(FieldView(name, info.label, told[0], told[2], told[1], differs, plan))
    return tuple(found)


def _who(info: Field, crm: Any, mailbox: Any, base: Any, *, agreed: bool) -> str:
    if not agreed:
        return "first"
    of_crm, of_mailbox = not same(info.kind, crm, base), not same(info.kind, mailbox, base)
    return "both" if of_crm and of_mailbox else "crm" if of_crm else "mailbox"


def _rewritten(material: Material, name: str, info: Field) -> bool:
    for one in (material.row.crm, material.row.mailbox):
        if (
            one is not None
            and name in one.accepted
            and same(info.kind, one.fields.get(name), one.accepted[name][1])
        ):
            return True
    return False


# -- sections ------------------------------------------------------------------------------------------


def sides(material: Material, containers: Mapping[str, str], at: Times) -> Section:
    """Where the item is, on both sides: id, feed, version, when it changed there and when it was last read."""
    names = {value: name for name, value in containers.items() if not name.startswith("made:")}
    facts: list[Fact] = []
    for side in Side:
        rows = [row for row in material.items if row.side == side]
        if not rows:
            facts.append(Fact(f"{PLACE[side]}", "never was there", "quiet"))
            continue
        row = rows[0]
        state = "deleted" if row.deleted else "there"
        native = row.native if isinstance(row.native, dict) else {}
        notes = [state, f"id {row.remote_id}", f"in {row.scope_key or 'a feed that is gone'}"]
        if native.get("read_only"):
            notes.append("read-only: somebody else's meeting")
        if row.marker:
            notes.append("carries our mark")
        facts.append(Fact(PLACE[side], ", ".join(notes), "alert" if row.deleted else ""))
        version = f"version {_short(row.etag)}" if row.etag else "no version"
        facts.append(Fact("", f"changed there {at(row.modified)}; {version}, read {at(row.read_at)}", "quiet"))
        if row.written_at is not None:
            facts.append(Fact("", f"last written by us {at(row.written_at)}", "quiet"))
        if row.containers:
            held = ", ".join(names.get(one, one) for one in row.containers)
            facts.append(Fact("", f"carries {held}", "quiet"))
        older = len(rows) - 1
        if older:
            facts.append(Fact("", f"{words.count(older, 'earlier copy', 'earlier copies')} deleted", "quiet"))
    return Section("Both sides", tuple(facts))


def _short(etag: str) -> str:
    return etag if len(etag) <= 24 else f"{etag[:21]}…"


def planner(planned: Planned | None, why_not: str, material: Material) -> Section:
    """What the planner would do now. It is asked and not obeyed: nothing is written."""
    if planned is None:
        return Section("Planned now", (Fact("", why_not, "alert"),))
    plan = planned.plan
    facts = [
        Fact(
            PLACE[one.side],
            _DOING[one.kind]
            + (f": {_labels(material, one.patch)}" if one.kind == WriteKind.UPDATE else "")
            + f"; {one.why}"
            + ("" if one.etag is None else f"; only if it still is version {_short(one.etag)}"),
        )
        for one in plan.intents
    ]
    facts += [
        Fact(
            "journal", f"{PLACE[side]}: {', '.join(_label(material, name) for name in before)}: {why}", "alert"
        )
        for side, _, before, _, why in plan.lost
    ]
    if not facts:
        if plan.state in (None, "live"):
            facts = [Fact("", "nothing: both sides show what was agreed", "quiet")]
        elif plan.state == "tombstone":
            facts = [Fact("", "nothing: it is gone on both sides", "quiet")]
        else:
            facts = [Fact(str(plan.state), plan.reason, "alert" if plan.state == "held" else "quiet")]
    return Section("Planned now (looked at, nothing is written)", tuple(facts))


def _label(material: Material, name: str) -> str:
    info = FIELDS[Module(material.row.module)].get(name)
    return info.label if info is not None else name


def _labels(material: Material, names: Iterable[str]) -> str:
    return ", ".join(_label(material, name) for name in names)


_WINS: Mapping[str, str] = {
    "newest": "the newer change wins, by server time",
    "crm": "the CRM wins",
    "mailbox": "the mailbox wins",
    "ask": "an admin is asked; the field freezes meanwhile",
    "union": "both are kept together",
}


def rules(policy: Policy, material: Material, now: int) -> Section:
    """The policy's rules for this kind of item, and what its filters say of this one."""
    module = Module(material.row.module)
    settings = policy.settings(module)
    flow = {
        Direction.BOTH: "both ways",
        Direction.TO_MAILBOX: "CRM to mailbox only",
        Direction.TO_CRM: "mailbox to CRM only",
    }[settings.direction]
    conflict = settings.conflict or policy.conflict
    by_field: dict[str, list[str]] = {}
    for name, info in FIELDS[module].items():
        if policy.rule(module, name) is not conflict:
            by_field.setdefault(policy.rule(module, name), []).append(info.label)
    facts = [
        Fact(
            "flows",
            flow if settings.enabled else "the module is off in the policy",
            "" if settings.enabled else "alert",
        ),
        Fact("both changed", _WINS[conflict]),
        *(Fact("", f"{', '.join(names)}: {_WINS[rule]}", "quiet") for rule, names in by_field.items()),
        Fact(
            "deletes",
            f"CRM to mailbox: {policy.crm_deletes}; mailbox to CRM: {policy.mailbox_deletes}",
        ),
        Fact(
            "shown",
            f"{settings.visibility}: records that the person owns"
            if settings.visibility == "owned"
            else "records of everybody",
        ),
    ]
    live = (
        material.row.crm
        if material.row.crm is not None and not material.row.crm.deleted
        else material.row.mailbox
    )
    if live is not None and not live.deleted:
        reason = why_filtered(
            policy, module, live.fields, live.modified, now, occurrence=material.row.parent_link is not None
        )
        linked = material.row.base is not None
        text = "let it through" if reason is None else reason
        if reason is not None and linked:
            text += "; it was linked before, and linked items are not filtered"
        facts.append(Fact("filters", text, "alert" if reason is not None and not linked else ""))
    return Section("Rules of the policy", tuple(facts))


def work(material: Material, at: Times) -> Section:
    """The work list, the last intents, and what the provider answered."""
    facts: list[Fact] = []
    if material.due is not None:
        late = material.due.not_before
        when = "now" if late <= at.now_ms else "while its write is under way" if late > 1 << 60 else at(late)
        tries = (
            f", after {words.count(material.due.attempts, 'failure', 'failures')}"
            if material.due.attempts
            else ""
        )
        facts.append(Fact("work list", f"due {when}{tries}", "alert" if material.due.attempts else ""))
    else:
        facts.append(Fact("work list", "nothing to do", "quiet"))
    for row in material.intents:
        tone = "fault" if row.state == "failed" else "alert" if row.state in {"held", "unknown"} else ""
        sent = f", sent {at(row.sent_at)}" if row.sent_at is not None else ""
        again = f", attempt {row.attempt + 1}" if row.attempt else ""
        facts.append(
            Fact(
                f"{row.kind}",
                f"in the {PLACE[row.side]}: {INTENT.get(row.state, row.state)}{again}{sent}; {row.why}",
                tone,
            )
        )
        if row.error:
            facts.append(Fact("", row.error, tone or "quiet"))
        if row.state == "unknown" and row.not_before:
            facts.append(Fact("", f"looked for again {at(row.not_before)}", "quiet"))
    return Section("Work and last writes", tuple(facts))


def told(material: Material, at: Times, *, private: bool) -> Section:
    """The journal: who won, what was lost, when; youngest first."""
    table = FIELDS[Module(material.row.module)]
    facts: list[Fact] = []
    for row in material.journal:
        cycle = f" (cycle {row.cycle_id})" if row.cycle_id else ""
        lost = row.kind == "conflict"
        facts.append(
            Fact(row.kind, f"{PLACE[row.side]}: {row.why}; {at(row.at)}{cycle}", "alert" if lost else "")
        )
        if private:
            continue
        before = row.before if isinstance(row.before, dict) else {}
        after = row.after if isinstance(row.after, dict) else {}
        for name in sorted(before.keys() | after.keys()):
            info = table.get(name)
            if info is None or (row.kind == "create" and name not in before):
                continue
            facts.append(
                Fact(
                    "",
                    f"{info.label}: {shown(info, before.get(name)) or '-'} → {shown(info, after.get(name)) or '-'}",
                    "quiet",
                )
            )
    if not facts:
        facts = [Fact("", "nothing was ever overwritten or refused", "quiet")]
    return Section("Journal", tuple(facts))
