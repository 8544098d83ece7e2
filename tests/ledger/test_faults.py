"""A ledger that cannot be used: full, locked, damaged, or taken over by another engine."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import holder
from engine.ledger.health import DAMAGED, LedgerFault, LedgerTaken, fault_of
from engine.ledger.lock import LedgerBusy
from engine.ledger.schema import audit
from engine.ledger.store import LedgerDamaged, SqliteLedger
from tests.clocks import AheadClock


def fill(connection: sa.Connection, size: int = 20_000) -> None:
    connection.execute(sa.insert(audit).values(at=1, actor="a", command="c", object="o", result="x" * size))


def pragma(text: str) -> Any:
    return lambda connection: connection.exec_driver_sql(f"PRAGMA {text}").fetchall()


def rows(connection: sa.Connection) -> int:
    return int(connection.scalar(sa.select(sa.func.count()).select_from(audit)) or 0)


async def test_a_full_disk_is_named_changes_nothing_and_passes(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    [(pages,)] = await ledger.write(pragma("page_count"))
    await ledger.write(pragma(f"max_page_count = {pages + 2}"))
    with pytest.raises(LedgerFault, match="the disk is full; free some space") as caught:
        await ledger.write(fill, 200_000)
    assert str(tmp_path) in str(caught.value)
    assert ledger.fault is caught.value
    assert await ledger.read(rows) == 0
    await ledger.write(pragma("max_page_count = 1000000"))
    assert ledger.fault is None
    await ledger.write(fill)
    assert await ledger.read(rows) == 1
    await ledger.close()


async def test_a_file_that_another_program_keeps_locked_is_named_and_passes(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    await ledger.write(pragma("busy_timeout = 20"))
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerFault, match="another program keeps the file locked"):
        await ledger.write(fill)
    assert await ledger.read(rows) == 0  # readers go on
    other.execute("ROLLBACK")
    other.close()
    await ledger.write(fill)
    assert ledger.fault is None
    await ledger.close()


async def test_a_file_that_is_damaged_while_it_is_used_says_so_and_is_refused_at_the_next_start(
    tmp_path: Path,
) -> None:
    path = tmp_path / "ledger.sqlite"
    ledger = await SqliteLedger.open(path)
    for _ in range(20):
        await ledger.write(fill)
    await ledger.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        for at in range(4096, size, 4096):
            file.seek(at)
            file.write(os.urandom(2048))
    with pytest.raises(LedgerDamaged, match="move it away to start afresh, or restore it from a backup"):
        await SqliteLedger.open(path)
    path.unlink()
    await (await SqliteLedger.open(path)).close()


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_FULL, "free some space"),
        (sqlite3.SQLITE_IOERR | 3 << 8, "check the disk"),
        (sqlite3.SQLITE_BUSY, "end it"),
        (sqlite3.SQLITE_READONLY, "make file, directory and volume writable"),
        (sqlite3.SQLITE_CANTOPEN, "belongs to this user"),
        (sqlite3.SQLITE_CORRUPT, "restore it from a backup"),
    ],
)
def test_each_fault_comes_with_what_to_do_and_without_what_people_wrote(code: int, words: str) -> None:
    error = sqlite3.OperationalError("told by SQLite")
    error.sqlite_errorcode = code
    wrapped = sa.exc.OperationalError("INSERT ...", {"subject": "private words"}, error)
    fault = fault_of(wrapped, Path("ledger.sqlite"))
    assert fault is not None
    assert words in str(fault)
    assert "private" not in str(fault)
    assert (fault.code in DAMAGED) is (code == sqlite3.SQLITE_CORRUPT)


def test_a_wrong_statement_is_no_fault_of_the_disk() -> None:
    error = sqlite3.IntegrityError("UNIQUE constraint failed")
    error.sqlite_errorcode = sqlite3.SQLITE_CONSTRAINT
    assert fault_of(sa.exc.IntegrityError("INSERT", {}, error), Path("x")) is None
    assert fault_of(ValueError("x"), Path("x")) is None


async def test_the_second_engine_is_told_process_host_and_time(tmp_path: Path) -> None:
    ledger = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    here = f"pid {os.getpid()} on {os.uname().nodename}"
    with pytest.raises(
        LedgerBusy, match=rf"{here}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\); stop it first"
    ):
        await SqliteLedger.open(tmp_path / "ledger.sqlite")
    await ledger.write(fill)  # the first one goes on undisturbed
    await ledger.close()


async def test_a_lock_file_of_a_dead_process_holds_nobody_up(tmp_path: Path) -> None:
    (tmp_path / "ledger.lock").write_text(
        "pid 4194303 on elsewhere, since 2020-01-01 00:00:00 UTC and a long tail"
    )
    ledger = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    assert (tmp_path / "ledger.lock").read_text().startswith(f"pid {os.getpid()} on ")
    ledger.check_held()
    await ledger.close()


async def test_an_engine_whose_lock_file_was_removed_is_shut_out_by_the_next_one(tmp_path: Path) -> None:
    """As an admin in panic does it: the file is removed while the engine lives, and another one is started."""
    first = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    (tmp_path / "ledger.lock").unlink()
    first.check_held()  # nobody has come yet
    await first.write(fill)
    # Both are this process here, so that only their times tell them apart.
    second = await SqliteLedger.open(tmp_path / "ledger.sqlite", clock=AheadClock(5000))
    with pytest.raises(LedgerTaken, match=rf"taken over by another syncline \(pid {os.getpid()}"):
        first.check_held()
    for _ in range(2):
        with pytest.raises(LedgerTaken, match="writes nothing more, neither here nor to a provider"):
            await first.write(fill)
    assert isinstance(first.fault, LedgerTaken)
    assert await first.read(rows) == 1
    second.check_held()
    await second.write(fill)
    await first.close()
    await second.write(fill)
    assert await second.read(rows) == 3
    await second.close()


async def test_without_working_locks_the_younger_engine_wins(tmp_path: Path) -> None:
    """A file system that grants every lock: the second engine writes its name into the same file."""
    first = await SqliteLedger.open(tmp_path / "ledger.sqlite")
    lock = tmp_path / "ledger.lock"
    lock.write_text("pid 77 on another-host, since 2026-11-22 00:00:00 UTC")
    os.utime(lock, ns=(1, 1))
    with pytest.raises(LedgerTaken, match=r"pid 77 on another-host"):
        first.check_held()
    await first.write(holder.take, "pid 77 on another-host")  # the same in the ledger itself
    with pytest.raises(LedgerTaken, match=r"pid 77 on another-host"):
        await first.write(fill)
    await first.close()
