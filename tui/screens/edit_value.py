"""A value that an admin types in place of the two that both sides show; what is no value is told while he types."""

from __future__ import annotations

from collections.abc import Callable

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Input

from engine.service import ConflictRow
from tui.paint import line, wrapped
from tui.view import View
from tui.widgets.lines import LineView, titled
from tui.widgets.pager import Pager
from tui.widgets.text_field import TextField

_WIDTH = 72


class EditValue(ModalScreen[str | None]):
    """Dismissed with the text, or with None when nothing shall change.

    Args:
        row: the field.
        refusal: why a text is no value of it; "" when it is one.
    """

    AUTO_FOCUS = "Input"

    def __init__(self, view: View, row: ConflictRow, refusal: Callable[[str], str]) -> None:
        super().__init__()
        self._view, self._row, self._refusal = view, row, refusal
        self._told = LineView(view, id="refusal")

    def compose(self) -> ComposeResult:
        """The values there are, the field, what is allowed."""
        row = self._row
        shown = (("CRM", row.crm), ("last agreed", row.agreed), ("mailbox", row.theirs))
        lines = [line()]
        for name, value in shown:
            first, *more = wrapped(value or "(empty)", _WIDTH - 14)[:3]
            lines += [line((f"{name:<13} ", "quiet"), first), *(line(" " * 14, part) for part in more)]
        lines += [
            line(),
            *(line((part, "quiet")) for part in wrapped(f"Allowed: {row.allowed}.", _WIDTH)),
            line(),
        ]
        with Vertical(classes="box", id="edit-value") as box:
            titled(box, self._view, f"{row.label} of {row.name}", "enter = both sides get it   esc = back")
            pager = Pager(self._view, lines)
            pager.styles.height = len(lines)
            yield pager
            field = TextField(
                row.typed, compact=True, placeholder="empty: clears the field", select_on_focus=False
            )
            field.cursor_blink = False
            yield field
            yield self._told

    def _tell(self, text: str) -> None:
        parts = wrapped(text.partition("; allowed:")[0], _WIDTH)[:2]  # what is allowed stands above already
        self._told.show([line((part, "fault")) for part in parts])

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell what is wrong with it."""
        event.stop()
        self._tell(self._refusal(event.value))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Only a value of the field leaves the dialog."""
        event.stop()
        wrong = self._refusal(event.value)
        if wrong:
            self._tell(wrong)
        else:
            self.dismiss(event.value)

    def on_key(self, event: events.Key) -> None:
        """Esc changes nothing."""
        if event.key == "escape":
            event.stop()
            self.dismiss(None)
