"""``syncline serve``: the engine without a terminal, and its door."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from tui import exits, places
from tui.run import opened, running
from tui.serve.door import listening
from tui.serve.hall import hall
from tui.serve.loop import EngineLoop

#: What a client's terminal or shell may have set, and an engine must not inherit: it is one process for all.
_NOT_OURS = ("NO_COLOR", "COLORTERM", "TERM", "TERM_PROGRAM", "COLUMNS", "LINES", "ESCDELAY")


def serve(given: Namespace) -> int:
    """Run the engine until SIGTERM; returns the exit code.

    Raises:
        Trouble: the data directory or the socket cannot be used.
    """
    for name in [*_NOT_OURS, *(name for name in os.environ if name.startswith("TEXTUAL"))]:
        os.environ.pop(name, None)
    with asyncio.Runner(loop_factory=EngineLoop) as runner:
        return runner.run(_serve(given))


async def _serve(given: Namespace) -> int:
    wish = Wish()
    with wish.signals():
        async with opened(given.data_dir) as service, hall(service, wish.stop) as guests:
            path = given.socket or places.socket_path(str(given.data_dir))
            async with listening(path, guests, shared=False):
                async with running(service):
                    ready(given.ready_fd, f"listening at {path}")
                    await wish.asked.wait()
                    notify("STOPPING=1")
                    guests.close(wish.why)
                guests.end(wish.why)
    return exits.OK


class Wish:
    """The wish that the engine stops: by a signal or by an admin. A second signal ends the process at once."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self.why = "the engine has stopped"
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

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Hear SIGTERM and SIGINT."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        for number in numbers:
            loop.add_signal_handler(number, self._hear, number)
        try:
            yield
        finally:
            for number in numbers:
                loop.remove_signal_handler(number)


def ready(number: int | None, text: str) -> None:
    """Tell who has started us that we serve: by a pipe that he gave, and systemd by its socket."""
    if number is not None:
        with suppress(OSError):
            os.write(number, f"{text}\n".encode())
            os.close(number)
    notify(f"READY=1\nSTATUS={text}")


def notify(text: str) -> None:
    """Tell systemd something (sd_notify(3)); nothing where it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET", "")
    if not path:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as sock:
        sock.connect("\0" + path[1:] if path.startswith("@") else path)
        sock.sendall(text.encode())
