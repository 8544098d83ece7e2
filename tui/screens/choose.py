"""A short list of words of which one is taken."""

from __future__ import annotations

from collections.abc import Sequence

from textual import events
from textual.app import ComposeResult
from textual.containers import Vertical
from textual.screen import ModalScreen

from tui.paint import line, wrapped
from tui.view import View
from tui.widgets.lines import LineView, titled

_STEPS = {"up": -1, "k": -1, "down": 1, "j": 1}


class Choose(ModalScreen[str | None]):
    """Dismissed with the word, or None when nothing shall change.

    Args:
        words: each with a sentence, or with an empty one.
        now: the word that stands there.
    """

    AUTO_FOCUS = ""

    def __init__(
        self, view: View, title: str, about: str, words: Sequence[tuple[str, str]], now: str = ""
    ) -> None:
        super().__init__()
        self._view, self._title, self._about, self._words = view, title, about, list(words)
        names = [word for word, _ in words]
        self._at = names.index(now) if now in names else 0
        self._now = now

    def compose(self) -> ComposeResult:
        """What it is about, and the words."""
        about = wrapped(self._about, 70) if self._about else []
        with Vertical(classes="box", id="choose") as box:
            titled(box, self._view, self._title, "↑↓ move   enter = take   esc = back")
            if about:
                told = LineView(self._view)
                told.styles.height = len(about) + 1
                yield told
            lines = LineView(self._view, id="words")
            lines.styles.height = max(1, min(len(self._words), self.app.size.height - 8))
            yield lines

    def on_mount(self) -> None:
        """Paint."""
        if self._about:
            self.query(LineView).first().show([line((part, "quiet")) for part in wrapped(self._about, 70)])
        self._paint()

    def _paint(self) -> None:
        lines = self.query_one("#words", LineView)
        room = max(1, int(lines.styles.height.value) if lines.styles.height else len(self._words))
        top = max(0, min(self._at - room + 1, len(self._words) - room)) if self._at >= room else 0
        shown = []
        for place, (word, about) in enumerate(self._words[top : top + room], top):
            here = place == self._at
            dot = "(•)" if word == self._now else "( )"
            shown.append(
                line(
                    (f"{'►' if here else ' '}{dot} ", "mark" if here else "quiet"),
                    f"{word}",
                    (f"   {about}", "quiet"),
                )
            )
        lines.show(shown)

    def on_key(self, event: events.Key) -> None:
        """Move, take or leave."""
        event.stop()
        if event.key in _STEPS:
            self._at = (self._at + _STEPS[event.key]) % len(self._words)
            self._paint()
        elif event.key in ("enter", "space"):
            self.dismiss(self._words[self._at][0])
        elif event.key == "escape":
            self.dismiss(None)
