"""What rows say in words: states, reasons and places, shared by tables, panels and details."""

from __future__ import annotations

from engine.service import JobRow, JobState, PolicyRow, PolicyState, RunRow, UserRow, UserState
from tui import format as form
from tui import signs
from tui.paint import Span
from tui.signs import Sign
from tui.view import View

#: Cells of a time that needs no date.
_TIME_OF_DAY = 5

_FAULT = Sign("✗", "fault", "fault")
_ON = Sign("✓", "on", "text")
_TROUBLED = Sign("!", "on", "alert")


def policy_sign(row: PolicyRow) -> Sign:
    """The state of a policy as one sign: trouble first, then what runs."""
    if row.state is PolicyState.ERROR or row.fault:
        return _FAULT
    if row.state is PolicyState.DISABLED:
        return signs.OFF
    if row.state is PolicyState.DISABLING:
        return Sign("◌", "ends", "quiet")
    if row.users and row.users_by_state.get(UserState.PAUSED, 0) == row.users:
        return signs.PAUSED
    if row.running:
        return signs.SYNCING if row.initialised else signs.FIRST
    return _TROUBLED if troubled(row) else _ON


def troubled(row: PolicyRow) -> int:
    """How many of its mailboxes are in fault."""
    return max(sum(row.users_by_state.get(state, 0) for state in signs.FAULTY), row.stale)


def policy_next(row: PolicyRow, view: View) -> str:
    """When the next full sync begins, or why none does."""
    if row.state in (PolicyState.DISABLED, PolicyState.DISABLING):
        return "-"
    if row.running:
        return "after this"
    if row.fault and row.next_full_ms is None:
        return "needs you"
    return view.future(row.next_full_ms, row.next_why or "-")


def policy_last(row: PolicyRow, view: View) -> str:
    """When the last full sync ended."""
    return "running" if row.running else view.past(row.last_full_ms)


def user_progress(row: UserRow, view: View) -> Span:
    """How far a user is, or why it does not move."""
    state = row.state
    if state in signs.ACTIVE:
        if throttled(row, view):
            return (throttled(row, view), "warn")
        return (work(row.done, row.total), "text")
    if state is UserState.BACKOFF:
        left = "" if row.until_ms is None else f", {max(0, (row.until_ms - view.now_ms) // 1000)} s left"
        return (f"{row.why or 'waits'}{left}", "warn")
    if state in signs.FAULTY:
        return (row.why or row.text or "failed", "fault")
    if state is UserState.QUEUED:
        return ("waits" if row.place is None else f"place {row.place:,}", "quiet")
    if state is UserState.PAUSED:
        return (row.why or "paused", "quiet")
    if state is UserState.IDLE:
        at = form.moment(row.next_full_ms, view.now_ms, view.zone)
        short = at if len(at) <= _TIME_OF_DAY else form.ahead(row.next_full_ms, view.now_ms)
        return (f"next {short}", "quiet")
    return (row.why, "quiet")


def throttled(row: UserRow, view: View) -> str:
    """``waits 14 s`` while the provider lets a running cycle wait, else nothing."""
    left = 0 if row.until_ms is None else row.until_ms - view.now_ms
    return f"waits {-(-left // 1000)} s" if left > 0 else ""


def work(done: int, total: int | None) -> str:
    """``1,204 / 5,310``; ``read 1,204`` while nobody can know how many there will be."""
    if total is None:
        return f"read {done:,}" if done else "starts"
    return form.progress(done, total)


def gauge(done: int, total: int | None, width: int, percent: bool = True) -> str:
    """Progress with a bar where there is something to measure by."""
    if total is None:
        return work(done, total)
    part = form.share(done, total)
    drawn = f"{work(done, total)}  {form.bar(part, width)}"
    return f"{drawn} {form.percent(part)}" if percent else drawn


def retry(row: UserRow, view: View) -> str:
    """When a mailbox in fault is tried again."""
    if row.until_ms is None:
        return "r tries it again"
    return f"next try {form.ahead(row.until_ms, view.now_ms)}, r tries it now"


def user_step(row: UserRow, named: bool) -> Span:
    """``2/5`` or ``2/5 calendar``; nothing while no step runs."""
    if row.step is None or row.state not in signs.MOVING:
        return ("", "text")
    return (f"{row.step_number}/5 {row.step.value}" if named else f"{row.step_number}/5", "text")


def user_phase(row: UserRow) -> str:
    """The phase in words."""
    if row.state is UserState.INITIALIZING:
        return "initializing, phase A (reads the CRM)"
    if not row.phase or row.state not in signs.ACTIVE:
        return row.state.value
    return f"{row.state.value}, {f'phase {row.phase}' if len(row.phase) == 1 else row.phase}"


def job_next(row: JobRow, view: View, width: int = 22) -> str:
    """When the job runs next, in ``width`` cells."""
    if row.state is JobState.DISABLED:
        return "not applicable"
    if row.state is JobState.RUNNING:
        return "after this run"
    if row.next_run_ms is None:
        return row.next_why.partition(":")[0] or "not applicable"
    at = form.moment(row.next_run_ms, view.now_ms, view.zone)
    both = f"{at} {form.ahead(row.next_run_ms, view.now_ms)}"
    return both if view.relative and len(both) <= width else at


def run_sign(run: RunRow) -> Sign:
    """How a run ended; one that ended well for some mailboxes only is shown as such."""
    return (
        signs.PARTLY if run.result == "ok" and run.errors else signs.RESULT.get(run.result, signs.RESULT["ok"])
    )


def job_last(row: JobRow, view: View) -> Span:
    """When the job ran last, with its result and length."""
    run = row.last
    if run is None:
        return ("never", "quiet")
    sign = run_sign(run)
    length = "" if run.ended_ms is None else " " + form.length((run.ended_ms - run.started_ms) / 1000)
    return (f"{form.moment(run.started_ms, view.now_ms, view.zone)} {sign.sign}{length}", sign.role)
