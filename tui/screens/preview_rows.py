"""The items of one module in one mailbox's preview: what would become of each, field by field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import ApplyPreview, Module, PreviewKind, PreviewRow, Table
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_KIND: Mapping[PreviewKind, Span] = {
    PreviewKind.CONTAINER: ("+ made", "text"),
    PreviewKind.CREATE: ("+ create", "text"),
    PreviewKind.UPDATE: ("~ update", "text"),
    PreviewKind.MERGE: ("= merge", "text"),
    PreviewKind.DELETE: ("- delete", "alert"),
    PreviewKind.HOLD: ("⚑ hold", "alert"),
}

_PLACE = {"crm": "CRM", "mailbox": "mailbox", "mailbox,crm": "both", "crm,mailbox": "both", "": "-"}


def _state(row: PreviewRow) -> Span:
    if row.outdated:
        return row.outdated, "quiet"
    if row.held:
        return f"would wait: {row.held}", "alert"
    return row.why, "quiet"


_WHAT = Column[PreviewRow](
    "w",
    "What",
    9,
    lambda row, view: (_KIND[row.kind][0], "quiet" if row.outdated else _KIND[row.kind][1]),
    lambda row: list(_KIND).index(row.kind),
)
_NAME = Column[PreviewRow](
    "n", "Name", 20, lambda row, view: (row.name, "text"), lambda row: row.name.lower(), flex=1
)
_IN = Column[PreviewRow]("i", "In", 8, lambda row, view: (_PLACE[row.side], "text"), lambda row: row.side)
_FIELDS = Column[PreviewRow](
    "f",
    "Fields",
    7,
    lambda row, view: (f"{len(row.changes):,}", "text"),
    lambda row: -len(row.changes),
    right=True,
)
_GUESTS = Column[PreviewRow](
    "g",
    "Guests",
    7,
    lambda row, view: (f"{row.guests:,}", "alert" if row.guests else "quiet"),
    lambda row: -row.guests,
    right=True,
)
_WHY = Column[PreviewRow]("r", "Why", 20, lambda row, view: _state(row), lambda row: row.why, flex=2)

_NARROW = (_WHAT, _NAME, _IN, _WHY)
_WIDE = (_WHAT, _NAME, _IN, _FIELDS, _GUESTS, _WHY)


def _fields(row: PreviewRow) -> Mapping[str, str]:
    return {
        "is": row.kind.value,
        "in": row.side,
        "": f"{row.kind} {row.name.lower()} {row.why.lower()} {row.held.lower()}",
    }


class PreviewRowsScreen(TableFrame):
    """Opened from the preview. Pages are read as the cursor comes to the end."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.ROWS)
    PANE, TAB = keys.ROWS, keys.POLICIES
    LISTENS = (Table.USERS,)
    FILTER_KEYS = ("is", "in")

    def __init__(self, policy: str, mailbox: str, module: str) -> None:
        super().__init__()
        self.policy, self.mailbox, self.module = policy, mailbox, module
        self._rows: dict[str, PreviewRow] = {}
        self._after = 0
        self._read = self._more = False
        self._was_running = False

    def _word(self) -> str:
        return form.MODULE_WORD[Module(self.module)] if self.module else "containers"

    def path(self) -> str:
        """Where we are."""
        return f"Policies / {self.policy} / preview / {self.mailbox} / {self._word()}"

    def body(self) -> ComposeResult:
        """Filter, table, the item under the cursor."""
        yield FilterBar(self.view, hint="is:create in:crm text", completions=self.completions)
        yield StoreTable[PreviewRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: row.seq,
            lambda row: bool(row.held or row.outdated or row.kind is PreviewKind.HOLD),
            self._empty,
            "item",
            "order",
        )
        yield LineView(self.view, id="item", classes="panel")

    def on_mount(self) -> None:
        """Read the first page."""
        super().on_mount()
        self._fetch()

    def _fetch(self) -> None:
        self._more = False
        self.console.fetch_preview_rows(self.policy, self.mailbox, self.module, self._after, self._came)

    def _came(self, found: list[PreviewRow]) -> None:
        self._read = True
        self._more = bool(found)
        if found:
            self._after = found[-1].seq
            self._rows |= {row.id: row for row in found}
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        return "No item is left here." if self._read else "Reading the items …"

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read all again when the preview was made afresh or carried out."""
        running = self.engine.preview_running(self.policy)
        if self._was_running and not running:
            self._rows, self._after, self._read = {}, 0, False
            self._fetch()
        self._was_running = running
        super().paint(dirty)

    def on_store_table_moved(self) -> None:
        """At the end, the next page is read."""
        super().on_store_table_moved()
        if self._more and self.table.order and self.table.current == self.table.order[-1]:
            self._fetch()

    def total(self) -> str:
        """How many items are read."""
        more = " and more" if self._more and len(self._rows) >= 500 else ""
        return f"{form.count(len(self._rows), 'item')}{more}" if self._read else "reading"

    def paint_details(self) -> None:
        """The item under the cursor, field by field."""
        panel = self.query_one("#item", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Item")
            panel.show([])
            return
        panel.title(f"{_KIND[row.kind][0][2:]}: {row.name}", f"in the {_PLACE[row.side]}   id {row.id}")
        panel.show(details(row, panel.size.width, panel.size.height))

    # Keys

    def action_why(self) -> None:
        """Explain the item."""
        row = self._rows.get(self.table.current or "")
        if row is not None and row.link:
            self.console.open_explained(f"#{row.link}", row.mailbox)
        else:
            self.say("This row stands for no item.")

    def action_apply(self) -> None:
        """Carry out what is marked, or all that is shown, after the number was typed."""
        table = self.table
        keys_ = [key for key in table.order if not table.marks or key in table.marks]
        chosen = [self._rows[key] for key in keys_ if key in self._rows]
        chosen = [row for row in chosen if row.kind in _WRITES and not row.outdated]
        if not chosen:
            self.say(
                "There is nothing to write here: held items wait for you, containers come with the others."
            )
            return
        guests = sum(row.guests for row in chosen)
        held = sum(bool(row.held) for row in chosen)
        lines = [
            f"{self.mailbox}, {self._word()}: {form.count(len(chosen), 'item')} will be written.",
            f"{form.count(guests, 'guest')} will be mailed." if guests else "No guest is mailed.",
            *([f"{held:,} of them wait for you, as held items."] if held else []),
            "An item that has changed since the preview is left alone and shown. The policy itself stays as it is.",
        ]
        command = ApplyPreview(self.policy, self.mailbox, ids=tuple(row.id for row in chosen))
        self.send(
            command, confirm=lines, typed=str(len(chosen)), title=f"Write {form.count(len(chosen), 'item')}"
        )


_WRITES = frozenset({PreviewKind.CREATE, PreviewKind.UPDATE, PreviewKind.DELETE, PreviewKind.MERGE})


def details(row: PreviewRow, width: int, height: int) -> list[TextLine]:
    """Why, what stands in the way, and each field before and after."""
    lines = [line((f" {part}", "text")) for part in wrapped(row.why, width - 4)] if row.why else []
    for text, role in ((row.outdated, "alert"), (row.held and f"It would wait for you: {row.held}", "alert")):
        if text:
            lines += [line((f" {part}", role)) for part in wrapped(text, width - 4)]
    if row.guests:
        lines.append(line((f" {form.count(row.guests, 'guest')} would be mailed.", "alert")))
    both = len({change.side for change in row.changes}) > 1
    for change in row.changes:
        place = f"{_PLACE[change.side]:<8} " if both else ""
        head = (f" {place}{change.label:<20} ", "quiet")
        if row.kind in _WRITES and change.side and row.kind is not PreviewKind.DELETE:
            lines.append(
                line(head, (change.before or "(nothing)", "quiet"), " → ", change.after or "(nothing)")
                if row.kind is not PreviewKind.CREATE
                else line(head, change.after)
            )
        else:
            lines.append(line(head, change.before))
    left = len(lines) - height
    if left > 0:
        lines = [
            *lines[: height - 1],
            line((f" … {left + 1} more; syncline preview --details lists all", "quiet")),
        ]
    return lines
