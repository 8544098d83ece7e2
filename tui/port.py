"""What the app needs of the engine, and no more: the façade of ``engine.service`` fits, and so does a test's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from typing import Any, Protocol

from engine.service import (
    Answer,
    AuditRow,
    By,
    Checklist,
    Command,
    ConflictRow,
    ConnectionDraft,
    ConnectionRow,
    CycleRow,
    DayRow,
    Explanation,
    FiledRow,
    Filtered,
    HeldRow,
    IncidentRow,
    JobDraft,
    JobVerdict,
    LeavePreview,
    Line,
    MailRow,
    PolicyDraft,
    PreviewReport,
    PreviewRow,
    RolloutReport,
    RunDetail,
    RunItem,
    RunRow,
    Store,
    UndoPreview,
    VerifyRow,
    WrittenRow,
)


class Clock(Protocol):
    """Wall time, passed in."""

    def now_ms(self) -> int:
        """Epoch milliseconds UTC."""
        ...


class Jobs(Protocol):
    """Jobs that ship: their form, and what their runs did."""

    async def draft(self, job: str) -> JobDraft:
        """What the form of a job begins with."""
        ...

    def check(self, job: str, document: Mapping[str, Any]) -> JobVerdict:
        """What is wrong with what was typed; when nothing is, when it would run and for whom."""
        ...

    def next_runs(self, job: str) -> tuple[int, ...]:
        """The next runs of a job, epoch milliseconds; none while it is off."""
        ...

    async def detail(self, run: int) -> RunDetail:
        """What a run did, by mailbox, and its trace."""
        ...

    async def items(self, cycle: int) -> list[RunItem]:
        """The items that a cycle of a run wrote, or tried to."""
        ...


class Engine(Protocol):
    """The engine as screens see it: rows to read, commands to send."""

    @property
    def store(self) -> Store:
        """All rows by id; screens read and never write."""
        ...

    @property
    def clock(self) -> Clock:
        """The engine's clock."""
        ...

    @property
    def jobs(self) -> Jobs:
        """Jobs that ship."""
        ...

    async def do(self, command: Command, by: By) -> Answer:
        """Carry out a command for an admin."""
        ...

    def what_happens(self, command: Command) -> tuple[str, ...]:
        """Lines that tell what a command is about to do, for the confirmation."""
        ...

    async def lines(self, mailbox: str, before_seq: int | None = None, limit: int = 200) -> list[Line]:
        """Older lines of a mailbox's activity, oldest first."""
        ...

    async def runs(self, job: str, limit: int = 50) -> list[RunRow]:
        """Past runs of a job, newest first."""
        ...

    async def verify_report(self, policy: str) -> list[VerifyRow]:
        """The last verification of a policy; empty when it was never verified."""
        ...

    async def waiting(self, mailbox: str | None = None, policy: str | None = None) -> list[HeldRow]:
        """What waits for an admin, in a mailbox, in a policy or in all."""
        ...

    async def explain(self, query: str, mailbox: str | None = None, zone: tzinfo = UTC) -> Explanation:
        """Explain an item, or list those that fit."""
        ...

    async def filtered(
        self, mailbox: str, module: str | None = None, reason: str | None = None, after: int = 0
    ) -> Filtered:
        """What of a mailbox does not cross over: by reason, and one page of the items."""
        ...

    def preview_running(self, policy: str) -> bool:
        """Whether a preview of a policy is being made or carried out."""
        ...

    async def rollout(self, policy: str) -> RolloutReport:
        """How far the roll-out of a policy is, or into which waves its first sync would go."""
        ...

    async def checklist(self, policy: str) -> Checklist:
        """What must be right before the first sync of a policy begins."""
        ...

    async def preview_report(self, policy: str, mailbox: str | None = None) -> PreviewReport:
        """Sums of the previews of a policy, or of one mailbox, by user and module."""
        ...

    async def preview_rows(
        self, policy: str, mailbox: str, *, module: str | None = None, after: int = 0, limit: int = 500
    ) -> list[PreviewRow]:
        """A page of the rows of a mailbox's preview."""
        ...

    async def conflicts(self, mailbox: str | None = None, policy: str | None = None) -> list[ConflictRow]:
        """Fields that both sides changed and that wait for an admin: in a mailbox, in a policy, or in all."""
        ...

    async def filed(self, mailbox: str | None = None) -> list[FiledRow]:
        """Mails of a mailbox, or of all, that were filed, wait or were refused."""
        ...

    def refusal(self, row: ConflictRow, text: str) -> str:
        """Why a text that was typed is no value of a field; "" when it is one."""
        ...

    async def cycles(self, mailbox: str | None = None) -> list[CycleRow]:
        """Cycles that did something, youngest first."""
        ...

    async def day(self, mailbox: str) -> DayRow:
        """What the cycles of a mailbox did in the last 24 hours."""
        ...

    async def cycle_items(self, cycle: int, after: int = 0, limit: int = 500) -> list[WrittenRow]:
        """A page of what a cycle wrote."""
        ...

    async def undo_preview(self, cycle: int) -> UndoPreview:
        """What undoing a cycle would do."""
        ...

    async def leave_preview(self, policy: str) -> LeavePreview:
        """What leaving the mailboxes of a policy would remove."""
        ...

    async def clearable(self, mailboxes: Sequence[str], modules: Sequence[str] = ()) -> int:
        """How many items the re-initialise Clear would remove."""
        ...

    def policy_draft(self, name: str, copy_of: str = "") -> PolicyDraft:
        """What the form of a policy begins with."""
        ...

    def connection_draft(self, name: str, kind: str = "") -> ConnectionDraft:
        """What the form of a connection begins with."""
        ...

    def connections(self) -> list[ConnectionRow]:
        """All connections."""
        ...

    async def mails_of(self, incident: IncidentRow) -> list[MailRow]:
        """The failure and recovery mails of an incident."""
        ...

    async def export_table(self, name: str, ending: str, text: str, by: By) -> str:
        """Write a table to a file on the engine's host; its path."""
        ...

    def initialising(self) -> list[str]:
        """Mailboxes in phase A now."""
        ...

    async def audit(
        self, before_id: int | None = None, limit: int = 200, words: Sequence[str] = ()
    ) -> list[AuditRow]:
        """The audit log, the youngest entry first."""
        ...

    async def stop(self, by: By = "") -> Answer:
        """Stop at the next page boundary."""
        ...
