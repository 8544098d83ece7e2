"""``syncline serve``: the engine without a terminal, and its door."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import signal
import socket
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from pathlib import Path

from engine.service import Service
from tui import exits, places
from tui.background import BUSY
from tui.exits import Busy, Trouble
from tui.run import local_zone, opened, running
from tui.serve import access
from tui.serve.door import listening, share
from tui.serve.hall import Hall, hall
from tui.serve.loop import EngineLoop
from tui.serve.manner import Manner

log = logging.getLogger(__name__)

#: A demo waits so long for somebody to attach again whose connection was lost, in seconds.
DEMO_SECONDS = 600.0


def serve(given: Namespace) -> int:
    """Run the engine until SIGTERM; returns the exit code.

    Raises:
        Trouble: the data directory or the socket cannot be used.
    """
    with asyncio.Runner(loop_factory=EngineLoop) as runner:
        try:
            return runner.run(_serve(given))
        except Busy:
            _tell_starter(given.ready_fd, BUSY)
            raise


async def _serve(given: Namespace) -> int:
    wish = Wish()
    path = given.socket or places.socket_path(str(given.data_dir))
    async with AsyncExitStack() as stack:
        stack.enter_context(wish.signals())
        service: Service | None
        manner = Manner()
        if given.demo:
            from tui.demo import MANNER, company

            manner = MANNER
            service, _ = await stack.enter_async_context(company(given.data_dir, wish.asked))
            if service is None:
                return exits.INTERRUPTED
        else:
            service = await stack.enter_async_context(opened(given.data_dir))
        await service.logins("ssh")  # what an engine before this one could not read is nobody's trouble now
        guests = await stack.enter_async_context(hall(service, manner, access.read(given.data_dir)))
        wish.reload = lambda: guests.start_task(_reload(service, guests, given.data_dir, path))
        listens = f"listening at {path}"
        if given.ssh:
            port = await stack.enter_async_context(_ssh(given, service, guests, manner))
            listens += f", ssh at port {port}"
        # What is loaded by now lives as long as the engine: a collection that looks at all of it stops the loop for 50
        # to 200 ms, and never finds anything.
        gc.collect()
        gc.freeze()
        async with listening(path, guests, shared=guests.access.shared), running(service):
            ready(given.ready_fd, listens)
            why = await _until_stopped(service, wish, guests, given.demo)
            notify("STOPPING=1")
            guests.close(why)
            guests.say("The engine stops after the page it is on.")
        guests.end(why)
    return exits.OK


def _ssh(given: Namespace, service: Service, guests: Hall, manner: Manner) -> AbstractAsyncContextManager[int]:
    """The SSH server, where it is installed."""
    try:
        from tui.serve.ssh import ssh_listening
    except ImportError as error:
        raise Trouble(
            exits.UNUSABLE,
            f"--ssh needs the extra syncline[ssh] ({error.name} is not installed); without it admins attach",
        ) from None
    return ssh_listening(given.ssh, given.data_dir, service, guests, manner, local_zone())


async def _reload(service: Service, guests: Hall, data_dir: Path, path: str) -> None:
    """Read roles and secrets again; what is wrong is told to those who are attached, and changes nothing."""
    try:
        guests.take_roles(access.read(data_dir))
        share(path, shared=guests.access.shared)
    except (Trouble, OSError) as fault:
        log.error("reload: %s", fault)
        guests.say(f"The roles stay as they were: {fault}")
    await service.reload()


async def _until_stopped(service: Service, wish: Wish, guests: Hall, demo: bool) -> str:
    """Wait for a signal, an admin or the end of a demo; returns why the engine stops, for those who are attached."""
    tasks = [asyncio.create_task(wish.asked.wait()), asyncio.create_task(service.stop_asked())]
    if demo:
        tasks.append(asyncio.create_task(_left_alone(guests)))
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
    if wish.asked.is_set():
        return wish.why
    by = await service.stop_asked() if tasks[1].done() else ""
    return f"{by} has stopped the engine; syncline starts it again" if by else "the demo has ended"


async def _left_alone(guests: Hall) -> None:
    """Wait until the last console of a demo was left, or nobody has been attached for a while."""
    while not guests.over:
        guests.changed.clear()
        alone = guests.attached() == 0
        try:
            await asyncio.wait_for(guests.changed.wait(), DEMO_SECONDS if alone else None)
        except TimeoutError:
            return


class Wish:
    """The wish that the engine stops: by a signal or by an admin. A second signal ends the process at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.why = "the engine has stopped"
        self.reload: Callable[[], object] = lambda: None
        self._heard = False

    def stop(self, why: str) -> None:
        """Stop at the next page."""
        if not self.asked.is_set():
            self.why = why
            self.asked.set()

    def _hear(self, number: int) -> None:
        if self._heard:
            # Nothing is lost by it: what is in flight is written ahead, and the next start settles it.
            os._exit(exits.INTERRUPTED)
        self._heard = True
        self.stop(f"the engine was stopped ({signal.Signals(number).name})")

    def _hung_up(self) -> None:
        self.reload()  # set when there is something to reload

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT; SIGHUP has no terminal to tell about, and means: read the configuration again."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._hear, number)
        loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        try:
            yield
        finally:
            for number in (*numbers, signal.SIGHUP):
                loop.remove_signal_handler(number)


def ready(number: int | None, text: str) -> None:
    """Tell who has started us that we serve: by a pipe that he gave, and systemd by its socket."""
    _tell_starter(number, text)
    notify(f"READY=1\nSTATUS={text}")


def _tell_starter(number: int | None, text: str) -> None:
    if number is not None:
        with suppress(OSError):
            os.write(number, f"{text}\n".encode())
            os.close(number)


def notify(text: str) -> None:
    """Tell systemd something (sd_notify(3)); nothing where it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.sendall(text.encode())
