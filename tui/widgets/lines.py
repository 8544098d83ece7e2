"""A widget of text lines that repaints only the lines that changed."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from rich.style import Style
from textual.content import Content
from textual.geometry import Region, Size
from textual.reactive import Reactive
from textual.strip import Strip
from textual.widget import Widget

from tui.paint import EMPTY, TextLine, clean, strip
from tui.signs import to_ascii
from tui.view import View


class LineView(Widget, can_focus=False):
    """Lines by number. ``put`` costs nothing when the line is the same as before."""

    DEFAULT_CSS = "LineView { height: 1; width: 1fr; }"

    #: A size that has come calls for no other layout: nothing here scrolls by Textual's means.
    virtual_size: Reactive[Size] = Reactive(Size(0, 0))

    def __init__(
        self,
        view: View,
        *,
        id: str | None = None,
        classes: str | None = None,
        sized: Callable[[], None] | None = None,
    ) -> None:
        """``sized`` is called when its size has changed: for lines that depend on the room there is."""
        super().__init__(id=id, classes=classes)
        self.view = view
        self._sized = sized
        self._lines: dict[int, TextLine] = {}
        self._titles = ("", "")
        self._ground = Style()

    def put(self, y: int, painted: TextLine) -> None:
        """Set line ``y`` (0 is the topmost)."""
        if self._lines.get(y, EMPTY) != painted:
            self._lines[y] = painted
            self.refresh(Region(0, y, self.size.width, 1))

    def show(self, painted: Sequence[TextLine]) -> None:
        """Set all lines; those beyond the end become empty."""
        for y in range(max(self.size.height, len(painted))):
            self.put(y, painted[y] if y < len(painted) else EMPTY)

    def text(self) -> str:
        """What is shown, without styles."""
        return "\n".join(
            "".join(text for text, _ in self._lines.get(y, EMPTY).spans).rstrip()
            for y in range(self.size.height)
        )

    def title(self, text: str, subtitle: str = "") -> None:
        """Texts on the border."""
        if self._titles != (text, subtitle):
            self._titles = (text, subtitle)
            titled(self, self.view, text, subtitle)

    def on_resize(self) -> None:
        """Another size."""
        if self._sized is not None:
            self._sized()

    def render_lines(self, crop: Region) -> list[Strip]:
        """Paint lines; what is below all of them is looked up once, through all ancestors."""
        self._ground = self.rich_style
        return super().render_lines(crop)

    def render_line(self, y: int) -> Strip:
        """Paint one line."""
        view = self.view
        return strip(self._lines.get(y, EMPTY), self.size.width, view.palette, view.ascii, self._ground)


def titled(widget: Widget, view: View, title: str, subtitle: str = "") -> None:
    """Texts on a border: cleaned, never read as markup, in ASCII where the admin wants it."""
    above, below = (clean(to_ascii(each) if view.ascii else each) for each in (title, subtitle))
    widget.border_title = Content(above) if above else None
    widget.border_subtitle = Content(below) if below else None
