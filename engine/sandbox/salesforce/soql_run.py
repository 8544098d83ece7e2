"""Running a query: records in the REST shape, pages with a query locator, aggregates and child lists."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import Any

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce import ids, store
from engine.sandbox.salesforce.errors import SfError
from engine.sandbox.salesforce.objects import children_of, of_id
from engine.sandbox.salesforce.schema import FieldDef, ObjectDef
from engine.sandbox.salesforce.soql_aggregate import aggregate
from engine.sandbox.salesforce.soql_parse import Function, Path, Query, fault, parse
from engine.sandbox.salesforce.soql_sql import Column, make_scope, order_by, source_of, where

#: Records per page unless ``Sforce-Query-Options: batchSize=n`` says otherwise (200 to 2,000).
BATCH = 2000

#: An open query is forgotten when so many newer ones were opened.
OPEN_CURSORS = 50

#: Most characters of a query; through a URL far fewer pass.
LONGEST_QUERY = 100_000

ADDRESS_PARTS = ("Street", "City", "State", "PostalCode", "Country")

Tuple = Sequence[Any]
Json = dict[str, Any]


@dataclass
class Cursor:
    """An open query: its plan and the rows that are still to come, by their place in the table."""

    plan: Plan
    rowids: array[int]


@dataclass
class Cursors:
    """The open queries of a server; they do not survive a restart, as the real ones do not survive two days."""

    opened: dict[str, Cursor] = field(default_factory=dict)
    count: int = 0

    def add(self, cursor: Cursor) -> str:
        """Keep an open query; gives its id."""
        self.count += 1
        key = ids.make("01g", self.count)
        self.opened[key] = cursor
        if len(self.opened) > OPEN_CURSORS:
            del self.opened[next(iter(self.opened))]
        return key


@dataclass
class Node:
    """The part of a record that comes from one table: what to show, and from which column of the SQL row."""

    type: str | None
    id_at: int
    places: dict[str, int] = field(default_factory=dict)
    makers: dict[str, Callable[[Tuple], Any]] = field(default_factory=dict)
    parents: dict[str, Node] = field(default_factory=dict)

    def show(self, name: str, value: int | Callable[[Tuple], Any]) -> None:
        """Show a member once: a column as it is, or what a function makes of the SQL row."""
        if name not in self.places:
            # A made member also gets a place, so that members keep the order of the query.
            self.places[name] = value if isinstance(value, int) else self.id_at
            if not isinstance(value, int):
                self.makers[name] = value


class Plan:
    """A query translated: the SQL of its columns and the way from an SQL row to a record."""

    def __init__(self, world: World, query: Query, version: str, user: str) -> None:
        self.query = query
        self.source = source_of(query)
        self._version = version
        self._world = world
        self._user = user
        self.scope = make_scope(world, self.source, query, user)
        self._columns: list[str] = [f"{self.scope.alias}.Id"]
        self.root = Node(self.source.name, 0)
        self.lists: list[tuple[str, Query, ObjectDef, FieldDef]] = []
        for item in query.items:
            if isinstance(item, Query):
                self._child_list(item)
            elif isinstance(item, Function):
                self._fields(item)
            else:
                self._path(item)
        args: list[Any] = []
        conditions = [] if query.all_rows else [f"{self.scope.alias}.IsDeleted = 0"]
        if query.where is not None:
            conditions.append(where(self.scope, query.where, args))
        self.args = args
        self._where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
        self._order = order_by(self.scope, query.order)

    # -- what to select ------------------------------------------------------------------------------------

    def _at(self, sql: str) -> int:
        if sql in self._columns:
            return self._columns.index(sql)
        self._columns.append(sql)
        return len(self._columns) - 1

    def _path(self, path: Path) -> None:
        parts = self.scope.parts(path)
        node = self.root
        for depth in range(1, len(parts)):
            steps = parts[:depth]
            table = self.scope.table(steps, path.at)
            key = steps[-1].lower()
            if key not in node.parents:
                aliases = [alias for _, alias in table.aliases]
                id_sql = (
                    f"{aliases[0]}.Id"
                    if len(aliases) == 1
                    else f"COALESCE({', '.join(f'{a}.Id' for a in aliases)})"
                )
                parent = Node(table.aliases[0][0].name if len(aliases) == 1 else None, self._at(id_sql))
                node.parents[key] = parent
                node.show(
                    _relation_name(self.source if depth == 1 else None, steps[-1]), self._record_of(parent)
                )
            node = node.parents[key]
        definition = self._compound(parts, path)
        if definition is not None:
            base = self.scope.table(parts[:-1], path.at).aliases[0][1]
            node.show(definition.name, self._address(base, definition))
            return
        column = self.scope.column(path)
        name = column.definition.name if len(parts) == 1 or parts[-1].lower() != "name" else "Name"
        node.show(name, self._value(column))

    def _compound(self, parts: tuple[str, ...], path: Path) -> FieldDef | None:
        table = self.scope.table(parts[:-1], path.at)
        found = table.aliases[0][0].by_lower.get(parts[-1].lower())
        return found if found is not None and not found.stored else None

    def _fields(self, function: Function) -> None:
        if function.name != "fields":
            raise fault(
                self.query.text, function.at, "MALFORMED_QUERY", "an aggregate stands beside plain fields"
            )
        kind = function.argument.parts[0].lower() if function.argument else ""
        if kind not in ("all", "standard", "custom"):
            raise fault(self.query.text, function.at, "MALFORMED_QUERY", f"unexpected token: '{kind}'")
        if kind != "standard" and (self.query.limit is None or self.query.limit > 200):
            message = "The SOQL FIELDS function must have a LIMIT of at most 200"
            raise fault(self.query.text, function.at, "MALFORMED_QUERY", message)
        for each in self.source.fields:
            if kind == "all" or each.custom == (kind == "custom"):
                self._path(Path((each.name,), function.at))

    def _child_list(self, inner: Query) -> None:
        found = children_of(self.source, inner.source)
        if found is None:
            message = (
                f"Didn't understand relationship '{inner.source}' in FROM part of query call. If you are attempting to "
                "use a custom relationship, be sure to append the '__r' after the custom relationship name. Please "
                "reference your WSDL or the describe call for the appropriate names."
            )
            raise fault(inner.text, inner.source_at, "INVALID_TYPE", message)
        child, link = found
        name = link.children or child.plural
        self.lists.append((name, inner, child, link))
        self.root.show(name, lambda row: None)

    # -- from an SQL row to a record -----------------------------------------------------------------------

    def _value(self, column: Column) -> int | Callable[[Tuple], Any]:
        at = self._at(column.sql)
        if column.definition.type == "boolean":
            return lambda row: row[at] == 1
        return at

    def _address(self, alias: str, definition: FieldDef) -> Callable[[Tuple], Any]:
        prefix = definition.name.removesuffix("Address")
        places = [(part[0].lower() + part[1:], self._at(f"{alias}.{prefix}{part}")) for part in ADDRESS_PARTS]

        def value(row: Tuple) -> Json | None:
            parts = {name: row[at] for name, at in places}
            if not any(parts.values()):
                return None
            return {**parts, "geocodeAccuracy": None, "latitude": None, "longitude": None}

        return value

    def _record_of(self, node: Node) -> Callable[[Tuple], Any]:
        base = f"/services/data/v{self._version}/sobjects/"
        # Filled in by what the rest of the query shows, hence read when the first record is made.
        names = node.places.keys()
        pick: list[Callable[[Tuple], Any]] = []

        def record(row: Tuple) -> Json | None:
            record_id = row[node.id_at]
            if record_id is None:
                return None
            kind = node.type
            if kind is None:
                found = of_id(record_id)
                kind = found.name if found else "Name"
            if not pick:
                places = list(node.places.values())
                pick.append(itemgetter(*places) if len(places) > 1 else lambda row: (row[places[0]],))
            out: Json = {"attributes": {"type": kind, "url": f"{base}{kind}/{record_id}"}}
            out.update(zip(names, pick[0](row), strict=True))
            for name, value in node.makers.items():
                out[name] = value(row)
            return out

        return record

    def records(self, rows: list[Any]) -> list[Json]:
        """The records of SQL rows, with their child lists."""
        build = self._record_of(self.root)
        out = [build(row) for row in rows]
        shown = [record for record in out if record is not None]
        for name, inner, child, link in self.lists:
            self._fill(shown, [row[0] for row in rows], name, inner, child, link)
        return shown

    def _fill(
        self, shown: list[Json], parents: list[str], name: str, inner: Query, child: ObjectDef, link: FieldDef
    ) -> None:
        plan = Plan(self._world, _renamed(inner, child.name), self._version, self._user)
        at = plan._at(f"{plan.scope.alias}.{link.name}")
        marks = ", ".join("?" * len(parents))
        rows = plan.rows(f"{plan.scope.alias}.{link.name} IN ({marks})", parents, limited=False)
        groups: dict[str, list[Any]] = {}
        for row in rows:
            groups.setdefault(row[at], []).append(row)
        for record, parent in zip(shown, parents, strict=True):
            group = groups.get(parent)
            if group:
                if inner.limit is not None:
                    group = group[: inner.limit]
                records = plan.records(group)
                record[name] = {"totalSize": len(records), "done": True, "records": records}

    # -- running -------------------------------------------------------------------------------------------

    def rows(self, extra: str = "", extra_args: Sequence[Any] = (), *, limited: bool = True) -> list[Any]:
        """The SQL rows of the query, of those that also meet ``extra``."""
        sql = f"SELECT {', '.join(self._columns)} {self._tail(extra, limited)}"
        return self._world.db.execute(sql, (*self.args, *extra_args)).fetchall()

    def rowids(self) -> array[int]:
        """The places of all rows of the query in the table, in the query's order."""
        sql = f"SELECT {self.scope.alias}.rowid {self._tail('', True)}"
        return array("q", (row[0] for row in self._world.db.execute(sql, self.args)))

    def by_rowids(self, rowids: array[int]) -> list[Any]:
        """The SQL rows at these places, in that order; what was purged since is missing."""
        marks = ", ".join(map(str, rowids))
        alias = self.scope.alias
        sql = f"SELECT {', '.join(self._columns)}, {alias}.rowid {self.scope.from_sql()} WHERE {alias}.rowid IN ({marks})"
        found = {row[-1]: row for row in map(tuple, self._world.db.execute(sql))}
        return [found[rowid] for rowid in rowids if rowid in found]

    def first(self, most: int) -> list[Any]:
        """The first SQL rows, one more than ``most`` when there are more."""
        sql = f"SELECT {', '.join(self._columns)} {self._tail('', True)}"
        return self._world.db.execute(sql, self.args).fetchmany(most + 1)

    def _tail(self, extra: str, limited: bool) -> str:
        where_ = self._where
        if extra:
            where_ += f" AND {extra}" if where_ else f" WHERE {extra}"
        limit = ""
        if limited and (self.query.limit is not None or self.query.offset is not None):
            limit = (
                f" LIMIT {-1 if self.query.limit is None else self.query.limit} OFFSET {self.query.offset or 0}"
            )
        return f"{self.scope.from_sql()}{where_}{self._order}{limit}"


