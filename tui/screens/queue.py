"""The Queue tab: every user, what it does and what it waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from operator import attrgetter
from typing import ClassVar

from rich.cells import cell_len
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal

from engine.service import LimitRow, StepState, Table, UserRow, UserState, WaitRow, why_user
from tui import format as form
from tui import keys, rows, signs
from tui.fields import USER_KEYS, urgency, user_fields
from tui.paint import Span, TextLine, fit, fit_name, line, wrapped
from tui.screens import orders, users
from tui.screens.confirm import Report
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable


def _state(row: UserRow, view: View) -> Span:
    sign = signs.USER[row.state]
    if row.stale_since_ms is not None and row.state not in signs.FAULTY:
        return (f"! {sign.word}", signs.STALE.role)
    return (f"{sign.sign} {sign.word}", sign.role)


def _next(row: UserRow, view: View) -> str:
    return "-" if row.state in signs.ACTIVE | signs.RESTING else view.future(row.next_full_ms)


#: What ``_urgency`` looks at.
_ALIKE = attrgetter("state", "stale_since_ms", "place", "policy")


def _urgency(row: UserRow) -> tuple[int, int, str]:
    return urgency(row, signs.URGENCY, signs.URGENCY[UserState.STALE])


_STATE = Column[UserRow]("s", "State", 10, _state, lambda row: signs.URGENCY[row.state])
_STATE_WIDE = Column[UserRow]("s", "State", 13, _state, lambda row: signs.URGENCY[row.state])
_MAILBOX = Column[UserRow](
    "m", "Mailbox", 18, lambda row, view: (row.id, "text"), lambda row: row.id, flex=2, name=True
)
_POLICY = Column[UserRow](
    "p", "Policy", 12, lambda row, view: (row.policy, "text"), lambda row: row.policy.lower(), flex=1, name=True
)
_K = Column[UserRow](
    "t", "Step", 4, lambda row, view: rows.user_step(row, False), lambda row: row.step_number or 9
)
_STEP = Column[UserRow](
    "t", "Step", 24, lambda row, view: rows.user_step(row, True), lambda row: row.step_number or 9
)
_PROGRESS = Column[UserRow]("g", "Progress", 15, rows.user_progress, lambda row: -row.done, flex=1)
_RATE = Column[UserRow](
    "r",
    "Rate",
    6,
    lambda row, view: (form.rate(row.rate) if row.state in signs.ACTIVE else "-", "text"),
    lambda row: -row.rate,
    right=True,
)
_ETA = Column[UserRow](
    "e",
    "ETA",
    7,
    lambda row, view: (form.eta(row.eta_seconds) if row.state in signs.ACTIVE else "-", "text"),
    lambda row: sum(row.eta_seconds or (1e12, 0)),
    right=True,
)
_HELD = Column[UserRow](
    "h",
    "Held",
    5,
    lambda row, view: (form.number(row.held), "alert" if row.held else "quiet"),
    lambda row: -row.held,
    right=True,
)
_STARTED = Column[UserRow](
    "a",
    "Started",
    8,
    lambda row, view: (form.at(row.started_ms, view.zone) if row.state in signs.ACTIVE else "-", "text"),
    lambda row: -(row.started_ms or 0),
)
_NEXT = Column[UserRow](
    "n",
    "Next sync",
    10,
    lambda row, view: (_next(row, view), "text"),
    lambda row: row.next_full_ms or 1 << 62,
)

_NARROW = (_STATE, _MAILBOX, _POLICY, _K, _PROGRESS, _ETA, _HELD)
_WIDE = (_STATE_WIDE, _MAILBOX, _POLICY, _STEP, _PROGRESS, _RATE, _ETA, _HELD, _STARTED, _NEXT)


#: Lines of the panel that tells of a user in 80 columns.
_BRIEF = 4


class QueueScreen(TableFrame):
    """Every user, the one under the cursor in detail, and the limits that hold them."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.QUEUE)
    PANE = TAB = keys.QUEUE
    PAINTS_AHEAD = True
    LISTENS = (Table.USERS, Table.POLICIES, Table.LIMITS)
    SOURCE = Table.USERS
    FILTER_KEYS = USER_KEYS
    STATES = tuple(state.value for state in UserState)

    def body(self) -> ComposeResult:
        """Filter, table, details."""
        yield FilterBar(self.view, hint="state:failed policy:emea text", completions=self.completions)
        yield StoreTable[UserRow](
            self.view,
            lambda: self.store.users,
            (_NARROW, _WIDE),
            user_fields,
            _urgency,
            lambda row: row.state in signs.FAULTY,
            self._empty,
            "user",
            alike=_ALIKE,
        )
        with Horizontal(id="details"):
            yield LineView(self.view, id="user", classes="panel")
            yield LineView(self.view, id="limits", classes="panel")

    def _empty(self) -> str:
        due = [
            (row.next_full_ms, row.id) for row in self.store.policies.values() if row.next_full_ms is not None
        ]
        if not due:
            return "Nothing is waiting. No policy is enabled: 1 shows them, o enables one."
        when, policy = min(due)
        return f"Nothing is waiting. Next full sync {form.moment(when, self.view.now_ms, self.view.zone)} ({policy})."

    def total(self) -> str:
        """How many users."""
        return form.count(len(self.store.users), "user")

    def paint_details(self) -> None:
        """The user under the cursor, and the limits."""
        panel = self.query_one("#user", LineView)
        row = self.store.users.get(self.table.current or "")
        if row is None:
            panel.title("User")
            panel.show([])
        else:
            panel.title(row.id, "↵ open")
            width = panel.size.width
            told = why_user(self.store, row.id, self.view.now_ms, self.view.moment, engine=False)
            panel.show(
                details(row, self.view, width, told)
                if panel.size.height > 5
                else brief(row, self.view, width, told)
            )
        limits = self.query_one("#limits", LineView)
        if limits.display:
            limits.title("Limits now")
            limits.show(self._limits(limits.size.width))

    def _limits(self, width: int) -> list[TextLine]:
        engine = self.store.engine
        limits = self.store.limits.values()
        name = min(max([16, *(len(row.id) for row in limits)]), width - 40)
        alike = Counter(_of_provider(row) for row in limits)
        lines = [_limit(row, self.view, name, alike[_of_provider(row)] > 1) for row in limits]
        lines = lines or [line((" No limit has been met yet.", "quiet"))]
        slots = f"{engine.busy} busy of {engine.slots}" if engine.slots else f"{engine.busy} busy"
        waits = [
            line((f" {fit(name_, name)} ", "quiet"), (f"↻ asked to wait, {-(-left // 1000)} s left", "warn"))
            for name_, until in engine.provider_until_ms.items()
            if (left := until - self.view.now_ms) > 0
        ]
        lines += [
            *waits,
            line(),
            line((f" {fit('Slots', name)} ", "quiet"), slots),
            line(
                (f" {fit('Queue', name)} ", "quiet"),
                f"{engine.waiting:,} waiting, next {engine.next_waiting}" if engine.waiting else "nobody waits",
            ),
            *(_wait(row, name) for row in engine.waits),
            line(
                (f" {fit('Loop lag', name)} ", "quiet"),
                f"{engine.lag_p99_ms:.0f} ms (max {engine.lag_max_ms:.0f} ms)",
            ),
        ]
        return lines

    # Keys

    def action_open(self) -> None:
        """Open the user."""
        if self.table.current is not None:
            self.console.open_user(self.table.current)

    def action_limits(self) -> None:
        """Show the limits, also where there is no room for their panel."""
        self.app.push_screen(Report(self.view, "Limits now", self._limits(72)))

    def action_run(self) -> None:
        """Sync now."""
        users.sync_now(self, self.table.chosen())

    def action_pause(self) -> None:
        """Pause or resume."""
        users.pause(self, self.table.chosen())

    def action_cancel(self) -> None:
        """Stop the running cycle."""
        users.cancel(self, self.table.chosen())

    def action_held(self) -> None:
        """List what waits."""
        if self.table.current is not None:
            self.console.open_held(self.table.current)

    def action_reinitialize(self) -> None:
        """Let modules begin afresh."""
        orders.reinitialize(self, self.table.chosen())

    def action_history(self) -> None:
        """List the cycles."""
        if self.table.current is not None:
            self.console.open_history(self.table.current)

    def action_why(self) -> None:
        """Tell why it does not run."""
        if self.table.current is not None:
            self.console.open_why(self.table.current)

    def action_find(self) -> None:
        """Explain any item of the user."""
        self.console.ask_item(self.table.current)

    def action_conflicts(self) -> None:
        """List the fields that wait."""
        if self.table.current is not None:
            self.console.open_conflicts(mailbox=self.table.current)

    def action_filed(self) -> None:
        """List the user's filed mails."""
        if self.table.current is not None:
            self.console.open_filed(self.table.current)

    def action_monitor(self) -> None:
        """Open monitors."""
        users.monitor(self, self.table.chosen())


