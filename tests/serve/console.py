"""Real ``syncline attach`` clients, each in a terminal of its own, at an engine's door in the test's own loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import pty
import signal
import struct
import sys
import tempfile
import termios
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tests.screens import fake
from tui.serve.access import Access
from tui.serve.door import listening
from tui.serve.hall import Hall, hall
from tui.serve.manner import Manner

#: Seconds; a shared machine may be slow.
PATIENCE = 60.0


class Client:
    """``syncline attach`` in a pseudo-terminal. What it paints is taken in by the loop, unless the terminal is stalled."""

    def __init__(
        self, path: str, size: tuple[int, int] = (100, 30), words: list[str] | None = None, **env: str
    ) -> None:
        self.seen = b""
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update({"TERM": "xterm-256color", "LANG": "C.UTF-8", **env})
            self.run(path, words)
        self.before = termios.tcgetattr(self.fd)
        self.resize(*size)
        os.set_blocking(self.fd, False)
        self.look()

    def run(self, path: str, words: list[str] | None) -> None:
        """Become the client, in a process that was made for it."""
        words = words or [sys.executable, "-m", "tui.entry", "attach", "--socket", path]
        os.execv(words[0], words)

    def look(self, *, on: bool = True) -> None:
        """Take in what comes; or do not, as a terminal that is stalled."""
        loop = asyncio.get_running_loop()
        if on:
            loop.add_reader(self.fd, self._take)
        else:
            loop.remove_reader(self.fd)

    def _take(self) -> None:
        try:
            data = os.read(self.fd, 65536)
        except OSError:
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self.fd)
        self.seen += data

    def resize(self, width: int, height: int) -> None:
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def press(self, keys: str) -> None:
        self.seen = b""
        os.write(self.fd, keys.encode())

    async def sees(self, text: str) -> None:
        await until(lambda: text.encode() in self.seen, lambda: f"{text!r} is not in {self.seen[-1500:]!r}")

    def kill(self, number: int) -> None:
        os.kill(self.pid, number)

    async def ended(self) -> int:
        """The exit code."""
        found: list[int] = []

        def gone() -> bool:
            pid, state = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                found.append(os.waitstatus_to_exitcode(state))
            return bool(pid)

        await until(gone, lambda: f"still running: {self.seen[-1500:]!r}")
        self._take()
        return found[0]

    def close(self) -> None:
        with suppress(OSError, ValueError):
            asyncio.get_running_loop().remove_reader(self.fd)
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        with suppress(OSError):
            os.close(self.fd)


async def until(condition: Callable[[], bool], told: Callable[[], str] = str) -> None:
    """Wait for what another process does; it tells by no event."""
    loop = asyncio.get_running_loop()
    end = loop.time() + PATIENCE
    while not condition():
        assert loop.time() < end, told()
        await asyncio.sleep(0.02)


class Place:
    """A hall with a door, over the fixed rows of the screens' tests."""

    def __init__(self, service: Any, guests: Hall, path: str) -> None:
        self.service, self.guests, self.path = service, guests, path
        self._clients: list[Client] = []

    def attach(self, size: tuple[int, int] = (100, 30), words: list[str] | None = None, **env: str) -> Client:
        client = Client(self.path, size, words, **env)
        self._clients.append(client)
        return client

    def close(self) -> None:
        for client in self._clients:
            client.close()


@asynccontextmanager
async def place(manner: Manner | None = None, access: Access | None = None) -> AsyncIterator[Place]:
    service: Any = fake.FakeService(fake.running())
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        path = str(Path(folder) / "run" / "x.sock")
        async with (
            hall(service, manner or Manner(), access or Access()) as guests,
            listening(path, guests, shared=False),
        ):
            found = Place(service, guests, path)
            try:
                yield found
                guests.end("the test is over")
            finally:
                found.close()
