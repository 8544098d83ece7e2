"""The Policies tab."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.service import (
    Command,
    DisablePolicy,
    EnablePolicy,
    Module,
    Move,
    PauseUser,
    PolicyRow,
    PolicyState,
    ResumeUser,
    RollOut,
    SyncNow,
    Table,
    TestPolicy,
    UserRow,
    UserState,
    VerifyPolicy,
    why_job,
)
from tui import format as form
from tui import keys, rows, signs
from tui.paint import TextLine, fit, fit_name, line, wrapped
from tui.screens import edit_policy, orders
from tui.screens.confirm import Report
from tui.screens.connections import ConnectionsScreen
from tui.screens.members import MembersScreen
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_URGENT = {
    word: place for place, word in enumerate(("fault", "first", "syncing", "ends", "on", "paused", "off"))
}

_STATE = Column[PolicyRow](
    "s",
    "State",
    9,
    lambda row, view: (
        f"{rows.policy_sign(row).sign} {rows.policy_sign(row).word}",
        rows.policy_sign(row).role,
    ),
    lambda row: _URGENT.get(rows.policy_sign(row).word, 9),
)
_NAME = Column[PolicyRow](
    "p", "Policy", 11, lambda row, view: (row.id, "text"), lambda row: row.id.lower(), flex=3, name=True
)
_CRM = Column[PolicyRow](
    "c", "CRM", 10, lambda row, view: (row.crm_kind or row.crm, "text"), lambda row: row.crm_kind, flex=1
)
_MAIL = Column[PolicyRow](
    "m",
    "Mail",
    8,
    lambda row, view: (row.mailbox_kind or row.mailbox, "text"),
    lambda row: row.mailbox_kind,
    flex=1,
)
_USERS = Column[PolicyRow](
    "u", "Users", 5, lambda row, view: (form.number(row.users), "text"), lambda row: -row.users, right=True
)
_MODULES = Column[PolicyRow](
    "o", "Modules", 12, lambda row, view: (form.letters(row.modules), "quiet"), lambda row: -len(row.modules)
)
_LAST = Column[PolicyRow](
    "l",
    "Last full",
    11,
    lambda row, view: (rows.policy_last(row, view), "text"),
    lambda row: -(row.last_full_ms or 0),
)
_NEXT = Column[PolicyRow](
    "n",
    "Next full",
    10,
    lambda row, view: (rows.policy_next(row, view), "text"),
    lambda row: row.next_full_ms or 1 << 62,
)
_ITEMS = Column[PolicyRow](
    "i", "Items", 8, lambda row, view: (form.number(row.items), "text"), lambda row: -row.items, right=True
)
_HELD = Column[PolicyRow](
    "h",
    "Held",
    6,
    lambda row, view: (form.number(row.held), "alert" if row.held else "quiet"),
    lambda row: -row.held,
    right=True,
)
_FAILED = Column[PolicyRow](
    "f",
    "Failed",
    6,
    lambda row, view: (form.number(rows.troubled(row)), "fault" if rows.troubled(row) else "quiet"),
    lambda row: -rows.troubled(row),
    right=True,
)

_NARROW = (_STATE, _NAME, _CRM, _MAIL, _USERS, _LAST, _NEXT, _FAILED)
_WIDE = (_STATE, _NAME, _CRM, _MAIL, _USERS, _MODULES, _LAST, _NEXT, _ITEMS, _HELD, _FAILED)


def _fields(row: PolicyRow) -> Mapping[str, str]:
    sign = rows.policy_sign(row)
    crm, mail = f"{row.crm} {row.crm_kind}".lower(), f"{row.mailbox} {row.mailbox_kind}".lower()
    name = row.id.lower()
    return {
        "state": "error" if row.fault else row.state.value,
        "policy": name,
        "crm": crm,
        "mail": mail,
        "": f"{name} {crm} {mail} {sign.word} {row.fault.lower()}",
    }


class PoliciesScreen(TableFrame):
    """Every policy with its state, and the one under the cursor in detail."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.POLICIES)
    PANE = TAB = keys.POLICIES
    LISTENS = (Table.POLICIES, Table.USERS)
    SOURCE = Table.POLICIES
    FILTER_KEYS = ("state", "policy", "crm", "mail")
    STATES = tuple(state.value for state in PolicyState)

    def __init__(self) -> None:
        super().__init__()
        self._needs_of: tuple[object, ...] = ()
        self._needs: list[str] = []

    def body(self) -> ComposeResult:
        """Filter, table, details."""
        yield FilterBar(self.view, hint="state:error crm:salesforce text", completions=self.completions)
        yield StoreTable[PolicyRow](
            self.view,
            lambda: self.store.policies,
            (_NARROW, _WIDE),
            _fields,
            lambda row: (not row.stale, row.id.lower()),
            lambda row: bool(row.fault or row.failed or rows.troubled(row)) or row.state is PolicyState.ERROR,
            lambda: (
                "No policy yet. & makes the connections, then + a policy; or syncline apply FILE.toml brings all."
            ),
            "policy",
            "name",
        )
        with Horizontal(id="details"):
            yield LineView(self.view, id="policy", classes="panel", sized=self.on_store_table_moved)
            yield LineView(self.view, id="needs", classes="panel")

    @property
    def chosen_policy(self) -> PolicyRow | None:
        """The policy under the cursor."""
        return self.store.policies.get(self.table.current or "")

    def total(self) -> str:
        """Policies and mailboxes."""
        policies = self.store.policies
        users = sum(row.users for row in policies.values())
        return f"{form.count(len(policies), 'policy', 'policies')}, {form.count(users, 'mailbox', 'mailboxes')}"

    def paint_details(self) -> None:
        """The policy under the cursor."""
        row = self.chosen_policy
        panel = self.query_one("#policy", LineView)
        needs = self.query_one("#needs", LineView)
        if row is None:
            panel.title("Policy")
            panel.show([])
            needs.title("Mailboxes that need you")
            needs.show([])
            return
        panel.title(row.id, "↵ open")
        width = panel.size.width
        tall = panel.size.height >= 10
        panel.show(settings(row, self.view, width) if tall else summary(row, self.view, width))
        if needs.display:
            self._paint_needs(needs, row)

    def _paint_needs(self, panel: LineView, row: PolicyRow) -> None:
        room = max(1, panel.size.height - 2)
        faulty = self._faulty(row)
        panel.title(f"Mailboxes that need you ({len(faulty)})" if faulty else "Mailboxes")
        if faulty:
            panel.show([needs_you(user) for user in faulty[:room]])
        else:
            panel.show(by_state(row))

    def _faulty(self, row: PolicyRow) -> list[UserRow]:
        """Its users in trouble; looked for only when their number may have changed."""
        asked = (row.id, *(row.users_by_state.get(state, 0) for state in sorted(signs.FAULTY)))
        if asked != self._needs_of:
            self._needs_of = asked
            self._needs = sorted(
                user.id
                for user in self.store.users.values()
                if user.policy == row.id and user.state in signs.FAULTY
            )
        users = self.store.users
        return [users[key] for key in self._needs if key in users and users[key].state in signs.FAULTY]

    # Keys

    def action_open(self) -> None:
        """Open the policy."""
        if self.table.current is not None:
            self.console.open_policy(self.table.current)

    def action_switch(self) -> None:
        """Enable or disable."""
        chosen = [self.store.policies[key] for key in self.table.chosen()]
        fresh = [row for row in chosen if unborn(row)]
        for row in chosen:
            if row not in fresh:
                toggle(self, row)
        if fresh:
            toggle(self, fresh[0])
        if len(fresh) > 1:
            self.say(f"One first sync after the other: this is the checklist of {fresh[0].id}.")

    def action_run(self) -> None:
        """Sync now."""
        self.send(*(SyncNow(policy=key) for key in self.table.chosen()))

    def action_pause(self) -> None:
        """Pause or resume all users."""
        for key in self.table.chosen():
            pause_all(self, key)

    def action_held(self) -> None:
        """List what waits in its mailboxes."""
        self.console.open_all_held(policy=self.table.current)

    def action_conflicts(self) -> None:
        """List the fields that wait."""
        if self.table.current is not None:
            self.console.open_conflicts(policy=self.table.current)

    def action_verify(self) -> None:
        """Read back and tick."""
        if self.table.current is not None:
            self.say(f"Reading back what {self.table.current} built …")
            self.send(VerifyPolicy(self.table.current))
            self.console.open_policy(self.table.current)

    def action_new(self) -> None:
        """Make a policy."""
        edit_policy.make(self, then=self._select)

    def action_edit(self) -> None:
        """Edit its settings."""
        if self.table.current is not None:
            edit_policy.edit(self, self.table.current)

    def action_duplicate(self) -> None:
        """Make another like it."""
        edit_policy.make(self, self.table.current or "", self._select)

    def action_remove(self) -> None:
        """Delete it."""
        if self.table.current is not None:
            edit_policy.remove(self, self.table.current)

    def _select(self, policy: str) -> None:
        self.table.reorder()
        self.table.select(policy)

    def action_members(self) -> None:
        """List its users."""
        if self.table.current is not None:
            self.app.push_screen(MembersScreen(self.table.current))

    def action_connections(self) -> None:
        """List the connections."""
        self.app.push_screen(ConnectionsScreen())

    def action_leave_mailboxes(self) -> None:
        """Remove what was made in the mailboxes."""
        if self.table.current is not None:
            orders.leave(self, self.table.current)

    def action_why(self) -> None:
        """Tell why its full sync does not run now."""
        name = self.table.current
        if name is not None and f"full:{name}" in self.store.jobs:
            told = why_job(self.store, f"full:{name}", self.view.now_ms, self.view.moment)
            self.app.push_screen(Report(self.view, f"Why {name} does not run now", told))

    def action_preview(self) -> None:
        """Show what the next cycle or the first sync would do."""
        if self.table.current is not None:
            self.console.open_preview(self.table.current)

    def action_rollout(self, how: str) -> None:
        """Go on with the roll-out, or stop it."""
        row = self.chosen_policy
        if row is not None:
            roll_out(self, row, Move(how))

    def action_test(self) -> None:
        """Test both connections."""
        if self.table.current is not None:
            self.say(f"Testing both connections of {self.table.current} …")
            self.send(TestPolicy(self.table.current))


