"""The Job Scheduler tab."""

from __future__ import annotations

from dataclasses import replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.service import (
    DisableJob,
    EnableJob,
    JobRow,
    JobState,
    RemoveOverride,
    RunJob,
    RunRow,
    StopJob,
    Table,
    TraceJob,
    why_job,
)
from tui import format as form
from tui import keys, rows, signs
from tui.fields import JOB_KEYS, job_fields
from tui.paint import Span, TextLine, fit, line, wrapped
from tui.screens import edit_job, edit_policy
from tui.screens.alive import alive
from tui.screens.confirm import Report
from tui.screens.runs import RunsScreen
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable


def _state(row: JobRow, view: View) -> Span:
    sign = signs.JOB[row.state]
    return (f"{sign.sign} {sign.word}", sign.role)


def _name(row: JobRow) -> str:
    return row.title or row.id


#: Kinds of jobs that are named in fewer words where there is little room, so that their policies can be read.
_SHORT = {"Drop-label check": "Labels"}


def _short(row: JobRow) -> str:
    """The name of a job in 80 columns."""
    kind = _name(row).removesuffix(row.policy).rstrip() if row.policy else ""
    return f"{_SHORT[kind]} {row.policy}" if kind in _SHORT else _name(row)


def _schedule(row: JobRow) -> str:
    return form.schedule(row.schedule)


def _faulty(row: JobRow) -> bool:
    last = row.last
    return row.state is JobState.ERROR or (last is not None and (last.result == "failed" or last.errors > 0))


_STATE = Column[JobRow]("s", "State", 10, _state, lambda row: row.state.value)
_JOB = Column[JobRow](
    "j", "Job", 20, lambda row, view: (_name(row), "text"), lambda row: _name(row).lower(), flex=2, name=True
)
_SCHEDULE = Column[JobRow](
    "c", "Schedule", 15, lambda row, view: (_schedule(row), "text"), lambda row: row.schedule, flex=1
)
_NEXT = Column[JobRow](
    "n",
    "Next run",
    15,
    lambda row, view: (rows.job_next(row, view, 15), "text"),
    lambda row: row.next_run_ms or 1 << 62,
)
_LAST = Column[JobRow](
    "l", "Last run", 13, rows.job_last, lambda row: -(row.last.started_ms if row.last else 0)
)
_NEXT_WIDE = Column[JobRow](
    "n",
    "Next run",
    22,
    lambda row, view: (rows.job_next(row, view), "text"),
    lambda row: row.next_run_ms or 1 << 62,
)
_LAST_WIDE = Column[JobRow](
    "l", "Last run", 20, rows.job_last, lambda row: -(row.last.started_ms if row.last else 0)
)
_ITEMS = Column[JobRow](
    "i",
    "Items",
    8,
    lambda row, view: (form.number(row.last.items if row.last else None), "text"),
    lambda row: -(row.last.items if row.last else -1),
    right=True,
)
_ERRORS = Column[JobRow](
    "e",
    "Errors",
    6,
    lambda row, view: (
        form.number(row.last.errors if row.last else None),
        "fault" if row.last and row.last.errors else "text",
    ),
    lambda row: -(row.last.errors if row.last else -1),
    right=True,
)
_NODE = Column[JobRow]("o", "Node", 10, lambda row, view: (row.node, "quiet"), lambda row: row.node)

_NARROW = (
    _STATE,
    replace(_JOB, width=22, cell=lambda row, view: (_short(row), "text")),
    replace(_SCHEDULE, width=13, flex=0),
    _NEXT,
    _LAST,
)
_WIDE = (_STATE, _JOB, _SCHEDULE, _NEXT_WIDE, _LAST_WIDE, _ITEMS, _ERRORS, _NODE)

_HEAD = f" {'Started':<15} {'Length':<9} {'Result':<10}{'Items':>8} {'Errors':>7}"

#: The field of a policy that says how often its job runs, by the kind of job.
_TIMES = {
    "full": "scheduling.workdays.minutes",
    "labels": "scheduling.label_check_minutes",
    "verify": "scheduling.verify",
}

_BUSY = frozenset({JobState.RUNNING, JobState.STOPPING})

#: Runs asked for and shown.
RUNS = 50


