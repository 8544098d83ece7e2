"""Lists for scripts: rows as a table for people, as one JSON document, or as CSV for spreadsheets.

A list has *records*: dictionaries whose keys are documented in ``docs/cli.md`` and stay. Times are epoch milliseconds in
keys that end in ``_ms``; CSV has them as UTC in ISO 8601, in columns that end in ``_utc``.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
from argparse import Namespace
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, tzinfo
from itertools import islice
from typing import Any

from tui import exits
from tui import filter as language
from tui.exits import Trouble
from tui.out import Out
from tui.printing import plain, table, when

Record = Mapping[str, Any]

#: Records that are printed at once; in between the loop and a slow reader get their turn.
PAGE = 200

#: Longest text in a cell of a table; JSON and CSV have all of it.
LONGEST = 120

#: A spreadsheet takes a text that begins so for a formula.
_FORMULA = ("=", "+", "-", "@")


@dataclass(frozen=True, slots=True)
class Column:
    """A column of the table for people: its head, and the record's key or what to make of the record."""

    head: str
    key: str | Callable[[Record], object]


def chosen(words: Sequence[str], keys: tuple[str, ...]) -> language.Filter:
    """The filter that the words of a command line are.

    Raises:
        Trouble: it names a field that the list has not.
    """
    # A shell takes the quotes off: a word that still has a blank was one word.
    found = language.parse(" ".join(f'"{word}"' if " " in word else word for word in words), keys)
    if found.error:
        raise Trouble(exits.USAGE, found.error[:1].lower() + found.error[1:])
    return found


async def show(
    out: Out,
    given: Namespace,
    records: Iterable[Record],
    columns: Sequence[Column],
    none: str,
    *,
    names: Sequence[str] = (),
    about: Mapping[str, Any] | None = None,
    key: str = "rows",
) -> None:
    """Print a list in the shape that was asked for.

    Args:
        out: where to.
        given: ``json`` and ``csv``.
        records: all with the same keys.
        columns: of the table for people.
        none: what people are told when there is no record.
        names: the keys of the records, for the head of an empty CSV.
        about: what stands beside the records in JSON.
        key: of the records in JSON.
    """
    if given.json:
        await _json(out, records, about or {}, key)
    elif given.csv:
        await show_csv(out, records, names)
    else:
        rows = list(records)
        out.print(as_text(rows, columns, out.zone) if rows else none)
        await out.drain()


def as_text(records: Iterable[Record], columns: Sequence[Column], zone: tzinfo) -> str:
    """The table for people."""
    rows = [[_cell(record, column, zone) for column in columns] for record in records]
    return table([column.head for column in columns], rows)


def _cell(record: Record, column: Column, zone: tzinfo) -> object:
    if callable(column.key):
        return column.key(record)
    value = record[column.key]
    if column.key.endswith("_ms"):
        return when(value, zone)
    if isinstance(value, str):
        return plain(value, LONGEST)
    return "-" if value is None else value


async def _json(out: Out, records: Iterable[Record], about: Mapping[str, Any], key: str) -> None:
    head = "".join(
        f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}, " for name, value in about.items()
    )
    out.print(f"{{{head}{json.dumps(key)}: [", end="")
    first = True
    for page in _pages(records):
        lines = [json.dumps(record, ensure_ascii=False) for record in page]
        out.print(("\n  " if first else ",\n  ") + ",\n  ".join(lines), end="")
        first = False
        await _turn(out)
    out.print("]}" if first else "\n]}")
    await out.drain()


async def show_csv(out: Out, records: Iterable[Record], names: Sequence[str] = ()) -> None:
    """Print records as CSV; ``names`` are the keys, for the head where there is no record."""
    head = list(names)
    for number, page in enumerate(_pages(records)):
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        head = head or list(page[0])
        if number == 0:
            writer.writerow(map(_head, head))
        writer.writerows([csv_cell(name, record[name]) for name in head] for record in page)
        out.print(text.getvalue(), end="")
        names = ()
        await _turn(out)
    if names:  # there was no record
        out.print(",".join(map(_head, names)))
    await out.drain()


def _head(name: str) -> str:
    return f"{name.removesuffix('_ms')}_utc" if name.endswith("_ms") else name


def csv_cell(name: str, value: Any) -> object:
    """A value as CSV has it: times in UTC, nothing for null, no control characters, and no
    text that a spreadsheet would take for a formula.
    """
    if value is None:
        return ""
    if name.endswith("_ms"):
        return f"{datetime.fromtimestamp(value / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple | dict):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, str):
        text = "".join(char if char.isprintable() or char == "\n" else " " for char in value)
        return f"'{text}" if text.startswith(_FORMULA) else text
    return value


def _pages(records: Iterable[Record]) -> Iterator[list[Record]]:
    rest = iter(records)
    while page := list(islice(rest, PAGE)):
        yield page


async def _turn(out: Out) -> None:
    await out.drain()
    await asyncio.sleep(0)
