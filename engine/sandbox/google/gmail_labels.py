"""Gmail labels: system labels, user labels with unique names and palette colours, nested by ``/`` in the name only."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

from engine.sandbox.google import gmail_store as store
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.gmail_store import invalid, not_found
from engine.sandbox.kit.world import World, transaction

LABEL_LIMIT = 10_000
"""Labels a mailbox may hold (setting ``gmail_label_limit``)."""
NAME_LIMIT = 225
"""Characters of a label's name."""
SYSTEM_LABELS = (
    *("CHAT", "SENT", "INBOX", "IMPORTANT", "TRASH", "DRAFT", "SPAM", "STARRED", "UNREAD"),
    *("CATEGORY_FORUMS", "CATEGORY_UPDATES", "CATEGORY_PERSONAL", "CATEGORY_PROMOTIONS", "CATEGORY_SOCIAL"),
)
FIXED_LABELS = frozenset({"SENT", "DRAFT", "CHAT"})
"""System labels that modify can neither add nor remove (gmail.v1, Label.type)."""
_HIDDEN = frozenset({"CHAT", "IMPORTANT", "SPAM", "TRASH"}) | {name for name in SYSTEM_LABELS if "_" in name}
_RESERVED = frozenset(name.casefold() for name in SYSTEM_LABELS) | {
    *(
        "drafts",
        "chats",
        "sent mail",
        "all mail",
        "bin",
        "muted",
        "snoozed",
        "scheduled",
        "important",
        "sent items",
    ),
}
PALETTE = frozenset(
    "#" + colour
    for colour in (
        *(
            "000000",
            "434343",
            "666666",
            "999999",
            "cccccc",
            "efefef",
            "f3f3f3",
            "ffffff",
            "fb4c2f",
            "ffad47",
            "fad165",
            "16a766",
        ),
        *(
            "43d692",
            "4a86e8",
            "a479e2",
            "f691b3",
            "f6c5be",
            "ffe6c7",
            "fef1d1",
            "b9e4d0",
            "c6f3de",
            "c9daf8",
            "e4d7f5",
            "fcdee8",
        ),
        *(
            "efa093",
            "ffd6a2",
            "fce8b3",
            "89d3b2",
            "a0eac9",
            "a4c2f4",
            "d0bcf1",
            "fbc8d9",
            "e66550",
            "ffbc6b",
            "fcda83",
            "44b984",
        ),
        *(
            "68dfa9",
            "6d9eeb",
            "b694e8",
            "f7a7c0",
            "cc3a21",
            "eaa041",
            "f2c960",
            "149e60",
            "3dc789",
            "3c78d8",
            "8e63ce",
            "e07798",
        ),
        *(
            "ac2b16",
            "cf8933",
            "d5ae49",
            "0b804b",
            "2a9c68",
            "285bac",
            "653e9b",
            "b65775",
            "822111",
            "a46a21",
            "aa8831",
            "076239",
        ),
        *(
            "1a764d",
            "1c4587",
            "41236d",
            "83334c",
            "464646",
            "e7e7e7",
            "0d3472",
            "b6cff5",
            "0d3b44",
            "98d7e4",
            "3d188e",
            "e3d7ff",
        ),
        *(
            "711a36",
            "fbd3e0",
            "8a1c0a",
            "f2b2a8",
            "7a2e0b",
            "ffc8af",
            "7a4706",
            "ffdeb5",
            "594c05",
            "fbe983",
            "684e07",
            "fdedc1",
        ),
        *(
            "0b4f30",
            "b3efd3",
            "04502e",
            "a2dcc1",
            "c2c2c2",
            "4986e7",
            "2da2bb",
            "b99aff",
            "994a64",
            "f691b2",
            "ff7537",
            "ffad46",
        ),
        *(
            "662e37",
            "ebdbde",
            "cca6ac",
            "094228",
            "42d692",
            "16a765",
            "757575",
            "1e53b8",
            "007286",
            "7858c3",
            "c2185b",
            "d93025",
        ),
        *("54240e", "633e04", "521d28", "202124", "083018"),
    )
)
"""Allowed background and text colours (gmail.v1, LabelColor)."""

