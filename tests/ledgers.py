"""Ledgers of engines that are new to their tests.

A first start makes its ledger by all migrations, a tenth of a second of a core and more each time; ``tests/ledger`` proves those.
Elsewhere they run once for all tests of a process.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from engine.ledger.store import MemoryLedger


@cache
def migrated() -> bytes:
    """What an empty ledger is, byte by byte."""
    return MemoryLedger().image()


def begun(data: Path) -> Path:
    """The same data directory, with an empty ledger that is migrated already unless it has one."""
    ledger = data / "ledger.sqlite"
    if not ledger.exists():
        data.mkdir(parents=True, exist_ok=True, mode=0o700)
        ledger.write_bytes(migrated())
        ledger.chmod(0o600)
    return data
