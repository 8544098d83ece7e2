"""What activities become on the screens: states with their reasons, the newest incident, items in step."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.activity import Activity, ActivityKind
from engine.model.modules import STEPS, ItemOutcome, Module
from engine.model.states import CycleKind, StepState, UserState
from engine.monitor.fold import Fold
from engine.monitor.rows import UserRow
from engine.monitor.store import Store

ANN, BOB = "ann@acme.example", "bob@acme.example"
REASON = "calendar: Google Calendar: backend error (503)"


@pytest.fixture
def store() -> Store:
    store = Store()
    store.users = {name: UserRow(name, "Sales", UserState.SYNCING) for name in (ANN, BOB)}
    return store


@pytest.fixture
def fold(store: Store) -> Fold:
    return Fold(store)


def told(kind: ActivityKind, mailbox: str = ANN, **values: object) -> Activity:
    return replace(Activity(kind=kind, mailbox=mailbox, at_ms=1000, policy="Sales"), **values)  # type: ignore[arg-type]


def state(state: UserState, text: str = "", mailbox: str = ANN) -> Activity:
    return told(ActivityKind.STATE, mailbox, state=state, text=text)


def ended(mailbox: str, kind: CycleKind) -> Activity:
    return told(ActivityKind.CYCLE, mailbox, cycle=kind, ended=True)


def test_a_failed_mailbox_says_why_until_it_runs_again(store: Store, fold: Fold) -> None:
    fold(state(UserState.FAILED, REASON))
    assert store.users[ANN].why == REASON
    fold(state(UserState.SYNCING))
    assert store.users[ANN].why == ""


def test_the_newest_incident_stays_until_all_are_well(store: Store, fold: Fold) -> None:
    for name in (ANN, BOB):
        fold(state(UserState.FAILED, REASON, name))
    assert store.engine.message == f"{BOB}: {REASON}"
    assert not store.engine.message_ok
    fold(state(UserState.IDLE, mailbox=BOB))
    assert not store.engine.message_ok
    fold(state(UserState.IDLE))
    assert store.engine.message_ok
    assert "well again" in store.engine.message


def test_a_fault_is_one_line_in_the_monitor(store: Store, fold: Fold) -> None:
    fold(told(ActivityKind.CYCLE, ended=True, ok=False, sign="✗", text=f"cycle failed: {REASON}"))
    fold(state(UserState.FAILED, REASON))
    assert [line.text for line in store.lines[ANN]] == [f"cycle failed: {REASON}"]


def test_who_is_paused_during_a_cycle_stays_paused_when_it_has_stopped(store: Store, fold: Fold) -> None:
    store.users[ANN].state, store.users[ANN].why = UserState.PAUSED, "paused by eve"
    fold(state(UserState.QUEUED, "stopped; it goes on where it was"))
    assert (store.users[ANN].state, store.users[ANN].why) == (UserState.PAUSED, "paused by eve")


def test_the_end_of_a_first_sync_is_told_once_for_all(store: Store, fold: Fold) -> None:
    fold(ended(ANN, CycleKind.FIRST))
    assert store.engine.message == ""
    fold(ended(BOB, CycleKind.FIRST))
    assert store.engine.message.startswith("Sales: the first sync has ended")


def test_items_in_step_grow_and_shrink_with_what_is_written(store: Store, fold: Fold) -> None:
    store.users[ANN].items = 10
    counts = {(Module.CONTACT, ItemOutcome.CREATED): 3, (Module.CONTACT, ItemOutcome.DELETED): 1}
    fold(told(ActivityKind.ITEMS, counts=counts))
    assert store.users[ANN].items == 12
    assert fold.wrote == {ANN}


def test_a_first_sync_is_measured_by_what_was_read_until_its_steps_know_better(
    store: Store, fold: Fold
) -> None:
    people, events = STEPS[0], STEPS[1]
    del store.users[BOB]
    fold(told(ActivityKind.STATE, state=UserState.INITIALIZING, phase="A", cycle=CycleKind.FIRST))
    fold(told(ActivityKind.PROGRESS, step=people, done=100))
    fold(told(ActivityKind.PROGRESS, step=events, done=160))
    fold(told(ActivityKind.STATE, state=UserState.SYNCING, phase="B", cycle=CycleKind.FIRST))
    fold(told(ActivityKind.CYCLE, cycle=CycleKind.FIRST, phase="B"))
    fold(told(ActivityKind.STEP, step=people, step_state=StepState.RUNNING, done=30, total=90))
    fold.second(2000)
    assert (store.engine.first_done, store.engine.first_total) == (30, 90 + 60)
    fold(told(ActivityKind.STEP, step=people, step_state=StepState.DONE, done=90, total=90))
    fold(told(ActivityKind.STEP, step=events, step_state=StepState.RUNNING, done=0, total=40))
    fold.second(3000)
    assert (store.engine.first_done, store.engine.first_total) == (90, 90 + 40)
