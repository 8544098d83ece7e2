"""Small helpers for statements over many ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.ledger.statement import CHUNK, Statement, chunks

__all__ = [
    "CHUNK",
    "chunks",
    "insert",
    "insert_ids",
    "inserting",
    "one_of",
    "select_in",
    "set_columns",
    "setting",
]


def select_in(
    connection: sa.Connection, query: sa.Select[Any], column: sa.ColumnElement[Any], values: Sequence[Any]
) -> Iterator[sa.Row[Any]]:
    """The rows of ``query`` whose ``column`` is one of ``values``."""
    for piece in chunks(values):
        yield from connection.execute(query.where(column.in_(piece)))


def one_of(column: sa.ColumnElement[Any], name: str = "ids") -> sa.ColumnElement[bool]:
    """The condition that a column is one of a list that is given later under ``name``."""
    return column.in_(sa.bindparam(name, expanding=True))


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
    names = tuple(rows[0])
    first = (_last_id(table).scalar(connection) or 0) + 1
    given = [{"id": first + number, **row} for number, row in enumerate(rows)]
    inserting(table, ("id", *names)).many(connection, given)
    return list(range(first, first + len(rows)))


@cache
def _last_id(table: sa.Table) -> Statement:
    return Statement(sa.select(sa.func.max(table.c.id).label("last")))


@cache
def inserting(table: sa.Table, columns: tuple[str, ...]) -> Statement:
    """An insert of rows that bring these columns."""
    return Statement(sa.insert(table), columns)


@cache
def setting(table: sa.Table, key: str, columns: tuple[str, ...]) -> Statement:
    """An update of columns of the rows whose ``key`` is the parameter ``which``; the values are named ``new_<column>``."""
    values: dict[str, Any] = {name: sa.bindparam(f"new_{name}") for name in columns}
    return Statement(sa.update(table).where(table.c[key] == sa.bindparam("which")).values(**values))


def set_columns(connection: sa.Connection, table: sa.Table, key: str, which: Any, /, **values: Any) -> None:
    """Change columns of the rows of a table whose ``key`` is ``which``."""
    given = {f"new_{name}": value for name, value in values.items()}
    setting(table, key, tuple(values)).run(connection, which=which, **given)


def insert(connection: sa.Connection, table: sa.Table) -> Any:
    """An insert that knows ``on_conflict_do_update``, in the dialect at hand."""
    return (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(table)
