"""Running policies: the CRM is read once for all, then the mailboxes go through the queue, each on its own."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.crm.connector import CrmConnector
from engine.jobs.errands import Errand
from engine.jobs.label_checks import KIND as LABEL_CHECK
from engine.jobs.label_checks import LabelChecks
from engine.jobs.queue import JobQueue, Priority, Request, Running
from engine.jobs.rollout import Progress, Stage, Tally, held_back, said
from engine.jobs.schedule import next_due
from engine.jobs.trouble import CYCLES, Trouble, Verdict
from engine.jobs.waves import Waves
from engine.ledger import fence as fences
from engine.ledger import mailboxes, orders
from engine.ledger.fence import Fence
from engine.ledger.guarding import held_deletes
from engine.ledger.health import LedgerFault
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.store import Ledger, StaleLease
from engine.mailbox.connector import MailboxConnector
from engine.model.activity import Activity, ActivityKind, Emit
from engine.model.clock import Clock
from engine.model.modules import STEP_OF, ItemOutcome
from engine.model.policy import Policy
from engine.model.port import CrmUser, Page
from engine.model.states import CycleKind, FaultClass, UserState
from engine.net.errors import ProviderError
from engine.sync import cycle, reinit
from engine.sync import orders as ordered
from engine.sync.context import Feed, PolicyContext, Run, Stopped, SuspiciousSource, Waits
from engine.sync.faults import FOR_PEOPLE, fault_class, waits_for_person, worst
from engine.sync.teams import settle_teams, wants_teams

log = logging.getLogger(__name__)

#: A mailbox whose last fault was of these kinds is run again by a person only.
WAITING_KINDS = frozenset(kind.value for kind in FOR_PEOPLE)


@dataclass(slots=True)
class PolicyRun:
    """What a run of a policy did.

    Attributes:
        mailboxes: how many were run.
        written: items written on either side.
        faults: one line each, by mailbox (empty key: the policy as a whole).
        stopped: it was asked to stop.
        people: a fault waits for a person; the schedule pauses until then.
        fault_class: of the fault of the policy as a whole, if there is one.
        retry_after: seconds that a provider asked to wait after that fault.
        rollout: the roll-out, when a wave was judged in this run.
        lost: CRM objects that could not be read, with what the CRM said.
    """

    mailboxes: int = 0
    written: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    stopped: bool = False
    people: bool = False
    fault_class: FaultClass | None = None
    retry_after: float | None = None
    rollout: Progress | None = None
    lost: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class _Batch:
    """A run of a policy under way."""

    context: PolicyContext
    run: PolicyRun
    left: set[str]
    orders_only: bool = False
    errand: Errand | None = None
    done: asyncio.Event = field(default_factory=asyncio.Event)


class Runner:
    """Owns the runs of all policies. One run per policy at a time; a request during a run is served after it."""

    def __init__(
        self,
        ledger: Ledger,
        clock: Clock,
        emit: Emit,
        queue: JobQueue,
        connect_crm: Callable[[str], CrmConnector],
        connect_mailbox: Callable[[str], MailboxConnector],
    ) -> None:
        self._ledger = ledger
        self._clock = clock
        self._emit = emit
        self._queue = queue
        self._connect_crm = connect_crm
        self._connect_mailbox = connect_mailbox
        self._turns: dict[str, asyncio.Lock] = {}
        self._batches: dict[str, _Batch] = {}
        self._records: dict[str, MailboxRecord] = {}
        self._stops: dict[str, asyncio.Event] = {}
        #: The roll-outs of all policies.
        self.waves = Waves(ledger)
        #: The drop-label checks, which go through the same queue.
        self.labels = LabelChecks(ledger, clock, emit, queue, self._context, lambda: self.lease, self.sync_soon)
        #: Which mailboxes fail, and for how long that is retried.
        self.trouble = Trouble(clock)
        #: What ``fence.take_all`` gave this engine; ``None`` checks no lease (a runner without an engine around it).
        self.lease: int | None = None
        #: Mailboxes whose success has not been stored yet: id to time. An idle cycle commits nothing by itself.
        self.fresh: dict[int, int] = {}
        #: Mailboxes that come back before their schedule: address to time.
        self.retries: dict[str, int] = {}
        #: Mailboxes with an order of an admin that is still to be carried out, also while their policy is off.
        self.ordered: set[str] = set()

    # -- a whole policy --------------------------------------------------------------------------------

    def running(self, policy: str) -> bool:
        """Whether a run of this policy is under way."""
        return policy in self._stops

    @property
    def busy(self) -> bool:
        """Whether any run is under way."""
        return bool(self._stops)

    def stop(self, policy: str) -> None:
        """Ask the run of a policy to stop at the next page boundary."""
        stop = self._stops.get(policy)
        if stop is not None:
            stop.set()

    def sync_soon(self, email: str) -> None:
        """Have a mailbox synchronised before its schedule: a record that was made of a mail gets its drop label at once."""
        self.retries.setdefault(email, self._clock.now_ms())

    def cancel(self, email: str) -> bool:
        """Take a waiting mailbox out of the queue, or ask its running cycle to stop; False when it has none."""
        if not self._queue.cancel(email):
            return False
        self.labels.cancelled(email)
        record = self._records.get(email)
        batch = self._batches.get(record.policy) if record is not None else None
        if batch is not None and email not in self._queue.running():
            self._state(batch.context.policy, email, UserState.IDLE, "cancelled before it began")
            self._settled(batch, email)
        return True

    @staticmethod
    def _settled(batch: _Batch, email: str) -> None:
        """A mailbox of a run has had its turn; the last one ends the run."""
        batch.left.discard(email)
        if not batch.left:
            batch.done.set()

    async def run_policy(
        self,
        policy: Policy,
        *,
        only: Collection[str] | None = None,
        priority: Priority = Priority.SCHEDULE,
        orders_only: bool = False,
    ) -> PolicyRun:
        """Run a policy once: read the CRM, then run its mailboxes (or ``only`` some) through the queue.

        Mailboxes that were never initialised make it a first sync: phase A reads the CRM completely for all of them
        before any data is written. A mailbox with orders of an admin carries them out first, also when it is paused; with
        ``orders_only`` nothing else is done, as for a policy that is off.
        """
        async with self._turns.setdefault(policy.name, asyncio.Lock()):
            stop = self._stops[policy.name] = asyncio.Event()
            try:
                result = await self._run(policy, only, priority, stop, orders_only)
                while (
                    result.rollout is not None and result.rollout.stage is Stage.RUNNING and not stop.is_set()
                ):
                    # The wave was good, and the policy does not ask: the next one begins.
                    later = await self._run(policy, None, priority, stop, orders_only)
                    later.mailboxes += result.mailboxes
                    later.written += result.written
                    later.faults = result.faults | later.faults
                    result = later
                return result
            except LedgerFault as fault:  # nobody could be looked up: all wait for the disk
                return PolicyRun(faults={"": str(fault)}, fault_class=FaultClass.CRITICAL)
            finally:
                del self._stops[policy.name]

    async def _run(
        self,
        policy: Policy,
        only: Collection[str] | None,
        priority: Priority,
        stop: asyncio.Event,
        orders_only: bool,
    ) -> PolicyRun:
        result = PolicyRun()
        asked = await self._ledger.read(orders.asked)
        waiting = {one.mailbox_id for one in asked}
        # To leave, nothing of the CRM need be known: it works also when the CRM is gone.
        leaving = orders_only and {one.kind for one in asked if one.policy == policy.name} == {orders.LEAVE}
        # What the CRM tells goes to paused mailboxes as well, since its feeds tell it once; they only run no cycle.
        # Who is paused before the first sync is read completely when resumed.
        everyone = await self._ledger.read(mailboxes.mailboxes, policy.name)
        back = {} if orders_only else await self.waves.begin(policy, everyone)
        for record in everyone:
            if record.id in back and not record.paused:
                self._state(policy, record.email, UserState.QUEUED, back[record.id])
        records = [
            record
            for record in everyone
            if not (record.paused or orders_only or record.id in back) or record.phase != "new"
        ]
        self.ordered |= {record.email for record in records if record.id in waiting}
        everybody = [
            record.email
            for record in records
            if record.id in waiting or not (record.paused or orders_only or record.id in back)
        ]
        try:
            context = await self._context(policy, stop)
            if not leaving:
                records = await self._resolve_users(context, records, result)
                new = [record for record in records if record.phase == "new"]
                due = [one for one in records if one.email in everybody and (only is None or one.email in only)]
                await reinit.before_baseline(context, due)
                await self._baseline(context, records, new)
        except Stopped:
            result.stopped = True
            for email in everybody:
                self._state(policy, email, UserState.QUEUED, "stopped; it goes on where it was")
            return result
        except (ProviderError, SuspiciousSource, StaleLease, LedgerFault) as error:
            result.faults[""] = str(error)
            result.people = waits_for_person(error)
            result.fault_class = kind = fault_class(error, in_step=False)
            result.retry_after = getattr(error, "retry_after", None)
            for email in everybody:
                self._tell_fault(policy, email, str(error), kind)
                self._state(policy, email, UserState.FAILED, str(error), fault=kind, whole=True)
            return result
        chosen = [
            record for record in records if record.email in everybody and (only is None or record.email in only)
        ]
        if priority is not Priority.ADMIN:
            # What waits for a person is not tried again by the clock; an admin's request tries it.
            chosen = [record for record in chosen if record.fault_kind not in WAITING_KINDS]
        result.lost = context.lost
        await self._mailboxes(context, chosen, result, priority, orders_only)
        if not (orders_only or result.stopped):
            result.rollout = await self.waves.judge(context)
            if result.rollout is not None:
                await self._tell_rollout(policy, result.rollout)
        return result

    async def _tell_rollout(self, policy: Policy, progress: Progress) -> None:
        """A wave was judged: its mailboxes' monitors say so; those that wait say what they wait for now."""
        records = await self._ledger.read(mailboxes.mailboxes, policy.name)
        stopped = progress.stage is Stage.STOPPED
        for record in records:
            why = held_back(progress, record.wave)
            if why and not record.paused:
                self._state(policy, record.email, UserState.QUEUED, why)
            elif stopped and record.wave == progress.wave:
                text = f"the roll-out {said(progress)}"
                self._emit(
                    self._activity(policy, record.email, ActivityKind.FAULT, text=text, sign="✗", ok=False)
                )
            elif record.wave is not None:
                self._emit(
                    self._activity(policy, record.email, ActivityKind.NOTE, text=f"roll-out: {progress.why}")
                )

    async def run_errand(self, policy: Policy, errand: Errand, stop: asyncio.Event | None = None) -> PolicyRun:
        """Read the CRM, then do something else than a cycle for each mailbox; waits while the policy runs.

        States, schedules and phases stay as they are, and a mailbox that fails is told in the result alone, or to
        ``errand.heard``. ``stop`` ends it at a page boundary.
        """
        async with self._turns.setdefault(policy.name, asyncio.Lock()):
            stop = self._stops[policy.name] = stop or asyncio.Event()
            try:
                return await self._run_errand(policy, errand, stop)
            finally:
                del self._stops[policy.name]

    async def _run_errand(self, policy: Policy, errand: Errand, stop: asyncio.Event) -> PolicyRun:
        result = PolicyRun()
        records = [
            record
            for record in await self._ledger.read(mailboxes.mailboxes, policy.name)
            if record.phase != "new" or not (record.paused or errand.initialised)
        ]
        try:
            context = await self._context(policy, stop, errand)
            records = await self._resolve_users(context, records, result)
            if records:
                complete = any(record.phase == "new" for record in records)
                await cycle.baseline(context, records, complete=complete)
        except Stopped:
            result.stopped = True
            return result
        except (ProviderError, SuspiciousSource, StaleLease, LedgerFault) as error:
            result.faults[""] = str(error)
            result.people = waits_for_person(error)
            result.fault_class = fault_class(error, in_step=False)
            result.retry_after = getattr(error, "retry_after", None)
            return result
        chosen = [
            record
            for record in records
            if not record.paused
            and (errand.only is None or record.email in errand.only)
            and (record.phase == "ready" or not errand.initialised)
        ]
        await self._mailboxes(context, chosen, result, errand.priority, False, errand)
        return result

    async def _context(
        self, policy: Policy, stop: asyncio.Event, errand: Errand | None = None
    ) -> PolicyContext:
        emit, ledger, mailbox = self._emit, self._ledger, policy.mailbox
        if errand is not None:
            emit, ledger = errand.emit or emit, errand.ledger or ledger
            mailbox = errand.connection or mailbox
        context = PolicyContext(
            ledger,
            self._clock,
            emit,
            policy,
            self._connect_crm(policy.crm),
            self._connect_mailbox(mailbox),
            Fence(policy.name, 0, await self._ledger.read(fences.epoch, policy.name, 0, self.lease)),
            [],
            stop,
        )
        context.crm_feeds = await cycle.crm_feeds(context)
        if errand is not None and errand.modules is not None:
            context.crm_feeds = [feed for feed in context.crm_feeds if errand.modules & set(feed.scope.modules)]
        return context

    async def _resolve_users(
        self, context: PolicyContext, records: list[MailboxRecord], result: PolicyRun
    ) -> list[MailboxRecord]:
        """Find the CRM user and zone of mailboxes that do not name them, and the teams where the policy shows them."""
        people: list[CrmUser] | None = None
        if not all(record.crm_user and record.zone for record in records):
            people = await context.crm.users(managers=wants_teams(context.policy))
            records = await self._name_users(context, records, people, result)
        return await settle_teams(context, records, people)

    async def _name_users(
        self,
        context: PolicyContext,
        records: list[MailboxRecord],
        people: Sequence[CrmUser],
        result: PolicyRun,
    ) -> list[MailboxRecord]:
        by_id = {one.id: one for one in people}
        by_email = {one.email.casefold(): one for one in people if one.active}
        found = []
        for record in records:
            person = by_id.get(record.crm_user) if record.crm_user else by_email.get(record.email.casefold())
            if person is None and not record.crm_user:
                text = (
                    f"no active user of the CRM has the address {record.email}; "
                    "e on the user, or crm_user in the file, names the person there; J on the policy takes out an address that is wrong"
                )
                result.faults[record.email] = text
                self._tell_fault(context.policy, record.email, text, FaultClass.CONNECTION)
                self._state(context.policy, record.email, UserState.FAILED, text, fault=FaultClass.CONNECTION)
                continue
            zone = record.zone or (person.zone if person else "UTC")
            crm_user = record.crm_user or (person.id if person else "")
            if (zone, crm_user) != (record.zone, record.crm_user):
                await self._ledger.write(mailboxes.set_mailbox, record.id, zone=zone, crm_user=crm_user)
            found.append(replace(record, zone=zone, crm_user=crm_user))
        return found

    async def _baseline(
        self, context: PolicyContext, records: list[MailboxRecord], new: list[MailboxRecord]
    ) -> None:
        if not records:
            return
        policy = context.policy
        emails = {record.id: record.email for record in records}
        fresh = {record.id for record in new}
        done: Counter[int] = Counter()
        for record in new:
            self._emit(
                self._activity(
                    policy,
                    record.email,
                    ActivityKind.STATE,
                    state=UserState.INITIALIZING,
                    phase="A",
                    cycle=CycleKind.FIRST,
                    text="initialising: reading the CRM; nothing flows to it meanwhile",
                    sign="▸",
                )
            )

        def on_page(feed: Feed, page: Page, counts: Counter[int]) -> None:
            for mailbox_id, count in counts.items():
                if mailbox_id not in fresh:
                    continue
                done[mailbox_id] += count
                self._emit(
                    self._activity(
                        policy,
                        emails[mailbox_id],
                        ActivityKind.PROGRESS,
                        phase="A",
                        cycle=CycleKind.FIRST,
                        step=STEP_OF[feed.scope.modules[0]],
                        done=done[mailbox_id],
                        text=f"read {count} items of {feed.scope.key} from the CRM",
                    )
                )

        await cycle.baseline(context, records, complete=bool(new), on_page=on_page)
        if new:
            await self._ledger.write(
                mailboxes.set_phase, context.fence, [record.id for record in new], "baseline"
            )
            for record in new:
                self._state(policy, record.email, UserState.QUEUED, "initialised; waiting for its turn")

    async def _mailboxes(
        self,
        context: PolicyContext,
        records: list[MailboxRecord],
        result: PolicyRun,
        priority: Priority,
        orders_only: bool,
        errand: Errand | None = None,
    ) -> None:
        if not records:
            return
        policy = context.policy
        batch = self._batches[policy.name] = _Batch(
            context, result, {record.email for record in records}, orders_only, errand
        )
        try:
            for record in records:
                self._records[record.email] = record
                if errand is None:
                    self.retries.pop(record.email, None)
                    self._state(policy, record.email, UserState.QUEUED)
            self._queue.submit(
                Request(record.email, policy.name, CycleKind.FULL.value, priority) for record in records
            )
            stopper = asyncio.ensure_future(context.stop.wait())
            ender = asyncio.ensure_future(batch.done.wait())
            await asyncio.wait({stopper, ender}, return_when=asyncio.FIRST_COMPLETED)
            stopper.cancel()
            if context.stop.is_set():
                result.stopped = True
                running = set(self._queue.running())
                for email in batch.left - running:
                    self._queue.cancel(email)
                    if errand is not None:
                        continue
                    self._state(policy, email, UserState.QUEUED, "stopped; it goes on where it was")
                batch.left &= running
                if batch.left:
                    await ender
            ender.cancel()
        finally:
            del self._batches[policy.name]

    # -- one mailbox -----------------------------------------------------------------------------------

    async def handle(self, running: Running) -> None:
        """Run one mailbox: the queue's handler. Whatever goes wrong ends this mailbox's cycle, nothing else."""
        try:
            if running.kinds != {LABEL_CHECK}:
                await self._run_mailbox(running)
        finally:
            await self.labels.handle(running)

    async def _run_mailbox(self, running: Running) -> None:
        record = self._records.get(running.key)
        # A request that merged with one for the drop labels waits in their lane.
        batch = self._batches.get(record.policy) if record is not None else None
        if batch is None or record is None or running.key not in batch.left:
            return  # its policy's run has ended meanwhile; the schedule brings it back
        policy = batch.context.policy
        try:
            try:
                if batch.errand is not None:
                    await self._carry(batch, batch.errand, record, running.stop)
                    return
                await self._cycle(batch, policy, record, running.stop)
            except LedgerFault:
                raise
            except Exception as error:  # a fault of ours must not stop the other mailboxes, and must be seen
                log.exception("cycle of %s failed", record.email)
                text = f"internal error: {error.__class__.__name__}: {error}"
                await self._failed(batch, policy, record, text, fault_class(error, in_step=False))
                await self._tally(policy, record, None, text)
        except LedgerFault as fault:
            self._unwritable(batch, policy, record, fault)
        finally:
            self._settled(batch, running.key)

    def _unwritable(self, batch: _Batch, policy: Policy, record: MailboxRecord, fault: LedgerFault) -> None:
        """The ledger cannot be used: nothing of it can be stored; the cycle comes back as soon as the ledger does."""
        text = str(fault)
        batch.run.faults[record.email] = text
        now = self._clock.now_ms()
        self.retries[record.email] = now
        self._tell_fault(policy, record.email, text, FaultClass.CRITICAL)
        self._emit(
            self._activity(
                policy, record.email, ActivityKind.CYCLE, ended=True, ok=False, fault=FaultClass.CRITICAL
            )
        )
        self._state(policy, record.email, UserState.BACKOFF, text, until=now, fault=FaultClass.CRITICAL)

    async def _cycle(self, batch: _Batch, policy: Policy, record: MailboxRecord, stop: asyncio.Event) -> None:
        record = await self._ledger.read(mailboxes.mailbox_by_id, record.id)
        kind = CycleKind.FULL if record.phase == "ready" else CycleKind.FIRST
        try:
            epoch = await self._ledger.read(fences.epoch, policy.name, record.id, self.lease)
            fence = Fence(policy.name, record.id, epoch)
            if record.fault_kind:
                await self._ledger.write(mailboxes.set_mailbox_fenced, fence, fault_kind="")
            self._state(
                policy, record.email, UserState.SYNCING, kind=kind, phase="B" if kind is CycleKind.FIRST else ""
            )
            for order in await self._ledger.read(orders.asked, [record.id]):
                run = await ordered.carry_out(batch.context, record, fence, order, stop)
                if run.faults:
                    await self._ended(batch, policy, record, run)
                    return
                batch.run.written += _written(run)
            self.ordered.discard(record.email)
            if batch.orders_only or record.paused:
                batch.run.mailboxes += 1
                self._state(policy, record.email, UserState.PAUSED if record.paused else UserState.DISABLED)
                return
            run = await cycle.run_cycle(batch.context, record, fence, kind, stop)
            await self._ended(batch, policy, record, run)
        except Stopped:
            self._state(policy, record.email, UserState.QUEUED, "stopped; it goes on where it was")
            batch.run.stopped = True
            return
        except Waits as wait:
            batch.run.faults[record.email] = str(wait)
            asked = (wait.until_ms - self._clock.now_ms()) / 1000
            verdict = self.trouble.failed(policy.mailbox, record.email, asked)
            # A provider that lets us wait is no fault, until it has done so for too long.
            state = UserState.BACKOFF if verdict.retry_at is not None else UserState.FAILED
            await self._comes_back(policy, record.email, state, str(wait), FaultClass.CONNECTION, verdict)
            return
        except StaleLease as stale:
            self._state(policy, record.email, UserState.QUEUED, str(stale))

    async def _carry(self, batch: _Batch, errand: Errand, record: MailboxRecord, stop: asyncio.Event) -> None:
        """Do an errand for one mailbox. Whatever goes wrong is told in the run's result alone."""
        policy = batch.context.policy
        record = await self._ledger.read(mailboxes.mailbox_by_id, record.id)
        if errand.writes:
            self._state(policy, record.email, UserState.SYNCING, kind=errand.kind)
        run: Run | None = None
        failure: BaseException | None = None
        try:
            epoch = await self._ledger.read(fences.epoch, policy.name, record.id, self.lease)
            run = await errand.work(batch.context, record, Fence(policy.name, record.id, epoch), stop)
        except Stopped as stopped:
            batch.run.stopped, failure = True, stopped
        except (Waits, StaleLease, ProviderError, LedgerFault) as error:
            batch.run.faults[record.email], failure = str(error), error
        except Exception as error:
            log.exception("errand of %s failed", record.email)
            batch.run.faults[record.email] = f"internal error: {error.__class__.__name__}: {error}"
            failure = error
        else:
            batch.run.mailboxes += 1
            batch.run.written += _written(run)
            if errand.writes:
                await run.close_cycle("failed" if run.faults else "ok", "; ".join(run.faults))
            if run.faults:
                batch.run.faults[record.email] = run.faults[0]
        if errand.heard is not None:
            await errand.heard(policy, record, run, failure)
        elif errand.writes:
            self._state(policy, record.email, UserState.IDLE)

    async def _ended(self, batch: _Batch, policy: Policy, record: MailboxRecord, run: Run) -> None:
        batch.run.mailboxes += 1
        written = _written(run)
        batch.run.written += written
        now = self._clock.now_ms()
        await run.close_cycle("failed" if run.faults else "ok", "; ".join(run.faults))
        if run.faults:
            kind = None
            for one in run.fault_classes:
                kind = worst(kind, one)
            number = len(run.faults)
            above = "for the reason above" if number == 1 else f"for the {number} reasons above"
            await self._failed(batch, policy, record, run.faults[0], kind, run.retry_after, above)
            await self._tally(policy, record, run, run.faults[0])
            return
        await self._tally(policy, record, run, "")
        if run.asked == 0:
            self._proved_nothing(policy, record, run)
            return
        self.trouble.healed(record.email)
        if record.phase != "ready" or record.fault or record.failures:
            await self._ledger.write(
                mailboxes.set_mailbox_fenced,
                run.fence,
                phase="ready",
                fault="",
                fault_kind="",
                fault_class="",
                failures=0,
                last_success_at=now,
            )
        else:
            self.fresh[record.id] = now
        due = next_due(policy.scheduling, now)
        self._emit(
            self._activity(
                policy,
                record.email,
                ActivityKind.CYCLE,
                cycle=run.kind,
                ended=True,
                next_full_ms=due.at_ms,
                sign="✓",
                text=f"{run.kind.value} finished, {written} items written",
            )
        )
        self._state(policy, record.email, UserState.IDLE)

    def _proved_nothing(self, policy: Policy, record: MailboxRecord, run: Run) -> None:
        """A cycle that asked no feed of the mailbox ended well and says nothing: it does not count as a success."""
        due = next_due(policy.scheduling, self._clock.now_ms())
        text = f"{run.kind.value} ended without reading the mailbox: every step of the policy was skipped"
        self._emit(
            self._activity(
                policy,
                record.email,
                ActivityKind.CYCLE,
                cycle=run.kind,
                ended=True,
                proved=False,
                next_full_ms=due.at_ms,
                sign="!",
                text=text,
            )
        )
        self._state(policy, record.email, UserState.IDLE)

    async def _tally(self, policy: Policy, record: MailboxRecord, run: Run | None, fault: str) -> None:
        """What a cycle did, for the roll-out that may be under way."""
        if not self.waves.watching(policy.name):
            return
        now = await self._ledger.read(mailboxes.mailbox_by_id, record.id)
        counts: Counter[ItemOutcome] = Counter()
        for (_, outcome), count in (run.counts if run is not None else {}).items():
            counts[outcome] += count
        held = await self._ledger.read(held_deletes, record.id)
        tally = Tally(
            written=_written(run) if run is not None else 0,
            deleted=counts[ItemOutcome.DELETED] + held,
            failed=counts[ItemOutcome.FAILED],
            fault=fault,
            failures=now.failures,
            people=now.fault_kind in WAITING_KINDS,
        )
        await self.waves.tally(policy.name, now, tally)

    async def _failed(
        self,
        batch: _Batch,
        policy: Policy,
        record: MailboxRecord,
        text: str,
        kind: FaultClass | None,
        retry_after: float | None = None,
        told: str = "",
    ) -> None:
        """A cycle failed: transient faults come back with back-off, others wait for a person.

        ``told`` is how the monitor's line refers to faults that were told there already, instead of ``text`` once more.
        """
        batch.run.faults[record.email] = text
        current = await self._ledger.read(mailboxes.mailbox_by_id, record.id)
        failures = current.failures + 1
        await self._ledger.write(
            mailboxes.set_mailbox, record.id, failures=failures, fault=text, fault_class=kind or ""
        )
        self._emit(
            self._activity(
                policy,
                record.email,
                ActivityKind.CYCLE,
                ended=True,
                ok=False,
                sign="✗",
                text=f"cycle failed {told}" if told else f"cycle failed: {text}",
            )
        )
        if current.fault_kind in WAITING_KINDS:
            self._state(policy, record.email, UserState.FAILED, text, fault=kind)
            return
        verdict = self.trouble.failed(policy.mailbox, record.email, retry_after)
        await self._comes_back(policy, record.email, UserState.FAILED, text, kind, verdict)

    async def _comes_back(
        self, policy: Policy, email: str, state: UserState, text: str, kind: FaultClass | None, verdict: Verdict
    ) -> None:
        """When a mailbox that failed is tried again: by itself, or, once it was retried for too long, by the schedule."""
        until = verdict.retry_at
        if until is not None:
            self.retries[email] = until
        else:
            until = next_due(policy.scheduling, self._clock.now_ms()).at_ms or verdict.rests_until
        if verdict.cancelled:
            self._tell_fault(policy, email, f"{verdict.said}. {text}", kind or FaultClass.CYCLE)
        self._state(policy, email, state, text, until=until, fault=kind)
        if verdict.cancelled:
            await self.trouble.give_up(CYCLES, email, text, verdict.said)

    # -- telling ---------------------------------------------------------------------------------------

    def _activity(self, policy: Policy, email: str, kind: ActivityKind, **values: Any) -> Activity:
        return Activity(kind=kind, mailbox=email, at_ms=self._clock.now_ms(), policy=policy.name, **values)

    def _tell_fault(self, policy: Policy, email: str, text: str, kind: FaultClass) -> None:
        self._emit(self._activity(policy, email, ActivityKind.FAULT, text=text, sign="✗", ok=False, fault=kind))

    def _state(
        self,
        policy: Policy,
        email: str,
        state: UserState,
        text: str = "",
        *,
        until: int | None = None,
        kind: CycleKind | None = None,
        phase: str = "",
        fault: FaultClass | None = None,
        whole: bool = False,
    ) -> None:
        self._emit(
            self._activity(
                policy,
                email,
                ActivityKind.STATE,
                state=state,
                text=text,
                until_ms=until,
                cycle=kind,
                phase=phase,
                fault=fault,
                whole=whole,
            )
        )


def _written(run: Run) -> int:
    made = {ItemOutcome.CREATED, ItemOutcome.UPDATED, ItemOutcome.DELETED}
    return sum(count for (_, outcome), count in run.counts.items() if outcome in made)


def due_retries(retries: Mapping[str, int], now: int) -> list[str]:
    """Mailboxes whose wait is over."""
    return [email for email, until in retries.items() if until <= now]
