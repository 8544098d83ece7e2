"""Why a mailbox stands as it does: why no cycle runs now, and what of it does not cross over, by reason and item by item.

The same screen lists the items that fit a question, when there are several.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType

from engine.service import Explanation, Filtered, Hit, Module, Table, why_user
from tui import format as form
from tui import keys
from tui.paint import TextLine, line, wrapped
from tui.screens.alive import alive
from tui.screens.table_frame import TableFrame
from tui.widgets.filter_bar import FilterBar
from tui.widgets.lines import LineView
from tui.widgets.store_table import Column, StoreTable

_ROLE = {
    "filtered": "text",
    "absent": "text",
    "dismissed": "alert",
    "own": "quiet",
    "held": "alert",
    "quarantined": "fault",
}


def _word(row: Hit) -> str:
    return form.MODULE_WORD[Module(row.module)]


_STATE = Column[Hit](
    "k", "State", 12, lambda row, view: (row.state, _ROLE.get(row.state, "text")), lambda row: row.state
)
_MODULE = Column[Hit]("m", "Module", 13, lambda row, view: (_word(row), "text"), _word)
_NAME = Column[Hit]("n", "Name", 16, lambda row, view: (row.name, "text"), lambda row: row.name.lower(), flex=1)
_MAILBOX = Column[Hit](
    "b", "Mailbox", 22, lambda row, view: (row.mailbox, "text"), lambda row: row.mailbox, name=True
)
_REASON = Column[Hit](
    "r", "Why it stays where it is", 24, lambda row, view: (row.reason, "quiet"), lambda row: row.reason, flex=2
)

_NARROW = (_STATE, _MODULE, _NAME, _REASON)
_WIDE = (_STATE, _MODULE, _NAME, _REASON)
_NARROW_HITS = (_STATE, _MODULE, _NAME, _MAILBOX)
_WIDE_HITS = (_STATE, _MODULE, _NAME, _MAILBOX, _REASON)


def _fields(row: Hit) -> Mapping[str, str]:
    return {
        "is": row.state,
        "module": _word(row),
        "in": row.side,
        "": f"{row.state} {_word(row)} {row.name.lower()} {row.mailbox} {row.reason.lower()}",
    }


class WhyScreen(TableFrame):
    """Opened from Queue, a user's page or a monitor; or with the items that fit a question."""

    BINDINGS: ClassVar[list[BindingType]] = keys.bindings(keys.WHY)
    PANE, TAB = keys.WHY, keys.QUEUE
    LISTENS = (Table.USERS, Table.POLICIES, Table.JOBS)
    FILTER_KEYS = ("is", "module", "in")

    def __init__(self, mailbox: str | None, hits: Explanation | None = None) -> None:
        super().__init__()
        self.mailbox = mailbox
        self._hits = hits
        self._rows: dict[str, Hit] = {}
        self._page: Filtered | None = None
        self._reading = False
        if hits is not None:
            self._take(hits.hits)

    def path(self) -> str:
        """Where we are."""
        if self._hits is not None:
            return f"Queue / items that fit {self._hits.query!r}"
        return f"Queue / {self.mailbox} / why"

    def body(self) -> ComposeResult:
        """Why it does not run, what does not cross over, and how much of it for which reason."""
        yield LineView(self.view, id="answer", classes="panel")
        yield FilterBar(self.view, hint="is:filtered module:contacts text", completions=self.completions)
        columns = (_NARROW, _WIDE) if self._hits is None else (_NARROW_HITS, _WIDE_HITS)
        yield StoreTable[Hit](
            self.view,
            lambda: self._rows,
            columns,
            _fields,
            lambda row: (row.link is None, row.link or 0, row.remote_id),
            lambda row: row.state in {"dismissed", "quarantined"},
            self._empty,
            "item",
            "number",
        )
        yield LineView(self.view, id="counts", classes="panel")

    def on_mount(self) -> None:
        """Read what does not cross over."""
        super().on_mount()
        counts = self.query_one("#counts", LineView)
        counts.display = self._hits is None
        if self._hits is None:
            self._read(0)

    def _read(self, after: int) -> None:
        if not self._reading and self.mailbox is not None:
            self._reading = True
            self.console.fetch_filtered(self.mailbox, after, self._came)

    def _came(self, page: Filtered) -> None:
        self._reading = False
        self._page = page
        self._take(page.rows)
        if alive(self):
            self.table.reorder()
            self.paint_bar()
            self.paint_details()

    def _take(self, hits: tuple[Hit, ...]) -> None:
        for hit in hits:
            self._rows[f"#{hit.link}" if hit.link is not None else f"{hit.mailbox} {hit.remote_id}"] = hit

    def _empty(self) -> str:
        if self._page is None and self._hits is None:
            return "Reading what does not cross over …"
        return "Every item that was read crosses over: nothing is filtered. F explains any item."

    def total(self) -> str:
        """How much stays on its side."""
        if self._hits is not None:
            return form.count(len(self._rows), "item") + (" and more" if self._hits.more else "")
        if self._page is None:
            return "reading"
        every = sum(one.count for one in self._page.counts if one.kind != "own")
        return f"{form.number(len(self._rows))} of {form.count(every, 'item')}"

    def paint_details(self) -> None:
        """The answer above, the reasons below; another page when the cursor has come to the end of this one."""
        told = self._told()
        answer = self.query_one("#answer", LineView)
        answer.styles.height = len(told) + 2
        answer.show(told)
        counts = self.query_one("#counts", LineView)
        counts.title("What does not cross over, by reason", "↵ explains the item, F any other")
        counts.show(self._counts(counts.size.width, counts.size.height))
        page = self._page
        order = self.table.order
        if page is not None and page.after is not None and order and self.table.current == order[-1]:
            self._read(page.after)

    def _told(self) -> list[TextLine]:
        width = max(20, self.size.width - 4)
        if self._hits is not None:
            self.query_one("#answer", LineView).title("Which one?")
            more = " Name more of it to see fewer." if self._hits.more else ""
            text = f"{form.count(len(self._rows), 'item')} fit {self._hits.query!r}; ↵ explains the one you choose.{more}"
            return [line(f" {part}") for part in wrapped(text, width)]
        assert self.mailbox is not None
        self.query_one("#answer", LineView).title(f"Why {self.mailbox} does not run now")
        if self.mailbox not in self.store.users:
            return [line((f" {self.mailbox} is no user of any policy.", "alert"))]
        return [
            line((f" {part}", "text" if not number else "quiet"))
            for number, sentence in enumerate(
                why_user(self.store, self.mailbox, self.view.now_ms, self.view.moment)
            )
            for part in wrapped(sentence, width)
        ]

    def _counts(self, width: int, height: int) -> list[TextLine]:
        if self._page is None:
            return []
        shown = [
            line(
                (f" {one.count:>7,} ", "alert" if one.kind == "dismissed" else "text"),
                (f"{form.MODULE_WORD[Module(one.module)]:<14}", "quiet"),
                one.reason,
            )
            for one in self._page.counts
        ]
        if len(shown) > height > 0:
            rest = len(shown) - height + 1
            shown = [*shown[: height - 1], line((f"         and {form.count(rest, 'reason')} more", "quiet"))]
        return shown or [line((" Nothing stays behind.", "quiet"))]

    # Keys

    def action_open(self) -> None:
        """Explain the item under the cursor."""
        row = self._rows.get(self.table.current or "")
        if row is not None:
            self.console.open_explained(f"#{row.link}" if row.link is not None else row.remote_id, row.mailbox)

    def action_why(self) -> None:
        """The same."""
        self.action_open()

    def action_find(self) -> None:
        """Ask for any item."""
        self.console.ask_item(self.mailbox)
