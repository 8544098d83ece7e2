"""The façade: everything that screens and the command line may know of the engine.

Use::

    service = await Service.open(data_dir)
    async with service.running():
        answer = await service.do(EnablePolicy("Sales"), by="alice")
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from engine.jobs.queue import EmbeddedQueue, Priority
from engine.ledger import audit as audits
from engine.ledger import conflicts as conflict_units
from engine.ledger import fence, history, holder, mailboxes
from engine.ledger import jobs as job_units
from engine.ledger.health import LedgerFault
from engine.ledger.jobs import RunMailbox
from engine.ledger.lock import LedgerBusy
from engine.ledger.store import LedgerDamaged, SqliteLedger
from engine.model.clock import Clock, SystemClock
from engine.model.config import ConfigErrors, Configuration, export, parse, policy_to_doc, resolved
from engine.model.config_connections import KINDS
from engine.model.config_jobs import group_to_doc, job_to_doc
from engine.model.config_setup import setup_to_docs
from engine.model.form import (
    FormField,
    FormPage,
    FormProblem,
    changed,
    check_connection,
    check_policy,
    connection_pages,
    policy_pages,
    texts,
)
from engine.model.form_job import job_pages
from engine.model.job import CALENDAR, SHIPPED
from engine.model.modules import STEP_MODULES, STEPS, Direction, ItemOutcome, Module, Side, Step
from engine.model.states import CycleKind, FaultClass, JobState, Move, PolicyState, StepState, UserState
from engine.model.user_import import Change, NotReadable, Reject, UserImport, shown_value
from engine.monitor.actor import Actor, By, Role, actor_of, needs, refusal
from engine.monitor.audited import AuditRow, lines_changed, standing, subject
from engine.monitor.checklist import ASKED, BLOCKS, CheckLine, Checklist, CheckState
from engine.monitor.commands import (
    SETTLES,
    AcknowledgeIncidents,
    AddUsers,
    Answer,
    ApplyPreview,
    CancelUser,
    Command,
    DecideConflict,
    DeleteConnection,
    DeletePolicy,
    DisableJob,
    DisablePolicy,
    DropMails,
    DropOrder,
    DropPreview,
    Editing,
    EditJob,
    EnableJob,
    EnablePolicy,
    ImportUsers,
    Incidental,
    JobEditing,
    Keep,
    LeavePolicy,
    PauseUser,
    PreviewPolicy,
    Reinitialize,
    RemoveOverride,
    RemoveUsers,
    ResumeUser,
    RetryMails,
    RollOut,
    RunJob,
    SaveConnection,
    SavePolicy,
    SetOperator,
    Settle,
    SettleHeld,
    SetUser,
    StopJob,
    SyncNow,
    TestConnection,
    TestPolicy,
    TraceJob,
    UndoCycle,
    VerifyPolicy,
)
from engine.monitor.explain import (
    Explanation,
    Fact,
    FieldView,
    Filtered,
    Hit,
    Item,
    KeptCount,
    Section,
    Standing,
)
from engine.monitor.filing import STATES as FILED_STATES
from engine.monitor.filing import FiledRow, RetryFiling
from engine.monitor.fold import Fold
from engine.monitor.history import (
    CycleRow,
    DayRow,
    LeavePreview,
    LeaveRow,
    Reinit,
    UndoLine,
    UndoPreview,
    WrittenRow,
)
from engine.monitor.preview import FieldChange, PreviewKind, PreviewReport, PreviewRow, PreviewSum
from engine.monitor.report import ConflictRow, HeldRow, MailRow, RolloutReport, VerifyRow, Waits, WaveRow
from engine.monitor.rows import (
    EngineRow,
    IncidentRow,
    JobRow,
    LimitRow,
    Line,
    PolicyRow,
    RunRow,
    SessionRow,
    StepRow,
    UserRow,
    WaitRow,
)
from engine.monitor.store import Store, Subscription, Table
from engine.monitor.why import why_job, why_user
from engine.net.errors import ErrorKind, ProviderError
from engine.runtime import (
    conflicts,
    editing,
    exports,
    held,
    incident_reports,
    lingering,
    operators,
    ordering,
    rollouts,
    rows,
    words,
    written,
)
from engine.runtime import explain as explained
from engine.runtime import filing as filings
from engine.runtime import history as histories
from engine.runtime import report as reports
from engine.runtime import support as supporting
from engine.runtime.checks import doctor, verify_policy
from engine.runtime.desk import Desk
from engine.runtime.editing import ConnectionDraft, ConnectionRow, PolicyDraft, next_runs
from engine.runtime.freshness import Watch
from engine.runtime.heartbeat import heartbeat
from engine.runtime.jobdesk import JobDesk, JobDraft, JobVerdict, RunDetail, RunItem, stored_jobs
from engine.runtime.mailman import Mailman
from engine.runtime.office import Office
from engine.runtime.pushing import Pusher
from engine.runtime.timekeeper import FULL, LABELS, Timekeeper, run_row

__all__ = [
    "ASKED",
    "BLOCKS",
    "CALENDAR",
    "FILED_STATES",
    "KINDS",
    "SETTLES",
    "STEPS",
    "STEP_MODULES",
    "AcknowledgeIncidents",
    "Actor",
    "AddUsers",
    "Answer",
    "ApplyPreview",
    "AuditRow",
    "By",
    "CancelUser",
    "Change",
    "CheckLine",
    "CheckState",
    "Checklist",
    "Command",
    "ConflictRow",
    "ConnectionDraft",
    "ConnectionRow",
    "CycleKind",
    "CycleRow",
    "DayRow",
    "DecideConflict",
    "DeleteConnection",
    "DeletePolicy",
    "Direction",
    "DisableJob",
    "DisablePolicy",
    "DoctorRow",
    "DropMails",
    "DropOrder",
    "DropPreview",
    "EditJob",
    "EnableJob",
    "EnablePolicy",
    "EngineRow",
    "ErrorKind",
    "Explanation",
    "Fact",
    "FieldChange",
    "FieldView",
    "FiledRow",
    "Filtered",
    "FormField",
    "FormPage",
    "FormProblem",
    "HeldRow",
    "Hit",
    "ImportUsers",
    "IncidentRow",
    "Incidental",
    "Item",
    "ItemOutcome",
    "JobDesk",
    "JobDraft",
    "JobRow",
    "JobState",
    "JobVerdict",
    "Keep",
    "KeptCount",
    "LeavePolicy",
    "LeavePreview",
    "LeaveRow",
    "LedgerFault",
    "LimitRow",
    "Line",
    "MailRow",
    "Module",
    "Move",
    "PauseUser",
    "PolicyDraft",
    "PolicyRow",
    "PolicyState",
    "PreviewKind",
    "PreviewPolicy",
    "PreviewReport",
    "PreviewRow",
    "PreviewSum",
    "ProviderError",
    "Reinit",
    "Reinitialize",
    "Reject",
    "RemoveOverride",
    "RemoveUsers",
    "ResumeUser",
    "RetryFiling",
    "RetryMails",
    "Role",
    "RollOut",
    "RolloutReport",
    "RunDetail",
    "RunItem",
    "RunJob",
    "RunMailbox",
    "RunRow",
    "SaveConnection",
    "SavePolicy",
    "Section",
    "Service",
    "ServiceError",
    "SessionRow",
    "SetOperator",
    "SetUser",
    "Settle",
    "SettleHeld",
    "Side",
    "Standing",
    "Step",
    "StepRow",
    "StepState",
    "StopJob",
    "Store",
    "Subscription",
    "SyncNow",
    "Table",
    "TestConnection",
    "TestPolicy",
    "TraceJob",
    "UndoCycle",
    "UndoLine",
    "UndoPreview",
    "UserImport",
    "UserRow",
    "UserState",
    "VerifyPolicy",
    "VerifyRow",
    "WaitRow",
    "Waits",
    "WaveRow",
    "WrittenRow",
    "actor_of",
    "changed",
    "check_connection",
    "check_policy",
    "connection_pages",
    "job_pages",
    "needs",
    "next_runs",
    "policy_pages",
    "refusal",
    "shown_value",
    "texts",
    "why_job",
    "why_user",
]

#: Cycles that run at once. Providers' quotas are the limit, not this.
SLOTS = 16

#: Monitor lines and times of success reach the disk at least so often, in seconds.
FLUSH_SECONDS = 1.0

#: Freshness is looked at so often, in milliseconds.
FRESHNESS_MS = 30_000

#: A stop waits so long for cycles to reach a page boundary, in seconds.
STOP_SECONDS = 8.0

#: Commands that are stored for the next cycle, and need no running engine.
NEED_LEDGER_ONLY = (
    SettleHeld
    | DecideConflict
    | UndoCycle
    | LeavePolicy
    | DropOrder
    | Reinitialize
    | RetryFiling
    | RollOut
    | Editing
    | Incidental
    | JobEditing
    | EnableJob
    | DisableJob
)

#: Commands that change the configuration: the audit log has the lines of it that went and came.
CONFIGURES = (
    SavePolicy,
    DeletePolicy,
    AddUsers,
    RemoveUsers,
    SaveConnection,
    DeleteConnection,
    SetOperator,
    ImportUsers,
    EditJob,
    RemoveOverride,
)

log = logging.getLogger(__name__)


class ServiceError(Exception):
    """The engine cannot be opened, or was asked for something that does not exist; the text is for people."""


@dataclass(frozen=True, slots=True)
class DoctorRow:
    """One line of ``doctor``: what was tested, whether it works, and what to do when it does not."""

    connection: str
    check: str
    ok: bool
    detail: str
    advice: str = ""


class Service:
    """One open engine on one data directory."""

    def __init__(self, office: Office, ledger: SqliteLedger) -> None:
        self._office = office
        self._ledger = ledger
        self._data_dir = Path()
        self._timekeeper = Timekeeper(office, self._verified, f"{os.uname().nodename}")
        self._mailman = Mailman(office)
        self._desk = Desk(office, self._timekeeper, self._mailman)
        self._watch = Watch(office)
        self._pusher = Pusher(office, self._timekeeper, ledger.path.parent)
        self._stale: list[tuple[str, str]] = []
        self._stop = asyncio.Event()
        self._stopped_by = ""
        self._running = False
        self._ledger_told = ""
        self._unnamed = Role.ADMIN

    def serves_others(self) -> None:
        """People connect to this engine from now on: whoever comes without a role may look, and nothing else."""
        self._unnamed = Role.VIEWER

    def _who(self, by: By) -> Actor:
        """Who asks, with his role."""
        return actor_of(by, self._unnamed)

    @classmethod
    async def open(cls, data_dir: Path, *, clock: Clock | None = None) -> Service:
        """Open or create the engine's data directory (0700) and take it for this process.

        Raises:
            ServiceError: another engine holds it, or its ledger cannot be used.
        """
        try:
            data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
            ledger = await SqliteLedger.open(data_dir / "ledger.sqlite", clock=clock)
        except (LedgerBusy, LedgerDamaged, LedgerFault) as error:
            raise ServiceError(str(error)) from error
        except OSError as error:
            raise ServiceError(
                f"cannot use the directory {data_dir}: {error.strerror}; name another with --data-dir"
            ) from error
        clock = clock or SystemClock()
        store = Store()
        service = cls(Office(ledger, clock, store, Fold(store), EmbeddedQueue()), ledger)
        service._data_dir = data_dir
        try:
            service._office.runner.lease = await ledger.write(_begin, clock.now_ms())
            await service._load()
        except LedgerFault as fault:
            await service.close()
            raise ServiceError(str(fault)) from fault
        except ConfigErrors as errors:
            await service.close()
            raise ServiceError(
                "the stored configuration is not valid for this version: "
                f"{'; '.join(str(problem) for problem in errors.problems)}. Apply a corrected file to another "
                "--data-dir, or install the version that wrote it"
            ) from errors
        except BaseException:
            await service.close()
            raise
        return service

    async def _load(self) -> None:
        await self._office.load()
        await rows.build(self._office)
        await self._office.incidents.load()
        for name in self._office.policies:
            await lingering.look(self._office, name)
        await self._timekeeper.build()

    @property
    def store(self) -> Store:
        """All rows by id; read only for everybody but the engine."""
        return self._office.store

    @property
    def clock(self) -> Clock:
        """The engine's clock."""
        return self._office.clock

    @contextlib.asynccontextmanager
    async def running(self, *, schedule: bool = True) -> AsyncIterator[None]:
        """Start the loops; on the way out cycles stop at their next page boundary and everything is stored.

        Without ``schedule`` nothing runs but what is asked for.
        """
        office = self._office
        self._stop.clear()
        office.store.engine.running = True
        office.store.engine.started_ms = self.clock.now_ms()
        office.store.engine.slots = SLOTS
        queue_stop = asyncio.Event()
        try:
            async with asyncio.TaskGroup() as group:
                queue = group.create_task(office.queue.serve(office.runner.handle, SLOTS, queue_stop))
                keeper = group.create_task(self._timekeeper.serve(self._stop, schedule=schedule))
                upkeep = [
                    group.create_task(loop)
                    for loop in (
                        self._seconds(),
                        heartbeat(office.store.engine, self.clock),
                        self._mailman.serve(),
                        self._pusher.serve(),
                    )
                ]
                await asyncio.sleep(0)  # the loops take their places before anybody asks for anything
                self._running = True
                try:
                    yield
                finally:
                    self._running = False
                    self._stop.set()
                    # A provider may let us wait longer than a person who quits does: what is cut short then is
                    # written ahead in the ledger, and the next start settles it.
                    await asyncio.wait({keeper}, timeout=STOP_SECONDS)
                    queue_stop.set()
                    await asyncio.wait({keeper, queue}, timeout=STOP_SECONDS)
                    for task in (keeper, queue, *upkeep):
                        task.cancel()
        finally:
            office.store.engine.running = False
            await self._flush()

    async def stop(self, by: By = "") -> Answer:
        """Ask everything to stop at the next page boundary; ``running`` then ends.

        Args:
            by: the admin who asks; nobody for a signal.
        """
        if by:
            refused = await self._refused(by, "stop", "engine")
            if refused:
                return Answer(False, refused)
            await self._audit(by, "stop", "engine", "the engine stops")
            self._stopped_by = self._who(by).name
        self._stop.set()
        return Answer(True, "the engine stops at its next page")

    async def stop_asked(self) -> str:
        """Wait until somebody has asked the engine to stop; returns who, empty for a signal."""
        await self._stop.wait()
        return self._stopped_by

    async def close(self) -> None:
        """Close connections and the ledger."""
        await self._office.close_connectors()
        await self._ledger.close()

    # -- loops -----------------------------------------------------------------------------------------

    async def _seconds(self) -> None:
        office = self._office
        freshness_due = 0
        while True:
            await asyncio.sleep(FLUSH_SECONDS)
            office.fold.second(self.clock.now_ms())
            waiting = office.queue.waiting()
            engine = office.store.engine
            engine.waiting, engine.next_waiting = len(waiting), waiting[0] if waiting else ""
            engine.waits = tuple(WaitRow(one.lane, one.p50, one.p95, one.now) for one in office.queue.waits())
            for place, email in enumerate(waiting, 1):
                row = office.store.users.get(email)
                if row is not None and row.place != place:
                    row.place = place
                    office.store.touch(Table.USERS, row)
            for policy in office.store.policies.values():
                if policy.running:
                    rows.sum_up(office, policy)
                    office.store.touch(Table.POLICIES, policy)
            if self.clock.now_ms() >= freshness_due:
                freshness_due = self.clock.now_ms() + FRESHNESS_MS
                self._stale += self._watch.look()
            office.store.engine.busy = len(office.queue.running())
            await office.sweep()
            self._limits()
            await self._flush()

    async def _flush(self) -> None:
        """Store what is only in memory. A disk that refuses is shown, and tried again; the engine stays up."""
        try:
            await self._office.flush()
            await self._pusher.store_heard()
            await self._record_stale()
            if self._office.unwell:
                await self._ledger.write(holder.beat, self.clock.now_ms())
        except LedgerFault as fault:
            self._tell_ledger(str(fault))
        except Exception as error:  # a fault of ours: seen on every screen rather than ending the program
            log.exception("cannot write the ledger")
            self._tell_ledger(f"the ledger cannot be written ({error.__class__.__name__}); see syncline.log")
        else:
            self._tell_ledger("")

    def _tell_ledger(self, text: str) -> None:
        """Show on every screen that the ledger cannot be used (empty: that it can again)."""
        engine = self.store.engine
        told = f"{FaultClass.CRITICAL.capitalize()}: {text}" if text else ""
        if told == self._ledger_told:
            return
        if told:
            log.error("%s", told)
            engine.fault = told
        else:
            if engine.fault == self._ledger_told:
                engine.fault = ""
            engine.message, engine.message_ms, engine.message_ok = (
                "The ledger can be used again; what had to wait goes on.",
                self.clock.now_ms(),
                True,
            )
        self._ledger_told = told
        self.store.touch(Table.ENGINE, engine)

    async def _record_stale(self) -> None:
        """Who became stale is on record, since a screen may not have been looked at."""
        found, self._stale = self._stale, []
        if found:
            try:
                await self._ledger.write(_audit_stale, self.clock.now_ms(), found)
            except Exception:
                self._stale = found + self._stale
                raise

    def _limits(self) -> None:
        """Lanes and quotas as the connectors report them."""
        limits = self.store.limits
        for used in [*self._office.usage(), *self._pusher.usage()]:
            row = limits.get(used.id)
            if row is None:
                limits[used.id] = used
                self.store.reshape(Table.LIMITS)
            elif (row.used, row.limit) != (used.used, used.limit):
                row.used, row.limit = used.used, used.limit
                self.store.touch(Table.LIMITS, row)

    # -- configuration ---------------------------------------------------------------------------------

    async def apply(self, text: str, source: str, by: By, *, folder: Path | None = None) -> Answer:
        """Store a whole declarative configuration; on any error nothing is changed and every error is told.

        Args:
            text: TOML, see ``docs/configuration.md``.
            source: the path of its file, for messages; relative paths in it start at its folder.
            by: who asks.
            folder: where relative paths start, if ``source`` is relative to another process's directory.
        """
        refused = await self._refused(by, "apply", source)
        if refused:
            return Answer(False, refused)
        try:
            wanted = resolved(parse(text, source), folder or Path(source).absolute().parent)
        except ConfigErrors as errors:
            count = len(errors.problems)
            return Answer(
                False,
                f"{source}: {count} {'error' if count == 1 else 'errors'}, nothing was changed",
                tuple(str(problem) for problem in errors.problems),
            )
        busy = [name for name in self._office.policies if self._office.runner.running(name)]
        if busy:
            return Answer(
                False,
                f"{', '.join(busy)} is running; stop it or wait for its end, then apply again. Nothing was changed",
            )
        before = await self.export()
        await self._ledger.write(
            _store,
            wanted,
            [(one.name, one.kind, one.settings) for one in wanted.connections],
            [(one.name, policy_to_doc(one), wanted.enabled.get(one.name)) for one in wanted.policies],
            [astuple(one) for one in wanted.users],
            setup_to_docs(wanted.setup),
        )
        await self._ledger.write(_forgive)
        await self._ledger.write(conflict_units.ask_again)
        await self._load()
        self._mailman.again()
        self._pusher.again()
        text = (
            f"{source}: {words.count(len(wanted.connections), 'connection', 'connections')}, {words.count(len(wanted.policies), 'policy', 'policies')}, "
            f"{words.count(len(wanted.users), 'user', 'users')} applied"
        )
        await self._audit(by, "apply", source, text, *lines_changed(before, await self.export()))
        return Answer(True, text)

    async def reload(self) -> Answer:
        """Read secrets and settings of connections again (SIGHUP): cycles that begin from now on use them."""
        self._office.retire_connectors()
        text = "the connections are made anew; cycles that run keep those they have"
        await self._audit("engine", "Reload", "connections", text)
        return Answer(True, text)

    async def export(self) -> str:
        """The stored configuration as TOML that ``apply`` takes."""
        office = self._office
        records = await self._ledger.read(mailboxes.mailboxes)
        stored = await self._ledger.read(mailboxes.policies)
        groups, jobs = await stored_jobs(office)
        return export(
            Configuration(
                connections=tuple(office.connections.values()),
                policies=tuple(office.policies.values()),
                enabled={record.name: record.state != PolicyState.DISABLED for record in stored},
                users=tuple(record.target for record in records),
                groups=groups,
                jobs=jobs,
                setup=office.setup,
            )
        )

    def policy_draft(self, name: str, copy_of: str = "") -> PolicyDraft:
        """What the form of a policy, of a copy of one, or of a new one (both empty) begins with.

        Raises:
            KeyError: there is no such policy.
        """
        return editing.policy_draft(self._office, name, copy_of)

    def connection_draft(self, name: str, kind: str = "") -> ConnectionDraft:
        """What the form of a connection, or of a new one of a kind, begins with.

        Raises:
            KeyError: there is no such connection.
        """
        return editing.connection_draft(self._office, name, kind)

    def connections(self) -> list[ConnectionRow]:
        """All connections, each with where its secret is kept."""
        return editing.connection_rows(self._office)

    # -- reading ---------------------------------------------------------------------------------------

    async def lines(self, mailbox: str, before_seq: int | None = None, limit: int = 200) -> list[Line]:
        """Older monitor lines of a mailbox from disk, oldest first."""
        mailbox_id = self._office.mailbox_ids.get(mailbox)
        if mailbox_id is None:
            return []
        found = await self._ledger.read(history.lines, mailbox_id, before_seq, limit)
        return [Line(row.id, row.at, row.sign, row.text, row.level) for row in found]

    async def newest_lines(self, limit: int, mailbox: str | None = None) -> list[tuple[str, Line]]:
        """The newest monitor lines of a mailbox or of all, each with its mailbox, oldest first; of memory and disk.

        Raises:
            ServiceError: there is no such mailbox.
        """
        self._known(mailbox, None)
        await self._flush()
        chosen = None if mailbox is None else self._office.mailbox_ids[mailbox]
        found = await self._ledger.read(history.newest_lines, limit, chosen)
        return [(row.mailbox, Line(row.id, row.at, row.sign, row.text, row.level)) for row in found]

    async def runs(self, job: str, limit: int = 50) -> list[RunRow]:
        """Past runs of a job, youngest first."""
        return [run_row(row) for row in await self._ledger.read(history.runs, job, limit)]

    @property
    def jobs(self) -> JobDesk:
        """Jobs that ship: their forms, next runs, and what their runs did."""
        return self._desk.jobs

    async def verify_report(self, policy: str) -> list[VerifyRow]:
        """The last verification of a policy; empty when there was none."""
        found = await self._ledger.read(history.verification, policy)
        return [
            VerifyRow(row.mailbox, row.check, bool(row.ok), row.have, row.want, row.detail) for row in found
        ]

    async def rollout(self, policy: str) -> RolloutReport:
        """How far the roll-out of a policy is, wave by wave.

        Raises:
            ServiceError: there is no such policy.
        """
        if policy not in self.store.policies:
            known = ", ".join(self.store.policies) or "none"
            raise ServiceError(f"there is no policy {policy!r}; there are: {known}")
        return await rollouts.report(self._office, policy)

    async def waiting(self, mailbox: str | None = None, policy: str | None = None) -> list[HeldRow]:
        """What waits for an admin: held deletes and twins, and quarantine; of a mailbox, of a policy, or of all.

        Raises:
            ServiceError: there is no such mailbox or policy.
        """
        self._known(mailbox, policy)
        return await held.waiting(self._office, mailbox, policy)

    async def preview(self, policy: str, by: By, mailbox: str | None = None) -> PreviewReport:
        """Preview the next cycle (or the first sync) of a policy or one mailbox, to its end. Needs ``running``.

        Raises:
            ServiceError: there is no such policy or mailbox, or it cannot be previewed now.
        """
        self._known(mailbox, policy)
        answer = await self.do(PreviewPolicy(policy, mailbox or ""), by)
        if not answer.ok:
            raise ServiceError(answer.text)
        await self.preview_finished(policy)
        return await self.preview_report(policy, mailbox)

    def preview_running(self, policy: str) -> bool:
        """Whether a preview of a policy is being made or carried out."""
        return self._desk.previews.running(policy)

    async def preview_finished(self, policy: str) -> Answer:
        """Wait until no preview of a policy is being made or carried out; what the last one came to."""
        return await self._desk.previews.finished(policy)

    async def preview_report(self, policy: str, mailbox: str | None = None) -> PreviewReport:
        """Sums of the previews of a policy, or of one mailbox, by user and module.

        Raises:
            ServiceError: there is no such mailbox or policy.
        """
        self._known(mailbox, policy)
        return await self._desk.previews.report(policy, mailbox)

    async def preview_rows(
        self, policy: str, mailbox: str, *, module: str | None = None, after: int = 0, limit: int = 500
    ) -> list[PreviewRow]:
        """Rows of a mailbox's preview, in the order in which they would be carried out.

        Args:
            policy: of the mailbox.
            mailbox: whose.
            module: of this module alone.
            after: ``seq`` of the last row of the page before.
            limit: at most about so many rows.

        Raises:
            ServiceError: there is no such mailbox or policy.
        """
        self._known(mailbox, policy)
        return await self._desk.previews.rows(policy, mailbox, module, after, limit)

    async def conflicts(self, mailbox: str | None = None, policy: str | None = None) -> list[ConflictRow]:
        """Fields that both sides changed and that wait for an admin; of a mailbox, of a policy, or of all.

        Raises:
            ServiceError: there is no such mailbox or policy.
        """
        self._known(mailbox, policy)
        return await conflicts.conflicts(self._office, mailbox, policy)

    async def filed(
        self,
        mailbox: str | None = None,
        *,
        words: str = "",
        states: Sequence[str] = (),
        most: int = 500,
        before: int | None = None,
    ) -> list[FiledRow]:
        """Mails that were filed to the CRM, are on their way, or were refused with a reason; the newest first.

        Args:
            mailbox: address; None for all mailboxes.
            words: each must occur in subject, sender, record or reason.
            states: some of ``FILED_STATES``; empty for all.
            most: rows at most.
            before: id of the last row of the page before.

        Raises:
            ServiceError: there is no such mailbox.
        """
        self._known(mailbox, None)
        return await filings.filed(
            self._office, mailbox or "", words_in=words, states=tuple(states), most=most, before=before
        )

    def refusal(self, row: ConflictRow, text: str) -> str:
        """Why a text that was typed is no value of a conflict's field; "" when it is one. Asks nobody."""
        return conflicts.refusal(self._office, row, text)

    def _known(self, mailbox: str | None, policy: str | None) -> None:
        if mailbox is not None and mailbox not in self.store.users:
            raise ServiceError(f"{mailbox!r} is no user of any policy")
        if policy is not None and policy not in self.store.policies:
            raise ServiceError(f"there is no policy {policy!r}")

    async def cycles(
        self, mailbox: str | None = None, policy: str | None = None, limit: int = 200
    ) -> list[CycleRow]:
        """Cycles that did something, youngest first: of a mailbox, of a policy, or of all.

        Raises:
            ServiceError: there is no such mailbox or policy.
        """
        self._known(mailbox, policy)
        emails = [
            row.id
            for row in self.store.users.values()
            if mailbox in {None, row.id} and policy in {None, row.policy}
        ]
        whose = None if mailbox is None and policy is None else emails
        return await histories.cycles(self._office, whose, limit)

    async def day(self, mailbox: str) -> DayRow:
        """What the cycles of a mailbox did in the last 24 hours.

        Raises:
            ServiceError: there is no such mailbox.
        """
        self._known(mailbox, None)
        return await histories.day(self._office, mailbox)

    async def cycle_items(self, cycle: int, after: int = 0, limit: int = 500) -> list[WrittenRow]:
        """What a cycle wrote, in the order of the journal: one page.

        Args:
            cycle: its number.
            after: ``id`` of the last row of the page before.
            limit: at most so many rows.
        """
        return await written.cycle_items(self._office, cycle, after, limit)

    async def undo_preview(self, cycle: int, mailbox: str = "", *, whole_run: bool = False) -> UndoPreview:
        """What undoing a cycle would do, from what both sides last showed; see ``UndoCycle``. Writes nothing.

        Raises:
            ServiceError: there is no such cycle.
            ProviderError: the settings of a connection cannot work.
        """
        rows = await histories.chosen(self._office, cycle, mailbox, whole_run=whole_run)
        if not rows:
            raise ServiceError(f"there is no cycle {cycle}" + (f" of {mailbox}" if mailbox else ""))
        return await histories.undo_preview(self._office, rows)

    async def leave_preview(
        self, policy: str, mailbox: str | None = None, *, edited_too: bool = False
    ) -> LeavePreview:
        """What leaving the mailboxes of a policy would remove, and what stays; see ``LeavePolicy``. Writes nothing.

        Raises:
            ServiceError: there is no such policy, or the mailbox is none of its users.
            ProviderError: the settings of a connection cannot work.
        """
        self._known(mailbox, policy)
        emails = ordering.members(self._office, policy, mailbox or "")
        if not emails:
            raise ServiceError(f"{mailbox or 'nobody'} is no user of the policy {policy!r}")
        return await histories.leave_preview(self._office, emails, edited_too=edited_too)

    async def clearable(self, mailboxes: Sequence[str], modules: Sequence[str] = ()) -> int:
        """How many items the re-initialise ``clear`` would remove before it makes them anew.

        Raises:
            ServiceError: there is no such mailbox or module.
        """
        for mailbox in mailboxes:
            self._known(mailbox, None)
        chosen = ordering.modules_of(modules)
        if chosen is None:
            known = ", ".join(module.value for module in Module)
            raise ServiceError(f"there is no module {', '.join(modules)!r}; there are: {known}")
        return await histories.clearable(self._office, mailboxes, chosen)

    async def explain(self, query: str, mailbox: str | None = None, zone: tzinfo = UTC) -> Explanation:
        """Explain an item: how it stands on both sides, why, and what happens next; several that fit are listed.

        Args:
            query: ``#12`` (a link), an id at a provider, an e-mail address, or words of a name.
            mailbox: of this mailbox alone.
            zone: for the times in the text.

        Raises:
            ServiceError: there is no such mailbox.
        """
        if mailbox is not None and mailbox not in self.store.users:
            raise ServiceError(f"{mailbox!r} is no user of any policy")
        return await explained.explain(self._office, query, mailbox, zone)

    def why(self, target: str, zone: tzinfo = UTC) -> Standing | None:
        """Why a mailbox or a job does not run now; None when there is none of that address, name or title."""
        if not self._running:
            self._watch.look()
        store, now, at = self.store, self.clock.now_ms(), words.clock(zone)
        if target in store.users:
            return Standing("user", target, store.users[target].state, why_user(store, target, now, at))
        wanted = target.casefold()
        for job in store.jobs.values():
            if wanted in {job.id.casefold(), job.title.casefold()}:
                return Standing("job", job.id, job.state, why_job(store, job.id, now, at))
        return None

    async def filtered(
        self, mailbox: str, module: str | None = None, reason: str | None = None, after: int = 0
    ) -> Filtered:
        """What of a mailbox does not cross over: counted by reason, and one page of the items.

        Raises:
            ServiceError: there is no such mailbox.
        """
        if mailbox not in self.store.users:
            raise ServiceError(f"{mailbox!r} is no user of any policy")
        return await explained.filtered(self._office, mailbox, module, reason, after)

    async def export_table(self, name: str, ending: str, text: str, by: By) -> str:
        """Write a table that an admin looks at to a file (0600) below the data directory; returns its path.

        Raises:
            ServiceError: the disk refuses, or who asks may not.
        """
        await self._allow(by, "export", name)
        try:
            path = await asyncio.to_thread(
                exports.write, self._data_dir, name, ending, text, self.clock.now_ms()
            )
        except OSError as error:
            raise ServiceError(
                f"nothing was written below {self._data_dir}: {error.strerror or error}"
            ) from error
        await self._audit(by, "export", name, str(path))
        return str(path)

    def initialising(self) -> list[str]:
        """Mailboxes that are in their first sync's phase A."""
        return [row.id for row in self.store.users.values() if row.state is UserState.INITIALIZING]

    async def status(self) -> dict[str, Any]:
        """The state of policies, users and jobs as JSON-able values."""
        if not self._running:
            self._watch.look()
        return {
            **reports.status(self._office),
            **await incident_reports.status(self._office),
            "push": self._pusher.report(),
        }

    async def report(self, policy: str | None = None) -> dict[str, Any]:
        """What the last cycle of each mailbox did: counts by module, calls, seconds, and the sums."""
        return await reports.report(self._office, policy)

    async def preview_import(self, command: ImportUsers) -> UserImport:
        """What an import of users would do; nothing is stored.

        Raises:
            ServiceError: the file is no table of users.
        """
        try:
            return await operators.preview(self._office, command)
        except NotReadable as error:
            raise ServiceError(f"{command.source} {error}") from None

    async def export_users(self) -> str:
        """All users as a CSV file that an import takes."""
        return await operators.export(self._office)

    async def mails_of(self, incident: IncidentRow) -> list[MailRow]:
        """The failure and recovery mails of an incident; of one about mails, those that wait."""
        return await incident_reports.mails_of(self._office, incident)

    def incidents(self, *, closed: bool = False) -> list[dict[str, Any]]:
        """Live incidents, and those that are over as well, as JSON-able values; oldest first."""
        rows = self.store.incidents.values()
        return [incident_reports.as_json(row) for row in rows if row.live or closed]

    async def support(self, *, anonymise: bool = True) -> dict[str, str]:
        """The files of a support bundle by name; see ``engine.runtime.support``. Reads the whole ledger file once."""
        configuration = await self.export()
        return await supporting.bundle(
            self._office, self._ledger.path.parent, configuration, anonymise=anonymise
        )

    def what_happens(self, command: Command) -> tuple[str, ...]:
        """What a command is about to do, line by line, from the store alone."""
        return self._desk.what_happens(command)

    # -- doing -----------------------------------------------------------------------------------------

    async def check_labels(self, policy: str | None, by: By) -> list[RunRow]:
        """Look at the drop labels of an enabled policy (or of all) now, and wait until that is done. Needs ``running``.

        Raises:
            ServiceError: there is no such policy, or it is off.
        """
        await self._allow(by, "labels", policy or "all")
        jobs = [LABELS.prefix + name for name in self._enabled(policy)]
        jobs = [job for job in jobs if job in self.store.jobs]
        for job in jobs:
            await self._timekeeper.finished(job)
            self._timekeeper.start(job, None, Priority.ADMIN)
        for job in jobs:
            await self._timekeeper.finished(job)
        await self._audit(by, "drop-label check", policy or "all", "done")
        return [run for job in jobs if (run := self.store.jobs[job].last) is not None]

    async def sync(self, policy: str | None, by: By) -> dict[str, Any]:
        """Run one cycle of an enabled policy (or of all) to its end, and report it. Needs ``running``.

        Raises:
            ServiceError: there is no such policy, or it is off.
        """
        await self._allow(by, "sync", policy or "all")
        names = self._enabled(policy)
        self._office.calls = Counter()
        for row in self.store.users.values():
            row.calls = 0
        started = self.clock.monotonic()
        for name in names:
            # A cycle that the schedule has already begun is the one asked for.
            if not self._timekeeper.running(FULL.prefix + name):
                self._timekeeper.start(FULL.prefix + name, None, Priority.ADMIN)
        for name in names:
            await self._timekeeper.finished(FULL.prefix + name)
        await self._audit(by, "sync", policy or "all", "done")
        report = await self.report(policy)
        report["totals"]["seconds"] = round(self.clock.monotonic() - started, 3)
        report["policies"] = [
            {"name": name, "result": last.result, "note": last.note}
            for name in names
            if (last := self.store.jobs[FULL.prefix + name].last) is not None
        ]
        return report

    async def run_job(self, job: str, by: By) -> RunRow:
        """Run a job now, to its end. Needs ``running``.

        Raises:
            ServiceError: it cannot be run now; the text says why.
        """
        answer = await self.do(RunJob(job), by)
        if not answer.ok:
            raise ServiceError(answer.text)
        await self._timekeeper.finished(job)
        last = self.store.jobs[job].last
        assert last is not None
        return last

    def _enabled(self, policy: str | None) -> list[str]:
        if policy is not None and policy not in self.store.policies:
            known = ", ".join(self.store.policies) or "none"
            raise ServiceError(f"there is no policy {policy!r}; there are: {known}")
        names = [
            row.id
            for row in self.store.policies.values()
            if row.state is PolicyState.ENABLED and policy in {None, row.id}
        ]
        if not names:
            which = f"the policy {policy!r} is off" if policy else "no policy is on"
            raise ServiceError(f"{which}; enable it first (key o in the app, or enabled = true in the file)")
        return names

    async def verify(self, policy: str | None = None, by: By = "") -> list[VerifyRow]:
        """Read back from the providers what the ledger says is there, for one policy or all that were initialised.

        Raises:
            ServiceError: there is no such policy.
            ProviderError: a read failed.
        """
        await self._allow(by, "verify", policy or "all")
        if policy is not None and policy not in self.store.policies:
            raise ServiceError(f"there is no policy {policy!r}")
        found = []
        for name in [policy] if policy is not None else list(self.store.policies):
            found += await verify_policy(self._office, name)
        return found

    async def _verified(self, policy: str) -> tuple[int, int]:
        found = await verify_policy(self._office, policy)
        return len(found), sum(not row.ok for row in found)

    async def doctor(self) -> list[DoctorRow]:
        """Test every connection: token, delegation, scopes, one read per API."""
        found = await doctor(self._office)
        self._desk.tests.keep(self._office, found)
        return [DoctorRow(*row) for row in found]

    async def checklist(self, policy: str) -> Checklist:
        """What must be right before the first sync of a policy begins, and how it is.

        Raises:
            ServiceError: there is no such policy.
        """
        self._known(None, policy)
        return await self._desk.checklist(policy)

    async def do(self, command: Command, by: By) -> Answer:
        """Carry out an admin's command: checked here, recorded in the audit log, answered with a result or a reason."""
        target = subject(command)
        try:
            refused = await self._refused(by, type(command), target)
            if refused:
                return Answer(False, refused)
            if not self._running and not isinstance(command, NEED_LEDGER_ONLY):
                return Answer(False, "the engine is not running")
            configures = isinstance(command, CONFIGURES)
            before = await self.export() if configures else standing(self.store, target)
            try:
                answer = await self._desk.do(command, self._who(by).name)
            except KeyError as error:
                answer = Answer(False, f"there is no {error.args[0]!r} any more")
            after = await self.export() if configures else standing(self.store, target)
            texts = lines_changed(before, after) if configures else (before, after)
            if isinstance(command, EnablePolicy) and command.confirmed and answer.ok:
                said = "\n".join(f"confirmed: {ASKED[key]}" for key in command.confirmed if key in ASKED)
                texts = (texts[0], f"{texts[1]}\n{said}")
            await self._audit(by, type(command).__name__, target, answer.text, *texts)
        except LedgerFault as fault:
            return Answer(False, str(fault))
        return answer

    async def carried_out(self) -> list[str]:
        """Carry out the orders that stand (undo, leave) and wait for it. Needs ``running``.

        Returns:
            the mailboxes of which one is not finished, each with the reason; it goes on whenever the engine runs.
        """
        for policy, users in (await ordering.unfinished(self._office)).items():
            if not self._timekeeper.running(FULL.prefix + policy):
                self._timekeeper.start(FULL.prefix + policy, users, Priority.ADMIN)
            await self._timekeeper.finished(FULL.prefix + policy)
        left = await ordering.unfinished(self._office)
        return [
            f"{email}: {self.store.users[email].why or self.store.users[email].text or 'not finished'}"
            for users in left.values()
            for email in sorted(users)
        ]

    async def audit(
        self, before_id: int | None = None, limit: int = 200, words: Sequence[str] = ()
    ) -> list[AuditRow]:
        """The audit log, the youngest entry first; ``words`` must all occur in an entry, whatever their case."""
        found = await self._ledger.read(audits.read, before_id, limit, tuple(words))
        return [
            AuditRow(
                row.id,
                row.at,
                row.actor,
                row.origin,
                row.command,
                row.object,
                row.before,
                row.after,
                row.result,
            )
            for row in found
        ]

    async def _audit(
        self, by: By, command: str, target: str, result: str, before: str = "", after: str = ""
    ) -> None:
        actor = self._who(by)

        def add(connection: Any, now: int) -> None:
            audits.add_audit(
                connection,
                now,
                actor.name,
                command,
                target,
                result,
                origin=actor.origin,
                before=before,
                after=after,
            )

        add.__name__ = audits.add_audit.__name__  # the unit of work is known by it
        await self._ledger.write(add, self.clock.now_ms())

    async def _refused(self, by: By, command: type[Command] | str, target: str) -> str:
        """Why somebody may not do something, which goes on record; empty when he may."""
        why = refusal(self._who(by), command)
        if why:
            name = command if isinstance(command, str) else command.__name__
            await self._audit(by, name, target, f"refused: {why}")
        return why

    async def _allow(self, by: By, call: str, target: str) -> None:
        why = await self._refused(by, call, target)
        if why:
            raise ServiceError(why)


