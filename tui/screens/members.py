"""The users of a policy: who is in it, who is added, who is taken out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import AddUsers, RemoveUsers, Table, UserRow, UserState
from tui import format as form
from tui import keys, rows, signs
from tui.paint import line
from tui.screens import users
from tui.screens.ask import Ask
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

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
_MAILBOX = Column[UserRow](
    "m", "Mailbox", 22, lambda row, view: (row.id, "text"), lambda row: row.id, flex=2, name=True
)
_CRM = Column[UserRow](
    "c",
    "CRM user",
    16,
    lambda row, view: (row.crm_user or "by address", "text" if row.crm_user else "quiet"),
    lambda row: row.crm_user,
    flex=1,
)
_ZONE = Column[UserRow](
    "z",
    "Zone",
    14,
    lambda row, view: (row.zone or "as in the CRM", "text" if row.zone else "quiet"),
    lambda row: row.zone,
)
_ITEMS = Column[UserRow](
    "i", "Items", 8, lambda row, view: (form.number(row.items), "text"), lambda row: -row.items, right=True
)
_LAST = Column[UserRow](
    "l",
    "Last full",
    12,
    lambda row, view: (view.past(row.last_success_ms), "text"),
    lambda row: -(row.last_success_ms or 0),
)
_NARROW = (_STATE, _MAILBOX, _ITEMS, _LAST)
_WIDE = (_STATE, _MAILBOX, _CRM, _ZONE, _ITEMS, _LAST)


def _fields(row: UserRow) -> Mapping[str, str]:
    return {"state": row.state.value, "user": row.id, "": f"{row.id} {row.crm_user.lower()} {row.state.value}"}


class MembersScreen(TableFrame):
    """Opened from Policies, from a policy's page and from its editor."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.MEMBERS)
    PANE, TAB = keys.MEMBERS, keys.POLICIES
    LISTENS = (Table.USERS, Table.POLICIES)
    FILTER_KEYS = ("state", "user")
    STATES = tuple(state.value for state in UserState)

    def __init__(self, policy: str) -> None:
        super().__init__()
        self.policy = policy

    def path(self) -> str:
        """Where we are."""
        return f"Policies / {self.policy} / users"

    def body(self) -> ComposeResult:
        """Filter, table, and how to change it."""
        yield FilterBar(self.view, hint="state:failed text", completions=self.completions)
        yield StoreTable[UserRow](
            self.view,
            lambda: {key: row for key, row in self.store.users.items() if row.policy == self.policy},
            (_NARROW, _WIDE),
            _fields,
            lambda row: row.id,
            lambda row: row.state in signs.FAULTY,
            lambda: "No user yet. + adds some: their addresses, separated by commas.",
            "user",
            "address",
        )
        yield LineView(self.view, id="member", classes="panel")

    def total(self) -> str:
        """How many."""
        row = self.store.policies.get(self.policy)
        return form.count(0 if row is None else row.users, "user")

    def paint_details(self) -> None:
        """The user under the cursor."""
        panel = self.query_one("#member", LineView)
        row = self.store.users.get(self.table.current or "")
        if row is None:
            panel.title("User")
            panel.show(
                [
                    line(
                        (
                            " A mailbox is in one policy only. Who is added is found in the CRM by the address.",
                            "quiet",
                        )
                    )
                ]
            )
            return
        panel.title(row.id, "↵ open")
        panel.show(
            [
                line((" State  ", "quiet"), rows.user_phase(row)),
                line(
                    (" Items  ", "quiet"),
                    f"{row.items:,} in step   held {row.held:,}{form.conflicts(row.conflicts)}",
                ),
                line(
                    (
                        " e: the person in the CRM.  D takes the user out; what was synced stays.",
                        "quiet",
                    )
                ),
            ]
        )

    # Keys

    def action_open(self) -> None:
        """Open the user."""
        if self.table.current is not None:
            self.console.open_user(self.table.current)

    def action_edit(self) -> None:
        """Say who it is in the CRM."""
        if self.table.current is not None:
            users.edit(self, self.table.current)

    def action_new(self) -> None:
        """Ask for addresses, and add them."""
        text = (
            f"Who shall be in {self.policy}? Addresses of mailboxes, separated by commas or blanks. "
            "address=ID names the person in the CRM where the address differs there."
        )
        self.app.push_screen(
            Ask(self.view, "Add users", text, "ann@example.com, bob@example.com", "add"), self._named
        )

    def _named(self, text: str | None) -> None:
        if not text:
            return
        users = []
        for word in re.split(r"[\s,;]+", text.strip()):
            address, _, person = word.partition("=")
            if address:
                users.append((address, person, ""))
        self.send(AddUsers(self.policy, tuple(users)))

    def action_remove(self) -> None:
        """Take users out, after telling what it means."""
        chosen = tuple(self.table.chosen())
        command = RemoveUsers(self.policy, chosen)
        self.send(
            command,
            confirm=self.engine.what_happens(command),
            typed=str(len(chosen)),
            title=f"Take {form.count(len(chosen), 'user')} out of {self.policy}",
        )
