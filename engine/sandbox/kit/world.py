"""The world that sandbox servers live in: one SQLite file, one clock that tests can move, counters."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(slots=True)
class SandboxClock:
    """The machine's clock plus an offset that tests move forward (token expiry, feed lag, quota windows)."""

    offset_ms: int = 0

    def now_ms(self) -> int:
        """Epoch milliseconds UTC."""
        return time.time_ns() // 1_000_000 + self.offset_ms


@dataclass(slots=True)
class World:
    """State shared by the servers of one sandbox process.

    Attributes:
        db: SQLite connection in autocommit mode, used from the server's one thread. Each service creates its own
            tables (``CREATE TABLE IF NOT EXISTS``) with a prefix of its name (``google_``, ``sf_``).
        clock: current time.
        settings: what the launcher was told: quotas, lags, latency; see each service for its keys.
        counters: calls by ``service.method``, mails sent to guests (``google.mails``) and the like, for tests.
        closing: called when the process is asked to end, so that answers which last for minutes end themselves.
    """

    db: sqlite3.Connection
    clock: SandboxClock = field(default_factory=SandboxClock)
    settings: dict[str, Any] = field(default_factory=dict)
    counters: Counter[str] = field(default_factory=Counter)
    closing: list[Callable[[], None]] = field(default_factory=list)


def open_world(data_dir: Path | None, settings: dict[str, Any] | None = None) -> World:
    """Open or create the world in ``data_dir`` (in memory when ``None``)."""
    if data_dir is None:
        target = ":memory:"
    else:
        data_dir.mkdir(parents=True, exist_ok=True)
        target = str(data_dir / "sandbox.sqlite")
    db = sqlite3.connect(target, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    db.execute("PRAGMA journal_mode=WAL")
    db.execute("PRAGMA synchronous=NORMAL")
    return World(db=db, settings=settings or {})


@contextmanager
def transaction(world: World) -> Iterator[None]:
    """One SQLite transaction, undone by an exception; within an open one a savepoint (the calls of a batch)."""
    nested = world.db.in_transaction
    begin, undo, end = _NESTED if nested else _OUTER
    world.db.execute(begin)
    try:
        yield
    except BaseException:
        world.db.execute(undo)
        if nested:
            world.db.execute(end)
        raise
    world.db.execute(end)


_OUTER = ("BEGIN IMMEDIATE", "ROLLBACK", "COMMIT")
_NESTED = ("SAVEPOINT inner_call", "ROLLBACK TO inner_call", "RELEASE inner_call")
