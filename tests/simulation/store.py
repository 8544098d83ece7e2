"""The ledger of the simulation: one connection to a database in memory, made new for each seed from a template."""

from __future__ import annotations

import sqlite3
from functools import cache

from tests.sync.world import TestLedger, _template


class Store(TestLedger):
    """A ledger that all seeds of a process use one after the other; ``reset`` forgets everything."""

    def __init__(self) -> None:
        super().__init__()
        connection = self._engine.raw_connection().driver_connection
        assert isinstance(connection, sqlite3.Connection)
        self.raw = connection

    def reset(self) -> None:
        """An empty ledger."""
        self.raw.deserialize(_template())
        self.commits = self.number = 0
        self.dead = False


@cache
def store() -> Store:
    """The ledger of this process."""
    return Store()
