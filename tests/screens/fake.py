"""A service without an engine: fixed rows from a seed, commands recorded, and a small life for looking at screens.

``python -m tests.screens.fake [empty|running|error]`` shows it in a terminal.
"""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import tzinfo
from zoneinfo import ZoneInfo

from engine.model.form import new_policy
from engine.model.job import CALENDAR
from engine.service import (
    Actor,
    Answer,
    AuditRow,
    By,
    CheckLine,
    Checklist,
    CheckState,
    Command,
    ConflictRow,
    ConnectionDraft,
    ConnectionRow,
    CycleKind,
    CycleRow,
    DayRow,
    DecideConflict,
    DeleteConnection,
    DeletePolicy,
    DisableJob,
    DisablePolicy,
    DropMails,
    EnableJob,
    EnablePolicy,
    Explanation,
    FiledRow,
    Filtered,
    HeldRow,
    IncidentRow,
    ItemOutcome,
    JobRow,
    JobState,
    LeavePreview,
    LimitRow,
    Line,
    MailRow,
    Module,
    PauseUser,
    PolicyDraft,
    PolicyRow,
    PolicyState,
    PreviewReport,
    PreviewRow,
    RemoveUsers,
    ResumeUser,
    Role,
    RollOut,
    RolloutReport,
    RunRow,
    SavePolicy,
    StepState,
    Store,
    Table,
    TestConnection,
    TestPolicy,
    UndoPreview,
    UserRow,
    UserState,
    VerifyPolicy,
    VerifyRow,
    WaitRow,
    WaveRow,
    WrittenRow,
)
from tests.screens.fake_jobs import FakeJobs

NOW = 1_795_266_012_000  # 21 Nov 2026 13:00:12 UTC, a Saturday
ZONE = ZoneInfo("Europe/Berlin")
MINUTE = 60_000

ALL = frozenset(Module)


class FixedClock:
    """Stands still until it is told."""

    def __init__(self, now: int = NOW) -> None:
        self.now = now

    def now_ms(self) -> int:
        return self.now


