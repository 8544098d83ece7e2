"""The users of all policies as operators: whose calendar is synchronised, and at which address of Exchange."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import SetOperator, Table, UserRow
from tui import format as form
from tui import keys, signs
from tui.paint import Span, line
from tui.screens.ask import Ask
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable


def _sync(row: UserRow) -> Span:
    return ("✓ yes", "text") if row.calendar_sync else ("⊘ no", "off")


_MAILBOX = Column[UserRow](
    "o", "Operator", 24, lambda row, view: (row.id, "text"), lambda row: row.id, flex=2, name=True
)
_POLICY = Column[UserRow](
    "p", "Policy", 14, lambda row, view: (row.policy, "text"), lambda row: row.policy.lower(), name=True
)
_SYNC = Column[UserRow](
    "c", "Calendar Sync", 14, lambda row, view: _sync(row), lambda row: not row.calendar_sync
)
_EXCHANGE = Column[UserRow](
    "e",
    "Exchange e-mail",
    22,
    lambda row, view: (row.exchange_email or "the same", "text" if row.exchange_email else "quiet"),
    lambda row: row.exchange_email,
    flex=2,
)
_STATE = Column[UserRow](
    "s",
    "State",
    13,
    lambda row, view: (
        f"{signs.USER[row.state].sign} {signs.USER[row.state].word}",
        signs.USER[row.state].role,
    ),
    lambda row: signs.URGENCY[row.state],
)
_ZONE = Column[UserRow](
    "z",
    "Zone",
    18,
    lambda row, view: (row.zone or "as in the CRM", "text" if row.zone else "quiet"),
    lambda row: row.zone,
)

_NARROW = (_MAILBOX, _POLICY, _SYNC, _EXCHANGE)
_WIDE = (_MAILBOX, _POLICY, _SYNC, _EXCHANGE, _ZONE, _STATE)


def _fields(row: UserRow) -> Mapping[str, str]:
    return {
        "is": "on" if row.calendar_sync else "off",
        "policy": row.policy.lower(),
        "": f"{row.id} {row.exchange_email} {row.policy.lower()}",
    }


class OperatorsScreen(TableFrame):
    """Opened from Policies, Queue and a policy's page."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.OPERATORS)
    PANE, TAB = keys.OPERATORS, keys.POLICIES
    LISTENS = (Table.USERS,)
    SOURCE = Table.USERS
    FILTER_KEYS = ("is", "policy")

    def path(self) -> str:
        """Where we are."""
        return "Policies / operators"

    def body(self) -> ComposeResult:
        """Filter, table, how to change it."""
        yield FilterBar(self.view, hint="is:off policy:sales text")
        yield StoreTable[UserRow](
            self.view,
            lambda: self.store.users,
            (_NARROW, _WIDE),
            _fields,
            lambda row: (row.policy.lower(), row.id),
            lambda row: row.state in signs.FAULTY,
            lambda: "No user yet. syncline users import FILE.csv adds many at once; J in Policies adds some.",
            "operator",
            "policy",
        )
        yield LineView(self.view, id="operator", classes="panel")

    def total(self) -> str:
        """How many are synchronised."""
        rows = self.store.users.values()
        on = sum(row.calendar_sync for row in rows)
        return f"{form.count(len(rows), 'operator')}, {on:,} with Calendar Sync"

    def paint_details(self) -> None:
        """The operator under the cursor."""
        panel = self.query_one("#operator", LineView)
        row = self.store.users.get(self.table.current or "")
        if row is None:
            panel.title("Operator")
            panel.show([])
            return
        panel.title(row.id, f"policy {row.policy}")
        sync = (
            "appointments and calls of this person are synchronised"
            if row.calendar_sync
            else "appointments and calls stay as they are on both sides; the rest is synchronised"
        )
        panel.show(
            [
                line((" Calendar Sync    ", "quiet"), f"{_sync(row)[0]}: {sync}"),
                line((" Exchange e-mail  ", "quiet"), row.exchange_email or f"{row.id}, the operator's own"),
                line((" CRM user         ", "quiet"), row.crm_user or "found by the address"),
                line((" syncline users import FILE.csv changes many at once, with a preview.", "quiet")),
            ]
        )

    # Keys

    def action_open(self) -> None:
        """Open the user."""
        if self.table.current is not None:
            self.console.open_user(self.table.current)

    def action_switch(self) -> None:
        """Switch Calendar Sync of the row, or of all that are marked; mixed ones all become on."""
        chosen = [key for key in self.table.chosen() if key in self.store.users]
        if not chosen:
            self.say("There is no operator to act on.")
            return
        on = not all(self.store.users[key].calendar_sync for key in chosen)
        command = SetOperator(tuple(chosen), calendar_sync=on)
        if len(chosen) == 1:
            self.send(command)
            return
        what = "on" if on else "off"
        told = f"Calendar Sync of {form.count(len(chosen), 'operator')} is switched {what}."
        self.send(command, confirm=[told, "o switches it back."], title=f"Calendar Sync {what}")

    def action_edit(self) -> None:
        """Type the Exchange e-mail of the row."""
        row = self.store.users.get(self.table.current or "")
        if row is None:
            return
        text = f"The mailbox of {row.id} at Exchange, where it has another address. A dash means the operator's own."

        def answered(value: str | None) -> None:
            if value is not None:
                address = "" if value == "-" else value
                self.send(SetOperator((row.id,), exchange_email=address))

        hint = row.exchange_email or "ann.b@mail.example.com"
        self.app.push_screen(Ask(self.view, "Exchange e-mail", text, hint), answered)
