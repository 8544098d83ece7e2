"""A table as CSV or JSON text: pure, the same for screens and for the command line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Sequence

#: A spreadsheet takes a cell that begins so for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """CSV after RFC 4180, with a head; a cell that a spreadsheet would calculate begins with an apostrophe."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(heads)
    writer.writerows([_harmless(cell) for cell in row] for row in rows)
    return out.getvalue()


def as_json(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A JSON array of objects, one a row, with the heads in small letters and underscores as keys."""
    keys = [head.strip().lower().replace(" ", "_") for head in heads]
    found = [dict(zip(keys, row, strict=True)) for row in rows]
    return json.dumps(found, ensure_ascii=False, indent=2) + "\n"


def _harmless(cell: str) -> str:
    if cell.startswith(_FORMULA) and not _number(cell):
        return f"'{cell}"
    return cell


def _number(cell: str) -> bool:
    if cell == "-":
        return True
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return False
    return True
