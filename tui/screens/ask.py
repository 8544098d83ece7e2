"""A question in one line: asked, answered by Enter, given up by Esc."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from tui.paint import line, wrapped
from tui.view import View
from tui.widgets.lines import titled
from tui.widgets.pager import Pager
from tui.widgets.text_field import TextField


class Ask(ModalScreen[str | None]):
    """Takes one line of text; empty and Esc mean no answer."""

    AUTO_FOCUS = "Input"

    def __init__(self, view: View, title: str, text: str, hint: str, does: str = "take it") -> None:
        """``does`` is what enter does, in a word or two."""
        super().__init__()
        self._does = does
        self._view, self._title, self._text, self._hint = view, title, text, hint

    def compose(self) -> ComposeResult:
        """What is asked, and the field."""
        lines = [line(part) for part in wrapped(self._text, 72)]
        with Vertical(classes="box") as box:
            titled(box, self._view, self._title, f"enter = {self._does}   esc = back")
            pager = Pager(self._view, [*lines, line()])
            pager.styles.height = len(lines) + 1
            yield pager
            field = TextField(compact=True, placeholder=self._hint)
            field.cursor_blink = False
            yield field

    def on_key(self, event: events.Key) -> None:
        """Esc gives up."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """The answer."""
        event.stop()
        self.dismiss(event.value.strip() or None)
