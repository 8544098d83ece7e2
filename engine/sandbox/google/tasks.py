"""Tasks API: task lists and tasks."""

from __future__ import annotations

import json
import re
import secrets
import sqlite3
from datetime import datetime
from typing import Any

from engine.sandbox.google import tokens
from engine.sandbox.google.calendar_store import stamp
from engine.sandbox.google.calendar_times import parse_stamp
from engine.sandbox.google.call import ApiError, Call, Handler, Reply
from engine.sandbox.kit.world import World, transaction

Doc = dict[str, Any]
MOST_LISTS = 2000
MOST_TASKS = 20_000
MOST_SUBTASKS = 2000
TITLE, NOTES = 1024, 8192
"""Limits of the discovery document, in items and in characters."""

_TABLES = """
CREATE TABLE IF NOT EXISTS google_tasklists (
    user TEXT NOT NULL, id TEXT NOT NULL, title TEXT NOT NULL, updated_ms INTEGER NOT NULL, version INTEGER NOT NULL,
    first INTEGER NOT NULL, PRIMARY KEY (user, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS google_tasks (
    user TEXT NOT NULL, list TEXT NOT NULL, id TEXT NOT NULL, parent TEXT NOT NULL, place REAL NOT NULL,
    updated_ms INTEGER NOT NULL, version INTEGER NOT NULL, deleted INTEGER NOT NULL, hidden INTEGER NOT NULL,
    completed INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (user, list, id)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS google_tasks_place ON google_tasks (user, list, parent, place);
"""


def setup(world: World) -> None:
    """Create the tables."""
    world.db.executescript(_TABLES)


def create_default_list(world: World, email: str) -> None:
    """The list that ``@default`` names, which cannot be deleted."""
    _put_list(world, email, _new_id(), "My Tasks", first=True)


def _new_id() -> str:
    return secrets.token_urlsafe(24)


def _bad(message: str) -> ApiError:
    return ApiError(400, "invalid", message)


def _missing() -> ApiError:
    return ApiError(404, "notFound", "Task not found.")


def _etag(version: int) -> str:
    return f'"LTE{version:x}"'


def _check_match(call: Call, version: int) -> None:
    wanted = call.headers.get("if-match")
    if wanted not in (None, "*", _etag(version)):
        raise ApiError(412, "conditionNotMet", "Precondition Failed", location="If-Match")


def _put_list(world: World, user: str, list_id: str, title: str, *, first: bool) -> None:
    now = world.clock.now_ms()
    world.db.execute(
        "INSERT INTO google_tasklists VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (user, id) DO UPDATE SET"
        " title = excluded.title, updated_ms = excluded.updated_ms, version = version + 1",
        (user, list_id, title, now, 1, int(first)),
    )


def _list_row(call: Call, wanted: str) -> sqlite3.Row:
    values: tuple[str, ...]
    if wanted == "@default":
        query, values = "SELECT * FROM google_tasklists WHERE user = ? AND first = 1", (call.user,)
    else:
        query, values = "SELECT * FROM google_tasklists WHERE user = ? AND id = ?", (call.user, wanted)
    row: sqlite3.Row | None = call.world.db.execute(query, values).fetchone()
    if row is None:
        raise ApiError(404, "notFound", "Task list not found.")
    return row


def _list_doc(row: sqlite3.Row) -> Doc:
    return {
        "kind": "tasks#taskList",
        "id": row["id"],
        "etag": _etag(row["version"]),
        "title": row["title"],
        "updated": stamp(row["updated_ms"]),
        "selfLink": f"https://www.googleapis.com/tasks/v1/users/@me/lists/{row['id']}",
    }


def list_lists(call: Call) -> Reply:
    """``tasklists.list``."""
    rows = call.world.db.execute(
        "SELECT * FROM google_tasklists WHERE user = ? ORDER BY first DESC, id", (call.user,)
    ).fetchall()
    return Reply(_paged(call, "tasks#taskLists", [_list_doc(row) for row in rows], 1000, 1000))


def get_list(call: Call) -> Reply:
    """``tasklists.get``."""
    return Reply(_list_doc(_list_row(call, call.params["tasklist"])))


