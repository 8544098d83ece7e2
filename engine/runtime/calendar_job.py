"""CalendarSynchronization: what a run covers, the lease under which exactly one node carries it out, and its record.

For each operator the calendar step alone is run, with the job's own window (``engine.sync.window``), through the same queue,
fences, journal and Delete Safety as a full sync. A run waits for the full sync of a policy and never overlaps it. Every commit of
a run checks the lease (``engine.ledger.jobs``), so that a node that lost it writes nothing more.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any, Concatenate, ParamSpec, TypeVar

import sqlalchemy as sa

from engine.jobs.errands import Errand
from engine.jobs.queue import Priority
from engine.jobs.runner import WAITING_KINDS, PolicyRun
from engine.jobs.schedule import in_blackout
from engine.jobs.trouble import Verdict
from engine.ledger import history, mailboxes
from engine.ledger import jobs as units
from engine.ledger.fence import Fence
from engine.ledger.health import LedgerFault
from engine.ledger.jobs import Lease, RunMailbox
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.store import Ledger, StaleLease
from engine.model.activity import Activity, ActivityKind
from engine.model.config_jobs import group_from_doc, job_from_doc, settings_of
from engine.model.incident import IncidentKind, Strike
from engine.model.job import CALENDAR, SYSTEM, AccessGroup, JobSettings, Person, Scope, Share, scope_of
from engine.model.modules import EVENT_MODULES, ItemOutcome
from engine.model.policy import Policy
from engine.model.states import CycleKind, FaultClass, PolicyState, UserState
from engine.monitor.rows import RunRow
from engine.runtime import rollouts, words
from engine.runtime.office import Office
from engine.sync import cycle
from engine.sync.calendar import window_of
from engine.sync.context import PolicyContext, Run, Stopped, Waits
from engine.sync.faults import fault_class, waits_for_person, worst

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: A lease is good for so long, and renewed at a third of it (milliseconds).
LEASE_MS = 60_000

#: Lines of a trace that are kept.
MOST_LINES = 5_000

#: Outcomes that are writes.
_WRITTEN = frozenset({ItemOutcome.CREATED, ItemOutcome.UPDATED, ItemOutcome.DELETED})


class LeasedLedger:
    """The ledger as a run of the job has it: each write checks in its transaction that the lease is still this node's."""

    def __init__(self, ledger: Ledger, name: str, token: int) -> None:
        self._ledger = ledger
        self._name = name
        self._token = token

    @property
    def fault(self) -> LedgerFault | None:
        """Why the last unit could not be run."""
        return self._ledger.fault

    @fault.setter
    def fault(self, value: LedgerFault | None) -> None:
        self._ledger.fault = value

    async def write(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a write transaction.

        Raises:
            StaleLease: another node has taken the job over.
        """
        done: T = await self._ledger.write(units.under, self._name, self._token, unit, args, kwargs)
        return done

    async def read(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a read transaction."""
        return await self._ledger.read(unit, *args, **kwargs)

    def check_held(self) -> None:
        """Whether this engine still holds its ledger."""
        self._ledger.check_held()


class _Turn:
    """One run under way: what it has done so far."""

    def __init__(self, run: RunRow, settings: JobSettings, priority: Priority, *, traced: bool) -> None:
        self.run = run
        self.settings = settings
        self.priority = priority
        self.traced = traced
        self.boxes: dict[str, RunMailbox] = {}
        self.begun: dict[str, int] = {}
        self.lines: list[tuple[int, str, str, str]] = []
        self.filtered: Counter[str] = Counter()
        self.stops: dict[str, asyncio.Event] = {}
        self.stopped = False
        self.lost = ""

    def line(self, at: int, mailbox: str, sign: str, text: str) -> None:
        """A line of the trace."""
        if self.traced and len(self.lines) < MOST_LINES:
            self.lines.append((at, mailbox, sign, text))


class CalendarJob:
    """The job on one engine."""

    def __init__(self, office: Office) -> None:
        self._office = office
        self._turn: _Turn | None = None
        self.holder = f"pid {os.getpid()} on {os.uname().nodename}"
        self.override: dict[str, Any] | None = None
        self.trace = False
        self.groups: dict[str, AccessGroup] = {}
        #: Operators that come back before the schedule: address to time; and those that need not be tried sooner.
        self.retries: dict[str, int] = {}
        self._rests: dict[str, int] = {}
        #: When another node's lease ends, as the last run found it.
        self.held_until: int | None = None

    # -- definition ------------------------------------------------------------------------------------

    async def load(self) -> None:
        """Read override, trace and access groups.

        Raises:
            ConfigErrors: what is stored is not valid for this version.
        """
        found = await self._office.ledger.read(units.stored, CALENDAR)
        self.override = None if found.override is None else job_from_doc(CALENDAR, found.override)
        self.trace = found.trace
        stored = await self._office.ledger.read(units.groups)
        self.groups = {name: group_from_doc(name, document) for name, document in stored.items()}

    @property
    def settings(self) -> JobSettings:
        """The definition in force."""
        return settings_of(CALENDAR, self.override or {})

    def scope(self, settings: JobSettings | None = None) -> Scope:
        """Whom a run serves now."""
        settings = settings or self.settings
        group = None if settings.context == SYSTEM else self.groups.get(settings.context)
        if settings.context != SYSTEM and group is None:
            return Scope(left_out={"": f"there is no access group {settings.context!r} any more"})
        users = self._office.store.users.values()
        people = [Person(row.id, row.policy, row.calendar_sync, row.exchange_email) for row in users]
        return scope_of(group, self._office.policies, self._office.connections, people)

    async def lease(self) -> Lease | None:
        """Who runs the job, or ran it last."""
        return await self._office.ledger.read(units.lease_of, CALENDAR)

    # -- running ---------------------------------------------------------------------------------------

    def stop(self) -> None:
        """Ask the run to stop at the next page boundary."""
        if self._turn is not None:
            self._turn.stopped = True
            for stop in self._turn.stops.values():
                stop.set()

    async def run(self, run: RunRow, only: Collection[str] | None, priority: Priority) -> None:
        """Carry out one run and store its record. ``only`` some operators: those whose wait is over.

        The result and the numbers are left in ``run``.
        """
        office = self._office
        now = office.clock.now_ms()
        run.id = await office.ledger.write(history.start_run, CALENDAR, run.started_ms)
        turn = self._turn = _Turn(run, self.settings, priority, traced=self.trace)
        try:
            taken, lease = await office.ledger.write(units.take_lease, CALENDAR, self.holder, now, LEASE_MS)
            if not taken:
                self.held_until = lease.until_ms
                run.result = "skipped"
                held = f"{lease.holder}, until {words.clock_utc(lease.until_ms)}"
                self._office.store.jobs[CALENDAR].lease = held
                run.note = (
                    f"{lease.holder} runs it, and holds its lease until {words.clock_utc(lease.until_ms)}"
                )
                return
            self.held_until = None
            turn.line(now, "", "▸", f"lease {lease.token} taken by {self.holder}")
            self._office.store.jobs[CALENDAR].lease = f"{self.holder}, fencing token {lease.token}"
            renewing = asyncio.ensure_future(self._renew(turn, lease.token))
            try:
                await self._shares(turn, lease.token, only)
            finally:
                renewing.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await renewing
                with contextlib.suppress(LedgerFault):
                    await office.ledger.write(units.release_lease, CALENDAR, lease.token, office.clock.now_ms())
            self._sum(turn)
        except asyncio.CancelledError:
            run.result, run.note = "stopped", "the engine ended"
            raise
        except Exception as error:  # a fault of ours is shown and recorded, and the schedule goes on
            log.exception("%s failed", CALENDAR)
            run.result, run.errors = "failed", max(run.errors, 1)
            run.note = f"internal error: {error.__class__.__name__}: {error}"
        finally:
            self._turn = None
            with contextlib.suppress(LedgerFault):
                await office.ledger.write(
                    units.end_run,
                    run.id,
                    run.result,
                    run.items,
                    run.errors,
                    run.note,
                    office.clock.now_ms(),
                    list(turn.boxes.values()),
                    turn.lines,
                )

    async def _renew(self, turn: _Turn, token: int) -> None:
        """Hold the lease while the run goes on; stop the run when it is lost."""
        office = self._office
        while True:
            await office.clock.sleep(LEASE_MS / 3000)
            try:
                await office.ledger.write(units.renew_lease, CALENDAR, token, office.clock.now_ms() + LEASE_MS)
            except StaleLease as lost:
                turn.lost = str(lost)
                for stop in turn.stops.values():
                    stop.set()
                return
            except LedgerFault:
                continue  # told by the service on every screen; the next renewal may come in time

    async def _shares(self, turn: _Turn, token: int, only: Collection[str] | None) -> None:
        scope = self.scope(turn.settings)
        now = self._office.clock.now_ms()
        for email, why in scope.left_out.items():
            turn.line(now, email, "", f"left out: {why}")
        async with asyncio.TaskGroup() as group:
            for share in scope.shares:
                turn.stops[share.policy] = asyncio.Event()
                group.create_task(self._share(turn, token, share, only))

    async def _share(self, turn: _Turn, token: int, share: Share, only: Collection[str] | None) -> None:
        """The operators of one policy."""
        office = self._office
        policy = office.policies[share.policy]
        records = {one.email: one for one in await office.ledger.read(mailboxes.mailboxes, policy.name)}
        chosen = []
        for email in share.operators:
            if email not in records or (only is not None and email not in only):
                continue
            why = self._skipped(policy, records[email], turn.priority)
            if why:
                self._box(turn, policy.name, email, "skipped", note=why)
            else:
                chosen.append(email)
        if not chosen:
            return
        for email in chosen:
            self.retries.pop(email, None)
        errand = Errand(
            self._work(turn),
            chosen,
            writes=True,
            kind=CycleKind.CALENDAR,
            priority=turn.priority,
            modules=frozenset(EVENT_MODULES),
            initialised=True,
            connection=share.connection if share.connection != policy.mailbox else "",
            ledger=LeasedLedger(office.ledger, CALENDAR, token),
            emit=self._emit(turn),
            heard=self._heard(turn),
        )
        if office.runner.running(policy.name):
            turn.line(office.clock.now_ms(), "", "", f"waits for the full sync of {policy.name}")
        work = asyncio.ensure_future(office.runner.run_errand(policy, errand, turn.stops[policy.name]))
        stop = asyncio.ensure_future(turn.stops[policy.name].wait())
        try:
            await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not work.done() and not any(email in turn.begun for email in chosen):
                # It may still wait for the policy's full sync, which goes on.
                await asyncio.wait({work}, timeout=1.0)
                if not work.done():
                    work.cancel()
            result = await work
        except LedgerFault as fault:
            result = PolicyRun(faults={"": str(fault)}, fault_class=FaultClass.CRITICAL)
        except asyncio.CancelledError:
            if not work.cancelled():
                work.cancel()
                raise
            result = PolicyRun(stopped=True)
        finally:
            stop.cancel()
        self._ended(turn, policy, chosen, result)

    def _skipped(self, policy: Policy, record: MailboxRecord, priority: Priority) -> str:
        """Why an operator has no turn in this run; empty when he has."""
        office = self._office
        row = office.store.policies[policy.name]
        now = office.clock.now_ms()
        if row.state is not PolicyState.ENABLED:
            return f"the policy {policy.name} is off"
        if in_blackout(policy.scheduling, now):
            return f"the policy {policy.name} is in a blackout period"
        if record.paused:
            return f"paused by {record.paused_by}" if record.paused_by else "paused"
        if record.phase != "ready":
            return "the first sync of this mailbox has not ended yet"
        if refusal := rollouts.refusal(office, record.email):
            return refusal
        if priority is Priority.ADMIN:
            return ""
        if record.fault_kind in WAITING_KINDS:
            return f"waits for a person: {record.fault}"
        rests = self._rests.get(record.email, 0)
        if rests > now:
            return f"failed; it is not tried again before {words.clock_utc(rests)}"
        return ""

    def _work(self, turn: _Turn) -> Callable[..., Any]:
        async def work(context: PolicyContext, record: MailboxRecord, fence: Fence, stop: asyncio.Event) -> Run:
            now = self._office.clock.now_ms()
            turn.begun[record.email] = now
            window = window_of(record, now, turn.settings.skip_older_than_days)
            how = (
                "later run: future appointments that changed"
                if window.past_days is None
                else f"first run: all future appointments and the last {window.past_days} days"
            )
            turn.line(now, record.email, "", how)
            return await cycle.run_cycle(context, record, fence, CycleKind.CALENDAR, stop, window=window)

        return work

    def _emit(self, turn: _Turn) -> Callable[[Activity], None]:
        def emit(activity: Activity) -> None:
            self._office.fold(activity)
            if activity.text:
                turn.line(activity.at_ms, activity.mailbox, activity.sign, activity.text)

        return emit

    # -- what came of it -------------------------------------------------------------------------------

    def _box(
        self, turn: _Turn, policy: str, email: str, result: str, run: Run | None = None, note: str = ""
    ) -> None:
        now = self._office.clock.now_ms()
        counts = (
            {} if run is None else {f"{module}.{what}": number for (module, what), number in run.counts.items()}
        )
        filtered = {} if run is None else dict(run.filtered)
        turn.filtered.update(filtered)
        turn.boxes[email] = RunMailbox(
            email,
            policy,
            0 if run is None else run.cycle_id,
            result,
            turn.begun.get(email, now),
            now,
            counts,
            filtered,
            note,
        )
        turn.line(now, email, "✓" if result == "ok" else "", result + (f": {note}" if note else ""))

    def _heard(self, turn: _Turn) -> Callable[..., Any]:
        async def heard(
            policy: Policy, record: MailboxRecord, run: Run | None, failure: BaseException | None
        ) -> None:
            if isinstance(failure, Stopped | StaleLease):
                self._box(turn, policy.name, record.email, "stopped", note=str(failure))
                await self._rest(policy, record)
            elif failure is not None or (run is not None and run.faults):
                await self._failed(turn, policy, record, run, failure)
            else:
                self._box(turn, policy.name, record.email, "ok", run)
                self._office.runner.trouble.healed(record.email, job=CALENDAR)
                self._rests.pop(record.email, None)
                self._office.fold.faults.heal(IncidentKind.JOB, record.email, self._office.clock.now_ms())
                await self._rest(policy, record)

        return heard

    async def _failed(
        self,
        turn: _Turn,
        policy: Policy,
        record: MailboxRecord,
        run: Run | None,
        failure: BaseException | None,
    ) -> None:
        """An operator's run failed: it comes back with back-off until that is cancelled, or waits for a person."""
        office = self._office
        kind: FaultClass | None = None
        if failure is not None:
            text, kind = str(failure), fault_class(failure, in_step=False)
            if isinstance(failure, Waits):
                kind, asked = FaultClass.CONNECTION, (failure.until_ms - office.clock.now_ms()) / 1000
            else:
                asked = getattr(failure, "retry_after", None) or 0.0
            people = waits_for_person(failure)
            phase = "before its calendar was read" if run is None else "calendar"
        else:
            assert run is not None
            text, asked, phase = run.faults[0], run.retry_after or 0.0, "calendar"
            for one in run.fault_classes:
                kind = worst(kind, one)
            now_stored = await office.ledger.read(mailboxes.mailbox_by_id, record.id)
            people = now_stored.fault_kind in WAITING_KINDS
        verdict = (
            None if people else office.runner.trouble.failed(policy.mailbox, record.email, asked, job=CALENDAR)
        )
        self._later(record.email, verdict)
        cancelled = verdict is not None and verdict.cancelled
        throttled = isinstance(failure, Waits) and verdict is not None and verdict.retry_at is not None
        self._box(turn, policy.name, record.email, "cancelled" if cancelled else "failed", run, text)
        if not throttled:
            advice = "No repeat mends it: it waits for a person. Mend the cause, then r runs the job again."
            if not people:
                advice = "It is tried again by itself."
            office.fold.faults.strike(
                Strike(
                    IncidentKind.JOB,
                    policy.name,
                    record.email,
                    kind,
                    text,
                    advice,
                    f"{CALENDAR}, {phase}",
                    office.clock.now_ms(),
                    people,
                )
            )
        until = None if verdict is None else (verdict.retry_at or verdict.rests_until)
        state = UserState.BACKOFF if throttled else UserState.FAILED
        self._state(policy, record, state, f"{CALENDAR}: {text}", until, kind)
        if cancelled and verdict is not None:
            await office.runner.trouble.give_up(CALENDAR, record.email, text, verdict.said)

    def _later(self, email: str, verdict: Verdict | None) -> None:
        self.retries.pop(email, None)
        if verdict is None:
            return
        self._rests[email] = verdict.rests_until
        if verdict.retry_at is not None:
            self.retries[email] = verdict.retry_at

    async def _rest(self, policy: Policy, record: MailboxRecord) -> None:
        """The mailbox is as its last full sync left it."""
        now = await self._office.ledger.read(mailboxes.mailbox_by_id, record.id)
        if not now.fault:
            self._state(policy, record, UserState.IDLE, "", None, None)
            return
        kind = FaultClass(now.fault_class) if now.fault_class else None
        waits = now.fault_kind in WAITING_KINDS
        row = self._office.store.policies[policy.name]
        until = None if waits else self._office.runner.retries.get(record.email, row.next_full_ms)
        self._state(policy, record, UserState.FAILED, now.fault, until, kind)

    def _state(
        self,
        policy: Policy,
        record: MailboxRecord,
        state: UserState,
        text: str,
        until: int | None,
        kind: FaultClass | None,
    ) -> None:
        self._office.fold(
            Activity(
                ActivityKind.STATE,
                record.email,
                self._office.clock.now_ms(),
                policy=policy.name,
                state=state,
                text=text,
                until_ms=until,
                fault=kind,
                cycle=CycleKind.CALENDAR,
            )
        )

    def _ended(self, turn: _Turn, policy: Policy, chosen: Collection[str], result: PolicyRun) -> None:
        """A policy's share is over: what was not reached, and a fault that concerns it as a whole."""
        office = self._office
        fault = result.faults.get("", "")
        now = office.clock.now_ms()
        for email in chosen:
            if email not in turn.boxes:
                why = fault or result.faults.get(email, "") or turn.lost or "stopped before its turn"
                failed = bool(fault or result.faults.get(email))
                self._box(turn, policy.name, email, "failed" if failed else "stopped", note=why)
        if fault:
            advice = "It is tried again by the next run." if not result.people else "It waits for a person."
            office.fold.faults.strike(
                Strike(
                    IncidentKind.JOB,
                    policy.name,
                    policy.name,
                    result.fault_class,
                    fault,
                    advice,
                    f"{CALENDAR}, reading the CRM",
                    now,
                    result.people,
                )
            )
        elif not result.stopped:
            office.fold.faults.heal(IncidentKind.JOB, policy.name, now)

    def _sum(self, turn: _Turn) -> None:
        """The run's result, in numbers and words."""
        run = turn.run
        results = Counter(one.result for one in turn.boxes.values())
        for one in turn.boxes.values():
            for name, number in one.counts.items():
                if name.partition(".")[2] in _WRITTEN:
                    run.items += number
        run.errors = results["failed"] + results["cancelled"]
        served = sum(results.values()) - results["skipped"]
        parts = [words.count(served, "operator", "operators")]
        if turn.filtered:
            parts.append(f"{sum(turn.filtered.values()):,} filtered")
        parts += [
            f"{results[name]} {name}" for name in ("failed", "cancelled", "stopped", "skipped") if results[name]
        ]
        run.note = ", ".join(parts)
        if turn.lost:
            run.result, run.note = "failed", turn.lost
        elif turn.stopped or results["stopped"]:
            run.result = "stopped"
        elif run.errors:
            run.result = "failed"
        elif not served:
            run.result = "skipped"
            if not turn.boxes:
                run.note = f"nobody to run for: {self.nobody()}"
        else:
            run.result = "ok"

    def nobody(self) -> str:
        """Why a run would serve nobody."""
        scope = self.scope()
        if "" in scope.left_out:
            return scope.left_out[""]
        if not scope.shares:
            if self.settings.context == SYSTEM:
                return "no policy has mailboxes that are polled (Exchange); an access group can name others"
            return f"the access group {self.settings.context!r} covers no policy"
        return "no operator has Calendar Sync on"
