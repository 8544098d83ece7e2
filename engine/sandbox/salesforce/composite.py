"""Several things in one call: collections of records, and whole requests that may refer to each other."""

# ruff: noqa: S608 - table and field names come from the schema, values are arguments

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from engine.sandbox.salesforce import dml, ids, soql_run, store
from engine.sandbox.salesforce.call import Call, Reply
from engine.sandbox.salesforce.errors import SfError, not_found
from engine.sandbox.salesforce.objects import find
from engine.sandbox.salesforce.schema import ObjectDef

Dispatch = Callable[[Call], Reply]

#: Most requests in one composite or batch, and how many of a composite's may be queries or collections.
MOST = 25
MOST_HEAVY = 5

#: Most records that one retrieve may ask for.
MOST_RETRIEVED = 2000

_URL = re.compile(r"(?:/services/data/)?v?(\d\d\.0)/?(.*)\Z")
_REFERENCE = re.compile(r"@\{([A-Za-z_]\w*)((?:\.\w+|\[\d+\])*)\}")


# -- collections -------------------------------------------------------------------------------------------


def _records(call: Call) -> list[Any]:
    records = call.mapping().get("records")
    if not isinstance(records, list):
        raise SfError("MISSING_ARGUMENT", "The records member must be a list", 400)
    return records


def create(call: Call) -> Reply:
    """``POST composite/sobjects``."""
    return Reply(dml.create_all(call.world, _records(call), call.flag("allOrNone"), call.user))


def update(call: Call) -> Reply:
    """``PATCH composite/sobjects``."""
    return Reply(dml.update_all(call.world, _records(call), call.flag("allOrNone"), call.user))


def upsert(call: Call, name: str, key: str) -> Reply:
    """``PATCH composite/sobjects/X/key``."""
    definition = _object(name)
    known = dml.key_field(definition, key)
    return Reply(
        dml.upsert_all(call.world, definition, known, _records(call), call.flag("allOrNone"), call.user)
    )


def delete(call: Call) -> Reply:
    """``DELETE composite/sobjects?ids=a,b``."""
    wanted = [each for each in call.params.get("ids", "").split(",") if each]
    if not wanted:
        raise SfError("MISSING_ARGUMENT", "The ids parameter is required", 400)
    return Reply(dml.delete_all(call.world, wanted, call.flag("allOrNone"), call.user))


def retrieve(call: Call, name: str) -> Reply:
    """``GET composite/sobjects/X?ids=&fields=`` or ``POST`` with both in the body; ``null`` for what is not there."""
    definition = _object(name)
    if call.method == "POST":
        wanted, fields = call.mapping().get("ids"), call.mapping().get("fields")
    else:
        wanted = [each for each in call.params.get("ids", "").split(",") if each]
        fields = [each.strip() for each in call.params.get("fields", "").split(",") if each.strip()]
    if not isinstance(wanted, list) or not isinstance(fields, list) or not wanted or not fields:
        raise SfError("MISSING_ARGUMENT", "ids and fields are required", 400)
    if len(wanted) > MOST_RETRIEVED:
        message = f"record limit reached. cannot retrieve more than {MOST_RETRIEVED} records in this call"
        raise SfError("EXCEEDED_ID_LIMIT", message, 400)
    normal = []
    for each in wanted:
        record_id = ids.normal(each)
        if record_id is None:
            raise SfError("MALFORMED_ID", f"malformed id {each}", 400)
        normal.append(record_id)
    text = f"SELECT {', '.join(['Id', *fields])} FROM {definition.name} WHERE Id IN ({', '.join(repr(n) for n in normal)})"
    found = soql_run.run(call.world, call.cursors, text, user=call.user, version=call.version, everything=False)
    by_id = {record["Id"]: record for record in found["records"]}
    return Reply([by_id.get(record_id) for record_id in normal])


def _object(name: str) -> ObjectDef:
    found = find(name)
    if found is None:
        raise not_found()
    return found


# -- composite ---------------------------------------------------------------------------------------------


class _Undo(Exception):
    """A part failed and none shall stay."""


def run(call: Call, dispatch: Dispatch) -> Reply:
    """``POST composite``: requests in order, each of which may use the answers before it (``@{ref.id}``)."""
    parts = _list(call, "compositeRequest")
    try:
        _count(parts)
        _references(parts)
    except SfError as error:
        # The real service wraps even the refusal of the whole request as the one answer of an unnamed part.
        return Reply({"compositeResponse": [_answer([error.rest()], error.status, {}, None)]})
    answers: list[dict[str, Any]] = []
    known: dict[str, Any] = {}
    all_or_none = call.flag("allOrNone")
    try:
        if all_or_none:
            with store.transaction(call.world.db):
                for part in parts:
                    answers.append(_part(call, dispatch, part, known))
                    if answers[-1]["httpStatusCode"] >= 400:
                        raise _Undo
        else:
            answers.extend(_part(call, dispatch, part, known) for part in parts)
    except _Undo:
        halted = {
            "errorCode": "PROCESSING_HALTED",
            "message": "The transaction was rolled back since another operation in the same transaction failed.",
        }
        failed = len(answers) - 1
        answers = [
            answers[place] if place == failed else _answer([halted], 400, {}, part["referenceId"])
            for place, part in enumerate(parts)
        ]
    return Reply({"compositeResponse": answers})


