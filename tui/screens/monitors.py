"""The Activity Monitors tab: one streaming panel per ticked user."""

from __future__ import annotations

from collections import Counter
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal

from engine.service import Table, UserRow
from tui import format as form
from tui import keys, signs
from tui.paint import TextLine, fit_name, line
from tui.screens.alive import alive
from tui.screens.frame import Frame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.log_panel import LogPanel

#: Panels that are easy to follow; more are allowed, with a word of warning.
ADVISED = 5

#: Panels that are ever built at once: each costs painting four times a second.
MOST = 24

#: Rows of a panel that can still be read: frame, state, progress, two lines.
_LEAST_ROWS = 6


#: Keys that act on a panel.
_OF_PANEL = frozenset(
    [
        "open",
        "filed",
        "follow",
        "level",
        "wrap",
        "clear",
        "fault",
        "match",
        "filter",
        "copy",
        "why",
        "pane",
        "mark",
        "mark_all",
    ]
)


class MonitorsScreen(Frame):
    """Panels of ticked users; without a tick, of those that start."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.MONITORS)
    PANE = TAB = keys.MONITORS
    LISTENS = (Table.USERS, Table.LINES)

    def __init__(self) -> None:
        super().__init__()
        self._panels: dict[str, LogPanel] = {}
        self._active = ""  # mailbox of the panel that has the keys; "" is the list of users
        self._cursor = ""
        self._active_users: list[str] = []
        self._running_ids: set[str] = set()

    def body(self) -> ComposeResult:
        """List of users, panels, hint."""
        with Horizontal(id="body"):
            yield LineView(self.view, id="ticks", classes="panel")
            yield Container(id="panels")
            yield LineView(self.view, id="nobody")
        yield FilterBar(self.view, word="find", hint="text to find in the panel")

    # Which panels

    def _at_work(self, dirty: set[str] | None) -> list[UserRow]:
        """Users that run now; only those that changed are looked at, for there may be thousands."""
        users = self.store.users
        if dirty is None:
            self._running_ids = {key for key, row in users.items() if row.state in signs.ACTIVE}
        else:
            for key in dirty:
                if key in users and users[key].state in signs.ACTIVE:
                    self._running_ids.add(key)
                else:
                    self._running_ids.discard(key)
        rows = [users[key] for key in self._running_ids]
        rows.sort(key=lambda row: (signs.URGENCY[row.state], row.started_ms or 0, row.id))
        return rows

    def _wanted(self) -> list[str]:
        view, users = self.view, self.store.users
        active = self._active_users
        if view.view_all:
            return (active + [key for key in view.ticked if key not in active and key in users])[:MOST]
        view.ticked = [key for key in view.ticked if key in users]
        if view.automatic:
            self._tick_starters(active)
        return view.ticked[:MOST]

    def _tick_starters(self, active: list[str]) -> None:
        """Open a panel for users that start; one that has ended gives way, one that runs never does."""
        ticked = self.view.ticked
        for key in active:
            if key in ticked:
                continue
            if len(ticked) >= self._room():
                ended = next((each for each in ticked if each not in active), None)
                if ended is None:
                    break
                ticked.remove(ended)
            ticked.append(key)

    def _room(self) -> int:
        """Panels that open by themselves: as many as are readable at this height, at most the advised number."""
        if self.size.width >= 120:
            return ADVISED - 1
        return max(1, min(ADVISED, (self.size.height - 6) // _LEAST_ROWS))

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Panels whose user or lines changed."""
        users, lines = dirty[Table.USERS], dirty[Table.LINES]
        self._active_users = [row.id for row in self._at_work(users)]
        fresh = self._arrange(self._wanted())
        for key, panel in self._panels.items():
            if fresh or users is None or lines is None or key in users or key in lines:
                panel.pull()
        self._paint_ticks()
        self._paint_hint()

    def _arrange(self, wanted: list[str]) -> bool:
        """Build and remove panels; True when something changed."""
        area = self.query_one("#panels", Container)
        nobody = self.query_one("#nobody", LineView)
        nobody.display = not wanted
        area.display = bool(wanted)
        if not wanted:
            nobody.show(
                [
                    line(),
                    line(
                        (" Nobody is syncing. Tick users in Queue with m, or v shows all that start.", "quiet")
                    ),
                ]
            )
        if list(self._panels) == wanted:
            return False
        for key in [key for key in self._panels if key not in wanted]:
            self._panels.pop(key).remove()
        for key in wanted:
            if key not in self._panels:
                self._panels[key] = LogPanel(self.view, self.store, key)
                area.mount(self._panels[key])
        self._panels = {key: self._panels[key] for key in wanted}
        area.set_class(len(wanted) < 2, "-single")
        self._set_heights()
        if self._active not in self._panels:
            self._activate(wanted[0] if wanted else "")
        self.call_after_refresh(self._pull_panels)
        return True

    def _set_heights(self) -> None:
        """Panels share the height while all are readable; then they scroll."""
        area = self.query_one("#panels", Container)
        columns = 2 if self.size.width >= 120 and len(self._panels) > 1 else 1
        rows = -(-len(self._panels) // columns)
        fits = rows * _LEAST_ROWS <= self.size.height - 6
        area.styles.grid_rows = "1fr" if fits or area.has_class("-zoomed") else str(_LEAST_ROWS + 1)

    def _pull_panels(self) -> None:
        for panel in self._panels.values():
            panel.pull()

    def _activate(self, key: str) -> None:
        self._active = key
        for each, panel in self._panels.items():
            panel.set_class(each == key, "-active")
            if each == key and alive(panel):
                panel.scroll_visible(animate=False)
        self.query_one("#ticks").set_class(not key, "-active")

    # List of users and hint

    def _listed(self) -> list[str]:
        rest = [key for key in self._panels if key not in self._active_users]
        return self._active_users + rest

    def _paint_ticks(self) -> None:
        panel = self.query_one("#ticks", LineView)
        if not panel.display:
            return
        listed = self._listed()
        if self._cursor not in listed:
            self._cursor = listed[0] if listed else ""
        at = listed.index(self._cursor) if listed else 0
        room = max(1, panel.size.height)
        top = max(0, min(at - room // 2, len(listed) - room))
        panel.title(f"Users ({len(self._active_users)} active)", "space tick")
        if listed:
            alike = Counter(key.partition("@")[0] for key in listed)
            shown = listed[top : top + room]
            panel.show([self._tick(key, alike[key.partition("@")[0]] > 1) for key in shown])
        else:
            panel.show([line((" nobody runs now", "quiet"))])

    def _tick(self, key: str, alike: bool) -> TextLine:
        """A user by what stands before the @, unless another one in the list has the same there."""
        row = self.store.users[key]
        sign = signs.USER[row.state]
        box = "[x]" if key in self._panels else "[ ]"
        here = key == self._cursor
        part = "" if row.state not in signs.ACTIVE else form.percent(form.share(row.done, row.total))
        return line(
            ("►" if here else " ", "mark"),
            f"{box} ",
            (sign.sign, sign.role),
            f" {fit_name(key if alike else key.partition('@')[0], 16)} {part:>4}",
            base="cursor" if here and not self._active else "",
        )

    def _paint_hint(self) -> None:
        shown, active = len(self._panels), len(self._active_users)
        text = f"{active:,} active, {shown:,} shown"
        role = "quiet"
        if shown > ADVISED:
            text += f"; {ADVISED} or fewer are easier to follow"
            role = "alert"
            if self.view.view_all and active > MOST:
                text += f", and more than {MOST} are not built"
        elif self.view.automatic:
            text += ", ticked by themselves"
        if self.frozen:
            text += "   FROZEN"
        mode = "view all" if self.view.view_all else "ticked"
        panel = self._panel()
        self.query_one(FilterBar).show(panel.find if panel else "", "", [(f"{text}   v: {mode}", role)])

    # Keys

    def _panel(self) -> LogPanel | None:
        return self._panels.get(self._active)

    def why_not(self, action: str) -> str:
        """Keys of a panel do nothing where there is none."""
        if action in _OF_PANEL and not self.query(LogPanel):
            return "No monitor is open. Tick users in Queue with m, or v shows all that run."
        return super().why_not(action)

    def on_resize(self) -> None:
        """Other heights."""
        super().on_resize()
        self._set_heights()

    def on_log_panel_wanted(self, event: LogPanel.Wanted) -> None:
        """A click chooses the panel."""
        self._activate(event.panel.mailbox)

    def on_log_panel_older_wanted(self, event: LogPanel.OlderWanted) -> None:
        """Older lines come from disk."""
        self.console.fetch_older(event.panel, event.before_seq)

    def action_pane(self, step: int) -> None:
        """Next panel; the list of users is one of them where it is shown."""
        ring = list(self._panels)
        if self.query_one("#ticks").display:
            ring = ["", *ring]
        if ring:
            at = ring.index(self._active) if self._active in ring else 0
            self._activate(ring[(at + step) % len(ring)])
            self._paint_ticks()

    def action_move(self, how: str) -> None:
        """Scroll the panel, or move in the list."""
        panel = self._panel()
        if panel is None:
            listed = self._listed()
            if listed:
                steps = {"up": -1, "down": 1, "home": -len(listed), "end": len(listed)}
                at = listed.index(self._cursor) if self._cursor in listed else 0
                at += steps.get(how, 10 if how == "page_down" else -10)
                self._cursor = listed[max(0, min(at, len(listed) - 1))]
                self._paint_ticks()
            return
        by = {
            "up": -1,
            "down": 1,
            "page_up": -panel.page,
            "page_down": panel.page,
            "home": -1 << 30,
            "end": 1 << 30,
        }
        panel.scroll(by[how])

    def action_open(self) -> None:
        """Zoom."""
        if self._active:
            area = self.query_one("#panels")
            area.toggle_class("-zoomed")
            self._set_heights()
            self.call_after_refresh(self._pull_panels)

    def action_why(self) -> None:
        """Tell why the user does not run now."""
        key = self._active or self._cursor
        if key in self.store.users:
            self.console.open_why(key)

    def action_filed(self) -> None:
        """List the filed mails of the panel's user."""
        key = self._active or self._cursor
        if key in self.store.users:
            self.console.open_filed(key)
        else:
            self.say("Nobody is under the cursor. Tick users in Queue with m.")

    def action_mark(self) -> None:
        """Tick the user under the cursor, or close the panel."""
        key = self._active or self._cursor
        if not key:
            self.say("Nobody is under the cursor. Tick users in Queue with m.")
            return
        view = self.view
        view.automatic = view.view_all = False
        view.ticked = [each for each in self._panels if each != key]
        if key not in self._panels:
            view.ticked.append(key)
        self.repaint()

    def action_mark_all(self, on: bool) -> None:
        """Tick all that run, or none."""
        self.view.automatic = self.view.view_all = False
        self.view.ticked = list(self._active_users) if on else []
        self._warn(len(self.view.ticked))
        self.repaint()

    def action_view_all(self) -> None:
        """All that run, or the ticked ones."""
        self.view.view_all = not self.view.view_all
        self.repaint()
        self._warn(len(self._panels) if self.view.view_all else 0)

    def _warn(self, panels: int) -> None:
        if panels > ADVISED:
            self.say(f"{panels:,} panels; {ADVISED} or fewer are easier to follow.", "alert")

    def action_follow(self) -> None:
        """Follow or hold."""
        panel = self._panel()
        if panel:
            panel.follow()

    def action_level(self) -> None:
        """Next level for all panels, so that they can be compared."""
        panel = self._panel()
        if panel:
            self.say(f"Lines shown: {panel.next_level()}.")
            for each in self._panels.values():
                each.level = panel.level
                each.pull()

    def action_wrap(self) -> None:
        """Wrap or cut."""
        for panel in self._panels.values():
            panel.wrapped = not panel.wrapped
            panel.pull()

    def action_clear(self) -> None:
        """Hide the lines so far."""
        panel = self._panel()
        if panel:
            panel.clear()

    def action_fault(self) -> None:
        """Newest fault."""
        panel = self._panel()
        if panel and not panel.fault():
            self.say("No older fault in this panel.")

    def action_match(self, step: int) -> None:
        """Next match."""
        panel = self._panel()
        if panel and not panel.match(step):
            self.say(
                f"No further line has {panel.find}." if panel.find else "Nothing is looked for; / finds a text."
            )

    def action_filter(self) -> None:
        """Find."""
        panel = self._panel()
        if panel:
            self.query_one(FilterBar).open(panel.find)

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        """Mark what is found; Enter goes to the newest."""
        panel = self._panel()
        if panel:
            panel.find = event.text.lower()
            panel.pull()
            if event.finished and panel.find and not panel.match(1):
                self.say(f"No line has {event.text}.")
        self._paint_hint()

    def action_back(self) -> None:
        """Close the input, forget the text, leave the zoom, follow again."""
        bar = self.query_one(FilterBar)
        panel = self._panel()
        if bar.typing:
            bar.close()
        if panel and panel.find:
            panel.find = ""
            panel.pull()
        elif self.query_one("#panels").has_class("-zoomed"):
            self.action_open()
        elif panel and not panel.following:
            panel.follow()
        self._paint_hint()

    def copied(self) -> str:
        """The newest line shown."""
        panel = self._panel()
        return panel.newest_text() if panel else ""
