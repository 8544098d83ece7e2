"""A table that owns no rows: it keeps the order of ids and paints the visible rows from the store.

A changed row costs one painted line, whatever the number of rows; cursor and marks are ids, so that a live sort never
moves them onto another row.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable, Mapping, Sequence, Set
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, Generic, TypeVar

from textual import events
from textual.message import Message

from tui.filter import Filter
from tui.paint import Span, TextLine, clean, fit, fit_name, line, wrapped
from tui.view import View
from tui.widgets.lines import LineView

R = TypeVar("R")

#: A live sort is applied at most this often, and not this soon after a key (milliseconds).
SORT_EVERY_MS = 1000
SORT_AFTER_KEY_MS = 2000

#: So many rows that changed their place are put there one by one; for more than these, sorting all is cheaper.
_FEW = 200

#: Rows looked at for the completion of a filter, and values kept of each field.
_SAMPLE, _VALUES = 2000, 200

_GUTTER = 2

#: From so many cells on the wide columns are shown.
_WIDE = 118


@dataclass(frozen=True)
class Column(Generic[R]):
    """One column.

    Attributes:
        letter: chooses it in the sort menu.
        title: its head.
        width: cells; the least when ``flex`` is given.
        cell: text and role of a row's cell.
        order: what to sort by; never None.
        right: numbers are right-aligned.
        flex: share of the cells that are left over.
        name: cells are names or addresses, by which rows are told apart: they are cut in the middle.
    """

    letter: str
    title: str
    width: int
    cell: Callable[[R, View], Span]
    order: Callable[[R], Any]
    right: bool = False
    flex: int = 0
    name: bool = False


class StoreTable(LineView, Generic[R]):
    """A live table over rows of the store.

    Args:
        view: the admin's view.
        rows: the rows by id; asked at each pull.
        columns: narrow and wide columns (below 120 cells, and from there on).
        fields: lower-case texts of a row for the filter.
        urgency: the default order.
        alike: what ``urgency`` depends on. Rows that are alike in it have the same urgency, so that it is asked once for
            each kind of row and not for each of 50,000 rows.
        faulty: whether a row is in fault (the key for the next fault).
        empty: what to say when there is no row at all.
        noun: one row in a word.
        ordered: the default order in a word.
    """

    DEFAULT_CSS = "StoreTable { height: 1fr; }"

    class Moved(Message):
        """The cursor is on another row, or the rows were sorted or filtered."""

    def __init__(
        self,
        view: View,
        rows: Callable[[], Mapping[str, R]],
        columns: tuple[tuple[Column[R], ...], tuple[Column[R], ...]],
        fields: Callable[[R], Mapping[str, str]],
        urgency: Callable[[R], Any],
        faulty: Callable[[R], bool],
        empty: Callable[[], str],
        noun: str,
        ordered: str = "urgency",
        *,
        alike: Callable[[R], Hashable] | None = None,
        id: str | None = None,
    ) -> None:
        super().__init__(view, id=id)
        self._rows, self._columns, self._fields = rows, columns, fields
        self._urgency, self._faulty, self._empty, self._noun = urgency, faulty, empty, noun
        self._ordered, self._alike = ordered, alike
        self.order: list[str] = []
        self.cursor: str | None = None
        self.marks: set[str] = set()
        self.filter = Filter()
        self.search = Filter()
        self.sort_letter = ""
        self.reversed = False
        self._passing: set[str] | None = None  # what the filter lets through; None without a filter
        self._ranks: dict[str, Any] = {}  # of rows that changed, when they were last sorted
        self._stale: set[str] = set()
        self._all_stale = False
        self._at = self._top = 0
        self._sorted_ms = self._key_ms = -SORT_AFTER_KEY_MS
        self._second = -1

    # What the screen asks

    @property
    def columns(self) -> tuple[Column[R], ...]:
        """The columns of this width: of the wide ones those that fit, the last give way."""
        width = self.size.width
        if width < _WIDE:
            return self._columns[0]
        columns = self._columns[1]
        room = width - _GUTTER + 1
        while len(columns) > 1 and sum(column.width + 1 for column in columns) > room:
            columns = columns[:-1]
        return columns

    @property
    def current(self) -> str | None:
        """The id under the cursor; None when no row is shown."""
        return self.cursor if self._at < len(self.order) and self.order[self._at] == self.cursor else None

    @property
    def row(self) -> R | None:
        """The row under the cursor."""
        return None if self.current is None else self._rows().get(self.current)

    @property
    def below(self) -> int:
        """Rows that follow below those shown."""
        return max(0, len(self.order) - self._top - self._page)

    def chosen(self) -> list[str]:
        """Marked ids in the order shown, or the one under the cursor."""
        rows = self._rows()
        shown = [key for key in self.order if key in self.marks and key in rows] if self.marks else []
        marked = shown + sorted(key for key in self.marks.difference(shown) if key in rows)
        return marked or ([self.current] if self.current is not None and self.current in rows else [])

    def sort_name(self) -> str:
        """The head of the column that sorts, with an arrow."""
        arrow = "▾" if self.reversed else "▴"
        for column in self._columns[1]:
            if column.letter == self.sort_letter:
                return f"{column.title} {arrow}"
        return f"{self._ordered} {arrow}"

    # What the screen does

    def pull(self, dirty: set[str] | None) -> None:
        """Take over what changed: ids, or None for everything."""
        now = self.view.now_ms
        rested = now - self._sorted_ms >= SORT_EVERY_MS
        if dirty is None:
            self._all_stale = True
            if rested or not self.order:
                self._order_all()
            self._paint_all()
            return
        self._stale |= dirty
        due = (self._stale or self._all_stale) and rested and now - self._key_ms >= SORT_AFTER_KEY_MS
        if (due and self._order_stale()) or now // 1000 != self._second:
            self._paint_all()
        else:
            for y, key in enumerate(self.order[self._top : self._top + self._page], 1):
                if key in dirty:
                    self.put(y, self._paint(key))

    def reorder(self) -> None:
        """Filter and sort all rows now."""
        self._order_all()
        self._paint_all()
        self.post_message(self.Moved())

    def set_filter(self, chosen: Filter) -> None:
        """Show only what passes."""
        self.filter = chosen
        self.reorder()

    def set_sort(self, letter: str) -> None:
        """Sort by a column; the same column again turns the order round; "" is urgency."""
        self.reversed = not self.reversed if letter == self.sort_letter else False
        self.sort_letter = letter
        self.reorder()

    def reverse(self) -> None:
        """Turn the order round."""
        self.reversed = not self.reversed
        self.reorder()

    def move(self, how: str) -> None:
        """Move the cursor: up, down, page_up, page_down, home, end."""
        steps = {
            "up": -1,
            "down": 1,
            "page_up": -self._page,
            "page_down": self._page,
            "home": -len(self.order),
            "end": len(self.order),
        }
        self.go(self._at + steps[how])

    def go(self, place: int) -> None:
        """Put the cursor on a place in the order."""
        self._key_ms = self.view.now_ms
        if not self.order:
            return
        place = max(0, min(place, len(self.order) - 1))
        before, top = self._at, self._top
        self.cursor, self._at = self.order[place], place
        self._scroll(place)
        if top != self._top:
            self._paint_all()
        else:
            for each in {before, place}:
                if self._top <= each < self._top + self._page and each < len(self.order):
                    self.put(each - self._top + 1, self._paint(self.order[each]))
        self.post_message(self.Moved())

    def select(self, key: str) -> bool:
        """Put the cursor on an id; False when it is not shown."""
        if key not in self.order:
            return False
        self.go(self.order.index(key))
        return True

    def mark(self) -> None:
        """Mark or unmark the row under the cursor and go on to the next."""
        if self.current is not None:
            self.marks ^= {self.current}
            self.move("down")
            self._paint_all()

    def mark_all(self, on: bool) -> None:
        """Mark all shown, or none."""
        self.marks = set(self.order) if on else set()
        self._paint_all()
        self.post_message(self.Moved())

    def match(self, step: int) -> bool:
        """Go to the next (1) or previous (-1) row that the search, or the filter, finds."""
        chosen = self.search or self.filter
        rows = self._rows()
        return self._seek(step, lambda key: key in rows and chosen.matches(self._fields(rows[key])))

    def fault(self) -> bool:
        """Go to the next row in fault."""
        rows = self._rows()
        return self._seek(1, lambda key: key in rows and self._faulty(rows[key]))

    def nothing(self) -> str:
        """What is said where no row is shown, with the key that helps."""
        if self.filter.source:
            return f"No {self._noun} matches {self.filter.source}. esc clears the filter."
        return self._empty()

    def row_text(self) -> str:
        """The row under the cursor as text, cells separated by tabs."""
        row = self.row
        return (
            "" if row is None else "\t".join(column.cell(row, self.view)[0].strip() for column in self.columns)
        )

    def values(self, keys: Sequence[str]) -> dict[str, list[str]]:
        """What the first rows hold in the fields of a filter, for its completion."""
        found: dict[str, dict[str, None]] = {key: {} for key in keys}
        for row in islice(self._rows().values(), _SAMPLE):
            fields = self._fields(row)
            for key in keys:
                if fields.get(key):
                    found[key][fields[key]] = None
        return {key: list(values)[:_VALUES] for key, values in found.items()}

    def exported(self) -> tuple[list[str], list[list[str]]]:
        """Heads and cells of the marked rows, or of all that are shown: every column, times in full."""
        rows, columns = self._rows(), self._columns[1]
        view = replace(self.view, relative=False, exact=True)
        keys = [key for key in self.order if key in rows and (not self.marks or key in self.marks)]
        heads = [column.title for column in columns]
        return heads, [[clean(column.cell(rows[key], view)[0]).strip() for column in columns] for key in keys]

    # Order

    def _rank(self) -> Callable[[R], Any]:
        """What to sort by."""
        for column in self._columns[1]:
            if column.letter == self.sort_letter:
                return column.order
        return self._urgency

    def _order_all(self) -> None:
        rows = self._rows()
        self._passing = (
            {key for key, row in rows.items() if self.filter.matches(self._fields(row))}
            if self.filter
            else None
        )
        self.marks &= rows.keys()
        self._ranks.clear()
        self._sort()

    def _order_stale(self) -> bool:
        """Take the rows that changed to where they belong; False when they are there already."""
        if self._all_stale:
            self._order_all()
            return True
        rows, rank = self._rows(), self._rank()
        moved: set[str] = set()
        for key in self._stale:
            row = rows.get(key)
            if self._passing is not None:
                passes = row is not None and self.filter.matches(self._fields(row))
                if passes != (key in self._passing):
                    moved.add(key)
                (self._passing.add if passes else self._passing.discard)(key)
            now = None if row is None else rank(row)
            if key not in self._ranks or self._ranks[key] != now:
                moved.add(key)
            self._ranks[key] = now
        self._stale.clear()
        if moved:
            self._sort(moved)
        return bool(moved)

    def _sort(self, moved: Set[str] | None = None) -> None:
        """Order all rows; when only the rows ``moved`` have left their places, these."""
        rows, rank, passing = self._rows(), self._rank(), self._passing
        self._stale.clear()
        self._all_stale = False
        self._sorted_ms = self.view.now_ms
        shown = rows if passing is None else {key: row for key, row in rows.items() if key in passing}
        if moved is not None and len(moved) <= _FEW:
            self._put_back(moved, shown)
        elif rank is self._urgency and self._alike is not None:
            self.order = self._in_kinds(shown, self._alike)
        else:
            self.order = [key for _, key in sorted(zip(map(rank, shown.values()), shown, strict=True))]
        if self.reversed:
            self.order.reverse()
        if self.order and (self._at >= len(self.order) or self.order[self._at] != self.cursor):
            if self.cursor is not None and self.cursor in shown:
                self._at = self.order.index(self.cursor)
            else:
                self._at = min(self._at, len(self.order) - 1)
                self.cursor = self.order[self._at]
                self.post_message(self.Moved())
        if self.order:
            self._scroll(self._at)

    def _put_back(self, moved: Set[str], shown: Mapping[str, R]) -> None:
        """Take rows out of the order and put them where they belong now; all others keep their places."""
        rank = self._rank()
        if self.reversed:
            self.order.reverse()
        order = [key for key in self.order if key not in moved and key in shown]

        def at(key: str) -> tuple[Any, str]:
            return rank(shown[key]), key

        for key in moved & shown.keys():
            order.insert(bisect_left(order, at(key), key=at), key)
        self.order = order

    def _in_kinds(self, rows: Mapping[str, R], alike: Callable[[R], Hashable]) -> list[str]:
        """By urgency, then by id: a sort of strings in each kind, and one of the kinds."""
        kinds: dict[Hashable, list[str]] = {}
        for kind, key in zip(map(alike, rows.values()), rows, strict=True):
            found = kinds.get(kind)
            if found is None:
                kinds[kind] = [key]
            else:
                found.append(key)
        ranks: dict[Any, list[str]] = {}
        for keys in kinds.values():
            ranks.setdefault(self._urgency(rows[keys[0]]), []).extend(keys)
        return [key for rank in sorted(ranks) for key in sorted(ranks[rank])]

    def _seek(self, step: int, wanted: Callable[[str], bool]) -> bool:
        count, at = len(self.order), self._at
        for distance in range(1, count + 1):
            place = (at + step * distance) % count
            if wanted(self.order[place]):
                self.go(place)
                return True
        return False

    # Paint

    @property
    def _page(self) -> int:
        return max(1, self.size.height - 1)

    def _scroll(self, place: int) -> None:
        self._top = min(max(self._top, place - self._page + 1), place)
        self._top = max(0, min(self._top, len(self.order) - self._page))

    def _widths(self) -> list[int]:
        columns = self.columns
        left = self.size.width - _GUTTER + 1 - sum(column.width + 1 for column in columns)
        shares = sum(column.flex for column in columns)
        return [
            column.width + (left * column.flex // shares if shares and left > 0 else 0) for column in columns
        ]

    def _paint_all(self) -> None:
        self._second = self.view.now_ms // 1000
        shown = [self._head()]
        if self.order:
            shown += [self._paint(key) for key in self.order[self._top : self._top + self._page]]
        else:
            told = wrapped(self.nothing(), max(20, self.size.width - 2))
            shown += [line(), *(line((f" {part}", "quiet")) for part in told)]
        self.show(shown)

    def _head(self) -> TextLine:
        spans: list[Span] = [(" " * _GUTTER, "head")]
        for column, width in zip(self.columns, self._widths(), strict=True):
            title = column.title
            if column.letter == self.sort_letter:
                title += " ▾" if self.reversed else " ▴"
            spans.append((fit(title, width, column.right) + " ", "head"))
        return _without_last_blank(spans)

    def _paint(self, key: str) -> TextLine:
        row = self._rows().get(key)
        if row is None:
            return line()
        here = key == self.cursor
        spans: list[Span] = [("*" if key in self.marks else " ", "mark"), ("►" if here else " ", "mark")]
        for column, width in zip(self.columns, self._widths(), strict=True):
            text, role = column.cell(row, self.view)
            shown = fit_name if column.name else fit
            spans.append((shown(text, width, column.right) + " ", role))
        return _without_last_blank(spans, "cursor" if here else "")

    def on_resize(self) -> None:
        """Columns depend on the width."""
        if self.order:
            self._scroll(self._at)
        self._paint_all()

    def on_mouse_scroll_down(self, event: events.MouseScrollDown) -> None:
        """The wheel moves the cursor."""
        event.stop()
        self.move("down")

    def on_mouse_scroll_up(self, event: events.MouseScrollUp) -> None:
        """The wheel moves the cursor."""
        event.stop()
        self.move("up")

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor on the row."""
        if event.y >= 1 and self._top + event.y - 1 < len(self.order):
            self.go(self._top + event.y - 1)


def _without_last_blank(spans: list[Span], base: str = "") -> TextLine:
    """Blanks belong to their cell (one escape code less each), but the last would be cut with an ellipsis."""
    text, role = spans[-1]
    return TextLine((*spans[:-1], (text[:-1], role)), base)
