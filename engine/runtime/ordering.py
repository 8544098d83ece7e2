"""An admin's orders: undo a cycle, leave mailboxes, begin afresh. Checked here, stored, and carried out by the next cycle."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger import orders
from engine.ledger import reinit as reinit_units
from engine.model.modules import Module
from engine.model.states import PolicyState
from engine.monitor.commands import Answer, DropOrder, LeavePolicy, Reinitialize, UndoCycle
from engine.monitor.history import CycleRow, Reinit
from engine.runtime import history, words
from engine.runtime.office import Office

_NAMES = ", ".join(module.value for module in Module)


def modules_of(names: Sequence[str]) -> tuple[Module, ...] | None:
    """Modules by name, all for none named; None when one is unknown."""
    if not names:
        return tuple(Module)
    known = {module.value: module for module in Module}
    return tuple(known[name] for name in names) if set(names) <= known.keys() else None


def _not_undoable(row: CycleRow) -> str | None:
    if row.kind == orders.LEAVE:
        return f"cycle {row.id} left the mailbox; enable the policy to sync it again"
    if row.state in {"running", "asked"}:
        return f"cycle {row.id} has not ended yet; wait for its end, or x stops it"
    if not row.mailbox:
        return f"the mailbox of cycle {row.id} is no user of any policy any more"
    if row.undone_by is not None:
        return f"cycle {row.id} was undone by cycle {row.undone_by}; undo that one to take it back"
    if not row.wrote:
        return f"cycle {row.id} wrote nothing, so that there is nothing to undo"
    return None


async def undo(office: Office, command: UndoCycle) -> tuple[Answer, dict[str, set[str]]]:
    """Store the order to undo. Returns the answer, and the mailboxes that have work to do, by policy."""
    rows = await history.chosen(office, command.cycle, command.mailbox, whole_run=command.whole_run)
    if not rows:
        whose = f" of {command.mailbox}" if command.mailbox else ""
        text = f"there is no cycle {command.cycle}{whose}; syncline cycles, or H on a user, lists them"
        return Answer(False, text), {}
    refused = {row.id: why for row in rows if (why := _not_undoable(row)) is not None}
    good = [row for row in rows if row.id not in refused]
    if not good:
        return Answer(False, next(iter(refused.values())), tuple(refused.values())[1:]), {}
    wanted: dict[str, set[str]] = {}
    for row in good:
        await office.ledger.write(
            orders.ask,
            office.mailbox_ids[row.mailbox],
            row.policy,
            orders.UNDO,
            office.clock.now_ms(),
            about=row.id,
        )
        wanted.setdefault(office.store.users[row.mailbox].policy, set()).add(row.mailbox)
    number = words.mailboxes(len({row.mailbox for row in good}))
    which = f"cycle {good[0].id}" if len(good) == 1 else words.count(len(good), "cycle", "cycles")
    return Answer(True, f"undo of {which} in {number}", tuple(refused.values())), wanted


async def leave(office: Office, command: LeavePolicy) -> tuple[Answer, dict[str, set[str]]]:
    """Store the order to leave mailboxes; the policy must be off, so that nothing writes there meanwhile."""
    row = office.store.policies[command.policy]
    if row.state is not PolicyState.DISABLED:
        return Answer(False, f"{command.policy} is on; o in Policies turns it off first"), {}
    if office.runner.running(command.policy):
        return Answer(False, f"{command.policy} still runs; wait for its end"), {}
    emails = members(office, command.policy, command.mailbox)
    if not emails:
        return Answer(False, f"{command.mailbox or command.policy} has no mailbox to leave"), {}
    for email in emails:
        await office.ledger.write(
            orders.ask,
            office.mailbox_ids[email],
            command.policy,
            orders.LEAVE,
            office.clock.now_ms(),
            options={"edited": command.edited_too},
        )
    return Answer(True, f"leaving {words.mailboxes(len(emails))} of {command.policy}"), {
        command.policy: set(emails)
    }


async def drop(office: Office, command: DropOrder) -> Answer:
    """Give up an order that stands; refused while a cycle of its mailbox runs."""
    standing = {one.cycle_id: one for one in await office.ledger.read(orders.asked)}
    order = standing.get(command.cycle)
    if order is None:
        return Answer(False, f"cycle {command.cycle} is no undo or leave that is still to be done")
    email = next((name for name, one in office.mailbox_ids.items() if one == order.mailbox_id), "")
    if email in office.queue.running():
        return Answer(False, f"a cycle of {email} is running; try again when it has ended, or x stops it")
    await office.ledger.write(orders.drop, order.cycle_id, "given up by an admin", office.clock.now_ms())
    office.runner.ordered.discard(email)
    return Answer(
        True,
        f"the {order.kind} {order.cycle_id} of {email or 'a removed mailbox'} is given up; what was done stays",
    )


def members(office: Office, policy: str, mailbox: str = "") -> list[str]:
    """The users of a policy, or the one that is named if he is one of them."""
    return [
        user.id for user in office.store.users.values() if user.policy == policy and mailbox in {"", user.id}
    ]


async def reinitialize(office: Office, command: Reinitialize) -> Answer:
    """Store what is to begin afresh; the next cycle of each mailbox does it."""
    modules = modules_of(command.modules)
    if modules is None:
        wrong = ", ".join(sorted(set(command.modules) - {module.value for module in Module}))
        return Answer(False, f"there is no module {wrong!r}; there are: {_NAMES}. Nothing was changed")
    unknown = [email for email in command.mailboxes if email not in office.store.users]
    if unknown or not command.mailboxes:
        return Answer(False, f"{', '.join(unknown) or 'nobody'} is no user of any policy; nothing was changed")
    ids = [office.mailbox_ids[email] for email in command.mailboxes]
    names = [module.value for module in modules]
    await office.ledger.write(reinit_units.ask, ids, names, command.mode.value)
    number = words.mailboxes(len(ids))
    if command.mode is Reinit.NONE:
        return Answer(True, f"{number}: what was asked to begin afresh is dropped")
    what = "all modules" if len(modules) == len(Module) else ", ".join(said(module) for module in modules)
    return Answer(True, f"{command.mode.value.capitalize()} of {what} in {number}")


def said(module: Module) -> str:
    """A module in the plural, as people say it."""
    name = module.value.replace("_", " ")
    return f"{name[:-1]}ies" if name.endswith("y") else f"{name}s"


def what_undo(command: UndoCycle) -> tuple[str, ...]:
    """What an undo is about to do; its preview has the numbers."""
    return (
        f"Undo of cycle {command.cycle}.",
        "Both sides are read first: what was edited since is left alone and listed.",
        "What is put back stays on its side, until somebody changes it. Guests get no mail.",
    )


_MODES = {
    Reinit.NONE: "What was asked to begin afresh is dropped.",
    Reinit.RESYNC: "What the mailbox has lost is pushed again; the CRM is not read again.",
    Reinit.FULL: "The CRM is read again, completely; what the mailbox has lost is pushed again.",
    Reinit.CLEAR: "What Syncline made there is removed, then the CRM is read again and everything made anew. "
    "What the person has edited, and the CRM has not received, stays.",
}


def what_reinitialize(command: Reinitialize) -> tuple[str, ...]:
    """What a re-initialise is about to do."""
    who = words.mailboxes(len(command.mailboxes))
    return (
        f"{who}: {', '.join(command.modules).replace('_', ' ') or 'all modules'}.",
        _MODES[command.mode],
        *(() if command.mode is Reinit.NONE else ("Nothing is deleted in the CRM, and nothing is doubled.",)),
    )


async def leaving(office: Office) -> set[str]:
    """Policies whose mailboxes are being left."""
    asked = await office.ledger.read(orders.asked)
    return {one.policy for one in asked if one.kind == orders.LEAVE}


async def unfinished(office: Office) -> dict[str, set[str]]:
    """The mailboxes with orders that are still to be carried out, by policy."""
    emails = {mailbox_id: email for email, mailbox_id in office.mailbox_ids.items()}
    found: dict[str, set[str]] = {}
    for one in await office.ledger.read(orders.asked):
        if one.mailbox_id in emails:
            found.setdefault(office.store.users[emails[one.mailbox_id]].policy, set()).add(
                emails[one.mailbox_id]
            )
    return found
