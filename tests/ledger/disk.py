"""A disk that fails: SQLite's own errors at the n-th operation of the ledger, for as long as one likes."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

#: What an operation is, by its first word.
_READS = ("SELECT", "WITH")
_FREE = ("PRAGMA", "ROLLBACK", "SAVEPOINT", "RELEASE")


@dataclass
class Disk:
    """When it fails, and how.

    Attributes:
        code: SQLite's result code.
        kinds: which operations count: ``begin``, ``read``, ``write``, ``commit``.
        at: the number of the first one that fails; 0 is never.
        lasts: how many from then on fail.
        late: a commit that fails has been carried out all the same.
        number: operations so far.
        hits: failures so far.
    """

    code: int = sqlite3.SQLITE_IOERR
    kinds: frozenset[str] = frozenset({"begin", "read", "write", "commit"})
    at: int = 0
    lasts: int = 1
    late: bool = False
    number: int = 0
    hits: int = 0
    log: list[str] = field(default_factory=list)

    def fails(self, kind: str) -> bool:
        """Count an operation; whether it fails."""
        if kind not in self.kinds:
            return False
        self.number += 1
        if not self.at or not self.at <= self.number < self.at + self.lasts:
            return False
        self.hits += 1
        return True

    def error(self) -> sqlite3.OperationalError:
        """What SQLite raises."""
        error = sqlite3.OperationalError("injected")
        error.sqlite_errorcode = self.code
        return error

    def heal(self) -> None:
        """From now on all is well."""
        self.at = 0


def _kind(sql: str) -> str | None:
    word = sql.lstrip().split(None, 1)[0].upper()
    if word in _FREE:
        return None
    if word in ("BEGIN", "COMMIT"):
        return word.lower()
    return "read" if word in _READS else "write"


@contextmanager
def failing(disk: Disk) -> Iterator[Disk]:
    """Ledgers that are opened inside stand on this disk."""

    class Cursor(sqlite3.Cursor):
        def execute(self, sql: str, *parameters: Any) -> Any:
            if "query_only=1" in sql:
                self.connection.writer = False  # type: ignore[attr-defined]
            self._look(sql)
            return super().execute(sql, *parameters)

        def executemany(self, sql: str, *parameters: Any) -> Any:
            self._look(sql)
            return super().executemany(sql, *parameters)

        def _look(self, sql: str) -> None:
            kind = _kind(sql)
            if kind == "begin" and not self.connection.writer:  # type: ignore[attr-defined]
                return  # readers of a write-ahead log wait for nobody
            if kind is not None and disk.fails(kind):
                raise disk.error()

    class Connection(sqlite3.Connection):
        writer = True

        def cursor(self, _factory: Any = None) -> Any:
            return super().cursor(Cursor)

        def execute(self, sql: str, *parameters: Any) -> Any:
            return self.cursor().execute(sql, *parameters)

        def executemany(self, sql: str, *parameters: Any) -> Any:
            return self.cursor().executemany(sql, *parameters)

        def commit(self) -> None:
            fails = self.writer and self.in_transaction and disk.fails("commit")
            if not fails or disk.late:
                super().commit()
            if fails:
                raise disk.error()

    def connect(_dialect: Any, _record: Any, _words: Any, options: dict[str, Any]) -> None:
        options["factory"] = Connection

    sa.event.listen(sa.Engine, "do_connect", connect)
    try:
        yield disk
    finally:
        sa.event.remove(sa.Engine, "do_connect", connect)
