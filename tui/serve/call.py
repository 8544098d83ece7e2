"""A command of the command line that runs inside of the engine, for a client at the door."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import zoneinfo
from collections.abc import Mapping, Sequence
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any

from engine.service import By, Service
from tui import commands, exits, wire
from tui.exits import Trouble
from tui.out import LONGEST, Out, too_long, unreadable, unwritable
from tui.serve.door import Door

log = logging.getLogger(__name__)


def zone_of(hello: Mapping[str, Any]) -> tzinfo:
    """The zone that a client has named; UTC when this machine does not know it."""
    try:
        return zoneinfo.ZoneInfo(str(hello.get("zone", "")))
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return UTC


class RemoteOut(Out):
    """Words go to the client, files come from it."""

    def __init__(self, door: Door, by: By, zone: tzinfo, cwd: str) -> None:
        super().__init__(by, zone, remote=True)
        self._door = door
        self._cwd = cwd
        self._files: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self._asking = False

    def print(self, text: str = "", end: str = "\n") -> None:
        """Write to the client's standard output."""
        self._door.send(wire.OUTPUT, (text + end).encode("utf-8", "surrogateescape"))

    def warn(self, text: str) -> None:
        """Write a line to the client's standard error."""
        self._door.send(wire.ERRORS, (text + "\n").encode("utf-8", "surrogateescape"))

    async def drain(self) -> None:
        """Wait for a slow reader."""
        await self._door.drain()

    def folder(self, name: str) -> Path:
        """The folder of a file, from where the client is."""
        return Path(os.path.normpath(os.path.join(self._cwd, name))).parent

    def came(self, kind: bytes, payload: bytes) -> None:
        """A part of a file, or its end, has come.

        Raises:
            Garbled: nobody has asked for it.
        """
        if not self._asking:
            raise wire.Garbled("a file that nobody has asked for")
        self._files.put_nowait((kind, payload))

    async def read(self, name: str) -> bytes:
        """The content of a file of the client's."""
        self._asking = True
        self._door.tell(wire.READ, {"name": name, "most": LONGEST + 1})
        data = bytearray()
        while True:
            kind, payload = await self._files.get()
            if kind == wire.PART:
                data += payload
                if len(data) > LONGEST:
                    raise Trouble(exits.USAGE, too_long(name))
                continue
            self._asking = False
            error = str(json.loads(payload).get("error", ""))
            if error:
                raise Trouble(exits.USAGE, unreadable(name, error))
            return bytes(data)

    async def write(self, name: str, data: bytes) -> None:
        """Let the client write a file."""
        self._asking = True
        self._door.tell(wire.WRITE, {"name": name})
        for at in range(0, len(data), wire.MOST):
            self._door.send(wire.PART, data[at : at + wire.MOST])
            await self._door.drain()
        self._door.tell(wire.DONE, {"error": ""})
        _, payload = await self._files.get()
        self._asking = False
        error = str(json.loads(payload).get("error", ""))
        if error:
            raise Trouble(exits.USAGE, unwritable(name, error))


class Call:
    """One command that runs for a client; it ends with the client."""

    def __init__(self, door: Door, out: RemoteOut) -> None:
        self._door = door
        self._out = out
        self._task: asyncio.Task[None] | None = None

    def start(self, service: Service, words: Sequence[str], group: asyncio.TaskGroup) -> None:
        """Run it in the hall's group of tasks."""
        self._task = group.create_task(self._run(service, words), name=f"command {' '.join(words[:1])}")

    async def _run(self, service: Service, words: Sequence[str]) -> None:
        try:
            code = await commands.inside(service, words, self._out)
        except asyncio.CancelledError:
            # Whoever has cancelled us ends here with us: the client's Ctrl+C, its going, or the end of the hall.
            self._door.exit(exits.INTERRUPTED, "interrupted; what the engine has begun goes on there")
            return
        except Exception as error:
            log.exception("the command %s failed", " ".join(words[:1]))
            self._door.exit(
                exits.UNUSABLE,
                f"internal error ({type(error).__name__}), nothing was lost; details in the engine's syncline.log",
            )
            return
        self._door.exit(code)

    def take(self, kind: bytes, payload: bytes) -> None:
        """Ctrl+C, or a file."""
        if kind == wire.CANCEL:
            self.cancel()
        elif kind in {wire.PART, wire.DONE}:
            self._out.came(kind, payload)

    def cancel(self) -> None:
        """End it."""
        self._out.stopped.set()
        if self._task is not None:
            self._task.cancel()

    def pause(self) -> None:
        """The client reads slowly: the command waits in ``drain``."""

    def resume(self) -> None:
        """It reads again."""

    def lost(self) -> None:
        """The client has gone."""
        self.cancel()
