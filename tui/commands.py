"""The commands by name, and the two places where one runs: in a process of its own, or inside of an engine.

To add one: its words in ``tui.cli``, a function ``(service, given, out) -> exit code`` in a module of its own, a line here.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from argparse import Namespace
from collections.abc import Callable, Coroutine, Iterator, Mapping, Sequence
from dataclasses import dataclass

from engine.service import Service
from tui import (
    audit,
    checklist,
    conflicts,
    events,
    exits,
    filing,
    incidents,
    lists,
    operators,
    orders,
    previewing,
    rolling,
    run,
    support,
    why,
)
from tui.exits import Trouble
from tui.out import LocalOut, Out

Run = Callable[[Service, Namespace, Out], Coroutine[None, None, int]]

COMMANDS: Mapping[str, Run] = {
    "apply": run.apply,
    "audit": audit.audit,
    "checklist": checklist.checklist,
    "export": run.export,
    "sync": run.sync,
    "status": run.status,
    "verify": run.verify,
    "held": run.held,
    "conflicts": conflicts.conflicts,
    "mail": filing.mail,
    "preview": previewing.preview,
    "why": why.why,
    "queue": lists.queue,
    "jobs": lists.jobs,
    "runs": lists.runs,
    "events": events.events,
    "cycles": orders.cycles,
    "undo": orders.undo,
    "reinit": orders.reinit,
    "leave": orders.leave,
    "rollout": rolling.rollout,
    "doctor": run.doctor,
    "support": support.support,
    "incidents": incidents.incidents,
    "users": operators.users,
}

#: Commands that run cycles: a signal lets them stop at the next page and report.
PATIENT = frozenset({"sync", "preview", "mail"})


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
    """Lets a command of this process stop at the next page; the service may come later than the wish."""

    def __init__(self, out: Out) -> None:
        self.service: Service | None = None
        self._out = out
        self._tasks: set[asyncio.Task[object]] = set()

    def __call__(self) -> None:
        """Stop."""
        self._out.stopped.set()
        if self.service is not None:
            self._tasks.add(asyncio.get_running_loop().create_task(self.service.stop()))


async def here(given: Namespace) -> int:
    """Run a command in this process, on its data directory.

    Raises:
        Trouble: it cannot be done.
    """
    out = LocalOut(run.owner(given.data_dir), run.local_zone())
    if given.command == "apply":
        await out.read_text(given.file)  # before a data directory is made for nothing
    stop = Stopper(out)
    with signals(stop) if given.command in PATIENT else contextlib.nullcontext():
        async with run.opened(given.data_dir) as service:
            stop.service = service
            return await COMMANDS[given.command](service, given, out)


async def inside(service: Service, words: Sequence[str], out: Out) -> int:
    """Run a command inside of an engine, for a client; what ends it is told on its standard error.

    Returns:
        the exit code.
    """
    from tui.cli import parse

    try:
        given = parse(words)
    except SystemExit:  # the client has parsed them before
        out.warn(
            "syncline: the engine is of another version and does not know this command; restart the engine"
        )
        return exits.USAGE
    if given.command not in COMMANDS:
        out.warn(f"syncline: {given.command or 'the console'} is no command that runs inside of an engine")
        return exits.USAGE
    try:
        with run.translated():
            code = await COMMANDS[given.command](service, given, out)
    except Trouble as trouble:
        for line in (f"syncline: {trouble}", *trouble.details):
            out.warn(line)
        return trouble.code
    return code
