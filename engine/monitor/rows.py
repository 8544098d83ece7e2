"""The rows that screens and scripts read: plain values by id, written by the loop's thread only.

Times are epoch milliseconds UTC, durations seconds. A row is mutable and belongs to the store; a screen reads it and
never writes it. ``rev`` grows with every change of the row.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from engine.model.modules import STEPS, ItemOutcome, Module, Step
from engine.model.states import CycleKind, FaultClass, JobState, PolicyState, StepState, UserState


@dataclass(slots=True)
class PolicyRow:
    """One line of the Policies tab. ``id`` is the policy's name."""

    id: str
    state: PolicyState = PolicyState.DISABLED
    crm: str = ""
    crm_kind: str = ""
    mailbox: str = ""
    mailbox_kind: str = ""
    modules: frozenset[Module] = frozenset()
    users: int = 0
    users_by_state: dict[UserState, int] = field(default_factory=dict)
    initialised: bool = False
    running: bool = False
    last_full_ms: int | None = None
    next_full_ms: int | None = None
    next_why: str = ""
    items: int = 0
    held: int = 0
    conflicts: int = 0
    failed: int = 0
    fault: str = ""
    fault_class: FaultClass | None = None
    last_fault: str = ""  # of the last run as a whole; unlike ``fault`` it may pass by itself
    stale: int = 0  # users whom no cycle has reached for three intervals
    blackout_until_ms: int | None = None
    schedule: str = ""
    windows: str = ""
    conflict: str = ""
    guard: str = ""
    calendar: str = ""
    notify: str = ""
    rollout: str = ""  # a roll-out that is under way, in one line
    rollout_stage: str = ""  # running, asks or stopped; empty when there is none
    notice: str = ""  # what waits for a person while the policy goes on
    rev: int = 0


@dataclass(slots=True)
class StepRow:
    """Progress of one of the five steps."""

    step: Step
    state: StepState = StepState.PENDING
    done: int = 0
    total: int | None = None
    text: str = ""


@dataclass(slots=True)
class UserRow:
    """One line of the Queue and one activity monitor. ``id`` is the mailbox address."""

    id: str
    policy: str = ""
    state: UserState = UserState.DISABLED
    crm_user: str = ""
    zone: str = ""
    calendar_sync: bool = True  # the operator's switch
    exchange_email: str = ""
    phase: str = ""
    cycle: CycleKind | None = None
    step: Step | None = None
    steps: list[StepRow] = field(default_factory=lambda: [StepRow(step) for step in STEPS])
    counts: dict[ItemOutcome, int] = field(default_factory=dict)
    module_counts: dict[Module, dict[ItemOutcome, int]] = field(default_factory=dict)
    done: int = 0
    total: int | None = None
    calls: int = 0
    items: int = 0  # live items that are linked, as of the last count
    rate: float = 0.0
    eta_seconds: tuple[float, float] | None = None
    place: int | None = None
    started_ms: int | None = None
    ended_ms: int | None = None
    last_success_ms: int | None = None
    next_full_ms: int | None = None
    until_ms: int | None = None
    why: str = ""
    text: str = ""
    fault_class: FaultClass | None = None
    awake_ms: int = 0  # when it was last let run after a rest: paused, or its policy off
    stale_since_ms: int | None = None  # since when no end-to-end success lies within three intervals
    held: int = 0
    conflicts: int = 0
    failed: int = 0
    barrier: tuple[int, int] | None = None
    rev: int = 0

    @property
    def step_number(self) -> int | None:
        """1 to 5 while a step runs; none for a drop-label check, which has but one."""
        return None if self.step is None or self.step not in STEPS else STEPS.index(self.step) + 1


@dataclass(slots=True)
class RunRow:
    """One past or present run of a job."""

    id: int
    job: str
    started_ms: int
    ended_ms: int | None = None
    result: str = "running"  # running | ok | failed | stopped | skipped
    items: int = 0
    errors: int = 0
    note: str = ""


