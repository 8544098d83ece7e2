"""The audit log: who asked for what, from where, how its object stood before and after, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import AuditRow, Table
from tui import keys
from tui.paint import TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: Entries that the screen holds; ``syncline audit`` has the rest.
MOST = 2_000

#: Lines of what was before, and of what was after, in the panel.
_LINES = 6

_WHEN = Column[AuditRow](
    "w", "When", 13, lambda row, view: (view.past(row.at_ms), "text"), lambda row: row.at_ms
)
_WHO = Column[AuditRow](
    "a", "Who", 16, lambda row, view: (row.actor, "text"), lambda row: row.actor, flex=1, name=True
)
_FROM = Column[AuditRow](
    "f", "From", 16, lambda row, view: (row.origin or "-", "quiet"), lambda row: row.origin
)
_COMMAND = Column[AuditRow](
    "c", "Command", 15, lambda row, view: (row.command, "text"), lambda row: row.command
)
_OBJECT = Column[AuditRow](
    "o", "Object", 18, lambda row, view: (row.object, "text"), lambda row: row.object, flex=1, name=True
)
_RESULT = Column[AuditRow](
    "r",
    "Result",
    20,
    lambda row, view: (row.result, "fault" if refused(row) else "text"),
    lambda row: row.result,
    flex=2,
)

_ANSWER = Column[AuditRow](
    "r",
    "Answer",
    9,
    lambda row, view: ("✗ refused", "fault") if refused(row) else ("answered", "quiet"),
    lambda row: not refused(row),
)

_NARROW = (_ANSWER, _WHEN, _WHO, _COMMAND, _OBJECT)
_WIDE = (_WHEN, _WHO, _FROM, _COMMAND, _OBJECT, _RESULT)


def refused(row: AuditRow) -> bool:
    """Whether somebody asked for what his role does not allow."""
    return row.result.startswith("refused:")


def _fields(row: AuditRow) -> Mapping[str, str]:
    return {
        "is": "refused" if refused(row) else "answered",
        "who": row.actor,
        "from": row.origin,
        "command": row.command,
        "": f"{row.actor} {row.origin} {row.command} {row.object} {row.result}",
    }


class AuditScreen(TableFrame):
    """Opened from anywhere."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.AUDIT)
    PANE, TAB = keys.AUDIT, ""
    LISTENS = (Table.ENGINE,)
    FILTER_KEYS = ("is", "who", "from", "command")

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, AuditRow] = {}
        self._read = False

    def path(self) -> str:
        """Where we are."""
        return "Audit"

    def body(self) -> ComposeResult:
        """Filter, table, the entry under the cursor."""
        yield FilterBar(self.view, hint="is:refused who:ann command:pause text")
        yield StoreTable[AuditRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: -row.id,
            refused,
            self._empty,
            "audit",
            "newest",
        )
        yield LineView(self.view, id="cycle", classes="panel")

    def on_mount(self) -> None:
        """Read the log."""
        super().on_mount()
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read the log again."""
        self.console.fetch(self.engine.audit(limit=MOST), self._came)

    def _came(self, found: list[AuditRow]) -> None:
        self._rows = {str(row.id): row for row in found}
        self._read = True
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        return "Nobody has asked for anything yet." if self._read else "Reading the log …"

    def total(self) -> str:
        """How many entries."""
        more = "the last " if len(self._rows) == MOST else ""
        noun = "entry" if len(self._rows) == 1 else "entries"
        return f"{more}{len(self._rows):,} {noun}" if self._read else "reading"

    def paint_details(self) -> None:
        """The entry under the cursor."""
        panel = self.query_one("#cycle", LineView)
        row = self._rows.get(self.table.current or "")
        panel.title(f"Entry {row.id}" if row is not None else "Entry")
        panel.show(details(row, panel.size.width) if row is not None else [])


def details(row: AuditRow, width: int) -> list[TextLine]:
    """An entry with what was before and after."""
    lines = [line((" From    ", "quiet"), row.origin or "the engine's own process")]
    for label, text in ((" Before  ", row.before), (" After   ", row.after)):
        parts = text.splitlines()[:_LINES]
        lines += [
            line((label if number == 0 else " " * len(label), "quiet"), part)
            for number, part in enumerate(parts)
        ]
    role = "fault" if refused(row) else "text"
    return lines + [line((f" {part}", role)) for part in wrapped(row.result, width - 4)]