def insert_list(call: Call) -> Reply:
    """``tasklists.insert``."""
    title = _title(call.body.get("title") or "", "title")
    with transaction(call.world):
        count = call.world.db.execute(
            "SELECT count(*) FROM google_tasklists WHERE user = ?", (call.user,)
        ).fetchone()
        if count[0] >= MOST_LISTS:
            raise ApiError(403, "quotaExceeded", "Too many task lists.", domain="usageLimits")
        list_id = _new_id()
        _put_list(call.world, call.user, list_id, title, first=False)
    return Reply(_list_doc(_list_row(call, list_id)))


def change_list(call: Call) -> Reply:
    """``tasklists.patch`` and ``tasklists.update``: the title is all there is."""
    row = _list_row(call, call.params["tasklist"])
    _check_match(call, row["version"])
    title = _title(call.body.get("title", row["title"]) or "", "title")
    _put_list(call.world, call.user, row["id"], title, first=bool(row["first"]))
    return Reply(_list_doc(_list_row(call, row["id"])))


def delete_list(call: Call) -> Reply:
    """``tasklists.delete``: not the default one."""
    row = _list_row(call, call.params["tasklist"])
    if row["first"]:
        raise _bad("The default task list cannot be deleted.")
    with transaction(call.world):
        call.world.db.execute("DELETE FROM google_tasks WHERE user = ? AND list = ?", (call.user, row["id"]))
        call.world.db.execute("DELETE FROM google_tasklists WHERE user = ? AND id = ?", (call.user, row["id"]))
    return Reply(None)


def _title(text: str, what: str) -> str:
    if len(text) > TITLE:
        raise _bad(f"The {what} may have at most {TITLE} characters.")
    return text


def _paged(call: Call, kind: str, items: list[Doc], default: int, largest: int) -> Doc:
    query = {k: v for k, v in call.params.items() if k not in ("pageToken", "maxResults", "quotaUser", "alt")}
    same = tokens.print_of({**query, "user": call.user})
    at = 0
    if "pageToken" in call.params:
        given = tokens.decode(call.params["pageToken"])
        if given is None or given.get("of") != same:
            raise _bad("Invalid page token.")
        at = given["at"]
    size = call.params.get("maxResults", default)
    if size < 1:
        raise _bad("maxResults must be positive.")
    size = min(size, largest)
    out: Doc = {"kind": kind, "etag": f'"{same}"', "items": items[at : at + size]}
    if len(items) > at + size:
        out["nextPageToken"] = tokens.encode({"at": at + size, "of": same})
    return out


def _shown(row: sqlite3.Row) -> Doc:
    doc: Doc = {
        "kind": "tasks#task",
        "id": row["id"],
        "etag": _etag(row["version"]),
        "updated": stamp(row["updated_ms"]),
        "selfLink": f"https://www.googleapis.com/tasks/v1/lists/{row['list']}/tasks/{row['id']}",
        "webViewLink": f"https://tasks.google.com/task/{row['id']}?sa=6",
        "position": f"{int(row['place'] * 1024) + 2**40:020d}",
        **json.loads(row["doc"]),
    }
    if row["parent"]:
        doc["parent"] = row["parent"]
    if row["deleted"]:
        doc["deleted"] = True
    if row["hidden"]:
        doc["hidden"] = True
    return doc


def _task_row(call: Call, list_id: str, task_id: str) -> sqlite3.Row:
    row: sqlite3.Row | None = call.world.db.execute(
        "SELECT * FROM google_tasks WHERE user = ? AND list = ? AND id = ?", (call.user, list_id, task_id)
    ).fetchone()
    if row is None:
        raise _missing()
    return row


def list_tasks(call: Call) -> Reply:
    """``tasks.list``; hidden, deleted and assigned ones only when asked for."""
    params = call.params
    row = _list_row(call, params["tasklist"])
    where, values = ["user = ?", "list = ?"], [call.user, row["id"]]
    if not params.get("showDeleted"):
        where.append("deleted = 0")
    if not params.get("showHidden"):
        where.append("hidden = 0")
    if params.get("showCompleted", True) is False:
        where.append("completed = 0")
    if "updatedMin" in params:
        where.append("updated_ms >= ?")
        values.append(_moment(params["updatedMin"], "updatedMin"))
    order = "SELECT * FROM google_tasks WHERE {} ORDER BY parent, place, id"
    rows = call.world.db.execute(order.format(" AND ".join(where)), values).fetchall()
    items = [_shown(one) for one in rows]
    for name, field, sign in (
        ("dueMin", "due", 1),
        ("dueMax", "due", -1),
        ("completedMin", "completed", 1),
        ("completedMax", "completed", -1),
    ):
        if name in params:
            bound = _moment(params[name], name)
            items = [one for one in items if field in one and sign * (_moment(one[field], field) - bound) >= 0]
    return Reply(_paged(call, "tasks#tasks", items, 20, 100))


