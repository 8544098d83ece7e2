"""A SOQL tree to SQLite: joins for parent paths, conditions, order; names are checked against the objects."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import ids, soql_dates, stamps
from engine.sandbox.salesforce.errors import SfError
from engine.sandbox.salesforce.objects import OBJECTS, find
from engine.sandbox.salesforce.schema import FieldDef, ObjectDef
from engine.sandbox.salesforce.soql_parse import Compare, Condition, Logic, Order, Path, Query, Value, fault

_SEE_WSDL = "Please reference your WSDL or the describe call for the appropriate names."


@dataclass(frozen=True, slots=True)
class Column:
    """What a path means in SQL. A path over a polymorphic lookup has one expression over all its targets."""

    sql: str
    definition: FieldDef


@dataclass(frozen=True, slots=True)
class Table:
    """A joined parent: the SQL alias per possible object."""

    aliases: tuple[tuple[ObjectDef, str], ...]


@dataclass
class Scope:
    """One FROM with the parents joined so far.

    Attributes:
        source: the object.
        query: for error positions and the alias.
        now: the server's present, aware.
        zone: the running user's zone, in which date literals are days.
    """

    source: ObjectDef
    query: Query
    now: datetime
    zone: str
    alias: str = "t"
    joins: dict[tuple[str, ...], Table] = field(default_factory=dict)
    clauses: list[str] = field(default_factory=list)

    @property
    def text(self) -> str:
        """The query as it was written."""
        return self.query.text

    def from_sql(self) -> str:
        """The FROM clause with its joins; ask for it after everything else was translated."""
        return " ".join([f"FROM {self.source.table} {self.alias}", *self.clauses])

    def parts(self, path: Path) -> tuple[str, ...]:
        """The path without the query's own alias or object name in front."""
        parts = path.parts
        if len(parts) == 1 or parts[0].lower() in self.source.relations:
            return parts
        if parts[0].lower() in (self.query.alias.lower(), self.source.name.lower()):
            return parts[1:]
        return parts

    def table(self, steps: tuple[str, ...], at: int) -> Table:
        """The parents at the end of relationship steps, joined once."""
        if not steps:
            return Table(((self.source, self.alias),))
        key = tuple(step.lower() for step in steps)
        if key in self.joins:
            return self.joins[key]
        before = self.table(steps[:-1], at)
        made: list[tuple[ObjectDef, str]] = []
        for definition, alias in before.aliases:
            link = definition.relations.get(key[-1])
            if link is None:
                continue
            for target in link.refers:
                name = f"j{len(self.clauses)}"
                self.clauses.append(
                    f"LEFT JOIN {OBJECTS[target].table} {name} ON {name}.Id = {alias}.{link.name}"
                )
                made.append((OBJECTS[target], name))
        if not made:
            message = (
                f"Didn't understand relationship '{steps[-1]}' in field path. If you are attempting to use a custom "
                f"relationship, be sure to append the '__r' after the custom relationship name. {_SEE_WSDL}"
            )
            raise fault(self.text, at, "INVALID_FIELD", message)
        self.joins[key] = Table(tuple(made))
        return self.joins[key]

    def column(self, path: Path) -> Column:
        """The SQL expression of a path.

        Raises:
            SfError: ``INVALID_FIELD``.
        """
        *steps, name = self.parts(path)
        table = self.table(tuple(steps), path.at)
        if len(table.aliases) == 1:
            definition, alias = table.aliases[0]
            found = definition.by_lower.get(name.lower())
            if found is None:
                raise no_column(self.text, path.at, name, definition.name)
            if not found.stored:
                message = f"field '{found.name}' can not be filtered, sorted or grouped in a query call"
                raise fault(self.text, path.at, "INVALID_FIELD", message)
            return Column(f"{alias}.{found.name}", found)
        if name.lower() == "type":
            cases = " ".join(f"WHEN {alias}.Id IS NOT NULL THEN '{each.name}'" for each, alias in table.aliases)
            return Column(f"CASE {cases} END", FieldDef("Type", "string", "Type"))
        parts, shown = [], None
        for definition, alias in table.aliases:
            wanted = definition.name_field if name.lower() == "name" else name
            found = definition.by_lower.get(wanted.lower())
            if found is not None and found.stored:
                parts.append(f"{alias}.{found.name}")
                shown = shown or found
        if shown is None:
            raise no_column(self.text, path.at, name, "Name")
        return Column(parts[0] if len(parts) == 1 else f"COALESCE({', '.join(parts)})", shown)


