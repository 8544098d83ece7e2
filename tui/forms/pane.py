"""The fields of a page, painted line by line, and the one input that comes up where a text is typed."""

from __future__ import annotations

from textual import events
from textual.app import ComposeResult
from textual.containers import Container
from textual.message import Message
from textual.widgets import Input

from engine.service import FormField, FormProblem
from tui.forms.state import Form
from tui.paint import Span, TextLine, fit, line
from tui.view import View
from tui.widgets.lines import LineView
from tui.widgets.text_field import TextField


def short(problem: FormProblem) -> str:
    """What is wrong, in the few cells beside the field: what is allowed says it best."""
    return f"must be {problem.allowed}" if problem.message.endswith("is not allowed") else problem.message


_LEAST_LABEL, _MOST_LABEL = 14, 30
_WIDE_VALUE = 34


class FieldInput(TextField):
    """The field's text while it is typed: Tab ends it like Enter, Esc leaves what stood there."""

    def __init__(self) -> None:
        super().__init__(compact=True, select_on_focus=False)
        self.cursor_blink = False

    async def _on_key(self, event: events.Key) -> None:
        if event.key in ("escape", "tab", "shift+tab", "up", "down"):
            event.stop()
            event.prevent_default()
            pane = self.parent
            assert isinstance(pane, FormPane)
            if event.key == "escape":
                pane.give_up()
            else:
                pane.finish({"tab": 1, "down": 1, "shift+tab": -1, "up": -1}[event.key])
            return
        await super()._on_key(event)


class FormPane(Container):
    """Shows the page of a form at its cursor."""

    DEFAULT_CSS = """
    FormPane { height: 1fr; layers: base edit; }
    FormPane > LineView { height: 1fr; layer: base; }
    FormPane > Input { layer: edit; display: none; height: 1; border: none; padding: 0; }
    FormPane.-typing > Input { display: block; }
    """

    class Typing(Message):
        """The text of the field while it is typed."""

        def __init__(self, text: str) -> None:
            super().__init__()
            self.text = text

    class Typed(Message):
        """A field has got a text; ``step`` is where the cursor goes next."""

        def __init__(self, path: str, text: str, step: int) -> None:
            super().__init__()
            self.path, self.text, self.step = path, text, step

    class GivenUp(Message):
        """The field keeps what stood in it."""

    def __init__(self, view: View, *, id: str | None = None, classes: str | None = None) -> None:
        super().__init__(id=id, classes=classes)
        self._view = view
        self._lines = LineView(view)
        self._input = FieldInput()
        self._form: Form | None = None
        self._top = 0
        self._path = ""

    def compose(self) -> ComposeResult:
        """The lines, and above them the input."""
        yield self._lines
        yield self._input

    @property
    def typing(self) -> bool:
        """Whether the input has the keys."""
        return self.has_class("-typing")

    @property
    def page(self) -> int:
        """Fields that fit; where not all do, the last line tells of the others."""
        height = self._lines.size.height
        more = self._form is not None and len(self._form.page.fields) > height
        return max(1, height - more)

    def text(self) -> str:
        """What is shown."""
        return self._lines.text()

    # Paint

    def show(self, form: Form) -> None:
        """Paint the page at the cursor."""
        self._form = form
        fields = form.page.fields
        form.field  # noqa: B018 - puts the cursor inside
        self._top = min(max(self._top, form.cursor - self.page + 1), form.cursor)
        self._top = max(0, min(self._top, len(fields) - self.page))
        shown = fields[self._top : self._top + self.page]
        lines = [self._row(form, field, self._top + place == form.cursor) for place, field in enumerate(shown)]
        above, below = self._top, len(fields) - self._top - len(shown)
        if above or below:
            told = [f"▴ {above:,} more above"] * (above > 0) + [f"▾ {below:,} more below"] * (below > 0)
            lines.append(line((f"  {'   '.join(told)}", "quiet")))
        self._lines.show(lines)

    def _widths(self, form: Form) -> tuple[int, int]:
        longest = max(len(field.label) for field in form.page.fields)
        label = max(_LEAST_LABEL, min(longest, _MOST_LABEL))
        room = self._lines.size.width - label - 8
        return label, max(16, min(_WIDE_VALUE, room // 2))

    def _row(self, form: Form, field: FormField, here: bool) -> TextLine:
        label, value = self._widths(form)
        text = form.texts.get(field.path, "")
        head: list[Span] = [(" ►" if here else "  ", "mark"), (fit(field.label, label) + " ", "text")]
        inside = text or (field.default or ("must be given" if field.required else "(none)"))
        role = "text" if text else "quiet"
        if field.choices:
            head.append((fit(f"‹{inside}›", value + 2), "busy" if text else role))
        else:
            head += [("[", "quiet"), (fit(inside, value), role), ("]", "quiet")]
        wrong = form.problems.get(field.path)
        if wrong:
            head.append((f" ✗ {short(wrong[0])}", "fault"))
        elif not text and field.default:
            head.append((" default", "quiet"))
        return line(*head, base="cursor" if here else "")

    # Type

    def open(self, form: Form) -> None:
        """Let the admin type into the field under the cursor."""
        field = form.field
        self._form, self._path = form, field.path
        self._place(form)
        self.add_class("-typing")
        text = form.texts.get(field.path, "")
        self._input.value = text
        self._input.cursor_position = len(text)
        self._input.focus()

    def _place(self, form: Form) -> None:
        """Put the input over its field."""
        label, value = self._widths(form)
        self._input.styles.offset = (label + 4, form.cursor - self._top)
        self._input.styles.width = max(value, min(60, self._lines.size.width - label - 6))

    def _close(self) -> None:
        self.remove_class("-typing")
        self.screen.set_focus(None)

    def give_up(self) -> None:
        """Leave what stood in the field."""
        self._close()
        self.post_message(self.GivenUp())

    def finish(self, step: int = 0) -> None:
        """Take what was typed."""
        self.post_message(self.Typed(*self.taken(), step))

    def taken(self) -> tuple[str, str]:
        """End typing: the field, and what was typed."""
        self._close()
        return self._path, self._input.value

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Enter takes it."""
        event.stop()
        self.finish()

    def on_input_changed(self, event: Input.Changed) -> None:
        """Tell while it is typed."""
        event.stop()
        if self.typing:
            self.post_message(self.Typing(event.value))

    def on_resize(self) -> None:
        """Another width: other places. What is being typed goes on."""
        if self._form is not None:
            self.show(self._form)
            if self.typing:
                self._place(self._form)

    # Mouse

    def on_click(self, event: events.Click) -> None:
        """A click goes to a field."""
        if self._form is None or self.typing or event.widget is not self._lines:
            return
        place = self._top + event.y
        if event.y < self.page and place < len(self._form.page.fields):
            self._form.cursor = place
            self.show(self._form)
            self.post_message(self.GivenUp())

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves the cursor."""
        self._wheel(event, 1)

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves the cursor."""
        self._wheel(event, -1)

    def _wheel(self, event: events.MouseEvent, step: int) -> None:
        event.stop()
        if self._form is not None and not self.typing:
            self._form.cursor = max(0, min(self._form.cursor + step, len(self._form.page.fields) - 1))
            self.show(self._form)
            self.post_message(self.GivenUp())
