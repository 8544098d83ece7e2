"""Tables of the Calendar API: calendars, each user's calendar list, events as finished JSON documents."""

from __future__ import annotations

import json
import secrets
import sqlite3
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.sandbox.google import errors
from engine.sandbox.google.call import ApiError
from engine.sandbox.kit.world import World

Doc = dict[str, Any]
ENDLESS = 2**53
"""``end_ms`` of a series without an end."""

_TABLES = """
CREATE TABLE IF NOT EXISTS google_calendar_sequence (n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS google_calendars (
    id TEXT PRIMARY KEY, owner TEXT NOT NULL, doc TEXT NOT NULL, seq INTEGER NOT NULL, deleted INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS google_calendar_list (
    user TEXT NOT NULL, id TEXT NOT NULL, doc TEXT NOT NULL, seq INTEGER NOT NULL, deleted INTEGER NOT NULL,
    PRIMARY KEY (user, id)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS google_events (
    calendar TEXT NOT NULL, id TEXT NOT NULL, seq INTEGER NOT NULL, status TEXT NOT NULL, uid TEXT NOT NULL,
    master TEXT NOT NULL, recurring INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL,
    updated_ms INTEGER NOT NULL, doc TEXT NOT NULL, PRIMARY KEY (calendar, id)) WITHOUT ROWID;
CREATE UNIQUE INDEX IF NOT EXISTS google_events_seq ON google_events (calendar, seq);
CREATE INDEX IF NOT EXISTS google_events_uid ON google_events (calendar, uid);
CREATE INDEX IF NOT EXISTS google_events_master ON google_events (calendar, master) WHERE master <> '';
CREATE TABLE IF NOT EXISTS google_mails (
    at_ms INTEGER NOT NULL, calendar TEXT NOT NULL, event TEXT NOT NULL, kind TEXT NOT NULL, recipient TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Calendar:
    """A calendar that the caller may use: its id, its owner's address, its IANA zone, its document."""

    id: str
    owner: str
    zone: str
    doc: Doc
    seq: int


def setup(world: World) -> None:
    """Create the tables."""
    world.db.executescript(_TABLES)
    if world.db.execute("SELECT n FROM google_calendar_sequence").fetchone() is None:
        world.db.execute("INSERT INTO google_calendar_sequence VALUES (0)")


def next_seq(world: World) -> int:
    """The number of the next change; etags and sync tokens are made of it."""
    row = world.db.execute("UPDATE google_calendar_sequence SET n = n + 1 RETURNING n").fetchone()
    return int(row[0])


def last_seq(world: World) -> int:
    """The number of the last change."""
    return int(world.db.execute("SELECT n FROM google_calendar_sequence").fetchone()[0])


def etag(seq: int) -> str:
    """The entity tag of a row."""
    return f'"{3_400_000_000_000_000 + 2 * seq}"'


def stamp(ms: int) -> str:
    """Epoch milliseconds as the API writes them, e.g. ``2026-11-21T08:00:00.000Z``."""
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def check_match(headers: Any, current: str) -> None:
    """Refuse a write whose ``If-Match`` names another state.

    Raises:
        ApiError: 412 ``conditionNotMet``.
    """
    wanted = headers.get("if-match")
    if wanted is not None and wanted != "*" and current not in [tag.strip() for tag in wanted.split(",")]:
        raise ApiError(412, "conditionNotMet", "Precondition Failed", location="If-Match")


def create_primary(world: World, email: str, zone: str) -> None:
    """The primary calendar of a new user, with its list entry."""
    seq = next_seq(world)
    doc = {"summary": email, "timeZone": zone}
    world.db.execute(
        "INSERT INTO google_calendars VALUES (?, ?, ?, ?, 0)", (email, email, json.dumps(doc), seq)
    )
    entry = {"colorId": "14", "selected": True, "defaultReminders": [{"method": "popup", "minutes": 10}]}
    put_entry(world, email, email, entry)


def create_secondary(world: World, owner: str, doc: Doc) -> Calendar:
    """A further calendar of ``owner``, in the owner's list."""
    calendar_id = f"c_{secrets.token_hex(32)}@group.calendar.google.com"
    seq = next_seq(world)
    world.db.execute(
        "INSERT INTO google_calendars VALUES (?, ?, ?, ?, 0)", (calendar_id, owner, json.dumps(doc), seq)
    )
    put_entry(world, owner, calendar_id, {"colorId": "1", "selected": True, "defaultReminders": []})
    return Calendar(calendar_id, owner, doc.get("timeZone", "UTC"), doc, seq)


