"""What is asked before a console is left in which something is not saved yet."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.paint import line, wrapped
from tui.view import View
from tui.widgets.lines import titled
from tui.widgets.pager import MOVES, Pager

DROP, SAVE = "drop", "save"


class Unsaved(ModalScreen[str]):
    """Dismissed with ``DROP`` or ``SAVE``; "" when the admin stays, which Enter means, too.

    Args:
        open_: what is not saved, one a line.
    """

    AUTO_FOCUS = ""

    def __init__(self, view: View, open_: Sequence[str]) -> None:
        super().__init__()
        self._view, self._open = view, open_

    def compose(self) -> ComposeResult:
        """What leaving means, what would be lost, and the keys."""
        told = ["The sync goes on without you.", *(f"Not saved: {each}" for each in self._open)]
        lines = [line(part) for text in told for part in wrapped(text, 72)]
        with Vertical(classes="box", id="unsaved") as box:
            titled(box, self._view, "Detach", "d drop and detach   s save and detach   esc stay")
            pager = Pager(self._view, [line(), *lines, line()])
            pager.styles.height = len(lines) + 2
            yield pager

    def on_key(self, event: events.Key) -> None:
        """Drop, save or stay."""
        event.stop()
        if event.character in ("d", "s"):
            self.dismiss(DROP if event.character == "d" else SAVE)
        elif event.key in ("escape", "enter"):
            self.dismiss("")
        elif event.key in MOVES:
            self.query_one(Pager).move(MOVES[event.key])
