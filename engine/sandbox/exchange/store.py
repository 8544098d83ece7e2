"""Tables of the Exchange sandbox: mailboxes, folders, items as JSON documents, and the numbers of all changes."""

from __future__ import annotations

import secrets
import sqlite3
from dataclasses import dataclass

import orjson

from engine.sandbox.exchange import ids
from engine.sandbox.exchange.nodes import Doc
from engine.sandbox.kit.world import World

NEVER = 2**53
"""``end_ms`` of a series without an end."""

_TABLES = """
CREATE TABLE IF NOT EXISTS exchange_sequence (n INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS exchange_mailboxes (
    id INTEGER PRIMARY KEY, guid BLOB NOT NULL UNIQUE, email TEXT NOT NULL UNIQUE, name TEXT NOT NULL, zone TEXT NOT NULL,
    given TEXT NOT NULL, family TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS exchange_folders (
    id INTEGER PRIMARY KEY, mailbox INTEGER NOT NULL, parent INTEGER NOT NULL, name TEXT NOT NULL, tag TEXT NOT NULL,
    class TEXT NOT NULL, special TEXT NOT NULL, seq INTEGER NOT NULL, came INTEGER NOT NULL, doc BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS exchange_folders_parent ON exchange_folders (mailbox, parent);
CREATE UNIQUE INDEX IF NOT EXISTS exchange_folders_special ON exchange_folders (mailbox, special) WHERE special <> '';
CREATE TABLE IF NOT EXISTS exchange_items (
    id INTEGER PRIMARY KEY AUTOINCREMENT, mailbox INTEGER NOT NULL, folder INTEGER NOT NULL, tag TEXT NOT NULL,
    master INTEGER NOT NULL, original INTEGER NOT NULL, seq INTEGER NOT NULL, came INTEGER NOT NULL,
    read_seq INTEGER NOT NULL, start_ms INTEGER NOT NULL, end_ms INTEGER NOT NULL, uid TEXT NOT NULL,
    created_ms INTEGER NOT NULL, modified_ms INTEGER NOT NULL, doc BLOB NOT NULL, mime BLOB);
CREATE INDEX IF NOT EXISTS exchange_items_folder ON exchange_items (folder, master, seq);
CREATE INDEX IF NOT EXISTS exchange_items_changed ON exchange_items (folder, master, MAX(seq, read_seq));
CREATE INDEX IF NOT EXISTS exchange_items_time ON exchange_items (folder, start_ms) WHERE tag = 'CalendarItem';
CREATE INDEX IF NOT EXISTS exchange_items_uid ON exchange_items (mailbox, uid) WHERE uid <> '';
CREATE INDEX IF NOT EXISTS exchange_items_master ON exchange_items (master, original) WHERE master <> 0;
CREATE TABLE IF NOT EXISTS exchange_gone (
    folder INTEGER NOT NULL, seq INTEGER NOT NULL, item INTEGER NOT NULL, came INTEGER NOT NULL, tag TEXT NOT NULL,
    PRIMARY KEY (folder, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exchange_folders_gone (
    mailbox INTEGER NOT NULL, seq INTEGER NOT NULL, folder INTEGER NOT NULL, came INTEGER NOT NULL,
    PRIMARY KEY (mailbox, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exchange_log (
    item INTEGER NOT NULL, seq INTEGER NOT NULL, PRIMARY KEY (item, seq)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS exchange_extended (
    item INTEGER NOT NULL, path TEXT NOT NULL, value TEXT NOT NULL, PRIMARY KEY (item, path)) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS exchange_extended_value ON exchange_extended (path, value COLLATE NOCASE);
CREATE TABLE IF NOT EXISTS exchange_attachments (
    id INTEGER PRIMARY KEY AUTOINCREMENT, item INTEGER NOT NULL, tag TEXT NOT NULL, modified_ms INTEGER NOT NULL,
    doc BLOB NOT NULL, content BLOB NOT NULL);
CREATE INDEX IF NOT EXISTS exchange_attachments_item ON exchange_attachments (item);
CREATE TABLE IF NOT EXISTS exchange_mails (
    at_ms INTEGER NOT NULL, sender TEXT NOT NULL, recipient TEXT NOT NULL, kind TEXT NOT NULL, uid TEXT NOT NULL,
    subject TEXT NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class Mailbox:
    """A mailbox: its row, the 16 bytes that its ids begin with, address, display name, IANA zone."""

    row: int
    guid: bytes
    email: str
    name: str
    zone: str


@dataclass(slots=True)
class Folder:
    """A folder. ``tag`` is its element (``CalendarFolder``), ``special`` its distinguished id or empty."""

    row: int
    mailbox: int
    parent: int
    name: str
    tag: str
    kind: str
    special: str
    seq: int
    came: int
    doc: Doc


@dataclass(slots=True)
class Item:
    """An item, or a changed occurrence (then ``master`` is the series' row and ``original`` its start by the pattern).

    ``seq`` numbers the last change, ``came`` the one that brought it into the folder, ``read_seq`` the last that changed
    nothing but whether it was read. A series' span is that of all its occurrences. Times are epoch milliseconds.
    """

    row: int
    mailbox: int
    folder: int
    tag: str
    doc: Doc
    master: int = 0
    original: int = 0
    seq: int = 0
    came: int = 0
    read_seq: int = 0
    start_ms: int = 0
    end_ms: int = 0
    uid: str = ""
    created_ms: int = 0
    modified_ms: int = 0
    mime: bytes | None = None


def setup(world: World) -> None:
    """Create the tables."""
    run_script(world, _TABLES)
    if world.db.execute("SELECT n FROM exchange_sequence").fetchone() is None:
        world.db.execute("INSERT INTO exchange_sequence VALUES (0)")


def run_script(world: World, statements: str) -> None:
    """Run statements one by one: sqlite3's ``executescript`` would end a transaction that is under way."""
    for statement in statements.split(";"):
        world.db.execute(statement)


def next_seq(world: World) -> int:
    """The number of the next change; change keys, sync states and watermarks are made of it."""
    return int(world.db.execute("UPDATE exchange_sequence SET n = n + 1 RETURNING n").fetchone()[0])


def last_seq(world: World) -> int:
    """The number of the last change."""
    return int(world.db.execute("SELECT n FROM exchange_sequence").fetchone()[0])


# -- mailboxes -------------------------------------------------------------------------------------------

_MAILBOX = "SELECT id, guid, email, name, zone FROM exchange_mailboxes"


def mailbox_by_email(world: World, email: str) -> Mailbox | None:
    """The mailbox with that address (any case), or None."""
    row = world.db.execute(f"{_MAILBOX} WHERE email = ?", (email.strip().lower(),)).fetchone()
    return Mailbox(*row) if row else None


def mailbox_by_guid(world: World, guid: bytes) -> Mailbox | None:
    """The mailbox of an id, or None."""
    row = world.db.execute(f"{_MAILBOX} WHERE guid = ?", (guid,)).fetchone()
    return Mailbox(*row) if row else None


def mailbox_by_row(world: World, row: int) -> Mailbox:
    """The mailbox of that row."""
    return Mailbox(*world.db.execute(f"{_MAILBOX} WHERE id = ?", (row,)).fetchone())


def mailboxes(world: World) -> list[Mailbox]:
    """All mailboxes, by name."""
    return [Mailbox(*row) for row in world.db.execute(f"{_MAILBOX} ORDER BY name, email").fetchall()]


def insert_mailbox(world: World, email: str, name: str, zone: str) -> Mailbox:
    """Add a mailbox without folders."""
    guid = secrets.token_bytes(16)
    given, _, family = name.partition(" ")
    found = world.db.execute(
        "INSERT INTO exchange_mailboxes (guid, email, name, zone, given, family) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
        (guid, email.strip().lower(), name, zone, given, family or given),
    ).fetchone()
    return Mailbox(found[0], guid, email.strip().lower(), name, zone)


# -- folders ---------------------------------------------------------------------------------------------

_FOLDER = "SELECT id, mailbox, parent, name, tag, class, special, seq, came, doc FROM exchange_folders"


def _folder(row: sqlite3.Row) -> Folder:
    row_id, mailbox, parent, name, tag, kind, special, seq, came, doc = row
    return Folder(row_id, mailbox, parent, name, tag, kind, special, seq, came, orjson.loads(doc))


def folder(world: World, row: int) -> Folder | None:
    """The folder of that row, or None."""
    found = world.db.execute(f"{_FOLDER} WHERE id = ?", (row,)).fetchone()
    return _folder(found) if found else None


def special_folder(world: World, mailbox: int, name: str) -> Folder | None:
    """The folder with that distinguished id, or None."""
    found = world.db.execute(f"{_FOLDER} WHERE mailbox = ? AND special = ?", (mailbox, name)).fetchone()
    return _folder(found) if found else None


def folders_of(world: World, mailbox: int) -> list[Folder]:
    """All folders of a mailbox, oldest first."""
    rows = world.db.execute(f"{_FOLDER} WHERE mailbox = ? ORDER BY id", (mailbox,)).fetchall()
    return [_folder(row) for row in rows]


def insert_folder(
    world: World,
    mailbox: int,
    parent: int,
    name: str,
    tag: str,
    kind: str,
    special: str = "",
    doc: Doc | None = None,
) -> Folder:
    """Add a folder of element ``tag`` and class ``kind`` (``IPF.Contact``)."""
    seq = next_seq(world)
    found = world.db.execute(
        "INSERT INTO exchange_folders (mailbox, parent, name, tag, class, special, seq, came, doc)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id",
        (mailbox, parent, name, tag, kind, special, seq, seq, orjson.dumps(doc or {})),
    ).fetchone()
    return Folder(found[0], mailbox, parent, name, tag, kind, special, seq, seq, doc or {})


def update_folder(world: World, found: Folder) -> None:
    """Write a changed folder under a new number."""
    found.seq = next_seq(world)
    world.db.execute(
        "UPDATE exchange_folders SET parent = ?, name = ?, class = ?, seq = ?, came = ?, doc = ? WHERE id = ?",
        (found.parent, found.name, found.kind, found.seq, found.came, orjson.dumps(found.doc), found.row),
    )


def delete_folder(world: World, found: Folder) -> None:
    """Remove a folder with the items in it, leaving a tombstone; its subfolders are the caller's to remove first."""
    world.db.execute(
        "INSERT INTO exchange_folders_gone VALUES (?, ?, ?, ?)",
        (found.mailbox, next_seq(world), found.row, found.came),
    )
    for one in items_in(world, found.row):
        delete_item(world, one)
    world.db.execute("DELETE FROM exchange_folders WHERE id = ?", (found.row,))


# -- items -----------------------------------------------------------------------------------------------

_COLUMNS = (
    "id, mailbox, folder, tag, doc, master, original, seq, came, read_seq, start_ms, end_ms, uid, created_ms,"
    " modified_ms, mime"
)
_ITEM = f"SELECT {_COLUMNS} FROM exchange_items"  # noqa: S608 - constants
_INSERT = (
    f"INSERT INTO exchange_items ({_COLUMNS.removeprefix('id, ')})"  # noqa: S608 - constants
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING id"
)


def _item(row: sqlite3.Row) -> Item:
    (
        row_id,
        mailbox,
        folder_row,
        tag,
        doc,
        master,
        original,
        seq,
        came,
        read_seq,
        start,
        end,
        uid,
        born,
        edited,
        mime,
    ) = row
    return Item(
        row_id, mailbox, folder_row, tag, orjson.loads(doc), master, original, seq, came, read_seq, start, end, uid, born,
        edited, mime,
    )  # fmt: skip


def item(world: World, row: int) -> Item | None:
    """The item or changed occurrence of that row, or None."""
    found = world.db.execute(f"{_ITEM} WHERE id = ?", (row,)).fetchone()
    return _item(found) if found else None


def items_where(world: World, condition: str, values: tuple[object, ...]) -> list[Item]:
    """Items by a condition on columns; the condition is a constant of the caller's, values are bound."""
    return [_item(row) for row in world.db.execute(f"{_ITEM} WHERE {condition}", values).fetchall()]


def items_in(world: World, folder_row: int) -> list[Item]:
    """The items of a folder (no changed occurrences), in the order in which they last changed."""
    return items_where(world, "folder = ? AND master = 0 ORDER BY seq", (folder_row,))


def changed_occurrences(world: World, master: int) -> list[Item]:
    """The changed occurrences of a series, by their original starts."""
    return items_where(world, "master = ? AND master <> 0 ORDER BY original", (master,))


def occurrence(world: World, master: int, original: int) -> Item | None:
    """The changed occurrence of a series with that original start, or None."""
    found = items_where(world, "master = ? AND master <> 0 AND original = ?", (master, original))
    return found[0] if found else None


def _values(one: Item) -> tuple[object, ...]:
    return (
        one.mailbox,
        one.folder,
        one.tag,
        orjson.dumps(one.doc),
        one.master,
        one.original,
        one.seq,
        one.came,
        one.read_seq,
        one.start_ms,
        one.end_ms,
        one.uid,
        one.created_ms,
        one.modified_ms,
        one.mime,
    )


def insert_item(world: World, one: Item) -> None:
    """Add an item; its row and numbers are set here. A changed occurrence is no item of its own to any feed."""
    one.seq = one.came = one.read_seq = next_seq(world)
    one.modified_ms = world.clock.now_ms()
    one.created_ms = one.created_ms or one.modified_ms
    found = world.db.execute(
        _INSERT,
        _values(one),
    ).fetchone()
    one.row = int(found[0])
    if not one.master:
        world.db.execute("INSERT INTO exchange_log VALUES (?, ?)", (one.row, one.seq))
    _index(world, one)


def update_item(world: World, one: Item, *, only_read: bool = False) -> None:
    """Write a changed item under a new number.

    Args:
        world: where.
        one: the item.
        only_read: nothing but whether it was read has changed; feeds tell such changes apart.
    """
    number = next_seq(world)
    if only_read:
        one.read_seq = number
    else:
        one.seq = number
        one.modified_ms = world.clock.now_ms()
    world.db.execute(
        "UPDATE exchange_items SET mailbox = ?, folder = ?, tag = ?, doc = ?, master = ?, original = ?, seq = ?, came = ?,"
        " read_seq = ?, start_ms = ?, end_ms = ?, uid = ?, created_ms = ?, modified_ms = ?, mime = ? WHERE id = ?",
        (*_values(one), one.row),
    )
    if not one.master:
        world.db.execute("INSERT INTO exchange_log VALUES (?, ?)", (one.row, number))
    world.db.execute("DELETE FROM exchange_extended WHERE item = ?", (one.row,))
    _index(world, one)


def _index(world: World, one: Item) -> None:
    extended = one.doc.get("ExtendedProperty")
    if extended and not one.master:
        world.db.executemany(
            "INSERT INTO exchange_extended VALUES (?, ?, ?)",
            [
                (one.row, path, value)
                for path, value in extended.items()
                if isinstance(value, str) and len(value) <= 255
            ],
        )


def delete_item(world: World, one: Item) -> None:
    """Remove an item with its attachments and changed occurrences, leaving a tombstone."""
    if not one.master:
        world.db.execute(
            "INSERT INTO exchange_gone VALUES (?, ?, ?, ?, ?)",
            (one.folder, next_seq(world), one.row, one.came, one.tag),
        )
        for changed in changed_occurrences(world, one.row):
            delete_item(world, changed)
    world.db.execute("DELETE FROM exchange_items WHERE id = ?", (one.row,))
    world.db.execute("DELETE FROM exchange_extended WHERE item = ?", (one.row,))
    world.db.execute("DELETE FROM exchange_attachments WHERE item = ?", (one.row,))


def item_id(guid: bytes, one: Item) -> str:
    """The id of an item; of a changed occurrence, that which the occurrence had before it was changed."""
    if one.master:
        return str(ids.Id(guid, "I", one.master, one.original))
    return str(ids.Id(guid, "I", one.row))


def key_seq(one: Item) -> int:
    """The number that an item's change key is made of."""
    return max(one.seq, one.read_seq)
