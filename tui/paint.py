"""Text with roles to strips of cells. What comes from outside is cleaned here: no control character passes."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from rich.cells import cell_len, chop_cells, set_cell_size
from rich.segment import Segment
from rich.style import Style
from textual.strip import Strip

from tui.signs import to_ascii
from tui.theme import Palette

Span = tuple[str, str]


class TextLine(NamedTuple):
    """One painted line: texts with the names of their styles, and a style below all of it."""

    spans: tuple[Span, ...]
    base: str = ""


EMPTY = TextLine(())

#: Cells that are kept for the domain of an address that is too long.
_DOMAIN = 6


def line(*spans: Span | str, base: str = "") -> TextLine:
    """A line from texts and (text, role) pairs."""
    return TextLine(tuple((span, "text") if isinstance(span, str) else span for span in spans), base)


def clean(text: str) -> str:
    """Without control characters, joiners and direction marks, which move the cursor or change the width."""
    if text.isprintable() and "\ufe0f" not in text:
        return text
    return "".join(
        char if char.isprintable() and char != "\ufe0f" else " " if char in "\t\n\r" else "" for char in text
    )


def fit(text: str, width: int, right: bool = False) -> str:
    """Exactly ``width`` cells: padded, or cut with an ellipsis."""
    text = clean(text)
    cells = cell_len(text)
    if cells == width:
        return text
    if cells > width:
        return "" if width < 1 else set_cell_size(text, width - 1) + "…"
    pad = " " * (width - cells)
    return pad + text if right else text + pad


def fit_name(text: str, width: int, right: bool = False) -> str:
    """``fit`` for names and addresses, which are told apart by their ends as well: what is too long is cut in its middle.

    Of an address the domain gives way first: ``ann.berg@acme…mple``.
    """
    text = clean(text)
    cells = cell_len(text)
    if cells <= width:
        return fit(text, width, right)
    local, at, domain = text.rpartition("@")
    if not at or width < 2 * _DOMAIN:
        return fit(_middle_out(text, width), width)
    room = min(max(width - cell_len(local) - 1, _DOMAIN), cell_len(domain))
    return fit(f"{_middle_out(local, width - 1 - room)}@{_middle_out(domain, room)}", width)


def _middle_out(text: str, width: int) -> str:
    """At most ``width`` cells of a text: as much of its beginning as of its end."""
    if cell_len(text) <= width or width < 3:
        return text
    end = (width - 1) // 2
    return set_cell_size(text, width - 1 - end) + "…" + set_cell_size(text[::-1], end)[::-1]


def between(left: Iterable[Span], right: Iterable[Span], width: int) -> TextLine:
    """Left and right parts with blanks between them; the right part wins when both do not fit."""
    left, right = list(left), list(right)
    room = width - sum(cell_len(clean(text)) for text, _ in right)
    spans: list[Span] = []
    for text, role in left:
        cells = cell_len(clean(text))
        if cells > room - 1:
            if room > 1:
                spans.append((fit(text, room - 1), role))
                room = 1
            break
        spans.append((text, role))
        room -= cells
    return TextLine((*spans, (" " * max(0, room), "text"), *right))


def strip(painted: TextLine, width: int, palette: Palette, ascii_only: bool, ground: Style) -> Strip:
    """The cells of a line, exactly ``width`` wide; what is too long ends in an ellipsis."""
    base = ground + palette[painted.base] if painted.base else ground
    segments: list[Segment] = []
    room = width
    for text, role in painted.spans:
        if room <= 0:
            break
        shown = clean(to_ascii(text) if ascii_only else text)
        cells = cell_len(shown)
        if cells > room:
            shown = fit(shown, room)
            shown = to_ascii(shown) if ascii_only else shown
            cells = room
        room -= cells
        segments.append(Segment(shown, base + palette[role]))
    if room > 0:
        segments.append(Segment(" " * room, base))
    return Strip(segments, width)


def wrapped(text: str, width: int) -> list[str]:
    """Words wrapped to ``width`` cells; a continuation is indented like its line, a word that is too long is cut."""
    text = clean(text)
    indent = text[: len(text) - len(text.lstrip())]
    room = max(1, width - len(indent))
    out: list[str] = []
    current = ""
    for word in text.split():
        if current and cell_len(current) + 1 + cell_len(word) > room:
            out.append(indent + current)
            current = ""
        *full, rest = chop_cells(word, room) or [""]
        if full:
            out += [indent + part for part in (current, *full) if part]
            current = ""
        current = f"{current} {rest}" if current else rest
    return [*out, indent + current]
