"""What a cycle works with, and the ways in which it ends early."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.crm.connector import CrmConnector
from engine.ledger import history
from engine.ledger.feeds import ScopeRow
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.schema import Gone
from engine.ledger.store import Ledger
from engine.mailbox.connector import MailboxConnector
from engine.model.activity import Activity, ActivityKind, Emit
from engine.model.clock import Clock
from engine.model.modules import ItemOutcome, Module, Side, Step
from engine.model.policy import Policy
from engine.model.port import Account, Capability, Scope
from engine.model.states import CycleKind, FaultClass, StepState, UserState
from engine.sync.chosen import Chosen
from engine.sync.structure import fingerprint, whole_structure
from engine.sync.window import Window

#: Kinds of cycle whose record is an order of an admin, which only its end closes (engine.ledger.orders).
ORDERED = frozenset({CycleKind.UNDO, CycleKind.LEAVE})


class Stopped(Exception):
    """An admin, or the end of the program, asked the cycle to stop; it stopped at a page boundary."""


class Waits(Exception):
    """A provider wants us to come back later than a cycle should wait.

    Attributes:
        until_ms: when to come back, epoch milliseconds.
    """

    def __init__(self, reason: str, until_ms: int) -> None:
        super().__init__(reason)
        self.until_ms = until_ms


class SuspiciousSource(Exception):
    """A source that had items returned nothing: taken for a failure, never for a delete of everything."""


@dataclass(frozen=True, slots=True)
class Feed:
    """A feed of either side with its row in the ledger."""

    scope: Scope
    row: ScopeRow


@dataclass(slots=True)
class PolicyContext:
    """Shared by all cycles of one policy.

    Attributes:
        crm_feeds: by object; each is read once for all mailboxes.
        fence: of the CRM feeds.
        lost: CRM feeds that were refused or not found in this run, with what the CRM said; their modules wait.
    """

    ledger: Ledger
    clock: Clock
    emit: Emit
    policy: Policy
    crm: CrmConnector
    mailbox: MailboxConnector
    fence: Fence
    crm_feeds: list[Feed]
    stop: asyncio.Event
    lost: dict[str, str] = field(default_factory=dict)
    #: Capability records, asked once: they are the same for every item of a run.
    known: dict[tuple[Side, Module], Capability | None] = field(default_factory=dict, repr=False)
    shared: list[Module] | None = field(default=None, repr=False)
    print: str = field(default="", repr=False)

    def capability(self, side: Side, module: Module) -> Capability | None:
        """The capability record of a module on a side."""
        key = (side, module)
        if key not in self.known:
            self.known[key] = (self.crm if side is Side.CRM else self.mailbox).capability(module)
        return self.known[key]

    def fingerprint(self) -> str:
        """Of the containers and labels that the policy asks for; see ``structure.fingerprint``."""
        if not self.print:
            self.print = fingerprint(whole_structure(self.policy))
        return self.print

    def modules(self) -> list[Module]:
        """Modules that are on and that both sides can hold."""
        if self.shared is None:
            self.shared = [
                module
                for module in Module
                if self.policy.on(module)
                and self.capability(Side.CRM, module) is not None
                and self.capability(Side.MAILBOX, module) is not None
            ]
        return self.shared

    def lost_modules(self) -> dict[Module, str]:
        """Modules whose CRM feed could not be read in this run, with what the CRM said."""
        return {
            module: self.lost[feed.scope.key]
            for feed in self.crm_feeds
            if feed.scope.key in self.lost
            for module in feed.scope.modules
        }

    def check_stop(self) -> None:
        """Raise at a page boundary when somebody asked to stop."""
        if self.stop.is_set():
            raise Stopped("stopped")


@dataclass(slots=True)
class Deletes:
    """Deletes of a module on a side that a cycle has planned, let through or held; none that an admin has let through.

    Attributes:
        total: live items there when it planned the first of them.
        how: how the deletion in the other place was learned, by remote id.
    """

    total: int
    how: dict[str, Gone] = field(default_factory=dict)


@dataclass(slots=True)
class Run:
    """One cycle of one mailbox."""

    base: PolicyContext
    record: MailboxRecord
    account: Account
    fence: Fence
    kind: CycleKind
    stop: asyncio.Event
    feeds: list[Feed] = field(default_factory=list)
    containers: dict[str, str] = field(default_factory=dict)
    reinit: dict[str, str] = field(default_factory=dict)
    cycle_id: int = 0
    phase: str = ""
    step: Step | None = None
    done: int = 0
    total: int | None = None
    counts: Counter[tuple[Module, ItemOutcome]] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    fault_classes: list[FaultClass] = field(default_factory=list)
    #: The longest wait that a provider asked for, seconds.
    retry_after: float | None = None
    #: Feeds of the mailbox that were really asked: a cycle that asked none has proved nothing.
    asked: int = 0
    #: What this cycle has planned of deletes so far, by module and side: Delete Safety counts the cycle, not a round of it.
    deletes: dict[tuple[Module, Side], Deletes] = field(default_factory=dict)
    #: Writes of this cycle that may mail guests: intent id to how many of the policy's budget.
    mails: dict[int, int] = field(default_factory=dict)
    #: The part of a preview that alone is carried out; None for an ordinary cycle.
    chosen: Chosen | None = None
    #: Of CalendarSynchronization; None for any other cycle.
    window: Window | None = None
    #: Items that its window leaves to the full sync, by reason.
    filtered: Counter[str] = field(default_factory=Counter)

    @property
    def ledger(self) -> Ledger:
        """The ledger."""
        return self.base.ledger

    @property
    def policy(self) -> Policy:
        """The policy."""
        return self.base.policy

    @property
    def clock(self) -> Clock:
        """Time."""
        return self.base.clock

    def check_stop(self) -> None:
        """Raise at a page boundary when somebody asked this mailbox or the whole policy to stop."""
        if self.stop.is_set():
            raise Stopped("stopped")
        self.base.check_stop()

    async def sleep(self, seconds: float) -> None:
        """Wait, but no longer than until somebody asks to stop."""
        waits = [
            asyncio.ensure_future(self.clock.sleep(seconds)),
            asyncio.ensure_future(self.stop.wait()),
            asyncio.ensure_future(self.base.stop.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    def feed_for(self, side: Side, module: Module) -> Feed | None:
        """The feed that holds a module on a side; the first one is written to."""
        feeds = self.base.crm_feeds if side is Side.CRM else self.feeds
        return next((feed for feed in feeds if module in feed.scope.modules), None)

    async def open_cycle(self) -> None:
        """Open the cycle's record at the first thing it has to do, or where it failed; an idle cycle leaves none."""
        if not self.cycle_id:
            self.cycle_id = await self.ledger.write(
                history.start_cycle, self.record.id, self.policy.name, self.kind.value, self.clock.now_ms()
            )

    async def close_cycle(self, state: str, error: str = "") -> None:
        """Close the cycle's record, if it has one: ``ok``, ``failed`` or ``stopped``. An order stands until it is done."""
        if self.cycle_id and self.kind not in ORDERED:
            counts = {f"{module}.{outcome}": count for (module, outcome), count in self.counts.items()}
            await self.ledger.write(
                history.end_cycle, self.cycle_id, state, counts, 0, error, self.clock.now_ms()
            )

    # -- telling the monitors --------------------------------------------------------------------------

    def tell(self, kind: ActivityKind, **values: Any) -> None:
        """Emit one activity of this mailbox."""
        base = self.base
        base.emit(
            Activity(
                kind=kind,
                mailbox=self.account.email,
                at_ms=base.clock.now_ms(),
                policy=base.policy.name,
                cycle=self.kind,
                phase=self.phase,
                step=self.step,
                done=self.done,
                total=self.total,
                **values,
            )
        )

    def note(self, text: str, sign: str = "") -> None:
        """A line for the monitor."""
        self.tell(ActivityKind.NOTE, text=text, sign=sign)

    def state(self, state: UserState, text: str = "") -> None:
        """The user's state changed."""
        self.tell(ActivityKind.STATE, state=state, text=text)

    def step_state(self, step: Step, state: StepState, text: str = "") -> None:
        """A step changed its state."""
        self.step = step
        self.tell(ActivityKind.STEP, step_state=state, text=text)

    def progress(self) -> None:
        """The numbers of the current step moved."""
        self.tell(ActivityKind.PROGRESS)

    def count(self, counts: Mapping[tuple[Module, ItemOutcome], int]) -> None:
        """Items were settled."""
        self.counts.update(counts)
        if counts:
            self.tell(ActivityKind.ITEMS, counts=dict(counts))

    def fault(self, text: str, kind: FaultClass = FaultClass.MODULE) -> None:
        """Something failed; the cycle goes on where it can."""
        self.faults.append(text)
        self.fault_classes.append(kind)
        self.tell(ActivityKind.FAULT, text=text, sign="✗", ok=False, fault=kind)
