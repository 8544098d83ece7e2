"""What waits for an admin in a mailbox, in those of a policy, or in all: held deletes, held twins and quarantine, each with its reason and its ways out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import SETTLES, HeldRow, Module, Settle, SettleHeld, Table, Waits
from tui import filter as language
from tui import format as form
from tui import keys
from tui.paint import Span, TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_KIND: Mapping[Waits, Span] = {
    Waits.DELETE: ("- delete", "alert"),
    Waits.CREATE: ("+ create", "alert"),
    Waits.GUESTS: ("! guest mails", "alert"),
    Waits.TWIN: ("⚑ twin", "alert"),
    Waits.QUARANTINE: ("⊗ quarantine", "fault"),
}

#: Keys of the ways out, as the key table has them, and what each does with an item of that kind.
_WAYS: tuple[tuple[Waits | None, Settle, str, str], ...] = (
    (Waits.DELETE, Settle.APPROVE, "d", "delete it, as it was in the other place"),
    (Waits.GUESTS, Settle.APPROVE, "@", "let it go out; its guests are mailed"),
    (None, Settle.QUIET, "I", "let it go out without a mail to its guests"),
    (None, Settle.RESTORE, "B", "bring it back where it was deleted"),
    (Waits.DELETE, Settle.DISCARD, "K", "keep it until something changes about it"),
    (Waits.GUESTS, Settle.DISCARD, "K", "leave both sides as they are until something changes about it"),
    (None, Settle.ADOPT, "u", "use the item that is there already, and merge both"),
    (None, Settle.BOTH, "b", "create it beside the other"),
    (None, Settle.KEEP, "K", "leave it where it is until it changes"),
    (None, Settle.DISMISS, "K", "dismiss it until it changes on either side"),
    (None, Settle.RETRY, "r", "try it again in the next cycle"),
)

_PLACE = {"crm": "CRM", "mailbox": "mailbox", "": "-"}


def _word(row: HeldRow) -> str:
    return form.MODULE_WORD[Module(row.module)]


_WHY = Column[HeldRow]("w", "Waits", 12, lambda row, view: _KIND[row.kind], lambda row: row.kind.value)
_MODULE = Column[HeldRow]("m", "Module", 13, lambda row, view: (_word(row), "text"), _word)
_NAME = Column[HeldRow](
    "n", "Name", 16, lambda row, view: (row.name, "text"), lambda row: row.name.lower(), flex=1
)
_IN = Column[HeldRow]("i", "In", 8, lambda row, view: (_PLACE[row.side], "text"), lambda row: row.side)
_SINCE = Column[HeldRow](
    "s", "Since", 13, lambda row, view: (view.past(row.since_ms, "-"), "text"), lambda row: row.since_ms or 0
)
_REASON = Column[HeldRow](
    "r", "Reason", 24, lambda row, view: (row.reason, "quiet"), lambda row: row.reason, flex=2
)

_WHOSE = Column[HeldRow](
    "u", "Mailbox", 16, lambda row, view: (row.mailbox, "text"), lambda row: row.mailbox, flex=1, name=True
)
_NARROW = (_WHY, _MODULE, _NAME, _REASON)
_WIDE = (_WHY, _MODULE, _NAME, _IN, _SINCE, _REASON)
_NARROW_ALL = (_WHY, _WHOSE, _NAME, _REASON)
_WIDE_ALL = (_WHY, _WHOSE, _MODULE, _NAME, _IN, _SINCE, _REASON)


def _fields(row: HeldRow) -> Mapping[str, str]:
    return {
        "is": row.kind.value,
        "module": _word(row),
        "in": row.side,
        "user": row.mailbox,
        "policy": row.policy.lower(),
        "": f"{row.kind} {row.mailbox} {_word(row)} {row.name.lower()} {row.reason.lower()}",
    }


class HeldScreen(TableFrame):
    """Opened from Queue and a user's page (one mailbox), from Policies (those of a policy), or by the palette (all)."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.HELD)
    PANE, TAB = keys.HELD, keys.QUEUE
    LISTENS = (Table.USERS,)
    FILTER_KEYS = ("is", "module", "in", "user", "policy")

    def __init__(self, mailbox: str | None = None, policy: str | None = None, filtered: str = "") -> None:
        super().__init__()
        self.mailbox, self.policy = mailbox, policy
        self._begin = filtered
        self._rows: dict[str, HeldRow] = {}
        self._read = False
        self._seen: tuple[object, ...] = ()

    def path(self) -> str:
        """Where we are."""
        if self.mailbox is not None:
            return f"Queue / {self.mailbox} / held items"
        return (
            f"Policies / {self.policy} / held items" if self.policy is not None else "Queue / held items of all"
        )

    def body(self) -> ComposeResult:
        """Filter, table, the item under the cursor."""
        several = self.mailbox is None
        yield FilterBar(self.view, hint="is:delete module:contacts text", completions=self.completions)
        yield StoreTable[HeldRow](
            self.view,
            lambda: self._rows,
            (_NARROW_ALL, _WIDE_ALL) if several else (_NARROW, _WIDE),
            _fields,
            lambda row: (list(_KIND).index(row.kind), list(Module).index(Module(row.module)), row.id),
            lambda row: row.kind is Waits.QUARANTINE,
            self._empty,
            "item",
            "kind",
        )
        yield LineView(self.view, id="item", classes="panel")

    def on_mount(self) -> None:
        """Read what waits."""
        super().on_mount()
        if self._begin:
            self.table.filter = language.parse(self._begin, self.FILTER_KEYS)
        self.refresh_rows()

    def refresh_rows(self) -> None:
        """Read again what waits."""
        self.console.fetch(self.engine.waiting(self.mailbox, self.policy), self._came)

    def _came(self, found: list[HeldRow]) -> None:
        self._rows = {str(row.id): row for row in found}
        self._read = True
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _empty(self) -> str:
        if not self._read:
            return "Reading what waits …"
        where = (
            "in this mailbox" if self.mailbox is not None else "in the policy" if self.policy else "anywhere"
        )
        return f"Nothing waits for you {where}: no delete and no twin is held, nothing is in quarantine."

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """Read again when the number of waiting items or the state of the user has changed."""
        now = self._now()
        if self._read and now != self._seen:
            self.refresh_rows()
        self._seen = now
        super().paint(dirty)

    def _now(self) -> tuple[object, ...]:
        if self.mailbox is not None:
            user = self.store.users.get(self.mailbox)
            return () if user is None else (user.held, user.state)
        if self.policy is not None:
            policy = self.store.policies.get(self.policy)
            return () if policy is None else (policy.held,)
        return (self.store.engine.held,)

    def total(self) -> str:
        """How much waits."""
        return f"{form.count(len(self._rows), 'item')} waiting" if self._read else "reading"

    def paint_details(self) -> None:
        """The item under the cursor, whole."""
        panel = self.query_one("#item", LineView)
        row = self._rows.get(self.table.current or "")
        if row is None:
            panel.title("Item")
            panel.show([])
        else:
            since = f", since {self.view.past(row.since_ms)}" if row.since_ms is not None else ""
            whose = f"   {row.mailbox}" if self.mailbox is None else ""
            panel.title(f"{_word(row)}: {row.name}{whose}", f"in the {_PLACE[row.side]}{since}   id {row.id}")
            panel.show(details(row, panel.size.width, panel.size.height))

    # Keys

    def _chosen(self, how: Settle, kind: Waits | None = None) -> dict[str, list[HeldRow]]:
        """The chosen rows that can be settled so, by mailbox."""
        found: dict[str, list[HeldRow]] = {}
        for key in self.table.chosen():
            row = self._rows.get(key)
            if row is not None and how in SETTLES[row.kind] and kind in {None, row.kind}:
                found.setdefault(row.mailbox, []).append(row)
        return found

    def _commands(self, how: Settle, none: str, kind: Waits | None = None) -> list[SettleHeld]:
        """One command for each mailbox; after saying why there is none."""
        found = self._chosen(how, kind)
        if not found:
            self.say(none)
        return [SettleHeld(mailbox, tuple(row.id for row in rows), how) for mailbox, rows in found.items()]

    def _told(self, commands: Sequence[SettleHeld]) -> list[str]:
        """What the commands are about to do, for the first few mailboxes."""
        lines = [
            text for each in commands[:3] for text in (f"{each.mailbox}:", *self.engine.what_happens(each))
        ]
        return lines + ([f"and in {len(commands) - 3:,} more mailboxes"] if len(commands) > 3 else [])

    def action_delete(self) -> None:
        """Let held deletes through, after the count was typed."""
        commands = self._commands(Settle.APPROVE, "No held delete is chosen; d is for those.", Waits.DELETE)
        number = _count(commands)
        if commands:
            self.send(
                *commands,
                confirm=self._told(commands),
                typed=str(number),
                title=f"Delete {form.count(number, 'item')}",
            )

    def action_invite(self, mail: bool) -> None:
        """Let held changes of meetings go out, with mails to their guests (after their number was typed) or without."""
        how = Settle.APPROVE if mail else Settle.QUIET
        commands = self._commands(
            how, "No held change of a meeting is chosen; @ and I are for those.", Waits.GUESTS
        )
        if not commands:
            return
        if not mail:
            self.send(*commands)
            return
        guests = sum(self._rows[str(key)].guests for each in commands for key in each.ids or ())
        self.send(
            *commands,
            confirm=[
                f"{', '.join(each.mailbox for each in commands[:3])}:",
                f"{form.count(_count(commands), 'change')} will be written, and the provider mails their guests.",
                "Should more guests be concerned by then, they are asked about again.",
            ],
            typed=str(guests),
            title=f"Mail {form.count(guests, 'guest')}",
        )

    def action_restore(self) -> None:
        """Make again what was deleted, after a confirmation."""
        commands = self._commands(Settle.RESTORE, "No held delete is chosen; B is for those.")
        if commands:
            number = form.count(_count(commands), "item")
            self.send(*commands, confirm=self._told(commands), title=f"Bring back {number}")

    def action_use(self) -> None:
        """Use the item that is there already as the twin, after a confirmation."""
        commands = self._commands(Settle.ADOPT, "No held twin is chosen; u is for those.")
        if commands:
            number = form.count(_count(commands), "item")
            self.send(*commands, confirm=self._told(commands), title=f"Use what is there for {number}")

    def action_both(self) -> None:
        """Create it beside its twin."""
        commands = self._commands(Settle.BOTH, "No held twin or create is chosen; b is for those.")
        if commands:
            self.send(*commands)

    def action_keep(self) -> None:
        """Keep it as it is: a delete is given up, a twin stays on its side, an item in quarantine is dismissed."""
        commands = [
            SettleHeld(mailbox, tuple(row.id for row in rows), how)
            for how in (Settle.DISCARD, Settle.KEEP, Settle.DISMISS)
            for mailbox, rows in self._chosen(how).items()
        ]
        if commands:
            self.send(*commands)
        else:
            self.say("No item is chosen that can be kept as it is.")

    def action_why(self) -> None:
        """Explain the item."""
        row = self._rows.get(self.table.current or "")
        if row is not None:
            self.console.open_explained(f"#{row.id}", row.mailbox)

    def action_run(self) -> None:
        """Try again in the next cycle."""
        commands = self._commands(
            Settle.RETRY, "No twin and no item in quarantine is chosen; a held delete needs d or K."
        )
        if commands:
            self.send(*commands)


def _count(commands: Sequence[SettleHeld]) -> int:
    return sum(len(each.ids or ()) for each in commands)


def details(row: HeldRow, width: int, height: int) -> list[TextLine]:
    """Why an item waits, what can be done, and what it holds."""
    lines = [line((f" {part}", _KIND[row.kind][1])) for part in wrapped(row.reason, width - 4)]
    ways = [
        (key, text) for kind, how, key, text in _WAYS if how in SETTLES[row.kind] and kind in {None, row.kind}
    ]
    lines += [line((f" {key} ", "key"), f"{text}") for key, text in ways]
    if row.before:
        if len(lines) + 1 + len(row.before) <= height:
            lines += [line(), *(line((f" {label:<22} ", "quiet"), value) for label, value in row.before)]
        else:
            flow = ", ".join(f"{label}: {value}" for label, value in row.before)
            lines += [line((f" {part}", "quiet")) for part in wrapped(flow, width - 4)]
    return lines