class SchedulerScreen(TableFrame):
    """Every job, and the past runs of the one under the cursor."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.SCHEDULER)
    PANE = TAB = keys.SCHEDULER
    LISTENS = (Table.JOBS,)
    SOURCE = Table.JOBS
    FILTER_KEYS = JOB_KEYS
    STATES = tuple(state.value for state in JobState)

    def __init__(self) -> None:
        super().__init__()
        self._runs: tuple[str, int, list[RunRow]] = ("", -1, [])
        self._asked = ("", -1)

    def body(self) -> ComposeResult:
        """Filter, table, history."""
        yield FilterBar(self.view, hint="state:disabled last:failed text", completions=self.completions)
        yield StoreTable[JobRow](
            self.view,
            lambda: self.store.jobs,
            (_NARROW, _WIDE),
            job_fields,
            lambda row: (not _faulty(row), row.state not in _BUSY, row.next_run_ms or 1 << 62, _name(row)),
            _faulty,
            lambda: "No job yet. A policy brings its jobs with it.",
            "job",
            "faults, next run",
        )
        with Horizontal(id="details"):
            yield LineView(self.view, id="history", classes="panel")
            yield LineView(self.view, id="job", classes="panel")

    def total(self) -> str:
        """Jobs, and the next one."""
        jobs = self.store.jobs
        due = [(row.next_run_ms, _name(row)) for row in jobs.values() if row.next_run_ms is not None]
        text = form.count(len(jobs), "job")
        if due and self.size.width >= 120:
            when, name = min(due)
            text += f"   next: {name} {form.moment(when, self.view.now_ms, self.view.zone)}"
        return text

    # History: read from disk when another job is chosen or its row changed

    def paint_details(self) -> None:
        """Past runs and the job itself."""
        row = self.store.jobs.get(self.table.current or "")
        history = self.query_one("#history", LineView)
        if row is None:
            history.title("Past runs")
            history.show([])
            self.query_one("#job", LineView).show([])
            return
        if self._asked != (row.id, row.rev):
            self._asked = (row.id, row.rev)
            self.console.fetch_runs(row.id, row.rev, RUNS, self._runs_came)
        self._paint_history(row)

    def _runs_came(self, job: str, rev: int, runs: list[RunRow]) -> None:
        self._runs = (job, rev, runs)
        row = self.store.jobs.get(job)
        if row is not None and job == self.table.current and alive(self):
            self._paint_history(row)

    def _paint_history(self, row: JobRow) -> None:
        panel = self.query_one("#history", LineView)
        job = self.query_one("#job", LineView)
        when = "" if job.display else f", {_schedule(row)}"
        panel.title(f"{_name(row)}{when}: past runs", "↵ all runs")
        panel.show(self._history(row, panel.size.height))
        if job.display:
            job.title("Job")
            job.show(self._job(row))

    def _known(self, row: JobRow) -> list[RunRow]:
        job, _, runs = self._runs
        return runs if job == row.id else ([row.last] if row.last else [])

    def _history(self, row: JobRow, height: int) -> list[TextLine]:
        runs = self._known(row)
        if not runs:
            if row.state is JobState.DISABLED:
                return [line((" Never ran. Next run: not applicable (job is off, o turns it on).", "quiet"))]
            return [line((f" Never ran. Next run: {rows.job_next(row, self.view)}.", "quiet"))]
        shown = [line((_HEAD + "  Note", "head")), *(self._run(run) for run in runs[: max(1, height - 1)])]
        return shown

    def _run(self, run: RunRow, noted: bool = True) -> TextLine:
        sign = rows.run_sign(run)
        seconds = ((run.ended_ms or self.view.now_ms) - run.started_ms) / 1000
        started = form.moment(run.started_ms, self.view.now_ms, self.view.zone)
        return line(
            f" {started:<15} {form.length(seconds):<9} ",
            (fit(f"{sign.sign} {sign.word}", 10), sign.role),
            (f"{run.items:>8,} ", "text"),
            (f"{run.errors:>7,}  ", "fault" if run.errors else "text"),
            (run.note if noted else "", "text"),
        )

    def _job(self, row: JobRow) -> list[TextLine]:
        sign = signs.JOB[row.state]
        facts = [
            ("State", f"{sign.sign} {sign.word}", sign.role),
            ("Schedule", _schedule(row) or "-", "text"),
            ("Time zone", row.zone, "text"),
            ("Next run", rows.job_next(row, self.view), "text"),
        ]
        facts += [
            ("" if number else "Why", part, "quiet")
            for number, part in enumerate(
                part
                for sentence in why_job(self.store, row.id, self.view.now_ms, self.view.moment)
                for part in wrapped(sentence, 32)
            )
        ]
        facts.append(("Node", row.node or "-", "text"))
        if row.shipped:
            facts += [("Context", row.context, "text")]
            facts += [
                ("Override", "set by an admin, D removes it" if row.overridden else "none, as shipped", "text")
            ]
            facts += [("Trace", "kept of the next runs" if row.traced else "off, * turns it on", "quiet")]
            if row.lease:
                facts += [
                    ("" if number else "Lease", part, "quiet")
                    for number, part in enumerate(wrapped(row.lease, 32))
                ]
            if row.retries:
                facts += [("Retries", form.count(row.retries, "operator"), "alert")]
            now, zone = self.view.now_ms, self.view.zone
            facts += [
                ("" if number else "Next", form.moment(at, now, zone), "quiet")
                for number, at in enumerate(self.engine.jobs.next_runs(row.id)[1:5])
            ]
        lines = [line((f" {fit(head, 11)}", "quiet"), (text, role)) for head, text, role in facts]
        runs = [run for run in self._known(row) if run.ended_ms is not None]
        if runs:
            lengths = [((run.ended_ms or 0) - run.started_ms) / 1000 for run in reversed(runs)]
            middle = sorted(lengths)[len(lengths) // 2]
            lines += [
                line(),
                line((f" {fit('Length', 11)}", "quiet"), form.spark(lengths, min(30, len(lengths)))),
                line(
                    (f" {fit('', 11)}", "quiet"),
                    f"{form.count(len(runs), 'run')}, p50 {form.length(middle)}, worst {form.length(max(lengths))}",
                ),
            ]
        if row.note:
            lines += [line(), line((f" {fit('Note', 11)}", "quiet"), row.note)]
        if _faulty(row):
            lines += [line(), line((" r runs it again now", "alert"))]
        return lines

    # Keys

    def why_not(self, action: str) -> str:
        """Only a job that ships has a definition of its own."""
        row = self.store.jobs.get(self.table.current or "")
        if action in {"edit", "remove", "trace"} and row is not None and not row.shipped:
            if action == "trace":
                return f"{_name(row)} keeps no trace; the activity monitors show its cycles."
            if not row.policy:
                return f"The times of {_name(row)} are fixed."
            if action == "remove":
                return f"{_name(row)} follows its policy {row.policy}; e edits its times there."
        if action == "remove" and row is not None and not row.overridden:
            return f"{_name(row)} is as shipped; there is nothing to remove."
        return super().why_not(action)

    def action_edit(self) -> None:
        """Edit a job that ships; the times of others are those of their policy, and are edited there."""
        row = self.store.jobs.get(self.table.current or "")
        if row is not None and row.policy:
            edit_policy.edit(self, row.policy, _TIMES[row.id.partition(":")[0]])
        elif row is not None:
            edit_job.edit(self, row.id)

    def action_remove(self) -> None:
        """Back to the shipped definition."""
        row = self.store.jobs.get(self.table.current or "")
        if row is not None:
            self.send(
                RemoveOverride(row.id),
                confirm=[
                    f"{_name(row)}: {_schedule(row)}, {row.context}.",
                    "What was set over its shipped definition is dropped; whether it is on stays.",
                ],
                title="Remove the override",
            )

    def action_trace(self) -> None:
        """Trace the next runs, or not."""
        row = self.store.jobs.get(self.table.current or "")
        if row is None:
            self.say("There is no row to act on.")
        else:
            self.send(TraceJob(row.id, not row.traced))

    def action_open(self) -> None:
        """All runs known."""
        row = self.store.jobs.get(self.table.current or "")
        if row is not None and row.shipped:
            self.app.push_screen(RunsScreen(row.id))
        elif row is not None:
            lines: list[str | TextLine] = [line((_HEAD, "head"))]
            for run in self._known(row):
                lines.append(self._run(run, noted=False))
                if run.note:
                    lines.append(f"    {run.note}")
            if len(lines) == 1:
                lines = ["Never ran."]
            self.app.push_screen(Report(self.view, f"{_name(row)}: past runs", lines))

    def action_why(self) -> None:
        """Tell why the job does not run now."""
        row = self.store.jobs.get(self.table.current or "")
        if row is not None:
            told = why_job(self.store, row.id, self.view.now_ms, self.view.moment)
            self.app.push_screen(Report(self.view, f"Why {_name(row)} does not run now", told))

    def action_switch(self) -> None:
        """On or off."""
        for key in self.table.chosen():
            off = self.store.jobs[key].state is JobState.DISABLED
            self.send(EnableJob(key) if off else DisableJob(key))

    def action_run(self) -> None:
        """Run now."""
        self.send(*(RunJob(key) for key in self.table.chosen()))

    def action_cancel(self) -> None:
        """Stop."""
        running = [key for key in self.table.chosen() if self.store.jobs[key].state is JobState.RUNNING]
        if not running:
            self.say("The job does not run, so there is nothing to stop.")
            return
        commands = [StopJob(key) for key in running]
        lines = [text for command in commands for text in self.engine.what_happens(command)]
        name = _name(self.store.jobs[running[0]]) if len(running) == 1 else f"{len(running):,} jobs"
        self.send(*commands, confirm=lines or [f"Stop {name} at its next page."], title=f"Stop {name}")