class FakeService:
    """Fits ``tui.port.Engine``."""

    def __init__(self, store: Store, clock: FixedClock | None = None) -> None:
        self.store = store
        self.clock = clock or FixedClock()
        self.jobs = FakeJobs(self.clock.now_ms())
        self.commands: list[tuple[Command, str]] = []
        self.refuse = ""
        self.report: list[VerifyRow] = []
        self.older: list[Line] = []
        self.history: list[RunRow] = []
        self.held: list[HeldRow] = []
        self.did: list[CycleRow] = []
        self.undoing = UndoPreview((), {}, ())
        self.leaving = LeavePreview((), {})
        self.explained: list[Explanation] = []
        self.kept: dict[int, Filtered] = {}
        self.asked: list[tuple[str, str | None]] = []
        self.preview: list[PreviewRow] = []
        self.previewed: PreviewReport | None = None
        self.previewing = False
        self.pilot = 0
        self.checks = checks()
        self.seconds: tuple[float, float] | None = (2_520.0, 9_840.0)
        self.conflicting: list[ConflictRow] = []
        self.written: list[WrittenRow] = []
        self.exported: list[tuple[str, str, str]] = []
        self.filings: list[FiledRow] = []
        self.saved: dict[str, dict[str, object]] = {}
        on = tuple(name for name in store.policies if store.policies[name].crm)
        self.linked = (
            [
                ConnectionRow(
                    "Salesforce prod",
                    "salesforce",
                    on,
                    "client_secret_file: /etc/syncline/crm-secret",
                    "https://acme.my.salesforce.com",
                    True,
                ),
                ConnectionRow(
                    "Workspace example.com",
                    "google",
                    on,
                    "credentials_file: /etc/syncline/google.json",
                    "",
                    False,
                ),
                ConnectionRow(
                    "Old Workspace", "google", (), "credentials_file: /etc/syncline/old.json", "", False
                ),
            ]
            if on
            else []
        )
        self.mails: list[MailRow] = []
        self.stopped = asyncio.Event()
        self.audits: list[AuditRow] = []
        self.may_stop: asyncio.Event | None = None

    def serves_others(self) -> None:
        """Roles are the service's; this one lets everybody."""

    async def mails_of(self, incident: IncidentRow) -> list[MailRow]:
        return self.mails

    async def do(self, command: Command, by: By) -> Answer:
        self.commands.append((command, str(by)))
        if self.refuse:
            return Answer(False, self.refuse)
        if isinstance(command, TestPolicy):
            return Answer(
                True,
                f"Both connections of {command.policy} answer",
                (
                    "✓ CRM: 5 of 5 modules readable, 180 ms",
                    "✓ Mail: delegation and all scopes, 5 of 5 mailboxes",
                ),
            )
        if isinstance(command, EnablePolicy):
            row = self.store.policies[command.policy]
            row.state, row.running = PolicyState.ENABLED, True
            self.store.touch(Table.POLICIES, row)
            return Answer(True, f"{row.id} is enabled; its first sync begins.")
        if isinstance(command, DisablePolicy):
            row = self.store.policies[command.policy]
            row.state = PolicyState.DISABLED
            self.store.touch(Table.POLICIES, row)
            return Answer(True, f"{row.id} is disabled; running cycles finish.")
        if isinstance(command, PauseUser | ResumeUser):
            user = self.store.users[command.mailbox]
            user.state = UserState.PAUSED if isinstance(command, PauseUser) else UserState.QUEUED
            user.why = f"by {by}"
            self.store.touch(Table.USERS, user)
            return Answer(True, f"{user.id} is {user.state.value}. p undoes it.")
        if isinstance(command, EnableJob | DisableJob):
            job = self.store.jobs[command.job]
            job.state = JobState.ENABLED if isinstance(command, EnableJob) else JobState.DISABLED
            self.store.touch(Table.JOBS, job)
            return Answer(True, f"{job.title} is {job.state.value}.")
        if isinstance(command, SavePolicy):
            self.saved[command.policy] = dict(command.settings)
            if command.was is None:
                self.store.policies[command.policy] = _policy(
                    command.policy, 0, state=PolicyState.DISABLED, initialised=False
                )
                self.store.reshape(Table.POLICIES)
            return Answer(True, f"{command.policy} is stored; the next full sync of each mailbox goes by it")
        if isinstance(command, TestConnection):
            return Answer(
                True,
                f"{command.connection} works: 2 checks passed",
                ("✓ token: granted, 180 ms", "✓ modules: 5 of 5 readable"),
            )
        if isinstance(command, VerifyPolicy):
            self.report = report(self.store, command.policy)
            return Answer(True, f"{command.policy} verified: 2 differences.")
        return Answer(True, f"{type(command).__name__} queued.")

    def what_happens(self, command: Command) -> tuple[str, ...]:
        if isinstance(command, DropMails):
            return (f"The mails to {command.address} that wait are given up: nobody gets them.",)
        if isinstance(command, EnablePolicy):
            row = self.store.policies[command.policy]
            return (
                f"The first sync of {row.id} begins at once, {row.crm_kind} to {row.mailbox_kind}, {row.users} mailboxes.",
                "About 1,350 contacts and leads, 580 calendar items and 200 tasks are written to each mailbox.",
                "Phase A reads the CRM and must run to its end; nothing flows back meanwhile.",
                "Items that the mailboxes hold already stay as they are.",
            )
        if isinstance(command, DisablePolicy):
            return (f"{command.policy}: running cycles finish, none starts.",)
        if isinstance(command, RollOut):
            return (f"{command.policy}: {command.move.value}.",)
        if isinstance(command, DeletePolicy):
            return (
                f"The policy {command.policy} is forgotten, with its settings and its 5 users.",
                "What was synced stays in the mailboxes and in the CRM.",
            )
        if isinstance(command, DeleteConnection):
            return (f"The connection {command.connection} is forgotten.",)
        if isinstance(command, RemoveUsers):
            return (
                f"{len(command.mailboxes)} users leave the policy {command.policy}; what was synced stays.",
            )
        if isinstance(command, DecideConflict):
            return (f"{len(command.ids)} fields of {command.mailbox}: the value is written to the other side.",)
        return ()

    def policy_draft(self, name: str, copy_of: str = "") -> PolicyDraft:
        document = new_policy("Salesforce prod", "Workspace example.com")
        document |= self.saved.get(name or copy_of, {})
        was = document if name else None
        others = tuple(each for each in self.store.policies if each != name)
        kinds = {row.id: row.kind for row in self.linked}
        return PolicyDraft(name, document, was, kinds, others, 8)

    def connection_draft(self, name: str, kind: str = "") -> ConnectionDraft:
        others = tuple(row.id for row in self.linked if row.id != name)
        if not name:
            return ConnectionDraft("", kind, kind == "salesforce", {}, None, others)
        row = next(row for row in self.linked if row.id == name)
        settings = (
            {
                "login_url": "https://acme.my.salesforce.com",
                "client_id": "3MVG9",
                "client_secret_file": "/etc/syncline/crm-secret",
            }
            if row.crm
            else {"credentials_file": "/etc/syncline/google.json"}
        )
        return ConnectionDraft(name, row.kind, row.crm, settings, settings, others, row.policies)

    def connections(self) -> list[ConnectionRow]:
        return list(self.linked)

    async def lines(self, mailbox: str, before_seq: int | None = None, limit: int = 200) -> list[Line]:
        return [line for line in self.older if before_seq is None or line.seq < before_seq][-limit:]

    async def runs(self, job: str, limit: int = 50) -> list[RunRow]:
        return [run for run in self.history if run.job == job][:limit]

    async def verify_report(self, policy: str) -> list[VerifyRow]:
        return list(self.report)

    async def waiting(self, mailbox: str | None = None, policy: str | None = None) -> list[HeldRow]:
        return [row for row in self.held if mailbox in (None, row.mailbox) and policy in (None, row.policy)]

    async def export_table(self, name: str, ending: str, text: str, by: By) -> str:
        self.exported.append((name, ending, text))
        return f"/var/lib/syncline/exports/{name}.{ending}"

    async def explain(self, query: str, mailbox: str | None = None, zone: tzinfo = ZONE) -> Explanation:
        self.asked.append((query, mailbox))
        for one in self.explained:
            if one.query == query:
                return one
        return Explanation(query, note=f"no item fits {query!r}: ask by the number of a link (#12)")

    async def filtered(
        self, mailbox: str, module: str | None = None, reason: str | None = None, after: int = 0
    ) -> Filtered:
        return self.kept.get(after, Filtered(mailbox, (), ()))

    def preview_running(self, policy: str) -> bool:
        return self.previewing

    async def rollout(self, policy: str) -> RolloutReport:
        users = [row.id for row in self.store.users.values() if row.policy == policy]
        if not self.pilot:
            return RolloutReport(policy, "", "this policy rolls out to all at once")
        stage = self.store.policies[policy].rollout_stage
        first, rest = users[: self.pilot], users[self.pilot :]
        waves = (WaveRow(1, "admitted" if stage else "waits", tuple(first)), WaveRow(2, "waits", tuple(rest)))
        return RolloutReport(policy, stage, "it begins with the first sync", waves)

    async def checklist(self, policy: str) -> Checklist:
        row = self.store.policies[policy]
        first = row.state is PolicyState.DISABLED and not row.initialised
        about = f"{row.crm_kind} to {row.mailbox_kind}, {row.windows}"
        items = (("contact", 41_200), ("appointment", 8_900), ("task", 2_100)) if self.seconds else ()
        return Checklist(
            policy, first, about, row.users, self.checks, items, row.users if self.seconds else 0, self.seconds
        )

    async def preview_report(self, policy: str, mailbox: str | None = None) -> PreviewReport:
        if self.previewed is None:
            return PreviewReport(policy, self.previewing, None, self.store.policies[policy].users, 0, ())
        sums = tuple(one for one in self.previewed.sums if mailbox in (None, one.mailbox))
        return replace(self.previewed, running=self.previewing, sums=sums)

    async def preview_rows(
        self, policy: str, mailbox: str, *, module: str | None = None, after: int = 0, limit: int = 500
    ) -> list[PreviewRow]:
        found = [row for row in self.preview if row.mailbox == mailbox and module in (None, row.module)]
        return [row for row in found if row.seq > after][:limit]

    async def conflicts(self, mailbox: str | None = None, policy: str | None = None) -> list[ConflictRow]:
        return [
            row for row in self.conflicting if mailbox in (None, row.mailbox) and policy in (None, row.policy)
        ]

    async def filed(self, mailbox: str | None = None) -> list[FiledRow]:
        return [row for row in self.filings if mailbox in (None, row.email)]

    def refusal(self, row: ConflictRow, text: str) -> str:
        if "phone" in row.label and not any(char.isdigit() for char in text):
            return f"{row.label}: {text!r} is no phone number; allowed: {row.allowed}"
        return ""

    async def cycles(self, mailbox: str | None = None) -> list[CycleRow]:
        return [row for row in self.did if mailbox in (None, row.mailbox)]

    async def day(self, mailbox: str) -> DayRow:
        return DayRow(96, 2, 1302, 3, 318, tuple(number * 7 % 110 for number in range(24)))

    async def cycle_items(self, cycle: int, after: int = 0, limit: int = 500) -> list[WrittenRow]:
        return [row for row in self.written if row.id > after][:limit]

    async def undo_preview(self, cycle: int) -> UndoPreview:
        return self.undoing

    async def leave_preview(self, policy: str) -> LeavePreview:
        return self.leaving

    async def clearable(self, mailboxes: Sequence[str], modules: Sequence[str] = ()) -> int:
        return 214 if not modules else 24

    def initialising(self) -> list[str]:
        return [row.id for row in self.store.users.values() if row.state is UserState.INITIALIZING]

    async def audit(
        self, before_id: int | None = None, limit: int = 200, words: Sequence[str] = ()
    ) -> list[AuditRow]:
        fitting = [
            row
            for row in self.audits
            if all(
                word.lower() in f"{row.actor} {row.origin} {row.command} {row.object} {row.result}".lower()
                for word in words
            )
        ]
        return [row for row in fitting if before_id is None or row.id < before_id][:limit]

    async def stop(self, by: By = "") -> Answer:
        if self.may_stop is not None:
            await self.may_stop.wait()
        self.stopped.set()
        return Answer(True, f"{by} stops the engine")


