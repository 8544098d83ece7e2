"""The drop-label checks of a policy's mailboxes: through the same queue as the full syncs, so that none meets one of its own.

A mailbox's request merges with the one for its full sync when that waits already; whichever kind runs, the other runs right
behind it. A check changes neither the state nor the schedule of a mailbox: its faults are told and come back with the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from engine.jobs.queue import JobQueue, Priority, Request, Running
from engine.ledger import fence as fences
from engine.ledger import mailboxes
from engine.ledger.fence import Fence
from engine.ledger.health import LedgerFault
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.store import Ledger, StaleLease
from engine.model.activity import Activity, ActivityKind, Emit
from engine.model.clock import Clock
from engine.model.modules import Step
from engine.model.policy import Policy
from engine.model.states import CycleKind
from engine.net.errors import ProviderError
from engine.sync.context import PolicyContext, Stopped, Waits
from engine.sync.faults import FOR_PEOPLE, fault_class
from engine.sync.filing import check_labels, files_mail

log = logging.getLogger(__name__)

KIND = CycleKind.LABELS.value

_WAITING_KINDS = frozenset(kind.value for kind in FOR_PEOPLE)


@dataclass(slots=True)
class LabelRun:
    """What the checks of a policy did: mailboxes looked at, mails filed and refused, faults by mailbox."""

    mailboxes: int = 0
    filed: int = 0
    refused: int = 0
    unfiled: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    skipped: str = ""  # why nothing was looked at


@dataclass(slots=True)
class _Batch:
    context: PolicyContext
    run: LabelRun
    records: dict[str, MailboxRecord]
    left: set[str]
    checking: set[str] = field(default_factory=set)
    done: asyncio.Event = field(default_factory=asyncio.Event)

    def settled(self, email: str) -> None:
        self.left.discard(email)
        if not self.left:
            self.done.set()


class LabelChecks:
    """Owns the drop-label checks that are under way."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        emit: Emit,
        queue: JobQueue,
        context: Callable[[Policy, asyncio.Event], Awaitable[PolicyContext]],
        lease: Callable[[], int | None],
        sync_soon: Callable[[str], None],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._emit = emit
        self._queue = queue
        self._context = context
        self._batches: dict[str, _Batch] = {}
        self._lease = lease
        #: Asks for a full sync of a mailbox before its schedule.
        self._sync_soon = sync_soon
        #: Mailboxes whom a provider asked to come back later: address to time.
        self._not_before: dict[str, int] = {}

    async def run(
        self, policy: Policy, only: Collection[str] | None = None, priority: Priority = Priority.SCHEDULE
    ) -> LabelRun:
        """Look at the drop labels of a policy's mailboxes, those that have had their first sync and are not paused.

        Cancelled, what runs ends at its next page, and what waits does nothing when its turn comes.
        """
        result = LabelRun()
        if policy.name in self._batches:
            result.skipped = "a check of this policy is under way"
            return result
        stop = asyncio.Event()
        context = await self._context(policy, stop)
        if not files_mail(context):
            result.skipped = "the policy files no mails, or its mail system or CRM cannot"
            return result
        now = self._clock.now_ms()
        records = {
            record.email: record
            for record in await self._ledger.read(mailboxes.mailboxes, policy.name)
            if record.phase == "ready"
            and not record.paused
            and (only is None or record.email in only)
            and (
                priority is Priority.ADMIN
                or (record.fault_kind not in _WAITING_KINDS and self._not_before.get(record.email, 0) <= now)
            )
        }
        if not records:
            return result
        batch = self._batches[policy.name] = _Batch(context, result, records, set(records))
        try:
            self._queue.submit(Request(email, _lane(policy.name), KIND, priority) for email in records)
            await batch.done.wait()
        finally:
            stop.set()
            del self._batches[policy.name]
        return result

    def running(self, policy: str) -> bool:
        """Whether a check of this policy is under way."""
        return policy in self._batches

    def cancelled(self, email: str) -> None:
        """A mailbox's request was taken out of the queue."""
        for batch in self._batches.values():
            if email in batch.left - batch.checking:
                batch.settled(email)

    async def handle(self, running: Running) -> None:
        """Check one mailbox, when that is among what the queue asks for. Raises nothing but cancellation."""
        if KIND not in running.kinds:
            return
        batch = next((each for each in self._batches.values() if running.key in each.left), None)
        if batch is None:
            return
        batch.checking.add(running.key)
        try:
            await self._check(batch, batch.records[running.key], running.stop)
        finally:
            batch.settled(running.key)

    async def _check(self, batch: _Batch, record: MailboxRecord, stop: asyncio.Event) -> None:
        policy = batch.context.policy
        email = record.email
        try:
            record = await self._ledger.read(mailboxes.mailbox_by_id, record.id)
            epoch = await self._ledger.read(fences.epoch, policy.name, record.id, self._lease())
            check = await check_labels(batch.context, record, Fence(policy.name, record.id, epoch), stop)
        except (Stopped, StaleLease) as end:
            batch.run.faults[email] = str(end)
            return
        except Waits as wait:
            self._not_before[email] = wait.until_ms
            self._fault(batch, email, str(wait), wait)
            return
        except (ProviderError, LedgerFault) as error:
            if isinstance(error, ProviderError) and error.retry_after:
                self._not_before[email] = self._clock.now_ms() + int(error.retry_after * 1000)
            self._fault(batch, email, str(error), error)
            return
        except Exception as error:  # a fault of ours must not stop the other mailboxes, and must be seen
            log.exception("drop-label check of %s failed", email)
            self._fault(batch, email, f"internal error: {error.__class__.__name__}: {error}", error)
            return
        if check.made:
            self._sync_soon(email)
        batch.run.mailboxes += 1
        batch.run.filed += check.filed
        batch.run.refused += check.refused
        batch.run.unfiled += check.unfiled

    def _fault(self, batch: _Batch, email: str, text: str, error: BaseException) -> None:
        batch.run.faults[email] = text
        with contextlib.suppress(LedgerFault):
            self._emit(
                Activity(
                    ActivityKind.FAULT,
                    email,
                    self._clock.now_ms(),
                    policy=batch.context.policy.name,
                    cycle=CycleKind.LABELS,
                    step=Step.MAIL,
                    sign="✗",
                    text=f"{KIND}: {text}",
                    ok=False,
                    fault=fault_class(error, in_step=True),
                )
            )


def _lane(policy: str) -> str:
    return f"{KIND} {policy}"
