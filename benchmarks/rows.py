"""One measured figure, and how figures are printed and stored."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One figure.

    Attributes:
        name: what was measured.
        value: the figure.
        unit: of ``value``, ``floor`` and ``peer``.
        floor: the least that the providers' rules allow, where there is one.
        peer: a target or somebody else's figure to compare with, where there is no floor.
    """

    name: str
    value: float
    unit: str
    floor: float | None = None
    peer: float | None = None

    @property
    def ratio(self) -> float | None:
        """``value`` divided by floor or peer; ``None`` without one, or when it is zero."""
        base = self.floor if self.floor is not None else self.peer
        return round(self.value / base, 3) if base else None

    def as_json(self) -> dict[str, object]:
        """The row as it is stored."""
        return {**asdict(self), "ratio": self.ratio}


def table(rows: Sequence[Row]) -> str:
    """The rows as aligned text with a heading."""
    heading = ("measured", "value", "unit", "floor", "peer", "ratio")
    cells = [
        (row.name, _number(row.value), row.unit, _number(row.floor), _number(row.peer), _number(row.ratio))
        for row in rows
    ]
    widths = [max(len(line[column]) for line in (heading, *cells)) for column in range(len(heading))]
    lines = [_line(heading, widths), "  ".join("-" * width for width in widths)]
    lines += [_line(line, widths) for line in cells]
    return "\n".join(lines)


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    left = (0, 2)
    return "  ".join(
        cell.ljust(width) if column in left else cell.rjust(width)
        for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
    ).rstrip()


def _number(value: float | None) -> str:
    if value is None:
        return ""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:,.3f}" if abs(value) < 10 else f"{value:,.1f}"


def store(rows: Iterable[Row], path: Path) -> None:
    """Write the rows as a JSON list."""
    path.write_text(json.dumps([row.as_json() for row in rows], indent=1) + "\n", encoding="utf-8")