def checks() -> tuple[CheckLine, ...]:
    """A checklist on which everything is right that the program can look at."""
    ok = CheckState.OK
    return (
        CheckLine(
            "crm",
            "CRM link and permissions",
            ok,
            "9 checks passed 4 min ago",
            ("✓ token: session at https://acme.my.salesforce.com by jwt", "✓ users: 96 active"),
        ),
        CheckLine("mail", "Mail link and permissions", ok, "9 checks passed 4 min ago"),
        CheckLine("mailboxes", "Users and their mailboxes", ok, "5 of 5 read"),
        CheckLine("preview", "Preview of what is written", ok, "52,200 create, 310 merge"),
        CheckLine("guests", "No guest is mailed (0)", ok, "nobody, by rule of a first sync"),
        CheckLine(
            "deletes",
            "Delete guards are on",
            ok,
            "contacts 250 or 25 %, appointments 50 or 10 %, tasks 50 or 75 %",
        ),
        CheckLine("waves", "Some mailboxes go first", ok, "waves of 5, 91"),
        CheckLine("limits", "Providers have room for it", ok, "Google Calendar /min 61% used, the most of all"),
        CheckLine("notify", "Somebody is told of faults", ok, "crm-ops@example.com"),
    )


def doubtful() -> tuple[CheckLine, ...]:
    """The same where much is not right yet."""
    changed = {
        "crm": CheckLine(
            "crm",
            "CRM link and permissions",
            CheckState.WRONG,
            "object Task: not createable (and 1 more)",
            (
                "✗ object Task: not createable. Give the integration user's permission set these rights",
                "✗ users: 0 active. Let the integration user see users",
                "✓ token: session at https://acme.my.salesforce.com by jwt",
            ),
        ),
        "mail": CheckLine(
            "mail", "Mail link and permissions", CheckState.UNKNOWN, "not tested yet",
            ("Workspace example.com was not tested within the last hour, or was changed since.",),
        ),
        "mailboxes": CheckLine(
            "mailboxes", "Users and their mailboxes", CheckState.LOOK,
            "4 of 5 read; not f.khan@example.com", ("✗ f.khan@example.com: no mailbox of this address",),
        ),
        "notify": CheckLine(
            "notify", "Somebody is told of faults", CheckState.LOOK, "nobody",
            ("Without an address a fault is only shown here, and in syncline status.",),
        ),
    }  # fmt: skip
    return tuple(changed.get(each.id, each) for each in checks())


