"""The REST resources: describe, rows, external ids, queries, updated and deleted lists, limits."""

# ruff: noqa: S608 - table and field names come from the schema, values are arguments

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime
from typing import Any

from engine.sandbox.salesforce import composite, describe, dml, ids, mail_rules, soql_run, stamps, store
from engine.sandbox.salesforce.call import Call, Reply, batch_size
from engine.sandbox.salesforce.errors import SfError, not_found
from engine.sandbox.salesforce.objects import find
from engine.sandbox.salesforce.schema import ObjectDef

#: How far back ``updated`` and ``deleted`` reach.
UPDATED_DAYS = 30
DELETED_DAYS = 15

#: A URL and its headers may have no more bytes than this.
LONGEST_URL = 16_384


def dispatch(call: Call) -> Reply:
    """Answer a call.

    Raises:
        SfError: it is refused.
    """
    for pattern, methods in _ROUTES:
        found = pattern.fullmatch(call.path)
        if found is None:
            continue
        handler = methods.get(call.method)
        if handler is None:
            allowed = ", ".join(sorted(methods))
            message = f"HTTP Method '{call.method}' not allowed. Allowed are {allowed}"
            raise SfError("METHOD_NOT_ALLOWED", message, 405, headers={"Allow": allowed.replace(" ", "")})
        return handler(call, *found.groups())
    raise not_found()


def _object(name: str) -> ObjectDef:
    found = find(name)
    if found is None:
        raise not_found()
    return found


# -- about -------------------------------------------------------------------------------------------------


def _root(call: Call) -> Reply:
    names = ("sobjects", "query", "queryAll", "limits", "composite")
    return Reply({name: f"/services/data/v{call.version}/{name}" for name in names})


def _limits(call: Call) -> Reply:
    used, most = call.used
    return Reply(
        {
            "DailyApiRequests": {"Max": most, "Remaining": max(0, most - used)},
            "DataStorageMB": {"Max": 1024, "Remaining": 1000},
            "SingleEmail": {"Max": 5000, "Remaining": 5000},
        }
    )


def _describe_all(call: Call) -> Reply:
    return Reply(describe.every(call.version))


def _describe(call: Call, name: str) -> Reply:
    return Reply(describe.one(_object(name).name, call.version))


def _basic(call: Call, name: str) -> Reply:
    return Reply(describe.basic(_object(name), call.version))


# -- rows --------------------------------------------------------------------------------------------------


def _create(call: Call, name: str) -> Reply:
    record_id = dml.create(call.world, _object(name), call.mapping(), call.user)
    location = f"/services/data/v{call.version}/sobjects/{_object(name).name}/{record_id}"
    return Reply({"id": record_id, "success": True, "errors": []}, 201, {"Location": location})


def _row(call: Call, definition: ObjectDef, text: str) -> store.Row:
    record_id = ids.normal(text)
    if record_id is None:
        message = f"Provided external ID field does not exist or is not accessible: {text}"
        raise SfError("NOT_FOUND", message, 404)
    row = store.read(call.world, definition, record_id)
    if row is None:
        raise not_found()
    return row


def _show(call: Call, definition: ObjectDef, row: store.Row) -> Reply:
    changed = stamps.parse(row["LastModifiedDate"])
    _preconditions(call, changed)
    wanted = call.params.get("fields") or ", ".join(each.name for each in definition.fields)
    text = f"SELECT {wanted} FROM {definition.name} WHERE Id = '{row['Id']}' ALL ROWS"
    found = soql_run.run(call.world, call.cursors, text, user=call.user, version=call.version, everything=False)
    return Reply(found["records"][0], 200, {"Last-Modified": format_datetime(changed, usegmt=True)})


def _get(call: Call, name: str, text: str) -> Reply:
    definition = _object(name)
    row = _row(call, definition, text)
    if row["IsDeleted"]:
        raise not_found()
    return _show(call, definition, row)


