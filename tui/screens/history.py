"""The cycles of one mailbox that did something, each with what it did; one of them can be undone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import CycleRow, DropOrder, Table
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, line, wrapped
from tui.screens import orders
from tui.screens.alive import alive
from tui.screens.items import ItemsScreen
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_SIGNS = (("+", "created"), ("~", "updated"), ("-", "deleted"))

_ROLE = {"failed": "fault", "asked": "alert", "running": "text", "stopped": "quiet"}


def _number(letter: str, title: str, outcome: str) -> Column[CycleRow]:
    return Column[CycleRow](
        letter,
        title,
        8,
        lambda row, view: (f"{row.counts.get(outcome, 0):>7,}", "text" if row.counts.get(outcome) else "quiet"),
        lambda row: row.counts.get(outcome, 0),
    )


def _result(row: CycleRow) -> Span:
    role = "quiet" if row.undone_by is not None else _ROLE.get(row.state, "text")
    return form.cycle_result(row), role


_ID = Column[CycleRow]("i", "Cycle", 7, lambda row, view: (str(row.id), "text"), lambda row: row.id)
_BEGAN = Column[CycleRow](
    "b", "Began", 13, lambda row, view: (view.past(row.started_ms), "text"), lambda row: row.started_ms
)
_KIND = Column[CycleRow]("k", "Kind", 11, lambda row, view: (row.kind, "text"), lambda row: row.kind)
_LEFT = Column[CycleRow](
    "l", "Left", 6, lambda row, view: (f"{row.left:>5,}", "text" if row.left else "quiet"), lambda row: row.left
)
_RESULT = Column[CycleRow]("r", "Result", 14, lambda row, view: _result(row), form.cycle_result, flex=1)
_DID = (
    _number("c", "Created", "created"),
    _number("u", "Updated", "updated"),
    _number("d", "Deleted", "deleted"),
)

_SUM = Column[CycleRow](
    "c",
    "Did",
    16,
    lambda row, view: (
        " ".join(f"{sign}{row.counts.get(name, 0):,}" for sign, name in _SIGNS),
        "text" if row.wrote else "quiet",
    ),
    lambda row: row.wrote,
)

_NARROW = (_ID, _BEGAN, _KIND, _SUM, _RESULT)
_WIDE = (_ID, _BEGAN, _KIND, *_DID, _LEFT, _RESULT)


def _fields(row: CycleRow) -> Mapping[str, str]:
    return {"is": row.state, "kind": row.kind, "": f"{row.id} {row.kind} {form.cycle_result(row).lower()}"}


class HistoryScreen(TableFrame):
    """Opened from Queue or from a user's page."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.HISTORY)
    PANE, TAB = keys.HISTORY, keys.QUEUE
    LISTENS = (Table.USERS,)
    FILTER_KEYS = ("is", "kind")

    def __init__(self, mailbox: str) -> None:
        super().__init__()
        self.mailbox = mailbox
        self._rows: dict[str, CycleRow] = {}
        self._read = False
        self._seen: object = None

    def path(self) -> str:
        """Where we are."""
        return f"Queue / {self.mailbox} / cycles"

    def body(self) -> ComposeResult:
        """Filter, table, the cycle under the cursor."""
        yield FilterBar(self.view, hint="is:failed kind:undo text", completions=self.completions)
        yield StoreTable[CycleRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: -row.id,
            lambda row: row.state == "failed",
            self._empty,
            "cycle",
            "newest",
        )
        yield LineView(self.view, id="cycle", classes="panel")

    def on_mount(self) -> None:
        """Read the cycles."""
        super().on_mount()
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read the cycles again."""
        self.console.fetch(self.engine.cycles(self.mailbox), self._came)

    def _came(self, found: list[CycleRow]) -> None:
        self._rows = {str(row.id): row for row in found}
        self._read = True
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        if not self._read:
            return "Reading the cycles …"
        return "No cycle of this mailbox has done anything yet."

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read again when a cycle of the mailbox begins or ends."""
        user = self.store.users.get(self.mailbox)
        now = None if user is None else user.state
        if self._read and now != self._seen:
            self.refresh_rows()
        self._seen = now
        super().paint(dirty)

    def total(self) -> str:
        """How many cycles."""
        return form.count(len(self._rows), "cycle") if self._read else "reading"

    def paint_details(self) -> None:
        """The cycle under the cursor."""
        panel = self.query_one("#cycle", LineView)
        row = self._current()
        if row is None:
            panel.title("Cycle")
            panel.show([])
            return
        panel.title(f"Cycle {row.id}: {row.kind}", "↵ items   U undoes it" if undoable(row) else "↵ items")
        panel.show(details(row, panel.size.width))

    def _current(self) -> CycleRow | None:
        return self._rows.get(self.table.current or "")

    # Keys

    def action_open(self) -> None:
        """List what the cycle wrote."""
        row = self._current()
        if row is not None:
            self.app.push_screen(ItemsScreen(self.mailbox, row))

    def action_undo(self) -> None:
        """Undo the cycle, after its preview."""
        row = self._current()
        if row is None:
            self.say("There is no row to act on.")
        elif row.state == "asked":
            told = f"The {row.kind} {row.id} is not done yet. Given up, what was done of it stays done."
            self.send(DropOrder(row.id), confirm=[told], title=f"Give up the {row.kind} {row.id}")
        elif not undoable(row):
            self.say(f"Cycle {row.id} cannot be undone: {why_not(row)}.", "alert")
        else:
            orders.undo(self, row.id)


def why_not(row: CycleRow) -> str:
    """Why a cycle cannot be undone; empty when it can."""
    if row.state in {"running", "asked"}:
        return "it has not ended yet" + ("; U gives it up" if row.state == "asked" else "")
    if row.kind == "leave":
        return "it left the mailbox; enabling the policy begins afresh"
    if row.undone_by is not None:
        return f"cycle {row.undone_by} has undone it; undo that one to take it back"
    return "" if row.wrote else "it wrote nothing"


def undoable(row: CycleRow) -> bool:
    """Whether U does anything about a cycle."""
    return not why_not(row)


def details(row: CycleRow, width: int) -> list[TextLine]:
    """What a cycle did, and what an undo of it means."""
    counts = "   ".join(f"{name} {number:,}" for name, number in row.counts.items() if number)
    lines = [line((" Did     ", "quiet"), counts or "nothing that counts")]
    if row.left:
        lines.append(
            line((" Left    ", "quiet"), f"{form.count(row.left, 'item')} not touched, as the events tell")
        )
    if row.error:
        lines += [line((f" {part}", "fault")) for part in wrapped(row.error, width - 4)]
    refused = why_not(row)
    text = (
        f"It cannot be undone: {refused}."
        if refused
        else ("U shows what an undo would put back: what nobody has edited since. The rest is listed.")
    )
    lines += [line((f" {part}", "quiet" if refused else "text")) for part in wrapped(text, width - 4)]
    return lines
