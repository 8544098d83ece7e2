"""Gmail messages and threads: list, read, insert, relabel, trash, delete."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from engine.sandbox.google import gmail_labels as labels
from engine.sandbox.google import gmail_mime as mime
from engine.sandbox.google import gmail_store as store
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.gmail_query import parse_query
from engine.sandbox.google.gmail_store import Message, invalid, not_found
from engine.sandbox.kit.world import transaction

MAX_BYTES = 157_286_400
"""``mediaUpload.maxSize`` of gmail.v1."""
_HIDDEN = ("SPAM", "TRASH")
MEDIA = "__media__"
"""Parameter in which the framework passes the bytes of a media upload."""


def list_messages(call: Call) -> Reply:
    """messages.list: newest first, spam and trash only when asked for."""
    found, following, total = _search(call, "m.seq", "{}m.internal_ms DESC, m.seq DESC")
    loaded = store.load(call.world, call.user, found)
    body: dict[str, Any] = {"resultSizeEstimate": total}
    if loaded:
        body["messages"] = [
            {"id": store.public_id(message.seq), "threadId": store.public_id(message.thread)}
            for message in loaded
        ]
    if following:
        body["nextPageToken"] = following
    return Reply(body)


def list_threads(call: Call) -> Reply:
    """threads.list: threads with a matching message, newest first."""
    found, following, total = _search(call, "m.thread", "max(m.internal_ms) DESC, m.thread DESC", group=True)
    body: dict[str, Any] = {"resultSizeEstimate": total}
    threads: list[dict[str, Any]] = []
    for thread in found:
        newest = store.thread_members(call.world, call.user, thread)[-1]
        threads.append(
            {"id": store.public_id(thread), "snippet": newest.snippet, "historyId": str(newest.history)}
        )
    if threads:
        body["threads"] = threads
    if following:
        body["nextPageToken"] = following
    return Reply(body)


def get_message(call: Call) -> Reply:
    """messages.get in the formats minimal, metadata, full and raw."""
    store.require_self(call)
    message = store.require(call.world, call.user, call.params["id"])
    return Reply(_render(call, message, str(call.params.get("format") or "full").lower()))


def get_attachment(call: Call) -> Reply:
    """messages.attachments.get."""
    store.require_self(call)
    message = store.require(call.world, call.user, call.params["messageId"])
    data = mime.attachment(mime.parse(store.raw(call.world, message)), call.params["id"])
    if data is None:
        raise not_found()
    return Reply({"size": len(data), "data": mime.encode(data)})


def get_thread(call: Call) -> Reply:
    """threads.get with all messages of the thread."""
    store.require_self(call)
    members = _thread(call)
    shape = str(call.params.get("format") or "full").lower()
    return Reply(
        {
            "id": store.public_id(members[0].thread),
            "historyId": str(max(message.history for message in members)),
            "messages": [_render(call, message, shape) for message in members],
        }
    )


def insert_message(call: Call) -> Reply:
    """messages.insert: like IMAP APPEND. The internal date is the time of receipt; a second copy is a second message."""
    return _insert(call, "receivedTime", ())


def import_message(call: Call) -> Reply:
    """messages.import: like a delivery; the internal date is the Date header, and the mail lands unread in the inbox."""
    return _insert(call, "dateHeader", ("INBOX", "UNREAD"))


def modify_message(call: Call) -> Reply:
    """messages.modify: up to 100 labels added and 100 removed."""
    store.require_self(call)
    add, remove = _changes(call)
    with transaction(call.world):
        message = store.require(call.world, call.user, call.params["id"])
        store.relabel(call.world, call.user, message, add, remove)
    return Reply(_brief(store.require(call.world, call.user, call.params["id"])))


def trash_message(call: Call) -> Reply:
    """messages.trash."""
    return _move(call, ("TRASH",), ("INBOX", "SPAM"))


def untrash_message(call: Call) -> Reply:
    """messages.untrash: the mail is archived, not put back into the inbox."""
    return _move(call, (), ("TRASH",))


def delete_message(call: Call) -> Reply:
    """messages.delete: for good, 404 when it is gone already."""
    store.require_self(call)
    with transaction(call.world):
        store.delete(call.world, call.user, store.require(call.world, call.user, call.params["id"]))
    return Reply(None)


def batch_modify(call: Call) -> Reply:
    """messages.batchModify: up to 1000 ids, unknown ones are passed over, no answer per message."""
    store.require_self(call)
    add, remove = _changes(call)
    with transaction(call.world):
        for message in store.load(call.world, call.user, _batch(call)):
            store.relabel(call.world, call.user, message, add, remove)
    return Reply(None)


def batch_delete(call: Call) -> Reply:
    """messages.batchDelete: up to 1000 ids, no guarantee that they existed."""
    store.require_self(call)
    with transaction(call.world):
        for message in store.load(call.world, call.user, _batch(call)):
            store.delete(call.world, call.user, message)
    return Reply(None)


def modify_thread(call: Call) -> Reply:
    """threads.modify: the same change to each message of the thread."""
    store.require_self(call)
    add, remove = _changes(call)
    return _move_thread(call, add, remove)


def trash_thread(call: Call) -> Reply:
    """threads.trash."""
    store.require_self(call)
    return _move_thread(call, ["TRASH"], ["INBOX", "SPAM"])


def untrash_thread(call: Call) -> Reply:
    """threads.untrash."""
    store.require_self(call)
    return _move_thread(call, [], ["TRASH"])


def delete_thread(call: Call) -> Reply:
    """threads.delete: all its messages, for good."""
    store.require_self(call)
    with transaction(call.world):
        for message in _thread(call):
            store.delete(call.world, call.user, message)
    return Reply(None)


def _insert(call: Call, date_source: str, default_labels: Sequence[str]) -> Reply:
    store.require_self(call)
    world, user, body = call.world, call.user, call.body or {}
    data = call.params.get(MEDIA)
    if data is None and body.get("raw"):
        data = mime.decode_raw(str(body["raw"]))
    if not data:
        raise invalid("'raw' RFC822 payload message string or uploading message via /upload/* URL required")
    if len(data) > MAX_BYTES:
        raise ApiError(413, "uploadTooLarge", f"The message is larger than {MAX_BYTES} bytes.")
    wanted = labels.require_known(world, user, body.get("labelIds") or default_labels)
    source = call.params.get("internalDateSource") or date_source
    fields = mime.facts(bytes(data), world.clock.now_ms(), by_date_header=source == "dateHeader")
    with transaction(world):
        thread = _find_thread(call, bytes(data), fields["subject"], str(body.get("threadId") or ""))
        message = store.insert(world, user, thread, wanted, fields)
        if call.params.get("deleted"):
            # Kept for the archive of the domain only: its id is answered, and nobody can read it.
            store.forget(world, message)
    return Reply(_brief(message))


def _find_thread(call: Call, data: bytes, subject: str, requested: str) -> int:
    """The thread to join: one with a referenced message and the same subject; a requested thread must exist."""
    answers = mime.references(data)
    if requested:
        members = store.thread_members(call.world, call.user, store.seq_of(requested))
        if not members:
            raise not_found()
        fits = any(message.rfc822_id in answers for message in members)
        return members[0].thread if fits and mime.same_subject(members[0].subject, subject) else 0
    for identifier in answers:
        query = "SELECT thread, subject FROM google_gmail_messages WHERE user = ? AND rfc822_id = ? LIMIT 1"
        row = call.world.db.execute(query, (call.user, identifier)).fetchone()
        if row is not None and mime.same_subject(row["subject"], subject):
            return int(row["thread"])
    return 0


def _search(call: Call, key: str, order: str, *, group: bool = False) -> tuple[list[int], str, int]:
    """Keys of a page, the next page's token and how many there are in all."""
    store.require_self(call)
    params, world, user = call.params, call.world, call.user
    size = int(params.get("maxResults") or 100)
    if not 1 <= size <= 500:
        raise invalid("Invalid maxResults: must be between 1 and 500.")
    wanted = labels.require_known(world, user, params.get("labelIds") or ())
    search = parse_query(str(params.get("q") or ""), labels.ids_by_name(world, user) if params.get("q") else {})
    tagged = (
        "EXISTS (SELECT 1 FROM google_gmail_tags t WHERE t.user = m.user AND t.seq = m.seq AND t.label = ?)"
    )
    conditions = ["m.user = ?", *([tagged] * len(wanted)), *search.conditions]
    values: list[Any] = [user, *wanted, *search.values]
    if not (params.get("includeSpamTrash") or search.everywhere or set(wanted) & set(_HIDDEN)):
        conditions += [f"NOT {tagged}"] * len(_HIDDEN)
        values += _HIDDEN
    offset = _page_offset(params.get("pageToken"))
    # By Message-ID the order must not tempt SQLite to walk the whole mailbox by time; "+" hides the index.
    order = order.format("+" if search.exact else "")
    base = f"FROM google_gmail_messages m WHERE {' AND '.join(conditions)}"
    grouping = " GROUP BY m.thread" if group else ""
    query = f"SELECT {key} {base}{grouping} ORDER BY {order} LIMIT ? OFFSET ?"
    found = [row[0] for row in world.db.execute(query, (*values, size + 1, offset))]
    total = world.db.execute(f"SELECT count(DISTINCT {key}) {base}", values).fetchone()[0]
    return found[:size], str(offset + size).zfill(20) if len(found) > size else "", int(total)