def make_scope(world: World, source: ObjectDef, query: Query, user: str) -> Scope:
    """The FROM of a query with the present and the running user's zone."""
    found = world.db.execute("SELECT TimeZoneSidKey FROM sf_User WHERE Id = ?", (user,)).fetchone()
    now = datetime.fromtimestamp(world.clock.now_ms() / 1000, UTC)
    return Scope(source, query, now, found[0] if found and found[0] else "UTC")


def no_column(text: str, at: int, name: str, entity: str) -> SfError:
    """The refusal of an unknown field in a query."""
    message = (
        f"No such column '{name}' on entity '{entity}'. If you are attempting to use a custom field, be sure to "
        f"append the '__c' after the custom field name. {_SEE_WSDL}"
    )
    return fault(text, at, "INVALID_FIELD", message)


def source_of(query: Query) -> ObjectDef:
    """The object that a query reads.

    Raises:
        SfError: ``INVALID_TYPE``.
    """
    found = find(query.source)
    if found is None:
        message = (
            f"sObject type '{query.source}' is not supported. If you are attempting to use a custom object, be sure "
            f"to append the '__c' after the entity name. {_SEE_WSDL}"
        )
        raise fault(query.text, query.source_at, "INVALID_TYPE", message)
    return found


# -- conditions --------------------------------------------------------------------------------------------


def where(scope: Scope, condition: Condition, args: list[Any]) -> str:
    """The SQL of a condition; appends its arguments to ``args``."""
    if isinstance(condition, Logic):
        parts = [where(scope, part, args) for part in condition.parts]
        if condition.op == "not":
            # A comparison with an empty field is unknown in SQL and false in SOQL.
            return f"NOT COALESCE({parts[0]}, 0)"
        return "(" + f" {condition.op.upper()} ".join(parts) + ")"
    column = scope.column(condition.path)
    definition = column.definition
    if definition.type == "textarea" and definition.length > 255:
        message = f"field '{definition.name}' can not be filtered in a query call"
        raise fault(scope.text, condition.path.at, "INVALID_FIELD", message)
    if isinstance(condition.value, Query):
        inner = _inner(scope, condition.value, args)
        negation = "NOT " if condition.op == "notin" else ""
        return f"{column.sql} {negation}IN ({inner})"
    if isinstance(condition.value, tuple):
        return _in(scope, column, condition, condition.value, args)
    return _compare(scope, column, condition, condition.value, args)


def _inner(scope: Scope, query: Query, args: list[Any]) -> str:
    source = source_of(query)
    inner = Scope(source, query, scope.now, scope.zone, alias=f"{scope.alias}s")
    if len(query.items) != 1 or not isinstance(query.items[0], Path):
        raise fault(scope.text, query.source_at, "MALFORMED_QUERY", "a semi join selects exactly one field")
    column = inner.column(query.items[0])
    own: list[Any] = []
    conditions = [f"{inner.alias}.IsDeleted = 0", f"{column.sql} IS NOT NULL"]
    if query.where is not None:
        conditions.append(where(inner, query.where, own))
    args.extend(own)
    # Joined aliases of the inner query shadow those outside, which SQL allows.
    return f"SELECT {column.sql} {inner.from_sql()} WHERE {' AND '.join(conditions)}"


def _in(scope: Scope, column: Column, condition: Compare, values: tuple[Value, ...], args: list[Any]) -> str:
    if any(value.kind == "literal" for value in values):
        parts = [Compare(condition.path, "=", value, condition.at) for value in values]
        text = "(" + " OR ".join(_compare(scope, column, each, each.value, args) for each in parts) + ")"  # type: ignore[arg-type]
        return f"NOT COALESCE({text}, 0)" if condition.op == "notin" else text
    plain = [_plain(scope, column.definition, value) for value in values]
    null = any(value is None for value in plain)
    plain = [value for value in plain if value is not None]
    marks = ", ".join("?" * len(plain))
    args.extend(plain)
    sql = f"{column.sql}{_collation(column.definition)}"
    if condition.op == "in":
        return f"({sql} IN ({marks})" + (f" OR {column.sql} IS NULL)" if null else ")")
    return f"({sql} NOT IN ({marks})" + (
        f" AND {column.sql} IS NOT NULL)" if null else f" OR {column.sql} IS NULL)"
    )


