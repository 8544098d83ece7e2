"""The commands of the command line, over the service alone."""

from __future__ import annotations

import contextlib
import dataclasses
import getpass
import logging
import os
import pwd
import zoneinfo
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime, tzinfo
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

from engine.service import (
    Actor,
    EngineBusy,
    HeldRow,
    LedgerFault,
    PolicyState,
    ProviderError,
    Role,
    Service,
    ServiceError,
    Settle,
    SettleHeld,
)
from tui import exits, printing
from tui.exits import Busy, Trouble
from tui.listing import show_csv
from tui.out import Out

_LOG_BYTES = 10_000_000


def who() -> str:
    """The admin's name, for the journal."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # a user id without a name, as in containers
        name = f"uid {os.getuid()}"
    return f"{name}@{os.uname().nodename}"


def owner(data_dir: Path) -> Actor:
    """Who works on a data directory in a process of his own: an admin, if it is his, or he is root, or it is still to be made.

    Somebody else may look as far as the files let him; who may do more is for the owner to say, who runs the engine.
    """
    try:
        uid = data_dir.stat().st_uid
    except OSError:
        return Actor(who(), Role.ADMIN)
    if os.getuid() in {uid, 0}:
        return Actor(who(), Role.ADMIN)
    advice = (
        f"{data_dir} belongs to {_name_of(uid)}; run it as that user, or connect to the engine that runs there"
    )
    return Actor(who(), Role.VIEWER, advice=advice)


def _name_of(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return f"uid {uid}"


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
        Busy: another process holds it.
        Trouble: it is damaged; or what the command asked cannot be done.
    """
    with logging_to(data_dir):
        try:
            service = await Service.open(data_dir)
        except EngineBusy as error:
            raise Busy(str(error)) from None
        except ServiceError as error:
            raise Trouble(exits.UNUSABLE, str(error)) from None
        try:
            with translated():
                yield service
        finally:
            await service.close()


@contextlib.contextmanager
def translated() -> Iterator[None]:
    """What the service raises, as the end of a command.

    Raises:
        Trouble: what the command asked cannot be done.
    """
    try:
        yield
    except ServiceError as error:
        raise Trouble(exits.USAGE, str(error)) from None
    except ProviderError as error:
        raise Trouble(exits.REFUSED, str(error)) from None
    except LedgerFault as error:
        raise Trouble(exits.UNUSABLE, str(error)) from None


@contextlib.asynccontextmanager
async def running(service: Service, *, schedule: bool = True) -> AsyncIterator[None]:
    """``service.running()``, but an error from inside comes out as it is, without the group of the engine's tasks.

    Inside of an engine that runs already there is nothing to start.
    """
    if service.store.engine.running:
        yield
        return
    try:
        async with service.running(schedule=schedule):
            yield
    except BaseExceptionGroup as group:
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


# -- commands ----------------------------------------------------------------------------------------------


async def apply(service: Service, given: Namespace, out: Out) -> int:
    """Store a declarative file."""
    text = await out.read_text(given.file)
    source = "standard input" if given.file == "-" else given.file
    answer = await service.apply(text, source, out.by, folder=out.folder(given.file))
    if not answer.ok:
        raise Trouble(exits.USAGE, answer.text, answer.details)
    out.print(answer.text)
    return exits.OK


async def export(service: Service, given: Namespace, out: Out) -> int:
    """Print the stored configuration."""
    out.print(await service.export(), end="")
    return exits.OK