def _patch(call: Call, name: str, text: str) -> Reply:
    definition = _object(name)
    row = _row(call, definition, text)
    _preconditions(call, stamps.parse(row["LastModifiedDate"]))
    dml.update(call.world, definition, row["Id"], call.mapping(), call.user)
    return Reply(None, 204)


def _delete(call: Call, name: str, text: str) -> Reply:
    definition = _object(name)
    row = _row(call, definition, text)
    _preconditions(call, stamps.parse(row["LastModifiedDate"]))
    dml.delete(call.world, definition, row["Id"], call.user)
    return Reply(None, 204)


def _preconditions(call: Call, changed: datetime) -> None:
    """``If-Modified-Since`` and ``If-Unmodified-Since``, which count whole seconds."""
    changed = changed.replace(microsecond=0)
    since = _http_date(call.headers.get("if-unmodified-since"))
    if since is not None and changed > since:
        message = "The record has been modified since the date that If-Unmodified-Since names"
        raise SfError("PRECONDITION_FAILED", message, 412)
    since = _http_date(call.headers.get("if-modified-since"))
    if since is not None and changed <= since and call.method == "GET":
        raise SfError("NOT_MODIFIED", "", 304)


def _http_date(text: str | None) -> datetime | None:
    if not text:
        return None
    try:
        return parsedate_to_datetime(text).astimezone(UTC)
    except (ValueError, TypeError):
        raise SfError("INVALID_HTTP_HEADER", f"not an HTTP date: {text}", 400) from None


# -- rows by external id -----------------------------------------------------------------------------------


def _key_get(call: Call, name: str, key: str, value: str) -> Reply:
    definition = _object(name)
    record_id = dml.by_key(call.world, definition, dml.key_field(definition, key), value)
    if record_id is None:
        raise not_found()
    return _show(call, definition, _row(call, definition, record_id))


def _key_patch(call: Call, name: str, key: str, value: str) -> Reply:
    definition = _object(name)
    known = dml.key_field(definition, key)
    if any(each.lower() == known.name.lower() for each in call.mapping()):
        message = f"The {known.name} field should not be specified in the sobject data."
        raise SfError("INVALID_FIELD", message, 400, [known.name])
    record_id, created = dml.upsert(call.world, definition, known, value, call.mapping(), call.user)
    body = {"id": record_id, "success": True, "errors": [], "created": created}
    return Reply(body, 201 if created else 200)


def _key_delete(call: Call, name: str, key: str, value: str) -> Reply:
    definition = _object(name)
    record_id = dml.by_key(call.world, definition, dml.key_field(definition, key), value)
    if record_id is None:
        raise not_found()
    dml.delete(call.world, definition, record_id, call.user)
    return Reply(None, 204)


# -- what changed ------------------------------------------------------------------------------------------


def _span(call: Call, days: int) -> tuple[str, str]:
    try:
        start, end = (stamps.parse(call.params[name].replace(" ", "+")) for name in ("start", "end"))
    except KeyError as missing:
        name = str(missing.args[0])
        raise SfError("MISSING_ARGUMENT", f"missing argument: {name}", 400) from None
    except ValueError as error:
        raise SfError("INVALID_REPLICATION_DATE", str(error), 400) from None
    now = datetime.fromtimestamp(call.world.clock.now_ms() / 1000, UTC)
    if end - start < timedelta(minutes=1):
        message = "endDate must be at least one minute greater than startDate"
        raise SfError("INVALID_REPLICATION_DATE", message, 400)
    if start < now - timedelta(days=days):
        message = f"startDate cannot be more than {days} days ago"
        raise SfError("INVALID_REPLICATION_DATE", message, 400)
    if start > now:
        raise SfError("INVALID_REPLICATION_DATE", "startDate cannot be in the future", 400)
    # The real service counts whole minutes.
    return stamps.from_datetime(start.replace(second=0, microsecond=0)), stamps.from_datetime(end)


