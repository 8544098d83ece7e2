"""Statements that are built and compiled once, and handed to SQLite's driver without a detour.

Building a statement costs 20 to 200 us and running a built one through SQLAlchemy another 20 us, where the driver needs 2 us:
measured, half of the processor time of a cycle. A ``Statement`` is declared at module level as SQLAlchemy Core, so
the schema and its types stay in one place; it is compiled at its first use. On another database than SQLite it is
executed as any other statement.
"""

from __future__ import annotations

import sqlite3
from collections import namedtuple
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from operator import itemgetter
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.visitors import replacement_traverse

from engine.ledger.schema import Doc, dump, load

T = TypeVar("T")
Unit = TypeVar("Unit", bound=Callable[..., Any])

#: Ids per IN list. Lists are padded to powers of two, so that few texts are prepared and all of them are found again.
CHUNK = 512


def chunks(values: Iterable[T], size: int = CHUNK) -> Iterator[list[T]]:
    """Lists of at most ``size`` values."""
    iterator = iter(values)
    while piece := list(islice(iterator, size)):
        yield piece


def _pieces(values: Iterable[T]) -> Iterable[list[T]]:
    if isinstance(values, list) and len(values) <= CHUNK:
        return (values,) if values else ()  # most are short
    return chunks(values)


def at_once(unit: Unit) -> Unit:
    """Mark a unit that reads a few rows by key, in microseconds: it is run where it is asked for.

    Handing a unit to a thread and back costs ten times as much as such a unit itself, and an idle cycle is made of them.
    """
    unit.at_once = True  # type: ignore[attr-defined]
    return unit


@dataclass(frozen=True, slots=True)
class _Slot:
    """Where the value of a placeholder comes from: a constant, a parameter, or a list of ``size`` values."""

    name: str | None
    constant: Any = None
    convert: Callable[[Any], Any] | None = None
    size: int = 0


@dataclass(frozen=True, slots=True)
class _Plan:
    """A compiled statement: its text, how its placeholders are filled from what is given, and how a row is read."""

    sql: str
    arguments: Callable[[Mapping[str, Any]], Sequence[Any]]
    make: Callable[[Iterable[Any]], Any] | None
    convert: tuple[tuple[int, Callable[[Any], Any]], ...]

    def read(self, rows: list[Any]) -> list[Any]:
        """Rows of the driver as named rows, documents parsed."""
        make = self.make
        assert make is not None
        if not self.convert:
            return list(map(make, rows))
        found = []
        for row in rows:
            values = list(row)
            for index, convert in self.convert:
                if values[index] is not None:
                    values[index] = convert(values[index])
            found.append(make(values))
        return found


def _filling(slots: Sequence[_Slot]) -> Callable[[Mapping[str, Any]], Sequence[Any]]:
    """How the values of all placeholders are taken out of what is given: at once where it can be done."""
    names = [slot.name for slot in slots]
    if not all(slot.name is not None and slot.convert in (None, dump) and not slot.size for slot in slots):
        return partial(_one_by_one, tuple(slots))
    documents = tuple(place for place, slot in enumerate(slots) if slot.convert is dump)
    pick: Callable[[Any], tuple[Any, ...]]
    if len(names) > 1:
        pick = itemgetter(*names)
    else:
        pick = partial(_few, tuple(filter(None, names)))
    return partial(_with_documents, pick, documents) if documents else pick


def _few(names: tuple[str, ...], given: Mapping[str, Any]) -> tuple[Any, ...]:
    return (given[names[0]],) if names else ()


def _with_documents(
    pick: Callable[[Any], tuple[Any, ...]], documents: tuple[int, ...], given: Mapping[str, Any]
) -> list[Any]:
    values = list(pick(given))
    for place in documents:
        values[place] = dump(values[place])
    return values


def _one_by_one(slots: tuple[_Slot, ...], given: Mapping[str, Any]) -> list[Any]:
    values: list[Any] = []
    for slot in slots:
        if slot.name is None:
            values.append(slot.constant)
        elif slot.size:
            several = given[slot.name]
            values += several
            if len(several) < slot.size:
                values += [several[-1]] * (slot.size - len(several))
        elif slot.convert is None:
            values.append(given[slot.name])
        else:
            values.append(slot.convert(given[slot.name]))
    return values


def _size(count: int) -> int:
    return 1 if count < 2 else 1 << (count - 1).bit_length()


