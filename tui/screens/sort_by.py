"""The small menu after ``s``: the letters of the columns."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.paint import line
from tui.view import View
from tui.widgets.lines import titled
from tui.widgets.pager import Pager


class SortBy(ModalScreen[str | None]):
    """Takes one letter; "" is the default order, None leaves all as it is."""

    AUTO_FOCUS = ""

    def __init__(self, view: View, columns: Sequence[tuple[str, str]]) -> None:
        super().__init__()
        self._view = view
        self._columns = columns

    def compose(self) -> ComposeResult:
        """One line a column."""
        lines = [line((f"{letter}  ", "key"), title) for letter, title in self._columns]
        lines.append(line(("0  ", "key"), "as at first: what needs you comes first"))
        with Vertical(classes="box", id="sort") as box:
            titled(box, self._view, "Sort by", "the same letter again turns the order round")
            pager = Pager(self._view, lines)
            pager.styles.height = len(lines)
            yield pager

    def on_key(self, event: events.Key) -> None:
        """Any other key closes the menu."""
        event.stop()
        letters = {letter for letter, _ in self._columns}
        if event.character in letters:
            self.dismiss(event.character)
        else:
            self.dismiss("" if event.character == "0" else None)
