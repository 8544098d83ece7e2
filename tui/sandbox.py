"""The sandbox as a child process: start it, wait until it serves, stop it."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import json
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tui import exits
from tui.exits import Trouble

#: Seconds between two looks for the ready file.
_LOOK_SECONDS = 0.05

#: Seconds that a company of no size takes at most, and each of its users besides.
_PATIENCE = 120.0
_PATIENCE_PER_USER = 1.0

#: Seconds between asking the sandbox to end and ending it.
_FAREWELL = 10.0


@dataclass(frozen=True, slots=True)
class Sandbox:
    """A running sandbox.

    Attributes:
        process: the child.
        addresses: what its ready file says.
        log: what it wrote on stderr.
    """

    process: Process
    addresses: Mapping[str, Any]
    log: Path

    def check(self) -> None:
        """See whether it still runs.

        Raises:
            Trouble: it has ended.
        """
        if self.process.returncode is not None:
            raise Trouble(exits.UNUSABLE, f"the sandbox ended with {self.process.returncode}", _tail(self.log))


@contextlib.asynccontextmanager
async def started(
    folder: Path, options: Mapping[str, int], stopped: asyncio.Event
) -> AsyncIterator[Sandbox | None]:
    """A sandbox with its state in ``folder``; ``None`` when it was asked to stop while it was starting.

    Raises:
        Trouble: it does not start; with the last lines that it wrote.
    """
    ready, log = folder / "sandbox.json", folder / "sandbox.log"
    ready.unlink(missing_ok=True)
    arguments = [
        *("-m", "engine.sandbox", "--exit-with-parent", "--services", "google,salesforce,exchange"),
        *("--ready-file", str(ready), "--data-dir", str(folder / "sandbox")),
    ]
    for name, value in options.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    with log.open("wb") as errors:
        process = await _spawn(arguments, errors)
    try:
        patience = _PATIENCE + _PATIENCE_PER_USER * options.get("users", 5)
        addresses = await _ready(process, ready, log, patience, stopped)
        yield None if addresses is None else Sandbox(process, addresses, log)
    finally:
        await _end(process)


async def _spawn(arguments: list[str], errors: IO[bytes]) -> Process:
    # A session of its own: Ctrl+C in the terminal must reach the engine before the servers go away.
    return await asyncio.create_subprocess_exec(
        sys.executable, *arguments, stdin=DEVNULL, stdout=DEVNULL, stderr=errors, start_new_session=True
    )


async def _ready(process: Process, ready: Path, log: Path, patience: float, stopped: asyncio.Event) -> Any:
    loop = asyncio.get_running_loop()
    until = loop.time() + patience
    while loop.time() < until:
        if stopped.is_set():
            return None
        if process.returncode is not None:
            raise Trouble(exits.UNUSABLE, "the sandbox does not start", _tail(log))
        if ready.exists():  # written whole, under another name first
            return json.loads(ready.read_text(encoding="utf-8"))
        await asyncio.sleep(_LOOK_SECONDS)
    raise Trouble(exits.UNUSABLE, f"the sandbox was not ready after {patience:.0f} seconds", _tail(log))


async def _end(process: Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _FAREWELL)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()


def _tail(log: Path, lines: int = 5) -> list[str]:
    """The last lines of a log."""
    try:
        return log.read_text(encoding="utf-8", errors="replace").splitlines()[-lines:]
    except OSError:
        return []


def in_use(folder: Path) -> str:
    """Who holds a demo's ledger or sandbox now; empty for nobody."""
    for lock in (folder / "ledger.lock", folder / "sandbox" / "sandbox.lock"):
        with contextlib.suppress(FileNotFoundError), lock.open("r+") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                return file.read(200).strip() or "unknown process"
    return ""