def _policy(name: str, users: int, **more: object) -> PolicyRow:
    row = PolicyRow(
        name,
        PolicyState.ENABLED,
        "Salesforce prod",
        "Salesforce",
        "Workspace example.com",
        "Google",
        ALL,
        users,
        initialised=True,
        last_full_ms=NOW - 12 * MINUTE,
        next_full_ms=NOW + 3 * MINUTE,
        items=9211,
        schedule="every 15 min, Mon-Fri 07:00-19:00",
        windows="calendar -45 d .. +400 d, contacts all",
        conflict="newest wins",
        guard="contacts 250 or 25 %, appointments 50 or 10 %",
        calendar="colour by module",
        notify="crm-ops@example.com",
    )
    for key, value in more.items():
        setattr(row, key, value)
    return row


def _user(name: str, policy: str, state: UserState, **more: object) -> UserRow:
    row = UserRow(f"{name}@example.com", policy, state, crm_user=f"005{name}", zone="Europe/Berlin")
    for key, value in more.items():
        setattr(row, key, value)
    return row


def _at_step(row: UserRow, number: int, done: int, total: int | None) -> UserRow:
    for place, step in enumerate(row.steps):
        if place + 1 < number:
            step.state, step.done, step.total = StepState.DONE, 412 + place, 412 + place
        elif place + 1 == number:
            step.state, step.done, step.total = StepState.RUNNING, done, total
            row.step = step.step
    row.done, row.total = done, total
    return row


