"""What is wrong with a ledger that cannot be used: SQLite's codes as words for people, with what to do.

A unit that met such a fault has changed nothing. It can be run again once the cause is gone; no write to a provider goes
out meanwhile, since each is written ahead.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

import sqlalchemy as sa

#: Primary result codes (sqlite.org/rescode.html) that say something about disk or file, not about a statement.
_WORDS = {
    sqlite3.SQLITE_FULL: ("the disk is full", "free some space; it is tried again every second"),
    sqlite3.SQLITE_IOERR: (
        "the disk reports an error",
        "check the disk and its cables or volume; it is tried again every second",
    ),
    sqlite3.SQLITE_BUSY: (
        "another program keeps the file locked",
        "find it (fuser on the file tells) and end it; it is tried again every second",
    ),
    sqlite3.SQLITE_LOCKED: (
        "another program keeps the file locked",
        "find it (fuser on the file tells) and end it; it is tried again every second",
    ),
    sqlite3.SQLITE_READONLY: (
        "the file is read-only",
        "make file, directory and volume writable for this user; it is tried again every second",
    ),
    sqlite3.SQLITE_PERM: (
        "access to the file is denied",
        "give this user access to file and directory; it is tried again every second",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        "the file cannot be opened",
        "check that the directory is there and belongs to this user; it is tried again every second",
    ),
    sqlite3.SQLITE_NOMEM: (
        "there is no memory left",
        "end other programs or give the machine more; it is tried again every second",
    ),
    sqlite3.SQLITE_CORRUPT: (
        "the file is damaged",
        "stop syncline and restore it from a backup, or move it away to start afresh: nothing is deleted by either",
    ),
    sqlite3.SQLITE_NOTADB: (
        "the file is no ledger",
        "stop syncline and restore it from a backup, or move it away to start afresh: nothing is deleted by either",
    ),
}

#: Codes of a file that no waiting mends.
DAMAGED = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})


class LedgerFault(Exception):
    """The ledger cannot be read or written now; the text says why and what to do.

    Attributes:
        code: SQLite's primary result code; 0 when another engine has taken the ledger over.
    """

    def __init__(self, text: str, code: int = 0) -> None:
        super().__init__(text)
        self.code = code


class LedgerTaken(LedgerFault):
    """Another engine has begun to work on this ledger: this one must neither write to it nor to a provider any more."""


def fault_of(error: BaseException, path: Path) -> LedgerFault | None:
    """The fault that an error of the driver stands for; None when the statement was wrong and not the disk."""
    cause: BaseException | None = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    if not isinstance(cause, sqlite3.Error):
        return None
    code = (getattr(cause, "sqlite_errorcode", None) or 0) & 0xFF
    if code not in _WORDS:
        return None
    what, advice = _WORDS[code]
    return LedgerFault(f"the ledger cannot be used: {what}; {advice} ({path})", code)
