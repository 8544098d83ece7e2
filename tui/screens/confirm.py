"""Dialogs: what is about to happen, with Enter for No; findings; and words that must be typed."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.paint import TextLine, line, wrapped
from tui.view import View
from tui.widgets.lines import titled
from tui.widgets.pager import MOVES, Pager
from tui.widgets.text_field import TextField


class Confirm(ModalScreen[bool]):
    """Tells what is about to happen. ``y`` is yes; Enter, Esc and n are no.

    With ``typed`` the answer is yes only when exactly that word is typed and Enter pressed.
    """

    AUTO_FOCUS = "Input"

    def __init__(self, view: View, title: str, lines: Sequence[str], typed: str = "") -> None:
        super().__init__()
        self._view, self._title, self._text, self._typed = view, title, lines, typed

    def compose(self) -> ComposeResult:
        """Title, lines, and how to answer."""
        lines = [line(part) for text in self._text for part in wrapped(text, 72)]
        with Vertical(classes="box") as box:
            pager = Pager(self._view, [line(), *lines, line()])
            pager.styles.height = len(lines) + 2
            yield pager
            if self._typed:
                titled(box, self._view, self._title, f"type {self._typed} and enter = yes   esc = no")
                field = TextField(compact=True, placeholder=f"type {self._typed}")
                field.cursor_blink = False
                yield field
            else:
                titled(box, self._view, self._title, "enter = No   y = yes   esc = back")

    def on_key(self, event: events.Key) -> None:
        """Yes and no."""
        if event.key == "escape":
            event.stop()
            self.dismiss(False)
        elif not self._typed:
            event.stop()
            if event.character in ("y", "Y"):
                self.dismiss(True)
            elif event.key == "enter" or event.character in ("n", "N"):
                self.dismiss(False)
            elif event.key in MOVES:
                self.query_one(Pager).move(MOVES[event.key])

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The word must be exact."""
        event.stop()
        if event.value.strip() == self._typed:
            self.dismiss(True)
        else:
            event.input.value = ""


class Report(ModalScreen[None]):
    """Findings or a history, to be read and closed."""

    AUTO_FOCUS = ""

    def __init__(self, view: View, title: str, lines: Sequence[str | TextLine]) -> None:
        super().__init__()
        self._view, self._title = view, title
        self._lines = [
            part
            for each in lines
            for part in ([each] if isinstance(each, TextLine) else [line(text) for text in wrapped(each, 72)])
        ]

    def compose(self) -> ComposeResult:
        """Lines in a box."""
        with Vertical(classes="box") as box:
            titled(box, self._view, self._title, "↑↓ move   esc closes")
            pager = Pager(self._view, self._lines)
            pager.styles.height = min(len(self._lines), max(4, self.app.size.height - 6))
            yield pager

    def text(self) -> str:
        """What is shown."""
        return self.query_one(Pager).text()

    def on_key(self, event: events.Key) -> None:
        """Move or close."""
        event.stop()
        if event.key in MOVES:
            self.query_one(Pager).move(MOVES[event.key])
        elif event.key in ("escape", "enter", "q"):
            self.dismiss(None)
