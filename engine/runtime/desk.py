"""The desk where an admin's commands are carried out: checked against the state, done, and answered in one line."""

from __future__ import annotations

from collections.abc import Mapping

from engine.jobs.queue import Priority
from engine.jobs.schedule import in_blackout
from engine.ledger import mailboxes
from engine.model.incident import IncidentKind
from engine.model.job import CALENDAR
from engine.model.modules import Module
from engine.model.states import Move, PolicyState, UserState
from engine.monitor.checklist import Checklist
from engine.monitor.commands import (
    Answer,
    ApplyPreview,
    CancelUser,
    Command,
    DecideConflict,
    DisableJob,
    DisablePolicy,
    DropOrder,
    DropPreview,
    Editing,
    EnableJob,
    EnablePolicy,
    Incidental,
    JobEditing,
    LeavePolicy,
    PauseUser,
    PreviewPolicy,
    Reinitialize,
    ResumeUser,
    RollOut,
    RunJob,
    Settle,
    SettleHeld,
    StopJob,
    SyncNow,
    TestPolicy,
    UndoCycle,
    VerifyPolicy,
)
from engine.monitor.filing import RetryFiling
from engine.monitor.history import Reinit
from engine.monitor.store import Table
from engine.runtime import (
    conflicts,
    editing,
    filing,
    held,
    incidental,
    lingering,
    ordering,
    rollouts,
    rows,
    words,
)
from engine.runtime.checklist import Tests, checklist
from engine.runtime.checks import doctor
from engine.runtime.jobdesk import JobDesk
from engine.runtime.mailman import Mailman
from engine.runtime.office import Office
from engine.runtime.previews import Previews
from engine.runtime.timekeeper import FULL, VERIFY, Timekeeper


