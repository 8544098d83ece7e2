"""The commands of the command line, over the service alone."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import getpass
import json
import logging
import os
import signal
import sys
import zoneinfo
from argparse import Namespace
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from engine.service import (
    HeldRow,
    LedgerFault,
    PolicyState,
    ProviderError,
    Service,
    ServiceError,
    Settle,
    SettleHeld,
)
from tui import exits, printing
from tui.exits import Trouble

#: Longest file that ``apply`` reads, bytes.
LONGEST = 50_000_000

_LOG_BYTES = 10_000_000


def who() -> str:
    """The admin's name, for the journal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        name = f"uid {os.getuid()}"
    return f"{name}@{os.uname().nodename}"


def local_zone() -> tzinfo:
    """The zone of this machine: from TZ, else from /etc/localtime, else the present offset."""
    with contextlib.suppress(OSError, ValueError, zoneinfo.ZoneInfoNotFoundError):
        name = (
            os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
        )
        if name:
            return zoneinfo.ZoneInfo(name)
    here = datetime.now().astimezone().tzinfo
    assert here is not None
    return here


class _LogFile(RotatingFileHandler):
    """A log file that keeps still when it cannot be written: a full disk is shown by the engine, not by tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Let this record go."""


@contextlib.contextmanager
def logging_to(data_dir: Path) -> Iterator[None]:
    """Send log records to ``syncline.log`` in the data directory: stderr belongs to messages for people.

    Raises:
        Trouble: the directory cannot be used.
    """
    try:
        data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        handler = _LogFile(data_dir / "syncline.log", maxBytes=_LOG_BYTES, backupCount=3, encoding="utf-8")
    except OSError as error:
        raise Trouble(
            exits.UNUSABLE,
            f"cannot use the directory {data_dir}: {error.strerror}; name another with --data-dir",
        ) from None
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    handler.setLevel(logging.WARNING)
    root = logging.getLogger()
    root.addHandler(handler)
    try:
        yield
    finally:
        root.removeHandler(handler)
        handler.close()


@contextlib.asynccontextmanager
async def opened(data_dir: Path) -> AsyncIterator[Service]:
    """The engine on a data directory, closed at the end.

    Raises:
        Trouble: it is in use or damaged; or what the command asked cannot be done.
    """
    with logging_to(data_dir):
        try:
            service = await Service.open(data_dir)
        except ServiceError as error:
            raise Trouble(exits.UNUSABLE, str(error)) from None
        try:
            yield service
        except ServiceError as error:
            raise Trouble(exits.USAGE, str(error)) from None
        except ProviderError as error:
            raise Trouble(exits.REFUSED, str(error)) from None
        except LedgerFault as error:
            raise Trouble(exits.UNUSABLE, str(error)) from None
        finally:
            await service.close()


@contextlib.asynccontextmanager
async def running(service: Service, *, schedule: bool = True) -> AsyncIterator[None]:
    """``service.running()``, but an error from inside comes out as it is, without the group of the engine's tasks."""
    try:
        async with service.running(schedule=schedule):
            yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


@dataclass(slots=True)
class Heard:
    """Whether a signal was heard."""

    number: int | None = None