def _compare(scope: Scope, column: Column, condition: Compare, value: Value, args: list[Any]) -> str:
    op, sql = condition.op, column.sql
    if op == "like":
        if value.kind != "string" or not column.definition.text:
            message = f"invalid operator on {column.definition.type} field"
            raise fault(scope.text, condition.at, "INVALID_QUERY_FILTER_OPERATOR", message)
        args.append(value.value)
        return f"{sql} LIKE ? ESCAPE '\\'"
    if value.kind == "literal":
        return _date_literal(scope, column, condition, value, args)
    plain = _plain(scope, column.definition, value)
    if plain is None:
        if op not in ("=", "!="):
            return "0"
        return f"{sql} IS NULL" if op == "=" else f"{sql} IS NOT NULL"
    args.append(plain)
    collation = _collation(column.definition)
    if op == "!=":
        return f"({sql} IS NULL OR {sql} <> ?{collation})"
    return f"{sql} {op} ?{collation}"


def _date_literal(scope: Scope, column: Column, condition: Compare, value: Value, args: list[Any]) -> str:
    literal, count = value.value
    zone = ZoneInfo(scope.zone)
    try:
        days = soql_dates.span(literal, count, scope.now.astimezone(zone).date())
    except (ValueError, OverflowError):
        raise fault(scope.text, value.at, "MALFORMED_QUERY", f"date out of range: {literal}:{count}") from None
    if days is None:
        raise fault(scope.text, value.at, "MALFORMED_QUERY", f"unexpected token: '{literal}'")
    kind = column.definition.type
    if kind not in ("date", "datetime"):
        raise _wrong_type(scope, column.definition, value)
    if kind == "date":
        start, end = (day.isoformat() for day in days)
    else:
        start, end = (stamps.from_datetime(datetime.combine(day, time(), zone)) for day in days)
    sql = column.sql
    match condition.op:
        case "=":
            args.extend((start, end))
            return f"({sql} >= ? AND {sql} < ?)"
        case "!=":
            args.extend((start, end))
            return f"({sql} IS NULL OR {sql} < ? OR {sql} >= ?)"
        case "<":
            args.append(start)
            return f"{sql} < ?"
        case "<=":
            args.append(end)
            return f"{sql} < ?"
        case ">":
            args.append(end)
            return f"{sql} >= ?"
    args.append(start)
    return f"{sql} >= ?"


def _plain(scope: Scope, definition: FieldDef, value: Value) -> Any:
    """The stored form of a literal that is compared with a field; ``None`` for null and the empty text."""
    if value.kind == "null":
        return None
    kind = definition.type
    if kind in ("id", "reference"):
        if value.kind != "string":
            raise _wrong_type(scope, definition, value)
        if value.value == "":
            return None
        normal = ids.normal(value.value)
        if normal is None:
            raise fault(
                scope.text, value.at, "INVALID_QUERY_FILTER_OPERATOR", f"invalid ID field: {value.value}"
            )
        return normal
    if definition.text:
        if value.kind != "string":
            raise _wrong_type(scope, definition, value)
        return value.value or None
    if kind == "boolean" and value.kind == "boolean":
        return int(value.value)
    if (
        kind in ("int", "double", "currency", "percent")
        and value.kind == "number"
        and abs(value.value) < 10**18
    ):
        return value.value
    try:
        if kind == "datetime" and value.kind == "datetime":
            return stamps.canonical(value.value)
        if kind == "date" and value.kind == "date":
            return stamps.canonical_date(value.value)
    except (ValueError, OverflowError):
        raise fault(scope.text, value.at, "MALFORMED_QUERY", f"invalid date: {value.value}") from None
    raise _wrong_type(scope, definition, value)


def _wrong_type(scope: Scope, definition: FieldDef, value: Value) -> SfError:
    known = {"datetime": "dateTime", "date": "date", "boolean": "boolean", "int": "int"}
    wanted = "string" if definition.text else known.get(definition.type, "double")
    quotes = "should be" if definition.text else "should not be"
    message = (
        f"value of filter criterion for field '{definition.name}' must be of type {wanted} and {quotes} enclosed in "
        "quotes"
    )
    return fault(scope.text, value.at, "INVALID_FIELD", message)


def _collation(definition: FieldDef) -> str:
    """Texts are compared without case, ids and case-sensitive keys with it."""
    if definition.text and definition.type not in ("id", "reference") and not definition.sensitive:
        return " COLLATE NOCASE"
    return ""


def order_by(scope: Scope, orders: tuple[Order, ...]) -> str:
    """The ORDER BY clause, empty when there is none. Empty values come first unless told."""
    parts = []
    for each in orders:
        column = scope.column(each.path)
        text = column.sql + _collation(column.definition) + (" DESC" if each.descending else "")
        if each.nulls_last:
            text += " NULLS LAST"
        elif each.descending:
            text += " NULLS FIRST"
        parts.append(text)
    return " ORDER BY " + ", ".join(parts) if parts else ""
