"""Conflicts for people to read, and what becomes of one when an admin decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.ledger import conflicts as units
from engine.ledger import fence as fences
from engine.ledger.conflicts import Listed, Verdict
from engine.ledger.fence import Fence
from engine.model import entry
from engine.model.canonical import FIELDS, Field, Fields, Kind, display_name
from engine.model.entry import NotAllowed
from engine.model.modules import Module, Side
from engine.monitor.commands import Answer, DecideConflict, Keep
from engine.monitor.report import ConflictRow
from engine.runtime.held import said
from engine.runtime.office import Office
from engine.sync.merge import TOGETHER

#: Shown in place of what nobody but the person may read.
PRIVATE = "(private)"

_WHOSE = {Keep.CRM: "the CRM's value", Keep.MAILBOX: "the mailbox's value", Keep.EDIT: "a value that was typed"}


async def conflicts(office: Office, mailbox: str | None, policy: str | None) -> list[ConflictRow]:
    """Rows of a mailbox, of a policy, or of all."""
    users = {
        office.mailbox_ids[row.id]: row
        for row in office.store.users.values()
        if mailbox in {None, row.id} and policy in {None, row.policy}
    }
    found = await office.ledger.read(units.listed, list(users))
    return [conflict_row(one, users[one.mailbox_id].id, users[one.mailbox_id].policy) for one in found]


def conflict_row(one: Listed, mailbox: str, policy: str) -> ConflictRow:
    """One row for people. Of a private item neither its name nor any text is shown."""
    conflict = one.conflict
    field = FIELDS[Module(one.module)][conflict.field]
    private = any(fields.get("private") for fields in one.fields.values())
    hidden = private and field.kind is Kind.TEXT
    fields: Fields = one.fields.get(Side.CRM) or one.fields.get(Side.MAILBOX) or {}
    newer = max(Side, key=lambda side: (one.modified.get(side) or 0, side is Side.CRM))
    decided = ""
    if conflict.state == "decided":
        value = (
            "" if conflict.choice != Keep.EDIT else f" {PRIVATE if hidden else _shown(field, conflict.value)!r}"
        )
        decided = f"{_WHOSE[Keep(conflict.choice)]}{value}, by {conflict.by}; the next cycle carries it out"
    return ConflictRow(
        id=conflict.id,
        mailbox=mailbox,
        policy=policy,
        module=one.module,
        name=PRIVATE if private else display_name(Module(one.module), fields),
        field=conflict.field,
        label=field.label,
        crm=PRIVATE if hidden else _shown(field, conflict.crm),
        agreed=PRIVATE if hidden else _shown(field, conflict.base),
        theirs=PRIVATE if hidden else _shown(field, conflict.mailbox),
        crm_ms=one.modified.get(Side.CRM),
        mailbox_ms=one.modified.get(Side.MAILBOX),
        why=conflict.why,
        since_ms=conflict.at,
        decided=decided,
        typed="" if hidden else entry.typed(field.kind, getattr(conflict, newer.value)),
        allowed=entry.allowed(field),
        link=conflict.link_id,
    )


def _shown(field: Field, value: Any) -> str:
    """A value as people read it; times in their own zone, guests with what may differ about them."""
    if value is None:
        return ""
    return (
        entry.typed(field.kind, value)
        if field.kind in {Kind.MOMENT, Kind.ATTENDEES}
        else said(field.kind, value)
    )


def what_happens(command: DecideConflict) -> tuple[str, ...]:
    """What a decision about several fields is about to do."""
    number = f"{len(command.ids):,} {'field' if len(command.ids) == 1 else 'fields'}"
    side = {Keep.CRM: "mailbox", Keep.MAILBOX: "CRM"}.get(command.choice, "CRM and the mailbox")
    return (
        f"{number} of {command.mailbox}: {_WHOSE[command.choice]} is written to the {side}.",
        "The value that is replaced is in the journal. What changed meanwhile is asked again.",
    )


def refusal(office: Office, row: ConflictRow, text: str) -> str:
    """Why a text that was typed is no value of a field; "" when it is one."""
    user = office.store.users.get(row.mailbox)
    region = office.policies[user.policy].address_books.default_region if user is not None else ""
    try:
        entry.read(FIELDS[Module(row.module)][row.field], text, region=region)
    except NotAllowed as error:
        return str(error)
    return ""


async def decide(office: Office, command: DecideConflict, by: str) -> Answer:
    """Store an admin's decision under the mailbox's lease. A wrong value, or an unknown id among others, is told.

    Raises:
        KeyError: there is no such mailbox.
        StaleLease: another engine has taken over.
    """
    user = office.store.users[command.mailbox]
    mailbox_id = office.mailbox_ids[command.mailbox]
    here = {one.conflict.id: one for one in await office.ledger.read(units.listed, [mailbox_id])}
    refused = [
        f"{key} is no open conflict of {command.mailbox} (any more)" for key in command.ids if key not in here
    ]
    chosen = [here[key] for key in dict.fromkeys(command.ids) if key in here]
    if not chosen:
        return Answer(False, f"nothing was changed: {refused[0]}" if refused else "no conflict was named")
    if command.choice is not Keep.EDIT:
        chosen = _with_kin(chosen, here)
    region = office.policies[user.policy].address_books.default_region
    verdicts: list[Verdict] = []
    for one in chosen:
        try:
            value = _value(one, command, region, user.zone or "UTC")
        except NotAllowed as error:
            return Answer(False, f"nothing was changed: {error}")
        verdicts.append(Verdict(one.conflict.id, command.choice.value, value))
    fence = Fence(user.policy, mailbox_id, await office.ledger.read(fences.epoch, user.policy, mailbox_id))
    done = await office.ledger.write(units.decide, fence, verdicts, by, office.clock.now_ms())
    if not done:
        return Answer(
            False, f"nothing was changed: the conflicts of {command.mailbox} have been closed meanwhile"
        )
    text = f"{command.mailbox}: {_told([here[key] for key in done])}: {_WHOSE[command.choice]}"
    return Answer(True, text + (f"; {len(refused):,} left alone" if refused else ""), tuple(refused))


def _told(done: Sequence[Listed]) -> str:
    if len(done) == 1:
        [one] = done
        name = conflict_row(one, "", "").name
        return f"{FIELDS[Module(one.module)][one.conflict.field].label} of {name!r} decided"
    return f"{len(done):,} fields decided"


def _with_kin(chosen: Sequence[Listed], here: Mapping[int, Listed]) -> list[Listed]:
    """Fields that are nothing without each other (start and end) are decided together."""
    found = {one.conflict.id: one for one in chosen}
    for one in chosen:
        for group in TOGETHER:
            if one.conflict.field in group:
                found |= {
                    key: other
                    for key, other in here.items()
                    if other.conflict.link_id == one.conflict.link_id and other.conflict.field in group
                }
    return list(found.values())


def _value(one: Listed, command: DecideConflict, region: str, zone: str) -> Any:
    conflict, field = one.conflict, FIELDS[Module(one.module)][one.conflict.field]
    if command.choice is Keep.CRM:
        return conflict.crm
    if command.choice is Keep.MAILBOX:
        return conflict.mailbox
    sides = (conflict.crm, conflict.mailbox)
    value = entry.read(
        field, command.value, region=region, zone=zone, known=sides if field.kind is Kind.ATTENDEES else ()
    )
    if field.kind is Kind.MOMENT and not any(side and ("date" in side) == ("date" in value) for side in sides):
        form = "a day" if "date" in (sides[0] or sides[1]) else "a time"
        raise NotAllowed(f"{field.label}: both sides show {form}; allowed: {form} of the same form")
    return value