class Statement:
    """A statement of the ledger, compiled once.

    Parameters are ``sa.bindparam(name)``; a list for ``IN`` is ``sa.bindparam(name, expanding=True)`` and must not be empty.

    Args:
        statement: Core; or, for an insert with a conflict clause, a function of the dialect's ``insert``.
        columns: of an insert or update without ``values``, the names that its rows bring.
    """

    def __init__(self, statement: Any, columns: Sequence[str] = ()) -> None:
        self._given = statement
        self._columns = list(columns) or None
        self._lists: tuple[str, ...] | None = None
        #: By the sizes that its lists are padded to.
        self._plans: dict[tuple[int, ...], _Plan] = {}
        #: The same by the lengths of the lists as they were given.
        self._known: dict[int | tuple[int, ...], _Plan] = {}
        #: Of a statement without lists, which has but one plan.
        self._only: _Plan | None = None
        self._portable: Any = None

    def built(self, insert: Callable[..., Any]) -> Any:
        """The Core statement, for the dialect whose ``insert`` is given."""
        return self._given(insert) if callable(self._given) else self._given

    # -- running ---------------------------------------------------------------------------------------

    def rows(self, connection: sa.Connection, **given: Any) -> list[Any]:
        """Run it and return all rows, with their columns as attributes."""
        if connection.dialect.name != "sqlite":
            return list(connection.execute(self._core(), given).all())
        plan = self._only or self._plan(connection, given)
        try:
            found = _driver(connection).execute(plan.sql, plan.arguments(given)).fetchall()
        except sqlite3.Error as error:
            raise _wrapped(connection, plan, error) from error
        return plan.read(found) if found else found

    def first(self, connection: sa.Connection, **given: Any) -> Any:
        """The first row, or None."""
        found = self.rows(connection, **given)
        return found[0] if found else None

    def one(self, connection: sa.Connection, **given: Any) -> Any:
        """The only row.

        Raises:
            sqlalchemy.exc.NoResultFound: there is none.
        """
        found = self.rows(connection, **given)
        if not found:
            raise sa.exc.NoResultFound("the ledger has no such row")
        return found[0]

    def scalar(self, connection: sa.Connection, **given: Any) -> Any:
        """The first column of the first row, or None."""
        found = self.rows(connection, **given)
        return found[0][0] if found else None

    def scalars(self, connection: sa.Connection, **given: Any) -> list[Any]:
        """The first column of all rows."""
        return [row[0] for row in self.rows(connection, **given)]

    def among(
        self, connection: sa.Connection, values: Iterable[Any], /, *, of: str = "ids", **given: Any
    ) -> list[Any]:
        """The rows for a list of any length, which goes piece by piece into the list parameter ``of``."""
        found: list[Any] = []
        for piece in _pieces(values):
            found += self.rows(connection, **{of: piece}, **given)
        return found

    def run(self, connection: sa.Connection, **given: Any) -> int:
        """Run a statement that returns nothing; the number of rows it touched."""
        if connection.dialect.name != "sqlite":
            return int(connection.execute(self._core(), given).rowcount)
        plan = self._only or self._plan(connection, given)
        try:
            return int(_driver(connection).execute(plan.sql, plan.arguments(given)).rowcount)
        except sqlite3.Error as error:
            raise _wrapped(connection, plan, error) from error

    def run_among(
        self, connection: sa.Connection, values: Iterable[Any], /, *, of: str = "ids", **given: Any
    ) -> None:
        """Run it for a list of any length, which goes piece by piece into the list parameter ``of``."""
        for piece in _pieces(values):
            self.run(connection, **{of: piece}, **given)

    def many(self, connection: sa.Connection, rows: Sequence[Mapping[str, Any]]) -> None:
        """Run it once for each row of parameters; does nothing for none."""
        if not rows:
            return
        if connection.dialect.name != "sqlite":
            connection.execute(self._core(), list(rows))
            return
        plan = self._only or self._plan(connection, rows[0])
        try:
            _driver(connection).executemany(plan.sql, [plan.arguments(row) for row in rows])
        except sqlite3.Error as error:
            raise _wrapped(connection, plan, error) from error

    # -- compiling -------------------------------------------------------------------------------------

    def _core(self) -> Any:
        if self._portable is None:
            self._portable = self.built(postgresql.insert)
        return self._portable

    def _plan(self, connection: sa.Connection, given: Mapping[str, Any]) -> _Plan:
        lists = self._lists
        if lists is None:
            return self._compile(connection.dialect, given)
        lengths = len(given[lists[0]]) if len(lists) == 1 else tuple([len(given[name]) for name in lists])
        plan = self._known.get(lengths)
        if plan is None:
            sizes = tuple([_size(len(given[name])) for name in lists])
            plan = self._plans.get(sizes) or self._compile(connection.dialect, given)
            self._known[lengths] = plan
        return plan

    def _compile(self, dialect: sa.Dialect, given: Mapping[str, Any]) -> _Plan:
        core = _constants_written_out(self.built(sqlite.insert))
        compiled = core.compile(dialect=dialect, column_keys=self._columns)
        # Parameters without a value are the caller's; the others are constants of the statement.
        asked = {name for name, bind in compiled.binds.items() if bind.required}
        lists = tuple(name for name in sorted(asked) if compiled.binds[name].expanding)
        key = tuple(_size(len(given[name])) for name in lists)
        sizes = dict(zip(lists, key, strict=True))
        state = compiled.construct_expanded_state(
            {name: list(range(sizes[name])) if name in sizes else None for name in asked}
        )
        origin = {
            piece: name
            for name, pieces in state.parameter_expansion.items()
            if name in sizes
            for piece in pieces
        }
        slots: list[_Slot] = []
        for name in state.positiontup or ():
            source = origin.get(name, name)
            bind = compiled.binds.get(source)
            convert = None if bind is None else _to_driver(bind.type, dialect)
            if source in sizes:
                if not slots or slots[-1].name != source or state.parameter_expansion[source][0] == name:
                    slots.append(_Slot(source, size=sizes[source]))
            elif source in asked:
                slots.append(_Slot(source, convert=convert))
            else:
                value = state.parameters[name]
                slots.append(_Slot(None, convert(value) if convert is not None else value))
        plan = _Plan(state.statement, _filling(slots), *_reader(core, dialect))
        self._lists = lists
        self._plans[key] = plan
        self._only = None if lists else plan
        return plan