_SCHEMA = """
CREATE TABLE IF NOT EXISTS google_gmail_labels(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, id TEXT NOT NULL, name TEXT NOT NULL,
    name_key TEXT NOT NULL, doc TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS google_gmail_labels_id ON google_gmail_labels(user, id);
CREATE UNIQUE INDEX IF NOT EXISTS google_gmail_labels_name ON google_gmail_labels(user, name_key);
CREATE TABLE IF NOT EXISTS google_gmail_label_numbers(user TEXT PRIMARY KEY, last INTEGER NOT NULL) WITHOUT ROWID;
"""


def create_tables(world: World) -> None:
    """Create the table of user labels where missing."""
    world.db.executescript(_SCHEMA)


def known_ids(world: World, user: str) -> set[str]:
    """Ids of all labels of the mailbox."""
    rows = world.db.execute("SELECT id FROM google_gmail_labels WHERE user = ?", (user,))
    return {row[0] for row in rows} | set(SYSTEM_LABELS)


def ids_by_name(world: World, user: str) -> dict[str, str]:
    """Label ids by the form of the name that a search writes: lower case, blanks and slashes as hyphens."""
    rows = world.db.execute("SELECT id, name FROM google_gmail_labels WHERE user = ?", (user,))
    found = {search_key(row["name"]): str(row["id"]) for row in rows}
    return found | {name.casefold(): name for name in SYSTEM_LABELS}


def search_key(name: str) -> str:
    """A label name as searches compare it."""
    return name.casefold().replace(" ", "-").replace("/", "-")


def require_known(world: World, user: str, ids: Iterable[str], *, changeable: bool = False) -> list[str]:
    """Check label ids of a request.

    Raises:
        ApiError: 400 for an unknown id or, with ``changeable``, for one that clients can neither add nor remove.
    """
    result = list(dict.fromkeys(ids))
    unknown = set(result) - set(SYSTEM_LABELS)
    if unknown:
        unknown -= known_ids(world, user)
    for label in result:
        if label in unknown or (changeable and label in FIXED_LABELS):
            raise invalid(f"Invalid label: {label}")
    return result


def list_labels(call: Call) -> Reply:
    """labels.list: all labels, without counts."""
    store.require_self(call)
    rows = call.world.db.execute("SELECT * FROM google_gmail_labels WHERE user = ? ORDER BY seq", (call.user,))
    return Reply({"labels": [*(_system(name) for name in SYSTEM_LABELS), *(_render(row) for row in rows)]})


def get_label(call: Call) -> Reply:
    """labels.get, with counts of messages and threads."""
    store.require_self(call)
    label = call.params["id"]
    body = _system(label) if label in SYSTEM_LABELS else _render(_row(call, label))
    return Reply({**body, **_counts(call.world, call.user, label)})


def create_label(call: Call) -> Reply:
    """labels.create; a parent need not exist.

    Raises:
        ApiError: 409 for a name in use (any case), 400 for a reserved or impossible name or colour.
    """
    store.require_self(call)
    body = call.body or {}
    name = _valid_name(body.get("name"))
    world, user = call.world, call.user
    document = _document(body, {})
    with transaction(world):
        _require_free(world, user, name, "")
        count = world.db.execute("SELECT count(*) FROM google_gmail_labels WHERE user = ?", (user,)).fetchone()[
            0
        ]
        if count >= int(world.settings.get("gmail_label_limit", LABEL_LIMIT)):
            raise ApiError(400, "failedPrecondition", "Too many labels.", grpc="FAILED_PRECONDITION")
        world.db.execute(
            "INSERT INTO google_gmail_label_numbers VALUES (?, 1) ON CONFLICT(user) DO UPDATE SET last = last + 1",
            (user,),
        )
        query = "SELECT last FROM google_gmail_label_numbers WHERE user = ?"
        label = f"Label_{world.db.execute(query, (user,)).fetchone()[0]}"
        world.db.execute(
            "INSERT INTO google_gmail_labels(user, id, name, name_key, doc) VALUES (?,?,?,?,?)",
            (user, label, name, name.casefold(), json.dumps(document)),
        )
    return Reply(_render(_row(call, label)))


def update_label(call: Call) -> Reply:
    """labels.update: what is left out is reset."""
    return _change(call, {})


def patch_label(call: Call) -> Reply:
    """labels.patch: what is left out stays; a null colour clears it."""
    store.require_self(call)
    return _change(call, None)


