"""What waits for an admin, for people to read, and what becomes of it when an admin decides."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from engine.ledger import fence as fences
from engine.ledger import guests, twins
from engine.ledger import waiting as units
from engine.ledger.fence import Fence
from engine.ledger.waiting import Waiting
from engine.model.canonical import FIELDS, Field, Kind, display_name
from engine.model.modules import Module
from engine.monitor.commands import SETTLES, Answer, Settle
from engine.monitor.report import HeldRow, Waits
from engine.runtime.office import Office

#: Decisions that a cycle of the mailbox carries out.
NEED_CYCLE = frozenset({Settle.APPROVE, Settle.QUIET, Settle.RESTORE, Settle.RETRY, Settle.BOTH, Settle.ADOPT})

#: Longest value shown of a field.
LONGEST = 120

_DONE = {
    Settle.APPROVE: ("{} delete let through", "{} deletes let through"),
    Settle.DISCARD: ("{} delete given up: the item stays", "{} deletes given up: the items stay"),
    Settle.RESTORE: ("{} item is made again", "{} items are made again"),
    Settle.RETRY: ("{} item is tried again", "{} items are tried again"),
    Settle.BOTH: ("{} item is created beside its twin", "{} items are created beside their twins"),
    Settle.ADOPT: ("{} item takes its twin", "{} items take their twins"),
    Settle.KEEP: ("{} item stays where it is", "{} items stay where they are"),
    Settle.DISMISS: (
        "{} item dismissed: it comes back when it changes on either side",
        "{} items dismissed: they come back when they change on either side",
    ),
    Settle.QUIET: ("{} change is written without a mail", "{} changes are written without a mail"),
}

#: The same, about writes that wait because of their guests.
_DONE_GUESTS = {
    Settle.APPROVE: ("{} change goes out, its guests are mailed", "{} changes go out, their guests are mailed"),
    Settle.QUIET: _DONE[Settle.QUIET],
    Settle.DISCARD: ("{} change given up: nobody is mailed", "{} changes given up: nobody is mailed"),
}


async def waiting(office: Office, mailbox: str | None, policy: str | None) -> list[HeldRow]:
    """Rows of a mailbox, of a policy, or of all."""
    users = {
        office.mailbox_ids[row.id]: row
        for row in office.store.users.values()
        if mailbox in {None, row.id} and policy in {None, row.policy}
    }
    found = await office.ledger.read(units.listed, list(users))
    return [held_row(one, users[one.mailbox_id].id, users[one.mailbox_id].policy) for one in found]


def held_row(one: Waiting, mailbox: str, policy: str) -> HeldRow:
    """One row for people. A private item is named by its kind only, and shows nothing of itself."""
    module = Module(one.module)
    private = bool(one.fields.get("private"))
    return HeldRow(
        one.id,
        mailbox,
        policy,
        Waits(one.kind),
        one.module,
        "(private)" if private else display_name(module, one.fields),
        one.side,
        one.reason,
        one.since,
        () if private else _shown(FIELDS[module], one.fields),
        one.guests,
    )


def _shown(table: Mapping[str, Field], fields: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple(
        (field.label, said(field.kind, fields[name])[:LONGEST])
        for name, field in table.items()
        if not field.body and fields.get(name) not in (None, "", False)
    )


def said(kind: Kind, value: Any) -> str:
    """A canonical value in words."""
    match kind:
        case Kind.PHONE:
            return str(value["raw"])
        case Kind.ADDRESS:
            return ", ".join(str(part) for part in value.values())
        case Kind.MOMENT:
            if "date" in value:
                return str(value["date"])
            return f"{value['utc'][:16].replace('T', ' ')} UTC"
        case Kind.FLAG:
            return "yes" if value else "no"
        case Kind.ATTENDEES:
            return ", ".join(row["email"] for row in value)
        case Kind.RULE:
            return "; ".join(value["lines"])
        case Kind.PEOPLE:
            return ", ".join(value)
        case _:
            return str(value)


def what_happens(how: Settle, count: int | None) -> tuple[str, ...]:
    """What a decision about so many items (all deletes of the mailbox, for None) is about to do."""
    number = "All deletes that wait" if count is None else f"{count:,} {'item' if count == 1 else 'items'}"
    match how:
        case Settle.APPROVE:
            return (
                f"{number} will be deleted, as they were in the other place.",
                "What was edited or restored meanwhile is not deleted.",
            )
        case Settle.RESTORE:
            return (f"{number}: nothing is deleted; each is made again where it was deleted.",)
        case Settle.ADOPT:
            return (
                f"{number}: the one that the mailbox has already becomes the twin, and both are merged.",
                "An empty field takes the other's value. Where both differ the policy decides; "
                "the other value is in the journal.",
            )
        case _:
            return ()


async def settle(office: Office, mailbox: str, ids: Sequence[int] | None, how: Settle) -> Answer:
    """Store an admin's decision under the mailbox's lease. Items of another kind are left alone and told.

    Raises:
        KeyError: there is no such mailbox.
        StaleLease: another engine has taken over.
    """
    row = office.store.users[mailbox]
    mailbox_id = office.mailbox_ids[mailbox]
    if ids is None and how not in SETTLES[Waits.DELETE]:
        return Answer(False, f"{how.value} needs the ids of the items; nothing was changed")
    here = {one.id: one for one in await waiting(office, mailbox, None)}
    asked = [key for key, one in here.items() if one.kind is Waits.DELETE] if ids is None else list(ids)
    refused = [
        f"{key} does not wait in {mailbox} (any more)"
        if key not in here
        else f"{key} {here[key].name!r} is a {here[key].kind.value}: {_possible(here[key].kind)}"
        for key in asked
        if key not in here or how not in SETTLES[here[key].kind]
    ]
    chosen = [key for key in asked if key in here and how in SETTLES[here[key].kind]]
    fence = Fence(row.policy, mailbox_id, await office.ledger.read(fences.epoch, row.policy, mailbox_id))
    mails = [key for key in chosen if here[key].kind is Waits.GUESTS]
    settled = await _decide_guests(office, fence, mails, how) if mails else []
    others = [key for key in chosen if key not in mails]
    done, unclear = await _decide(office, fence, others, how) if others else ([], [])
    refused += [
        f"{key} {here[key].name!r} has not exactly one twin, or another item takes it: make them one in the mailbox, or both, or keep"
        for key in unclear
    ]
    if not done and not settled:
        text = f"no delete waits in {mailbox}" if ids is None else "nothing was changed"
        return Answer(False, f"{text}: {refused[0]}" if refused else text, tuple(refused[1:]))
    parts = [
        (table[how][0] if len(ids_) == 1 else table[how][1]).format(f"{len(ids_):,}")
        for table, ids_ in ((_DONE, done), (_DONE_GUESTS, settled))
        if ids_
    ]
    text = f"{mailbox}: {'; '.join(parts)}"
    return Answer(True, text + (f"; {len(refused):,} left alone" if refused else ""), tuple(refused))


def _possible(kind: Waits) -> str:
    return " or ".join(sorted(how.value for how in SETTLES[kind]))


async def _decide_guests(office: Office, fence: Fence, ids: list[int], how: Settle) -> list[int]:
    if how is Settle.DISCARD:
        return await office.ledger.write(guests.discard, fence, ids, office.clock.now_ms())
    decision = guests.INVITED if how is Settle.APPROVE else guests.QUIET
    return await office.ledger.write(guests.decide, fence, ids, decision)


async def _decide(office: Office, fence: Fence, ids: list[int], how: Settle) -> tuple[list[int], list[int]]:
    write, now = office.ledger.write, office.clock.now_ms()
    match how:
        case Settle.APPROVE:
            return await write(units.approve, fence, ids), []
        case Settle.DISCARD:
            return await write(units.discard, fence, ids, now), []
        case Settle.RESTORE:
            return await write(units.restore, fence, ids), []
        case Settle.RETRY:
            return await write(twins.retry, fence, ids), []
        case Settle.BOTH:
            return await write(twins.make_both, fence, ids) + await write(units.approve, fence, ids), []
        case Settle.KEEP:
            return (
                await write(twins.keep_apart, fence, ids, now) + await write(units.discard, fence, ids, now),
                [],
            )
        case Settle.DISMISS:
            return await write(twins.dismiss, fence, ids, now), []
        case Settle.ADOPT:
            return await write(twins.use_own, fence, ids)
        case Settle.QUIET:
            return [], []  # of writes with guests alone