def _constants_written_out(core: Any) -> Any:
    """The statement with its constants as literals in its text; parameters that callers give stay parameters.

    SQLite plans a statement anew at every execution (300 to 800 us for a join) as soon as a bound value is compared with
    a column of some partial index's condition, such as ``deleted = ?`` beside ``WHERE deleted = 0``; and with a bound
    value it can use such an index only by planning anew.
    """

    def written_out(element: Any, **_options: Any) -> Any:
        if isinstance(element, sa.BindParameter) and not element.required:
            return element.render_literal_execute()
        return None

    return replacement_traverse(core, {}, written_out)


def _to_driver(kind: Any, dialect: sa.Dialect) -> Callable[[Any], Any] | None:
    """How values of a type are handed to the driver; None: as they are."""
    if isinstance(kind, Doc):
        return dump
    convert: Callable[[Any], Any] | None = kind.dialect_impl(dialect).bind_processor(dialect)
    return convert


def _reader(core: Any, dialect: sa.Dialect) -> tuple[Any, tuple[tuple[int, Callable[[Any], Any]], ...]]:
    """How rows of a statement are made, and which columns have to be converted."""
    columns = list(getattr(core, "exported_columns", ()) or ())
    if not columns:
        return None, ()
    row = namedtuple("Row", [column.name for column in columns])  # type: ignore[misc]
    convert = []
    for index, column in enumerate(columns):
        processor = (
            load
            if isinstance(column.type, Doc)
            else column.type.dialect_impl(dialect).result_processor(dialect, None)
        )
        if processor is not None:
            convert.append((index, processor))
    # What ``row._make`` does, without its check of the length: SQLite answers with as many columns as it was asked for.
    return partial(tuple.__new__, row), tuple(convert)


def _driver(connection: sa.Connection) -> Any:
    # The driver's own connection. ``driver_connection`` is the same one for SQLite, but asks pool and dialect for it each time;
    # and ``connection`` asks each time whether it is still there.
    return (connection._dbapi_connection or connection.connection).dbapi_connection


def _wrapped(connection: sa.Connection, plan: _Plan, error: sqlite3.Error) -> BaseException:
    """The driver's error as SQLAlchemy tells it; never with the parameters, which people wrote."""
    return sa.exc.DBAPIError.instance(
        plan.sql, None, error, sqlite3.Error, hide_parameters=True, dialect=connection.dialect
    )