def empty() -> Store:
    """Nothing is configured."""
    return Store()


def running() -> Store:
    """A first sync and some full syncs at work."""
    store = Store()
    active = UserState
    policies = [
        _policy(
            "Sales EMEA",
            8,
            users_by_state={active.SYNCING: 3, active.QUEUED: 3, active.IDLE: 2},
            running=True,
            held=1,
        ),
        _policy(
            "Sales APAC",
            2,
            users_by_state={active.BACKOFF: 1, active.IDLE: 1},
            last_full_ms=NOW - 9 * MINUTE,
            next_full_ms=NOW + 6 * MINUTE,
            items=8740,
        ),
        _policy(
            "Support",
            2,
            modules=ALL - {Module.OPPORTUNITY, Module.CASE},
            initialised=False,
            running=True,
            last_full_ms=None,
            items=41_003,
            users_by_state={active.INITIALIZING: 2},
        ),
        _policy(
            "Marketing",
            1,
            users_by_state={active.PAUSED: 1},
            modules=frozenset({Module.CONTACT, Module.LEAD, Module.APPOINTMENT}),
            last_full_ms=NOW - 120 * MINUTE,
            next_full_ms=None,
        ),
        _policy(
            "Pilot 試験",
            5,
            state=PolicyState.DISABLED,
            initialised=False,
            last_full_ms=None,
            next_full_ms=None,
            items=0,
        ),
    ]
    users = [
        _at_step(
            _user(
                "t.nowak",
                "Support",
                active.INITIALIZING,
                phase="A",
                cycle=CycleKind.FIRST,
                rate=29.0,
                started_ms=NOW - 92_000,
                barrier=(1, 2),
                calls=31,
            ),
            1,
            1204,
            None,
        ),
        _at_step(
            _user(
                "r.silva",
                "Support",
                active.INITIALIZING,
                phase="A",
                cycle=CycleKind.FIRST,
                rate=31.4,
                started_ms=NOW - 91_000,
                barrier=(1, 2),
                calls=30,
            ),
            2,
            388,
            None,
        ),
        _at_step(
            _user(
                "a.diaz",
                "Sales EMEA",
                active.SYNCING,
                phase="B",
                cycle=CycleKind.FULL,
                rate=44.0,
                eta_seconds=(1, 1),
                started_ms=NOW - 14_000,
                calls=12,
            ),
            2,
            61,
            61,
        ),
        _at_step(
            _user(
                "b.moore",
                "Sales EMEA",
                active.SYNCING,
                phase="B",
                cycle=CycleKind.FULL,
                rate=20.0,
                eta_seconds=(2, 4),
                started_ms=NOW - 13_000,
            ),
            1,
            12,
            40,
        ),
        _at_step(
            _user(
                "c.wang",
                "Sales EMEA",
                active.SYNCING,
                phase="B",
                cycle=CycleKind.FULL,
                rate=9.0,
                eta_seconds=(1, 1),
                held=1,
                started_ms=NOW - 15_000,
            ),
            3,
            7,
            9,
        ),
        _user("d.patel", "Sales EMEA", active.QUEUED, place=1),
        _user("e.rossi", "Sales EMEA", active.QUEUED, place=2),
        _user("f.khan", "Sales EMEA", active.QUEUED, place=3),
        _at_step(
            _user(
                "kim.lee",
                "Sales APAC",
                active.BACKOFF,
                why="429",
                until_ms=NOW + 41_000,
                started_ms=NOW - 62_000,
            ),
            2,
            12,
            40,
        ),
        _user("g.weber", "Marketing", active.PAUSED, why="by bob 12:10"),
        _user(
            "h.costa",
            "Sales EMEA",
            active.IDLE,
            next_full_ms=NOW + 12 * MINUTE,
            last_success_ms=NOW - 3 * MINUTE,
            calls=14,
        ),
        _user(
            "i.novak",
            "Sales EMEA",
            active.IDLE,
            next_full_ms=NOW + 12 * MINUTE,
            last_success_ms=NOW - 3 * MINUTE,
        ),
        _user(
            "井藤.健二",
            "Sales APAC",
            active.IDLE,
            next_full_ms=NOW + 6 * MINUTE,
            last_success_ms=NOW - 9 * MINUTE,
        ),
    ]
    _fill(store, policies, users)
    _lines(store)
    store.engine.message = "Sales EMEA: the first sync has ended; V in Policies reads it back."
    store.engine.message_ms = NOW - 8000
    store.engine.first_done, store.engine.first_total = 1592, 7260
    store.engine.waiting, store.engine.next_waiting = 3, "d.patel@example.com"
    store.engine.waits = (WaitRow("Sales EMEA", 8.0, 100.0, 12.0), WaitRow("Support", 2.0, 9.0))
    store.engine.eta_seconds = (60.0, 84.0)
    return store


