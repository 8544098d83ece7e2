"""The lock on a data directory: one engine at a time, and the second one is told who the first is."""

from __future__ import annotations

import contextlib
import fcntl
import os
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from engine.model.clock import Clock


class LedgerBusy(Exception):
    """Another engine holds this data directory."""


@dataclass(slots=True)
class Lock:
    """A lock that is held; the kernel frees it when the process ends, however it ends.

    Attributes:
        path: the lock file, which says who holds it.
        holder: what it says: process, host and since when.
    """

    path: Path
    holder: str
    _file: int
    _seen: tuple[int, int]

    @classmethod
    def take(cls, path: Path, clock: Clock) -> Lock:
        """Take the lock.

        Raises:
            LedgerBusy: another engine holds it; the text names it.
        """
        file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            holder = os.read(file, 300).decode(errors="replace").strip()
            os.close(file)
            raise LedgerBusy(
                f"another syncline works on {path.parent} ({holder or 'unknown process'}); stop it first, "
                "or name another directory with --data-dir"
            ) from None
        since = datetime.fromtimestamp(clock.now_ms() / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
        holder = f"pid {os.getpid()} on {os.uname().nodename}, since {since}"
        with contextlib.suppress(OSError):  # a full disk: who holds the lock is then not told
            os.ftruncate(file, 0)
            os.pwrite(file, holder.encode(), 0)
        return cls(path, holder, file, _identity(os.fstat(file)))

    def taken_by(self) -> str:
        """Who has put a lock file of his own in this one's place, or written his name into it; empty while nobody has.

        A look at the directory, some microseconds. Who copies the directory brings a copy of our own name: not him.
        """
        try:
            if _identity(os.stat(self.path)) == self._seen:
                return ""
            found = self.path.read_text(encoding="utf-8", errors="replace").strip()
        except OSError:
            return ""  # the file was removed, and nobody has come yet
        return "" if found == self.holder else found or "unknown process"

    def release(self) -> None:
        """Let go."""
        os.close(self._file)


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_ino, found.st_mtime_ns
