"""The past runs of a job that ships; what a run did, mailbox by mailbox; and what it wrote in one of them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import RunDetail, RunItem, RunMailbox, RunRow, Table
from tui import format as form
from tui import keys, rows
from tui.paint import TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.confirm import Report
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: Runs that are read.
MOST = 200

_ROLE = {"failed": "fault", "cancelled": "fault", "stopped": "alert", "skipped": "quiet"}
_SIGN = {"ok": "✓", "failed": "✗", "cancelled": "✗", "stopped": "!", "skipped": "⊘"}


def _length(row: RunRow, view: View) -> str:
    return form.length(((row.ended_ms or view.now_ms) - row.started_ms) / 1000)


def _result(result: str) -> tuple[str, str]:
    return f"{_SIGN.get(result, '▸')} {result}", _ROLE.get(result, "text")


_RUN = Column[RunRow]("i", "Run", 7, lambda row, view: (str(row.id), "text"), lambda row: row.id)
_BEGAN = Column[RunRow](
    "b",
    "Started",
    15,
    lambda row, view: (form.moment(row.started_ms, view.now_ms, view.zone), "text"),
    lambda row: row.started_ms,
)
_LONG = Column[RunRow](
    "l",
    "Length",
    9,
    lambda row, view: (_length(row, view), "text"),
    lambda row: (row.ended_ms or 0) - row.started_ms,
)
_HOW = Column[RunRow](
    "r",
    "Result",
    11,
    lambda row, view: (f"{rows.run_sign(row).sign} {rows.run_sign(row).word}", rows.run_sign(row).role),
    lambda row: row.result,
)
_ITEMS = Column[RunRow](
    "c", "Items", 8, lambda row, view: (f"{row.items:,}", "text"), lambda row: row.items, right=True
)
_ERRORS = Column[RunRow](
    "e",
    "Errors",
    7,
    lambda row, view: (f"{row.errors:,}", "fault" if row.errors else "text"),
    lambda row: row.errors,
    right=True,
)
_NOTE = Column[RunRow]("n", "Note", 14, lambda row, view: (row.note, "quiet"), lambda row: row.note, flex=1)


class RunsScreen(TableFrame):
    """Opened from the Job Scheduler."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.RUNS)
    PANE, TAB = keys.RUNS, keys.SCHEDULER
    LISTENS = (Table.JOBS,)
    FILTER_KEYS = ("is",)

    def __init__(self, job: str) -> None:
        super().__init__()
        self.job = job
        self._rows: dict[str, RunRow] = {}
        self._read = False
        self._rev = -1

    def path(self) -> str:
        """Where we are."""
        return f"Job Scheduler / {self.job} / runs"

    def body(self) -> ComposeResult:
        """Filter, table."""
        yield FilterBar(self.view, hint="is:failed text")
        yield StoreTable[RunRow](
            self.view,
            lambda: self._rows,
            ((_RUN, _BEGAN, _HOW, _ITEMS, _ERRORS, _NOTE), (_RUN, _BEGAN, _LONG, _HOW, _ITEMS, _ERRORS, _NOTE)),
            lambda row: {"is": row.result, "": f"{row.id} {row.result} {row.note.lower()}"},
            lambda row: -row.id,
            lambda row: row.result == "failed",
            lambda: "Reading the runs …" if not self._read else "Never ran.",
            "run",
            "newest",
        )

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read again when a run began or ended."""
        job = self.store.jobs.get(self.job)
        if job is not None and job.rev != self._rev:
            self._rev = job.rev
            self.console.fetch(self.engine.runs(self.job, MOST), self._came)
        super().paint(dirty)

    def _came(self, found: list[RunRow]) -> None:
        self._rows = {str(row.id): row for row in found}
        self._read = True
        if alive(self):
            self.table.reorder()
            self.paint_bar()

    def total(self) -> str:
        """How many."""
        return form.count(len(self._rows), "run") if self._read else "reading"

    def action_open(self) -> None:
        """What the run did."""
        row = self._rows.get(self.table.current or "")
        if row is not None:
            self.app.push_screen(RunScreen(self.job, row))


def _count(row: RunMailbox, *outcomes: str) -> int:
    return sum(number for name, number in row.counts.items() if name.partition(".")[2] in outcomes)


def _number(letter: str, title: str, *outcomes: str) -> Column[RunMailbox]:
    return Column[RunMailbox](
        letter,
        title,
        9,
        lambda row, view: (f"{_count(row, *outcomes):,}", "text" if _count(row, *outcomes) else "quiet"),
        lambda row: -_count(row, *outcomes),
        right=True,
    )


_WHO = Column[RunMailbox](
    "m", "Mailbox", 24, lambda row, view: (row.mailbox, "text"), lambda row: row.mailbox, flex=1, name=True
)
_CAME = Column[RunMailbox]("r", "Result", 11, lambda row, view: _result(row.result), lambda row: row.result)
_WRITTEN = _number("w", "Written", "created", "updated", "deleted")
_FILTERED = _number("f", "Filtered", "filtered")
_WHY = Column[RunMailbox]("n", "Note", 14, lambda row, view: (row.note, "quiet"), lambda row: row.note, flex=2)


class RunScreen(TableFrame):
    """What one run did."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.RUN)
    PANE, TAB = keys.RUN, keys.SCHEDULER
    LISTENS: ClassVar[tuple[Table, ...]] = ()
    FILTER_KEYS = ("is", "policy")

    def __init__(self, job: str, run: RunRow) -> None:
        super().__init__()
        self.job, self.run_ = job, run
        self._detail: RunDetail | None = None
        self._rows: dict[str, RunMailbox] = {}

    def path(self) -> str:
        """Where we are."""
        return f"Job Scheduler / {self.job} / run {self.run_.id}"

    def body(self) -> ComposeResult:
        """Filter, table, the mailbox under the cursor."""
        yield FilterBar(self.view, hint="is:failed policy:sales text")
        yield StoreTable[RunMailbox](
            self.view,
            lambda: self._rows,
            (
                (_WHO, _CAME, _WRITTEN, _FILTERED),
                (
                    _WHO,
                    _CAME,
                    _number("c", "Created", "created"),
                    _number("u", "Updated", "updated"),
                    _number("d", "Deleted", "deleted"),
                    _FILTERED,
                    _WHY,
                ),
            ),
            _fields,
            lambda row: (row.result == "ok", row.mailbox),
            lambda row: row.result in {"failed", "cancelled"},
            lambda: self.run_.note or "The run did nothing for any mailbox.",
            "mailbox",
            "faults, mailbox",
        )
        yield LineView(self.view, id="cycle", classes="panel")

    def on_mount(self) -> None:
        """Read it."""
        super().on_mount()
        self.console.fetch(self.engine.jobs.detail(self.run_.id), self._came)

    def _came(self, found: RunDetail) -> None:
        self._detail = found
        self._rows = {row.mailbox: row for row in found.mailboxes}
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def total(self) -> str:
        """The run in a line."""
        started = form.moment(self.run_.started_ms, self.view.now_ms, self.view.zone)
        return f"{self.run_.result}, started {started}, {_length(self.run_, self.view)}: {self.run_.note}"

    def paint_details(self) -> None:
        """The mailbox under the cursor."""
        panel = self.query_one("#cycle", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Mailbox")
            panel.show([])
            return
        panel.title(row.mailbox, "↵ items")
        width = max(20, panel.size.width - 2)
        lines = [line(f" {part}") for part in wrapped(row.note, width)] if row.note else []
        lines += [line(f" {number:,} filtered: {why}") for why, number in row.filtered.items()]
        counts = ", ".join(f"{number:,} {name.replace('.', ' ')}" for name, number in row.counts.items())
        lines += [line((f" {part}", "quiet")) for part in wrapped(counts, width)] if counts else []
        panel.show(lines or [line((" It was up to date: nothing to write, nothing filtered.", "quiet"))])

    def action_open(self) -> None:
        """The items that were written, with errors."""
        row = self._rows.get(self.table.current or "")
        if row is None:
            return
        if not row.cycle_id:
            self.say(f"The run wrote nothing for {row.mailbox}." if not row.note else row.note)
            return

        def came(found: list[RunItem]) -> None:
            lines = []
            for item in found:
                lines.append(line(f" {item.sign} {item.text}", (f"  {item.state}", "quiet")))
                if item.note:
                    lines += [line((f"     {part}", "quiet")) for part in wrapped(item.note, 66)]
            self.app.push_screen(
                Report(self.view, f"{row.mailbox}: items of this run", lines or ["It wrote no item."])
            )

        self.console.fetch(self.engine.jobs.items(row.cycle_id), came)

    def action_trace(self) -> None:
        """The trace of the run, of the mailbox under the cursor first."""
        found = self._detail
        if found is None or not found.trace:
            self.say("This run was not traced; * in Job Scheduler lets the next runs keep a trace.")
            return
        lines: list[str | TextLine] = [
            line(
                (f"{datetime.fromtimestamp(at / 1000, UTC).astimezone(self.view.zone):%H:%M:%S} ", "quiet"),
                (f"{mailbox.partition('@')[0]:<12.12} ", "bold" if mailbox == self.table.current else "quiet"),
                f"{sign:<2}{text}",
            )
            for at, mailbox, sign, text in found.trace
        ]
        self.app.push_screen(Report(self.view, f"{self.job}, run {self.run_.id}: trace", lines))


def _fields(row: RunMailbox) -> Mapping[str, str]:
    return {
        "is": row.result,
        "policy": row.policy.lower(),
        "": f"{row.mailbox} {row.result} {row.note.lower()}",
    }