def unborn(row: PolicyRow) -> bool:
    """Whether switching a policy on begins its first sync."""
    return row.state is PolicyState.DISABLED and not row.initialised


def toggle(screen: TableFrame, row: PolicyRow) -> None:
    """Enable or disable a policy, after telling what is about to happen; a first sync has a checklist before it."""
    if unborn(row):
        screen.console.open_checklist(row.id)
        return
    enable = row.state in (PolicyState.DISABLED, PolicyState.DISABLING)
    command: Command = EnablePolicy(row.id) if enable else DisablePolicy(row.id)
    lines = screen.engine.what_happens(command) or (f"{'Enable' if enable else 'Disable'} {row.id}.",)
    screen.send(command, confirm=lines, title=f"{'Enable' if enable else 'Disable'} {row.id}")


def roll_out(screen: TableFrame, row: PolicyRow, move: Move) -> None:
    """Admit the next wave of a roll-out, or nobody else, after telling what is about to happen."""
    if not row.rollout_stage:
        screen.say(f"No roll-out of {row.id} is under way: all its mailboxes are synchronised.")
        return
    command = RollOut(row.id, move)
    title = "Admit the next wave" if move is Move.NEXT else "Stop the roll-out"
    screen.send(command, confirm=screen.engine.what_happens(command), title=f"{title} of {row.id}")


