"""The twin merger: what a create that was carried out twice has left beside its item. No input or output.

A request may be delivered twice, or arrive after its repeat; where the provider does not recognise the key of a create,
two items then carry the same marker. The second must neither be copied to the other side nor stay (sync.md section 4).
"""

from __future__ import annotations

from collections.abc import Collection

from engine.ledger.links import ItemRow, LinkRow
from engine.ledger.matching import Double
from engine.ledger.plans import LinkPlan, NewIntent
from engine.model.canonical import FIELDS, display_name, same
from engine.model.modules import ItemOutcome, Module, Side
from engine.model.port import Guard, WriteKind
from engine.sync.plan import Planned, Planning

#: Two items of one create appear within the time that a request may spend on its way; server times on both.
IN_FLIGHT_MS = 120_000

SECOND_COPY = "a second copy of an item that we made: one request was carried out twice"
COPY = (
    "it carries our mark of another item and looks like it: remove one of the two, or let both be synchronised"
)


def plan_double(row: LinkRow, double: Double, planning: Planning) -> Planned | None:
    """What becomes of an item that carries the marker of another one.

    Deleted when it is that very item once more: the same values in all shared fields, made within the time of a request.
    Held when it still has the same name: a person may have edited one of the two, or have made a copy. ``None`` when it is
    something else by now, such as a copy under a new name: an item of its own. Each of those that carry the marker is
    asked, since a copy that a person made of the first says nothing about the second.

    Args:
        row: the link of the second item.
        double: the items that carry the marker as well (the first may be gone by now, together with its twin), and whether
            a person has changed an occurrence of the second, which nobody would get back.
        planning: rules and guards of the cycle.
    """
    module = Module(row.module)
    second = row.crm if row.mailbox is None else row.mailbox
    if second is None or second.deleted:
        return None
    shared = planning.rules[module].shared
    if not double.touched and any(_once_more(module, second, first, shared) for first in double.firsts):
        guarded = planning.guards[Side(second.side), module] is Guard.ETAG
        delete = NewIntent(
            side=second.side,
            scope_id=second.scope_id,
            kind=WriteKind.DELETE.value,
            key=f"{row.id}.{WriteKind.DELETE}",
            remote_id=second.remote_id,
            fields={},
            patch={},
            before=second.fields,
            etag=second.etag if guarded else None,
            why=SECOND_COPY,
        )
        return Planned(LinkPlan(row.id, module, intents=(delete,)), module, ItemOutcome.MERGED)
    name = display_name(module, second.fields)
    if any(name == display_name(module, first.fields) for first in double.firsts):
        return Planned(LinkPlan(row.id, module, state="held", reason=COPY), module, ItemOutcome.HELD)
    return None


def _once_more(module: Module, second: ItemRow, first: ItemRow, shared: Collection[str]) -> bool:
    if second.modified is None or first.modified is None:
        return False
    if abs(second.modified - first.modified) > IN_FLIGHT_MS:
        return False
    table = FIELDS[module]
    return all(same(table[name].kind, second.fields.get(name), first.fields.get(name)) for name in shared)