@dataclass(slots=True)
class JobRow:
    """One line of the Job Scheduler. ``next_run_ms`` is None when not applicable (the job is off)."""

    id: str
    title: str = ""
    state: JobState = JobState.DISABLED
    schedule: str = ""
    zone: str = "UTC"
    next_run_ms: int | None = None
    next_why: str = ""
    last: RunRow | None = None
    node: str = ""
    note: str = ""
    shipped: bool = False  # it can be edited, traced, and has a context; its runs have details
    context: str = ""  # with whose credentials and for whom it runs
    overridden: bool = False  # an admin has set something over the shipped definition
    traced: bool = False  # its runs keep trace lines
    lease: str = ""  # who runs it, until when
    retries: int = 0  # operators that come back before the schedule
    policy: str = ""  # whose schedule it follows; empty for a job of the whole engine
    rev: int = 0


@dataclass(slots=True)
class LimitRow:
    """A quota or lane: how much of it is used now."""

    id: str
    used: float = 0.0
    limit: float | None = None
    unit: str = ""
    text: str = ""
    wait_until_ms: int | None = None
    rev: int = 0


@dataclass(slots=True)
class IncidentRow:
    """Something that is wrong, from its first to its last time. ``id`` is the number of its record in the ledger."""

    id: str
    kind: str  # cycle | policy | stale | rollout | mail | push | job
    policy: str
    subject: str  # the mailbox's address, the policy's name, ...
    fault_class: FaultClass | None
    phase: str
    text: str
    advice: str  # what to do, or what the engine does next
    state: str  # open | cancelled | healed | dismissed
    first_ms: int
    last_ms: int
    count: int
    closed_ms: int | None = None
    due_ms: int | None = None  # when the failure mail is due; None: no mail is sent for it
    told: int = 0  # the incident in whose failure mail it was told: its own, or a sibling's; 0: not yet
    seen_by: str = ""
    seen_ms: int | None = None
    rev: int = 0

    @property
    def live(self) -> bool:
        """Whether it is not over."""
        return self.state in {"open", "cancelled"}


@dataclass(slots=True)
class SessionRow:
    """An admin who is attached.

    Attributes:
        who: name and machine.
        origin: from where, for people: ``ssh 10.0.0.5``, a terminal.
        role: what he may do: viewer, operator or admin.
        since_ms: epoch milliseconds UTC.
        size: columns and rows of his terminal.
    """

    id: str
    who: str
    origin: str
    role: str
    since_ms: int
    size: tuple[int, int]
    rev: int = 0


@dataclass(frozen=True, slots=True)
class Line:
    """One line of an activity monitor."""

    seq: int
    at_ms: int
    sign: str
    text: str
    level: int = 0  # 0 detail, 1 item, 2 step, 3 fault


@dataclass(frozen=True, slots=True)
class WaitRow:
    """How long mailboxes wait for their turn in a lane (a policy, or its drop labels); seconds.

    Attributes:
        p50: half of the last runs had waited no longer.
        p95: 95 of 100 had waited no longer.
        now: how long the one has waited that waits longest; None when nobody waits.
    """

    lane: str
    p50: float
    p95: float
    now: float | None = None


@dataclass(slots=True)
class EngineRow:
    """The header: one row, id ``engine``."""

    id: str = "engine"
    running: bool = False
    started_ms: int = 0
    lag_ms: float = 0.0  # how late the loop was at its last beat, and in the last minute
    lag_p99_ms: float = 0.0
    lag_max_ms: float = 0.0
    busy: int = 0
    slots: int = 0
    waiting: int = 0  # mailboxes in the queue, and the one that comes next
    next_waiting: str = ""
    waits: tuple[WaitRow, ...] = ()  # by lane, the longest wait first
    message: str = ""  # the newest incident, or its end
    message_ms: int = 0
    message_ok: bool = True
    fault: str = ""
    states: dict[UserState, int] = field(default_factory=dict)
    held: int = 0
    conflicts: int = 0
    stale: int = 0
    incidents: int = 0  # live ones
    unseen: int = 0  # live ones that nobody has acknowledged
    buckets: deque[int] = field(default_factory=lambda: deque(maxlen=300))  # items settled per second
    first_done: int = 0
    first_total: int = 0
    eta_seconds: tuple[float, float] | None = None
    providers: dict[str, str] = field(default_factory=dict)  # name -> "ok" | "wait" | "fault: ..."
    provider_until_ms: dict[str, int] = field(default_factory=dict)  # name -> end of its wait
    rev: int = 0