def error() -> Store:
    """Refused mailboxes, a failed job, a provider that does not answer."""
    store = running()
    for name, text in (
        ("ann.berg", "403: delegation is missing for this mailbox"),
        ("j.ortiz", "403: delegation is missing for this mailbox"),
    ):
        row = _user(name, "Sales EMEA", UserState.FAILED, why=text, failed=2, started_ms=NOW - 50_000)
        row.steps[1].state, row.steps[1].text = StepState.FAILED, "403"
        store.users[row.id] = row
        store.append(
            row.id, NOW - 5000, "✗", "calendar: 403 forbidden; grant the scope in the admin console, then r", 3
        )
    policy = store.policies["Sales EMEA"]
    policy.fault = "2 mailboxes refuse the service account (403). t tests the link."
    policy.failed, policy.users = 2, 10
    policy.users_by_state = {**policy.users_by_state, UserState.FAILED: 2}
    store.engine.states[UserState.FAILED] = 2
    store.engine.fault = "Sales EMEA: 2 mailboxes refuse the service account (403). Press t to test the link."
    store.engine.providers["Google"] = "fault: 403"
    job = store.jobs["full:Sales EMEA"]
    job.state = JobState.ERROR
    assert job.last is not None
    job.last.result, job.last.errors, job.last.note = "failed", 2, "2 mailboxes refused (403)"
    return store