def put_entry(world: World, user: str, calendar_id: str, doc: Doc, *, deleted: bool = False) -> int:
    """Write a calendar list entry; returns its sequence number."""
    seq = next_seq(world)
    world.db.execute(
        "INSERT OR REPLACE INTO google_calendar_list VALUES (?, ?, ?, ?, ?)",
        (user, calendar_id, json.dumps(doc), seq, int(deleted)),
    )
    return seq


def put_calendar(world: World, calendar_id: str, doc: Doc, *, deleted: bool = False) -> int:
    """Change a calendar's document; returns its sequence number."""
    seq = next_seq(world)
    world.db.execute(
        "UPDATE google_calendars SET doc = ?, seq = ?, deleted = ? WHERE id = ?",
        (json.dumps(doc), seq, int(deleted), calendar_id),
    )
    return seq


def calendar(world: World, user: str, calendar_id: str) -> Calendar:
    """The calendar that ``user`` means by ``calendar_id`` (``primary`` is the user's own).

    Calendars are not shared in this sandbox: only the owner sees one.

    Raises:
        ApiError: 404.
    """
    wanted = user if calendar_id == "primary" else calendar_id
    row = world.db.execute(
        "SELECT id, owner, doc, seq FROM google_calendars WHERE id = ? AND deleted = 0", (wanted,)
    ).fetchone()
    if row is None and wanted != wanted.lower():
        return calendar(world, user, wanted.lower())
    if row is None or row["owner"] != user:
        raise errors.not_found()
    doc = json.loads(row["doc"])
    return Calendar(row["id"], row["owner"], doc.get("timeZone", "UTC"), doc, row["seq"])


def zone_of(world: World, calendar_id: str) -> str:
    """The IANA zone of a calendar, whoever's it is; UTC when there is no such calendar."""
    row = world.db.execute("SELECT doc FROM google_calendars WHERE id = ?", (calendar_id,)).fetchone()
    return str(json.loads(row["doc"]).get("timeZone", "UTC")) if row else "UTC"


def event_row(world: World, calendar_id: str, event_id: str) -> sqlite3.Row | None:
    """A stored event (single, series, exception or tombstone), or None."""
    row: sqlite3.Row | None = world.db.execute(
        "SELECT * FROM google_events WHERE calendar = ? AND id = ?", (calendar_id, event_id)
    ).fetchone()
    return row


def event_by_uid(world: World, calendar_id: str, uid: str) -> sqlite3.Row | None:
    """The single event or series with that iCalUID, or None."""
    row: sqlite3.Row | None = world.db.execute(
        "SELECT * FROM google_events WHERE calendar = ? AND uid = ? AND master = ''", (calendar_id, uid)
    ).fetchone()
    return row


def exceptions(world: World, calendar_id: str, master: str) -> list[sqlite3.Row]:
    """The stored exceptions of a series, cancelled ones too."""
    return world.db.execute(
        "SELECT * FROM google_events WHERE calendar = ? AND master = ? AND master <> ''", (calendar_id, master)
    ).fetchall()


def put_event(
    world: World, calendar_id: str, doc: Doc, span: tuple[int, int], *, keep_updated: bool = False
) -> Doc:
    """Store an event under a new etag; returns the finished document.

    Args:
        world: where.
        calendar_id: in which calendar.
        doc: the resource; ``etag`` and ``updated`` are set here.
        span: start and end in epoch milliseconds (a series: of all its occurrences).
        keep_updated: leave ``updated`` as it is (changes of reminders do not move it).
    """
    seq = next_seq(world)
    now = world.clock.now_ms()
    updated = doc["updated"] if keep_updated and "updated" in doc else stamp(now)
    finished = {**doc, "kind": "calendar#event", "etag": etag(seq), "updated": updated}
    world.db.execute(
        "INSERT OR REPLACE INTO google_events VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            calendar_id,
            doc["id"],
            seq,
            doc.get("status", "confirmed"),
            doc.get("iCalUID", ""),
            doc.get("recurringEventId", ""),
            int(bool(doc.get("recurrence"))),
            span[0],
            span[1],
            now,
            json.dumps(finished, ensure_ascii=False, separators=(",", ":")),
        ),
    )
    return finished
