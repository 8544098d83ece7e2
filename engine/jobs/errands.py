"""What a policy can be run for beside its cycles: to preview them, and to carry out a part of a preview.

An errand goes through the same queue, one per mailbox at a time, and works on a policy that is off as well. It leaves the
state, the schedule and the phase of a mailbox as they are.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass

from engine.jobs.queue import Priority
from engine.ledger import proposals
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.store import Ledger
from engine.model.activity import Emit
from engine.model.modules import Module
from engine.model.policy import Policy
from engine.model.states import CycleKind
from engine.sync.context import PolicyContext, Run
from engine.sync.preview import preview_mailbox
from engine.sync.preview_apply import apply_preview


@dataclass(frozen=True, slots=True)
class Errand:
    """One errand.

    Attributes:
        work: done for each mailbox once the CRM has been read.
        only: addresses of the mailboxes; None for all of the policy.
        writes: whether it writes to providers.
        kind: of cycle, as the screens show it meanwhile.
        priority: its place in the queue.
        modules: only the CRM feeds that hold these are read; None: all.
        initialised: only for mailboxes whose first sync has ended.
        connection: the mailbox connection whose credentials are used; empty: the policy's own.
        ledger: what writes are made through; None: the engine's ledger.
        emit: hears what cycles tell; None: the engine's monitors.
        heard: called for each mailbox when its turn is over, with its run (None: it did not come to an end) and what ended
            it; tells the screens the mailbox's state.
    """

    work: Callable[[PolicyContext, MailboxRecord, Fence, asyncio.Event], Awaitable[Run]]
    only: Collection[str] | None
    writes: bool
    kind: CycleKind = CycleKind.PREVIEW
    priority: Priority = Priority.ADMIN
    modules: frozenset[Module] | None = None
    initialised: bool = False
    connection: str = ""
    ledger: Ledger | None = None
    emit: Emit | None = None
    heard: Callable[[Policy, MailboxRecord, Run | None, BaseException | None], Awaitable[None]] | None = None


def preview_errand(only: Collection[str] | None) -> Errand:
    """Preview the next cycle of some mailboxes, or of all."""
    return Errand(preview_mailbox, only, writes=False)


@dataclass(frozen=True, slots=True)
class Selection:
    """Which lines of previews are carried out: of these ids, modules and kinds; None stands for all.

    ``parts`` are modules by mailbox address; a mailbox that is not in it is left out.
    """

    ids: Collection[int] | None = None
    modules: Collection[str] | None = None
    kinds: Collection[str] | None = None
    parts: Mapping[str, Collection[str]] | None = None


def apply_errand(selection: Selection, only: Collection[str]) -> Errand:
    """Carry out lines of the previews of some mailboxes."""

    async def work(context: PolicyContext, record: MailboxRecord, fence: Fence, stop: asyncio.Event) -> Run:
        parts = selection.parts
        lines = await context.ledger.read(
            proposals.lines,
            record.id,
            modules=selection.modules if parts is None else parts.get(record.email, ()),
            kinds=selection.kinds,
            ids=selection.ids,
        )
        return await apply_preview(context, record, fence, stop, lines)

    return Errand(work, only, writes=True)