def _updated(call: Call, name: str) -> Reply:
    definition = _object(name)
    start, end = _span(call, UPDATED_DAYS)
    rows = call.world.db.execute(
        f"SELECT Id FROM {definition.table} WHERE SystemModstamp >= ? AND SystemModstamp < ? AND IsDeleted = 0 "
        "ORDER BY SystemModstamp, Id",
        (start, end),
    ).fetchall()
    return Reply({"ids": [row[0] for row in rows], "latestDateCovered": min(end, store.now(call.world))})


def _deleted(call: Call, name: str) -> Reply:
    definition = _object(name)
    start, end = _span(call, DELETED_DAYS)
    store.purge(call.world, definition)
    rows = call.world.db.execute(
        f"SELECT Id, SystemModstamp FROM {definition.table} WHERE IsDeleted = 1 AND SystemModstamp >= ? "
        "AND SystemModstamp < ? ORDER BY SystemModstamp, Id",
        (start, end),
    ).fetchall()
    earliest = stamps.from_ms(call.world.clock.now_ms() - DELETED_DAYS * 86_400_000)
    return Reply(
        {
            "deletedRecords": [{"id": row[0], "deletedDate": row[1]} for row in rows],
            "earliestDateAvailable": earliest,
            "latestDateCovered": min(end, store.now(call.world)),
        }
    )


# -- queries -----------------------------------------------------------------------------------------------


def _query(call: Call, everything: bool = False) -> Reply:
    text = call.params.get("q")
    if text is None:
        raise SfError("MALFORMED_QUERY", "SOQL statements cannot be empty or null", 400)
    return Reply(
        soql_run.run(
            call.world,
            call.cursors,
            text,
            user=call.user,
            version=call.version,
            everything=everything,
            batch=batch_size(call.headers),
        )
    )


def _query_all(call: Call) -> Reply:
    return _query(call, everything=True)


def _more(call: Call, locator: str) -> Reply:
    return Reply(soql_run.more(call.cursors, locator, call.version, batch_size(call.headers)))


def _file(call: Call, text: str) -> Reply:
    row = _row(call, _object("ContentVersion"), text)
    content = None if row["IsDeleted"] else mail_rules.data(call.world, row["Id"])
    if content is None:
        raise not_found()
    return Reply(content)


Handler = Callable[..., Reply]


def _routes() -> list[tuple[re.Pattern[str], dict[str, Handler]]]:
    table: list[tuple[str, dict[str, Any]]] = [
        ("", {"GET": _root}),
        ("limits", {"GET": _limits}),
        ("query", {"GET": _query}),
        ("queryAll", {"GET": _query_all}),
        ("(?:query|queryAll)/([^/]+)", {"GET": _more}),
        ("sobjects", {"GET": _describe_all}),
        ("sobjects/([^/]+)", {"GET": _basic, "POST": _create}),
        ("sobjects/([^/]+)/describe", {"GET": _describe}),
        ("sobjects/([^/]+)/updated", {"GET": _updated}),
        ("sobjects/([^/]+)/deleted", {"GET": _deleted}),
        ("sobjects/ContentVersion/([^/]+)/VersionData", {"GET": _file}),
        ("sobjects/([^/]+)/([^/]+)", {"GET": _get, "PATCH": _patch, "DELETE": _delete}),
        ("sobjects/([^/]+)/([^/]+)/(.+)", {"GET": _key_get, "PATCH": _key_patch, "DELETE": _key_delete}),
        ("composite", {"POST": lambda call: composite.run(call, dispatch)}),
        ("composite/batch", {"POST": lambda call: composite.batch(call, dispatch)}),
        (
            "composite/sobjects",
            {"POST": composite.create, "PATCH": composite.update, "DELETE": composite.delete},
        ),
        ("composite/sobjects/([^/]+)", {"GET": composite.retrieve, "POST": composite.retrieve}),
        ("composite/sobjects/([^/]+)/([^/]+)", {"PATCH": composite.upsert}),
    ]
    return [(re.compile(pattern), methods) for pattern, methods in table]


_ROUTES = _routes()
