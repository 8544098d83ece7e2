"""Small helpers for statements over many ids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

T = TypeVar("T")

#: Ids per IN list; SQLite allows 32,766 variables, but shorter statements are cached better.
CHUNK = 500


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Lists of at most ``size`` values."""
    iterator = iter(values)
    while piece := list(islice(iterator, size)):
        yield piece


def select_in(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Sequence[Any]
) -> Iterator[sa.Row[Any]]:
    """The rows of ``query`` whose ``column`` is one of ``values``."""
    for piece in chunks(values):
        yield from connection.execute(query.where(column.in_(piece)))


def insert_ids(connection: sa.Connection, table: sa.Table, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Insert rows into a table with an integer ``id``; returns their ids, in order.

    SQLite returns ids in no certain order, so that SQLAlchemy would insert row by row. There a write transaction is
    alone, hence the ids can be given beforehand.
    """
    if not rows:
        return []
    if connection.dialect.name != "sqlite":
        ids = connection.execute(
            sa.insert(table).returning(table.c.id, sort_by_parameter_order=True), rows
        ).scalars()
        return list(ids)
    first = (connection.execute(sa.select(sa.func.max(table.c.id))).scalar() or 0) + 1
    given = [{"id": first + number, **row} for number, row in enumerate(rows)]
    connection.execute(sa.insert(table), given)
    return [row["id"] for row in given]


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert that knows ``on_conflict_do_update``, in the dialect at hand."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