def pause_all(screen: TableFrame, policy: str) -> None:
    """Pause all users of a policy; when all are paused, let them run."""
    users = [row for row in screen.store.users.values() if row.policy == policy]
    running = [row for row in users if row.state is not UserState.PAUSED]
    if running:
        screen.send(*(PauseUser(row.id) for row in running))
    else:
        screen.send(*(ResumeUser(row.id) for row in users))


def needs_you(row: UserRow) -> TextLine:
    """A mailbox in trouble, in one line."""
    sign = signs.USER[row.state]
    return line((f" {sign.sign} {fit(sign.word, 12)}{fit_name(row.id, 28)} ", sign.role), row.why or row.text)


def by_state(row: PolicyRow) -> list[TextLine]:
    """How many users are in each state."""
    lines = [
        line((f" {sign.sign} {fit(sign.word, 12)}", sign.role), f"{row.users_by_state[state]:>7,}")
        for state, sign in signs.USER.items()
        if row.users_by_state.get(state)
    ]
    return lines or [line((" No mailbox is in a state yet.", "quiet"))]


def summary(row: PolicyRow, view: View, width: int, lines: int = 6) -> list[TextLine]:
    """A policy in six lines, or the three that matter most; what is wrong is told whole, if need be for the rest."""
    told = [
        _fact("Link", f"{row.crm or row.crm_kind}  to  {row.mailbox or row.mailbox_kind}"),
        _fact(
            "Users",
            f"{row.users:,}   modules {form.letters(row.modules)}   items {row.items:,}   held {row.held:,}"
            f"{form.conflicts(row.conflicts)}",
        ),
        _fact("Full", f"{row.schedule or '-'}   next {_exact(row, view)}   last {_ended(row, view)}"),
        _fact("Windows", f"{row.windows or '-'}   conflict: {row.conflict or '-'}"),
        _fact("Guard", row.guard or "-"),
    ]
    wrong = trouble(row, width)
    if lines < len(told) + 1:
        told = told[1:3]
    return [*told[: max(1, lines - len(wrong))], *wrong]


