"""What one cycle wrote, item by item, each with its fields before and after."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import CycleRow, Module, WrittenRow
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, fit, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: Rows that are read at once.
PAGE = 500

_KIND: Mapping[str, Span] = {
    "create": ("+ created", "text"),
    "update": ("~ updated", "text"),
    "delete": ("- deleted", "text"),
    "left": ("! left", "alert"),
}
_PLACE = {"crm": "CRM", "mailbox": "mailbox"}


def _word(row: WrittenRow) -> str:
    return form.MODULE_WORD[Module(row.module)] if row.module else "-"


def _told(row: WrittenRow) -> str:
    if row.kind == "left":
        return row.why
    if row.kind == "update":
        return ", ".join(f"{label}: {after or '(empty)'}" for label, _, after in row.fields) or row.why
    return row.why


_WHAT = Column[WrittenRow](
    "w", "What", 10, lambda row, view: _KIND.get(row.kind, (row.kind, "text")), lambda row: row.kind
)
_IN = Column[WrittenRow](
    "i", "In", 8, lambda row, view: (_PLACE.get(row.side, "-"), "text"), lambda row: row.side
)
_MODULE = Column[WrittenRow]("m", "Module", 13, lambda row, view: (_word(row), "text"), _word)
_NAME = Column[WrittenRow](
    "n", "Name", 18, lambda row, view: (row.name, "text"), lambda row: row.name.lower(), flex=1
)
_FIELDS = Column[WrittenRow]("f", "Fields", 16, lambda row, view: (_told(row), "quiet"), _told, flex=2)
_AT = Column[WrittenRow](
    "t", "Time", 10, lambda row, view: (view.past(row.at_ms), "text"), lambda row: row.at_ms
)
_NARROW = (_WHAT, _IN, _NAME, _FIELDS)
_WIDE = (_WHAT, _IN, _MODULE, _NAME, _FIELDS, _AT)


def _fields(row: WrittenRow) -> Mapping[str, str]:
    changed = " ".join(f"{label} {before} {after}" for label, before, after in row.fields).lower()
    return {
        "is": row.kind,
        "module": _word(row),
        "in": row.side,
        "": f"{row.kind} {_word(row)} {row.name.lower()} {changed} {row.why.lower()}",
    }


class ItemsScreen(TableFrame):
    """Opened from the cycles of a mailbox."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.ITEMS)
    PANE, TAB = keys.ITEMS, keys.QUEUE
    FILTER_KEYS = ("is", "module", "in")

    def __init__(self, mailbox: str, cycle: CycleRow) -> None:
        super().__init__()
        self.mailbox, self.cycle = mailbox, cycle
        self._rows: dict[str, WrittenRow] = {}
        self._ended = False
        self._reading = False

    def path(self) -> str:
        """Where we are."""
        return f"Queue / {self.mailbox} / cycle {self.cycle.id}"

    def body(self) -> ComposeResult:
        """Filter, table, the item under the cursor."""
        yield FilterBar(self.view, hint="is:update module:contacts text", completions=self.completions)
        yield StoreTable[WrittenRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: row.id,
            lambda row: row.kind == "left",
            self._empty,
            "item",
            "time",
        )
        yield LineView(self.view, id="item", classes="panel")

    def on_mount(self) -> None:
        """Read the first page."""
        super().on_mount()
        self._read()

    def _read(self) -> None:
        if not self._ended and not self._reading:
            self._reading = True
            last = max(map(int, self._rows), default=0)
            self.console.fetch(self.engine.cycle_items(self.cycle.id, last, PAGE), self._came)

    def _came(self, found: list[WrittenRow]) -> None:
        self._reading = False
        self._ended = len(found) < PAGE
        self._rows |= {str(row.id): row for row in found}
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def on_store_table_moved(self) -> None:
        """Near the end, read on."""
        super().on_store_table_moved()
        if self.table.order and self.table.current == self.table.order[-1]:
            self._read()

    def _empty(self) -> str:
        if not self._ended:
            return "Reading the journal …"
        return "The journal has no write of this cycle: nothing was changed, or it is older than what is kept."

    def total(self) -> str:
        """How many."""
        return form.count(len(self._rows), "write") + ("" if self._ended else ", G reads on")

    def paint_details(self) -> None:
        """The item under the cursor, field by field."""
        panel = self.query_one("#item", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Item")
            panel.show([])
            return
        panel.title(
            f"{_word(row)}: {row.name}", f"↵ explain   in the {_PLACE.get(row.side, '-')}   id {row.link}"
        )
        lines: list[TextLine] = (
            [line((f" {part}", "quiet")) for part in wrapped(row.why, panel.size.width - 4)] if row.why else []
        )
        for label, before, after in row.fields:
            lines.append(
                line((f" {fit(label, 20)} ", "quiet"), f"{before or '(empty)'} -> {after or '(empty)'}")
            )
        panel.show(lines or [line((" A private item, or one without fields in the journal.", "quiet"))])

    # Keys

    def action_open(self) -> None:
        """Explain the item."""
        self.action_why()

    def action_why(self) -> None:
        """Explain the item."""
        row = self._rows.get(self.table.current or "")
        if row is not None:
            self.console.open_explained(f"#{row.link}", self.mailbox)
