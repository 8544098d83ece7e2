"""Messages, their labels and the history of a mailbox in SQLite."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.sandbox.google.call import ApiError, Call
from engine.sandbox.kit.world import World

HISTORY_DAYS = 7
"""Days a history record is kept (setting ``gmail_history_days``); Google says "typically at least a week"."""
_DAY_MS = 86_400_000
_FIRST_HISTORY = 1_000
_FIRST_ID = 0x19A0000000000000
_ID_STEP = 15_485_863

_SCHEMA = """
CREATE TABLE IF NOT EXISTS google_gmail_messages(
    seq INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, thread INTEGER NOT NULL, internal_ms INTEGER NOT NULL,
    history INTEGER NOT NULL, size INTEGER NOT NULL, rfc822_id TEXT NOT NULL, subject TEXT NOT NULL,
    sender TEXT NOT NULL, recipients TEXT NOT NULL, snippet TEXT NOT NULL, attached INTEGER NOT NULL,
    raw BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS google_gmail_messages_time ON google_gmail_messages(user, internal_ms, seq);
CREATE INDEX IF NOT EXISTS google_gmail_messages_rfc822 ON google_gmail_messages(user, rfc822_id);
CREATE INDEX IF NOT EXISTS google_gmail_messages_thread ON google_gmail_messages(user, thread);
CREATE TABLE IF NOT EXISTS google_gmail_tags(
    user TEXT NOT NULL, label TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY(user, label, seq)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS google_gmail_tags_seq ON google_gmail_tags(seq);
CREATE TABLE IF NOT EXISTS google_gmail_history(
    rev INTEGER PRIMARY KEY AUTOINCREMENT, user TEXT NOT NULL, ms INTEGER NOT NULL, seq INTEGER NOT NULL,
    thread INTEGER NOT NULL, kind TEXT NOT NULL, added TEXT NOT NULL, removed TEXT NOT NULL, labels TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS google_gmail_history_user ON google_gmail_history(user, rev);
"""
_COLUMNS = "seq, thread, internal_ms, history, size, rfc822_id, subject, snippet"


@dataclass(frozen=True, slots=True)
class Message:
    """A stored message without its raw text.

    Attributes:
        seq: number from which the id is made.
        thread: ``seq`` of the first message of its thread.
        internal_ms: internal date, epoch milliseconds.
        history: history id of its last change.
        size: bytes of the raw message.
        rfc822_id: ``Message-ID`` header without angle brackets.
        subject: decoded subject.
        snippet: beginning of the text.
        labels: label ids, sorted.
    """

    seq: int
    thread: int
    internal_ms: int
    history: int
    size: int
    rfc822_id: str
    subject: str
    snippet: str
    labels: tuple[str, ...]


def create_tables(world: World) -> None:
    """Create the tables of messages and history where missing."""
    world.db.executescript(_SCHEMA)


def invalid(message: str) -> ApiError:
    """A 400 ``invalidArgument``."""
    return ApiError(400, "invalidArgument", message, grpc="INVALID_ARGUMENT")


def not_found() -> ApiError:
    """A 404 ``notFound``."""
    return ApiError(404, "notFound", "Requested entity was not found.", grpc="NOT_FOUND")


def require_self(call: Call) -> None:
    """The path's ``userId`` must be ``me`` or the mailbox that the token stands for.

    Raises:
        ApiError: 403 otherwise.
    """
    user = str(call.params.get("userId") or "me")
    if user != "me" and user.casefold() != call.user.casefold():
        raise ApiError(403, "forbidden", f"Delegation denied for {call.user}", grpc="PERMISSION_DENIED")


def public_id(seq: int) -> str:
    """Message and thread ids: 16 hexadecimal digits."""
    return format(_FIRST_ID + seq * _ID_STEP, "016x")


def seq_of(identifier: str) -> int:
    """The number behind a message or thread id, 0 when it is none of ours."""
    try:
        seq, rest = divmod(int(identifier, 16) - _FIRST_ID, _ID_STEP)
    except ValueError:
        return 0
    return seq if 0 < seq < 1 << 40 and rest == 0 else 0


def load(world: World, user: str, seqs: Sequence[int]) -> list[Message]:
    """Messages by number, in the order given; unknown ones are left out."""
    found: dict[int, Message] = {}
    for start in range(0, len(seqs), 500):
        part = seqs[start : start + 500]
        marks = ",".join("?" * len(part))
        tags: dict[int, list[str]] = {}
        for seq, label in world.db.execute(
            f"SELECT seq, label FROM google_gmail_tags WHERE seq IN ({marks})",  # noqa: S608
            part,
        ):
            tags.setdefault(seq, []).append(label)
        rows = world.db.execute(
            f"SELECT {_COLUMNS} FROM google_gmail_messages WHERE seq IN ({marks}) AND user = ?",  # noqa: S608
            (*part, user),
        )
        for row in rows:
            found[row["seq"]] = _message(row, tags.get(row["seq"], []))
    return [found[seq] for seq in dict.fromkeys(seqs) if seq in found]


def require(world: World, user: str, identifier: str) -> Message:
    """The message with this id.

    Raises:
        ApiError: 404 when the user has none.
    """
    found = load(world, user, [seq_of(identifier)])
    if not found:
        raise not_found()
    return found[0]


def raw(world: World, message: Message) -> bytes:
    """The message as it was inserted."""
    row = world.db.execute("SELECT raw FROM google_gmail_messages WHERE seq = ?", (message.seq,)).fetchone()
    return bytes(row[0])


def thread_members(world: World, user: str, thread: int) -> list[Message]:
    """All messages of a thread, oldest first."""
    # The "+" keeps SQLite from walking the whole mailbox by time.
    query = "SELECT seq FROM google_gmail_messages WHERE user = ? AND thread = ? ORDER BY +internal_ms, seq"
    return load(world, user, [row[0] for row in world.db.execute(query, (user, thread))])


def current_history(world: World, user: str) -> int:
    """The mailbox's newest history id."""
    row = world.db.execute("SELECT max(rev) FROM google_gmail_history WHERE user = ?", (user,)).fetchone()
    return _FIRST_HISTORY + int(row[0] or 0)


def insert(world: World, user: str, thread: int, labels: Iterable[str], fields: dict[str, Any]) -> Message:
    """Store a message and its history record.

    Args:
        world: state.
        user: mailbox.
        thread: thread to join, 0 to begin one.
        labels: label ids.
        fields: the other columns of the table by name.
    """
    db = world.db
    names = (
        "internal_ms",
        "size",
        "rfc822_id",
        "subject",
        "sender",
        "recipients",
        "snippet",
        "attached",
        "raw",
    )
    cursor = db.execute(
        "INSERT INTO google_gmail_messages(user, thread, history, internal_ms, size, rfc822_id, subject, sender,"
        " recipients, snippet, attached, raw) VALUES (?,?,0,?,?,?,?,?,?,?,?,?)",
        (user, thread, *(fields[name] for name in names)),
    )
    seq = int(cursor.lastrowid or 0)
    if not thread:
        db.execute("UPDATE google_gmail_messages SET thread = seq WHERE seq = ?", (seq,))
    tags = sorted(set(labels))
    db.executemany("INSERT INTO google_gmail_tags VALUES (?,?,?)", [(user, label, seq) for label in tags])
    _record(world, user, seq, thread or seq, "added", labels=tags)
    return load(world, user, [seq])[0]


def relabel(world: World, user: str, message: Message, add: Iterable[str], remove: Iterable[str]) -> bool:
    """Add and remove labels; one history record if anything changes. Returns whether it did."""
    before = set(message.labels)
    removed = sorted(before & set(remove))
    added = sorted(set(add) - before)
    if not added and not removed:
        return False
    seq, db = message.seq, world.db
    db.executemany("INSERT INTO google_gmail_tags VALUES (?,?,?)", [(user, label, seq) for label in added])
    db.executemany(
        "DELETE FROM google_gmail_tags WHERE user = ? AND label = ? AND seq = ?",
        [(user, label, seq) for label in removed],
    )
    after = sorted((before | set(added)) - set(removed))
    _record(world, user, seq, message.thread, "labels", added=added, removed=removed, labels=after)
    return True


def delete(world: World, user: str, message: Message) -> None:
    """Remove a message for good; its history stays and says so."""
    _remove(world, message)
    _record(world, user, message.seq, message.thread, "deleted", labels=list(message.labels))


def forget(world: World, message: Message) -> None:
    """Remove a message and every trace of it in the history."""
    _remove(world, message)
    world.db.execute("DELETE FROM google_gmail_history WHERE seq = ?", (message.seq,))


def oldest_history(world: World, user: str) -> int:
    """The oldest history id from which nothing is missing; records before it count as forgotten."""
    days = float(world.settings.get("gmail_history_days", HISTORY_DAYS))
    limit = world.clock.now_ms() - int(days * _DAY_MS)
    query = "SELECT max(rev) FROM google_gmail_history WHERE user = ? AND ms < ?"
    row = world.db.execute(query, (user, limit)).fetchone()
    return _FIRST_HISTORY + int(row[0] or 0)


def history_after(world: World, user: str, start: int, limit: int) -> list[tuple[int, sqlite3.Row]]:
    """History records after an id, as (id, row), oldest first."""
    query = "SELECT * FROM google_gmail_history WHERE user = ? AND rev > ? ORDER BY rev LIMIT ?"
    rows = world.db.execute(query, (user, start - _FIRST_HISTORY, limit))
    return [(_FIRST_HISTORY + row["rev"], row) for row in rows]


def _remove(world: World, message: Message) -> None:
    world.db.execute("DELETE FROM google_gmail_messages WHERE seq = ?", (message.seq,))
    world.db.execute("DELETE FROM google_gmail_tags WHERE seq = ?", (message.seq,))


def _message(row: sqlite3.Row, labels: list[str]) -> Message:
    seq, thread, internal_ms, history, size, rfc822_id, subject, snippet = tuple(row)
    return Message(seq, thread, internal_ms, history, size, rfc822_id, subject, snippet, tuple(sorted(labels)))


def _record(
    world: World,
    user: str,
    seq: int,
    thread: int,
    kind: str,
    *,
    labels: Sequence[str],
    added: Sequence[str] = (),
    removed: Sequence[str] = (),
) -> None:
    cursor = world.db.execute(
        "INSERT INTO google_gmail_history(user, ms, seq, thread, kind, added, removed, labels) VALUES (?,?,?,?,?,?,?,?)",
        (
            user,
            world.clock.now_ms(),
            seq,
            thread,
            kind,
            json.dumps(list(added)),
            json.dumps(list(removed)),
            json.dumps(list(labels)),
        ),
    )
    history = _FIRST_HISTORY + int(cursor.lastrowid or 0)
    world.db.execute("UPDATE google_gmail_messages SET history = ? WHERE seq = ?", (history, seq))
