"""The app of one admin: four tabs over the store, and commands to the façade.

The engine is never a worker of the app: it is started outside, goes on while the app is busy, and hears of keys by
typed commands only.
"""

from __future__ import annotations

import asyncio
import io
import os
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextvars import Context
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, ClassVar, TypeVar

# One colour depth for all sessions of a process: Rich keeps the escape code on the style.
os.environ.setdefault("TEXTUAL_COLOR_SYSTEM", "256")

from rich.console import Console, RenderableType
from textual.actions import ActionParseResult
from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.dom import DOMNode
from textual.filter import Monochrome, NoColor
from textual.screen import Screen

from engine.service import (
    Actor,
    Answer,
    Command,
    ConflictRow,
    DecideConflict,
    EnablePolicy,
    Explanation,
    FiledRow,
    Filtered,
    LedgerFault,
    Line,
    PreviewReport,
    PreviewRow,
    RunRow,
    ServiceError,
    SettleHeld,
    VerifyPolicy,
    VerifyRow,
    refusal,
)
from tui import format as form
from tui import keys, leaving
from tui.host import PULL_SECONDS, Host
from tui.palette import Everything
from tui.port import Engine
from tui.screens.alive import alive
from tui.screens.ask import Ask
from tui.screens.audit import AuditScreen
from tui.screens.checklist import ChecklistScreen
from tui.screens.confirm import Confirm, Report
from tui.screens.conflicts import ConflictsScreen, PolicyConflictsScreen
from tui.screens.connections import ConnectionsScreen
from tui.screens.explain import ExplainScreen
from tui.screens.filed import FiledScreen
from tui.screens.frame import Frame
from tui.screens.held import HeldScreen
from tui.screens.help import Help
from tui.screens.history import HistoryScreen
from tui.screens.incidents import IncidentsScreen
from tui.screens.monitors import MonitorsScreen
from tui.screens.operators import OperatorsScreen
from tui.screens.policies import PoliciesScreen
from tui.screens.policy_detail import PolicyScreen
from tui.screens.preview import PreviewScreen
from tui.screens.preview_rows import PreviewRowsScreen
from tui.screens.queue import QueueScreen
from tui.screens.scheduler import SchedulerScreen
from tui.screens.user_detail import UserScreen
from tui.screens.why import WhyScreen
from tui.theme import DARK, PALETTES, PLAIN, THEMES
from tui.view import View
from tui.widgets.log_panel import LogPanel

T = TypeVar("T")

#: How long the answer to a key stays on the message line (milliseconds).
SAID_MS = 10_000

#: So long good news stays; an incident stays until it is over (milliseconds).
TOLD_MS = 60_000

#: So long after the first paint, and after each other, the tabs are made that are not shown yet.
AHEAD_SECONDS = 0.1

#: Who leaves while a screen is being made waits so long, and again until it is made; so often at most, which is five seconds:
#: a session whose screen is never made must end as well.
MADE_SECONDS = 0.02
MADE_TRIES = 250