def _audit_stale(connection: Any, now: int, found: list[tuple[str, str]]) -> None:
    for mailbox, text in found:
        audits.add_audit(connection, now, "engine", "Stale", mailbox, text)


def _store(connection: Any, wanted: Configuration, *parts: Any) -> None:
    """Store a whole configuration in one transaction."""
    mailboxes.replace_configuration(connection, *parts)
    declared = {job.name: (job_to_doc(job.override) or None, job.enabled) for job in wanted.jobs}
    job_units.replace(
        connection,
        {group.name: group_to_doc(group) for group in wanted.groups},
        {name: declared.get(name, (None, None)) for name in SHIPPED},
    )


def _forgive(connection: Any) -> None:
    """A person has applied a configuration: what waited for a person is given another try."""
    for record in mailboxes.policies(connection):
        if record.fault:
            mailboxes.set_policy(connection, record.name, fault="", fault_class="")
    for user in mailboxes.mailboxes(connection):
        if user.fault_kind:
            mailboxes.set_mailbox(connection, user.id, fault_kind="")


def _begin(connection: Any, now: int) -> int:
    """A new engine on this ledger: older epochs end, open records of a dead process are closed. Returns its lease."""
    token = fence.take_all(connection)
    history.abandon_runs(connection, now)
    return token
