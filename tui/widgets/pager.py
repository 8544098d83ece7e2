"""Text that is longer than its place: lines with a position."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events

from tui.paint import TextLine
from tui.view import View
from tui.widgets.lines import LineView

#: Keys that move, in dialogs; the words are those of the key table.
MOVES: dict[str, str] = {
    "up": "up",
    "k": "up",
    "down": "down",
    "j": "down",
    "pageup": "page_up",
    "pagedown": "page_down",
    "home": "home",
    "g": "home",
    "end": "end",
    "G": "end",
}


class Pager(LineView):
    """Shows a part of its lines and moves over them."""

    DEFAULT_CSS = "Pager { height: 1fr; }"

    def __init__(self, view: View, lines: Sequence[TextLine] = (), *, id: str | None = None) -> None:
        super().__init__(view, id=id)
        self._all = list(lines)
        self._top = 0

    def set(self, lines: Sequence[TextLine]) -> None:
        """Replace the text; the position stays where it can."""
        self._all = list(lines)
        self._paint()

    def move(self, how: str) -> None:
        """Move by a line, a page or to an end (the words of the key table)."""
        page = max(1, self.size.height - 1)
        steps = {"up": -1, "down": 1, "page_up": -page, "page_down": page}
        if how in steps:
            self._top += steps[how]
        else:
            self._top = 0 if how == "home" else len(self._all)
        self._paint()

    @property
    def more(self) -> bool:
        """Whether lines follow below."""
        return self._top + self.size.height < len(self._all)

    def _paint(self) -> None:
        self._top = max(0, min(self._top, len(self._all) - self.size.height))
        self.show(self._all[self._top : self._top + self.size.height])

    def on_resize(self) -> None:
        """Fill the new height."""
        self._paint()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves by lines."""
        event.stop()
        self.move("down")

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves by lines."""
        event.stop()
        self.move("up")