def _wait(row: WaitRow, width: int) -> TextLine:
    """How long a lane's mailboxes wait for their turn."""
    told = f"wait p50 {form.length(row.p50)}  p95 {form.length(row.p95)}"
    now = f"  now {form.length(row.now)}" if row.now is not None else ""
    return line(
        (f" {fit_name(f'  {row.lane}', width)} ", "quiet"), told, (now, "alert" if _late(row) else "text")
    )


def _late(row: WaitRow) -> bool:
    """Whether somebody waits longer than almost everybody did."""
    return row.now is not None and row.now > max(60.0, 2 * row.p95)


def _of_provider(row: LimitRow) -> str:
    """The name of a limit without its connection."""
    return row.id.partition(": ")[2] or row.id


def _limit_name(row: LimitRow, width: int, alike: bool) -> str:
    """Exactly ``width`` cells. The connection gives way, unless another one has a limit of that name (``alike``)."""
    connection, name = row.id.partition(": ")[0], _of_provider(row)
    if cell_len(row.id) <= width or connection == row.id:
        return fit_name(row.id, width)
    room = max(width - cell_len(name) - 2, 8 if alike else 0)
    if room < 4:
        return fit_name(name, width)
    return f"{fit_name(connection, room)}: {fit_name(name, width - room - 2)}"