def _fill(store: Store, policies: list[PolicyRow], users: list[UserRow]) -> None:
    rng = random.Random(7)
    store.policies.update((row.id, row) for row in policies)
    for row in users:
        row.items = 0 if row.cycle is CycleKind.FIRST else 1351
        row.counts = {
            ItemOutcome.CREATED: row.done // 4,
            ItemOutcome.UPDATED: row.done // 9,
            ItemOutcome.HELD: row.held,
        }
        row.module_counts = {
            module: {ItemOutcome.CREATED: rng.randrange(60), ItemOutcome.UNCHANGED: rng.randrange(900)}
            for module in Module
        }
        store.users[row.id] = row
    store.limits.update(
        (row.id, row)
        for row in (
            LimitRow("Google Calendar", 6120, 10_000, "/min"),
            LimitRow("Google People", 17, 90, "/min"),
            LimitRow("Salesforce API", 44_000, 100_000, "/day"),
            LimitRow("Google Tasks", 0, None, "calls", "server asked", wait_until_ms=NOW + 20_000),
        )
    )
    for policy in policies:
        off = policy.state is PolicyState.DISABLED
        last = (
            None
            if off
            else RunRow(1, f"full:{policy.id}", NOW - 15 * MINUTE, NOW - 14 * MINUTE, "ok", 212, 0, "")
        )
        store.jobs[f"full:{policy.id}"] = JobRow(
            f"full:{policy.id}",
            f"Full sync {policy.id}",
            JobState.DISABLED if off else JobState.RUNNING if policy.running else JobState.ENABLED,
            "every 15 min, 07-19",
            "Europe/Berlin",
            None if off else NOW + 12 * MINUTE,
            last=last,
            node="node-1",
            policy=policy.id,
        )
    store.jobs[CALENDAR] = JobRow(
        CALENDAR,
        CALENDAR,
        JobState.ENABLED,
        "every 15 min",
        "UTC",
        NOW + 15 * MINUTE - NOW % (15 * MINUTE),
        last=RunRow(
            88,
            CALENDAR,
            NOW - 3 * MINUTE,
            NOW - 2 * MINUTE,
            "failed",
            6,
            1,
            "3 operators, 4 filtered, 1 failed",
        ),
        node="node-1",
        shipped=True,
        context="system runtime context",
        lease="pid 4121 on node-1, fencing token 88",
        retries=1,
    )
    engine = store.engine
    engine.running, engine.started_ms, engine.lag_p99_ms, engine.lag_max_ms = (
        True,
        NOW - 7860 * MINUTE // 10,
        4,
        31,
    )
    engine.busy, engine.slots = 5, 16
    for row in users:
        engine.states[row.state] = engine.states.get(row.state, 0) + 1
    engine.held = sum(row.held for row in users)
    engine.buckets.extend(rng.randrange(200, 460) for _ in range(300))
    engine.providers = {"Google": "ok", "Salesforce": "ok"}