def _page_offset(token: str | None) -> int:
    if not token:
        return 0
    if not token.isdigit() or len(token) != 20:
        raise invalid("Invalid pageToken")
    return int(token)


def _render(call: Call, message: Message, shape: str) -> dict[str, Any]:
    body = {
        **_brief(message),
        "snippet": message.snippet,
        "sizeEstimate": message.size,
        "historyId": str(message.history),
        "internalDate": str(message.internal_ms),
    }
    if shape == "raw":
        body["raw"] = mime.encode(store.raw(call.world, message))
    elif shape == "full":
        body["payload"] = mime.payload(mime.parse(store.raw(call.world, message)))
    elif shape == "metadata":
        parsed = mime.parse(store.raw(call.world, message))
        wanted = call.params.get("metadataHeaders") or ()
        body["payload"] = {"mimeType": parsed.get_content_type(), "headers": mime.headers_of(parsed, wanted)}
    return body


def _brief(message: Message) -> dict[str, Any]:
    body: dict[str, Any] = {"id": store.public_id(message.seq), "threadId": store.public_id(message.thread)}
    if message.labels:
        body["labelIds"] = list(message.labels)
    return body


def _changes(call: Call) -> tuple[list[str], list[str]]:
    """Labels to add and to remove, checked.

    Raises:
        ApiError: 400 for none at all, more than 100 of a kind, unknown or fixed ones, one in both lists.
    """
    body = call.body or {}
    add, remove = body.get("addLabelIds") or (), body.get("removeLabelIds") or ()
    if not add and not remove:
        raise invalid("No label add or removes specified")
    if len(add) > 100 or len(remove) > 100:
        raise invalid("Cannot add or remove more than 100 labels in one request")
    added = labels.require_known(call.world, call.user, add, changeable=True)
    removed = labels.require_known(call.world, call.user, remove, changeable=True)
    if set(added) & set(removed):
        raise invalid("Cannot both add and remove the same label")
    return added, removed


def _batch(call: Call) -> list[int]:
    ids = (call.body or {}).get("ids") or ()
    if not ids:
        raise invalid("No message ids specified")
    if len(ids) > 1000:
        raise invalid("Too many message ids: at most 1000 are allowed in one request")
    return [store.seq_of(str(identifier)) for identifier in ids]


def _move(call: Call, add: Sequence[str], remove: Sequence[str]) -> Reply:
    store.require_self(call)
    with transaction(call.world):
        message = store.require(call.world, call.user, call.params["id"])
        store.relabel(call.world, call.user, message, add, remove)
    return Reply(_brief(store.require(call.world, call.user, call.params["id"])))


def _move_thread(call: Call, add: Sequence[str], remove: Sequence[str]) -> Reply:
    with transaction(call.world):
        for message in _thread(call):
            store.relabel(call.world, call.user, message, add, remove)
    members = _thread(call)
    return Reply(
        {"id": store.public_id(members[0].thread), "messages": [_brief(message) for message in members]}
    )


def _thread(call: Call) -> list[Message]:
    members = store.thread_members(call.world, call.user, store.seq_of(call.params["id"]))
    if not members:
        raise not_found()
    return members