async def sync(service: Service, given: Namespace, out: Out) -> int:
    """One cycle to its end, or all cycles by their schedule until a signal.

    Raises:
        Trouble: no policy is on; or an engine runs the schedule already.
    """
    if given.policy and not given.once:
        raise Trouble(exits.USAGE, "--policy needs --once: the schedule runs every policy that is on")
    if not given.once and out.remote:
        raise Trouble(
            exits.USAGE, "an engine runs the schedule already; sync --once runs a cycle now, syncline attaches"
        )
    if given.once:
        async with running(service):
            report = await synced(service, given.policy, out)
    elif not any(row.state is PolicyState.ENABLED for row in service.store.policies.values()):
        raise Trouble(exits.USAGE, "no policy is on; enable one in the app, or with enabled = true in the file")
    else:
        async with running(service):
            await out.stopped.wait()
        report = await service.report(None)
    faults = [row.fault for row in service.store.policies.values() if given.policy in {None, row.id}]
    if given.json:
        out.show(report)
    else:
        out.print(printing.report_text(report))
    if out.stopped.is_set():
        # Without --once a signal is the normal end.
        return exits.INTERRUPTED if given.once else exits.OK
    return exits.of_report(report, faults)


async def synced(service: Service, policy: str | None, out: Out) -> dict[str, Any]:
    """Run one cycle and report it; after a signal that came before its start, only report."""
    if out.stopped.is_set():
        return await service.report(policy)
    return await service.sync(policy, out.by)


async def status(service: Service, given: Namespace, out: Out) -> int:
    """Print policies, users and jobs."""
    found = await service.status()
    if given.json:
        out.show(found)
    elif given.csv:
        times = ("last_full", "next_full")
        await show_csv(
            out,
            ({f"{k}_ms" if k in times else k: v for k, v in row.items()} for row in found["policies"]),
        )
    else:
        out.print(printing.status_text(found, out.zone))
    return exits.FAULTS if found["stale"] else exits.OK


async def verify(service: Service, given: Namespace, out: Out) -> int:
    """Read back from the providers what the ledger says is there."""
    rows = await service.verify(given.policy, out.by)
    if not rows:
        raise Trouble(exits.USAGE, "there is nothing to verify: no policy has users; apply a file first")
    code = exits.of_verify(rows)
    if given.json:
        out.show({"ok": code == exits.OK, "rows": [dataclasses.asdict(row) for row in rows]})
    elif given.csv:
        await show_csv(out, map(dataclasses.asdict, rows))
    else:
        out.print(printing.verify_text(rows, given.ascii))
    return code


async def held(service: Service, given: Namespace, out: Out) -> int:
    """List what waits for an admin, or settle it."""
    how = next((each for each in Settle if getattr(given, each.value) is not None), None)
    rows = await service.waiting(given.mailbox, given.policy)
    if how is not None:
        return await _settled(service, given, out, how, rows)
    if given.json:
        out.show({"rows": [printing.held_json(row) for row in rows]})
    elif given.csv:
        await show_csv(out, map(printing.held_json, rows), printing.HELD)
    else:
        out.print(printing.held_text(rows, out.zone))
    return exits.OK


async def _settled(service: Service, given: Namespace, out: Out, how: Settle, rows: Sequence[HeldRow]) -> int:
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
    answers = [(command.mailbox, await service.do(command, out.by)) for command in commands]
    left = unknown + [
        line for _, answer in answers for line in (*(() if answer.ok else (answer.text,)), *answer.details)
    ]
    done = [answer.text for _, answer in answers if answer.ok]
    if not done:
        raise Trouble(exits.USAGE, left[0], left[1:])
    if given.json:
        out.show({"done": done, "left": left})
    else:
        out.print("\n".join([*done, *left]))
    return exits.FAULTS if left else exits.OK


async def doctor(service: Service, given: Namespace, out: Out) -> int:
    """Test every connection."""
    rows = await service.doctor()
    if not rows:
        raise Trouble(exits.USAGE, "there is nothing to test: no connection is declared; apply a file first")
    ok = all(row.ok for row in rows)
    if given.json:
        out.show({"ok": ok, "rows": [dataclasses.asdict(row) for row in rows]})
    elif given.csv:
        await show_csv(out, map(dataclasses.asdict, rows))
    else:
        out.print(printing.doctor_text(rows, given.ascii))
    return exits.OK if ok else exits.REFUSED