@contextlib.contextmanager
def signals(stop: Callable[[], None]) -> Iterator[Heard]:
    """Call ``stop`` at SIGINT, SIGTERM or SIGHUP; a second signal ends the process at once (nothing is lost by it)."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    heard = Heard()

    def hear(number: int) -> None:
        if heard.number is not None:
            os._exit(exits.INTERRUPTED)
        heard.number = number
        stop()

    for number in numbers:
        loop.add_signal_handler(number, hear, number)
    try:
        yield heard
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


class Stopper:
    """Asks a service to stop from a place that cannot await; the service may come later than the wish."""

    def __init__(self) -> None:
        self.service: Service | None = None
        self.asked = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    def __call__(self) -> None:
        """Ask."""
        self.asked.set()
        if self.service is not None:
            self._tasks.add(asyncio.get_running_loop().create_task(self.service.stop()))


def show(value: Any) -> None:
    """Print one JSON object."""
    print(json.dumps(value, ensure_ascii=False, indent=2))


# -- commands ----------------------------------------------------------------------------------------------


async def apply(given: Namespace) -> int:
    """Store a declarative file."""
    text = read_text(given.file)
    source = "standard input" if given.file == "-" else given.file
    async with opened(given.data_dir) as service:
        answer = await service.apply(text, source, who())
    if not answer.ok:
        raise Trouble(exits.USAGE, answer.text, answer.details)
    print(answer.text)
    return exits.OK


def read_text(name: str) -> str:
    """The text of a file, or of standard input for ``-``.

    Raises:
        Trouble: it cannot be read.
    """
    try:
        if name == "-":
            raw = sys.stdin.buffer.read(LONGEST + 1)
        else:
            with Path(name).open("rb") as file:
                raw = file.read(LONGEST + 1)
        if len(raw) > LONGEST:
            raise Trouble(exits.USAGE, f"{name}: longer than {LONGEST:,} bytes; nothing was changed")
        return raw.decode("utf-8")
    except OSError as error:
        raise Trouble(
            exits.USAGE, f"{name}: {error.strerror}; name a readable TOML file, or - for standard input"
        ) from None
    except UnicodeDecodeError as error:
        raise Trouble(
            exits.USAGE, f"{name}: not UTF-8 text (byte {error.start}); nothing was changed"
        ) from None


async def export(given: Namespace) -> int:
    """Print the stored configuration."""
    async with opened(given.data_dir) as service:
        print(await service.export(), end="")
    return exits.OK


async def sync(given: Namespace) -> int:
    """One cycle to its end, or all cycles by their schedule until a signal."""
    if given.policy and not given.once:
        raise Trouble(exits.USAGE, "--policy needs --once: the schedule runs every policy that is on")
    stop = Stopper()
    with signals(stop) as heard:
        async with opened(given.data_dir) as service:
            stop.service = service
            if given.once:
                async with running(service):
                    report = await synced(service, given.policy, heard)
            elif not any(row.state is PolicyState.ENABLED for row in service.store.policies.values()):
                raise Trouble(
                    exits.USAGE, "no policy is on; enable one in the app, or with enabled = true in the file"
                )
            else:
                async with running(service):
                    await stop.asked.wait()
                report = await service.report(None)
            faults = [row.fault for row in service.store.policies.values() if given.policy in {None, row.id}]
    if given.json:
        show(report)
    else:
        print(printing.report_text(report))
    if heard.number is not None:
        # Without --once a signal is the normal end.
        return exits.INTERRUPTED if given.once else exits.OK
    return exits.of_report(report, faults)


async def synced(service: Service, policy: str | None, heard: Heard) -> dict[str, Any]:
    """Run one cycle and report it; after a signal that came before its start, only report."""
    if heard.number is not None:
        return await service.report(policy)
    return await service.sync(policy, who())


async def status(given: Namespace) -> int:
    """Print policies, users and jobs."""
    async with opened(given.data_dir) as service:
        found = await service.status()
    if given.json:
        show(found)
    else:
        print(printing.status_text(found))
    return exits.FAULTS if found["stale"] else exits.OK


async def verify(given: Namespace) -> int:
    """Read back from the providers what the ledger says is there."""
    async with opened(given.data_dir) as service:
        rows = await service.verify(given.policy)
    if not rows:
        raise Trouble(exits.USAGE, "there is nothing to verify: no policy has users; apply a file first")
    code = exits.of_verify(rows)
    if given.json:
        show({"ok": code == exits.OK, "rows": [dataclasses.asdict(row) for row in rows]})
    else:
        print(printing.verify_text(rows, given.ascii))
    return code


async def held(given: Namespace) -> int:
    """List what waits for an admin, or settle it."""
    how = next((each for each in Settle if getattr(given, each.value) is not None), None)
    async with opened(given.data_dir) as service:
        rows = await service.waiting(given.mailbox, given.policy)
        if how is not None:
            return await _settled(service, given, how, rows)
    if given.json:
        show({"rows": [printing.held_json(row) for row in rows]})
    else:
        print(printing.held_text(rows))
    return exits.OK


async def _settled(service: Service, given: Namespace, how: Settle, rows: Sequence[HeldRow]) -> int:
    """Settle items mailbox by mailbox, and tell what was done.

    Raises:
        Trouble: nothing could be settled.
    """
    commands: list[SettleHeld] = []
    unknown: list[str] = []
    if given.all_deletes:
        commands.append(SettleHeld(given.mailbox, None, how))
    else:
        asked = list(dict.fromkeys(getattr(given, how.value)))
        mailboxes = {row.id: row.mailbox for row in rows}
        unknown = [
            f"{one} does not wait (any more); held lists what does" for one in asked if one not in mailboxes
        ]
        for mailbox in dict.fromkeys(mailboxes[one] for one in asked if one in mailboxes):
            ids = tuple(one for one in asked if mailboxes.get(one) == mailbox)
            commands.append(SettleHeld(mailbox, ids, how))
    answers = [(command.mailbox, await service.do(command, who())) for command in commands]
    left = unknown + [
        line for _, answer in answers for line in (*(() if answer.ok else (answer.text,)), *answer.details)
    ]
    done = [answer.text for _, answer in answers if answer.ok]
    if not done:
        raise Trouble(exits.USAGE, left[0], left[1:])
    if given.json:
        show({"done": done, "left": left})
    else:
        print("\n".join([*done, *left]))
    return exits.FAULTS if left else exits.OK


async def doctor(given: Namespace) -> int:
    """Test every connection."""
    async with opened(given.data_dir) as service:
        rows = await service.doctor()
    if not rows:
        raise Trouble(exits.USAGE, "there is nothing to test: no connection is declared; apply a file first")
    ok = all(row.ok for row in rows)
    if given.json:
        show({"ok": ok, "rows": [dataclasses.asdict(row) for row in rows]})
    else:
        print(printing.doctor_text(rows, given.ascii))
    return exits.OK if ok else exits.REFUSED


async def app(given: Namespace) -> int:
    """The full-screen app on a data directory."""
    async with opened(given.data_dir) as service:
        return await run_app(service, given)


def need_terminal() -> None:
    """The app cannot be shown in a pipe.

    Raises:
        Trouble: there is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Trouble(exits.USAGE, "the app needs a terminal; use sync, status, verify or demo --headless here")


async def run_app(service: Service, given: Namespace) -> int:
    """Show the app over a service until it is left or a signal comes; cycles stop at their next page boundary.

    Raises:
        Trouble: there is no terminal.
    """
    need_terminal()
    from tui.app import SynclineApp
    from tui.terminal import LastingDriver

    shown = SynclineApp(service, who(), zone=local_zone(), ascii=given.ascii, theme=f"syncline-{given.theme}")
    shown.driver_class = LastingDriver
    tasks: set[asyncio.Task[None]] = set()

    async def leave() -> None:
        # A signal may come while the app is still starting, when it cannot be left yet.
        while not shown.is_running:  # noqa: ASYNC110 - Textual tells by no event
            await asyncio.sleep(0.02)
        shown.request_exit()

    async with running(service):
        with signals(lambda: tasks.add(asyncio.get_running_loop().create_task(leave()))) as heard:
            await shown.run_async()
        for task in tasks:
            task.cancel()
    return exits.OK if heard.number is None else exits.INTERRUPTED