def _lines(store: Store) -> None:
    words = (
        ("+", "'Call Acme' from CRM", 1),
        ("~", "'Quarterly review' moved 1 h", 1),
        ("-", "'Old demo' cancelled in CRM", 1),
        ("⚑", "'Send offer' matches 2 tasks", 1),
        ("", "read page 25 (50 items)", 0),
        ("▸", "step 2 of 5: calendar", 2),
    )
    rng = random.Random(11)
    for row in store.users.values():
        if row.state in (UserState.INITIALIZING, UserState.SYNCING, UserState.BACKOFF, UserState.IDLE):
            for second in range(40, 0, -1):
                sign, text, level = words[rng.randrange(len(words))]
                store.append(row.id, NOW - second * 1000, sign, text, level)


def history(job: str) -> list[RunRow]:
    """A week of nightly runs."""
    day = 24 * 60 * MINUTE
    runs = [
        RunRow(100 - n, job, NOW - n * day, NOW - n * day + 40_000 + n * 900, "ok", 212 - n, 0, "")
        for n in range(1, 9)
    ]
    runs[2].result, runs[2].errors, runs[2].note = "failed", 2, "2 mailboxes refused (403)"
    return runs


def report(store: Store, policy: str) -> list[VerifyRow]:
    """What Verify found: two differences."""
    checks = {
        "groups": 2,
        "contacts": 1200,
        "leads": 150,
        "calendar": 1,
        "appointments": 400,
        "calls": 120,
        "service calls": 60,
        "tasks": 200,
        "label tree": 14,
        "drop labels": 6,
        "quick connect mails": 120,
    }
    rows = []
    for user in [row for row in store.users.values() if row.policy == policy]:
        for check, want in checks.items():
            short = user.id.startswith("b.moore") and check in ("contacts", "tasks")
            rows.append(
                VerifyRow(
                    user.id,
                    check,
                    not short,
                    want - short,
                    want,
                    "'Ito, Kenji' is not in the mailbox" if short else "",
                )
            )
    return rows


async def live(service: FakeService) -> None:
    """Move things, a hundred events a second."""
    rng = random.Random()
    store = service.store
    while True:
        await asyncio.sleep(0.01)
        service.clock.now += 10
        active = [
            row for row in store.users.values() if row.state in (UserState.INITIALIZING, UserState.SYNCING)
        ]
        if not active:
            continue
        row = rng.choice(active)
        row.done = (row.done + 1) % (row.total or 100)
        row.counts[ItemOutcome.CREATED] = row.counts.get(ItemOutcome.CREATED, 0) + 1
        store.append(row.id, service.clock.now, "+", f"'Contact {row.done}' from CRM", 1)
        store.touch(Table.USERS, row)
        if service.clock.now % 1000 < 10:
            store.engine.buckets.append(rng.randrange(60, 140))
            store.touch(Table.ENGINE, store.engine)


async def main(kind: str) -> None:
    from tui.app import SynclineApp

    service = FakeService({"empty": empty, "running": running, "error": error}[kind]())
    service.history = [run for job in service.store.jobs for run in history(job)]
    life = asyncio.create_task(live(service))
    await SynclineApp(
        service, Actor("alice@ops-01", Role.ADMIN), zone=ZONE, ascii="--ascii" in sys.argv
    ).run_async()
    life.cancel()


if __name__ == "__main__":
    asyncio.run(main(next((each for each in sys.argv[1:] if not each.startswith("-")), "running")))