def _count(parts: list[dict[str, Any]]) -> None:
    if len(parts) > MOST:
        raise SfError("LIMIT_EXCEEDED", f"The request can’t contain more than {MOST} operations.", 400)
    heavy = [
        part for part in parts if re.search(r"/(?:query|queryAll|composite/sobjects)\b", str(part.get("url")))
    ]
    if len(heavy) > MOST_HEAVY:
        message = f"The request can’t contain more than {MOST_HEAVY} query and collection operations."
        raise SfError("LIMIT_EXCEEDED", message, 400)


def _list(call: Call, name: str) -> list[dict[str, Any]]:
    parts = call.mapping().get(name)
    if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
        raise SfError("MISSING_ARGUMENT", f"{name} must be a list of requests", 400)
    return parts


def _references(parts: list[dict[str, Any]]) -> None:
    seen: set[str] = set()
    for part in parts:
        name = part.get("referenceId")
        if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z]\w*", name):
            raise SfError("MISSING_ARGUMENT", "referenceId is required for each operation", 400)
        if name in seen:
            raise SfError("INVALID_INPUT", f"duplicate referenceId: {name}", 400)
        seen.add(name)


def _part(call: Call, dispatch: Dispatch, part: dict[str, Any], known: dict[str, Any]) -> dict[str, Any]:
    name = part["referenceId"]
    try:
        url = _replaced(str(part.get("url", "")), known)
        body = _replaced(part.get("body"), known)
        reply = dispatch(_inner(call, part.get("method"), url, body, part.get("httpHeaders") or {}))
    except SfError as error:
        return _answer([error.rest()], error.status, error.headers, name)
    known[name] = reply.body
    return _answer(reply.body, reply.status, reply.headers, name)


def _answer(body: Any, status: int, headers: Any, name: str | None) -> dict[str, Any]:
    return {"body": body, "httpHeaders": dict(headers), "httpStatusCode": status, "referenceId": name}


def _inner(call: Call, method: object, url: str, body: Any, headers: dict[str, str]) -> Call:
    split = urlsplit(url)
    found = _URL.match(split.path)
    if found is None:
        raise not_found()
    path = unquote(found[2].strip("/"))
    if path in ("composite", "composite/batch"):
        raise SfError("INVALID_INPUT", f"{path} is not allowed inside a composite request", 400)
    return replace(
        call,
        method=str(method).upper(),
        version=found[1],
        path=path,
        params=dict(parse_qsl(split.query, keep_blank_values=True)),
        body=body,
        headers={name.lower(): str(value) for name, value in headers.items()},
    )


def _replaced(value: Any, known: dict[str, Any]) -> Any:
    """The value with every ``@{ref.member}`` replaced by what the answer of ``ref`` holds there."""
    if isinstance(value, dict):
        return {name: _replaced(each, known) for name, each in value.items()}
    if isinstance(value, list):
        return [_replaced(each, known) for each in value]
    if not isinstance(value, str) or "@{" not in value:
        return value
    whole = _REFERENCE.fullmatch(value)
    if whole:
        return _looked_up(whole, known)
    return _REFERENCE.sub(lambda found: str(_looked_up(found, known)), value)


def _looked_up(found: re.Match[str], known: dict[str, Any]) -> Any:
    name, steps = found[1], found[2]
    try:
        value = known[name]
        for member, place in re.findall(r"\.(\w+)|\[(\d+)\]", steps):
            value = value[member] if member else value[int(place)]
    except (KeyError, IndexError, TypeError):
        message = f"Invalid reference specified. No value for {name}{steps} found in {name}"
        raise SfError("PROCESSING_HALTED", message, 400) from None
    return value


def batch(call: Call, dispatch: Dispatch) -> Reply:
    """``POST composite/batch``: independent requests in order."""
    parts = _list(call, "batchRequests")
    if len(parts) > MOST:
        raise SfError("LIMIT_EXCEEDED", f"The maximum number of batch requests is {MOST}", 400)
    results: list[dict[str, Any]] = []
    failed = False
    for part in parts:
        if failed and call.flag("haltOnError"):
            halted = {"errorCode": "BATCH_PROCESSING_HALTED", "message": "Batch processing halted on error"}
            results.append({"statusCode": 412, "result": [halted]})
            continue
        try:
            reply = dispatch(
                _inner(call, part.get("method"), str(part.get("url", "")), part.get("richInput"), {})
            )
            results.append({"statusCode": reply.status, "result": reply.body})
        except SfError as error:
            failed = True
            results.append({"statusCode": error.status, "result": [error.rest()]})
    return Reply({"hasErrors": failed, "results": results})
