"""The twin merger: what a create that was carried out twice has left beside its item. No input or output.

A request may be delivered twice, or arrive after its repeat; where the provider does not recognise the key of a create,
two items then carry the same marker. The second must neither be copied to the other side nor stay (sync.md section 4).
"""

from __future__ import annotations

from engine.ledger.links import LinkRow
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
    something else by now, such as a copy under a new name: an item of its own.

    Args:
        row: the link of the second item.
        double: the item that carried the marker first (it may be gone by now, together with its twin), and whether a person
            has changed an occurrence of the second, which nobody would get back.
        planning: rules and guards of the cycle.
    """
    module = Module(row.module)
    second = row.crm if row.mailbox is None else row.mailbox
    if second is None or second.deleted:
        return None
    table, first = FIELDS[module], double.first
    alike = all(
        same(table[name].kind, second.fields.get(name), first.fields.get(name))
        for name in planning.rules[module].shared
    )
    near = (
        second.modified is not None
        and first.modified is not None
        and abs(second.modified - first.modified) <= IN_FLIGHT_MS
    )
    if alike and near and not double.touched:
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
    if display_name(module, second.fields) == display_name(module, first.fields):
        return Planned(LinkPlan(row.id, module, state="held", reason=COPY), module, ItemOutcome.HELD)
    return None
