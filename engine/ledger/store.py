"""Where units of work run. A unit is a synchronous function of a SQLAlchemy ``Connection``: pure SQL, one transaction.

On SQLite they run in threads of the store's own: one writer (``BEGIN IMMEDIATE``, WAL, ``synchronous=FULL``), several
readers (``query_only``). A unit is one hop to a thread, where a driver that is asynchronous by itself hops once
per statement and once per fetch, and cost 3 to 8 times the processor time for the same unit. No unit awaits anything, so a
cancelled task can never tear a transaction, and the write lock is never held across network input or output.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa
from alembic import command
from alembic.config import Config

P = ParamSpec("P")
T = TypeVar("T")

#: Readers open at once. Screens page by key and close each read, so few are needed.
READERS = 3


#: Statements that a connection keeps prepared; an IN list has one for each power of two.
PREPARED = 512


class LedgerBusy(Exception):
    """Another engine holds this data directory."""


class LedgerDamaged(Exception):
    """The file is not a usable ledger."""


class StaleLease(Exception):
    """Somebody else has taken over the mailbox (or policy): this cycle must write nothing more."""


def is_ledger_fault(error: BaseException) -> bool:
    """Whether the database itself failed: a full or lost disk, a damaged file. Every mailbox is concerned then."""
    return isinstance(error, sa.exc.SQLAlchemyError | sqlite3.Error)


class Ledger(Protocol):
    """What the rest of the engine needs: run a unit of work."""

    async def write(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a write transaction; it is committed when the unit returns, rolled back when it raises."""
        ...

    async def read(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a read transaction."""
        ...


def _pragmas(read_only: bool) -> Callable[[Any, Any], None]:
    def connect(connection: Any, _record: Any) -> None:
        cursor = connection.cursor()
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "busy_timeout=5000",
            "foreign_keys=ON",
            "journal_size_limit=67108864",
            "cache_size=-16000",
            *(("query_only=1", "wal_autocheckpoint=0") if read_only else ()),
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()
        # SQLAlchemy's "begin" event below opens transactions; the driver must not open its own.
        connection.isolation_level = None

    return connect


def _engine(path: Path, *, read_only: bool) -> sa.Engine:
    engine = sa.create_engine(
        f"sqlite:///{path}",
        poolclass=sa.pool.QueuePool,
        pool_size=READERS if read_only else 1,
        max_overflow=0,
        connect_args={"check_same_thread": False, "cached_statements": PREPARED},
        hide_parameters=True,  # what people wrote must not reach an exception text or a log
    )
    sa.event.listen(engine, "connect", _pragmas(read_only))
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    sa.event.listen(engine, "begin", lambda connection: connection.connection.driver_connection.execute(begin))
    return engine


def migrate(connection: sa.Connection) -> None:
    """Bring the schema to this version.

    Raises:
        LedgerDamaged: the ledger was made by a newer version.
    """
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except Exception as error:
        if "Can't locate revision" in str(error):
            raise LedgerDamaged(
                "this ledger was written by a newer version of syncline; install that version again"
            ) from error
        raise


class SqliteLedger:
    """The ledger in one SQLite file, held by one engine at a time."""

    def __init__(self, path: Path, lock: int) -> None:
        self.path = path
        self._writer = _engine(path, read_only=False)
        self._reader = _engine(path, read_only=True)
        self._writing = ThreadPoolExecutor(1, "ledger-writer")
        self._reading = ThreadPoolExecutor(READERS, "ledger-reader")
        self._lock_file = lock
        #: Committed write transactions, for tests of the idle cycle.
        self.commits = 0

    @classmethod
    async def open(cls, path: Path) -> SqliteLedger:
        """Open or create the ledger, take the lock on its directory and migrate it.

        Raises:
            LedgerBusy: another engine holds it; the text names the process.
            LedgerDamaged: the file is no ledger, is damaged, or is newer than this program.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = _lock(path.with_suffix(".lock"))
        try:
            if not path.exists():
                path.touch(mode=0o600)
            path.chmod(0o600)
        except OSError:
            os.close(lock)
            raise
        ledger = cls(path, lock)
        try:
            await ledger.write(migrate)
        except BaseException as error:
            await ledger.close()
            if isinstance(error, sa.exc.DatabaseError | sqlite3.DatabaseError):
                raise LedgerDamaged(
                    f"{path} cannot be read as a ledger ({error.__class__.__name__}); "
                    "move it away to start afresh, or restore it from a backup"
                ) from error
            raise
        return ledger

    async def write(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a write transaction; one at a time, in the writer's thread."""

        def run() -> T:
            with self._writer.begin() as connection:
                result = unit(connection, *args, **kwargs)
            self.commits += 1
            return result

        # A cancelled caller cannot tear a transaction: the thread finishes what it began.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writing, run))

    async def read(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a read transaction, in one of the readers' threads."""

        def run() -> T:
            with self._reader.begin() as connection:
                return unit(connection, *args, **kwargs)

        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._reading, run))

    async def close(self) -> None:
        """Finish open writes, tidy up and let go of the lock."""
        await asyncio.to_thread(self._close)
        os.close(self._lock_file)

    def _close(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        with contextlib.suppress(sa.exc.SQLAlchemyError), self._writer.connect() as connection:
            connection.exec_driver_sql("PRAGMA optimize")
        self._reader.dispose()
        self._writer.dispose()


def _lock(path: Path) -> int:
    """Take the exclusive lock that keeps a second engine out; the file says who holds it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        holder = os.read(descriptor, 200).decode(errors="replace").strip()
        os.close(descriptor)
        raise LedgerBusy(
            f"another syncline works on {path.parent} ({holder or 'unknown process'}); stop it first, "
            "or name another directory with --data-dir"
        ) from None
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"pid {os.getpid()} on {os.uname().nodename}".encode(), 0)
    return descriptor


class MemoryLedger:
    """The same units on one in-memory connection, without a thread: for simulations and unit tests."""

    def __init__(self, image: bytes | None = None) -> None:
        """An empty ledger, or one that begins as ``image()`` of another (no migration then)."""
        self._engine = sa.create_engine(
            "sqlite://",
            poolclass=sa.pool.StaticPool,
            connect_args={"check_same_thread": False, "cached_statements": PREPARED},
            hide_parameters=True,
        )
        self._connection = self._engine.connect()
        self._driver: sqlite3.Connection = self._connection.connection.driver_connection  # type: ignore[assignment]
        self._driver.isolation_level = None
        self.commits = 0
        if image is None:
            with self._connection.begin():
                migrate(self._connection)
        else:
            self._driver.deserialize(image)

    def image(self) -> bytes:
        """The whole database, to begin other ledgers with."""
        return self._driver.serialize()

    async def write(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a write transaction."""
        self._driver.execute("BEGIN")
        try:
            result = unit(self._connection, *args, **kwargs)
        except BaseException:
            self._connection.rollback()
            self._driver.rollback()
            raise
        self._connection.commit()
        self._driver.commit()
        self.commits += 1
        return result

    async def read(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit; nothing is committed."""
        self._driver.execute("BEGIN")
        try:
            return unit(self._connection, *args, **kwargs)
        finally:
            self._connection.rollback()
            self._driver.rollback()

    async def close(self) -> None:
        """Forget everything."""
        self._connection.close()
        self._engine.dispose()
