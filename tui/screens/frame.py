"""What all screens have in common: header, message line, keys, the pull, and how commands are sent."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, cast

from textual import events
from textual._context import active_app
from textual.app import ComposeResult
from textual.geometry import Size
from textual.screen import Screen
from textual.timer import Timer
from textual.widget import Widget

from engine.service import Command, Store, Subscription, Table
from tui import keys
from tui.paint import line
from tui.port import Engine
from tui.screens.alive import alive
from tui.view import View
from tui.widgets.footer import KeyLine, MessageLine
from tui.widgets.header import Header
from tui.widgets.lines import LineView

if TYPE_CHECKING:
    from tui.app import SynclineApp

#: The smallest terminal.
LEAST = (80, 24)

#: A key waits no longer than so many seconds for the screen that it is meant for.
WHOLE_SECONDS = 1.0


class Frame(Screen[None]):
    """A screen that pulls from the store while it is shown, and not otherwise.

    Subclasses name their pane in the key table, the tab they belong to and the tables they listen to, build their
    body and paint it.
    """

    AUTO_FOCUS = ""
    HORIZONTAL_BREAKPOINTS = [  # noqa: RUF012 - as Textual declares it
        (0, "-tiny"),
        (LEAST[0], "-narrow"),
        (120, "-wide"),
    ]
    VERTICAL_BREAKPOINTS = [(0, "-flat"), (LEAST[1], "-tall")]  # noqa: RUF012

    #: Whether the tab, made before it is shown, also paints before: where all that it shows is in the store.
    PAINTS_AHEAD: ClassVar[bool] = False

    PANE: ClassVar[str] = ""
    TAB: ClassVar[str] = ""
    LISTENS: ClassVar[tuple[Table, ...]] = ()

    def __init__(self) -> None:
        app = cast("SynclineApp", active_app.get())
        # Textual sets the classes of the size when it tells the size, and styles and lays out all widgets once more.
        super().__init__(classes=" ".join(self._classes_of(app.size)))
        self._subscription: Subscription | None = None
        self._pulling: Timer | None = None
        self.shown = False
        #: Made before anybody asked for it, and not yet done with it.
        self.ahead = False
        self.frozen = False
        self._due = ""
        #: Nothing is sent to the terminal yet: the frame that is sent first is the one that shows what it is to show.
        self._held_back = True
        self._first = asyncio.Event()
        # Textual (8.2.8) reads all style sheets anew, twice, when a mode is shown for the first time, because a new
        # screen knows of no update: 60 to 90 ms of the loop. Where the style sheets are up to date, so is this screen.
        if app.styled == app._css_update_count:
            self._css_update_count = app.styled

    def _classes_of(self, size: Size) -> set[str]:
        """The classes by which the style sheets know a terminal of this size."""
        width, height = size
        narrow = self._get_breakpoint_classes(width, self.HORIZONTAL_BREAKPOINTS)
        return narrow | self._get_breakpoint_classes(height, self.VERTICAL_BREAKPOINTS)

    def on_key(self, event: events.Key) -> None:
        """A key that means nothing here says so; what it was meant for is in the help."""
        if event.is_printable and not keys.known(self.PANE).intersection(event.aliases):
            self.say(f"{event.character} does nothing here; ? lists the keys.")

    @property
    def console(self) -> SynclineApp:
        """The app."""
        return cast("SynclineApp", self.app)

    @property
    def view(self) -> View:
        """The admin's view."""
        return self.console.view

    @property
    def engine(self) -> Engine:
        """The façade."""
        return self.console.engine

    @property
    def store(self) -> Store:
        """The rows."""
        return self.console.engine.store

    # Build

    def compose(self) -> ComposeResult:
        """The frame around the body."""
        yield Header(self.view, id="header")
        yield from self.body()
        yield MessageLine(self.view, id="message")
        yield KeyLine(self.view, self.PANE)
        yield LineView(self.view, id="too-small")

    def body(self) -> ComposeResult:
        """The widgets between header and message line."""
        raise NotImplementedError

    def path(self) -> str:
        """Where a drill-down stands; "" on a tab."""
        return ""

    # Pull

    def on_mount(self) -> None:
        """Mounted; subclasses read what they show."""

    def on_screen_resume(self, event: events.ScreenResume) -> None:
        """Shown: listen, and paint what has changed; everything when nothing was heard while hidden."""
        # Textual styles all widgets anew whenever a screen is shown. They have their styles already.
        event.refresh_styles = self._css_update_count != self.app._css_update_count
        self.shown = True
        if self._subscription is None:
            self._subscription = self.store.subscribe(Table.ENGINE, *self.LISTENS)
        if self._pulling is None:
            self._pull_later()
        self._soon(whole=False)

    def _pull_later(self) -> None:
        seconds = self.console.next_pull()
        self._pulling = None if seconds is None else self.set_timer(seconds, self._pull_again)

    def _pull_again(self) -> None:
        self.pull()
        if self._held_back and self.shown and self.settled:
            self._paint_first()  # whatever went wrong: no screen stays dark
        self._pull_later()

    def on_screen_suspend(self) -> None:
        """Hidden: cost nothing. A tab still hears which rows change (up to a bound), so that it soon shows them."""
        self.shown = False
        self._held_back = True
        self._first.clear()
        if self._pulling is not None:
            self._pulling.stop()
            self._pulling = None
        if self.PANE != self.TAB:
            self._hear_no_more()

    def on_unmount(self) -> None:
        """Gone: cost nothing."""
        self.on_screen_suspend()
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        if self._subscription is not None:
            self._subscription.close()
            self._subscription = None

    def on_resize(self) -> None:
        """Widths changed: paint everything."""
        width, height = self.app.size
        notice = self.query_one("#too-small", LineView)
        notice.show([line(f"needs {LEAST[0]}x{LEAST[1]}, has {width}x{height}")])
        self._soon(whole=True)

    @property
    def settled(self) -> bool:
        """Whether all is painted that is to be painted."""
        return not self._due

    def _soon(self, whole: bool) -> None:
        """Paint once the layout is known; what asks several times until then is answered once."""
        if not self._due:
            self.call_after_refresh(self._paint_due)
        self._due = "all" if whole or self._due == "all" else "changes"

    def _paint_due(self) -> None:
        if self.ahead and not self.is_current:
            if self._layout_required:  # Textual does so for the screen that is shown only
                self._layout_required = False
                self._refresh_layout(self.app.size)
                self.call_after_refresh(self._paint_due)
                return
            self.ahead = False
            self._due = ""
            if self.PAINTS_AHEAD:
                self.repaint()
            self.on_screen_suspend()
            return
        self.ahead = False
        due, self._due = self._due, ""
        if due == "all":
            self.repaint()
        else:
            self.pull()
        if self._held_back and self.shown:
            self._paint_first()

    def _paint_first(self) -> None:
        """Send the whole screen, once: what its widgets have told to be painted meanwhile is in it."""
        self._held_back = False
        self._first.set()
        self.refresh()
        if not self._layout_required:
            for each in self.walk_children(Widget):
                each._exchange_repaint_regions()
            self._on_timer_update()

    def _compositor_refresh(self) -> None:
        """Send what is to be painted. Textual does so for a screen as it was, and then as it is laid out, and filled."""
        if not (self._held_back and self.is_current):
            super()._compositor_refresh()

    async def whole(self) -> None:
        """Wait until the screen shows what it is to show, but no longer than ``WHOLE_SECONDS``.

        Who types ahead means the rows that he will see, and must not be told that there are none.
        """
        with suppress(TimeoutError):
            async with asyncio.timeout(WHOLE_SECONDS):
                await self._first.wait()

    def pull(self) -> None:
        """Take over what changed in the store since the last pull, and paint it."""
        if self._subscription is None or not self.shown or not alive(self):
            return
        self.view.now_ms = self.engine.clock.now_ms()
        self._frame()
        if not self.frozen:
            self.paint({table: self._subscription.take(table) for table in self.LISTENS})

    def paint_now(self) -> None:
        """Send what a key has changed to the terminal at once.

        Textual takes five turns of the loop and waits for its frame timer before it does. The engine works in every
        one of these turns, and a key would wait for all of them. What needs a new layout takes Textual's way.
        """
        if not self.shown or not self.is_current or self.app._batch_count or self._layout_required:
            return
        changed: set[Widget] = {each for each in self.walk_children(LineView) if each._repaint_required}
        if changed and not any(each._layout_required for each in changed):
            self._compositor.update_widgets(changed)
            self._compositor_refresh()

    def repaint(self) -> None:
        """Paint everything now."""
        if self._subscription is None or not self.shown or not alive(self):
            return
        self.view.now_ms = self.engine.clock.now_ms()
        self._frame()
        for table in self.LISTENS:
            self._subscription.take(table)
        self.paint(dict.fromkeys(self.LISTENS))

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Paint the body: ids that changed by table, None for "everything may have"."""
        raise NotImplementedError

    def _frame(self) -> None:
        others = max(0, len(self.store.sessions) - 1)
        self.query_one(Header).pull(self.store.engine, self.TAB, self.path(), self._badge(), others)
        self.query_one(MessageLine).say(*self.console.message())

    def _badge(self) -> str:
        """That the view is frozen, and how much has changed below it."""
        if not self.frozen or self._subscription is None:
            return ""
        changed = [self._subscription.pending(table) for table in self.LISTENS]
        number = None if None in changed else sum(each or 0 for each in changed)
        return f"FROZEN, {'much' if number is None else f'{number:,}'} changed"

    # Say and send

    def say(self, text: str, role: str = "text") -> None:
        """Show the answer to a key at once."""
        self.console.say(text, role)
        self.query_one(MessageLine).say(text, role)

    def send(self, *commands: Command, confirm: Sequence[str] = (), typed: str = "", title: str = "") -> None:
        """Send commands, after a confirmation when ``confirm`` has lines to tell."""
        if not commands:
            self.say("There is no row to act on.")
            return
        self.console.ask(commands, confirm, typed, title)

    # Keys that do nothing now

    def why_not(self, action: str) -> str:
        """Why a key of this pane does nothing now, in a sentence; "" when it does something.

        ``?`` shows the key with this reason, and pressing it says the reason.
        """
        return ""

    def unsaved(self) -> str:
        """What an admin has changed here and would lose by leaving; "" when there is nothing."""
        return ""

    def save(self, then: Callable[[bool], None]) -> None:
        """Save what is not saved, and tell whether it was; where it was not, the screen says why."""
        then(True)

    # Keys that all panes have

    def action_tab(self, pane: str) -> None:
        """Show a tab."""
        self.console.show_tab(pane)

    def action_back(self) -> None:
        """Close this screen if it is not a tab."""
        if self.TAB != self.PANE:
            self.app.pop_screen()

    def action_freeze(self) -> None:
        """Freeze or thaw."""
        self.frozen = not self.frozen
        if self.frozen:
            self.say("Frozen: the view stays as it is, the engine goes on. z lets it live again.")
        else:
            self.say("Live again.")
            self.repaint()

    def action_move(self, how: str) -> None:
        """Move in the pane; overridden where there is something to move in."""

    def action_copy(self) -> None:
        """Copy what is under the cursor."""
        text = self.copied()
        if text:
            self.app.copy_to_clipboard(text)
            self.say(f"Copied: {text}".replace("\t", " "))
        else:
            self.say("There is nothing to copy here.")

    def copied(self) -> str:
        """What the copy key takes."""
        return ""
