"""One policy: its settings, and the checklist of what Verify read back from each mailbox."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.service import Move, PolicyRow, SyncNow, Table, TestPolicy, VerifyPolicy, VerifyRow
from tui import format as form
from tui import keys, signs
from tui.paint import Span, TextLine, fit, line
from tui.screens import edit_policy, orders, users
from tui.screens.alive import alive
from tui.screens.connections import ConnectionsScreen
from tui.screens.members import MembersScreen
from tui.screens.policies import by_state, pause_all, roll_out, settings, summary, toggle
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: Checks and their heads, in the order of the first sync.
_CHECKS: tuple[tuple[str, str], ...] = (
    ("groups", "Groups"),
    ("contacts", "Contacts"),
    ("leads", "Leads"),
    ("calendar", "Calendar"),
    ("appointments", "Appoint"),
    ("calls", "Calls"),
    ("service calls", "Service"),
    ("tasks", "Tasks"),
    ("label tree", "Labels"),
    ("drop labels", "Drop"),
    ("quick connect mails", "Quick"),
)


@dataclass(frozen=True, slots=True)
class Checked:
    """The ticks of one mailbox."""

    mailbox: str
    checks: Mapping[str, VerifyRow]

    @property
    def differences(self) -> int:
        """How many checks differ."""
        return sum(not row.ok for row in self.checks.values())


def _tick(row: VerifyRow | None, width: int) -> Span:
    if row is None:
        return ("-", "off")
    if row.ok:
        return (f"✓ {row.have:,}", "text")
    both = f"! {row.have:,}/{row.want:,}"
    return (both if len(both) <= width else f"! {row.have:,}", "alert")


def _check(number: int, name: str, title: str, width: int) -> Column[Checked]:
    return Column[Checked](
        "abcdefghijk"[number],
        title,
        width,
        lambda row, view: _tick(row.checks.get(name), width),
        lambda row: row.checks[name].ok if name in row.checks else True,
    )


def _confirmed(row: Checked, view: View) -> Span:
    wrong = row.differences
    return (f"! {wrong} differ" if wrong else f"✓ all {len(row.checks)}", "alert" if wrong else "text")


_MAILBOX = Column[Checked](
    "m", "Mailbox", 20, lambda row, view: (row.mailbox, "text"), lambda row: row.mailbox, flex=1, name=True
)
_RESULT = Column[Checked]("r", "Result", 10, _confirmed, lambda row: -row.differences)
_NARROW = (
    _MAILBOX,
    _RESULT,
    *(_check(number, *_CHECKS[number], 8) for number in (1, 4, 7, 8)),
)
_WIDE = (_MAILBOX, _RESULT, *(_check(number, name, title, 8) for number, (name, title) in enumerate(_CHECKS)))


class PolicyScreen(TableFrame):
    """Opened from Policies; ``V`` verifies again."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.POLICY)
    PANE, TAB = keys.POLICY, keys.POLICIES
    LISTENS = (Table.POLICIES, Table.USERS, Table.JOBS)
    FILTER_KEYS = ("is", "user")
    WITHOUT_ROW = frozenset(
        [
            "switch",
            "run",
            "pause",
            "verify",
            "test",
            "rollout",
            "edit",
            "members",
            "remove",
            "leave_mailboxes",
            "checklist",
            "preview",
            "conflicts",
        ]
    )

    def __init__(self, policy: str) -> None:
        super().__init__()
        self.policy = policy
        self._rows: dict[str, Checked] = {}
        self._asked = -1

    def path(self) -> str:
        """Where we are."""
        return f"Policies / {self.policy}"

    def body(self) -> ComposeResult:
        """Settings above, checklist below."""
        with Horizontal(id="facts"):
            yield LineView(self.view, id="settings", classes="panel")
            yield LineView(self.view, id="modules", classes="panel")
        yield FilterBar(self.view, hint="is:difference text", completions=self.completions)
        yield StoreTable[Checked](
            self.view,
            lambda: self._rows,
            (_NARROW, _WIDE),
            lambda row: {
                "is": "difference" if row.differences else "confirmed",
                "user": row.mailbox.lower(),
                "": row.mailbox.lower(),
            },
            lambda row: -row.differences,
            lambda row: row.differences > 0,
            self._empty,
            "mailbox",
        )
        yield LineView(self.view, id="checks", classes="panel")

    def on_mount(self) -> None:
        """Read the last verification."""
        super().on_mount()
        self.refresh_report()

    def refresh_report(self) -> None:
        """Read the last verification again."""
        self.console.fetch_report(self.policy, self._report_came)

    def _report_came(self, found: list[VerifyRow]) -> None:
        by_mailbox: dict[str, dict[str, VerifyRow]] = {}
        for row in found:
            by_mailbox.setdefault(row.mailbox, {})[row.check] = row
        self._rows = {mailbox: Checked(mailbox, checks) for mailbox, checks in by_mailbox.items()}
        if alive(self):
            self.table.reorder()

    def _empty(self) -> str:
        return "Not verified yet. V reads back from each mailbox what was built, and ticks it."

    @property
    def _policy(self) -> PolicyRow:
        return self.store.policies.get(self.policy) or PolicyRow(self.policy)

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Settings and checklist."""
        self._paint_facts()
        if f"verify:{self.policy}" in (dirty[Table.JOBS] or ()):
            self.refresh_report()  # a verification began or ended
        super().paint(dirty)

    def _paint_facts(self) -> None:
        row = self._policy
        panel = self.query_one("#settings", LineView)
        panel.title(row.id)
        width, height = panel.size.width, panel.size.height
        panel.show(
            settings(row, self.view, width) if height >= 9 else summary(row, self.view, width, max(3, height))
        )
        states = self.query_one("#modules", LineView)
        if states.display:
            states.title(form.count(row.users, "mailbox", "mailboxes"))
            states.show(by_state(row))

    def total(self) -> str:
        """How much is confirmed."""
        if not self._rows:
            return "not verified"
        good = sum(not row.differences for row in self._rows.values())
        return f"Confirmed {good:,} of {form.count(len(self._rows), 'mailbox', 'mailboxes')}"

    def paint_details(self) -> None:
        """Every check of the mailbox under the cursor."""
        panel = self.query_one("#checks", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Checklist")
            panel.show([line((" Nothing was read back yet.", "quiet"))])
            return
        panel.title(f"Checklist of {row.mailbox}", "" if row.differences else "all confirmed")
        panel.show(_checklist(row, panel.size.height, panel.size.width))

    # Keys

    def action_open(self) -> None:
        """Open the mailbox."""
        if self.table.current is not None:
            self.console.open_user(self.table.current)

    def action_switch(self) -> None:
        """Enable or disable."""
        toggle(self, self._policy)

    def action_run(self) -> None:
        """Sync now."""
        self.send(SyncNow(policy=self.policy))

    def action_pause(self) -> None:
        """Pause or resume all users."""
        pause_all(self, self.policy)

    def action_held(self) -> None:
        """List what waits."""
        if self.table.current is not None:
            self.console.open_held(self.table.current)

    def action_why(self) -> None:
        """Tell why the mailbox in the row does not run now."""
        if self.table.current is not None:
            self.console.open_why(self.table.current)

    def action_conflicts(self) -> None:
        """List the fields that wait."""
        self.console.open_conflicts(policy=self.policy)

    def action_reinitialize(self) -> None:
        """Let modules of the mailbox begin afresh."""
        orders.reinitialize(self, [] if self.table.current is None else [self.table.current])

    def action_history(self) -> None:
        """List the cycles of the mailbox."""
        if self.table.current is not None:
            self.console.open_history(self.table.current)

    def action_edit(self) -> None:
        """Edit its settings."""
        edit_policy.edit(self, self.policy)

    def action_members(self) -> None:
        """List its users."""
        self.app.push_screen(MembersScreen(self.policy))

    def action_connections(self) -> None:
        """List the connections."""
        self.app.push_screen(ConnectionsScreen())

    def action_leave_mailboxes(self) -> None:
        """Remove what was made in the mailboxes."""
        orders.leave(self, self.policy)

    def action_monitor(self) -> None:
        """Open the monitor."""
        if self.table.current is not None:
            users.monitor(self, [self.table.current])

    def action_verify(self) -> None:
        """Verify again."""
        self.say(f"Reading back what {self.policy} built …")
        self.send(VerifyPolicy(self.policy))

    def action_preview(self) -> None:
        """Show what the next cycle or the first sync would do."""
        self.console.open_preview(self.policy)

    def action_rollout(self, how: str) -> None:
        """Go on with the roll-out, or stop it."""
        roll_out(self, self._policy, Move(how))

    def action_test(self) -> None:
        """Test both connections."""
        self.say(f"Testing both connections of {self.policy} …")
        self.send(TestPolicy(self.policy))


def _checklist(row: Checked, height: int, width: int) -> list[TextLine]:
    """Differences first; two or three columns when the panel is low."""
    known = [name for name, _ in _CHECKS if name in row.checks]
    known += [name for name in row.checks if name not in known]
    known.sort(key=lambda name: row.checks[name].ok)
    wrong = [_wide_check(row.checks[name]) for name in known if not row.checks[name].ok]
    good = [row.checks[name] for name in known if row.checks[name].ok]
    columns = max(1, -(-len(good) // max(1, height - len(wrong))))
    columns = min(columns, max(1, width // 25))
    cell = max(24, width // columns)
    for start in range(0, len(good), columns):
        wrong.append(line(*(_short_check(each, cell) for each in good[start : start + columns])))
    return wrong


def _wide_check(row: VerifyRow) -> TextLine:
    return line(
        (f" ! {fit(row.check, 20)} {row.have:>7,} of {row.want:<7,} ", "alert"), (row.detail, signs.STALE.role)
    )


def _short_check(row: VerifyRow, width: int) -> Span:
    return (fit(f" ✓ {row.check} {row.have:,} of {row.want:,}", width), "text")
