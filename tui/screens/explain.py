"""One item explained: how it stands and why, field by field, and everything that is known of it, to scroll and to copy."""

from __future__ import annotations

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import Explanation, FieldView, Item, Table
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, fit, line, wrapped
from tui.screens.alive import alive
from tui.screens.frame import Frame
from tui.widgets.lines import LineView
from tui.widgets.pager import Pager

#: Rows of the answer, with its border, at most.
_ANSWER_ROWS = 7

_LABEL = 14
_WIDE = 120

_DIFFERS = {
    "": "",
    "crm": "CRM changed",
    "mailbox": "mailbox changed",
    "both": "both changed",
    "first": "never agreed",
}


class ExplainScreen(Frame):
    """Opened with the explanation of one item, from any row that stands for one."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.EXPLAIN)
    PANE, TAB = keys.EXPLAIN, keys.QUEUE
    LISTENS = (Table.USERS,)

    def __init__(self, item: Item) -> None:
        super().__init__()
        self.item = item
        self._seen: tuple[object, ...] | None = None

    def path(self) -> str:
        """Where we are."""
        return f"Queue / {self.item.hit.mailbox} / why {_number(self.item)}".rstrip()

    def body(self) -> ComposeResult:
        """The answer, and all the rest to scroll."""
        yield LineView(self.view, id="answer", classes="panel")
        yield Pager(self.view, id="known")

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Ask again when the state of its mailbox has changed, since a cycle may have done something about it."""
        row = self.store.users.get(self.item.hit.mailbox)
        now = () if row is None else (row.state, row.held, row.ended_ms)
        if self._seen is not None and self._seen != now and self.item.hit.link is not None:
            self.console.fetch_explanation(f"#{self.item.hit.link}", self.item.hit.mailbox, self._came)
        self._seen = now
        self._show()

    def _came(self, found: Explanation) -> None:
        if found.item is not None:
            self.item = found.item
        if alive(self):
            self._show()

    def _show(self) -> None:
        panel = self.query_one("#answer", LineView)
        answer = wrapped(self.item.answer, max(20, self.size.width - 4))
        panel.styles.height = min(len(answer) + 2, _ANSWER_ROWS)
        panel.title(f"{form.module_word(self.item.hit.module)}: {self.item.hit.name}", _where(self.item))
        panel.show([line((f" {part}", self.item.tone or "text")) for part in answer])
        self.query_one("#known", Pager).set(known(self.item, self.size.width))

    # Keys

    def action_move(self, how: str) -> None:
        """Scroll."""
        self.query_one("#known", Pager).move(how)

    def action_find(self) -> None:
        """Ask for another item."""
        self.console.ask_item(self.item.hit.mailbox)

    def copied(self) -> str:
        """All of it, as text."""
        lines = [f"{form.module_word(self.item.hit.module)}: {self.item.hit.name}   {_where(self.item)}"]
        lines += [self.item.answer, ""]
        lines += ["".join(text for text, _ in painted.spans).rstrip() for painted in known(self.item, 140)]
        return "\n".join(lines)

    def action_copy(self) -> None:
        """Copy all of it; the message line tells only how much."""
        text = self.copied()
        self.app.copy_to_clipboard(text)
        self.say(f"Copied the explanation: {len(text.splitlines()):,} lines.")


def _number(item: Item) -> str:
    return "" if item.hit.link is None else f"#{item.hit.link}"


def _where(item: Item) -> str:
    return f"{item.policy}   {_number(item)}".rstrip()


def known(item: Item, width: int) -> list[TextLine]:
    """Fields side by side, then the sections."""
    lines: list[TextLine] = []
    if item.fields:
        lines += _fields(item.fields, width)
    for section in item.sections:
        lines += [line(), line((f" {section.title}", "bold"))]
        for fact in section.facts:
            role = fact.tone or "text"
            for number, part in enumerate(wrapped(fact.text, max(20, width - _LABEL - 5))):
                label = fit(fact.label if not number else "", _LABEL)
                lines.append(line((f"  {label} ", "quiet"), (part, role)))
    return lines


def _fields(fields: tuple[FieldView, ...], width: int) -> list[TextLine]:
    wide = width >= _WIDE
    label = 22 if wide else 16
    last = 30 if wide else 0
    column = (width - label - last - 4) // 3
    head = f" {fit('Field', label)}{fit('CRM', column)}{fit('Last agreed', column)}{fit('Mailbox', column)}"
    lines = [line((head + ("Differs, planned" if wide else ""), "head"))]
    for one in fields:
        role = "alert" if one.differs else "text"
        spans: list[Span] = [(f" {fit(one.label, label)}", "quiet")]
        crm = role if one.differs in {"crm", "both", "first"} else "text"
        mailbox = role if one.differs in {"mailbox", "both", "first"} else "text"
        spans += [
            (fit(one.crm or "-", column - 1) + " ", crm if one.crm else "quiet" if not one.differs else crm),
            (fit(one.agreed or "-", column - 1) + " ", "quiet"),
            (fit(one.mailbox or "-", column - 1) + " ", mailbox if one.mailbox or one.differs else "quiet"),
        ]
        told = ", ".join(part for part in (_DIFFERS[one.differs], f"→ {one.plan}" if one.plan else "") if part)
        if wide:
            lines.append(line(*spans, (told, role if one.differs else "quiet")))
        else:
            lines.append(line(*spans))
            if told:
                lines.append(line((f" {' ' * label}{told}", role if one.differs else "quiet")))
    return lines