class Desk:
    """Carries out commands on one engine."""

    def __init__(self, office: Office, timekeeper: Timekeeper, mailman: Mailman) -> None:
        self._office = office
        self._timekeeper = timekeeper
        self._mailman = mailman
        self.previews = Previews(office, timekeeper)
        self.jobs = JobDesk(office, timekeeper)
        self.tests = Tests()

    def what_happens(self, command: Command) -> tuple[str, ...]:
        """What a command is about to do, line by line, from the store alone."""
        if isinstance(command, Incidental):
            return incidental.what_happens(self._office, command)
        if isinstance(command, Editing):
            return editing.what_happens(self._office, command)
        match command:
            case EnablePolicy(policy):
                return self._what_enable(policy)
            case DisablePolicy(policy):
                row = self._office.store.policies[policy]
                return (
                    f"Policy {policy} with {words.mailboxes(row.users)} stops syncing.",
                    "Cycles that run now end normally; nothing that was synced is removed.",
                )
            case CancelUser(mailbox):
                return (
                    f"The cycle of {mailbox} stops at its next page.",
                    "What was done stays done; the rest follows with the next cycle.",
                )
            case StopJob(job):
                return (
                    f"{self._office.store.jobs[job].title} stops at its next page.",
                    "It goes on where it was.",
                )
            case SettleHeld(_, ids, how):
                return held.what_happens(how, None if ids is None else len(ids))
            case DecideConflict():
                return conflicts.what_happens(command)
            case UndoCycle():
                return ordering.what_undo(command)
            case Reinitialize():
                return ordering.what_reinitialize(command)
            case RollOut():
                return rollouts.what_happens(self._office, command)
            case _:
                return ()

    def _what_enable(self, policy: str) -> tuple[str, ...]:
        row = self._office.store.policies[policy]
        rules = self._office.policies[policy]
        modules = ", ".join(module.value.replace("_", " ") for module in Module if module in row.modules)
        if row.initialised:
            return (
                f"Policy {policy} goes on: {words.mailboxes(row.users)}, {row.schedule}.",
                "What changed on either side meanwhile is synced in the next cycle.",
            )
        return (
            f"First sync of {policy}: {row.crm} to {row.mailbox}, {words.mailboxes(row.users)}.",
            f"Modules: {modules}.",
            f"Window: {row.windows}.",
            *rollouts.what_enable(
                rules.rollout,
                sorted(user.id for user in self._office.store.users.values() if user.policy == policy),
            ),
            "Phase A reads the CRM for all users; nothing flows to the CRM meanwhile.",
            f"Phase B then writes groups, events ({row.calendar}), tasks, labels below {rules.labels.master!r}.",
            "The users' own contacts and events stay as they are. Guests get no mail.",
            "P shows beforehand, item by item, what it would do.",
        )

    async def do(self, command: Command, by: str) -> Answer:
        """Carry out one command.

        Raises:
            KeyError: its object no longer exists.
        """
        keeper = self._timekeeper
        if isinstance(command, Incidental):
            return await incidental.do(self._office, self._mailman, command, by)
        if isinstance(command, Editing):
            return await editing.do(self._office, keeper, command)
        if isinstance(command, JobEditing):
            return await self.jobs.do(command)
        match command:
            case EnablePolicy(policy, confirmed):
                if confirmed and (missing := (await self.checklist(policy)).missing(confirmed)):
                    return Answer(False, f"{policy} stays off: {missing}")
                return await self._switch_policy(policy, True)
            case DisablePolicy(policy):
                return await self._switch_policy(policy, False)
            case SyncNow(mailbox, policy):
                return self._sync_now(mailbox, policy)
            case PauseUser(mailbox):
                return await self._pause(mailbox, by)
            case ResumeUser(mailbox):
                return await self._resume(mailbox)
            case CancelUser(mailbox):
                if self._office.runner.cancel(mailbox):
                    return Answer(True, f"{mailbox} stops at its next page")
                return Answer(False, f"{mailbox} has no cycle that waits or runs")
            case VerifyPolicy(policy):
                if self._office.store.policies[policy].last_full_ms is None:
                    return Answer(False, f"{policy} was never synced; there is nothing to verify yet")
                return Answer(
                    True, f"verifying {policy}: {keeper.start(VERIFY.prefix + policy, None, Priority.ADMIN)}"
                )
            case EnableJob(job):
                row = await keeper.switch(job, True)
                return Answer(True, f"{row.title} is on; next run {row.next_why}")
            case DisableJob(job):
                row = await keeper.switch(job, False)
                if job == CALENDAR:  # nobody expects it to go well any more
                    await self._office.incidents.dismiss_all(IncidentKind.JOB)
                return Answer(True, f"{row.title} is off; o turns it on again")
            case RunJob(job):
                row = self._office.store.jobs[job]
                if job.startswith(FULL.prefix):
                    return self._sync_now("", job.removeprefix(FULL.prefix))
                return Answer(True, f"{row.title}: {keeper.start(job, None, Priority.ADMIN)}")
            case StopJob(job):
                if keeper.stop(job):
                    return Answer(True, f"{self._office.store.jobs[job].title} stops at its next page")
                return Answer(False, f"{self._office.store.jobs[job].title} does not run")
            case TestPolicy(policy):
                found = await doctor(self._office, policy)
                self.tests.keep(self._office, found)
                bad = [row for row in found if not row[2]]
                return Answer(
                    not bad,
                    f"{policy}: {len(found)} checks passed"
                    if not bad
                    else f"{policy}: {bad[0][1]}: {bad[0][3]}",
                    tuple(
                        f"{'✓' if ok else '✗'} {name} {check}: {detail}" + (f". {advice}" if advice else "")
                        for name, check, ok, detail, advice in found
                    ),
                )

            case SettleHeld(mailbox, ids, how):
                return await self._settle(mailbox, ids, how)
            case PreviewPolicy():
                return self.previews.make(command)
            case ApplyPreview(policy):
                answer = await self.previews.apply(command)
                return answer if answer is not None else await self._switch_policy(policy, True)
            case DropPreview():
                return await self.previews.drop(command)
            case DecideConflict(mailbox):
                if refusal := self._busy(mailbox):
                    return refusal
                return await self._carried_out(mailbox, await conflicts.decide(self._office, command, by))
            case RetryFiling(ids):
                return await filing.try_again(self._office, ids)
            case UndoCycle():
                return self._begin(*await ordering.undo(self._office, command))
            case DropOrder():
                return await ordering.drop(self._office, command)
            case LeavePolicy():
                return self._begin(*await ordering.leave(self._office, command))
            case Reinitialize():
                return await self._reinitialize(command)
            case RollOut(policy, move):
                answer = await rollouts.move(self._office, command, by)
                if answer.ok and move is not Move.STOP and keeper.serving:
                    started = self._sync_now("", policy)
                    return Answer(True, f"{answer.text}; {started.text}")
                return answer

    async def checklist(self, policy: str) -> Checklist:
        """What must be right before the first sync of a policy begins.

        Raises:
            KeyError: there is no such policy.
        """
        report = await self.previews.report(policy, None)
        reading = await self.previews.seconds(policy)
        return await checklist(self._office, self.tests, report, reading, policy)

    def _begin(self, answer: Answer, wanted: Mapping[str, set[str]]) -> Answer:
        """Start the cycles that carry out orders; stored they are already."""
        if not answer.ok:
            return answer
        if not self._timekeeper.serving:
            return Answer(True, f"{answer.text}: begins when the engine runs", answer.details)
        started = [
            self._timekeeper.start(FULL.prefix + policy, users, Priority.ADMIN)
            for policy, users in wanted.items()
        ]
        return Answer(True, f"{answer.text}: {started[0]}", answer.details)

    async def _reinitialize(self, command: Reinitialize) -> Answer:
        answer = await ordering.reinitialize(self._office, command)
        if not answer.ok or command.mode is Reinit.NONE:
            return answer
        if not self._timekeeper.serving:
            return Answer(True, f"{answer.text}: the next cycle does it")
        begun = [self._sync_now(mailbox, "") for mailbox in command.mailboxes]
        refused = next((one.text for one in begun if not one.ok), "")
        return Answer(
            True, f"{answer.text}: " + (f"the next cycle does it; {refused}" if refused else "started")
        )

    async def _settle(self, mailbox: str, ids: tuple[int, ...] | None, how: Settle) -> Answer:
        if refusal := self._busy(mailbox):
            return refusal
        answer = await held.settle(self._office, mailbox, ids, how)
        if how is Settle.DISMISS:
            await lingering.look(self._office, self._office.store.users[mailbox].policy, dismissed=True)
        return await self._carried_out(mailbox, answer, cycle=how in held.NEED_CYCLE)

    def _busy(self, mailbox: str) -> Answer | None:
        if mailbox in self._office.queue.running():
            return Answer(False, f"a cycle of {mailbox} is running; try again when it has ended, or x stops it")
        return None

    async def _carried_out(self, mailbox: str, answer: Answer, *, cycle: bool = True) -> Answer:
        """The answer to a decision that was stored, with when a cycle carries it out; one is started."""
        await rows.refresh_policy(self._office, self._office.store.users[mailbox].policy)
        if answer.ok and cycle:
            follows = "the next cycle does it"
            if self._timekeeper.serving:
                synced = self._sync_now(mailbox, "")
                follows = (
                    f"full sync {synced.text.rpartition(': ')[2]}" if synced.ok else f"{follows}: {synced.text}"
                )
            return Answer(True, f"{answer.text}; {follows}", answer.details)
        return answer

    async def _switch_policy(self, policy: str, on: bool) -> Answer:
        row = self._office.store.policies[policy]
        if on == (row.state is PolicyState.ENABLED):
            return Answer(False, f"{policy} is already {'on' if on else 'off'}")
        if on and policy in await ordering.leaving(self._office):
            return Answer(False, f"the mailboxes of {policy} are being left; enable it when that has ended")
        state = PolicyState.ENABLED if on else PolicyState.DISABLED
        await self._office.ledger.write(
            mailboxes.set_policy, policy, state=state.value, fault="", fault_class=""
        )
        row.fault, row.fault_class = "", None
        await rows.build(self._office)
        job = FULL.prefix + policy
        await self._timekeeper.reschedule(policy)
        if not on:
            running = self._timekeeper.running(job)
            return Answer(True, f"{policy} is off" + ("; the running cycle ends first" if running else ""))
        await self._clear_faults(policy)
        for user in self._office.store.users.values():
            if user.policy == policy:
                user.awake_ms = self._office.clock.now_ms()
        if not row.initialised:
            self._timekeeper.start(job, None, Priority.ADMIN)
            return Answer(True, f"{policy} is on: its first sync begins for {words.mailboxes(row.users)}")
        return Answer(True, f"{policy} is on; next full sync {row.next_why}")

    async def _clear_faults(self, policy: str) -> None:
        """An admin asks again: faults that waited for a person are given another try."""
        for record in await self._office.ledger.read(mailboxes.mailboxes, policy):
            if record.fault_kind:
                await self._office.ledger.write(mailboxes.set_mailbox, record.id, fault_kind="")

    def _sync_now(self, mailbox: str, policy: str) -> Answer:
        name = policy or self._office.store.users[mailbox].policy
        row = self._office.store.policies[name]
        if row.state is not PolicyState.ENABLED:
            return Answer(False, f"the policy {name} is off; o in Policies turns it on")
        if in_blackout(self._office.policies[name].scheduling, self._office.clock.now_ms()):
            return Answer(False, f"{name} is in a blackout period; no cycle may start now")
        if mailbox and self._office.store.users[mailbox].state is UserState.PAUSED:
            return Answer(False, f"{mailbox} is paused; p resumes it")
        if mailbox and (refusal := rollouts.refusal(self._office, mailbox)):
            return Answer(False, refusal)
        # Until the first sync of a policy has once come to its end, phase A is for all its mailboxes. After that a mailbox
        # whose own first sync failed is run alone like any other.
        begun = row.last_full_ms is not None
        only = {mailbox} if mailbox and begun else None
        started = self._timekeeper.start(FULL.prefix + name, only, Priority.ADMIN)
        if only is not None:
            return Answer(True, f"full sync of {mailbox} alone: {started}")
        which = f"the policy {name}, {words.mailboxes(row.users)}"
        return Answer(True, f"{'full' if begun else 'first'} sync of {which}: {started}")

    async def _pause(self, mailbox: str, by: str) -> Answer:
        row = self._office.store.users[mailbox]
        if row.state is UserState.INITIALIZING:
            return Answer(False, f"{mailbox} is initialising and must not be interrupted; pause it afterwards")
        await self._office.ledger.write(
            mailboxes.set_mailbox, self._office.mailbox_ids[mailbox], paused=1, paused_by=by
        )
        running = self._office.runner.cancel(mailbox)
        row.state, row.why = UserState.PAUSED, f"paused by {by}"
        self._office.store.touch(Table.USERS, row)
        self._office.fold.recount()
        return Answer(True, f"{mailbox} is paused" + ("; its cycle stops at the next page" if running else ""))

    async def _resume(self, mailbox: str) -> Answer:
        row = self._office.store.users[mailbox]
        if row.state is not UserState.PAUSED:
            return Answer(False, f"{mailbox} is not paused")
        await self._office.ledger.write(
            mailboxes.set_mailbox, self._office.mailbox_ids[mailbox], paused=0, paused_by=""
        )
        row.state, row.why = UserState.QUEUED, ""
        row.awake_ms = self._office.clock.now_ms()
        self._office.fold.recount()
        answer = self._sync_now(mailbox, "")
        return Answer(True, f"{mailbox} goes on" + (f"; {answer.text}" if answer.ok else ""))
