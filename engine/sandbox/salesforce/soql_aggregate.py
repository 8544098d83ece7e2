"""Queries that count and group."""

from __future__ import annotations

from typing import Any

from engine.sandbox.kit.world import World
from engine.sandbox.salesforce.soql_parse import Function, Path, Query, fault
from engine.sandbox.salesforce.soql_sql import Scope, make_scope, order_by, source_of, where

Json = dict[str, Any]


def aggregate(world: World, query: Query, functions: list[Function], user: str) -> Json:
    """Answer a query with aggregate functions or ``GROUP BY``.

    Raises:
        SfError: a plain field that is not grouped, and what other queries refuse.
    """
    plain = [item for item in query.items if isinstance(item, Path)]
    scope = make_scope(world, source_of(query), query, user)
    args: list[Any] = []
    conditions = [] if query.all_rows else [f"{scope.alias}.IsDeleted = 0"]
    if query.where is not None:
        conditions.append(where(scope, query.where, args))
    tail = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    if len(query.items) == 1 and functions and functions[0].name == "count" and functions[0].argument is None:
        sql = f"SELECT COUNT(*) {scope.from_sql()}{tail}"
        return {"totalSize": world.db.execute(sql, args).fetchone()[0], "done": True, "records": []}
    grouped = {each.parts for each in query.group}
    for each in plain:
        if each.parts not in grouped:
            message = f"Field must be grouped or aggregated: {'.'.join(each.parts)}"
            raise fault(query.text, each.at, "MALFORMED_QUERY", message)
    names: list[str] = []
    columns: list[str] = []
    for item in query.items:
        if isinstance(item, Function):
            names.append(item.alias or f"expr{sum(name.startswith('expr') for name in names)}")
            columns.append(_aggregate_sql(scope, item))
        elif isinstance(item, Path):
            names.append(item.parts[-1])
            columns.append(scope.column(item).sql)
    groups = [scope.column(each).sql for each in query.group]
    group = f" GROUP BY {', '.join(groups)}" if groups else ""
    order = order_by(scope, query.order)
    limit = f" LIMIT {query.limit}" if query.limit is not None else ""
    sql = f"SELECT {', '.join(columns)} {scope.from_sql()}{tail}{group}{order}{limit}"
    records = [
        {"attributes": {"type": "AggregateResult"}, **dict(zip(names, tuple(row), strict=True))}
        for row in world.db.execute(sql, args)
    ]
    return {"totalSize": len(records), "done": True, "records": records}


def _aggregate_sql(scope: Scope, function: Function) -> str:
    if function.argument is None:
        if function.name != "count":
            raise fault(scope.text, function.at, "MALFORMED_QUERY", f"{function.name} needs a field")
        return "COUNT(*)"
    column = scope.column(function.argument)
    if function.name == "count_distinct":
        return f"COUNT(DISTINCT {column.sql})"
    return f"{function.name.upper()}({column.sql})"
