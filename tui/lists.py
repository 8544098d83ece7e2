"""``syncline queue``, ``users``, ``jobs`` and ``runs``: the tables of the app, for scripts and for screen readers."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.service import JobRow, RunRow, Service, UserRow, UserState, why_user
from tui import exits, signs
from tui import filter as language
from tui.fields import JOB_KEYS, USER_KEYS, job_fields, urgency, user_fields
from tui.format import moment
from tui.job_options import VERBS
from tui.jobs import do
from tui.listing import Column, chosen, show
from tui.out import Out

#: Runs of a job that are looked at; older ones are forgotten by the upkeep anyway.
MOST_RUNS = 2_000

QUEUE = (
    "mailbox", "policy", "state", "phase", "step", "step_number", "done", "total", "rate", "eta_low_seconds",
    "eta_high_seconds", "place", "held", "conflicts", "failed", "calls", "started_ms", "next_full_ms", "until_ms",
    "stale_since_ms", "fault_class", "why",
)  # fmt: skip
USERS = (
    "mailbox", "policy", "crm_user", "zone", "calendar_sync", "exchange_email", "state", "items", "held", "conflicts", "failed", "last_success_ms",
    "next_full_ms", "stale_since_ms", "fault_class", "why",
)  # fmt: skip
JOBS = (
    "job", "title", "state", "schedule", "zone", "next_run_ms", "next_why", "last_result", "last_started_ms",
    "last_ended_ms", "last_items", "last_errors", "last_note", "node", "note", "context", "overridden", "traced",
)  # fmt: skip
RUNS = ("run", "job", "started_ms", "ended_ms", "result", "items", "errors", "note")
RUN_KEYS = ("job", "result")


async def queue(service: Service, given: Namespace, out: Out) -> int:
    """Everybody, in the order of the Queue: what each does, and what it waits for."""
    wanted = chosen(given.filter, USER_KEYS)
    stale = signs.URGENCY[UserState.STALE]
    rows = sorted(_users(service, wanted), key=lambda row: (urgency(row, signs.URGENCY, stale), row.id))
    columns = [
        Column("state", lambda record: _shown(record, "stale")),
        Column("mailbox", "mailbox"),
        Column("policy", "policy"),
        Column("step", lambda record: f"{record['step_number']}/5 {record['step']}" if record["step"] else "-"),
        Column("done", "done"),
        Column("of", "total"),
        Column("place", "place"),
        Column("held", "held"),
        Column("next full sync", "next_full_ms"),
        Column("", "why"),
    ]
    told = _teller(service, given, out)
    await show(
        out, given, (queue_record(row, told(row)) for row in rows), columns, _none("user", wanted), names=QUEUE
    )
    if not (given.json or given.csv or service.store.engine.running):
        out.print("\nthe engine is not running, so nothing starts: syncline or syncline serve starts one")
    return exits.OK


async def users(service: Service, given: Namespace, out: Out) -> int:
    """Everybody, by policy and address: whose mailbox it is, and how it is."""
    wanted = chosen(given.filter, USER_KEYS)
    rows = sorted(_users(service, wanted), key=lambda row: (row.policy, row.id))
    columns = [
        Column("mailbox", "mailbox"),
        Column("policy", "policy"),
        Column("crm user", "crm_user"),
        Column("calendar sync", lambda record: "yes" if record["calendar_sync"] else "no"),
        Column("state", lambda record: _shown(record, "stale")),
        Column("items", "items"),
        Column("held", "held"),
        Column("conflicts", "conflicts"),
        Column("failed", "failed"),
        Column("last success", "last_success_ms"),
        Column("", "why"),
    ]
    told = _teller(service, given, out)
    await show(
        out, given, (user_record(row, told(row)) for row in rows), columns, _none("user", wanted), names=USERS
    )
    return exits.OK


async def jobs(service: Service, given: Namespace, out: Out) -> int:
    """Every job: when it runs, when it ran, and how that ended; or do something with one (``tui.jobs``)."""
    if given.filter and given.filter[0] in VERBS:
        return await do(service, given, out)
    wanted = chosen(given.filter, JOB_KEYS)
    rows = [row for row in service.store.jobs.values() if wanted.matches(job_fields(row))]
    columns = [
        Column("job", "job"),
        Column("state", "state"),
        Column("schedule", "schedule"),
        Column("next run", "next_run_ms"),
        Column("", "next_why"),
        Column("last run", "last_started_ms"),
        Column("result", lambda record: record["last_result"] or "-"),
        Column("items", lambda record: _or_dash(record["last_items"])),
        Column("errors", lambda record: _or_dash(record["last_errors"])),
        Column("", "last_note"),
    ]
    await show(out, given, map(job_record, rows), columns, _none("job", wanted), names=JOBS)
    return exits.OK


async def runs(service: Service, given: Namespace, out: Out) -> int:
    """Past and present runs of all jobs, youngest first."""
    wanted = chosen(given.filter, RUN_KEYS)
    found: list[RunRow] = []
    for job, row in service.store.jobs.items():
        title = (row.title or job).lower()
        found += [run for run in await service.runs(job, MOST_RUNS) if wanted.matches(_run_fields(run, title))]
    found.sort(key=lambda run: (run.started_ms, run.id), reverse=True)
    columns = [
        Column("run", lambda record: str(record["run"])),
        Column("job", "job"),
        Column("started", "started_ms"),
        Column("ended", "ended_ms"),
        Column("result", "result"),
        Column("items", "items"),
        Column("errors", "errors"),
        Column("", "note"),
    ]
    await show(out, given, map(run_record, found[: given.limit]), columns, _none("run", wanted), names=RUNS)
    return exits.OK


# -- records -----------------------------------------------------------------------------------------------


def queue_record(row: UserRow, why: str) -> dict[str, Any]:
    """A user as ``queue --json`` has it."""
    low, high = row.eta_seconds or (None, None)
    return {
        "mailbox": row.id,
        "policy": row.policy,
        "state": row.state.value,
        "phase": row.phase,
        "step": "" if row.step is None else row.step.value,
        "step_number": row.step_number,
        "done": row.done,
        "total": row.total,
        "rate": round(row.rate, 1),
        "eta_low_seconds": low,
        "eta_high_seconds": high,
        "place": row.place,
        "held": row.held,
        "conflicts": row.conflicts,
        "failed": row.failed,
        "calls": row.calls,
        "started_ms": row.started_ms,
        "next_full_ms": row.next_full_ms,
        "until_ms": row.until_ms,
        "stale_since_ms": row.stale_since_ms,
        "fault_class": None if row.fault_class is None else row.fault_class.value,
        "why": why,
    }


def user_record(row: UserRow, why: str) -> dict[str, Any]:
    """A user as ``users --json`` has it."""
    return {
        "mailbox": row.id,
        "policy": row.policy,
        "crm_user": row.crm_user,
        "zone": row.zone,
        "calendar_sync": row.calendar_sync,
        "exchange_email": row.exchange_email,
        "state": row.state.value,
        "items": row.items,
        "held": row.held,
        "conflicts": row.conflicts,
        "failed": row.failed,
        "last_success_ms": row.last_success_ms,
        "next_full_ms": row.next_full_ms,
        "stale_since_ms": row.stale_since_ms,
        "fault_class": None if row.fault_class is None else row.fault_class.value,
        "why": why,
    }


def job_record(row: JobRow) -> dict[str, Any]:
    """A job as ``jobs --json`` has it."""
    last = row.last
    return {
        "job": row.id,
        "title": row.title,
        "state": row.state.value,
        "schedule": row.schedule,
        "zone": row.zone,
        "next_run_ms": row.next_run_ms,
        "next_why": row.next_why,
        "last_result": "" if last is None else last.result,
        "last_started_ms": None if last is None else last.started_ms,
        "last_ended_ms": None if last is None else last.ended_ms,
        "last_items": None if last is None else last.items,
        "last_errors": None if last is None else last.errors,
        "last_note": "" if last is None else last.note,
        "node": row.node,
        "note": row.note,
        "context": row.context,
        "overridden": row.overridden,
        "traced": row.traced,
    }


def run_record(run: RunRow) -> dict[str, Any]:
    """A run as ``runs --json`` has it."""
    return {
        "run": run.id,
        "job": run.job,
        "started_ms": run.started_ms,
        "ended_ms": run.ended_ms,
        "result": run.result,
        "items": run.items,
        "errors": run.errors,
        "note": run.note,
    }


# -- small parts -------------------------------------------------------------------------------------------


def _users(service: Service, wanted: language.Filter) -> Iterator[UserRow]:
    return (row for row in service.store.users.values() if wanted.matches(user_fields(row)))


def _teller(service: Service, given: Namespace, out: Out) -> Callable[[UserRow], str]:
    """What a user does, or why it does not run now, in one sentence; its times are UTC where a script reads it."""
    store, now = service.store, service.clock.now_ms()

    def told(row: UserRow) -> str:
        if row.state in signs.ACTIVE:
            return row.text
        if given.json or given.csv:
            return why_user(store, row.id, now, engine=False)[0]
        return why_user(store, row.id, now, lambda at_ms: moment(at_ms, now, out.zone), engine=False)[0]

    return told


def _run_fields(run: RunRow, title: str) -> Mapping[str, str]:
    job = f"{run.job.lower()} {title}"
    return {"job": job, "result": run.result, "": f"{job} {run.result} {run.note.lower()}"}


def _shown(record: Mapping[str, Any], word: str) -> str:
    return f"{record['state']}, {word}" if record["stale_since_ms"] is not None else str(record["state"])


def _or_dash(value: int | None) -> int | str:
    return "-" if value is None else value


def _none(noun: str, wanted: language.Filter) -> str:
    if wanted.source:
        return f"no {noun} matches {wanted.source}"
    return f"no {noun} yet: apply a file (docs/configuration.md), or try the demo"
