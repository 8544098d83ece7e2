"""Filed mail of a user: what was filed to which record, what waits, and what was refused, with the reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import FiledRow, RetryFiling, Table
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: Sign and role of a state.
SIGNS: Mapping[str, tuple[str, str]] = {
    "filed": ("✓", "text"),
    "refused": ("✗", "fault"),
    "waiting": ("…", "alert"),
    "sent": ("…", "alert"),
    "unfiling": ("…", "alert"),
    "unfiled": ("-", "quiet"),
    "left": ("-", "quiet"),
    "gone": ("-", "quiet"),
}

#: A refused mail may be tried again, and so may one that waits.
AGAIN = frozenset({"refused", "waiting", "sent", "unfiling"})


def _state(row: FiledRow, view: View) -> Span:
    sign, role = SIGNS.get(row.state, ("", "text"))
    return (f"{sign} {row.state}", role)


def _record(row: FiledRow) -> str:
    return f"{row.module} {row.name}".strip()


_STATE = Column[FiledRow]("k", "State", 10, _state, lambda row: row.state)
_SUBJECT = Column[FiledRow](
    "n",
    "Mail",
    18,
    lambda row, view: (row.subject or "(not read yet)", "text" if row.subject else "quiet"),
    lambda row: row.subject.lower(),
    flex=3,
)
_WHO = Column[FiledRow]("w", "From", 14, lambda row, view: (row.sender, "text"), lambda row: row.sender, flex=1)
_RECORD = Column[FiledRow]("c", "Record", 18, lambda row, view: (_record(row), "text"), _record, flex=2)
_REASON = Column[FiledRow](
    "r", "Why", 16, lambda row, view: (row.reason, "quiet"), lambda row: row.reason, flex=2
)
_FILES = Column[FiledRow](
    "f", "Files", 5, lambda row, view: (str(row.files or ""), "text"), lambda row: row.files
)
_SEEN = Column[FiledRow](
    "s", "Seen", 13, lambda row, view: (view.past(row.at_ms, "-"), "text"), lambda row: row.at_ms
)

_NARROW = (_STATE, _SUBJECT, _RECORD, _REASON)
_WIDE = (_STATE, _SUBJECT, _WHO, _RECORD, _FILES, _SEEN, _REASON)


def _fields(row: FiledRow) -> Mapping[str, str]:
    words = f"{row.state} {row.subject} {row.sender} {_record(row)} {row.reason}"
    return {"is": row.state, "record": _record(row).lower(), "via": row.via, "": words.lower()}


class FiledScreen(TableFrame):
    """Opened from Queue, from a user's page or from a monitor."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.FILED)
    PANE, TAB = keys.FILED, keys.QUEUE
    LISTENS = (Table.USERS, Table.JOBS)
    FILTER_KEYS = ("is", "record", "via")

    def __init__(self, mailbox: str) -> None:
        super().__init__()
        self.mailbox = mailbox
        self._rows: dict[str, FiledRow] = {}
        self._read = False
        self._seen: object = None

    def path(self) -> str:
        """Where we are."""
        return f"Queue / {self.mailbox} / filed mail"

    def body(self) -> ComposeResult:
        """Filter, table, the mail under the cursor."""
        yield FilterBar(self.view, hint="is:refused record:acme via:followed text")
        yield StoreTable[FiledRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: -row.id,
            lambda row: row.state == "refused",
            self._empty,
            "mail",
            "newest",
        )
        yield LineView(self.view, id="item", classes="panel")

    def on_mount(self) -> None:
        """Read what there is."""
        super().on_mount()
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read again."""
        self.console.fetch_filed(self.mailbox, self._came)

    def _came(self, found: list[FiledRow]) -> None:
        self._rows = {str(row.id): row for row in found}
        self._read = True
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        if not self._read:
            return "Reading what was filed …"
        return "No mail of this user was put under a drop label yet."

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read again when the user's line or a drop-label check has moved."""
        row = self.store.users.get(self.mailbox)
        job = self.store.jobs.get(f"labels:{row.policy}") if row is not None else None
        now = (row.state, row.text, job.state, job.last) if row is not None and job is not None else None
        if self._read and now != self._seen:
            self.refresh_rows()
        self._seen = now
        super().paint(dirty)

    def total(self) -> str:
        """How many there are, and how many were refused."""
        if not self._read:
            return "reading"
        refused = sum(row.state == "refused" for row in self._rows.values())
        return form.count(len(self._rows), "mail") + (f", {refused:,} refused" if refused else "")

    def paint_details(self) -> None:
        """The mail under the cursor."""
        panel = self.query_one("#item", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Mail")
            panel.show([])
        else:
            panel.title(row.subject or "(not read yet)", f"mail#{row.id}")
            panel.show(details(row, self.view, panel.size.width))

    # Keys

    def action_run(self) -> None:
        """Try what was refused again."""
        rows = [self._rows[key] for key in self.table.chosen() if key in self._rows]
        ids = tuple(row.id for row in rows if row.state in AGAIN)
        if not ids:
            self.say("Nothing to try again: only what was refused or waits can be.")
            return
        self.send(RetryFiling(ids))
        self.refresh_rows()

    def action_why(self) -> None:
        """Explain the mail."""
        if self.table.current is not None:
            self.console.open_explained(f"mail#{self.table.current}", self.mailbox)

    def action_open(self) -> None:
        """Explain the mail."""
        self.action_why()


def details(row: FiledRow, view: View, width: int) -> list[TextLine]:
    """State and reason, the record, when, and what can be done."""
    sign, role = SIGNS.get(row.state, ("", "text"))
    lines = [line((f" {sign} {row.state}", role), (f"   {_record(row)}   from {row.sender or '-'}", "text"))]
    lines += [line((f" {part}", "text")) for part in wrapped(row.reason, width - 4) if part]
    when = f" sent {view.past(row.sent_ms, '-')}   seen {view.past(row.at_ms, '-')}   via {row.via}"
    lines.append(line((when, "quiet")))
    tip: list[Span | str] = [(" W ", "key"), "explain"]
    if row.state in AGAIN:
        tip = [(" r ", "key"), "try again  ", *tip]
    lines.append(line(*tip))
    return lines
