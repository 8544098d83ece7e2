"""Previews for people: from proposals in the ledger to sums and rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.ledger.proposals import Preview, Proposal, Sum
from engine.model.canonical import FIELDS, display_name
from engine.model.modules import STEP_MODULES, STEPS, Module
from engine.monitor.preview import FieldChange, PreviewKind, PreviewRow, PreviewSum
from engine.runtime.held import LONGEST, said

#: Modules in the order in which they are carried out; containers ("") come first.
_ORDER = ["", *(module.value for step in STEPS for module in STEP_MODULES[step])]


def sums_of(previews: Sequence[Preview], found: Sequence[Sum]) -> tuple[PreviewSum, ...]:
    """Sums by mailbox and module."""
    emails = {one.mailbox_id: one.email for one in previews}
    table: dict[tuple[str, str], dict[str, int]] = {}
    for one in found:
        if one.mailbox_id not in emails:
            continue
        row = table.setdefault((emails[one.mailbox_id], one.module), {})
        # Likely duplicates are counted as held, as are writes that a guard would stop.
        held = one.items if one.kind == PreviewKind.HOLD else one.held
        if one.kind != PreviewKind.HOLD:
            row[one.kind] = row.get(one.kind, 0) + one.items
        for name, value in (("held", held), ("guests", one.guests), ("outdated", one.outdated)):
            row[name] = row.get(name, 0) + value
    for preview in previews:
        for key, count in preview.counts.items():
            module, _, outcome = key.partition(".")
            if outcome in {"filtered", "unchanged"}:
                table.setdefault((preview.email, module), {})[outcome] = count
    keys = sorted(table, key=lambda key: (key[0], _ORDER.index(key[1])))
    return tuple(PreviewSum(mailbox, module, **table[mailbox, module]) for mailbox, module in keys)


def rows_of(lines: Sequence[Proposal], mailbox: str) -> list[PreviewRow]:
    """Rows for people; the two lines of an item that is written on both sides are one row."""
    together: list[list[Proposal]] = []
    for line in lines:
        if together and line.link_id and together[-1][0].link_id == line.link_id:
            together[-1].append(line)
        else:
            together.append([line])
    return [_row(group, mailbox) for group in together]


def _row(group: Sequence[Proposal], mailbox: str) -> PreviewRow:
    first = group[0]
    key, last = f"{first.preview}.{first.id}", group[-1].id
    if first.kind == PreviewKind.CONTAINER:
        return PreviewRow(
            key, last, mailbox, "", PreviewKind.CONTAINER, first.why, first.side, "it does not exist yet", ()
        )
    module = Module(first.module)
    shown: Mapping[str, Any] = first.fields or first.patch or first.before
    private = any(one.fields.get("private") or one.patch.get("private") for one in group)
    return PreviewRow(
        id=key,
        seq=last,
        mailbox=mailbox,
        module=module.value,
        kind=PreviewKind(first.kind),
        name="(private)" if private else display_name(module, shown),
        side=",".join(one.side for one in group if one.side),
        why="; ".join(dict.fromkeys(one.why for one in group if one.why)),
        changes=() if private else tuple(change for one in group for change in _changes(module, one)),
        held=next((one.held for one in group if one.held), ""),
        guests=sum(one.guests for one in group if not one.held),
        outdated=next((one.reason for one in group if one.state == "outdated"), ""),
        link=first.link_id,
    )


def _changes(module: Module, line: Proposal) -> list[FieldChange]:
    table = FIELDS[module]
    if line.kind == PreviewKind.DELETE:
        return [
            FieldChange(line.side, field.label, _said(field, line.before[name]), "")
            for name, field in table.items()
            if line.before.get(name) not in (None, "", False)
        ]
    if line.kind == PreviewKind.HOLD or not line.side:
        return [
            FieldChange(line.side, field.label, _said(field, line.fields[name]), "")
            for name, field in table.items()
            if line.fields.get(name) not in (None, "", False)
        ]
    return [
        FieldChange(
            line.side, field.label, _said(field, line.before.get(name)), _said(field, line.patch.get(name))
        )
        for name, field in table.items()
        if name in line.patch
    ]


def _said(field: Any, value: Any) -> str:
    if value in (None, ""):
        return ""
    if field.body:
        return f"(text of {len(str(value)):,} characters)"
    return said(field.kind, value)[:LONGEST]
