"""Jobs that ship, for an admin: their form, overrides, traces, and what their runs did, down to mailboxes and items."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.jobs.trigger import next_runs, said
from engine.ledger import jobs as units
from engine.ledger.jobs import RunMailbox
from engine.model.config_jobs import DeclaredJob, group_from_doc, job_from_doc, job_to_doc
from engine.model.form import FormProblem
from engine.model.form_job import check_job
from engine.model.job import CALENDAR, SHIPPED, AccessGroup, JobSettings
from engine.model.modules import Module, Side
from engine.monitor.commands import Answer, EditJob, JobEditing, RemoveOverride, TraceJob
from engine.runtime import words
from engine.runtime.calendar_job import CalendarJob
from engine.runtime.office import Office
from engine.runtime.timekeeper import Timekeeper
from engine.sync.plan import line_for

#: Next runs that an editor lists.
NEXT = 10


@dataclass(frozen=True, slots=True)
class JobDraft:
    """What the form of a job begins with.

    Attributes:
        about: what the job does.
        document: what an admin has set over the shipped definition, with the names of the file.
        groups: names of access groups.
        shipped: the shipped schedule, in words.
        lease: who runs it, or ran it last; empty when nobody did.
    """

    job: str
    about: str
    document: Mapping[str, Any]
    groups: tuple[str, ...]
    shipped: str
    lease: str


@dataclass(frozen=True, slots=True)
class JobVerdict:
    """What a form says of what was typed.

    Attributes:
        problems: by field; empty when all is right.
        next_ms: the next runs with these values, epoch milliseconds; empty for a job that runs at startup.
        schedule: the schedule in words.
        serves: whom a run would serve.
        zone: in which the schedule is meant.
    """

    problems: tuple[FormProblem, ...]
    next_ms: tuple[int, ...] = ()
    schedule: str = ""
    serves: str = ""
    zone: str = "UTC"


@dataclass(frozen=True, slots=True)
class RunDetail:
    """What a run did, by mailbox, and its trace (at, mailbox, sign, text), if it was traced."""

    mailboxes: tuple[RunMailbox, ...]
    trace: tuple[tuple[int, str, str, str], ...]


@dataclass(frozen=True, slots=True)
class RunItem:
    """One item that a run wrote, or tried to."""

    sign: str
    text: str
    state: str
    note: str


class JobDesk:
    """Carries out what is asked about jobs that ship."""

    def __init__(self, office: Office, timekeeper: Timekeeper) -> None:
        self._office = office
        self._timekeeper = timekeeper

    @property
    def _calendar(self) -> CalendarJob:
        return self._timekeeper.calendar

    async def draft(self, job: str) -> JobDraft:
        """The form of a job.

        Raises:
            KeyError: no such job ships.
        """
        shipped = SHIPPED[job]
        return JobDraft(
            job,
            shipped.about,
            dict(job_to_doc(self._calendar.override or {})),
            tuple(self._calendar.groups),
            said(shipped.settings),
            await self.lease_said(),
        )

    async def lease_said(self) -> str:
        """Who runs the job now, or ran it last; empty when nobody did."""
        found = await self._calendar.lease()
        if found is None:
            return ""
        now = self._office.clock.now_ms()
        if found.until_ms <= now:
            return f"free; lease {found.token} was of {found.holder}"
        return f"lease {found.token}: {found.holder}, until {words.clock_utc(found.until_ms)}"

    def check(self, job: str, document: Mapping[str, Any]) -> JobVerdict:
        """What is wrong with what was typed; when nothing is, when it would run and for whom.

        Raises:
            KeyError: no such job ships.
        """
        found = check_job(job, document, tuple(self._calendar.groups))
        if found.settings is None:
            return JobVerdict(found.problems)
        return JobVerdict(
            (),
            tuple(next_runs(found.settings, self._office.clock.now_ms(), NEXT)),
            said(found.settings),
            self._serves(found.settings),
            found.settings.zone,
        )

    def _serves(self, settings: JobSettings) -> str:
        scope = self._calendar.scope(settings)
        people = sum(len(share.operators) for share in scope.shares)
        if not scope.shares:
            return "nobody: no policy has mailboxes that are polled, or the access group covers none"
        names = ", ".join(share.policy for share in scope.shares[:3])
        more = f" and {len(scope.shares) - 3} more" if len(scope.shares) > 3 else ""
        left = f"; {len(scope.left_out)} with Calendar Sync off" if scope.left_out else ""
        return f"{words.count(people, 'operator', 'operators')} of {names}{more}{left}"

    def next_runs(self, job: str) -> tuple[int, ...]:
        """The next runs of a job that ships, epoch milliseconds; none while it is off."""
        row = self._office.store.jobs[job]
        if job not in SHIPPED or row.next_run_ms is None:
            return ()
        return tuple(next_runs(self._calendar.settings, self._office.clock.now_ms(), NEXT))

    async def detail(self, run: int) -> RunDetail:
        """What a run did."""
        boxes = await self._office.ledger.read(units.run_mailboxes, run)
        lines = await self._office.ledger.read(units.trace_lines, run)
        return RunDetail(tuple(boxes), tuple(lines))

    async def items(self, cycle: int) -> list[RunItem]:
        """The items that a cycle wrote, or tried to. Private ones are named by their kind only."""
        found = []
        for row in await self._office.ledger.read(units.cycle_items, cycle):
            fields = {**(row.before or {}), **(row.fields or {})}
            patch = row.patch or () if row.kind == "update" else ()
            sign, text = line_for(Module(row.module), Side(row.side), row.kind, fields, patch)
            found.append(RunItem(sign, text, row.state, row.error or row.why))
        return found

    # -- doing -----------------------------------------------------------------------------------------

    async def do(self, command: JobEditing) -> Answer:
        """Carry out a command.

        Raises:
            KeyError: no such job ships.
        """
        SHIPPED[command.job]
        match command:
            case EditJob(job, settings):
                found = check_job(job, settings, tuple(self._calendar.groups))
                if found.settings is None:
                    told = tuple(f"{one.path}: {one}" if one.path else str(one) for one in found.problems)
                    return Answer(False, f"{job}: nothing was changed; {told[0]}", told)
                await self._store(job, override=found.override)
                how = "an override of the shipped definition" if found.override else "as shipped"
                return Answer(True, f"{job}: {said(found.settings)}, {found.settings.context} ({how})")
            case RemoveOverride(job):
                if self._calendar.override is None:
                    return Answer(False, f"{job} has no override; it is as shipped")
                await self._store(job, override=None)
                return Answer(True, f"{job} is as shipped again: {said(self._calendar.settings)}")
            case TraceJob(job, on):
                await self._store(job, trace=int(on))
                return Answer(True, f"{job}: its next runs {'keep' if on else 'keep no'} trace lines")

    async def _store(self, job: str, **values: Any) -> None:
        await self._office.ledger.write(units.change, job, **values)
        await self._calendar.load()
        self._timekeeper.show(job)


def declared(record: units.JobRecord) -> DeclaredJob | None:
    """A stored job as a file would declare it; None when there is nothing to say of it."""
    if record.override is None and not record.enabled:
        return None
    return DeclaredJob(record.name, job_from_doc(record.name, record.override or {}), record.enabled)


async def stored_jobs(office: Office) -> tuple[tuple[AccessGroup, ...], tuple[DeclaredJob, ...]]:
    """Access groups and overrides as a file would declare them."""
    groups = await office.ledger.read(units.groups)
    found = [declared(await office.ledger.read(units.stored, name)) for name in SHIPPED]
    return (
        tuple(group_from_doc(name, document) for name, document in groups.items()),
        tuple(one for one in found if one is not None),
    )


__all__ = ["CALENDAR", "JobDesk", "JobDraft", "JobVerdict", "RunDetail", "RunItem", "stored_jobs"]
