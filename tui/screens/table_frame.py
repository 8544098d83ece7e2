"""A screen around one table: filter, search, sort, marks, and the keys that act on rows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from engine.service import Table
from tui import filter as language
from tui import keys
from tui.paint import Span
from tui.screens import exporting
from tui.screens.alive import alive
from tui.screens.frame import Frame
from tui.screens.sort_by import SortBy
from tui.widgets.filter_bar import FilterBar
from tui.widgets.store_table import StoreTable

_OF_ROW = frozenset(
    [
        "filed",
        "open",
        "switch",
        "run",
        "pause",
        "cancel",
        "verify",
        "test",
        "rollout",
        "monitor",
        "held",
        "why",
        "reinitialize",
        "history",
        "undo",
        "delete",
        "keep",
        "invite",
        "restore",
        "use",
        "both",
        "keep_side",
        "edit",
        "duplicate",
        "members",
        "remove",
        "mark",
        "copy",
        "leave_mailboxes",
        "checklist",
        "preview",
        "conflicts",
        "filed",
    ]
)


class TableFrame(Frame):
    """Subclasses yield a ``FilterBar`` and a ``StoreTable`` and name the table's source."""

    SOURCE: ClassVar[Table | None] = None
    FILTER_KEYS: ClassVar[tuple[str, ...]] = ("state",)
    STATES: ClassVar[tuple[str, ...]] = ()

    #: Actions that need no row under the cursor, though they do in other panes.
    WITHOUT_ROW: ClassVar[frozenset[str]] = frozenset()

    _error = ""

    @property
    def table(self) -> StoreTable[object]:
        """The table."""
        return self.query_one(StoreTable)

    @property
    def bar(self) -> FilterBar:
        """The filter bar."""
        return self.query_one(FilterBar)

    def paint(self, dirty: dict[Table, set[str] | None]) -> None:
        """The table's changed rows, the bar, and the details."""
        self.table.pull(dirty[self.SOURCE] if self.SOURCE is not None else None)
        self.paint_bar()
        self.paint_details()

    def paint_bar(self) -> None:
        """Filter and counts."""
        table = self.table
        source = f"/{table.search.source}" if table.search else table.filter.source
        self.bar.show(source, self._error, self._shown())

    def _shown(self) -> list[Span]:
        table = self.table
        parts = [self.total()]
        if table.filter:
            parts.append(f"{len(table.order):,} shown")
        if table.marks:
            parts.append(f"{len(table.marks):,} marked")
        parts.append(f"sort: {table.sort_name()}")
        spans: list[Span] = [("   ".join(parts), "quiet")]
        return spans

    def total(self) -> str:
        """How many rows there are."""
        raise NotImplementedError

    def filter_words(self) -> Mapping[str, Sequence[str]]:
        """The values of filter words that have few: another value is told to be none, rather than to find nothing."""
        return {"state": [*self.STATES, *language.GROUPS]} if self.STATES else {}

    def completions(self, text: str) -> list[str]:
        """What a filter that is being typed could become: by the words there are, and by what the rows hold."""
        slash = "/" if text.startswith("/") else ""
        known = {**self.table.values(self.FILTER_KEYS), **self.filter_words()}
        return [slash + each for each in language.completions(text.removeprefix("/"), self.FILTER_KEYS, known)]

    def paint_details(self) -> None:
        """What is shown of the row under the cursor."""

    def on_store_table_moved(self) -> None:
        """Another row: show its details at once."""
        if alive(self):
            self.paint_bar()
            self.paint_details()

    def on_resize(self) -> None:
        """Widths changed."""
        super().on_resize()

    # Keys

    def why_not(self, action: str) -> str:
        """Keys that act on a row do nothing where there is none."""
        needs_row = action in _OF_ROW and action not in self.WITHOUT_ROW
        if needs_row and self.table.current is None and not self.table.marks:
            return f"There is no row to act on. {self.table.nothing()}"
        if action in ("sort", "reverse", "mark_all", "export") and not self.table.order:
            return f"There are no rows. {self.table.nothing()}"
        return super().why_not(action)

    def action_move(self, how: str) -> None:
        """Move the cursor."""
        self.table.move(how)

    def action_mark(self) -> None:
        """Mark the row."""
        self.table.mark()
        self.paint_bar()

    def action_mark_all(self, on: bool) -> None:
        """Mark all shown, or none."""
        self.table.mark_all(on)

    def action_sort(self) -> None:
        """Ask for the column."""
        columns = [(column.letter, column.title) for column in self.table._columns[1]]
        self.app.push_screen(SortBy(self.view, columns), self._sorted)

    def _sorted(self, letter: str | None) -> None:
        if letter is not None:
            self.table.set_sort(letter)

    def action_reverse(self) -> None:
        """Turn the order round."""
        self.table.reverse()

    def action_fault(self) -> None:
        """Go to the next row in fault."""
        if not self.table.fault():
            self.say("No fault is shown.")

    def action_match(self, step: int) -> None:
        """Go to the next or previous match."""
        table = self.table
        if not (table.search or table.filter):
            self.say("Nothing is looked for. / filters, // searches.")
        elif not table.match(step):
            self.say(f"No match for {(table.search or table.filter).source}.")

    def action_export(self) -> None:
        """Write the rows to a file, or copy them."""
        name = self.path().replace(" / ", "-") or keys.PANES[self.PANE]
        exporting.ask(self, self.table, name)

    def action_filter(self) -> None:
        """Type a filter."""
        table = self.table
        self.bar.open(f"/{table.search.source}" if table.search else table.filter.source)

    def on_filter_bar_typed(self, event: FilterBar.Typed) -> None:
        """Apply what was typed so far; a text that begins with / is looked for, others filter."""
        table = self.table
        searching = event.text.startswith("/")
        chosen = language.parse(event.text.removeprefix("/"), self.FILTER_KEYS, self.filter_words())
        self._error = chosen.error
        offered = [] if event.finished else [each.rpartition(" ")[2] for each in self.completions(event.text)]
        if offered:
            self.say(f"→ completes: {'  '.join(offered)}", "quiet")
        elif chosen.error:
            self.say(chosen.error, "fault")
        if chosen.error:
            pass
        elif searching:
            table.search = chosen
            if table.filter.source:
                table.set_filter(language.Filter())
            if chosen and event.finished and not table.match(1):
                self.say(f"No match for {chosen.source}.")
        else:
            table.search = language.Filter()
            table.set_filter(chosen)
        self.paint_bar()

    def action_back(self) -> None:
        """Close the input, else clear filter, search and marks, else go back."""
        table = self.table
        if self.bar.typing:
            self.bar.close()
        if table.filter.source or table.search or self._error:
            self._error = ""
            table.search = language.Filter()
            table.set_filter(language.Filter())
        elif table.marks:
            table.mark_all(False)
        else:
            super().action_back()

    def copied(self) -> str:
        """The row under the cursor."""
        return self.table.row_text()