def _limit(row: LimitRow, view: View, width: int, alike: bool) -> TextLine:
    head = f" {_limit_name(row, width, alike)} "
    if row.wait_until_ms is not None and row.wait_until_ms > view.now_ms:
        wait = (row.wait_until_ms - view.now_ms) // 1000
        return line((head, "quiet"), (f"↻ waits {wait} s  {row.text}", "warn"))
    part = form.share(row.used, row.limit)
    if part is None:
        return line((head, "quiet"), f"{row.used:,.0f} {row.unit}  {row.text}")
    role = "alert" if part >= 0.9 else "text"
    used = f" {form.percent(part):>4} {f'{row.used:,.0f} of {row.limit:,.0f}':>18} {row.unit}"
    return line((head, "quiet"), (form.bar(part, 12), "quiet"), (used, role))


def why(row: UserRow, width: int) -> list[TextLine]:
    """The reason of a fault, whole."""
    role = signs.USER[row.state].role
    return [line((f"   {part}", role)) for part in wrapped(row.why or row.text, width - 4)]


def brief(row: UserRow, view: View, width: int, why_not: Sequence[str]) -> list[TextLine]:
    """A user in few lines: how it is, when it comes next, and why it does not move."""
    sign = signs.USER[row.state]
    first: list[Span] = [(f" {sign.sign} {sign.word}", sign.role)]
    if row.state in signs.ACTIVE:
        step = rows.user_step(row, True)[0]
        first.append((f"  {step}  {rows.gauge(row.done, row.total, 18, percent=False)}", "text"))
        if rows.throttled(row, view):
            first.append((f"  {rows.throttled(row, view)}", "warn"))
        elif row.rate > 0:
            first.append((f"  {form.rate(row.rate)}", "text"))
    second = (
        f"   last {view.past(row.last_success_ms)}   next {_next(row, view)}   calls {row.calls:,}"
        f"   items {row.items:,}   held {row.held:,}{form.conflicts(row.conflicts)}"
    )
    if row.state in signs.TROUBLED:
        first.append((f"  {rows.retry(row, view)}   last {view.past(row.last_success_ms)}", sign.role))
        return _cut([TextLine(tuple(first)), *why(row, width)], width)
    if row.state in signs.ACTIVE:
        second = (
            f"   started {form.at(row.started_ms, view.zone)}   calls {row.calls:,}   held {row.held:,}"
            f"{form.conflicts(row.conflicts)}"
        )
    if row.barrier is not None and row.state is UserState.INITIALIZING:
        second += f"   barrier {row.barrier[0]:,} of {row.barrier[1]:,} users ready"
    counts = " ".join(f"{sign}{row.counts.get(outcome, 0):,}" for sign, outcome in signs.OUTCOME)
    which = "this" if row.state in signs.ACTIVE else "last"
    told = [TextLine(tuple(first)), line((second, "quiet")), line((f"   {which} cycle  {counts}", "quiet"))]
    if row.state in signs.ACTIVE and row.text:
        told.append(line((f"   now  {row.text}", "warn" if rows.throttled(row, view) else "quiet")))
    elif row.state not in signs.ACTIVE:
        told.append(line((f"   {why_not[0]}", "text")))
    return told


