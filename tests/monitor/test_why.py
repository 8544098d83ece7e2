"""Why is it not running now: one deciding sentence for every state of a user or job, and for every cause of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from engine.model.modules import STEPS
from engine.model.states import CycleKind, FaultClass, JobState, PolicyState, UserState
from engine.monitor.rows import EngineRow, JobRow, PolicyRow, UserRow
from engine.monitor.store import Store
from engine.monitor.why import why_job, why_user

NOW = 1_795_266_012_000  # 2026-11-21 13:00:12 UTC
SOON = NOW + 240_000
ANN = "ann@acme.example"
FULL = "full:Sales"


def town(
    user: dict[str, Any] | None = None,
    policy: dict[str, Any] | None = None,
    job: dict[str, Any] | None = None,
    engine: dict[str, Any] | None = None,
) -> Store:
    """A store with one user of an enabled policy at rest, but for what is named."""
    store = Store()
    store.engine = replace(EngineRow(running=True, busy=3, slots=16), **(engine or {}))
    given = {"state": UserState.IDLE, "last_success_ms": NOW - 60_000, **(user or {})}
    store.users[ANN] = replace(UserRow(ANN, "Sales"), **given)
    given = {"state": PolicyState.ENABLED, "initialised": True, "next_full_ms": SOON, **(policy or {})}
    store.policies["Sales"] = replace(PolicyRow("Sales"), **given)
    given = {"state": JobState.ENABLED, "next_run_ms": SOON, "next_why": "at its interval", **(job or {})}
    store.jobs[FULL] = replace(JobRow(FULL, "Full sync Sales"), **given)
    store.jobs["upkeep"] = JobRow(
        "upkeep", "Ledger upkeep", JobState.ENABLED, next_run_ms=SOON, next_why="by its schedule"
    )
    return store


S = UserState
SCHEDULE = "It waits for its schedule: the next full sync is 2026-11-21 13:04:12 UTC (at its interval)."
OFF = "The policy Sales is off: o in Policies turns it on."
PERSON = {"policy": {"fault": "401 key refused", "next_full_ms": None}, "job": {"next_run_ms": None}}
BLACKOUT = {"policy": {"blackout_until_ms": SOON}}
BLACK = "Sales is in a blackout period until 2026-11-21 13:04:12 UTC; no cycle may start in it."

CASES: dict[str, tuple[dict[str, Any], str]] = {
    # at rest
    "waits for its schedule": ({}, SCHEDULE),
    "due now": (
        {"job": {"next_run_ms": NOW, "next_why": "overdue since the engine was away"}},
        "The next full sync is due now (overdue since the engine was away) and starts within a second.",
    ),
    "the schedule never opens": (
        {"job": {"next_run_ms": None, "next_why": "the schedule has no open time in the next two weeks"}},
        "No next full sync: the schedule has no open time in the next two weeks.",
    ),
    "outside its hours": (
        {"job": {"next_why": "outside its hours; they begin at 07:00"}},
        "It waits for its schedule: the next full sync is 2026-11-21 13:04:12 UTC (outside its hours; they begin at 07:00).",
    ),
    "its run is under way": (
        {"policy": {"running": True}},
        "A run of Sales is under way; this mailbox has had its turn in it, or was not asked for.",
    ),
    "job off": (
        {"job": {"state": JobState.DISABLED}},
        "The job Full sync Sales is off: o in Job Scheduler turns it on, r runs it once.",
    ),
    "job stopping": (
        {"job": {"state": JobState.STOPPING}},
        "The run of Sales was asked to stop; the next one follows its schedule.",
    ),
    "no job": ({}, SCHEDULE),
    "blackout": (BLACKOUT, BLACK),
    "policy in fault": (
        PERSON,
        "All of Sales waits for a person: 401 key refused. Mend it, then r in Policies.",
    ),
    "policy off, state not yet": ({"policy": {"state": PolicyState.DISABLED}}, OFF),
    "policy going off": (
        {"policy": {"state": PolicyState.DISABLING}},
        "The policy Sales is being switched off: what runs ends, nothing new starts.",
    ),
    # off and paused
    "disabled": ({"user": {"state": S.DISABLED}, "policy": {"state": PolicyState.DISABLED}}, OFF),
    "paused": (
        {"user": {"state": S.PAUSED, "why": "paused by alice"}},
        "It is paused by alice: p lets it run again.",
    ),
    "paused by nobody known": ({"user": {"state": S.PAUSED}}, "It is paused by an admin: p lets it run again."),
    # at work
    "syncing": (
        {"user": {"state": S.SYNCING, "cycle": CycleKind.FULL, "step": STEPS[1]}},
        "It runs now: full sync, step 2 of 5, calendar.",
    ),
    "another kind of cycle": (
        {"user": {"state": S.SYNCING, "cycle": CycleKind.VERIFY}},
        "It runs now: verify.",
    ),
    "initializing": (
        {"user": {"state": S.INITIALIZING, "barrier": (1, 3)}},
        "It runs now: phase A of the first sync reads the CRM, 1 of 3 users are ready.",
    ),
    # queued
    "queued": (
        {"user": {"state": S.QUEUED, "place": 3}, "policy": {"running": True}, "engine": {"busy": 16}},
        "It waits for its turn: place 3, 2 before it; 16 of 16 slots are busy.",
    ),
    "queued as the next": (
        {"user": {"state": S.QUEUED, "place": 1}, "policy": {"running": True}},
        "It waits for its turn: place 1, the next; 3 of 16 slots are busy.",
    ),
    "queued behind phase A": (
        {"user": {"state": S.QUEUED}, "policy": {"running": True, "initialised": False}},
        "It waits for phase A of the first sync, which reads the CRM for all mailboxes before any is written.",
    ),
    "queued while the CRM is read": (
        {"user": {"state": S.QUEUED}, "policy": {"running": True}},
        "The run of its policy reads the CRM first; then it gets its place in the queue.",
    ),
    "stopped on the way": (
        {"user": {"state": S.QUEUED, "why": "stopped; it goes on where it was"}},
        "It waits: stopped; it goes on where it was.",
    ),
    "the lease is another's": (
        {"user": {"state": S.QUEUED, "why": "the lease on mailbox 3 was taken over"}},
        "It waits: the lease on mailbox 3 was taken over.",
    ),
    "held back by a roll-out": (
        {
            "user": {"state": S.QUEUED, "why": "waits for wave 2 of 3"},
            "policy": {"rollout": "wave 1 of 3 runs", "rollout_stage": "running", "running": True},
        },
        "It waits for wave 2 of 3: Sales is rolled out step by step.",
    ),
    "held back by a roll-out that stopped": (
        {
            "user": {
                "state": S.QUEUED,
                "why": "waits for wave 2 of 3; the roll-out stopped at wave 1 of 3: errors",
            },
            "policy": {"rollout": "stopped at wave 1 of 3: 40 % errors", "rollout_stage": "stopped"},
        },
        "It waits for wave 2 of 3: Sales is rolled out step by step.",
    ),
    "queued, first sync due": ({"user": {"state": S.QUEUED}}, SCHEDULE),
    "queued in a blackout": ({"user": {"state": S.QUEUED}, **BLACKOUT}, BLACK),
    "queued, policy off": ({"user": {"state": S.QUEUED}, "policy": {"state": PolicyState.DISABLED}}, OFF),
    # trouble
    "back-off": (
        {"user": {"state": S.BACKOFF, "until_ms": SOON, "why": "Google People: 429 quota"}},
        "It waits until 2026-11-21 13:04:12 UTC: Google People: 429 quota. r tries it now.",
    ),
    "back-off over": (
        {"user": {"state": S.BACKOFF, "until_ms": NOW, "why": "429"}},
        "Its wait is over (429); it starts within a second.",
    ),
    "back-off over, run under way": (
        {"user": {"state": S.BACKOFF, "until_ms": NOW, "why": "429"}, "policy": {"running": True}},
        "Its wait is over (429); it starts when the present run of its policy has ended.",
    ),
    "failed and tried again": (
        {"user": {"state": S.FAILED, "until_ms": SOON, "why": "503.", "fault_class": FaultClass.CONNECTION}},
        "Its last cycle failed (connection fault): 503.",
    ),
    "failed for a person": (
        {"user": {"state": S.FAILED, "why": "401: delegation is missing"}},
        "Its last cycle failed: 401: delegation is missing.",
    ),
    "failed with its policy": (
        {"user": {"state": S.FAILED, "why": "401"}, **PERSON},
        "Its last cycle failed: 401.",
    ),
    "failed, policy off": (
        {"user": {"state": S.FAILED, "why": "x"}, "policy": {"state": PolicyState.DISABLED}},
        OFF,
    ),
    "quarantined": (
        {"user": {"state": S.QUARANTINED, "why": "wrong answers"}},
        "It is set aside after too many failures in a row: wrong answers. r tries it again.",
    ),
    "stale": (
        {"user": {"state": S.STALE}},
        "No cycle has ended well for three intervals; the last that did: 2026-11-21 12:59:12 UTC.",
    ),
    # the engine
    "engine not running": (
        {"engine": {"running": False}},
        "The engine is not running, so nothing starts: syncline opens it with the app, syncline sync without.",
    ),
    "ledger fault": (
        {"engine": {"fault": "the ledger cannot be written (OSError): check the disk."}},
        "The engine is in trouble: the ledger cannot be written (OSError): check the disk.",
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_every_cause_has_its_sentence(name: str) -> None:
    given, wanted = CASES[name]
    assert why_user(town(**given), ANN, NOW)[0] == wanted


@pytest.mark.parametrize("state", UserState)
@pytest.mark.parametrize(
    "cause", ["", "off", "going off", "fault", "running", "blackout", "job off", "stopped engine", "disk"]
)
def test_every_state_under_every_cause_says_something_and_ends_its_sentences(
    state: UserState, cause: str
) -> None:
    causes: dict[str, dict[str, Any]] = {
        "": {},
        "off": {"policy": {"state": PolicyState.DISABLED}},
        "going off": {"policy": {"state": PolicyState.DISABLING}},
        "fault": PERSON,
        "running": {"policy": {"running": True}},
        "blackout": BLACKOUT,
        "job off": {"job": {"state": JobState.DISABLED}},
        "stopped engine": {"engine": {"running": False}},
        "disk": {"engine": {"fault": "disk full"}},
    }
    assert state in {UserState(CASES[name][0].get("user", {}).get("state", S.IDLE)) for name in CASES}
    store = town(**causes[cause])
    store.users[ANN].state = state
    told = why_user(store, ANN, NOW)
    assert told
    assert all(
        sentence[0].isupper() and sentence.endswith(".") and ".." not in sentence for sentence in told
    ), told


def test_further_sentences_say_when_it_comes_back_and_what_to_do() -> None:
    def rest(name: str, change: Callable[[Store], None] = lambda _: None) -> tuple[str, ...]:
        store = town(**CASES[name][0])
        change(store)
        return why_user(store, ANN, NOW)[1:]

    assert rest("failed and tried again") == ("It is tried again 2026-11-21 13:04:12 UTC; r tries it now.",)
    assert rest("failed for a person") == ("No repeat mends that, so it waits for a person: mend it, then r.",)
    assert rest("failed with its policy") == ("All of Sales waits for a person: mend it, then r in Policies.",)
    assert rest("stale") == (SCHEDULE,)
    assert rest("held back by a roll-out") == ("Wave 1 of 3 runs; the next one begins when it has ended well.",)
    assert rest("held back by a roll-out that stopped") == (
        "Stopped at wave 1 of 3: 40 % errors. An admin decides: syncline rollout.",
    )
    assert rest("stopped on the way") == (SCHEDULE,)
    assert rest("engine not running") == (SCHEDULE,)

    def throttle(store: Store) -> None:
        store.users[ANN].until_ms, store.users[ANN].text = SOON, "Gmail: waiting 240 s (quota)"

    assert rest("syncing", throttle) == (
        "The provider lets it wait until 2026-11-21 13:04:12 UTC: Gmail: waiting 240 s (quota).",
    )


@pytest.mark.parametrize(
    ("job", "given", "wanted"),
    [
        (FULL, {}, SCHEDULE),
        (FULL, BLACKOUT, BLACK),
        (FULL, {"policy": {"state": PolicyState.DISABLED}}, OFF),
        (FULL, PERSON, "All of Sales waits for a person: 401 key refused. Mend it, then r in Policies."),
        (FULL, {"job": {"state": JobState.RUNNING}}, "It runs now."),
        (
            FULL,
            {"job": {"state": JobState.STOPPING}},
            "It runs now and was asked to stop: it ends at its next page.",
        ),
        (
            FULL,
            {"job": {"state": JobState.DISABLED}},
            "The job Full sync Sales is off: o in Job Scheduler turns it on, r runs it once.",
        ),
        (
            FULL,
            {"job": {"next_run_ms": SOON, "next_why": "tries again after 30 s; failed 1 time in a row"}},
            "It waits for its schedule: the next full sync is 2026-11-21 13:04:12 UTC (tries again after 30 s; failed 1 time in a row).",
        ),
        ("upkeep", {}, "It waits for its schedule: the next run is 2026-11-21 13:04:12 UTC (by its schedule)."),
        ("upkeep", {"engine": {"running": False}}, CASES["engine not running"][1]),
    ],
)
def test_jobs(job: str, given: dict[str, Any], wanted: str) -> None:
    assert why_job(town(**given), job, NOW)[0] == wanted


@pytest.mark.parametrize("state", JobState)
def test_every_state_of_a_job_that_is_no_full_sync(state: JobState) -> None:
    store = town()
    store.jobs["upkeep"].state = state
    assert why_job(store, "upkeep", NOW)[0].endswith(".")


def test_who_is_unknown_is_a_key_error_for_the_caller() -> None:
    with pytest.raises(KeyError):
        why_user(town(), "nobody", NOW)
    with pytest.raises(KeyError):
        why_job(town(), "nothing", NOW)
