"""The conflict inbox: fields that both sides changed, with the CRM's, the last agreed and the mailbox's value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import ConflictRow, DecideConflict, Keep, Module, Table
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, fit, line, wrapped
from tui.screens.alive import alive
from tui.screens.edit_value import EditValue
from tui.screens.table_frame import TableFrame
from tui.view import View
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

#: In place of no value.
NOTHING = "(empty)"

#: Blanks between the three columns of the field under the cursor.
_GAP = 2


def _word(row: ConflictRow) -> str:
    return form.MODULE_WORD[Module(row.module)]


def _value(text: str, row: ConflictRow) -> Span:
    return (text or NOTHING, "quiet" if row.decided or not text else "text")


def _item(row: ConflictRow, view: View) -> Span:
    return (f"✓ {row.name}", "quiet") if row.decided else (f"! {row.name}", "alert")


_ITEM = Column[ConflictRow]("n", "Item", 14, _item, lambda row: row.name.lower(), flex=2)
_FIELD = Column[ConflictRow](
    "f", "Field", 13, lambda row, view: (row.label, "text"), lambda row: row.label, flex=1
)
_CRM = Column[ConflictRow]("c", "CRM", 14, lambda row, view: _value(row.crm, row), lambda row: row.crm, flex=3)
_AGREED = Column[ConflictRow](
    "a", "Last agreed", 12, lambda row, view: (row.agreed or NOTHING, "quiet"), lambda row: row.agreed, flex=2
)
_THEIRS = Column[ConflictRow](
    "b", "Mailbox", 14, lambda row, view: _value(row.theirs, row), lambda row: row.theirs, flex=3
)
_USER = Column[ConflictRow](
    "u", "User", 20, lambda row, view: (row.mailbox, "text"), lambda row: row.mailbox, flex=1, name=True
)
_MODULE = Column[ConflictRow]("m", "Module", 13, lambda row, view: (_word(row), "text"), _word)
_SINCE = Column[ConflictRow](
    "s", "Since", 13, lambda row, view: (view.past(row.since_ms, "-"), "text"), lambda row: row.since_ms
)

_NARROW = (_ITEM, _FIELD, _CRM, _AGREED, _THEIRS)
_OF_ONE = (_ITEM, _MODULE, _FIELD, _CRM, _AGREED, _THEIRS, _SINCE)
_OF_MANY = (_USER, _ITEM, _FIELD, _CRM, _AGREED, _THEIRS, _SINCE)


def _fields(row: ConflictRow) -> Mapping[str, str]:
    values = " ".join((row.crm, row.agreed, row.theirs)).lower()
    return {
        "is": "decided" if row.decided else "open",
        "module": _word(row),
        "field": row.label.lower(),
        "user": row.mailbox.lower(),
        "": f"{row.mailbox.lower()} {_word(row)} {row.name.lower()} {row.label.lower()} {values}",
    }


class ConflictsScreen(TableFrame):
    """The inbox of one mailbox, opened from Queue or from a user's page; or of all mailboxes of a policy."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.CONFLICTS)
    PANE, TAB = keys.CONFLICTS, keys.QUEUE
    LISTENS = (Table.USERS,)
    FILTER_KEYS = ("is", "module", "field", "user")

    def __init__(self, *, mailbox: str | None = None, policy: str | None = None) -> None:
        super().__init__()
        self.mailbox, self.policy = mailbox, policy
        self._rows: dict[str, ConflictRow] = {}
        self._read = False
        self._seen: tuple[object, ...] = ()

    def path(self) -> str:
        """Where we are."""
        return (
            f"Queue / {self.mailbox} / conflicts" if self.mailbox else f"Policies / {self.policy} / conflicts"
        )

    def body(self) -> ComposeResult:
        """Filter, table, the field under the cursor."""
        yield FilterBar(
            self.view, hint="is:open module:contacts field:phone text", completions=self.completions
        )
        yield StoreTable[ConflictRow](
            self.view,
            lambda: self._rows,
            (_NARROW, _OF_ONE if self.mailbox else _OF_MANY),
            _fields,
            lambda row: (bool(row.decided), row.mailbox, row.since_ms, row.id),
            lambda row: not row.decided,
            self._empty,
            "field",
            "age",
        )
        yield LineView(self.view, id="item", classes="panel")

    def on_mount(self) -> None:
        """Read what waits."""
        super().on_mount()
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read again what waits."""
        self.console.fetch_conflicts(self.mailbox, self.policy, self._came)

    def _came(self, found: list[ConflictRow]) -> None:
        self._rows = {str(row.id): row for row in found}
        self._read = True
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        if not self._read:
            return "Reading what waits …"
        where = "in this mailbox" if self.mailbox else "in any mailbox of this policy"
        return f"No conflict waits for you {where}. The rule ask of a policy, a module or a field brings some here."

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read again when the number of conflicts or the state of a user has changed."""
        now = tuple(
            (row.id, row.conflicts, row.state)
            for row in self.store.users.values()
            if self.mailbox in (None, row.id) and self.policy in (None, row.policy)
        )
        if self._read and now != self._seen:
            self.refresh_rows()
        self._seen = now
        super().paint(dirty)

    def total(self) -> str:
        """How much waits."""
        if not self._read:
            return "reading"
        waits = sum(not row.decided for row in self._rows.values())
        decided = len(self._rows) - waits
        return f"{form.count(waits, 'field')} waiting" + (f", {decided:,} decided" if decided else "")

    def paint_details(self) -> None:
        """The field under the cursor, whole."""
        panel = self.query_one("#item", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Field")
            panel.show([])
        else:
            panel.title(f"{row.label} of {row.name}", f"{_word(row)}, {row.mailbox}   id {row.id}")
            panel.show(details(row, self.view, panel.size.width, panel.size.height))

    # Keys

    def action_keep_side(self, side: str) -> None:
        """Both sides get the value that stands on this one."""
        rows = [self._rows[key] for key in self.table.chosen() if key in self._rows]
        commands = [
            DecideConflict(mailbox, tuple(row.id for row in rows if row.mailbox == mailbox), Keep(side))
            for mailbox in dict.fromkeys(row.mailbox for row in rows)
        ]
        if not commands:
            self.say("No field is chosen.")
        elif len(rows) == 1:
            self.send(*commands)
        else:
            told = [text for command in commands for text in self.engine.what_happens(command)]
            title = f"Keep the {'CRM' if side == Keep.CRM else 'mailbox'}'s value of {form.count(len(rows), 'field')}"
            self.send(*commands, confirm=list(dict.fromkeys(told)), title=title)

    def action_why(self) -> None:
        """Explain the item."""
        row = self._rows.get(self.table.current or "")
        if row is not None:
            self.console.open_explained(f"#{row.link}", row.mailbox)

    def action_edit(self) -> None:
        """Type a value for both sides."""
        row = self._rows.get(self.table.current or "")
        if row is None:
            self.say("No field is chosen.")
        elif len(self.table.marks) > 1:
            self.say("A value is typed for one field at a time; esc takes the marks away.")
        else:
            chosen = row

            def typed(text: str | None) -> None:
                if text is not None:
                    self.send(DecideConflict(chosen.mailbox, (chosen.id,), Keep.EDIT, text))

            refusal = self.engine.refusal
            self.app.push_screen(EditValue(self.view, chosen, lambda text: refusal(chosen, text)), typed)


class PolicyConflictsScreen(ConflictsScreen):
    """Opened from Policies, and part of that tab."""

    TAB = keys.POLICIES


def details(row: ConflictRow, view: View, width: int, height: int) -> list[TextLine]:
    """The three values side by side, why the field waits, and what can be done."""
    room = max(12, (width - 1 - 2 * _GAP) // 3)
    heads = (
        ("CRM", row.crm_ms, row.crm),
        ("last agreed", None, row.agreed),
        ("mailbox", row.mailbox_ms, row.theirs),
    )
    lines = [line(" ", *_beside([_head(name, at, view) for name, at, _ in heads], room, "quiet"))]
    below: list[TextLine] = [line((f" {part}", "alert")) for part in wrapped(row.decided or row.why, width - 4)]
    below.append(
        line(
            *(
                (" < ", "key"),
                "keep the CRM's  ",
                (" > ", "key"),
                "keep the mailbox's  ",
                (" e ", "key"),
                "type another",
            )
        )
    )
    columns = [wrapped(value or NOTHING, room) for _, _, value in heads]
    shown = max(1, min(max(map(len, columns)), height - len(lines) - len(below)))
    for number in range(shown):
        cut = number == shown - 1
        lines.append(line(" ", *_beside([_part(column, number, cut) for column in columns], room, "text")))
    return [*lines, *below]


def _head(name: str, at: int | None, view: View) -> str:
    return f"{name}, {view.past(at)}" if at is not None else name


def _part(column: Sequence[str], number: int, cut: bool) -> str:
    if number >= len(column):
        return ""
    return column[number] + (" …" if cut and number + 1 < len(column) else "")


def _beside(texts: Sequence[str], room: int, role: str) -> list[Span]:
    *first, last = texts
    return [*((fit(text, room + _GAP), role) for text in first), (fit(last, room), role)]