def _cut(lines: list[TextLine], width: int) -> list[TextLine]:
    """What fits into the panel of 80 columns; a reason that goes on says so, and where the rest of it is."""
    if len(lines) <= _BRIEF:
        return lines
    ((text, role),) = lines[_BRIEF - 1].spans
    more = " … ↵ tells all"
    return [*lines[: _BRIEF - 1], line((fit(text, width - len(more)).rstrip(" …") + more, role))]


def details(row: UserRow, view: View, width: int, why_not: Sequence[str]) -> list[TextLine]:
    """A user in full."""
    sign = signs.USER[row.state]
    warned = ", do not interrupt" if row.state is UserState.INITIALIZING else ""
    lines = [
        line((" State     ", "quiet"), (f"{sign.sign} {rows.user_phase(row)}{warned}", sign.role)),
        line((" Policy    ", "quiet"), row.policy),
    ]
    if row.state in signs.ACTIVE:
        lines += [
            line((" Progress  ", "quiet"), rows.gauge(row.done, row.total, 22)),
            line((" Rate      ", "quiet"), f"{form.rate(row.rate)}   ETA {form.eta_range(row.eta_seconds)}"),
        ]
    else:
        waits = f"held {row.held:,}{form.conflicts(row.conflicts)}"
        lines.append(line((" Items     ", "quiet"), f"{row.items:,} in step   {waits}"))
    lines.append(
        line(
            (" Sync      ", "quiet"),
            f"started {form.at(row.started_ms, view.zone)}   calls {row.calls:,}"
            if row.state in signs.ACTIVE
            else f"last {view.past(row.last_success_ms)}   next {_next(row, view)}   calls {row.calls:,}",
        )
    )
    if row.state in signs.TROUBLED:
        lines.append(line((" Retry     ", "quiet"), (rows.retry(row, view), sign.role)))
    if row.state not in signs.ACTIVE:
        role = sign.role if row.state in signs.TROUBLED else "text"
        parts = [part for sentence in why_not for part in wrapped(sentence, width - 12)]
        for number, part in enumerate(parts):
            lines.append(line((f" {'' if number else 'Why':<10}", "quiet"), (part, role)))
    lines.append(line())
    lines += steps(row)
    if row.barrier is not None:
        ready, every = row.barrier
        lines += [
            line(),
            line((" Barrier   ", "quiet"), f"{ready:,} of {every:,} users ready; then the data phase begins"),
        ]
    if row.text and row.state in signs.ACTIVE:
        lines.append(line())
        for number, part in enumerate(wrapped(row.text, width - 12)):
            lines.append(line((f" {'' if number else 'Now':<10}", "quiet"), part))
    return lines


def steps(row: UserRow) -> list[TextLine]:
    """The five steps."""
    lines = []
    for number, step in enumerate(row.steps, 1):
        sign = signs.STEP[step.state]
        if step.state is StepState.RUNNING:
            text = rows.work(step.done, step.total)
            if step.total is not None:
                text += f"  {form.percent(form.share(step.done, step.total))}"
        elif step.state is StepState.DONE:
            text = form.number(step.done)
        else:
            text = step.text or sign.word
        head = f" {'Steps' if number == 1 else '':<9} {number} {fit(step.step.value, 20)}"
        lines.append(line((head, "quiet"), (f"{sign.sign} {text}", sign.role)))
    return lines
