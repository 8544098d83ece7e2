"""One row above a table: the filter on the left, what is shown on the right; an input while the admin types."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from textual.app import ComposeResult
from textual.containers import Horizontal
from textual.message import Message
from textual.suggester import Suggester
from textual.widgets import Input

from tui.paint import Span, between
from tui.view import View
from tui.widgets.lines import LineView
from tui.widgets.text_field import TextField


class _Completing(Suggester):
    """Shows, behind the cursor, how the last word could end; the right arrow takes it."""

    def __init__(self, completions: Callable[[str], Sequence[str]]) -> None:
        super().__init__(use_cache=False, case_sensitive=True)
        self._completions = completions

    async def get_suggestion(self, value: str) -> str | None:
        """The likeliest completion that begins with what is typed."""
        return next((each for each in self._completions(value) if each.startswith(value)), None)


def _none(text: str) -> Sequence[str]:
    return ()


class FilterBar(Horizontal):
    """Shows the filter, and takes a new one after ``/``."""

    DEFAULT_CSS = """
    FilterBar { height: 1; }
    FilterBar LineView { width: 1fr; }
    FilterBar Input { display: none; width: 1fr; border: none; padding: 0 1; height: 1; }
    FilterBar.-typing Input { display: block; }
    FilterBar.-typing LineView { display: none; }
    """

    class Typed(Message):
        """The text changed, or was finished with Enter."""

        def __init__(self, text: str, finished: bool) -> None:
            super().__init__()
            self.text = text
            self.finished = finished

    def __init__(
        self,
        view: View,
        word: str = "filter",
        hint: str = "",
        completions: Callable[[str], Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        self._word = word
        self._line = LineView(view)
        self._hint, self._completions = hint, completions or _none
        self._input: TextField | None = None

    def compose(self) -> ComposeResult:
        """The line. The input, whose styles cost as much as those of half a screen, is made when it is asked for."""
        yield self._line

    @property
    def typing(self) -> bool:
        """Whether the input has the keys."""
        return self.has_class("-typing")

    def open(self, text: str) -> None:
        """Let the admin type."""
        self.add_class("-typing")
        if self._input is None:
            self._input = TextField(
                compact=True,
                select_on_focus=False,
                placeholder=self._hint,
                suggester=_Completing(self._completions),
            )
            self._input.cursor_blink = False
            self.mount(self._input)
        self._input.value = text
        self._input.cursor_position = len(text)
        self._input.focus()

    def close(self) -> None:
        """Back to the line; the keys belong to the screen again."""
        self.remove_class("-typing")
        self.screen.set_focus(None)

    def show(self, text: str, error: str, right: Sequence[Span]) -> None:
        """Paint the filter (or its error) and the right part."""
        left: Span = (
            (f" {error}", "fault")
            if error
            else (f" {self._word}: {text or '(none)'}", "text" if text else "quiet")
        )
        self._line.put(0, between([left], [*right, (" ", "text")], self._line.size.width))

    def text(self) -> str:
        """What is shown, without styles."""
        return self._line.text()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Filter while typing."""
        event.stop()
        if self.typing:
            self.post_message(self.Typed(event.value, False))

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Keep the filter."""
        event.stop()
        self.close()
        self.post_message(self.Typed(event.value, True))
