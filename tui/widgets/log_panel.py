"""One activity monitor: two rows of state and the newest lines of a mailbox, painted from the store's ring.

Adding a line costs the panel nothing; it paints at each pull what fits. When it is held, new lines are counted and
the text under the eye stays.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import chain, islice

from rich.cells import cell_len
from textual import events
from textual.message import Message

from engine.service import Line, Store, UserRow, UserState
from tui import format as form
from tui import rows, signs
from tui.paint import Span, TextLine, clean, fit_name, line, wrapped
from tui.view import View
from tui.widgets.lines import LineView

#: Names of the levels and the least level shown.
LEVELS: tuple[str, ...] = ("all", "items", "steps", "faults")

#: Lines kept from disk when one scrolls back.
OLDER = 2000


class LogPanel(LineView, can_focus=False):
    """A framed panel. ``headed`` panels show state and progress on their first two rows."""

    DEFAULT_CSS = """
    LogPanel { height: 1fr; border: solid $edge; border-title-color: $foreground; border-subtitle-color: $foreground; }
    LogPanel.-active { border: solid $edge-focus; }
    """

    class Wanted(Message):
        """The admin clicked the panel."""

        def __init__(self, panel: LogPanel) -> None:
            super().__init__()
            self.panel = panel

    class OlderWanted(Message):
        """The panel stands at its oldest line; more may be on disk, before a line of the disk's own numbering."""

        def __init__(self, panel: LogPanel, before_seq: int | None) -> None:
            super().__init__()
            self.panel = panel
            self.before_seq = before_seq

    def __init__(self, view: View, store: Store, mailbox: str, headed: bool = True) -> None:
        super().__init__(view)
        self.store, self.mailbox, self.headed = store, mailbox, headed
        self.level = 0
        self.wrapped = False
        self.find = ""
        self.held_seq: int | None = None
        self._cleared_seq: int | None = None
        self._older: list[Line] = []
        self._disk_before: int | None = None
        self._asked = self._complete = False

    @property
    def following(self) -> bool:
        """Whether the newest line is shown."""
        return self.held_seq is None

    @property
    def page(self) -> int:
        """Rows for lines."""
        return max(1, self.size.height - (2 if self.headed else 0))

    def pull(self) -> None:
        """Paint the state and the lines that fit."""
        row = self.store.users.get(self.mailbox)
        head: list[TextLine] = []
        if self.headed:
            head = [self._state(row), self._progress(row)]
        shown = self._visible()
        self.show([*head, *shown])
        policy = row.policy if row else ""
        name = fit_name(self.mailbox, max(12, self.size.width - cell_len(policy) - 4)).rstrip()
        self.title(clean(f"{name}  {policy}") if self.headed else "Events", self._footing())

    # What the screen does

    def hold(self) -> None:
        """Stay where it is."""
        lines = self._lines_kept()
        if lines:
            self.held_seq = lines[-1].seq

    def follow(self) -> None:
        """Follow the newest line, or hold."""
        if self.following:
            self.hold()
        else:
            self.held_seq = None
        self.pull()

    def scroll(self, by: int) -> None:
        """Scroll by lines; negative is back in time. At the oldest line more is asked for."""
        lines = self._lines_kept()
        if not lines:
            return
        seqs = [each.seq for each in lines]
        at = len(lines) if self.held_seq is None else bisect_right(seqs, self.held_seq)
        least = min(self.page, len(lines))
        to = max(least, at + by)
        if by < 0 and at + by <= least:
            self._want_older()
        self.held_seq = None if to >= len(lines) else seqs[to - 1]
        self.pull()

    def next_level(self) -> str:
        """The next level; returns its name."""
        self.level = (self.level + 1) % len(LEVELS)
        self.pull()
        return LEVELS[self.level]

    def clear(self) -> None:
        """Hide the lines so far."""
        ring = self.store.lines.get(self.mailbox)
        self._older.clear()
        self._cleared_seq = ring[-1].seq if ring else None
        self._complete = True
        self.held_seq = None
        self.pull()

    def match(self, step: int) -> bool:
        """Go to the next older (1) or newer (-1) line that has the text that is looked for."""
        return bool(self.find) and self._seek(step, lambda each: self.find in each.text.lower())

    def fault(self) -> bool:
        """Go to the next older fault."""
        return self._seek(1, lambda each: each.level >= 3)

    def add_older(self, lines: Sequence[Line]) -> None:
        """Lines from disk, oldest first, numbered as the disk does.

        The disk also holds what is in the ring, under other numbers, so that the time and the text tell them apart.
        """
        self._asked = False
        if not lines:
            self._complete = True
            return
        self._disk_before = lines[0].seq
        first = self._first()
        known = {(each.at_ms, each.text) for each in self.store.lines.get(self.mailbox, ())}
        fresh = [
            each
            for each in lines
            if first is None
            or each.at_ms < first.at_ms
            or (each.at_ms == first.at_ms and (each.at_ms, each.text) not in known)
        ]
        start = (first.seq if first else 0) - len(fresh)
        self._older[:0] = [replace(each, seq=start + number) for number, each in enumerate(fresh)]
        self._complete = len(self._older) >= OLDER
        if not fresh:
            self._want_older()
        self.pull()

    def _want_older(self) -> None:
        if not self._asked and not self._complete:
            self._asked = True
            self.post_message(self.OlderWanted(self, self._disk_before))

    def newest_text(self) -> str:
        """The line at the bottom of the panel, as text."""
        for each in reversed(self._lines_kept()):
            if self.held_seq is None or each.seq <= self.held_seq:
                return f"{form.at(each.at_ms, self.view.zone)} {each.sign} {clean(each.text)}"
        return ""

    # Lines

    def _first(self) -> Line | None:
        if self._older:
            return self._older[0]
        ring = self.store.lines.get(self.mailbox)
        return ring[0] if ring else None

    def _kept(self, each: Line) -> bool:
        return each.level >= self.level and (self._cleared_seq is None or each.seq > self._cleared_seq)

    def _lines_kept(self) -> list[Line]:
        ring = self.store.lines.get(self.mailbox, ())
        return [each for each in (*self._older, *ring) if self._kept(each)]

    def _seek(self, step: int, wanted: Callable[[Line], bool]) -> bool:
        lines = self._lines_kept()
        held = lines[-1].seq + 1 if self.held_seq is None and lines else (self.held_seq or 0)
        found = [
            each.seq for each in lines if wanted(each) and (each.seq < held if step > 0 else each.seq > held)
        ]
        if not found:
            return False
        self.held_seq = found[-1] if step > 0 else found[0]
        self.pull()
        return True

    def _visible(self) -> list[TextLine]:
        ring = self.store.lines.get(self.mailbox, ())
        if self.following:
            back = chain(reversed(ring), reversed(self._older))
            newest = list(islice((each for each in back if self._kept(each)), self.page))
            newest.reverse()
            if len(newest) < self.page and not self._older:
                self._want_older()  # opened late: the disk has what the ring has not
        else:
            held = self.held_seq or 0
            newest = [each for each in self._lines_kept() if each.seq <= held][-self.page :]
        if not newest:
            return [line(("nothing yet", "quiet"))]
        painted = [part for each in newest for part in self._paint(each)]
        return painted[-self.page :]

    def _paint(self, each: Line) -> list[TextLine]:
        role = signs.LINE_ROLE.get(each.sign, "quiet" if each.level == 0 else "text")
        text = clean(each.text)
        if self.find and self.find in text.lower():
            role = "find"
        head: list[Span] = [(form.at(each.at_ms, self.view.zone) + " ", "quiet")]
        head.append((f"{each.sign or ' '} ", role))
        room = self.size.width - 11
        if room < 8 or not (self.wrapped or each.level >= 3):  # a fault is told to its end
            return [TextLine((*head, (text, role)))]
        parts = wrapped(text, room)
        return [TextLine((*head, (parts[0], role)))] + [line((" " * 11 + part, role)) for part in parts[1:]]

    # State

    def _state(self, row: UserRow | None) -> TextLine:
        if row is None:
            return line(("no such user", "quiet"))
        sign = signs.USER[row.state]
        words: list[str] = []
        if row.phase:
            words.append(row.phase.removeprefix("phase "))
        if row.step is not None and row.state in signs.ACTIVE:
            words.append(f"{row.step_number}/5 {row.step.value}")
        text = " ".join(words) or sign.word
        spans: list[Span] = [(f"{sign.sign} {text}", sign.role)]
        if row.state in signs.ACTIVE:
            spans.append(
                (
                    f"  {rows.work(row.done, row.total)}  {form.rate(row.rate)}  ETA {form.eta(row.eta_seconds)}",
                    "text",
                )
            )
        elif row.until_ms is not None and row.state is UserState.BACKOFF:
            wait = max(0, (row.until_ms - self.view.now_ms) // 1000)
            spans.append((f"  waits {wait} s {row.why}", sign.role))
        elif row.why:
            spans.append((f"  {row.why}", sign.role))
        elif row.next_full_ms is not None:
            spans.append(
                (f"  next full sync {form.moment(row.next_full_ms, self.view.now_ms, self.view.zone)}", "text")
            )
        return TextLine(tuple(spans))

    def _progress(self, row: UserRow | None) -> TextLine:
        if row is None:
            return line()
        part = form.share(row.done, row.total)
        if row.state is UserState.IDLE and row.last_success_ms is not None:
            part = 1.0
        counts = " ".join(f"{sign}{row.counts.get(outcome, 0):,}" for sign, outcome in signs.OUTCOME)
        width = 26 if self.size.width >= 50 else 16
        role = "fault" if row.state in signs.FAULTY else "text"
        if row.state in signs.ACTIVE and part is None:
            return line((counts, role))  # nothing to measure by yet
        return line((f"{form.bar(part, width)} {form.percent(part):>4} ", "quiet"), (counts, role))

    def _footing(self) -> str:
        level = "" if self.level == 0 else f"{LEVELS[self.level]}, "
        if self.following:
            return f"{level}following"
        held = self.held_seq or 0
        ring = self.store.lines.get(self.mailbox, ())
        new = 0
        when: int | None = None
        for each in reversed(ring):
            if each.seq <= held:
                when = each.at_ms
                break
            new += self._kept(each)
        if when is None:
            when = next((each.at_ms for each in reversed(self._older) if each.seq <= held), None)
        return f"{level}held at {form.at(when, self.view.zone)}, {new:,} new"

    def on_resize(self) -> None:
        """Fill the new height."""
        self.pull()

    def on_click(self, event: events.Click) -> None:
        """A click makes it the active panel."""
        event.stop()
        self.post_message(self.Wanted(self))

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel scrolls."""
        event.stop()
        self.scroll(-3)

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel scrolls."""
        event.stop()
        self.scroll(3)
