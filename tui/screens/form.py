"""The editor: pages of fields over the rules of the configuration file, errors beside the field, nothing saved by half."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical

from engine.service import Answer, Command, FormProblem, Table
from tui import format as words
from tui import keys
from tui.forms.pane import FormPane
from tui.forms.state import Form
from tui.paint import Span, TextLine, fit, line, wrapped
from tui.screens.alive import alive
from tui.screens.choose import Choose
from tui.screens.confirm import Confirm, Report
from tui.screens.frame import Frame
from tui.widgets.lines import LineView

#: A panel with fewer lines is low.
_LOW = 8


class FormScreen(Frame):
    """Subclasses bring the form, and the commands that save and test it."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.EDITOR)
    PANE, TAB = keys.EDITOR, keys.POLICIES
    LISTENS: ClassVar[tuple[Table, ...]] = ()

    def __init__(self, form: Form) -> None:
        super().__init__()
        self.form = form
        self._typing: str | None = None
        self._tried: list[FormProblem] = []
        self._saving = False

    # What a subclass knows

    @abstractmethod
    def saving(self) -> Command:
        """The command that stores what stands in the form."""

    @abstractmethod
    def testing(self) -> Command | None:
        """The command that tests it; None after having said why it cannot be tested."""

    @abstractmethod
    def saved(self) -> None:
        """It was stored: the form begins anew from what is stored."""

    def also(self) -> list[TextLine]:
        """What else is told beside the fields, such as the next runs."""
        return []

    # Build

    def body(self) -> ComposeResult:
        """Pages, fields, what the field means, what has changed."""
        yield LineView(self.view, id="tabs")
        with Horizontal(id="form"):
            yield LineView(self.view, id="pages", classes="panel")
            yield FormPane(self.view, id="fields", classes="panel")
            with Vertical(id="beside"):
                yield LineView(self.view, id="about", classes="panel")
                yield LineView(self.view, id="changes", classes="panel")

    @property
    def pane(self) -> FormPane:
        """The fields."""
        return self.query_one(FormPane)

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """All of it."""
        self.show()

    def show(self) -> None:
        """Paint the form."""
        form = self.form
        self.pane.border_title = form.page.title
        self.pane.show(form)
        self.query_one("#tabs", LineView).put(0, self._tabs())
        pages = self.query_one("#pages", LineView)
        if pages.display:
            pages.title("Pages", "←→")
            pages.show([self._page_line(number) for number in range(len(form.pages))])
        self._about()
        self._changes()

    def _tabs(self) -> TextLine:
        """The pages in one row; those to the left give way when the one shown would not fit."""
        names = [
            f"{page.title}{f' ✗{wrong}' if (wrong := self.form.wrong_on(page)) else ''}"
            for page in self.form.pages
        ]
        room, first = self.size.width - 4, 0
        while (
            first < self.form.number
            and sum(len(name) + 2 for name in names[first : self.form.number + 1]) > room
        ):
            first += 1
        spans: list[Span] = [(" … " if first else " ", "quiet")]
        for number, name in enumerate(names[first:], first):
            here = number == self.form.number
            wrong = self.form.wrong_on(self.form.pages[number])
            spans += [
                (f"[{name}]" if here else name, "tab" if here else "fault" if wrong else "text"),
                (" ", "text"),
            ]
        return TextLine(tuple(spans))

    def _page_line(self, number: int) -> TextLine:
        page = self.form.pages[number]
        wrong = self.form.wrong_on(page)
        here = number == self.form.number
        sign: Span = (f"✗ {wrong}", "fault") if wrong else ("✓", "quiet")
        return line((" ► " if here else "   ", "mark"), (fit(page.title, 14), "bold" if here else "text"), sign)

    def _about(self) -> None:
        panel = self.query_one("#about", LineView)
        field = self.form.field
        width = max(20, panel.size.width - 2)
        panel.title(field.label, "" if self._typing is None else "enter takes it   esc leaves it")
        tried = self.form.problems.get(field.path, []) if self._typing is None else self._tried
        head = [line((f" {part}", "fault")) for each in tried for part in wrapped(f"✗ {each.message}", width)]
        head += [line(f" {part}") for part in wrapped(field.meaning, width)]
        told = [f"Allowed: {field.allowed}"]
        if field.offers and field.choices:
            told.append(f"There are: {', '.join(field.choices)}")
        if field.default:
            told.append(f"Default: {field.default}")
        if field.secret:
            told.append("Only the place is kept here. The secret itself is never shown, stored or exported.")
        rest = [line((f" {part}", "quiet")) for text in told for part in wrapped(text, width)]
        # In a low panel what changes with the values comes before what never does.
        more = self.also()
        panel.show([*head, *more, *rest] if panel.size.height < _LOW else [*head, *rest, line(), *more])

    def _changes(self) -> None:
        panel = self.query_one("#changes", LineView)
        if not panel.display:
            return
        changes = self.form.changes()
        panel.title(f"Changes ({len(changes)})" if changes else "Changes", "ctrl+s saves" if changes else "")
        lines = []
        for label, before, after in changes:
            lines.append(line(f" {label}"))
            lines.append(line((f"   {before or '(none)'} -> {after or '(default)'}", "quiet")))
        panel.show(lines or [line((" Nothing is changed.", "quiet"))])

    # Typing

    def on_form_pane_typing(self, event: FormPane.Typing) -> None:
        """Judge what is typed so far."""
        event.stop()
        self._typing = event.text
        self._tried = self.form.tried(self.form.field.path, event.text)
        self._about()

    def on_form_pane_typed(self, event: FormPane.Typed) -> None:
        """Take it."""
        event.stop()
        if self._take(event.path, event.text) and event.step:
            self.form.move(event.step)
        self.show()

    def _take(self, path: str, text: str) -> bool:
        """Put what was typed into the form; False when it was not kept."""
        self._typing = None
        field = self.form.field
        tried = self.form.tried(path, text)
        if field.secret and tried and text:
            # What is refused here may be the secret itself: it must not stand on the screen.
            self.say(f"What you typed was not kept. {field.label}: {tried[0].message}", "fault")
            return False
        self.form.put(path, text)
        if tried:
            self.say(f"{field.label}: {tried[0]}", "fault")
        else:
            self._tell_state()
        return True

    def on_form_pane_given_up(self, event: FormPane.GivenUp) -> None:
        """It stays as it was."""
        event.stop()
        self._typing = None
        self.show()

    def _tell_state(self) -> None:
        changes, wrong = len(self.form.changes()), len(self.form.wrong)
        if wrong:
            self.say(
                f"{words.count(wrong, 'field is', 'fields are')} not right, ! shows the next; "
                f"{words.count(changes, 'change')} not saved yet.",
                "alert",
            )
        elif changes:
            self.say(f"{words.count(changes, 'change')} not saved yet. ctrl+s saves.")
        else:
            self.say("Nothing is changed.")

    # Keys

    def why_not(self, action: str) -> str:
        """Keys that do nothing here, and why."""
        if action == "save" and not self.form.dirty and not self.pane.typing:
            return "Nothing is changed, so there is nothing to save."
        if action == "fault" and not self.form.wrong:
            return "No field has a fault."
        return super().why_not(action)

    def action_move(self, how: str) -> None:
        """Move by fields."""
        page = self.pane.page
        step = {"up": -1, "down": 1, "page_up": -page, "page_down": page, "home": -1000, "end": 1000}[how]
        self.form.move(step)
        self.show()

    def action_pane(self, step: int) -> None:
        """The next field."""
        self.form.move(step)
        self.show()

    def action_page(self, step: int) -> None:
        """Another page."""
        self.form.turn(step)
        self.show()

    def action_open(self) -> None:
        """Edit the field: a switch turns over, a choice is offered, a text is typed."""
        field = self.form.field
        if not field.choices:
            if field.offers:
                self.say("There is no connection of this kind yet; esc, then & and + make one.", "alert")
                return
            self._typing, self._tried = self.form.texts.get(field.path, ""), []
            self.pane.open(self.form)
            self._about()
        elif len(field.choices) == 2 and field.choices[0] == "on":
            self.action_mark()
        else:
            now = self.form.texts.get(field.path, "") or field.default
            self.app.push_screen(
                Choose(self.view, field.label, field.meaning, [(each, "") for each in field.choices], now),
                self._chosen,
            )

    def _chosen(self, word: str | None) -> None:
        if word is not None:
            self.form.put(self.form.field.path, word)
            self._tell_state()
        self.show()

    def action_edit(self) -> None:
        """Edit the field."""
        self.action_open()

    def action_mark(self) -> None:
        """Turn a switch over, or take the next word."""
        word = self.form.next_choice(self.form.field)
        if word is None:
            self.action_open()
        else:
            self._chosen(word)

    def action_undo(self) -> None:
        """Take back the change of the field."""
        if self.form.reset(self.form.field.path):
            self._tell_state()
        else:
            self.say("This field was not changed.")
        self.show()

    def action_fault(self) -> None:
        """The next field with a fault."""
        self.form.go_to_problem()
        self.show()

    def action_save(self) -> None:
        """Store it, all or nothing."""
        self.save(lambda saved: None)

    def save(self, then: Callable[[bool], None]) -> None:
        """Store it, with what is being typed, all or nothing."""
        if self.pane.typing:
            kept = self._take(*self.pane.taken())
            self.show()
            if not kept:
                return
        if self.form.wrong:
            self.form.go_to_problem()
            self.show()
            field = self.form.field
            problems = self.form.problems.get(field.path) or self.form.wrong
            self.say(f"Nothing was saved. {field.label}: {problems[0]}", "fault")
        elif not self.form.dirty:
            self._tell_state()
        elif not self._saving:
            self._saving = True

            def answered(answer: Answer) -> None:
                self._answered(answer)
                then(answer.ok)

            self.console.fetch(self.engine.do(self.saving(), by=self.console.by), answered)

    def _answered(self, answer: Answer) -> None:
        self._saving = False
        self.say(_sentence(answer.text), "text" if answer.ok else "fault")
        if answer.ok and alive(self):
            self.saved()

    def action_members(self) -> None:
        """List the users; only policies have some."""
        self.say("Only a policy has users.")

    def action_test(self) -> None:
        """Test what stands in the form, saved or not."""
        command = self.testing()
        if command is not None:
            self.say("Testing with what stands in the form; nothing is stored …")
            self.console.fetch(self.engine.do(command, by=self.console.by), self._tested)

    def _tested(self, answer: Answer) -> None:
        self.say(_sentence(answer.text), "text" if answer.ok else "fault")
        if answer.details:
            self.app.push_screen(Report(self.view, _sentence(answer.text), answer.details))

    def unsaved(self) -> str:
        """What would be lost by leaving: changes of the form, and what is being typed."""
        number = len(self.form.changes())
        field = self.form.field
        if self._typing is not None and self._typing != self.form.texts.get(field.path, ""):
            number += all(label != field.label for label, _, _ in self.form.changes())
        elif not self.form.dirty:
            return ""
        return f"{self.path().rpartition(' / ')[0]} ({words.count(number, 'change')})"

    def action_back(self) -> None:
        """Close; what is not saved is asked about."""
        if not self.form.dirty:
            super().action_back()
            return
        lines = [
            f"{label}: {before or '(none)'} -> {after or '(default)'}"
            for label, before, after in self.form.changes()
        ]
        self.app.push_screen(
            Confirm(self.view, "Leave without saving?", [*lines[:8], "These changes are dropped."]), self._left
        )

    def _left(self, yes: bool | None) -> None:
        if yes:
            self.app.pop_screen()
            self.console.say("Nothing was saved.")
        else:
            self.say("Still here. ctrl+s saves.")

    def copied(self) -> str:
        """The text of the field."""
        return self.form.texts.get(self.form.field.path, "")


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:]}."
