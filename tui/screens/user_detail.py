"""One user: counts by module, the five steps, and the events."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.service import DayRow, ItemOutcome, Module, Table, UserRow, UserState, why_user
from tui import format as form
from tui import keys, rows, signs
from tui.paint import Span, TextLine, fit, line, wrapped
from tui.screens import orders, users
from tui.screens.frame import Frame
from tui.screens.queue import steps
from tui.widgets.lines import LineView
from tui.widgets.log_panel import LogPanel

_COLUMNS: tuple[tuple[str, ItemOutcome], ...] = (
    ("Created", ItemOutcome.CREATED),
    ("Updated", ItemOutcome.UPDATED),
    ("Deleted", ItemOutcome.DELETED),
    ("Same", ItemOutcome.UNCHANGED),
    ("Held", ItemOutcome.HELD),
    ("Failed", ItemOutcome.FAILED),
)


#: Rows for the state; a long reason takes more.
_STATE_ROWS = 3


class UserScreen(Frame):
    """Opened from Queue or from a policy's checklist."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.USER)
    PANE, TAB = keys.USER, keys.QUEUE
    LISTENS = (Table.USERS, Table.LINES)

    def __init__(self, mailbox: str) -> None:
        super().__init__()
        self.mailbox = mailbox
        self._day = DayRow()
        self._asked: tuple[int | None, int] | None = None

    def path(self) -> str:
        """Where we are."""
        return f"Queue / {self.mailbox}"

    def body(self) -> ComposeResult:
        """State, modules and steps, events."""
        yield LineView(self.view, id="state")
        with Horizontal(id="top"):
            yield LineView(self.view, id="counts", classes="panel")
            yield LineView(self.view, id="steps", classes="panel")
        yield LogPanel(self.view, self.store, self.mailbox, headed=False)

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """All of it when the user changed; the events when lines came."""
        changed, lines = dirty[Table.USERS], dirty[Table.LINES]
        row = self.store.users.get(self.mailbox)
        if row is None:
            self.query_one("#state", LineView).show(
                [line((f" {self.mailbox} is no user of any policy.", "alert"))]
            )
            return
        self._ask_day(row)
        told = self._state(row)
        state = self.query_one("#state", LineView)
        state.styles.height = max(_STATE_ROWS, len(told))
        state.show(told)
        if changed is None or self.mailbox in changed:
            policy = self.store.policies.get(row.policy)
            counts = self.query_one("#counts", LineView)
            panel = self.query_one("#steps", LineView)
            failed = f"{form.count(self._day.failed, 'cycle')} failed, " if self._day.failed else ""
            day = f"24 h: {failed}items {self._day.items:,}, errors {self._day.errors:,}, calls {self._day.calls:,}"
            counts.title(
                "Last cycle by module" if row.state not in signs.ACTIVE else "This cycle by module",
                f"{row.items:,} items in step" + ("" if panel.display else f"   {day}"),
            )
            told = _counts(row, policy.modules if policy else frozenset(Module), whole=panel.display)
            self.query_one("#top").styles.height = len(told) + 2
            counts.show(told)
            if panel.display:
                panel.title("Steps, last 24 h")
                panel.show([*steps(row), *self._day_lines(row)])
        if changed is None or lines is None or self.mailbox in lines:
            self.query_one(LogPanel).pull()

    def _ask_day(self, row: UserRow) -> None:
        """Read the last 24 hours when a cycle has ended since, and each minute."""
        now = (row.ended_ms, self.view.now_ms // 60_000)
        if self._asked != now:
            self._asked = now
            self.console.fetch(self.engine.day(self.mailbox), self._day_came)

    def _day_came(self, day: DayRow) -> None:
        if self._day != day:
            self._day = day
            self._soon(whole=True)

    def _day_lines(self, row: UserRow) -> list[TextLine]:
        """The last 24 hours, below the steps."""
        day = self._day
        failed: Span = (f"   {day.failed:,} failed", "fault" if day.failed else "quiet")
        errors: Span = (f"   errors {day.errors:,}", "fault" if day.errors else "quiet")
        return [
            line((" 24 h      ", "quiet"), f"{form.count(day.cycles, 'cycle')} with work", failed),
            line((" Items     ", "quiet"), f"{day.items:,}", errors, f"   calls {day.calls:,}"),
            line((" By hour   ", "quiet"), (form.spark(day.hours, 24), "quiet")),
        ]

    def _state(self, row: UserRow) -> list[TextLine]:
        sign = signs.USER[row.state]
        view = self.view
        first = line((f" {sign.sign} {rows.user_phase(row)}", sign.role), f"   {row.policy}")
        if row.state in signs.ACTIVE:
            step = rows.user_step(row, True)[0]
            second = f" {step}  {rows.gauge(row.done, row.total, 20)}  {form.rate(row.rate)}  ETA {form.eta(row.eta_seconds)}"
        else:
            second = f" Last full {_when(row.last_success_ms, view.now_ms, self)}   Next full {_when(row.next_full_ms, view.now_ms, self)}   calls {row.calls:,}   held {row.held:,}{form.conflicts(row.conflicts)}"
        third = line((f" CRM user {row.crm_user or '-'}   zone {row.zone or '-'}", "quiet"))
        if row.state in signs.TROUBLED:  # the reason is what he came for: all of it
            head = (f" {sign.sign} {sign.word}   {rows.retry(row, view)}", sign.role)
            told = f"   {row.policy}   last full {_when(row.last_success_ms, view.now_ms, self)}"
            return [line(head, told), *self._why(sign.role)]
        if row.state in signs.ACTIVE:
            return [first, line(second), third]
        return [first, line(second), third, *self._why("text")]

    def _why(self, role: str) -> list[TextLine]:
        """Why it does not run now, whole."""
        told = why_user(self.store, self.mailbox, self.view.now_ms, self.view.moment)
        return [line((f"   {part}", role)) for text in told for part in wrapped(text, self.size.width - 4)]

    # Keys

    def on_log_panel_older_wanted(self, event: LogPanel.OlderWanted) -> None:
        """Older lines come from disk."""
        self.console.fetch_older(event.panel, event.before_seq)

    def action_move(self, how: str) -> None:
        """Scroll the events."""
        panel = self.query_one(LogPanel)
        by = {
            "up": -1,
            "down": 1,
            "page_up": -panel.page,
            "page_down": panel.page,
            "home": -1 << 30,
            "end": 1 << 30,
        }
        panel.scroll(by[how])

    def action_run(self) -> None:
        """Sync now."""
        users.sync_now(self, [self.mailbox])

    def action_edit(self) -> None:
        """Say who it is in the CRM."""
        users.edit(self, self.mailbox)

    def action_pause(self) -> None:
        """Pause or resume."""
        users.pause(self, [self.mailbox])

    def action_cancel(self) -> None:
        """Stop the running cycle."""
        users.cancel(self, [self.mailbox])

    def action_preview(self) -> None:
        """Show what the next cycle or the first sync would do."""
        row = self.store.users.get(self.mailbox)
        if row is not None:
            self.console.open_preview(row.policy, self.mailbox)

    def action_held(self) -> None:
        """List what waits."""
        self.console.open_held(self.mailbox)

    def action_why(self) -> None:
        """Tell why it does not run, and what of it does not cross over."""
        self.console.open_why(self.mailbox)

    def action_find(self) -> None:
        """Explain any item of this user."""
        self.console.ask_item(self.mailbox)

    def action_conflicts(self) -> None:
        """List the fields that wait."""
        self.console.open_conflicts(mailbox=self.mailbox)

    def action_filed(self) -> None:
        """List this user's filed mails."""
        self.console.open_filed(self.mailbox)

    def action_reinitialize(self) -> None:
        """Let modules begin afresh."""
        orders.reinitialize(self, [self.mailbox])

    def action_history(self) -> None:
        """List the cycles."""
        self.console.open_history(self.mailbox)

    def action_monitor(self) -> None:
        """Open the monitor."""
        users.monitor(self, [self.mailbox])

    def copied(self) -> str:
        """The newest line shown."""
        return self.query_one(LogPanel).newest_text()


def _when(ms: int | None, now_ms: int, screen: Frame) -> str:
    return "never" if ms is None else form.moment(ms, now_ms, screen.view.zone)


def _counts(row: UserRow, on: frozenset[Module], whole: bool) -> list[TextLine]:
    """What was done by module; not ``whole``, where the events want the room: without modules that had nothing."""
    head = f" {'Module':<15}" + "".join(f"{title:>9}" for title, _ in _COLUMNS)
    lines = [line((head, "head"))]
    for module in Module:
        counts = row.module_counts.get(module, {})
        if not whole and not any(counts.values()):
            continue
        name = f" {fit(form.MODULE_WORD[module], 15)}"
        if module not in on:
            lines.append(line((name, "off"), (f"{'⊘ off in policy':>18}", "off")))
            continue
        cells = [
            (f"{counts.get(outcome, 0):>9,}", _role(outcome, counts.get(outcome, 0))) for _, outcome in _COLUMNS
        ]
        lines.append(line(name, *cells))
    if lines[1:]:
        return lines
    none = (
        "It failed before it wrote anything."
        if row.state is UserState.FAILED
        else "No module had anything to do."
    )
    return [line((f" {none}", "quiet"))]


def _role(outcome: ItemOutcome, number: int) -> str:
    if not number:
        return "quiet"
    return {ItemOutcome.HELD: "alert", ItemOutcome.FAILED: "fault"}.get(outcome, "text")