def settings(row: PolicyRow, view: View, width: int) -> list[TextLine]:
    """A policy in full, with what is wrong on top."""
    on = [module for module in Module if module in row.modules]
    off = [module for module in Module if module not in row.modules]
    lines = [
        _fact("CRM", f"{row.crm or '-'}  ({row.crm_kind or '-'})", 14),
        _fact("Mail", f"{row.mailbox or '-'}  ({row.mailbox_kind or '-'})", 14),
        _fact("Users", f"{row.users:,}", 14),
        _fact("Full sync", row.schedule or "-", 14),
        _fact("", f"next {_exact(row, view)}   last {_ended(row, view)}", 14),
        _fact("Windows", row.windows or "-", 14),
        _fact("Calendar", row.calendar or "-", 14),
        _fact("Conflict", row.conflict or "-", 14),
        *(
            _fact("" if number else "Delete guard", part, 14)
            for number, part in enumerate(wrapped(row.guard or "-", width - 16))
        ),
        _fact("Notify", row.notify or "-", 14),
    ]
    lines += _modules("✓", on, "text") + _modules("⊘", off, "off")
    wrong = trouble(row, width, 14)
    urgent = row.fault or row.failed or row.rollout or row.notice or rows.troubled(row)
    return [*wrong, *lines] if urgent else [*lines, *wrong]


def _modules(sign: str, modules: list[Module], role: str) -> list[TextLine]:
    lines = []
    for start in range(0, len(modules), 3):
        head = "Modules" if start == 0 and sign == "✓" else ""
        words = "".join(fit(f"{sign} {form.MODULE_WORD[module]}", 17) for module in modules[start : start + 3])
        lines.append(line((f" {fit(head, 14)}", "quiet"), (words, role)))
    return lines


def trouble(row: PolicyRow, width: int, head: int = 9) -> list[TextLine]:
    """What is wrong and what to press, or that nothing is wrong."""
    if row.fault:
        parts = wrapped(row.fault, width - head - 2)
        return [
            line((f" {fit('' if number else 'Fault', head)}", "fault"), (part, "fault"))
            for number, part in enumerate(parts)
        ]
    rolling = f"{row.rollout}; O admits it" if row.rollout_stage == "asks" else row.rollout
    for word, text, role in (
        ("Roll-out", rolling, "fault" if row.rollout_stage == "stopped" else "alert"),
        ("Waits", row.notice, "fault"),
    ):
        if text:
            return [
                line((f" {fit('' if number else word, head)}", role), (part, role))
                for number, part in enumerate(wrapped(text, width - head - 2))
            ]
    wrong = []
    failed = sum(row.users_by_state.get(state, 0) for state in (UserState.FAILED, UserState.QUARANTINED))
    if failed:
        wrong.append(f"{form.count(failed, 'mailbox', 'mailboxes')} failed")
    if row.stale:
        wrong.append(f"{row.stale:,} stale: no cycle has ended well for three intervals")
    if row.failed:
        wrong.append(f"{form.count(row.failed, 'item')} failed")
    if wrong:
        return [
            line(
                (f" {fit('Errors', head)}", "fault"),
                (f"{', '.join(wrong)}; 2 and ! show where and why", "fault"),
            )
        ]
    return [line((f" {fit('Errors', head)}", "quiet"), ("none", "quiet"))]


def _fact(head: str, text: str, width: int = 9) -> TextLine:
    return line((f" {fit(head, width)}", "quiet"), text)


def _exact(row: PolicyRow, view: View) -> str:
    if row.running or row.state in (PolicyState.DISABLED, PolicyState.DISABLING):
        return rows.policy_next(row, view)
    return form.moment(row.next_full_ms, view.now_ms, view.zone) if row.next_full_ms else row.next_why or "-"


def _ended(row: PolicyRow, view: View) -> str:
    return "never" if row.last_full_ms is None else form.moment(row.last_full_ms, view.now_ms, view.zone)