def _moment(text: str, name: str) -> int:
    try:
        return parse_stamp(text, name)
    except ApiError:
        raise ApiError(400, "invalid", f"Invalid value for {name}: {text}") from None


def get_task(call: Call) -> Reply:
    """``tasks.get``; deleted tasks are given with ``deleted``."""
    return Reply(_shown(_task_row(call, _list_row(call, call.params["tasklist"])["id"], call.params["task"])))


def _content(call: Call, old: Doc, body: Doc) -> Doc:
    """The stored document after the writable fields of ``body`` (null clears)."""
    out = {name: value for name, value in old.items() if value is not None}
    for name in ("title", "notes", "status", "due", "completed"):
        if name in body and body[name] is None:
            out.pop(name, None)
        elif name in body:
            out[name] = body[name]
    out["title"] = _title(out.get("title", ""), "title")
    if len(out.get("notes", "")) > NOTES:
        raise _bad(f"The notes may have at most {NOTES} characters.")
    if "due" in out:
        if not re.match(r"\d{4}-\d\d-\d\d", out["due"]):
            raise _bad(f"Invalid value for due: {out['due']}")
        _moment(out["due"] if "T" in out["due"] else "", "due")
        # Only the date is kept (discovery document).
        out["due"] = f"{datetime.fromisoformat(out['due'][:10]):%Y-%m-%d}T00:00:00.000Z"
    out.setdefault("status", "needsAction")
    if out["status"] not in ("needsAction", "completed"):
        raise _bad(f"Invalid value for status: {out['status']}")
    if out["status"] == "needsAction":
        out.pop("completed", None)
    elif body.get("completed"):
        out["completed"] = stamp(_moment(body["completed"], "completed"))
    elif "completed" not in old:
        out["completed"] = stamp(call.world.clock.now_ms())
    out["links"] = []
    return out


def _place(call: Call, list_id: str, parent: str, previous: str | None) -> float:
    """Where to put a task: before its first sibling, or right after ``previous``."""
    rows = call.world.db.execute(
        "SELECT id, place FROM google_tasks WHERE user = ? AND list = ? AND parent = ? AND deleted = 0 ORDER BY place",
        (call.user, list_id, parent),
    )
    if not previous:
        first = rows.fetchone()
        return first["place"] - 1.0 if first else 0.0
    before = None
    for row in rows:
        if before is not None:
            return (float(before) + float(row["place"])) / 2
        if row["id"] == previous:
            before = row["place"]
    if before is None:
        raise _bad(f"Invalid value for previous: {previous}")
    return float(before) + 1.0


def _check_parent(call: Call, list_id: str, parent: str) -> None:
    if not parent:
        return
    row = _task_row(call, list_id, parent)
    if row["deleted"] or row["hidden"] or row["parent"]:
        raise _bad(f"Invalid value for parent: {parent}")
    count = call.world.db.execute(
        "SELECT count(*) FROM google_tasks WHERE user = ? AND list = ? AND parent = ?",
        (call.user, list_id, parent),
    ).fetchone()[0]
    if count >= MOST_SUBTASKS:
        raise ApiError(403, "quotaExceeded", "Too many subtasks.", domain="usageLimits")


def insert_task(call: Call) -> Reply:
    """``tasks.insert``: there is no own id, and nothing stops a second insert of the same task."""
    owner = _list_row(call, call.params["tasklist"])
    list_id, parent = owner["id"], call.params.get("parent", "")
    with transaction(call.world):
        count = call.world.db.execute(
            "SELECT count(*) FROM google_tasks WHERE user = ? AND list = ? AND hidden = 0 AND deleted = 0",
            (call.user, list_id),
        ).fetchone()[0]
        if count >= MOST_TASKS:
            raise ApiError(403, "quotaExceeded", "Too many tasks in this list.", domain="usageLimits")
        _check_parent(call, list_id, parent)
        doc = _content(call, {}, call.body)
        task_id = _new_id()
        call.world.db.execute(
            "INSERT INTO google_tasks VALUES (?, ?, ?, ?, ?, ?, 1, 0, 0, ?, ?)",
            (
                call.user,
                list_id,
                task_id,
                parent,
                _place(call, list_id, parent, call.params.get("previous")),
                call.world.clock.now_ms(),
                int(doc["status"] == "completed"),
                json.dumps(doc, ensure_ascii=False),
            ),
        )
    return Reply(_shown(_task_row(call, list_id, task_id)))


