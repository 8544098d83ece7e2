"""The connections: CRMs and mail systems, who uses them, and where their secrets are kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import ConnectionRow, DeleteConnection, Table, TestConnection
from tui import format as form
from tui import keys
from tui.paint import line, wrapped
from tui.screens import edit_connection
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_NAME = Column[ConnectionRow](
    "n", "Connection", 18, lambda row, view: (row.id, "text"), lambda row: row.id.lower(), flex=2, name=True
)
_KIND = Column[ConnectionRow]("k", "Kind", 11, lambda row, view: (row.kind, "text"), lambda row: row.kind)
_END = Column[ConnectionRow](
    "e", "End", 5, lambda row, view: ("CRM" if row.crm else "mail", "text"), lambda row: not row.crm
)
_USED = Column[ConnectionRow](
    "u",
    "Used by",
    16,
    lambda row, view: (", ".join(row.policies) or "no policy", "text" if row.policies else "quiet"),
    lambda row: -len(row.policies),
    flex=2,
)
_AT = Column[ConnectionRow](
    "a",
    "Address",
    20,
    lambda row, view: (row.address or "as usual", "text" if row.address else "quiet"),
    lambda row: row.address,
    flex=2,
)
_NARROW = (_NAME, _KIND, _END, _USED)
_WIDE = (_NAME, _KIND, _END, _AT, _USED)


def _fields(row: ConnectionRow) -> Mapping[str, str]:
    used = " ".join(row.policies).lower()
    return {
        "kind": row.kind,
        "policy": used,
        "is": "used" if row.policies else "unused",
        "": f"{row.id.lower()} {row.kind} {row.address.lower()} {used}",
    }


class ConnectionsScreen(TableFrame):
    """Opened from Policies."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.CONNECTIONS)
    PANE, TAB = keys.CONNECTIONS, keys.POLICIES
    LISTENS = (Table.POLICIES,)
    FILTER_KEYS = ("kind", "policy", "is")

    def __init__(self) -> None:
        super().__init__()
        self._rows: dict[str, ConnectionRow] = {}

    def path(self) -> str:
        """Where we are."""
        return "Policies / connections"

    def body(self) -> ComposeResult:
        """Filter, table, the connection under the cursor."""
        yield FilterBar(self.view, hint="kind:google is:unused text", completions=self.completions)
        yield StoreTable[ConnectionRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            _fields,
            lambda row: row.id.lower(),
            lambda row: False,
            lambda: "No connection yet. + makes one: first a CRM, then a mail system.",
            "connection",
            "name",
        )
        yield LineView(self.view, id="connection", classes="panel")

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read them again: there are few."""
        self._rows = {row.id: row for row in self.engine.connections()}
        super().paint(dirty)

    def _refresh(self, name: str = "") -> None:
        if alive(self):
            self._rows = {row.id: row for row in self.engine.connections()}
            self.table.reorder()
            if name:
                self.table.select(name)

    def refresh_rows(self) -> None:
        """A command was answered."""
        self._refresh()

    def total(self) -> str:
        """How many."""
        return form.count(len(self._rows), "connection")

    def paint_details(self) -> None:
        """Where its secret is kept, and who uses it."""
        panel = self.query_one("#connection", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Connection")
            panel.show([])
            return
        panel.title(row.id, "↵ edit   t test")
        width = max(20, panel.size.width - 12)
        used = wrapped(", ".join(row.policies) or "no policy; D deletes it", width)
        panel.show(
            [
                line(
                    (" Kind     ", "quiet"), f"{row.kind}, the {'CRM' if row.crm else 'mail'} end of a policy"
                ),
                line((" Address  ", "quiet"), row.address or "the provider's own"),
                line((" Secret   ", "quiet"), f"{row.secret or 'none named yet'} (never shown)"),
                *(
                    line((f" {'' if number else 'Used by':<9}", "quiet"), part)
                    for number, part in enumerate(used)
                ),
            ]
        )

    # Keys

    def action_open(self) -> None:
        """Edit it."""
        self.action_edit()

    def action_edit(self) -> None:
        """Edit it."""
        if self.table.current is not None:
            edit_connection.edit(self, self.table.current, self._refresh)

    def action_new(self) -> None:
        """Make one."""
        edit_connection.make(self, self._refresh)

    def action_test(self) -> None:
        """Test it."""
        row = self._rows.get(self.table.current or "")
        if row is None:
            return
        if not row.crm and not row.policies:
            self.say(
                "No policy uses it, so that there is no mailbox to test with: e opens it, t asks for one there."
            )
            return
        stored = self.engine.connection_draft(row.id)
        self.say(f"Testing {row.id} …")
        self.send(TestConnection(row.id, stored.kind, dict(stored.settings)))

    def action_remove(self) -> None:
        """Delete it, if nothing uses it."""
        row = self._rows.get(self.table.current or "")
        if row is None:
            return
        if row.policies:
            self.say(f"Give another connection first to: {', '.join(row.policies)}.", "alert")
            return
        command = DeleteConnection(row.id)
        self.send(command, confirm=self.engine.what_happens(command), typed=row.id, title=f"Delete {row.id}")