def run(
    world: World, cursors: Cursors, text: str, *, user: str, version: str, everything: bool, batch: int = BATCH
) -> Json:
    """Answer ``/query`` (or ``/queryAll`` with ``everything``): the first page.

    Raises:
        SfError: ``MALFORMED_QUERY``, ``INVALID_FIELD``, ``INVALID_TYPE`` and other refusals of the real parser.
    """
    if len(text) > LONGEST_QUERY:
        message = f"SOQL statements can not be longer than {LONGEST_QUERY} characters"
        raise SfError("MALFORMED_QUERY", message, 400)
    query = parse(text)
    if query.offset is not None and query.offset > 2000:
        raise fault(text, 0, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
    if everything:
        query = _with_deleted(query)
    if query.all_rows:
        store.purge(world, source_of(query))
    functions = [item for item in query.items if isinstance(item, Function) and item.name != "fields"]
    if functions or query.group:
        return aggregate(world, query, functions, user)
    plan = Plan(world, query, version, user)
    if plan.lists:
        batch = min(batch, 200)
    rows = plan.first(batch)
    if len(rows) <= batch:
        records = plan.records(rows)
        return {"totalSize": len(records), "done": True, "records": records}
    cursor = Cursor(plan, plan.rowids())
    return _page(cursors.add(cursor), cursor, plan.records(rows[:batch]), batch, version)


def more(cursors: Cursors, locator: str, version: str, batch: int = BATCH) -> Json:
    """Answer ``/query/<locator>``: the page that begins where the locator says.

    Raises:
        SfError: ``INVALID_QUERY_LOCATOR``.
    """
    key, _, start = locator.partition("-")
    cursor = cursors.opened.get(key)
    if cursor is None or not start.isdigit() or int(start) >= len(cursor.rowids):
        raise SfError("INVALID_QUERY_LOCATOR", "invalid query locator", 400)
    if cursor.plan.lists:
        batch = min(batch, 200)
    end = int(start) + batch
    records = cursor.plan.records(cursor.plan.by_rowids(cursor.rowids[int(start) : end]))
    return _page(key, cursor, records, end, version)


def _page(key: str, cursor: Cursor, records: list[Json], end: int, version: str) -> Json:
    out: Json = {"totalSize": len(cursor.rowids), "done": end >= len(cursor.rowids)}
    if not out["done"]:
        out["nextRecordsUrl"] = f"/services/data/v{version}/query/{key}-{end}"
    out["records"] = records
    return out


def _with_deleted(query: Query) -> Query:
    values = {name: getattr(query, name) for name in query.__slots__}
    return Query(**{**values, "all_rows": True})


def _renamed(query: Query, source: str) -> Query:
    values = {name: getattr(query, name) for name in query.__slots__}
    return Query(**{**values, "source": source})


def _relation_name(source: ObjectDef | None, step: str) -> str:
    if source is not None and step.lower() in source.relations:
        return source.relations[step.lower()].relation or step
    return step[0].upper() + step[1:]
