"""The unix socket of an engine: one connection is a console, a command, or the order to stop."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol

from tui import exits, places, wire
from tui.exits import Trouble
from tui.serve.guest import Peer, peer

if TYPE_CHECKING:
    from tui.serve.hall import Hall

#: Seconds in which a client must say what it wants.
HELLO_SECONDS = 5.0

#: Connections that wait to be taken.
_BACKLOG = 64

#: So many bytes may wait for a client before we stop to write to it.
_HIGH_WATER = 65_536


class Purpose(Protocol):
    """What a connection has turned out to be."""

    def take(self, kind: bytes, payload: bytes) -> None:
        """A frame has come."""
        ...

    def pause(self) -> None:
        """The client reads too slowly."""
        ...

    def resume(self) -> None:
        """It has caught up."""
        ...

    def lost(self) -> None:
        """It has gone."""
        ...


class Door(asyncio.Protocol):
    """One connection: frames in, frames out; who it is, is asked of the kernel before a byte is read."""

    def __init__(self, hall: Hall) -> None:
        self._hall = hall
        self._frames = wire.Frames()
        self._purpose: Purpose | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._ended = False
        self.transport: asyncio.Transport | None = None
        self.peer = Peer(-1, "nobody")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask who it is, and wait for what it wants."""
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.set_write_buffer_limits(high=_HIGH_WATER)
        try:
            self.peer = peer(transport.get_extra_info("socket"))
        except OSError:
            transport.abort()
            return
        self._timer = asyncio.get_running_loop().call_later(HELLO_SECONDS, self._silent)
        self._hall.opened(self)

    def _silent(self) -> None:
        self.exit(exits.USAGE, "the client did not say what it wants")

    def data_received(self, data: bytes) -> None:
        """Take in what the client sends."""
        try:
            for kind, payload in self._frames.feed(data):
                if self._ended:
                    return
                if self._purpose is not None:
                    self._purpose.take(kind, payload)
                elif kind == wire.HELLO:
                    self._welcome(payload)
                else:
                    raise wire.Garbled(f"{kind!r} before a hello")
        except (wire.Garbled, ValueError):
            self.exit(
                exits.USAGE, "the client is of another version than the engine, or no client of it; restart one"
            )

    def _welcome(self, payload: bytes) -> None:
        hello = json.loads(payload)
        if not isinstance(hello, Mapping) or hello.get("version") != wire.VERSION:
            raise wire.Garbled("no hello of this version")
        if self._timer is not None:
            self._timer.cancel()
        self._purpose = self._hall.welcome(self, hello)

    def send(self, kind: bytes, payload: bytes = b"") -> None:
        """Send bytes, in as many frames as it takes; none to who has gone."""
        if self.transport is None or self.transport.is_closing():
            return
        if len(payload) <= wire.MOST:
            self.transport.write(wire.frame(kind, payload))
        else:
            for frame in wire.parts(kind, payload):
                self.transport.write(frame)

    def tell(self, kind: bytes, value: Any) -> None:
        """Send a JSON value."""
        self.send(kind, json.dumps(value).encode())

    async def drain(self) -> None:
        """Wait until the client has read most of what was sent."""
        await self._flowing.wait()

    def exit(self, code: int, text: str = "", *, ends: bool = False) -> None:
        """Tell the client how it ended, and close. ``ends``: the engine ends with it."""
        if self._ended:
            return
        self._ended = True
        self.tell(wire.EXIT, {"code": code, "text": text, "ends": ends})
        if self.transport is not None:
            self.transport.close()

    def abort(self) -> None:
        """Close at once, whatever is still on its way: the client does not read."""
        self._ended = True
        if self.transport is not None:
            self.transport.abort()

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        self._flowing.clear()
        if self._purpose is not None:
            self._purpose.pause()

    def resume_writing(self) -> None:
        """The client has caught up."""
        self._flowing.set()
        if self._purpose is not None:
            self._purpose.resume()

    def connection_lost(self, error: Exception | None) -> None:
        """The client has gone."""
        self._ended = True
        self._flowing.set()
        if self._timer is not None:
            self._timer.cancel()
        purpose, self._purpose = self._purpose, None
        if purpose is not None:
            purpose.lost()
        self._hall.closed(self)


def share(path: str, *, shared: bool) -> None:
    """Let other users of this machine connect, or this one alone; who comes is asked of the kernel in any case."""
    os.chmod(os.path.dirname(path), 0o711 if shared else 0o700)
    os.chmod(path, 0o666 if shared else 0o600)


@asynccontextmanager
async def listening(path: str, hall: Hall, *, shared: bool) -> AsyncIterator[asyncio.Server]:
    """Listen on a unix socket; its folder is made 0700, and the socket 0600.

    The caller holds the lock of the data directory, so that a socket that is there is a dead engine's.

    Args:
        path: of the socket.
        shared: let other users of this machine connect (0711 and 0666): who they are is asked of the kernel, and what
            they may do is for the service to say.

    Raises:
        Trouble: the directory cannot be used.
    """
    folder = os.path.dirname(path)
    try:
        if len(os.fsencode(path)) > places.LONGEST:
            raise Trouble(
                exits.UNUSABLE,
                f"the path of the socket is too long for the kernel ({path}); set XDG_RUNTIME_DIR to a shorter one",
            )
        os.makedirs(folder, mode=0o711 if shared else 0o700, exist_ok=True)
        found = os.lstat(folder)
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise Trouble(
                exits.UNUSABLE, f"{folder} is not a directory of this user; remove it, or set XDG_RUNTIME_DIR"
            )
        with suppress(FileNotFoundError):
            os.unlink(path)
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            old = os.umask(0o177)
            try:
                sock.bind(path)
            finally:
                os.umask(old)
            share(path, shared=shared)
            ours = os.stat(path).st_ino
        except OSError:
            sock.close()
            raise
    except OSError as error:
        raise Trouble(
            exits.UNUSABLE,
            f"cannot listen at {path}: {error.strerror}; set XDG_RUNTIME_DIR to another directory",
        ) from None
    server = await asyncio.get_running_loop().create_unix_server(
        lambda: Door(hall), sock=sock, backlog=_BACKLOG
    )
    try:
        yield server
    finally:
        server.close()
        with suppress(OSError):
            if os.stat(path).st_ino == ours:
                os.unlink(path)
