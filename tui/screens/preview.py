"""What the next cycle or the first sync of a policy would do, by user and module, before anything is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import (
    ApplyPreview,
    DropPreview,
    Module,
    PolicyState,
    PreviewPolicy,
    PreviewReport,
    PreviewSum,
    Table,
)
from tui import format as form
from tui import keys
from tui.paint import TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable


def word(row: PreviewSum) -> str:
    """The module of a row; containers have none."""
    return form.MODULE_WORD[Module(row.module)] if row.module else "containers"


def _order(row: PreviewSum) -> int:
    return -1 if not row.module else list(Module).index(Module(row.module))


def _number(letter: str, title: str, name: str, width: int, role: str = "text") -> Column[PreviewSum]:
    def cell(row: PreviewSum, _view: object) -> tuple[str, str]:
        value = getattr(row, name)
        return f"{value:,}", role if value else "quiet"

    return Column[PreviewSum](letter, title, width, cell, lambda row: -getattr(row, name), right=True)


_USER = Column[PreviewSum](
    "u", "User", 17, lambda row, view: (row.mailbox, "text"), lambda row: row.mailbox.lower(), flex=1, name=True
)
_MODULE = Column[PreviewSum]("m", "Module", 13, lambda row, view: (word(row), "text"), _order)
_CREATE = _number("c", "Create", "create", 7)
_UPDATE = _number("p", "Update", "update", 7)
_DELETE = _number("d", "Delete", "delete", 7, "alert")
_MERGE = _number("e", "Merge", "merge", 6)
_HELD = _number("h", "Hold", "held", 6, "alert")
_GUESTS = _number("g", "Guests", "guests", 7, "alert")
_MADE = _number("k", "Made", "container", 6)
_FILTERED = _number("f", "Filtered", "filtered", 9)
_SAME = _number("s", "Same", "unchanged", 7)
_OUTDATED = _number("o", "Outdated", "outdated", 9, "alert")

_NARROW = (_USER, _MODULE, _CREATE, _UPDATE, _DELETE, _MERGE, _HELD, _GUESTS)
_WIDE = (*_NARROW, _MADE, _FILTERED, _SAME, _OUTDATED)


def _fields(row: PreviewSum) -> Mapping[str, str]:
    return {"user": row.mailbox.lower(), "module": word(row), "": f"{row.mailbox.lower()} {word(row)}"}


class PreviewScreen(TableFrame):
    """Opened from Policies, a policy's page or a user's page."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.PREVIEW)
    PANE, TAB = keys.PREVIEW, keys.POLICIES
    LISTENS = (Table.USERS, Table.POLICIES)
    FILTER_KEYS = ("user", "module")
    WITHOUT_ROW = frozenset({"preview", "remove"})

    def __init__(self, policy: str, mailbox: str = "") -> None:
        super().__init__()
        self.policy, self.mailbox = policy, mailbox
        self._report: PreviewReport | None = None
        self._rows: dict[str, PreviewSum] = {}
        self._was_running = False

    def path(self) -> str:
        """Where we are."""
        return f"Policies / {self.policy} / {f'{self.mailbox} / ' if self.mailbox else ''}preview"

    def body(self) -> ComposeResult:
        """Filter, table, sums."""
        yield FilterBar(self.view, hint="user:ann module:contacts text", completions=self.completions)
        yield StoreTable[PreviewSum](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: (row.mailbox, _order(row)),
            lambda row: row.held > 0,
            self._empty,
            "row",
            "user",
        )
        yield LineView(self.view, id="sums", classes="panel")

    def on_mount(self) -> None:
        """Read the sums."""
        super().on_mount()
        self.refresh_report()

    def refresh_report(self) -> None:
        """Read the sums again."""
        self.console.fetch_preview(self.policy, self.mailbox, self._came)

    def _came(self, report: PreviewReport) -> None:
        self._report = report
        self._rows = {f"{one.mailbox}\n{one.module}": one for one in report.sums}
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        report = self._report
        if report is None:
            return "Reading the preview …"
        if self.engine.preview_running(self.policy):
            return "Reading both sides; nothing is written …"
        if report.previewed:
            return "Nothing would be written: both sides agree."
        return "No preview of the last 24 hours. P reads both sides and shows what would be done; nothing is written."

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read the sums again when a preview was made or carried out."""
        running = self.engine.preview_running(self.policy)
        if running != self._was_running:
            self._was_running = running
            self.refresh_report()
        super().paint(dirty)

    def total(self) -> str:
        """How many users were previewed."""
        report = self._report
        if report is None:
            return "reading"
        state = "being made   " if self._was_running else ""
        return f"{state}{report.previewed:,} of {form.count(report.mailboxes, 'mailbox', 'mailboxes')}"

    def paint_details(self) -> None:
        """The sums of all rows, and what could not be previewed."""
        panel = self.query_one("#sums", LineView)
        report = self._report
        if report is None or report.made_ms is None:
            panel.title("Preview")
            panel.show([line((f" {report.last}", "fault"))] if report is not None and not report.ok else [])
            return
        panel.title("In all", f"made {self.view.past(report.made_ms)}; nothing was written")
        panel.show(sums(report, panel.size.width))

    # Keys

    def action_open(self) -> None:
        """Show the items of a row."""
        row = self._rows.get(self.table.current or "")
        if row is not None:
            self.console.open_preview_rows(self.policy, row.mailbox, row.module)

    def action_preview(self) -> None:
        """Make it afresh."""
        self.send(PreviewPolicy(self.policy, self.mailbox))

    def action_remove(self) -> None:
        """Forget it."""
        self.send(DropPreview(self.policy, self.mailbox))

    def action_apply(self) -> None:
        """Carry out all, or what is marked, after the number of items was typed."""
        marked = [self._rows[key] for key in self.table.order if key in self.table.marks and key in self._rows]
        rows = marked or list(self._rows.values())
        number = items(rows)
        if self._report is None or not number:
            self.say("There is nothing to write here.")
            return
        parts = tuple((row.mailbox, row.module) for row in marked if row.module)
        command = ApplyPreview(self.policy, self.mailbox, parts=parts)
        policy = self.store.policies.get(self.policy)
        lines = [f"{self.mailbox or self.policy}:", *said(rows)]
        first = policy is not None and not policy.initialised and policy.state is PolicyState.DISABLED
        if first and not marked and not self.mailbox:
            self.console.open_checklist(self.policy)
            self.console.say("All of it is the first sync: its checklist comes first, and starts it.")
            return
        lines.append("The policy itself stays as it is.")
        self.send(command, confirm=lines, typed=str(number), title=f"Write {form.count(number, 'item')}")


def items(rows: Sequence[PreviewSum]) -> int:
    """How many items rows would write."""
    return sum(row.create + row.update + row.delete + row.merge for row in rows)


def said(rows: Sequence[PreviewSum]) -> list[str]:
    """What carrying out some rows means, line by line."""
    counts = [
        (name, sum(getattr(row, name) for row in rows)) for name in ("create", "update", "delete", "merge")
    ]
    guests, held = sum(row.guests for row in rows), sum(row.held for row in rows)
    told = ", ".join(f"{count:,} {name}" for name, count in counts if count)
    lines = [f"{told}.", f"{form.count(guests, 'guest')} will be mailed." if guests else "No guest is mailed."]
    if held:
        lines.append(f"{form.count(held, 'item')} will wait for you as held items.")
    lines.append("An item that has changed since the preview is left alone and shown.")
    return lines


#: Cells in which the sums fit with all their words.
_ROOMY = 110


def sums(report: PreviewReport, width: int) -> list[TextLine]:
    """The sums of all rows, and faults."""
    rows = report.sums
    held, guests = sum(row.held for row in rows), sum(row.guests for row in rows)
    told = [
        f"{sum(getattr(row, name) for row in rows):,} {name}"
        for name in ("create", "update", "delete", "merge")
    ]
    mailed = form.count(guests, "guest") if guests else "no guest"
    gap, waits, mails = "   ", " would wait for you", " would be mailed" if guests else " is mailed"
    if width < _ROOMY:  # the last of it is what must not be cut off: whether somebody is mailed
        gap, waits, mails = "  ", " would wait", " mailed"
    lines = [
        line(
            f" {gap.join(told)}{gap}",
            (f"{held:,}{waits}", "alert" if held else "quiet"),
            gap,
            (f"{mailed}{mails}", "alert" if guests else "text"),
        )
    ]
    if not report.ok and report.last:
        lines += [line((f" {part}", "fault")) for part in wrapped(report.last, width - 4)]
    for mailbox, text in report.faults:
        lines += [line((f" {part}", "fault")) for part in wrapped(f"{mailbox} {text}".strip(), width - 4)]
    return lines
