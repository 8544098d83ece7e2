"""The jobs and the loop that starts them: full syncs by their policies' schedules, retries, verification, upkeep."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Collection, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from apscheduler.triggers.cron import CronTrigger

from engine.jobs.queue import Priority
from engine.jobs.runner import PolicyRun, due_retries
from engine.jobs.schedule import blackout_until, describe, in_blackout, labels_due, next_due
from engine.jobs.trigger import next_run, said
from engine.ledger import history, mailboxes, proposals
from engine.ledger.health import LedgerFault
from engine.model.incident import IncidentKind
from engine.model.job import CALENDAR, SHIPPED, ScheduleKind
from engine.model.states import JobState, PolicyState, UserState
from engine.monitor.rows import JobRow, PolicyRow, RunRow
from engine.monitor.store import Table
from engine.runtime import rows, words
from engine.runtime.calendar_job import CalendarJob
from engine.runtime.filing import check_drop_labels, has_labels
from engine.runtime.office import Office
from engine.runtime.ordering import unfinished
from engine.sync.faults import backoff_ms

log = logging.getLogger(__name__)

DAY_MS = 86_400_000

#: Monitor lines, cycles and runs are kept so long; the journal is not pruned.
KEEP_DAYS = 90

#: The time of a policy's last full sync is stored at least so often, milliseconds; an idle run commits nothing.
STORE_MS = 960_000

UPKEEP = "upkeep"
UPKEEP_CRON = "30 3 * * *"


@dataclass(frozen=True, slots=True)
class JobKind:
    """A kind of job: how its runs are carried out."""

    prefix: str
    title: str


FULL = JobKind("full:", "Full sync")
VERIFY = JobKind("verify:", "Verify")
LABELS = JobKind("labels:", "Drop-label check")

Verify = Callable[[str], Awaitable[tuple[int, int]]]
"""Verify a policy: (checks made, checks that differ)."""


class Timekeeper:
    """Owns the job rows and starts what is due. Ask it to run things; it records every run."""

    def __init__(self, office: Office, verify: Verify, node: str) -> None:
        self._office = office
        self._verify = verify
        self._node = node
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._asked: dict[str, tuple[set[str] | None, Priority]] = {}
        self._failures: dict[str, int] = {}
        self._retry_after: dict[str, float | None] = {}
        self._group: asyncio.TaskGroup | None = None
        self._starting = False
        self.calendar = CalendarJob(office)

    # -- rows ------------------------------------------------------------------------------------------

    async def build(self) -> None:
        """Build the job rows from the policies and the stored switches."""
        office = self._office
        stored = await office.ledger.read(mailboxes.jobs)
        last = await office.ledger.read(history.last_runs)
        wanted: dict[str, JobRow] = {}
        for name, policy in office.policies.items():
            for kind in (FULL, LABELS, VERIFY):
                if kind is LABELS and not has_labels(policy):
                    continue
                job = kind.prefix + name
                row = office.store.jobs.get(job) or JobRow(job)
                row.title, row.policy = f"{kind.title} {name}", name
                row.schedule = {
                    FULL: describe(policy.scheduling),
                    LABELS: f"every {policy.scheduling.label_check_minutes} min, in its hours",
                    VERIFY: policy.scheduling.verify,
                }[kind]
                row.zone = policy.scheduling.zone
                wanted[job] = row
        upkeep = office.store.jobs.get(UPKEEP) or JobRow(UPKEEP)
        upkeep.title, upkeep.schedule = "Ledger upkeep", UPKEEP_CRON
        wanted[UPKEEP] = upkeep
        await self.calendar.load()
        wanted[CALENDAR] = office.store.jobs.get(CALENDAR) or JobRow(CALENDAR, CALENDAR, shipped=True)
        for job, row in wanted.items():
            enabled, next_run = stored.get(
                job, (job not in SHIPPED and not job.startswith(VERIFY.prefix), None)
            )
            if row.state in {JobState.DISABLED, JobState.ENABLED, JobState.ERROR}:
                row.state = JobState.ENABLED if enabled else JobState.DISABLED
            row.node = self._node
            row.next_run_ms = next_run
            if job in last:
                row.last = run_row(last[job])
            self._schedule(row, missed=True)
        office.store.jobs = wanted
        office.store.reshape(Table.JOBS)

    def _schedule(self, row: JobRow, *, missed: bool = False) -> None:
        """Set a job's next run."""
        office = self._office
        now = office.clock.now_ms()
        if row.state is JobState.DISABLED:
            row.next_run_ms, row.next_why = None, "not applicable: the job is off, o turns it on"
            if row.id == CALENDAR:
                self._show_shipped(row)
        elif row.id == CALENDAR:
            self._show_shipped(row)
            self._schedule_shipped(row, now)
        elif row.id.startswith(FULL.prefix):
            name = row.id.removeprefix(FULL.prefix)
            policy_row = office.store.policies[name]
            if policy_row.state is not PolicyState.ENABLED:
                row.next_run_ms, row.next_why = None, f"not applicable: the policy {name} is off"
            elif policy_row.fault:
                row.next_run_ms, row.next_why = None, "waits for you: mend the fault, then r"
            elif policy_row.last_full_ms is None or (missed and not policy_row.initialised):
                # Only at the start and after a change of configuration: a mailbox that cannot be initialised has its
                # own back-off, and must not make its policy run without a pause.
                row.next_run_ms, row.next_why = now, "the first sync is due"
            else:
                due = next_due(office.policies[name].scheduling, policy_row.last_full_ms)
                row.next_run_ms, row.next_why = due.at_ms, due.why
                if due.at_ms is not None and due.at_ms < now:
                    row.next_run_ms, row.next_why = now, "overdue since the engine was away"
        elif row.id.startswith(LABELS.prefix):
            name = row.id.removeprefix(LABELS.prefix)
            if office.store.policies[name].state is not PolicyState.ENABLED:
                row.next_run_ms, row.next_why = None, f"not applicable: the policy {name} is off"
            else:
                due = labels_due(office.policies[name].scheduling, now)
                row.next_run_ms, row.next_why = due.at_ms, due.why
        else:
            verify = row.id.startswith(VERIFY.prefix)
            trigger = CronTrigger.from_crontab(row.schedule if verify else UPKEEP_CRON, timezone=row.zone)
            at = trigger.get_next_fire_time(None, datetime.fromtimestamp(now / 1000, UTC))
            row.next_run_ms, row.next_why = int(at.timestamp() * 1000), "by its schedule"
        self._show_next(row)

    def _show_shipped(self, row: JobRow) -> None:
        settings = self.calendar.settings
        row.schedule, row.zone, row.context = said(settings), settings.zone, settings.context
        row.overridden, row.traced = self.calendar.override is not None, self.calendar.trace
        row.retries = len(self.calendar.retries)

    def _schedule_shipped(self, row: JobRow, now: int) -> None:
        held = self.calendar.held_until
        if self.calendar.settings.schedule is ScheduleKind.STARTUP:
            row.next_run_ms = now if self._starting else None
            row.next_why = "at startup" if self._starting else "at the next start of the engine"
        elif held is not None and held > now:
            row.next_run_ms, row.next_why = held, "when the lease of the other node ends, unless it is renewed"
        else:
            row.next_run_ms, row.next_why = next_run(self.calendar.settings, now), "by its schedule"

    def _show_next(self, row: JobRow) -> None:
        """A job has got its next time: so have its policy and the mailboxes below it, if it is their full sync."""
        store = self._office.store
        store.touch(Table.JOBS, row)
        policy = store.policies.get(row.id.removeprefix(FULL.prefix))
        if not row.id.startswith(FULL.prefix) or policy is None:
            return
        policy.next_full_ms, policy.next_why = row.next_run_ms, row.next_why
        store.touch(Table.POLICIES, policy)
        for user in store.users.values():
            if user.policy == policy.id and user.next_full_ms != row.next_run_ms:
                user.next_full_ms = row.next_run_ms
                store.touch(Table.USERS, user)

    async def switch(self, job: str, enabled: bool) -> JobRow:
        """Enable or disable a job; a running one finishes."""
        row = self._office.store.jobs[job]
        if row.state is not JobState.RUNNING:
            row.state = JobState.ENABLED if enabled else JobState.DISABLED
        await self._office.ledger.write(mailboxes.set_job, job, enabled=enabled, next_run_at=None)
        self._schedule(row)
        return row

    def show(self, job: str) -> None:
        """A job's definition has changed: show it, with its next run."""
        row = self._office.store.jobs[job]
        if job in self._tasks:
            self._show_shipped(row)
            self._office.store.touch(Table.JOBS, row)
        else:
            self._schedule(row)

    async def reschedule(self, policy: str) -> None:
        """The policy was switched: its jobs get other times."""
        for kind in (FULL, LABELS, VERIFY):
            row = self._office.store.jobs.get(kind.prefix + policy)
            if row is not None:
                self._schedule(row, missed=True)

    # -- running ---------------------------------------------------------------------------------------

    async def serve(self, stop: asyncio.Event, *, schedule: bool = True) -> None:
        """Start what is due, once a second, until ``stop`` is set; running jobs are asked to stop and awaited.

        Without ``schedule`` nothing is due, and only what is asked for runs.
        """
        office = self._office
        stopping = asyncio.ensure_future(stop.wait())
        try:
            async with asyncio.TaskGroup() as group:
                self._group = group
                if schedule:
                    await self._resume_orders()
                    self._starting = True
                    self._schedule(office.store.jobs[CALENDAR])
                    self._starting = False
                while not stop.is_set():
                    try:
                        if schedule:
                            self._tick()
                    except Exception as error:  # shown, and the clock goes on: nothing may stop in silence
                        log.exception("the timekeeper failed")
                        office.store.engine.fault = (
                            f"the timekeeper failed: {error.__class__.__name__}: {error}"
                        )
                    await asyncio.wait({stopping}, timeout=1.0)
                self._group = None
                for policy in office.policies:
                    office.runner.stop(policy)
                self.calendar.stop()
                for job, task in self._tasks.items():
                    if not job.startswith(FULL.prefix) and job != CALENDAR:
                        task.cancel()
        finally:
            self._group = None
            stopping.cancel()

    async def _resume_orders(self) -> None:
        """Orders of an admin that an earlier engine has not carried out to their end."""
        for policy, users in (await unfinished(self._office)).items():
            self.start(FULL.prefix + policy, users, Priority.ADMIN)

    def _tick(self) -> None:
        office = self._office
        now = office.clock.now_ms()
        if office.unwell:
            return  # nothing can be written ahead, so nothing may be written to a provider
        for row in list(office.store.jobs.values()):
            if row.next_run_ms is not None and row.next_run_ms <= now and row.id not in self._tasks:
                policy = office.policies.get(row.id.removeprefix(FULL.prefix))
                if policy is not None and in_blackout(policy.scheduling, now):
                    due = next_due(policy.scheduling, now - policy.scheduling.workdays.minutes * 60_000)
                    row.next_run_ms, row.next_why = due.at_ms, "a blackout period"
                    self._show_next(row)
                    continue
                self.start(row.id, None, Priority.SCHEDULE)
        for policy_row in office.store.policies.values():
            until = blackout_until(office.policies[policy_row.id].scheduling, now)
            if until != policy_row.blackout_until_ms:
                policy_row.blackout_until_ms = until
                office.store.touch(Table.POLICIES, policy_row)
        for email in due_retries(office.runner.retries, now):
            user = office.store.users.get(email)
            enabled = user is not None and office.store.policies[user.policy].state is PolicyState.ENABLED
            free = enabled and user is not None and user.state is not UserState.PAUSED
            if user is None or not (free or email in office.runner.ordered):
                del office.runner.retries[email]
                continue
            if FULL.prefix + user.policy not in self._tasks:
                self.start(FULL.prefix + user.policy, {email}, Priority.RETRY)
        if CALENDAR not in self._tasks:
            again = due_retries(self.calendar.retries, now)
            if again and office.store.jobs[CALENDAR].state is JobState.DISABLED:
                self.calendar.retries.clear()
            elif again:
                self.start(CALENDAR, set(again), Priority.RETRY)

    def start(self, job: str, only: Collection[str] | None, priority: Priority) -> str:
        """Start a job now; a request during a run is served once after it. Returns what became of the request."""
        if self._group is None:
            return "the engine is stopping"
        if job in self._tasks:
            asked, level = self._asked.get(job, (set(), Priority.SCHEDULE))
            merged = None if asked is None or only is None else asked | set(only)
            self._asked[job] = (merged, max(level, priority))
            return "runs already; it will run once more right after"
        self._tasks[job] = self._group.create_task(self._run(job, only, priority))
        return "started"

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None] | None:
        """Run something beside the jobs; None when the engine is stopping. It must raise nothing."""
        if self._group is None:
            work.close()
            return None
        return self._group.create_task(work)

    @property
    def serving(self) -> bool:
        """Whether jobs can be started."""
        return self._group is not None

    def running(self, job: str) -> bool:
        """Whether a job runs now."""
        return job in self._tasks

    async def finished(self, job: str) -> None:
        """Wait until a job no longer runs."""
        while job in self._tasks:
            await asyncio.wait({self._tasks[job]})

    def stop(self, job: str) -> bool:
        """Ask a running job to stop at its next page; False when it does not run."""
        if job not in self._tasks:
            return False
        row = self._office.store.jobs[job]
        row.state = JobState.STOPPING
        self._office.store.touch(Table.JOBS, row)
        if job.startswith(FULL.prefix):
            self._office.runner.stop(job.removeprefix(FULL.prefix))
        elif job == CALENDAR:
            self.calendar.stop()
        else:
            self._tasks[job].cancel()
        return True

    async def _run(self, job: str, only: Collection[str] | None, priority: Priority) -> None:
        office = self._office
        row = office.store.jobs[job]
        enabled = row.state is not JobState.DISABLED
        started = office.clock.now_ms()
        row.state, row.next_run_ms, row.next_why = JobState.RUNNING, None, "after this run"
        run = RunRow(0, job, started)
        row.last = run
        office.store.touch(Table.JOBS, row)
        try:
            await self._carry_out(job, only, priority, run)
        except asyncio.CancelledError:
            run.result, run.note = "stopped", "stopped on request"
        except LedgerFault as fault:  # told by the service on every screen
            run.result, run.errors, run.note = "failed", 1, str(fault)
        except Exception as error:  # a fault of ours is shown and recorded, and the other jobs go on
            log.exception("job %s failed", job)
            run.result, run.errors, run.note = (
                "failed",
                1,
                f"internal error: {error.__class__.__name__}: {error}",
            )
        run.ended_ms = office.clock.now_ms()
        with contextlib.suppress(LedgerFault):
            # Otherwise it is a run of which the ledger can store nothing; the service tells so on every screen.
            noted = run.items or run.errors or run.result != "ok" or priority is not Priority.SCHEDULE
            if noted and job != CALENDAR:  # which stores its runs itself
                run.id = await office.ledger.write(_record_run, run)
            stored = await office.ledger.read(mailboxes.jobs)
            enabled = stored.get(job, (enabled, None))[0]
        row.state = JobState.ENABLED if enabled else JobState.DISABLED
        del self._tasks[job]
        self._after(row, run)
        asked = self._asked.pop(job, None)
        if asked is not None:
            self.start(job, *asked)

    def _after(self, row: JobRow, run: RunRow) -> None:
        """When a job runs next, given how it ended."""
        self._schedule(row)
        if row.next_run_ms is None:
            return
        if self._office.unwell and row.id.startswith(FULL.prefix):
            row.next_run_ms = self._office.clock.now_ms()
            row.next_why = "as soon as the ledger can be written again"
        elif run.result == "failed" and row.id.startswith(FULL.prefix):
            failures = self._failures[row.id] = self._failures.get(row.id, 0) + 1
            wait = backoff_ms(failures, self._retry_after.pop(row.id, None))
            row.next_run_ms = self._office.clock.now_ms() + wait
            times = words.count(failures, "time", "times")
            row.next_why = f"tries again after {wait // 1000} s; failed {times} in a row"
        elif run.result == "stopped" and row.id.startswith(FULL.prefix):
            # Stopped by a person: it goes on with the next interval, or on request.
            due = next_due(
                self._office.policies[row.id.removeprefix(FULL.prefix)].scheduling, run.ended_ms or 0
            )
            row.next_run_ms, row.next_why = due.at_ms, "stopped on request; r runs it now"
        else:
            self._failures.pop(row.id, None)
        self._show_next(row)
        if row.next_run_ms is not None and run.result == "failed":
            self._show_retry(row.id.removeprefix(FULL.prefix), row.next_run_ms)

    def _show_retry(self, policy: str, at_ms: int) -> None:
        """The whole policy failed for a passing reason: its mailboxes come back with it, and say when."""
        store = self._office.store
        for user in store.users.values():
            waits = user.policy == policy and user.state is UserState.FAILED and user.until_ms is None
            if waits and user.why == store.policies[policy].last_fault:
                user.until_ms = at_ms
                store.touch(Table.USERS, user)

    async def _carry_out(self, job: str, only: Collection[str] | None, priority: Priority, run: RunRow) -> None:
        if job == CALENDAR:
            await self.calendar.run(run, only, priority)
            if run.items or run.errors:
                for share in self.calendar.scope().shares:
                    await rows.refresh_policy(self._office, share.policy)
        elif job == UPKEEP:
            before = self._office.clock.now_ms() - KEEP_DAYS * DAY_MS
            run.items = await self._office.ledger.write(history.prune, before)
            day = self._office.clock.now_ms() - DAY_MS
            run.items += await self._office.ledger.write(proposals.drop_old, day)
            run.result, run.note = "ok", f"{run.items} old rows removed"
        elif job.startswith(VERIFY.prefix):
            checks, differ = await self._verify(job.removeprefix(VERIFY.prefix))
            run.items, run.errors = checks, differ
            run.result = "ok" if not differ else "failed"
            run.note = f"{checks} checks, {differ} differ" if differ else f"{checks} checks, all as expected"
        elif job.startswith(LABELS.prefix):
            await check_drop_labels(self._office, job.removeprefix(LABELS.prefix), only, priority, run)
        else:
            await self._full(job.removeprefix(FULL.prefix), only, priority, run)

    async def _full(self, name: str, only: Collection[str] | None, priority: Priority, run: RunRow) -> None:
        office = self._office
        row = office.store.policies[name]
        row.running = True
        office.store.touch(Table.POLICIES, row)
        try:
            result = await office.runner.run_policy(
                office.policies[name],
                only=only,
                priority=priority,
                orders_only=row.state is not PolicyState.ENABLED,
            )
        finally:
            row.running = False
            office.store.touch(Table.POLICIES, row)
        await self._note_result(name, only, result, run)

    async def _note_result(
        self, name: str, only: Collection[str] | None, result: PolicyRun, run: RunRow
    ) -> None:
        office = self._office
        row = office.store.policies[name]
        now = office.clock.now_ms()
        run.items, run.errors = result.written, len(result.faults)
        fault = result.faults.get("", "")
        if result.stopped:
            run.result, run.note = "stopped", "stopped; it goes on where it was"
        elif fault:
            run.result, run.note = "failed", fault
        else:
            run.result = "ok"
            number = result.mailboxes
            run.note = words.mailboxes(number) + (f", {len(result.faults)} failed" if result.faults else "")
        if fault:
            office.fold.faults.policy_failed(name, fault, result.fault_class, now, person=result.people)
        elif not result.stopped:
            office.fold.faults.heal(IncidentKind.POLICY, name, now)
        # Only what waits for a person stops the schedule; passing faults are tried again by themselves.
        row.fault = fault if result.people else ""
        row.fault_class = result.fault_class
        row.last_fault = fault
        self._retry_after[FULL.prefix + name] = result.retry_after
        if not result.stopped and not fault and only is None:
            row.last_full_ms = now
        row.notice = "; ".join(f"{key}: {text}" for key, text in result.lost.items())
        records = await office.ledger.read(mailboxes.mailboxes, name)
        row.initialised = bool(records) and all(record.phase == "ready" for record in records)
        if result.rollout is not None:
            stored = {record.name: record for record in await office.ledger.read(mailboxes.policies)}[name]
            rows.show_rollout(office, row, stored, records)
            office.fold.tell(
                f"{name}: the roll-out {row.rollout}" if row.rollout else f"{name}: all waves are synchronised",
                now,
                ok=row.rollout_stage != "stopped",
            )
        changed = bool(result.written or result.faults)
        await self._store_result(name, row, changed)
        if row.state is PolicyState.DISABLED:
            await rows.build(office)  # switched off meanwhile: its users are off now, too
        await rows.refresh_policy(office, name)

    async def _store_result(self, name: str, row: PolicyRow, changed: bool) -> None:
        """Store a policy's result; an idle run waits for the next change, so that it commits nothing."""
        office = self._office
        last_full, fault, initialised = row.last_full_ms, row.fault, row.initialised
        stored = {record.name: record for record in await office.ledger.read(mailboxes.policies)}[name]
        stale = last_full is not None and last_full - (stored.last_full_at or 0) > STORE_MS
        if changed or stale or stored.fault != fault or stored.initialised != initialised:
            await office.ledger.write(
                mailboxes.set_policy,
                name,
                last_full_at=last_full,
                fault=fault,
                fault_class=(row.fault_class or "") if fault else "",
                initialised=int(initialised),
            )


def _record_run(connection: object, run: RunRow) -> int:
    run_id = history.start_run(connection, run.job, run.started_ms)  # type: ignore[arg-type]
    history.end_run(
        connection,  # type: ignore[arg-type]
        run_id,
        run.result,
        run.items,
        run.errors,
        run.note,
        run.ended_ms or run.started_ms,
    )
    return run_id


def run_row(row: object) -> RunRow:
    """A run's row as screens read it."""
    values = row._mapping  # type: ignore[attr-defined]
    return RunRow(
        values["id"],
        values["job"],
        values["started_at"],
        values["ended_at"],
        values["result"],
        values["items"],
        values["errors"],
        values["note"],
    )
