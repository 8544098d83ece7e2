"""Why is it not running now? An answer for every user and every job at every moment, from the store's rows alone.

Pure functions: rows and a time in, sentences out. The first sentence is the reason that decides; further ones say what
else would hold it, or what to do.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from engine.model.states import JobState, PolicyState, UserState
from engine.monitor.rows import EngineRow, JobRow, PolicyRow, UserRow
from engine.monitor.store import Store

Says = Callable[[int], str]
"""A moment (epoch milliseconds) in words."""

FULL = "full:"


def in_utc(at_ms: int) -> str:
    """A moment for who names no zone: ``2026-11-21 13:00:12 UTC``."""
    return f"{datetime.fromtimestamp(at_ms / 1000, UTC):%Y-%m-%d %H:%M:%S} UTC"


def why_user(
    store: Store, mailbox: str, now_ms: int, at: Says = in_utc, *, engine: bool = True
) -> tuple[str, ...]:
    """Why a mailbox does not run now; that it runs, when it does.

    ``engine=False`` leaves out what holds everybody, where the screen says that already.

    Raises:
        KeyError: there is no such mailbox.
    """
    user = store.users[mailbox]
    policy = store.policies[user.policy]
    job = store.jobs.get(FULL + user.policy)
    told = list(_engine(store.engine)) if engine else []
    match user.state:
        case UserState.INITIALIZING | UserState.SYNCING:
            told += _runs(user, now_ms, at)
        case UserState.PAUSED:
            by = user.why.removeprefix("paused ").strip() or "by an admin"
            told.append(f"It is paused {by}: p lets it run again.")
        case UserState.DISABLED:
            told.append(_policy_off(policy))
        case UserState.BACKOFF:
            told += _backoff(user, policy, now_ms, at)
        case UserState.FAILED:
            told += _failed(user, policy, job, now_ms, at)
        case UserState.QUARANTINED:
            reason = f": {_bare(user.why)}" if user.why else ""
            told.append(f"It is set aside after too many failures in a row{reason}. r tries it again.")
        case UserState.STALE:
            last = "never" if user.last_success_ms is None else at(user.last_success_ms)
            told.append(f"No cycle has ended well for three intervals; the last that did: {last}.")
            told += _schedule(policy, job, now_ms, at)
        case UserState.QUEUED:
            told += _queued(store.engine, user, policy, job, now_ms, at)
        case UserState.IDLE:
            told += _schedule(policy, job, now_ms, at)
    if user.stale_since_ms is not None and user.state is not UserState.STALE:
        last = "never" if user.last_success_ms is None else at(user.last_success_ms)
        told.append(
            f"It is stale besides: the last cycle that ended well was {last}, more than three intervals ago."
        )
    return tuple(told)


def why_job(store: Store, job_id: str, now_ms: int, at: Says = in_utc) -> tuple[str, ...]:
    """Why a job does not run now; that it runs, when it does.

    Raises:
        KeyError: there is no such job.
    """
    job = store.jobs[job_id]
    told = list(_engine(store.engine))
    policy = store.policies.get(job_id.removeprefix(FULL))
    if policy is not None and policy.running and job.state is not JobState.STOPPING:
        return (*told, "It runs now.")
    if job_id.startswith(FULL) and job.state not in {JobState.RUNNING, JobState.STOPPING}:
        return (
            *told,
            *(_schedule(policy, job, now_ms, at) if policy is not None else ("Its policy is gone.",)),
        )
    match job.state:
        case JobState.RUNNING:
            told.append("It runs now.")
        case JobState.STOPPING:
            told.append("It runs now and was asked to stop: it ends at its next page.")
        case JobState.DISABLED:
            told.append("It is off: o in Job Scheduler turns it on, r runs it once.")
        case JobState.ENABLED | JobState.ERROR:
            told.append(_next(job, now_ms, at, "run"))
    return tuple(told)


def _engine(engine: EngineRow) -> tuple[str, ...]:
    """What holds everybody."""
    if engine.fault:
        return (f"The engine is in trouble: {_bare(engine.fault)}.",)
    if not engine.running:
        return (
            "The engine is not running, so nothing starts: syncline opens it with the app, syncline sync without.",
        )
    return ()


def _runs(user: UserRow, now_ms: int, at: Says) -> list[str]:
    kind = user.cycle.value if user.cycle is not None else "a cycle"
    if user.state is UserState.INITIALIZING:
        what = "phase A of the first sync reads the CRM"
        if user.barrier is not None:
            what += f", {user.barrier[0]:,} of {user.barrier[1]:,} users are ready"
    else:
        what = kind
        if user.step is not None:
            what += f", step {user.step_number} of 5, {user.step.value}"
    told = [f"It runs now: {what}."]
    if user.until_ms is not None and user.until_ms > now_ms:
        told.append(f"The provider lets it wait until {at(user.until_ms)}: {_bare(user.text)}.")
    return told


def _policy_off(policy: PolicyRow) -> str:
    if policy.state is PolicyState.DISABLING:
        return f"The policy {policy.id} is being switched off: what runs ends, nothing new starts."
    return f"The policy {policy.id} is off: o in Policies turns it on."


def _backoff(user: UserRow, policy: PolicyRow, now_ms: int, at: Says) -> list[str]:
    reason = _bare(user.why or user.text) or "a provider asked to come back later"
    if user.until_ms is not None and user.until_ms > now_ms:
        return [f"It waits until {at(user.until_ms)}: {reason}. r tries it now."]
    return [f"Its wait is over ({reason}); {_soon(policy)}."]


def _failed(user: UserRow, policy: PolicyRow, job: JobRow | None, now_ms: int, at: Says) -> list[str]:
    kind = f" ({user.fault_class.value} fault)" if user.fault_class is not None else ""
    reason = _bare(user.why or user.text) or "its last cycle failed"
    head = f"Its last cycle failed{kind}: {reason}."
    if policy.state is not PolicyState.ENABLED:
        return [_policy_off(policy), head]
    if policy.fault and policy.next_full_ms is None:
        return [head, f"All of {policy.id} waits for a person: mend it, then r in Policies."]
    if user.until_ms is None:
        return [head, "No repeat mends that, so it waits for a person: mend it, then r."]
    if user.until_ms > now_ms:
        blackout = _blackout(policy, now_ms, at)
        return [head, f"It is tried again {at(user.until_ms)}; r tries it now.", *blackout]
    return [head, f"Its wait is over; {_soon(policy)}."]


def _stopping(policy: PolicyRow) -> str:
    return f"The run of {policy.id} was asked to stop; the next one follows its schedule."


def _soon(policy: PolicyRow) -> str:
    if policy.running:
        return "it starts when the present run of its policy has ended"
    return "it starts within a second"


def _queued(
    engine: EngineRow, user: UserRow, policy: PolicyRow, job: JobRow | None, now_ms: int, at: Says
) -> list[str]:
    if policy.rollout_stage and user.why.startswith("waits for"):
        told = [f"It {_bare(user.why).partition(';')[0]}: {policy.id} is rolled out step by step."]
        if policy.rollout_stage == "running":
            return [*told, f"{_capital(_bare(policy.rollout))}; the next one begins when it has ended well."]
        return [*told, f"{_capital(_bare(policy.rollout))}. An admin decides: syncline rollout."]
    if user.why and not policy.running:
        return [f"It waits: {_bare(user.why)}.", *_schedule(policy, job, now_ms, at)]
    if not policy.running:
        return _schedule(policy, job, now_ms, at)
    if job is not None and job.state is JobState.STOPPING:
        return [_stopping(policy)]
    if user.place is not None:
        ahead = user.place - 1
        place = f"place {user.place:,}" + (f", {ahead:,} before it" if ahead else ", the next")
        slots = f"; {engine.busy:,} of {engine.slots:,} slots are busy" if engine.slots else ""
        return [f"It waits for its turn: {place}{slots}."]
    if not policy.initialised:
        return [
            "It waits for phase A of the first sync, which reads the CRM for all mailboxes before any is written."
        ]
    why = f" ({_bare(user.why)})" if user.why else ""
    return [f"The run of its policy reads the CRM first; then it gets its place in the queue{why}."]


def _blackout(policy: PolicyRow, now_ms: int, at: Says) -> list[str]:
    if policy.blackout_until_ms is None or policy.blackout_until_ms <= now_ms:
        return []
    return [
        f"{policy.id} is in a blackout period until {at(policy.blackout_until_ms)}; no cycle may start in it."
    ]


def _schedule(policy: PolicyRow, job: JobRow | None, now_ms: int, at: Says) -> list[str]:
    """What holds the next full sync of a policy."""
    if policy.state is not PolicyState.ENABLED:
        return [_policy_off(policy)]
    if policy.running:
        return [
            f"A run of {policy.id} is under way; this mailbox has had its turn in it, or was not asked for."
        ]
    if job is not None and job.state is JobState.STOPPING:
        return [_stopping(policy)]
    if policy.fault and policy.next_full_ms is None:
        return [f"All of {policy.id} waits for a person: {_bare(policy.fault)}. Mend it, then r in Policies."]
    if job is not None and job.state is JobState.DISABLED:
        return [f"The job {job.title or job.id} is off: o in Job Scheduler turns it on, r runs it once."]
    held = _blackout(policy, now_ms, at)
    if held:
        return held
    if job is None:
        return [f"{policy.id} has no job for its full sync; apply its configuration again."]
    return [_next(job, now_ms, at, "full sync")]


def _next(job: JobRow, now_ms: int, at: Says, what: str) -> str:
    why = _bare(job.next_why)
    if job.next_run_ms is None:
        return f"No next {what}: {why or 'its schedule never opens'}."
    if job.next_run_ms <= now_ms:
        return f"The next {what} is due now{f' ({why})' if why else ''} and starts within a second."
    return f"It waits for its schedule: the next {what} is {at(job.next_run_ms)}{f' ({why})' if why else ''}."


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _bare(text: str) -> str:
    """A reason without its full stop, to stand inside a sentence."""
    return text.strip().rstrip(".")
