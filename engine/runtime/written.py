"""What one cycle wrote, for people: each item with its fields before and after; a private one is named by its kind only."""

from __future__ import annotations

from typing import Any

from engine.ledger import written as units
from engine.model.canonical import FIELDS, display_name
from engine.model.modules import Module
from engine.monitor.history import WrittenRow
from engine.runtime.held import LONGEST, said
from engine.runtime.office import Office


async def cycle_items(office: Office, cycle: int, after: int, limit: int) -> list[WrittenRow]:
    """A page of what a cycle wrote; see ``Service.cycle_items``."""
    return [_row(one) for one in await office.ledger.read(units.written, cycle, after, limit)]


def _row(one: units.Written) -> WrittenRow:
    module = Module(one.module) if one.module in set(Module) else None
    known = {**one.fields, **one.before, **one.after}
    if module is None:
        return WrittenRow(
            one.id, one.link_id, "", "an item that is gone", one.side, one.kind, one.at, (), one.why
        )
    if known.get("private"):
        return WrittenRow(
            one.id, one.link_id, module.value, "(private)", one.side, one.kind, one.at, (), one.why
        )
    table = FIELDS[module]
    names = [name for name in table if name in one.before or name in one.after]
    fields = tuple(
        (table[name].label, _said(module, name, one.before.get(name)), _said(module, name, one.after.get(name)))
        for name in names
        if not table[name].body and one.before.get(name) != one.after.get(name)
    )
    return WrittenRow(
        one.id,
        one.link_id,
        module.value,
        display_name(module, known),
        one.side,
        one.kind,
        one.at,
        fields,
        one.why,
    )


def _said(module: Module, name: str, value: Any) -> str:
    return "" if value in (None, "", False) else said(FIELDS[module][name].kind, value)[:LONGEST]
