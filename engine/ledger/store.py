"""Where units of work run. A unit is a synchronous function of a SQLAlchemy ``Connection``: pure SQL, one transaction.

On SQLite they run in threads of the store's own: one writer (``BEGIN IMMEDIATE``, WAL, ``synchronous=FULL``), several
readers (``query_only``). A unit is one hop to a thread, where a driver that is asynchronous by itself hops once
per statement and once per fetch, and cost 3 to 8 times the processor time for the same unit. No unit awaits anything, so a
cancelled task can never tear a transaction, and the write lock is never held across network input or output.
"""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar

import sqlalchemy as sa

from engine.ledger import holder
from engine.ledger.health import DAMAGED, LedgerFault, LedgerTaken, fault_of
from engine.ledger.lock import Lock
from engine.model.clock import Clock, SystemClock

P = ParamSpec("P")
T = TypeVar("T")

#: Readers open at once. Screens page by key and close each read, so few are needed.
READERS = 3

_MIGRATIONS = Path(__file__).parent / "migrations"

#: Statements that a connection keeps prepared; an IN list has one for each power of two.
PREPARED = 512

#: What a statement sorts or sets aside is small and stays in memory; a journal for it on disk would only cost.
TEMPORARY = "temp_store=MEMORY"


class LedgerDamaged(Exception):
    """The file is not a usable ledger."""


class StaleLease(Exception):
    """Somebody else has taken over the mailbox (or policy): this cycle must write nothing more."""


def is_ledger_fault(error: BaseException) -> bool:
    """Whether the database itself failed: a full or lost disk, a damaged file. Every mailbox is concerned then."""
    return isinstance(error, LedgerFault | sa.exc.SQLAlchemyError | sqlite3.Error)


class Ledger(Protocol):
    """What the rest of the engine needs: run a unit of work.

    Attributes:
        fault: why the last unit could not be run; None while all is well.
    """

    fault: LedgerFault | None

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

    def check_held(self) -> None:
        """Raise ``LedgerTaken`` when another engine has visibly taken over; asked before each call to a provider."""
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
            TEMPORARY,
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
        pool_size=READERS + 1 if read_only else 1,  # one reads in the loop's own thread
        max_overflow=0,
        connect_args={"check_same_thread": False, "cached_statements": PREPARED},
        hide_parameters=True,  # what people wrote must not reach an exception text or a log
    )
    sa.event.listen(engine, "connect", _pragmas(read_only))
    begin = "BEGIN" if read_only else "BEGIN IMMEDIATE"
    sa.event.listen(engine, "begin", lambda connection: connection.connection.driver_connection.execute(begin))
    return engine


