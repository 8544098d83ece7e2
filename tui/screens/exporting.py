"""The dialog that writes a table to a file of the engine's host, or copies it to the admin's terminal."""

from __future__ import annotations

from tui import export
from tui import format as form
from tui.screens.choose import Choose
from tui.screens.frame import Frame
from tui.widgets.store_table import StoreTable

#: Longest text that is copied, in bytes: terminals and tmux drop longer ones without a word.
MOST_COPIED = 50_000

_WAYS = (
    ("CSV file", "in the engine's data directory, for its user alone"),
    ("JSON file", "the same, as JSON"),
    ("copy CSV", "to the clipboard of your terminal"),
    ("copy JSON", "the same, as JSON"),
)


def ask(screen: Frame, table: StoreTable[object], name: str) -> None:
    """Ask how, and do it."""
    heads, rows = table.exported()
    which = "marked" if table.marks else "shown"
    about = f"{form.count(len(rows), 'row')} {which}, with all columns of a wide screen and whole times."

    def chosen(way: str | None) -> None:
        if way is not None:
            _do(screen, way, name, heads, rows)

    screen.app.push_screen(Choose(screen.view, "Export the table", about, _WAYS, _WAYS[0][0]), chosen)


def _do(screen: Frame, way: str, name: str, heads: list[str], rows: list[list[str]]) -> None:
    ending = "csv" if "CSV" in way else "json"
    text = export.as_csv(heads, rows) if ending == "csv" else export.as_json(heads, rows)
    if way.startswith("copy"):
        size = len(text.encode())
        if size > MOST_COPIED:
            screen.say(
                f"{size:,} bytes are too many for a terminal's clipboard; export a file instead.", "alert"
            )
        else:
            screen.app.copy_to_clipboard(text)
            screen.say(f"Copied {form.count(len(rows), 'row')} as {ending.upper()}.")
        return
    work = screen.engine.export_table(name, ending, text, screen.console.by)
    screen.console.fetch(work, lambda path: screen.say(f"Written on the engine's host: {path}"))