class SynclineApp(App[None]):
    """The terminal application.

    Args:
        engine: the façade (or a test's).
        who: the admin: for the audit log, and what he may do.
        zone: for all times on the screens.
        ascii: no signs beyond ASCII.
        theme: ``syncline-dark``, ``syncline-light`` or ``syncline-plain``.
        pull_seconds: None in tests, which pull by themselves.
        plain: the terminal's own colours only; by default where NO_COLOR is set.
        host: where the console is shown; None in tests.
        session_id: its row in the store's sessions.
        ahead: make the other tabs once the first is painted, so that they show at once when they are asked for.
    """

    TITLE = "Syncline"
    CSS_PATH = "screens/frame.tcss"
    ENABLE_COMMAND_PALETTE = True
    COMMAND_PALETTE_BINDING = "ctrl+p"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {Everything}
    BINDINGS: ClassVar[list[BindingType]] = []
    DEFAULT_MODE = keys.POLICIES
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {
        keys.POLICIES: PoliciesScreen,
        keys.QUEUE: QueueScreen,
        keys.MONITORS: MonitorsScreen,
        keys.SCHEDULER: SchedulerScreen,
    }

    def __init__(
        self,
        engine: Engine,
        who: Actor,
        *,
        zone: tzinfo = UTC,
        ascii: bool = False,
        theme: str = DARK,
        pull_seconds: float | None = PULL_SECONDS,
        plain: bool | None = None,
        host: Host | None = None,
        session_id: str = "",
        ahead: bool = False,
    ) -> None:
        if plain is None:
            plain = "NO_COLOR" in os.environ
        super().__init__()
        if plain:
            # Textual chooses the filter before our theme is on: Monochrome makes the terminal's own colours black on
            # black (8.2.8), where NoColor leaves them to the terminal.
            self._filters = [each for each in self._filters if not isinstance(each, Monochrome)] + [NoColor()]
            self.no_color = True
        self.engine = engine
        self.by = who
        self.pull_seconds = pull_seconds
        self.host = host
        self.session_id = session_id
        self._ahead = ahead
        chosen = PLAIN if plain else theme
        self.view = View(
            who=self.by.name, zone=zone, ascii=ascii, palette=PALETTES[chosen], now_ms=engine.clock.now_ms()
        )
        #: The update of the theme that the style sheets are read for (Textual's count).
        self.styled = self._css_update_count
        self._said: tuple[str, str, int] = ("", "text", 0)
        self._tasks: set[asyncio.Task[Any]] = set()
        # A traceback of Textual shows local variables, and those may hold secrets.
        self.error_console = Console(file=io.StringIO())
        for each in THEMES:
            self.register_theme(each)
        self._chosen_theme = chosen
        if chosen != PLAIN:  # at once, so that styles are parsed once; the plain theme changes filters, later
            self.set_reactive(SynclineApp.theme, chosen)
            self.stylesheet.set_variables(self.get_css_variables())
        self.set_class(ascii, "-ascii")
        # Two widgets of each screen that show nothing here.
        self._disable_tooltips = self._disable_notifications = True

    def on_mount(self) -> None:
        """Put the theme on, and repaint when it changes."""
        self.theme = self._chosen_theme
        self.theme_changed_signal.subscribe(self, lambda theme: self.take_theme(theme.name))
        if self.host is not None and self.host.greeting():
            self.say(self.host.greeting())

    def on_ready(self) -> None:
        """The first tab is painted: make the others."""
        if self._ahead:
            self.set_timer(AHEAD_SECONDS, self._make_tab)

    def _make_tab(self) -> None:
        """Make the next tab that nobody has opened yet: 50 to 80 ms of CPU that its first opening does not take."""
        pane = next((pane for pane in self.MODES if pane not in self._screen_stacks), None)
        if pane is None or self._exit:
            return
        self._init_mode(pane)
        screen = self._screen_stacks[pane][0]
        assert isinstance(screen, Frame)
        screen.ahead = True
        self.set_timer(AHEAD_SECONDS, self._make_tab)

    _leaving = 0

    def exit(self, result: None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """Leave, once what is being made now is made: Textual (8.2.8) mounts nothing from here on, and calls that a fault."""
        screens = [each for each in self._registry if isinstance(each, Screen)]
        made = self._is_mounted and all(each.is_mounted for each in screens)
        if self._exception is None and not made and self._leaving < MADE_TRIES:
            self._leaving += 1
            with self._context():  # the connection that is lost knows of no app, and timers ask for theirs
                self.set_timer(MADE_SECONDS, partial(self.exit, result, return_code, message))
        else:
            super().exit(result, return_code, message)

    async def _check_bindings(self, key: str, priority: bool = False) -> bool:
        """A key that comes before a tab has its first rows waits for them; one after that with which an admin leaves is late."""
        if self._exit:
            return True
        if not priority and isinstance(self.screen, Frame):
            await self.screen.whole()
        return await super()._check_bindings(key, priority)

    def delay_update(self, delay: float = 0.05) -> None:
        """Textual holds all frames back for so long when another tab is shown. A ``Frame`` is painted when it is whole."""
        if not isinstance(self.screen, Frame):
            super().delay_update(delay)

    def get_theme_variable_defaults(self) -> dict[str, str]:
        """Our own colour names, for the moment before a theme is on."""
        return dict(THEMES[0].variables)

    def refresh_css(self, animate: bool = True) -> None:
        """Read the style sheets for the theme that is on now."""
        super().refresh_css(animate)
        self.styled = self._css_update_count

    def take_theme(self, name: str) -> None:
        """Use a theme's styles for what we paint ourselves."""
        self.view.palette = PALETTES.get(name, PALETTES[DARK])
        for screen in self.screen_stack:
            screen.refresh(layout=True)
            for widget in screen.query("*"):
                widget.refresh()

    # Messages

    def next_pull(self) -> float | None:
        """Seconds until screens look at the store again; None in tests."""
        if self.pull_seconds is None or self.host is None:
            return self.pull_seconds
        return self.host.pull_seconds()

    def tell(self, text: str) -> None:
        """Say something that no key has asked for, at once."""
        self.say(text, "alert")
        if isinstance(self.screen, Frame):
            self.screen.pull()

    def say(self, text: str, role: str = "text") -> None:
        """Put a text on the message line for a while."""
        self._said = (text, role, self.engine.clock.now_ms())

    def message(self) -> tuple[str, str]:
        """What the message line shows now: the answer to the last key, else the newest incident."""
        text, role, at_ms = self._said
        row = self.engine.store.engine
        now = self.view.now_ms
        newer = bool(row.message) and not row.message_ok and row.message_ms > at_ms
        if text and now - at_ms < SAID_MS and not newer:
            return text, role
        if row.fault:
            return row.fault, "fault"
        if not row.message or (row.message_ok and now - row.message_ms > TOLD_MS):
            return "", "text"
        told = f"{form.at(row.message_ms, self.view.zone)} {row.message}" if row.message_ms else row.message
        return told, "text" if row.message_ok else "fault"

    # Tabs and screens

    def show_tab(self, pane: str) -> None:
        """Show a tab; a drill-down of that tab is closed, unless something in it is not saved."""
        if self.current_mode != pane:
            self.switch_mode(pane)
        while len(self.screen_stack) > 1:
            unsaved = self.screen.unsaved() if isinstance(self.screen, Frame) else ""
            if unsaved:
                self.screen.say(f"Not saved: {unsaved}. ctrl+s saves, esc leaves it.", "alert")  # type: ignore[attr-defined]
                return
            self.pop_screen()

    def open_policy(self, policy: str) -> None:
        """Open a policy's page."""
        if not isinstance(self.screen, PolicyScreen) or self.screen.policy != policy:
            self.push_screen(PolicyScreen(policy))

    def open_user(self, mailbox: str) -> None:
        """Open a user's page."""
        self.push_screen(UserScreen(mailbox))

    def open_held(self, mailbox: str) -> None:
        """Open what waits for an admin in a mailbox."""
        self.push_screen(HeldScreen(mailbox))

    def open_all_held(self, filtered: str = "", policy: str | None = None) -> None:
        """Open what waits for an admin in all mailboxes, or in those of a policy."""
        self.push_screen(HeldScreen(None, policy, filtered))

    def open_history(self, mailbox: str) -> None:
        """Open the cycles of a mailbox that did something."""
        self.push_screen(HistoryScreen(mailbox))

    def action_incidents(self) -> None:
        """Open what is wrong, in the whole engine."""
        self.push_screen(IncidentsScreen())

    def action_operators(self) -> None:
        """Open the users of all policies as operators."""
        self.push_screen(OperatorsScreen())

    def open_why(self, mailbox: str) -> None:
        """Open why a mailbox does not run, and what of it does not cross over."""
        self.push_screen(WhyScreen(mailbox))

    def open_explained(self, query: str, mailbox: str | None) -> None:
        """Explain the item that fits; several that fit are listed to choose from."""

        def came(found: Explanation) -> None:
            if found.item is not None:
                self.push_screen(ExplainScreen(found.item))
            elif found.hits:
                self.push_screen(WhyScreen(mailbox, found))
            else:
                self.say(f"{found.note[:1].upper()}{found.note[1:]}.", "alert")

        self.fetch_explanation(query, mailbox, came)

    def ask_item(self, mailbox: str | None) -> None:
        """Ask which item to explain."""
        where = f" of {mailbox}" if mailbox is not None else ""
        text = f"Which item{where}? Its number (#12), its id at a provider, an e-mail address, or words of its name."
        asked = Ask(self.view, "Explain an item", text, "#12 or words of its name", "find")
        self.push_screen(asked, lambda query: self.open_explained(query, mailbox) if query else None)

    def open_preview(self, policy: str, mailbox: str = "") -> None:
        """Open the preview of a policy, or of one of its mailboxes."""
        self.push_screen(PreviewScreen(policy, mailbox))

    def open_checklist(self, policy: str) -> None:
        """Open the checklist of a policy's first sync, or go back to it where it is open below."""
        for below in self.screen_stack:
            if isinstance(below, ChecklistScreen) and below.policy == policy:
                while self.screen is not below:
                    self.pop_screen()
                return
        self.push_screen(ChecklistScreen(policy))

    def open_preview_rows(self, policy: str, mailbox: str, module: str) -> None:
        """Open the rows of a mailbox's preview, of one module."""
        self.push_screen(PreviewRowsScreen(policy, mailbox, module))

    def open_filed(self, mailbox: str) -> None:
        """Open the filed mails of a mailbox."""
        self.push_screen(FiledScreen(mailbox))

    def open_conflicts(self, *, mailbox: str | None = None, policy: str | None = None) -> None:
        """Open the conflict inbox of a mailbox, or of all mailboxes of a policy."""
        screen = ConflictsScreen if mailbox is not None else PolicyConflictsScreen
        self.push_screen(screen(mailbox=mailbox, policy=policy))

    # Commands: sent in an empty context, so that nothing the engine starts belongs to this app

    def ask(self, commands: Sequence[Command], confirm: Sequence[str], typed: str, title: str) -> None:
        """Send commands, after a confirmation when there is something to confirm."""
        refused = next((why for command in commands if (why := refusal(self.by, type(command)))), "")
        if refused:
            self.say(refused, "alert")
            return
        if not confirm:
            self._send(commands)
            return

        def answered(yes: bool | None) -> None:
            if yes:
                self._send(commands)
            else:
                self.say("Nothing was changed.")

        self.push_screen(Confirm(self.view, title, confirm, typed), answered)

    def _send(self, commands: Sequence[Command]) -> None:
        async def all_of_them() -> list[Answer]:
            return [await self.engine.do(command, by=self.by) for command in commands]

        self._outside(all_of_them(), lambda answers: self._answered(commands, answers))

    def _answered(self, commands: Sequence[Command], answers: Sequence[Answer]) -> None:
        refused = [answer for answer in answers if not answer.ok]
        telling = (refused or list(answers))[-1]
        more = f" (and {len(answers) - 1:,} more)" if len(answers) > 1 else ""
        self.say(telling.text + more, "fault" if refused else "text")
        details = [text for answer in answers for text in answer.details]
        command = commands[-1]
        if isinstance(command, SettleHeld) and isinstance(self.screen, HeldScreen):
            self.screen.refresh_rows()
        if isinstance(self.screen, PreviewScreen):
            self.screen.refresh_report()
        if isinstance(command, DecideConflict) and isinstance(self.screen, ConflictsScreen):
            self.screen.refresh_rows()
        if isinstance(self.screen, HistoryScreen | ConnectionsScreen):
            self.screen.refresh_rows()
        if isinstance(self.screen, ChecklistScreen):
            self.screen.refresh_list()  # which has the details of a test, line by line
        if isinstance(command, EnablePolicy) and not refused:
            self.show_tab(keys.QUEUE)
        elif isinstance(command, VerifyPolicy) and isinstance(self.screen, PolicyScreen):
            self.screen.refresh_report()
        elif details and not isinstance(self.screen, ChecklistScreen):
            self.push_screen(Report(self.view, telling.text, details))
        if isinstance(self.screen, Frame):
            self.screen.pull()

    def _outside(self, work: Coroutine[Any, Any, T], then: Callable[[T], None]) -> None:
        """Run something of the engine outside of this app, and come back with its result."""
        task = asyncio.get_running_loop().create_task(work, context=Context())
        self._tasks.add(task)

        def done(ended: asyncio.Task[T]) -> None:
            self._tasks.discard(ended)
            if ended.cancelled() or not self.is_running:
                return
            fault = ended.exception()
            if fault is None:
                self.call_later(then, ended.result())
            elif isinstance(fault, ServiceError | LedgerFault):
                self.call_later(self.say, str(fault), "fault")
            else:
                self.call_later(
                    self.say, f"The engine could not do it ({type(fault).__name__}). The sync goes on.", "fault"
                )

        task.add_done_callback(done)

    # What is read from disk

    def fetch(self, work: Coroutine[Any, Any, T], then: Callable[[T], None]) -> None:
        """Read something of the engine, and come back with it."""
        self._outside(work, then)

    def fetch_older(self, panel: LogPanel, before_seq: int | None) -> None:
        """Older lines for a panel."""

        def came(lines: list[Line]) -> None:
            if alive(panel):
                panel.add_older(lines)

        self._outside(self.engine.lines(panel.mailbox, before_seq), came)

    def fetch_runs(
        self, job: str, rev: int, limit: int, then: Callable[[str, int, list[RunRow]], None]
    ) -> None:
        """Past runs of a job."""
        self._outside(self.engine.runs(job, limit), lambda runs: then(job, rev, runs))

    def fetch_report(self, policy: str, then: Callable[[list[VerifyRow]], None]) -> None:
        """The last verification of a policy."""
        self._outside(self.engine.verify_report(policy), then)

    def fetch_explanation(self, query: str, mailbox: str | None, then: Callable[[Explanation], None]) -> None:
        """What is known of an item."""
        self._outside(self.engine.explain(query, mailbox, self.view.zone), then)

    def fetch_filtered(self, mailbox: str, after: int, then: Callable[[Filtered], None]) -> None:
        """A page of what does not cross over."""
        self._outside(self.engine.filtered(mailbox, after=after), then)

    def fetch_preview(self, policy: str, mailbox: str, then: Callable[[PreviewReport], None]) -> None:
        """The sums of a preview."""
        self._outside(self.engine.preview_report(policy, mailbox or None), then)

    def fetch_preview_rows(
        self, policy: str, mailbox: str, module: str, after: int, then: Callable[[list[PreviewRow]], None]
    ) -> None:
        """A page of the rows of a preview."""
        self._outside(self.engine.preview_rows(policy, mailbox, module=module, after=after), then)

    def fetch_filed(self, mailbox: str, then: Callable[[list[FiledRow]], None]) -> None:
        """Mails of a mailbox that were filed or not."""
        self._outside(self.engine.filed(mailbox), then)

    def fetch_conflicts(
        self, mailbox: str | None, policy: str | None, then: Callable[[list[ConflictRow]], None]
    ) -> None:
        """Fields that wait for an admin in a mailbox, or in all mailboxes of a policy."""
        self._outside(self.engine.conflicts(mailbox, policy), then)

    # Keys everywhere

    async def run_action(
        self,
        action: str | ActionParseResult,
        default_namespace: DOMNode | None = None,
        namespaces: Mapping[str, DOMNode] | None = None,
    ) -> bool:
        """Run what a key names; one that does nothing now says why."""
        pane = default_namespace or self.screen
        if isinstance(pane, Frame) and isinstance(action, str):
            reason = pane.why_not(action.partition("(")[0])
            if reason:
                pane.say(reason, "alert")
                pane.paint_now()
                return True
        done = await super().run_action(action, default_namespace, namespaces)
        if isinstance(pane, Frame):
            pane.paint_now()
        return done

    def action_keys(self) -> None:
        """Help for the pane."""
        if isinstance(self.screen, Frame):
            self.push_screen(Help(self.view, self.screen.PANE, self.screen.why_not))

    def action_times(self) -> None:
        """Relative or absolute times."""
        self.view.relative = not self.view.relative
        self.say(
            "Times are relative now."
            if self.view.relative
            else f"Times are absolute now, zone {self.view.zone}."
        )
        if isinstance(self.screen, Frame):
            self.screen.repaint()

    def action_leave(self) -> None:
        """Leave the console; the engine goes on."""
        leaving.leave(self)

    def action_stop_engine(self) -> None:
        """Stop the engine, after a word was typed."""
        leaving.stop_engine(self)

    def action_audit(self) -> None:
        """Open the audit log."""
        if not isinstance(self.screen, AuditScreen):
            self.push_screen(AuditScreen())

    def action_attached(self) -> None:
        """Who is attached."""
        leaving.show_attached(self)

    async def action_quit(self) -> None:
        """Ctrl+q is the same as q."""
        self.action_leave()

    def action_help_quit(self) -> None:
        """Ctrl+c says how to leave."""
        self.say("q leaves the console, and the sync goes on; Q stops the engine; y copies the row.")

    @property
    def crash(self) -> BaseException | None:
        """What ended the app, if it was a fault of ours; for a log, without the values of local variables."""
        return self._exception

    def stop_engine(self) -> None:
        """Stop the engine at its next page; it ends this console when it has stopped."""
        self.say("The engine stops after the page it is on.", "alert")
        self._outside(self.engine.stop(self.by), self._stopping)

    def _stopping(self, answer: Answer) -> None:
        if not answer.ok:
            self.say(answer.text, "fault")
        elif self.host is None:
            self.exit()