def patch_task(call: Call) -> Reply:
    """``tasks.patch``."""
    return _change(call, replace=False)


def update_task(call: Call) -> Reply:
    """``tasks.update``: what the body leaves out is reset."""
    return _change(call, replace=True)


def _change(call: Call, *, replace: bool) -> Reply:
    list_id = _list_row(call, call.params["tasklist"])["id"]
    with transaction(call.world):
        row = _task_row(call, list_id, call.params["task"])
        _check_match(call, row["version"])
        old = json.loads(row["doc"])
        doc = _content(call, {} if replace else old, call.body)
        done = doc["status"] == "completed"
        call.world.db.execute(
            "UPDATE google_tasks SET doc = ?, updated_ms = ?, version = version + 1, completed = ?, deleted = ?,"
            " hidden = ? WHERE user = ? AND list = ? AND id = ?",
            (
                json.dumps(doc, ensure_ascii=False),
                call.world.clock.now_ms(),
                int(done),
                int(call.body.get("deleted", False if replace else bool(row["deleted"])) or False),
                int(bool(row["hidden"]) and done),
                call.user,
                list_id,
                row["id"],
            ),
        )
    return Reply(_shown(_task_row(call, list_id, row["id"])))


def delete_task(call: Call) -> Reply:
    """``tasks.delete``: with its subtasks; the rows stay as ``deleted``."""
    list_id = _list_row(call, call.params["tasklist"])["id"]
    with transaction(call.world):
        row = _task_row(call, list_id, call.params["task"])
        if row["deleted"]:
            raise _missing()
        _check_match(call, row["version"])
        call.world.db.execute(
            "UPDATE google_tasks SET deleted = 1, updated_ms = ?, version = version + 1"
            " WHERE user = ? AND list = ? AND (id = ? OR parent = ?) AND deleted = 0",
            (call.world.clock.now_ms(), call.user, list_id, row["id"], row["id"]),
        )
    return Reply(None)


def move_task(call: Call) -> Reply:
    """``tasks.move``: below another parent, after another sibling, or to another list."""
    source = _list_row(call, call.params["tasklist"])["id"]
    target = _list_row(call, call.params.get("destinationTasklist", source))["id"]
    parent = call.params.get("parent", "")
    with transaction(call.world):
        row = _task_row(call, source, call.params["task"])
        _check_parent(call, target, parent)
        call.world.db.execute(
            "UPDATE google_tasks SET list = ?, parent = ?, place = ?, updated_ms = ?, version = version + 1"
            " WHERE user = ? AND list = ? AND id = ?",
            (
                target,
                parent,
                _place(call, target, parent, call.params.get("previous")),
                call.world.clock.now_ms(),
                call.user,
                source,
                row["id"],
            ),
        )
    return Reply(_shown(_task_row(call, target, row["id"])))


def clear(call: Call) -> Reply:
    """``tasks.clear``: completed tasks become hidden."""
    list_id = _list_row(call, call.params["tasklist"])["id"]
    call.world.db.execute(
        "UPDATE google_tasks SET hidden = 1, updated_ms = ?, version = version + 1"
        " WHERE user = ? AND list = ? AND completed = 1 AND hidden = 0",
        (call.world.clock.now_ms(), call.user, list_id),
    )
    return Reply(None)


HANDLERS: dict[str, Handler] = {
    "tasks.tasklists.list": list_lists,
    "tasks.tasklists.get": get_list,
    "tasks.tasklists.insert": insert_list,
    "tasks.tasklists.patch": change_list,
    "tasks.tasklists.update": change_list,
    "tasks.tasklists.delete": delete_list,
    "tasks.tasks.list": list_tasks,
    "tasks.tasks.get": get_task,
    "tasks.tasks.insert": insert_task,
    "tasks.tasks.patch": patch_task,
    "tasks.tasks.update": update_task,
    "tasks.tasks.delete": delete_task,
    "tasks.tasks.move": move_task,
    "tasks.tasks.clear": clear,
}
"""Handlers by discovery method id."""