def _revision(connection: sa.Connection) -> str | None:
    """The migration that a ledger has come to; None for an empty one."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    return found


def _newest() -> str:
    """The last migration: their files are named after their revisions, which count up."""
    return max(path.name.partition("_")[0] for path in (_MIGRATIONS / "versions").glob("[0-9]*.py"))


def migrate(connection: sa.Connection) -> None:
    """Bring the schema to this version.

    Raises:
        LedgerDamaged: the ledger was made by a newer version.
    """
    if _revision(connection) == _newest():
        return
    # Where there is something to do alone: it costs a start of the app a quarter of a second of a core.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
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

    def __init__(self, path: Path, lock: Lock) -> None:
        self.path = path
        self._writer = _engine(path, read_only=False)
        self._reader = _engine(path, read_only=True)
        self._writing = ThreadPoolExecutor(1, "ledger-writer")
        self._reading = ThreadPoolExecutor(READERS, "ledger-reader")
        self._lock = lock
        self._token: int | None = None
        self._closed = False
        #: Why the last unit could not be run; None while all is well.
        self.fault: LedgerFault | None = None
        #: Committed write transactions, for tests of the idle cycle.
        self.commits = 0

    @classmethod
    async def open(cls, path: Path, *, clock: Clock | None = None) -> SqliteLedger:
        """Open or create the ledger, take the lock on its directory, migrate it and become its holder.

        Raises:
            LedgerBusy: another engine holds it; the text names process, host and since when.
            LedgerDamaged: the file is no ledger, is damaged, or is newer than this program.
            LedgerFault: it cannot be read or written now; it is not damaged.
        """
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = Lock.take(path.with_suffix(".lock"), clock or SystemClock())
        try:
            if not path.exists():
                path.touch(mode=0o600)
            path.chmod(0o600)
        except OSError:
            lock.release()
            raise
        ledger = cls(path, lock)
        try:
            await ledger.write(migrate)
            ledger._token = await ledger.write(holder.take, lock.holder)
        except BaseException as error:
            await ledger.close()
            damaged = isinstance(error, sa.exc.DatabaseError | sqlite3.DatabaseError)
            if damaged or (isinstance(error, LedgerFault) and error.code in DAMAGED):
                raise LedgerDamaged(
                    f"{path} cannot be read as a ledger: it is damaged or something else; move it away to start "
                    "afresh, or restore it from a backup (neither deletes anything anywhere)"
                ) from error
            raise
        return ledger

    async def write(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a write transaction; one at a time, in the writer's thread.

        Raises:
            LedgerFault: the ledger cannot be written now, or another engine has taken it over; nothing was changed.
        """

        def run() -> T:
            with self._telling(), self._writer.begin() as connection:
                if self._token is not None:
                    holder.check(connection, self._token)
                result = unit(connection, *args, **kwargs)
            self.fault = None
            self.commits += 1
            return result

        # A cancelled caller cannot tear a transaction: the thread finishes what it began.
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._writing, run))

    async def read(
        self, unit: Callable[Concatenate[sa.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a unit in a read transaction, in one of the readers' threads; a unit that is ``at_once``, right here.

        Raises:
            LedgerFault: the ledger cannot be read now.
        """

        def run() -> T:
            with self._telling(reading=True), self._reader.begin() as connection:
                return unit(connection, *args, **kwargs)

        if getattr(unit, "at_once", False) and not self._closed:
            return run()
        return await asyncio.shield(asyncio.get_running_loop().run_in_executor(self._reading, run))

    @contextlib.contextmanager
    def _telling(self, *, reading: bool = False) -> Iterator[None]:
        """Tell faults of disk and file in words."""
        try:
            yield
        except LedgerTaken as fault:
            self.fault = fault
            raise
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            known = fault_of(error, self.path)
            if known is None or (reading and known.code == sqlite3.SQLITE_READONLY):
                raise  # a unit that writes where it may only read is a fault of ours, not of the disk
            self.fault = known
            raise known from error

    def check_held(self) -> None:
        """Whether this engine still holds its directory, as far as a look at the lock file tells: asked before each call.

        Raises:
            LedgerTaken: another engine has a lock file of its own there.
        """
        other = self._lock.taken_by()
        if other:
            raise LedgerTaken(
                f"{self.path.parent} was taken over by another syncline ({other}): this one writes nothing more, "
                "neither here nor to a provider; end it"
            )

    async def close(self) -> None:
        """Finish open writes, tidy up and let go of the lock."""
        self._closed = True
        await asyncio.to_thread(self._close)
        self._lock.release()

    def _close(self) -> None:
        self._writing.shutdown()
        self._reading.shutdown()
        with contextlib.suppress(sa.exc.SQLAlchemyError), self._writer.connect() as connection:
            connection.exec_driver_sql("PRAGMA optimize")
        self._reader.dispose()
        self._writer.dispose()


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
        # Also of a ledger that nobody closes, as that of a world in a simulation: the driver warns of a connection left open.
        self._forget = weakref.finalize(self, _forgotten, self._connection, self._engine)
        self._driver.isolation_level = None
        self._driver.execute(f"PRAGMA {TEMPORARY}")
        self.fault: LedgerFault | None = None
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
        """Run a unit; it must not write.

        One connection in one thread: nothing can come between the statements of a unit, so that a read needs no
        transaction, which would cost as much as the read itself.

        Raises:
            RuntimeError: the unit wrote something; where the ledger is a file, SQLite itself refuses that.
        """
        before = self._driver.total_changes
        try:
            return unit(self._connection, *args, **kwargs)
        finally:
            if self._driver.total_changes != before:
                raise RuntimeError(f"{getattr(unit, '__name__', unit)} was called to read, and wrote")

    def check_held(self) -> None:
        """Nobody else can hold what is in memory."""

    async def close(self) -> None:
        """Forget everything."""
        self._forget()


def _forgotten(connection: sa.Connection, engine: sa.Engine) -> None:
    connection.close()
    engine.dispose()
