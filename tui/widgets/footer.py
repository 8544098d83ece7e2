"""The last two rows: what happened, and the keys."""

from __future__ import annotations

from tui import keys
from tui.paint import Span, TextLine, line
from tui.view import View
from tui.widgets.lines import LineView


class MessageLine(LineView):
    """The newest answer or incident, in one line."""

    DEFAULT_CSS = "MessageLine { height: 1; }"

    def say(self, text: str, role: str = "text") -> None:
        """Show a text."""
        self.put(0, line((f" {text}", role)) if text else line())


class KeyLine(LineView):
    """The keys of the pane, as many as fit."""

    DEFAULT_CSS = "KeyLine { height: 1; }"

    def __init__(self, view: View, pane: str) -> None:
        super().__init__(view)
        self._keys = keys.footer(pane)

    def on_resize(self) -> None:
        """Choose the keys that fit."""
        self.put(0, self._fitting(self.size.width))

    def _fitting(self, width: int) -> TextLine:
        last = ("?", "help")
        quit_key = ("q", "detach")
        ends = [last, quit_key]
        room = width - 1 - sum(len(show) + len(label) + 3 for show, label in ends)
        shown: list[tuple[str, str]] = []
        for show, label in self._keys:
            if (show, label) in ends:
                continue
            cells = len("enter" if show == "↵" and self.view.ascii else show) + len(label) + 3
            if cells > room:
                break
            room -= cells
            shown.append((show, label))
        spans: list[Span] = [(" ", "text")]
        for show, label in shown + ends:
            spans += [(show, "key"), (f" {label}  ", "text")]
        return TextLine(tuple(spans))
