"""The checklist before a policy's first sync: what is right, where the rest is put right, and the start."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.events import ScreenResume

from engine.service import (
    ASKED,
    CheckLine,
    Checklist,
    CheckState,
    EnablePolicy,
    JobState,
    RolloutReport,
    SavePolicy,
    Table,
    TestPolicy,
    VerifyPolicy,
    VerifyRow,
)
from engine.service import refusal as refused
from tui import format as form
from tui import keys
from tui.checklist import ASKED_TITLE, SIGNS, TICK, Mend, mend, sums
from tui.paint import line, wrapped
from tui.screens import after, edit_policy
from tui.screens.alive import alive
from tui.screens.choose import Choose
from tui.screens.connections import ConnectionsScreen
from tui.screens.members import MembersScreen
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: A panel of so few lines begins with what is to be done.
NARROW = 4

#: The line on which it is chosen who goes first, and how many mailboxes a pilot is offered to have.
WAVES = "waves"
PILOTS = (1, 2, 5, 10, 25, 100)
AT_ONCE = "all at once"


@dataclass(frozen=True, slots=True)
class Row:
    """A line that the program has looked at, or a box that only an admin can tick.

    Attributes:
        place: in the order of the list.
        state: right, look, open, wrong or yes.
        mend: how it is put right; None where nothing is to be done.
    """

    id: str
    place: int
    sign: str
    state: str
    role: str
    title: str
    found: str
    told: tuple[str, ...]
    mend: Mend | None
    box: bool = False


def _key(row: Row) -> str:
    if row.id == WAVES:
        return "space choose"
    return "" if row.mend is None else f"{row.mend.key} {row.mend.word}"


_STATE = Column[Row](
    "t", "State", 8, lambda row, view: (f"{row.sign} {row.state}", row.role), lambda row: row.state
)
_TITLE = Column[Row](
    "w", "What must be right", 26, lambda row, view: (row.title, "text"), lambda row: row.title
)
_FOUND = Column[Row]("f", "Found", 16, lambda row, view: (row.found, row.role), lambda row: row.found, flex=1)
_KEY = Column[Row](
    "k",
    "Key",
    13,
    lambda row, view: (_key(row), "text"),
    lambda row: "" if row.mend is None else row.mend.key,
)
_COLUMNS = (_STATE, _TITLE, _FOUND, _KEY)


def _fields(row: Row) -> Mapping[str, str]:
    return {"is": row.state, "": f"{row.title} {row.found} {row.state}".lower()}


class ChecklistScreen(TableFrame):
    """Opened where a policy is enabled for the first time."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.CHECKLIST)
    PANE, TAB = keys.CHECKLIST, keys.POLICIES
    LISTENS = (Table.POLICIES, Table.JOBS)
    FILTER_KEYS = ("is",)
    WITHOUT_ROW = frozenset({"switch", "test", "preview", "edit", "members", "verify"})

    def __init__(self, policy: str) -> None:
        super().__init__()
        self.policy = policy
        self.found: Checklist | None = None
        self.plan = RolloutReport(policy, "", "")
        self.report: list[VerifyRow] = []
        self.ticked: set[str] = set()
        self._rows: dict[str, Row] = {}
        self._previewing = False

    def path(self) -> str:
        """Where we are."""
        return f"Policies / {self.policy} / first sync"

    def body(self) -> ComposeResult:
        """What it would do, the list, the line under the cursor."""
        yield LineView(self.view, id="about")
        yield FilterBar(self.view, hint="is:open is:wrong text", completions=self.completions)
        yield StoreTable[Row](
            self.view,
            lambda: self._rows,
            (_COLUMNS, _COLUMNS),
            _fields,
            lambda row: row.place,
            lambda row: row.mend is not None,
            self._empty,
            "line",
            "list",
        )
        yield LineView(self.view, id="item", classes="panel")
        yield LineView(self.view, id="after", classes="panel")

    def on_mount(self) -> None:
        """Look."""
        super().on_mount()
        self.refresh_list()

    def on_screen_resume(self, event: ScreenResume) -> None:
        """Back from where something was put right: look again."""
        super().on_screen_resume(event)
        self.refresh_list()

    def refresh_list(self) -> None:
        """Look again; nothing is asked of a provider."""
        if self.policy in self.store.policies:
            self.console.fetch(self.engine.checklist(self.policy), self._came)
            self.console.fetch(self.engine.rollout(self.policy), self._planned)
            self.console.fetch(self.engine.verify_report(self.policy), self._read_back)

    def _planned(self, plan: RolloutReport) -> None:
        self.plan = plan
        if alive(self):
            self.paint_details()

    def _read_back(self, report: list[VerifyRow]) -> None:
        self.report = report
        if alive(self):
            self._list()

    def _came(self, found: Checklist) -> None:
        self.found = found
        if alive(self):
            self._list()

    def _list(self) -> None:
        found = self.found
        if found is None:
            return
        rows = []
        # What only an admin can know is asked before it; after it, reading back is what is left to do.
        lines = found.lines if found.first else (self._back(), *found.lines)
        for place, each in enumerate(lines):
            sign, word, role = SIGNS[each.state]
            way = None if each.state is CheckState.OK else mend(each)
            rows.append(Row(each.id, place, sign, word, role, each.title, each.found, each.told, way))
        for place, (key, asked) in enumerate(ASKED.items() if found.first else (), len(rows)):
            yes = key in self.ticked
            told = (f"{asked}.", "The audit log keeps who said so, and when.")
            rows.append(
                Row(
                    f"asked:{key}",
                    place,
                    "[x]" if yes else "[ ]",
                    "yes" if yes else "open",
                    "text" if yes else "alert",
                    ASKED_TITLE[key],
                    "you say so" if yes else "only you know",
                    told,
                    None if yes else TICK,
                    True,
                )
            )
        fresh = not self._rows
        self._rows = {row.id: row for row in rows}
        self.table.reorder()
        if fresh and rows[0].mend is None:
            self.table.fault()  # the first line that wants something
        self.paint_bar()
        self.paint_details()

    @property
    def _synced(self) -> bool:
        """Whether a first sync has ended, so that there is something to read back."""
        row = self.store.policies.get(self.policy)
        return row is not None and row.last_full_ms is not None

    def _back(self) -> CheckLine:
        job = self.store.jobs.get(f"verify:{self.policy}")
        running = job is not None and job.state is JobState.RUNNING
        return after.read_back(self.report, self._mailboxes(), synced=self._synced, running=running)

    def _empty(self) -> str:
        if self.policy not in self.store.policies:
            return f"The policy {self.policy} was deleted meanwhile. esc goes back."
        return "Looking …"

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Look again when the policy has changed, or a preview was made."""
        changed = dirty[Table.POLICIES]
        running = self.engine.preview_running(self.policy)
        verified = f"verify:{self.policy}" in (dirty[Table.JOBS] or ())
        if changed is None or self.policy in changed or verified or running != self._previewing:
            self._previewing = running
            self.refresh_list()
        super().paint(dirty)

    def total(self) -> str:
        """How many lines are right."""
        right = sum(row.mend is None for row in self._rows.values())
        below = f"   ▾ {self.table.below:,} below" if self.table.below else ""
        return f"{right:,} of {form.count(len(self._rows), 'line')} right{below}" if self._rows else "looking"

    def paint_details(self) -> None:
        """What it would do, and the line under the cursor."""
        self._paint_after()
        about = self.query_one("#about", LineView)
        found = self.found
        if found is None:
            about.show([])
        else:
            count = form.count(found.mailboxes, "mailbox", "mailboxes")
            about.show(
                [
                    line(f" {found.about}, {count}"),
                    line(f" {sums(found, self.size.width - 2)}"),
                ]
            )
        panel = self.query_one("#item", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Line")
            panel.show([])
            return
        panel.title(row.title, _key(row))
        short = [] if row.box else [row.found]
        more = (after.who_first(self.plan, self._mailboxes()),) if row.id == WAVES else row.told
        told = [*short, *more] if panel.size.height > NARROW else [*more, *short]
        panel.show([line(f" {part}") for text in told for part in wrapped(text, panel.size.width - 4)])

    def _mailboxes(self) -> list[str]:
        return [row.id for row in self.store.users.values() if row.policy == self.policy]

    def _paint_after(self) -> None:
        """What was read back from each mailbox, where there is room for it."""
        panel = self.query_one("#after", LineView)
        if not panel.display:
            return
        mailboxes = self._mailboxes()
        title = "After: read back from each mailbox"
        panel.title(title, after.confirmed(self.report, mailboxes) if self.report else "")
        size = panel.size
        panel.show(after.lines(self.plan, self.report, mailboxes, size.width, size.height, synced=self._synced))

    def _choose_pilot(self) -> None:
        """Offer how many mailboxes go first."""
        count = len(self._mailboxes())
        if self.found is None or not self.found.first:
            self.say("The first sync has begun; O in Policies lets the others follow.")
            return
        if count < 2:
            self.say("A pilot needs two mailboxes at least.")
            return
        sizes = {AT_ONCE: 0, **{f"{size:,} first": size for size in PILOTS if size < count}}
        words = [
            (
                word,
                f"then {count - size:,}, when you say so"
                if size
                else form.count(count, "mailbox", "mailboxes"),
            )
            for word, size in sizes.items()
        ]
        pilot = len(self.plan.waves[0].mailboxes) if len(self.plan.waves) > 1 else 0
        now = f"{pilot:,} first" if pilot else AT_ONCE
        about = "A pilot is read back and judged before the others follow. Stored in the policy, page Rollout."
        chosen = partial(self._pilot_chosen, sizes)
        self.app.push_screen(Choose(self.view, "Who goes first", about, words, now), chosen)

    def _pilot_chosen(self, sizes: Mapping[str, int], word: str | None) -> None:
        if word is None:
            return
        size = sizes[word]
        draft = self.engine.policy_draft(self.policy)
        rolled = {"ask": True, **dict(draft.settings.get("rollout", {})), "waves": [size] if size else []}
        self.send(SavePolicy(self.policy, {**draft.settings, "rollout": rolled}, draft.was))

    # Keys

    def why_not(self, action: str) -> str:
        """The start says what keeps it off, reading back what comes before it."""
        if action == "verify" and not self._synced:
            return "Nothing was synchronised yet; V reads it back when the first sync has ended."
        if action == "switch" and self.found is not None:
            missing = self.found.missing(self.ticked)
            if missing:
                return f"Start is off: {missing}."
            if why := refused(self.console.by, EnablePolicy):
                return f"Start is off: {why}."
        return super().why_not(action)

    def action_switch(self) -> None:
        """Start the first sync."""
        if self.found is None:
            self.say("Looking …")
            return
        command = EnablePolicy(self.policy, tuple(ASKED))
        lines = self.engine.what_happens(command)
        self.send(
            command,
            confirm=lines,
            typed=str(self.found.mailboxes),
            title=f"Start the first sync of {form.count(self.found.mailboxes, 'mailbox', 'mailboxes')}",
        )

    def action_open(self) -> None:
        """Go where the line is put right, or tick the box."""
        row = self._rows.get(self.table.current or "")
        if row is None:
            return
        if row.box or row.id == WAVES:
            self.action_mark()
        elif row.mend is None:
            self.say("This line is right; there is nothing to do about it.")
        else:
            self.call_later(self.run_action, row.mend.action)

    def action_mark(self) -> None:
        """Tick a box, or choose who goes first."""
        row = self._rows.get(self.table.current or "")
        if row is None:
            return
        if row.id == WAVES:
            self._choose_pilot()
            return
        if not row.box:
            self.say("The program looks at this line by itself; ↵ goes where it is put right.")
            return
        self.ticked ^= {row.id.removeprefix("asked:")}
        self._list()
        self.table.move("down")

    def action_test(self) -> None:
        """Test both connections."""
        self.say(f"Testing both connections of {self.policy} …")
        self.send(TestPolicy(self.policy))

    def action_verify(self) -> None:
        """Read back what the first sync has made."""
        self.say(f"Reading back what {self.policy} built …")
        self.send(VerifyPolicy(self.policy))

    def action_preview(self) -> None:
        """Show the preview; it is made there."""
        self.console.open_preview(self.policy)

    def action_edit(self) -> None:
        """Edit the policy."""
        edit_policy.edit(self, self.policy)

    def action_members(self) -> None:
        """List its users."""
        self.app.push_screen(MembersScreen(self.policy))

    def action_connections(self) -> None:
        """List the connections."""
        self.app.push_screen(ConnectionsScreen())
