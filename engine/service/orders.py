"""Orders that stand until they are carried out: undo, leave, re-initialise. What they would do, and waiting for them."""

from __future__ import annotations

from collections.abc import Sequence

from engine.jobs.queue import Priority
from engine.model.modules import Module
from engine.monitor.history import LeavePreview, UndoPreview
from engine.runtime import history as histories
from engine.runtime import ordering
from engine.runtime.timekeeper import FULL
from engine.service.parts import Parts
from engine.service.views import ServiceError


async def undo_preview(parts: Parts, cycle: int, mailbox: str = "", *, whole_run: bool = False) -> UndoPreview:
    """What undoing a cycle would do, from what both sides last showed; see ``UndoCycle``. Writes nothing.

    Raises:
        ServiceError: there is no such cycle.
        ProviderError: the settings of a connection cannot work.
    """
    rows = await histories.chosen(parts._office, cycle, mailbox, whole_run=whole_run)
    if not rows:
        raise ServiceError(f"there is no cycle {cycle}" + (f" of {mailbox}" if mailbox else ""))
    return await histories.undo_preview(parts._office, rows)


async def leave_preview(
    parts: Parts, policy: str, mailbox: str | None = None, *, edited_too: bool = False
) -> LeavePreview:
    """What leaving the mailboxes of a policy would remove, and what stays; see ``LeavePolicy``. Writes nothing.

    Raises:
        ServiceError: there is no such policy, or the mailbox is none of its users.
        ProviderError: the settings of a connection cannot work.
    """
    parts._known(mailbox, policy)
    emails = ordering.members(parts._office, policy, mailbox or "")
    if not emails:
        raise ServiceError(f"{mailbox or 'nobody'} is no user of the policy {policy!r}")
    return await histories.leave_preview(parts._office, emails, edited_too=edited_too)


async def clearable(parts: Parts, mailboxes: Sequence[str], modules: Sequence[str] = ()) -> int:
    """How many items the re-initialise ``clear`` would remove before it makes them anew.

    Raises:
        ServiceError: there is no such mailbox or module.
    """
    for mailbox in mailboxes:
        parts._known(mailbox, None)
    chosen = ordering.modules_of(modules)
    if chosen is None:
        known = ", ".join(module.value for module in Module)
        raise ServiceError(f"there is no module {', '.join(modules)!r}; there are: {known}")
    return await histories.clearable(parts._office, mailboxes, chosen)


async def carried_out(parts: Parts) -> list[str]:
    """Carry out the orders that stand (undo, leave) and wait for it. Needs ``running``.

    Returns:
        the mailboxes of which one is not finished, each with the reason; it goes on whenever the engine runs.
    """
    for policy, users in (await ordering.unfinished(parts._office)).items():
        if not parts._timekeeper.running(FULL.prefix + policy):
            parts._timekeeper.start(FULL.prefix + policy, users, Priority.ADMIN)
        await parts._timekeeper.finished(FULL.prefix + policy)
    left = await ordering.unfinished(parts._office)
    return [
        f"{email}: {parts.store.users[email].why or parts.store.users[email].text or 'not finished'}"
        for users in left.values()
        for email in sorted(users)
    ]
