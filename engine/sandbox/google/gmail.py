"""The Gmail API of the sandbox: profile, history, push registration, and the table of all its methods."""

from __future__ import annotations

import json
import re
import sqlite3
from typing import Any

from engine.sandbox.google import gmail_labels as labels
from engine.sandbox.google import gmail_messages as messages
from engine.sandbox.google import gmail_store as store
from engine.sandbox.google.call import Call, Handler, Reply
from engine.sandbox.google.gmail_store import invalid, not_found
from engine.sandbox.kit.world import World, transaction

_WATCH_MS = 7 * 86_400_000
_TOPIC = re.compile(r"projects/[^/]+/topics/[^/]+")
_KINDS = frozenset({"messageAdded", "messageDeleted", "labelAdded", "labelRemoved"})
_SCHEMA = """
CREATE TABLE IF NOT EXISTS google_gmail_watches(
    user TEXT PRIMARY KEY, topic TEXT NOT NULL, expires_ms INTEGER NOT NULL, request TEXT NOT NULL) WITHOUT ROWID;
"""


def setup(world: World) -> None:
    """Create the tables of the Gmail API where missing."""
    store.create_tables(world)
    labels.create_tables(world)
    world.db.executescript(_SCHEMA)


def get_profile(call: Call) -> Reply:
    """users.getProfile."""
    store.require_self(call)
    query = "SELECT count(*), count(DISTINCT thread) FROM google_gmail_messages WHERE user = ?"
    total, threads = call.world.db.execute(query, (call.user,)).fetchone()
    return Reply(
        {
            "emailAddress": call.user,
            "messagesTotal": total,
            "threadsTotal": threads,
            "historyId": str(store.current_history(call.world, call.user)),
        }
    )


def list_history(call: Call) -> Reply:
    """users.history.list: records after ``startHistoryId`` in order.

    Raises:
        ApiError: 404 when the id is unknown or older than what is kept; 400 without it.
    """
    store.require_self(call)
    world, user, params = call.world, call.user, call.params
    size = int(params.get("maxResults") or 100)
    if not 1 <= size <= 500:
        raise invalid("Invalid maxResults: must be between 1 and 500.")
    if not params.get("startHistoryId"):
        raise invalid("Missing required parameter: startHistoryId")
    start = _number(params["startHistoryId"], "startHistoryId")
    current = store.current_history(world, user)
    if not store.oldest_history(world, user) <= start <= current:
        raise not_found()
    kinds = set(params.get("historyTypes") or _KINDS)
    label = params.get("labelId")
    position = _number(params["pageToken"], "pageToken") if params.get("pageToken") else start
    records: list[dict[str, Any]] = []
    following = ""
    while not following:
        rows = store.history_after(world, user, position, 1000)
        for identifier, row in rows:
            record = _record(identifier, row, kinds, label)
            if record is not None:
                if len(records) == size:
                    following = str(position)
                    break
                records.append(record)
            position = identifier
        if len(rows) < 1000:
            break
    body: dict[str, Any] = {"historyId": str(current)}
    if records:
        body["history"] = records
    if following:
        body["nextPageToken"] = following
    return Reply(body)


def watch(call: Call) -> Reply:
    """users.watch: registers the topic for seven days. The sandbox publishes nothing; clients must poll anyway.

    Raises:
        ApiError: 400 without a well-formed topic name or with an unknown label.
    """
    store.require_self(call)
    body = call.body or {}
    topic = str(body.get("topicName") or "")
    if not topic:
        raise invalid("Missing required field: topicName")
    if not _TOPIC.fullmatch(topic):
        raise invalid("Invalid topicName does not match projects/{project}/topics/{topic}")
    labels.require_known(call.world, call.user, body.get("labelIds") or ())
    expires = call.world.clock.now_ms() + _WATCH_MS
    with transaction(call.world):
        call.world.db.execute(
            "REPLACE INTO google_gmail_watches VALUES (?,?,?,?)", (call.user, topic, expires, json.dumps(body))
        )
    return Reply({"historyId": str(store.current_history(call.world, call.user)), "expiration": str(expires)})


def stop(call: Call) -> Reply:
    """users.stop: forgets the registration, if any."""
    store.require_self(call)
    call.world.db.execute("DELETE FROM google_gmail_watches WHERE user = ?", (call.user,))
    return Reply(None)


def _record(identifier: int, row: sqlite3.Row, kinds: set[str], label: str | None) -> dict[str, Any] | None:
    """A history record under the filters of the request, ``None`` when nothing of it is left."""
    present: list[str] = json.loads(row["labels"])
    added: list[str] = json.loads(row["added"])
    removed: list[str] = json.loads(row["removed"])
    if label and label not in present and label not in removed:
        return None
    brief: dict[str, Any] = {"id": store.public_id(row["seq"]), "threadId": store.public_id(row["thread"])}
    message = {**brief, "labelIds": present} if present else brief
    record: dict[str, Any] = {"id": str(identifier), "messages": [brief]}
    if row["kind"] == "added" and "messageAdded" in kinds:
        record["messagesAdded"] = [{"message": message}]
    if row["kind"] == "deleted" and "messageDeleted" in kinds:
        record["messagesDeleted"] = [{"message": message}]
    if added and "labelAdded" in kinds:
        record["labelsAdded"] = [{"message": message, "labelIds": added}]
    if removed and "labelRemoved" in kinds:
        record["labelsRemoved"] = [{"message": message, "labelIds": removed}]
    return record if len(record) > 2 else None


def _number(text: Any, name: str) -> int:
    if not str(text).isdigit():
        raise invalid(f"Invalid {name}")
    return int(text)


HANDLERS: dict[str, Handler] = {
    "gmail.users.getProfile": get_profile,
    "gmail.users.watch": watch,
    "gmail.users.stop": stop,
    "gmail.users.history.list": list_history,
    "gmail.users.labels.list": labels.list_labels,
    "gmail.users.labels.get": labels.get_label,
    "gmail.users.labels.create": labels.create_label,
    "gmail.users.labels.update": labels.update_label,
    "gmail.users.labels.patch": labels.patch_label,
    "gmail.users.labels.delete": labels.delete_label,
    "gmail.users.messages.list": messages.list_messages,
    "gmail.users.messages.get": messages.get_message,
    "gmail.users.messages.attachments.get": messages.get_attachment,
    "gmail.users.messages.insert": messages.insert_message,
    "gmail.users.messages.import": messages.import_message,
    "gmail.users.messages.modify": messages.modify_message,
    "gmail.users.messages.trash": messages.trash_message,
    "gmail.users.messages.untrash": messages.untrash_message,
    "gmail.users.messages.delete": messages.delete_message,
    "gmail.users.messages.batchModify": messages.batch_modify,
    "gmail.users.messages.batchDelete": messages.batch_delete,
    "gmail.users.threads.list": messages.list_threads,
    "gmail.users.threads.get": messages.get_thread,
    "gmail.users.threads.modify": messages.modify_thread,
    "gmail.users.threads.trash": messages.trash_thread,
    "gmail.users.threads.untrash": messages.untrash_thread,
    "gmail.users.threads.delete": messages.delete_thread,
}
