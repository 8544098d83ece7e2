"""The ledger of the simulation: one connection to a database in memory, emptied for each seed."""

from __future__ import annotations

import sqlite3
from functools import cache

from tests.sync.world import TestLedger


class Store(TestLedger):
    """A ledger that all seeds of a process use one after the other; ``reset`` forgets everything."""

    def __init__(self) -> None:
        super().__init__()
        connection = self._engine.raw_connection().driver_connection
        assert isinstance(connection, sqlite3.Connection)
        self.raw = connection
        self._first = self._content()

    def _content(self) -> dict[str, list[tuple[object, ...]]]:
        tables = self.raw.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
        return {name: self.raw.execute(f'SELECT * FROM "{name}"').fetchall() for (name,) in tables}

    def reset(self) -> None:
        """The ledger as migrations leave it.

        It is emptied and not loaded anew: another image is another schema to SQLite, which would prepare each of some 170
        statements again, a tenth of the time of a seed.
        """
        self.raw.execute("BEGIN")
        for name, rows in self._first.items():
            self.raw.execute(f'DELETE FROM "{name}"')
            if rows:
                self.raw.executemany(f'INSERT INTO "{name}" VALUES ({", ".join("?" * len(rows[0]))})', rows)
        self.raw.execute("COMMIT")
        self.commits = self.number = 0
        self.dead = False


@cache
def store() -> Store:
    """The ledger of this process."""
    return Store()
