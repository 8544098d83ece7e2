"""From activities to rows: the only place where the store of the screens is written while cycles run."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

from engine.model.activity import Activity, ActivityKind
from engine.model.modules import STEPS, ItemOutcome, Step
from engine.model.states import CycleKind, StepState, UserState
from engine.monitor.faults import Faults
from engine.monitor.pace import time_left
from engine.monitor.rows import StepRow, UserRow
from engine.monitor.store import Store, Table

WRITTEN = (ItemOutcome.CREATED, ItemOutcome.UPDATED, ItemOutcome.DELETED, ItemOutcome.MERGED)

#: States that a person must be told the reason of.
TROUBLE = frozenset({UserState.FAILED, UserState.QUARANTINED, UserState.BACKOFF})
WITH_REASON = TROUBLE | {UserState.QUEUED, UserState.STALE}

#: Rates are over so many seconds.
RATE_WINDOW = 5

LEVELS = {
    ActivityKind.NOTE: 0,
    ActivityKind.PROGRESS: 0,
    ActivityKind.ITEMS: 1,
    ActivityKind.THROTTLED: 2,
    ActivityKind.STEP: 2,
    ActivityKind.STATE: 2,
    ActivityKind.CYCLE: 2,
    ActivityKind.FAULT: 3,
}


@dataclass(slots=True)
class _Pace:
    """Items settled lately, by second."""

    seconds: deque[int] = field(default_factory=lambda: deque([0] * RATE_WINDOW, maxlen=RATE_WINDOW))
    now: int = 0


class Fold:
    """Folds activities into the store and collects monitor lines for the ledger."""

    def __init__(self, store: Store) -> None:
        self.store = store
        #: Lines not yet on disk: (mailbox address, at, sign, text, level).
        self.unsaved: list[tuple[str, int, str, str, int]] = []
        #: Mailboxes that settled items since they were last counted.
        self.wrote: set[str] = set()
        #: Faults and their ends, for the incidents.
        self.faults = Faults(store.incident_live)
        #: What phase A read for a mailbox, by step: a first sync's total until its steps know better.
        self._read: dict[str, Counter[Step]] = {}
        self._pace: dict[str, _Pace] = {}
        self._settled = 0

    def __call__(self, activity: Activity) -> None:
        """Take one activity; never blocks, never raises for an unknown mailbox."""
        row = self.store.users.get(activity.mailbox)
        if row is None:
            return
        self.faults(row, activity)
        _FOLDERS[activity.kind](self, row, activity)
        if activity.text:
            self._line(activity)
        self.store.touch(Table.USERS, row)

    def _line(self, activity: Activity) -> None:
        ring = self.store.lines.get(activity.mailbox)
        if activity.kind is ActivityKind.STATE and ring and ring[-1].text.endswith(activity.text):
            return  # the fault itself was told a line above
        level = 3 if not activity.ok else LEVELS[activity.kind]
        text = activity.text
        if activity.fault is not None and activity.kind is not ActivityKind.STATE:
            text = f"{activity.fault.value} fault: {text}"
        self.store.append(activity.mailbox, activity.at_ms, activity.sign, text, level)
        self.unsaved.append((activity.mailbox, activity.at_ms, activity.sign, text, level))

    # -- one method per kind ---------------------------------------------------------------------------

    def _state(self, row: UserRow, activity: Activity) -> None:
        assert activity.state is not None
        if row.state is UserState.PAUSED and activity.state is UserState.QUEUED:
            return  # its cycle was stopped because it was paused: it waits for a person, not for a turn
        row.state = activity.state
        row.phase = activity.phase
        row.cycle = activity.cycle
        row.until_ms = activity.until_ms
        row.text = activity.text
        row.why = activity.text if activity.state in WITH_REASON else ""
        row.fault_class = activity.fault
        if activity.state in {UserState.INITIALIZING, UserState.SYNCING}:
            row.place = None
        if activity.state is UserState.INITIALIZING:
            row.started_ms = activity.at_ms
            _clear(row)
        self._count_states()
        if activity.state in TROUBLE:
            self.tell(f"{row.id}: {activity.text}", activity.at_ms, ok=False)
        elif not self.store.engine.message_ok and not TROUBLE & self.store.engine.states.keys():
            self.tell("All mailboxes that had failed are well again.", activity.at_ms)

    def tell(self, text: str, at_ms: int, *, ok: bool = True) -> None:
        """Show a message in the header of every screen."""
        engine = self.store.engine
        engine.message, engine.message_ms, engine.message_ok = text, at_ms, ok
        self.store.touch(Table.ENGINE, engine)

    def _tell_first(self, row: UserRow, at_ms: int) -> None:
        """Say that the first sync of a policy is over, when the last of its mailboxes ends well."""
        others = [
            other for other in self.store.users.values() if other.policy == row.policy and other is not row
        ]
        if all(other.last_success_ms is not None for other in others):
            self.tell(f"{row.policy}: the first sync has ended; V in Policies reads it back.", at_ms)

    def _cycle(self, row: UserRow, activity: Activity) -> None:
        if activity.cycle is CycleKind.LABELS:
            self._labels(row, activity)
        elif activity.ended:
            row.ended_ms = activity.at_ms
            row.step = None
            row.next_full_ms = activity.next_full_ms
            row.phase = ""
            row.eta_seconds = None
            row.rate = 0.0
            self._read.pop(row.id, None)
            if activity.ok and activity.proved:
                row.last_success_ms = activity.at_ms
                if activity.cycle is CycleKind.FIRST:
                    self._tell_first(row, activity.at_ms)
        else:
            row.cycle = activity.cycle
            row.phase = activity.phase
            if activity.cycle is not CycleKind.FIRST:
                row.started_ms = activity.at_ms
            self._pace.pop(row.id, None)  # reading the CRM says nothing of how fast the mailbox is
            row.rate, row.eta_seconds = 0.0, None
            _clear(row)

    def _labels(self, row: UserRow, activity: Activity) -> None:
        """A drop-label check: beside the full syncs, whose steps, times and troubles stay as they are."""
        if not activity.ended:
            row.steps = [step for step in row.steps if step.step is not Step.MAIL]
            if row.state is UserState.IDLE:
                row.state, row.cycle, row.started_ms = UserState.SYNCING, activity.cycle, activity.at_ms
        elif row.state is UserState.SYNCING and row.cycle is CycleKind.LABELS:
            row.state, row.step, row.rate, row.eta_seconds = UserState.IDLE, None, 0.0, None
            row.text = activity.text
        self._count_states()

    def _step(self, row: UserRow, activity: Activity) -> None:
        assert activity.step is not None
        row.step = activity.step
        row.done, row.total = activity.done, activity.total
        step = _step_row(row, activity.step)
        if activity.step_state is not None:
            step.state = activity.step_state
        step.done, step.total, step.text = activity.done, activity.total, activity.text

    def _progress(self, row: UserRow, activity: Activity) -> None:
        if activity.step is not None:
            row.step = activity.step
            step = _step_row(row, activity.step)
            step.done, step.total = activity.done, activity.total
        delta = max(activity.done - row.done, 0)
        if row.state is UserState.INITIALIZING and activity.step is not None:
            self._read.setdefault(row.id, Counter())[activity.step] += delta
        row.done, row.total = activity.done, activity.total
        row.until_ms = None
        self._pace.setdefault(row.id, _Pace()).now += delta
        self._settled += delta

    def _items(self, row: UserRow, activity: Activity) -> None:
        self.wrote.add(row.id)
        for (module, outcome), count in activity.counts.items():
            row.counts[outcome] = row.counts.get(outcome, 0) + count
            by_module = row.module_counts.setdefault(module, {})
            by_module[outcome] = by_module.get(outcome, 0) + count
            if outcome is ItemOutcome.FAILED:
                row.failed += count
            elif outcome is ItemOutcome.CREATED:
                row.items += count
            elif outcome is ItemOutcome.DELETED:
                row.items = max(row.items - count, 0)

    def _note(self, row: UserRow, activity: Activity) -> None:
        row.text = activity.text

    def _throttled(self, row: UserRow, activity: Activity) -> None:
        row.until_ms = activity.until_ms
        row.text = activity.text

    def _fault(self, row: UserRow, activity: Activity) -> None:
        row.text = activity.text

    # -- every second ----------------------------------------------------------------------------------

    def second(self, now_ms: int) -> None:
        """Once a second: throughput, rates, time left."""
        engine = self.store.engine
        engine.buckets.append(self._settled)
        self._settled = 0
        first = [
            row
            for row in self.store.users.values()
            if row.cycle is CycleKind.FIRST and row.step is not None and row.state is UserState.SYNCING
        ]
        for mailbox, pace in list(self._pace.items()):
            pace.seconds.append(pace.now)
            pace.now = 0
            row = self.store.users.get(mailbox)
            if row is None:
                continue
            rate = sum(pace.seconds) / RATE_WINDOW
            eta = _eta(row, rate)
            if rate != row.rate or eta != row.eta_seconds:
                row.rate, row.eta_seconds = rate, eta
                self.store.touch(Table.USERS, row)
            if rate == 0.0:
                del self._pace[mailbox]
        engine.first_done = sum(step.done for row in first for step in row.steps)
        engine.first_total = sum(self._expected(row) for row in first)
        left = engine.first_total - engine.first_done
        engine.eta_seconds = time_left(left, engine.buckets) if first else None
        self.store.touch(Table.ENGINE, engine)

    def _expected(self, row: UserRow) -> int:
        """Items of a first sync: what its steps know, and for those to come what phase A read."""
        read = self._read.get(row.id, Counter())
        return sum(
            read[step.step] if step.state is StepState.PENDING else max(step.total or 0, step.done)
            for step in row.steps
        )

    def _count_states(self) -> None:
        states: dict[UserState, int] = {}
        for row in self.store.users.values():
            states[row.state] = states.get(row.state, 0) + 1
        self.store.engine.states = states
        self.store.touch(Table.ENGINE, self.store.engine)

    def recount(self) -> None:
        """Count users by state again, after rows came or went."""
        self._count_states()


def _step_row(row: UserRow, step: Step) -> StepRow:
    """The row of a step; that of filed mail stands behind the five once there was any."""
    found = next((each for each in row.steps if each.step is step), None)
    if found is None:
        found = StepRow(step)
        row.steps = [*row.steps, found]
    return found


def _clear(row: UserRow) -> None:
    row.steps = [StepRow(step) for step in STEPS]
    row.counts, row.module_counts = {}, {}
    row.done, row.total, row.step = 0, None, None
    row.failed = 0


def _eta(row: UserRow, rate: float) -> tuple[float, float] | None:
    if not rate or row.total is None or row.total <= row.done:
        return None
    left = (row.total - row.done) / rate
    return left * 0.8, left * 1.5


_FOLDERS = {
    ActivityKind.STATE: Fold._state,
    ActivityKind.CYCLE: Fold._cycle,
    ActivityKind.STEP: Fold._step,
    ActivityKind.PROGRESS: Fold._progress,
    ActivityKind.ITEMS: Fold._items,
    ActivityKind.NOTE: Fold._note,
    ActivityKind.THROTTLED: Fold._throttled,
    ActivityKind.FAULT: Fold._fault,
}
