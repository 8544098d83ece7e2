"""Who may log in, by which password, and whose mailboxes they may open; mailboxes with their standard folders."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from engine.sandbox.exchange import ntlm, store
from engine.sandbox.kit.world import World, transaction

DOMAIN = "SANDBOX"
"""The Windows domain of all accounts, for logins such as ``SANDBOX\\anna``."""

_TABLE = """
CREATE TABLE IF NOT EXISTS exchange_accounts (
    name TEXT PRIMARY KEY, short TEXT NOT NULL, nt_hash BLOB NOT NULL, mailbox INTEGER NOT NULL, impersonates TEXT NOT NULL);
CREATE INDEX IF NOT EXISTS exchange_accounts_short ON exchange_accounts (short);
CREATE TABLE IF NOT EXISTS exchange_tokens (token TEXT PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS exchange_applications (
    client TEXT PRIMARY KEY, secret TEXT NOT NULL, name TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS exchange_issued (token TEXT PRIMARY KEY, name TEXT NOT NULL, until_ms INTEGER NOT NULL);
"""

_FOLDERS = (
    ("root", "", "Root", "Folder", ""),
    ("msgfolderroot", "root", "Top of Information Store", "Folder", ""),
    ("calendar", "msgfolderroot", "Calendar", "CalendarFolder", "IPF.Appointment"),
    ("contacts", "msgfolderroot", "Contacts", "ContactsFolder", "IPF.Contact"),
    ("deleteditems", "msgfolderroot", "Deleted Items", "Folder", "IPF.Note"),
    ("drafts", "msgfolderroot", "Drafts", "Folder", "IPF.Note"),
    ("inbox", "msgfolderroot", "Inbox", "Folder", "IPF.Note"),
    ("journal", "msgfolderroot", "Journal", "Folder", "IPF.Journal"),
    ("junkemail", "msgfolderroot", "Junk Email", "Folder", "IPF.Note"),
    ("notes", "msgfolderroot", "Notes", "Folder", "IPF.StickyNote"),
    ("outbox", "msgfolderroot", "Outbox", "Folder", "IPF.Note"),
    ("sentitems", "msgfolderroot", "Sent Items", "Folder", "IPF.Note"),
    ("tasks", "msgfolderroot", "Tasks", "TasksFolder", "IPF.Task"),
    ("searchfolders", "root", "Finder", "Folder", ""),
    ("recoverableitemsroot", "root", "Recoverable Items", "Folder", ""),
    ("recoverableitemsdeletions", "recoverableitemsroot", "Deletions", "Folder", ""),
    ("recoverableitemspurges", "recoverableitemsroot", "Purges", "Folder", ""),
    ("recoverableitemsversions", "recoverableitemsroot", "Versions", "Folder", ""),
)
"""Distinguished id, parent, name, element and class of the folders that every mailbox has."""


@dataclass(frozen=True, slots=True)
class Account:
    """Somebody who has logged in.

    Attributes:
        name: user principal name, lower case.
        mailbox: row of the account's own mailbox; 0 when it has none.
        impersonates: addresses it may act for by ``ExchangeImpersonation``; ``*`` stands for all.
    """

    name: str
    mailbox: int
    impersonates: frozenset[str]

    def may_act_for(self, email: str) -> bool:
        """Whether the account has the right to impersonate the owner of that mailbox."""
        return "*" in self.impersonates or email in self.impersonates


def setup(world: World) -> None:
    """Create the tables."""
    store.setup(world)
    store.run_script(world, _TABLE)


def add_mailbox(world: World, email: str, name: str, zone: str) -> store.Mailbox:
    """Add a mailbox with its standard folders; the known one when the address is known.

    Args:
        world: where to add.
        email: primary address; kept in lower case.
        name: display name.
        zone: IANA time zone of the owner.
    """
    setup(world)
    with transaction(world):
        known = store.mailbox_by_email(world, email)
        if known is not None:
            return known
        mailbox = store.insert_mailbox(world, email, name, zone)
        rows: dict[str, int] = {"": 0}
        for special, parent, shown, tag, kind in _FOLDERS:
            rows[special] = store.insert_folder(world, mailbox.row, rows[parent], shown, tag, kind, special).row
        return mailbox


def add_account(
    world: World, name: str, password: str, *, mailbox: str = "", impersonates: Iterable[str] = ()
) -> None:
    """Add a login, or give a known one another password and other rights.

    Args:
        world: where to add.
        name: user principal name (``anna@example.com``); ``SANDBOX\\anna`` and ``anna`` log in, too.
        password: its password; only the NT hash is kept, which is what NTLM needs.
        mailbox: address of its own mailbox, if it has one.
        impersonates: addresses that it may act for; ``*`` for all.

    Raises:
        ValueError: no such mailbox.
    """
    setup(world)
    own = store.mailbox_by_email(world, mailbox) if mailbox else None
    if mailbox and own is None:
        raise ValueError(f"mailbox {mailbox!r}: not in this sandbox")
    name = name.lower()
    world.db.execute(
        "INSERT OR REPLACE INTO exchange_accounts VALUES (?, ?, ?, ?, ?)",
        (
            name,
            name.partition("@")[0],
            ntlm.nt_hash(password),
            own.row if own else 0,
            json.dumps(sorted(address.lower() for address in impersonates)),
        ),
    )


def add_token(world: World, token: str, name: str) -> None:
    """Let an OAuth bearer token stand for the account of that name."""
    setup(world)
    world.db.execute("INSERT OR REPLACE INTO exchange_tokens VALUES (?, ?)", (token, name.lower()))


def add_application(world: World, client: str, secret: str, name: str) -> None:
    """Register an application whose tokens stand for the account of that name; a known one gets another secret."""
    setup(world)
    row = (client, secret, name.lower())
    world.db.execute("INSERT OR REPLACE INTO exchange_applications VALUES (?, ?, ?)", row)


def application(world: World, client: str) -> tuple[str, str] | None:
    """Account and secret of an application, or None."""
    found = "SELECT name, secret FROM exchange_applications WHERE client = ?"
    row = world.db.execute(found, (client,)).fetchone()
    return (str(row[0]), str(row[1])) if row else None


def issue(world: World, token: str, name: str, until_ms: int) -> None:
    """Let a token stand for an account until a moment, epoch milliseconds."""
    world.db.execute("INSERT INTO exchange_issued VALUES (?, ?, ?)", (token, name, until_ms))


def by_token(world: World, token: str) -> Account | None:
    """The account that a bearer token stands for, or None."""
    row = world.db.execute(
        "SELECT name FROM exchange_tokens WHERE token = ? "
        "UNION SELECT name FROM exchange_issued WHERE token = ? AND until_ms > ?",
        (token, token, world.clock.now_ms()),
    ).fetchone()
    found = by_login(world, row[0]) if row else None
    return found[0] if found else None


def by_login(world: World, login: str, domain: str = "") -> tuple[Account, bytes] | None:
    """The account that logs in by that name, and its NT hash; None when there is none or the domain is another.

    Args:
        world: where to look.
        login: ``anna@example.com``, ``SANDBOX\\anna`` or ``anna``.
        domain: Windows domain, when it came apart from the name.
    """
    if "\\" in login:
        domain, _, login = login.partition("\\")
    if domain and "@" not in login and domain.upper() != DOMAIN:
        return None
    found = "SELECT name, mailbox, impersonates, nt_hash FROM exchange_accounts WHERE "
    found += "name = ?" if "@" in login else "short = ?"
    rows = world.db.execute(found, (login.lower(),)).fetchall()
    if len(rows) != 1:
        return None
    name, mailbox, granted, nt_hash = rows[0]
    return Account(name, mailbox, frozenset(json.loads(granted))), nt_hash


def write_passwords(world: World, path: Path, mailboxes: Mapping[str, str]) -> dict[str, str]:
    """Give accounts passwords and write them to a JSON file (mode 0600); a known file is kept.

    Args:
        world: where the accounts are added.
        path: of the file: ``{login: password}``.
        mailboxes: for each login the address of its own mailbox; empty for one that impersonates everybody.
    """
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    passwords = {name: str(known.get(name) or secrets.token_urlsafe(12)) for name in mailboxes}
    if passwords != known:
        path.touch(mode=0o600)
        path.chmod(0o600)
        path.write_text(json.dumps(passwords, indent=2) + "\n", encoding="utf-8")
        with transaction(world):
            for name, mailbox in mailboxes.items():
                add_account(
                    world, name, passwords[name], mailbox=mailbox, impersonates=() if mailbox else ("*",)
                )
    return passwords