def delete_label(call: Call) -> Reply:
    """labels.delete: the label leaves all messages, each with a history record; nested labels stay."""
    store.require_self(call)
    label, world, user = call.params["id"], call.world, call.user
    if label in SYSTEM_LABELS:
        raise invalid("Invalid delete request")
    row = _row(call, label)
    with transaction(world):
        query = "SELECT seq FROM google_gmail_tags WHERE user = ? AND label = ?"
        seqs = [found[0] for found in world.db.execute(query, (user, label))]
        for message in store.load(world, user, seqs):
            store.relabel(world, user, message, (), (label,))
        world.db.execute("DELETE FROM google_gmail_labels WHERE seq = ?", (row["seq"],))
    return Reply(None)


def _change(call: Call, base: Mapping[str, Any] | None) -> Reply:
    """Update or patch; ``base`` None takes the present document as the ground."""
    store.require_self(call)
    label, body = call.params["id"], call.body or {}
    if label in SYSTEM_LABELS:
        raise invalid("Invalid update request")
    if body.get("id") not in (None, "", label):
        raise invalid("Label ID in the request body does not match the label ID in the URL")
    row = _row(call, label)
    name = row["name"] if base is None and "name" not in body else _valid_name(body.get("name"))
    document = _document(body, json.loads(row["doc"]) if base is None else base)
    with transaction(call.world):
        _require_free(call.world, call.user, name, label)
        call.world.db.execute(
            "UPDATE google_gmail_labels SET name = ?, name_key = ?, doc = ? WHERE seq = ?",
            (name, name.casefold(), json.dumps(document), row["seq"]),
        )
    return Reply(_render(_row(call, label)))


def _document(body: Mapping[str, Any], base: Mapping[str, Any]) -> dict[str, Any]:
    """Visibility and colour of a label after a write."""
    result = {"messageListVisibility": "show", "labelListVisibility": "labelShow", **base}
    for field in ("messageListVisibility", "labelListVisibility"):
        if body.get(field):
            result[field] = body[field]
    if "color" in body:
        colour = body["color"] or {}
        result.pop("color", None)
        if colour:
            pair = {part: str(colour.get(part) or "").lower() for part in ("textColor", "backgroundColor")}
            for value in pair.values():
                if value not in PALETTE:
                    raise invalid(f"Label color {value or '(none)'} is not on the allowed color palette")
            result["color"] = pair
    return result


def _valid_name(value: Any) -> str:
    name = str(value or "").strip()
    if not name or len(name) > NAME_LIMIT or any(not part.strip() for part in name.split("/")):
        raise invalid("Invalid label name")
    if name.casefold() in _RESERVED:
        raise invalid("Invalid label name")
    return name


def _require_free(world: World, user: str, name: str, own_id: str) -> None:
    query = "SELECT 1 FROM google_gmail_labels WHERE user = ? AND name_key = ? AND id <> ?"
    if world.db.execute(query, (user, name.casefold(), own_id)).fetchone():
        raise ApiError(409, "alreadyExists", "Label name exists or conflicts", grpc="ALREADY_EXISTS")


def _row(call: Call, label: str) -> sqlite3.Row:
    query = "SELECT * FROM google_gmail_labels WHERE user = ? AND id = ?"
    row: sqlite3.Row | None = call.world.db.execute(query, (call.user, label)).fetchone()
    if row is None:
        raise not_found()
    return row


def _render(row: sqlite3.Row) -> dict[str, Any]:
    return {"id": row["id"], "name": row["name"], "type": "user", **json.loads(row["doc"])}


def _system(name: str) -> dict[str, Any]:
    body = {"id": name, "name": name, "type": "system"}
    if name in _HIDDEN:
        body |= {"messageListVisibility": "hide", "labelListVisibility": "labelHide"}
    return body


def _counts(world: World, user: str, label: str) -> dict[str, int]:
    query = """
        SELECT count(*), count(DISTINCT m.thread), coalesce(sum(u.seq IS NOT NULL), 0),
            count(DISTINCT CASE WHEN u.seq IS NOT NULL THEN m.thread END)
        FROM google_gmail_tags t JOIN google_gmail_messages m ON m.seq = t.seq
        LEFT JOIN google_gmail_tags u ON u.user = t.user AND u.label = 'UNREAD' AND u.seq = t.seq
        WHERE t.user = ? AND t.label = ?
    """
    row = world.db.execute(query, (user, label)).fetchone()
    return dict(
        zip(("messagesTotal", "threadsTotal", "messagesUnread", "threadsUnread"), tuple(row), strict=True)
    )
