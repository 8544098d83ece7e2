"""Contacts of the People sandbox in SQLite: current versions, the versions that the lagging feed still shows, membership.

Each user has a revision counter; a write gives the contact the next revision. What a feed shows is decided by a horizon,
the last revision that is older than the feed's lag: the version of a contact with ``rev <= horizon < until_rev``.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from engine.sandbox.google.call import ApiError
from engine.sandbox.kit.world import World, transaction

CONTACT_LIMIT = 25_000
"""Contacts a user may hold, those in the trash included (setting ``people_contact_limit``)."""
_TRASH_MS = 30 * 86_400_000
_FIRST_ID = 4_100_000_000_000_000_000
_ID_STEP = 7_919
_ALWAYS = 1 << 62
_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":")).encode
MY_CONTACTS, STARRED = "myContacts", "starred"

_SCHEMA = """
CREATE TABLE IF NOT EXISTS google_people_users(
    user TEXT PRIMARY KEY, rev INTEGER NOT NULL, last_ms INTEGER NOT NULL, held INTEGER NOT NULL,
    searchable_rev INTEGER NOT NULL, group_rev INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS google_people_contacts(
    seq INTEGER PRIMARY KEY, user TEXT NOT NULL, rev INTEGER NOT NULL, changed_ms INTEGER NOT NULL,
    deleted INTEGER NOT NULL, first_name TEXT NOT NULL, last_name TEXT NOT NULL, doc TEXT NOT NULL);
CREATE UNIQUE INDEX IF NOT EXISTS google_people_contacts_rev ON google_people_contacts(user, rev, deleted);
CREATE TABLE IF NOT EXISTS google_people_past(
    seq INTEGER NOT NULL, user TEXT NOT NULL, rev INTEGER NOT NULL, changed_ms INTEGER NOT NULL,
    deleted INTEGER NOT NULL, first_name TEXT NOT NULL, last_name TEXT NOT NULL, doc TEXT NOT NULL,
    until_rev INTEGER NOT NULL, until_ms INTEGER NOT NULL);
CREATE INDEX IF NOT EXISTS google_people_past_rev ON google_people_past(user, rev);
CREATE TABLE IF NOT EXISTS google_people_members(
    user TEXT NOT NULL, group_id TEXT NOT NULL, seq INTEGER NOT NULL,
    PRIMARY KEY(user, group_id, seq)) WITHOUT ROWID;
"""
_COLUMNS = "seq, rev, changed_ms, deleted, first_name, last_name, doc"


@dataclass(frozen=True, slots=True)
class Contact:
    """One version of a contact.

    Attributes:
        seq: number from which the resource name is made.
        rev: the user's revision of this version; the etag follows from it.
        changed_ms: epoch milliseconds of the write.
        deleted: a tombstone.
        doc: stored fields of the person, plus ``groups``: ids of its contact groups.
    """

    seq: int
    rev: int
    changed_ms: int
    deleted: bool
    doc: dict[str, Any]

    @property
    def name(self) -> str:
        """Resource name, ``people/c...``."""
        return f"people/c{_FIRST_ID + self.seq * _ID_STEP}"

    @property
    def source_id(self) -> str:
        """Id of the contact source, hexadecimal."""
        return format(_FIRST_ID + self.seq * _ID_STEP, "x")

    @property
    def etag(self) -> str:
        """Etag of the person."""
        return "%EgUBAi43PRoEAQIFByIM" + base64.b64encode(f"{self.seq}.{self.rev}".encode()).decode()

    @property
    def source_etag(self) -> str:
        """Etag of the contact source."""
        return "#" + base64.b64encode(f"{self.rev}.{self.seq}".encode()).decode()

    @property
    def groups(self) -> list[str]:
        """Ids of the groups it is a member of."""
        return list(self.doc.get("groups", ()))


def seq_of(resource_name: str) -> int:
    """The number behind a resource name, 0 when it is none of ours."""
    digits = resource_name.removeprefix("people/c")
    if not digits.isascii() or not digits.isdigit() or len(digits) > 19:
        return 0
    seq, rest = divmod(int(digits) - _FIRST_ID, _ID_STEP)
    return seq if seq > 0 and rest == 0 else 0


def timestamp(ms: int) -> str:
    """RFC 3339 in UTC with microseconds, as the service prints update times."""
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def create_tables(world: World) -> None:
    """Create the tables of contacts where missing."""
    world.db.executescript(_SCHEMA)


def user_row(world: World, user: str) -> sqlite3.Row:
    """The user's counters; made at first sight."""
    query = "SELECT rev, last_ms, held, searchable_rev, group_rev FROM google_people_users WHERE user = ?"
    row = world.db.execute(query, (user,)).fetchone()
    if row is None:
        world.db.execute("INSERT INTO google_people_users VALUES (?, 0, 0, 0, 0, 0)", (user,))
        row = world.db.execute(query, (user,)).fetchone()
    found: sqlite3.Row = row
    return found


def find(world: World, user: str, names: Sequence[str]) -> dict[str, Contact]:
    """Living contacts of ``user`` by resource name, read after write."""
    wanted = {seq_of(name): name for name in names}
    marks = ",".join("?" * len(wanted))
    rows = world.db.execute(
        f"SELECT {_COLUMNS} FROM google_people_contacts WHERE seq IN ({marks}) AND user = ? AND deleted = 0",  # noqa: S608
        (*wanted, user),
    )
    return {wanted[row["seq"]]: _contact(row) for row in rows}


def members(world: World, user: str, group_id: str, limit: int = -1) -> list[int]:
    """Numbers of the contacts of a group, in order of creation; all of them without ``limit``."""
    query = "SELECT seq FROM google_people_members WHERE user = ? AND group_id = ? ORDER BY seq LIMIT ?"
    return [row[0] for row in world.db.execute(query, (user, group_id, limit))]


def member_count(world: World, user: str, group_id: str) -> int:
    """How many contacts a group has."""
    query = "SELECT count(*) FROM google_people_members WHERE user = ? AND group_id = ?"
    return int(world.db.execute(query, (user, group_id)).fetchone()[0])


def horizon(world: World, user: str) -> int:
    """The last revision that the lagging feed shows (setting ``people_lag_seconds``)."""
    lag_ms = int(float(world.settings.get("people_lag_seconds", 0)) * 1000)
    row = user_row(world, user)
    if lag_ms == 0:
        return int(row["rev"])
    limit = world.clock.now_ms() - lag_ms
    newest = 0
    for table in ("google_people_contacts", "google_people_past"):
        query = f"SELECT rev FROM {table} WHERE user = ? AND changed_ms <= ? ORDER BY rev DESC LIMIT 1"  # noqa: S608
        found = world.db.execute(query, (user, limit)).fetchone()
        newest = max(newest, found[0] if found else 0)
    return newest


_VISIBLE_NOW = "SELECT {} FROM google_people_contacts WHERE user = :user AND rev > :since AND rev <= :horizon"
_VISIBLE_PAST = (
    "SELECT {} FROM google_people_past"
    " WHERE user = :user AND rev > :since AND rev <= :horizon AND until_rev > :horizon"
)


def _visible_query(world: World, user: str, columns: str) -> str:
    """Only where older versions are kept is the union needed; without it the index gives the order."""
    query = "SELECT 1 FROM google_people_past WHERE user = ? LIMIT 1"
    arms = [_VISIBLE_NOW]
    if world.db.execute(query, (user,)).fetchone():
        arms.append(_VISIBLE_PAST)
    return " UNION ALL ".join(arm.format(columns) for arm in arms)


_ORDERS = {
    "LAST_MODIFIED_ASCENDING": "rev ASC",
    "LAST_MODIFIED_DESCENDING": "rev DESC",
    "FIRST_NAME_ASCENDING": "first_name, last_name, seq",
    "LAST_NAME_ASCENDING": "last_name, first_name, seq",
}


def visible(
    world: World, user: str, since: int, upto: int, order: str, offset: int, limit: int, *, tombstones: bool
) -> list[Contact]:
    """A page of what the feed shows at a horizon.

    Args:
        world: state.
        user: owner.
        since: only versions after this revision.
        upto: the horizon; it stays the same for all pages of a listing.
        order: a ``sortOrder`` of people.connections.list.
        offset: for the orders by modification the last revision of the page before (0 at first), else a row count.
        limit: rows at most.
        tombstones: show deleted contacts.
    """
    where = "1" if tombstones else "deleted = 0"
    names: dict[str, Any] = {"user": user, "since": since, "horizon": upto, "limit": limit, "offset": 0}
    if order == "LAST_MODIFIED_ASCENDING":
        names["since"] = max(since, offset)
    elif order == "LAST_MODIFIED_DESCENDING":
        where += f" AND rev < {offset or _ALWAYS}"
    else:
        names["offset"] = offset
    query = f"SELECT * FROM ({_visible_query(world, user, _COLUMNS)}) WHERE {where} ORDER BY {_ORDERS[order]} LIMIT :limit OFFSET :offset"  # noqa: S608
    return [_contact(row) for row in world.db.execute(query, names)]


def count_visible(world: World, user: str, upto: int) -> int:
    """How many living contacts the feed shows at a horizon."""
    query = f"SELECT count(*) FROM ({_visible_query(world, user, 'deleted')}) WHERE deleted = 0"  # noqa: S608
    return int(world.db.execute(query, {"user": user, "since": 0, "horizon": upto}).fetchone()[0])


def searchable(world: World, user: str, upto: int, needle: str) -> list[Contact]:
    """Living contacts up to a revision whose document contains ``needle``, oldest change first."""
    query = (
        f"SELECT {_COLUMNS} FROM google_people_contacts WHERE user = ? AND rev <= ? AND deleted = 0"  # noqa: S608
        " AND instr(lower(doc), ?) ORDER BY rev LIMIT 500"
    )
    return [_contact(row) for row in world.db.execute(query, (user, upto, needle))]


class Writer:
    """Writes contacts of one user inside one transaction; numbers and time come from the user's counters."""

    def __init__(self, world: World, user: str) -> None:
        self._world, self._db, self._user = world, world.db, user
        row = user_row(world, user)
        self._rev, self._held = int(row["rev"]), int(row["held"])
        self.now_ms = max(world.clock.now_ms(), int(row["last_ms"]))
        self._seq = int(
            self._db.execute("SELECT coalesce(max(seq), 0) FROM google_people_contacts").fetchone()[0]
        )

    def admit(self, count: int) -> None:
        """Refuse ``count`` new contacts beyond the limit of a mailbox.

        Raises:
            ApiError: 400 FAILED_PRECONDITION, ``MY_CONTACTS_OVERFLOW_COUNT``.
        """
        limit = int(self._world.settings.get("people_contact_limit", CONTACT_LIMIT))
        if self._held + count <= limit:
            return
        query = "SELECT count(*) FROM google_people_contacts WHERE user = ? AND (deleted = 0 OR changed_ms > ?)"
        self._held = int(self._db.execute(query, (self._user, self.now_ms - _TRASH_MS)).fetchone()[0])
        if self._held + count > limit:
            raise ApiError(
                400,
                "failedPrecondition",
                "MY_CONTACTS_OVERFLOW_COUNT: the maximum number of contacts has been reached.",
                grpc="FAILED_PRECONDITION",
                info_reason="MY_CONTACTS_OVERFLOW_COUNT",
                domain="people.googleapis.com",
            )

    def create(self, doc: dict[str, Any]) -> Contact:
        """Store a new contact."""
        self._held += 1
        self._seq += 1
        contact = self._version(self._seq, doc, deleted=False)
        self._db.execute("INSERT INTO google_people_contacts VALUES (?,?,?,?,?,?,?,?)", self._row(contact))
        self._join(contact.seq, contact.groups)
        return contact

    def replace(self, old: Contact, doc: dict[str, Any]) -> Contact:
        """Store the next version of a contact."""
        contact = self._version(old.seq, doc, deleted=False)
        self._supersede(contact)
        before, after = set(old.groups), set(contact.groups)
        self._leave(old.seq, before - after)
        self._join(old.seq, after - before)
        return contact

    def delete(self, old: Contact) -> None:
        """Leave a tombstone."""
        self._supersede(self._version(old.seq, {}, deleted=True))
        self._leave(old.seq, old.groups)

    def close(self) -> None:
        """Write the counters back; forget versions that no feed can show any more."""
        self._db.execute(
            "UPDATE google_people_users SET rev = ?, last_ms = ?, held = ? WHERE user = ?",
            (self._rev, self.now_ms, self._held, self._user),
        )
        lag_ms = int(float(self._world.settings.get("people_lag_seconds", 0)) * 1000)
        self._db.execute(
            "DELETE FROM google_people_past WHERE user = ? AND until_ms < ?", (self._user, self.now_ms - lag_ms)
        )

    def _version(self, seq: int, doc: dict[str, Any], *, deleted: bool) -> Contact:
        self._rev += 1
        return Contact(seq, self._rev, self.now_ms, deleted, doc)

    def _row(self, contact: Contact) -> tuple[Any, ...]:
        names = contact.doc.get("names") or [{}]
        first = str(names[0].get("givenName", "")).casefold()
        last = str(names[0].get("familyName", "")).casefold()
        text = _encode(contact.doc)
        return contact.seq, self._user, contact.rev, contact.changed_ms, int(contact.deleted), first, last, text

    def _supersede(self, contact: Contact) -> None:
        if self._world.settings.get("people_lag_seconds"):
            self._db.execute(
                f"INSERT INTO google_people_past(user, {_COLUMNS}, until_rev, until_ms) "  # noqa: S608
                f"SELECT user, {_COLUMNS}, ?, ? FROM google_people_contacts WHERE seq = ?",
                (contact.rev, contact.changed_ms, contact.seq),
            )
        self._db.execute("REPLACE INTO google_people_contacts VALUES (?,?,?,?,?,?,?,?)", self._row(contact))

    def _join(self, seq: int, groups: Iterable[str]) -> None:
        rows = [(self._user, group, seq) for group in groups]
        self._db.executemany("INSERT OR IGNORE INTO google_people_members VALUES (?,?,?)", rows)

    def _leave(self, seq: int, groups: Iterable[str]) -> None:
        rows = [(self._user, group, seq) for group in groups]
        self._db.executemany(
            "DELETE FROM google_people_members WHERE user = ? AND group_id = ? AND seq = ?", rows
        )


@contextmanager
def writing(world: World, user: str) -> Iterator[Writer]:
    """A transaction that changes contacts of ``user``."""
    with transaction(world):
        writer = Writer(world, user)
        yield writer
        writer.close()


def regroup(contact: Contact, groups: Sequence[str]) -> dict[str, Any]:
    """The contact's document with other group memberships."""
    return replace(contact, doc={**contact.doc, "groups": list(dict.fromkeys(groups))}).doc


def _contact(row: sqlite3.Row) -> Contact:
    return Contact(row["seq"], row["rev"], row["changed_ms"], bool(row["deleted"]), json.loads(row["doc"]))
