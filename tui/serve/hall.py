"""Everybody who is connected to one engine: consoles and commands, how many there may be, and how they are told the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from engine.service import Service
from tui import exits
from tui.serve.call import Call, RemoteOut, zone_of
from tui.serve.door import Door, Purpose
from tui.serve.guest import said

#: Commands that run at once, and connections that have not said yet what they want.
MOST_CALLS = 32
MOST_DOORS = 64


class Hall:
    """The connections of one engine.

    Args:
        service: the engine, which runs.
        group: for the tasks of consoles and commands.
        stop: ask the engine to stop; its argument is why, for people.
    """

    def __init__(self, service: Service, group: asyncio.TaskGroup, stop: Callable[[str], None]) -> None:
        self._service = service
        self._group = group
        self._stop = stop
        self._doors: set[Door] = set()
        self._calls: dict[Door, Call] = {}
        self._closing = ""

    def opened(self, door: Door) -> None:
        """A connection was made."""
        if self._closing:
            door.exit(exits.UNUSABLE, self._closing)
        elif len(self._doors) >= MOST_DOORS:
            door.exit(
                exits.UNUSABLE, f"{MOST_DOORS} clients are connected, which is the limit; try again later"
            )
        else:
            self._doors.add(door)

    def closed(self, door: Door) -> None:
        """A connection has ended."""
        self._doors.discard(door)
        self._calls.pop(door, None)

    def welcome(self, door: Door, hello: Mapping[str, Any]) -> Purpose | None:
        """A client has said what it wants."""
        want = hello.get("want")
        if not self._known(door):
            return None
        if want == "command":
            return self._command(door, hello)
        if want == "stop":
            self._stop(f"{door.peer.name} has stopped the engine")
            door.exit(exits.OK, "the engine stops at the next page")
            return None
        door.exit(exits.USAGE, "the engine does not know what the client wants; restart the older of both")
        return None

    @staticmethod
    def _known(door: Door) -> bool:
        return True

    def _command(self, door: Door, hello: Mapping[str, Any]) -> Purpose | None:
        words = hello.get("words")
        cwd = hello.get("cwd")
        if not (
            isinstance(words, list) and all(isinstance(word, str) for word in words) and isinstance(cwd, str)
        ):
            door.exit(exits.USAGE, "the command came garbled")
            return None
        if len(self._calls) >= MOST_CALLS:
            door.exit(exits.UNUSABLE, f"{MOST_CALLS} commands are running, which is the limit; try again later")
            return None
        by = f"{door.peer.name}@{said(hello, 'host') or 'here'}"
        call = Call(door, RemoteOut(door, by, zone_of(hello), cwd))
        self._calls[door] = call
        call.start(self._service, words, self._group)
        return call

    def close(self, why: str) -> None:
        """Take in nobody more."""
        self._closing = why

    def end(self, why: str) -> None:
        """Say good-bye to everybody."""
        self.close(why)
        for call in list(self._calls.values()):
            call.cancel()
        for door in list(self._doors - self._calls.keys()):
            door.exit(exits.OK, why)


@asynccontextmanager
async def hall(service: Service, stop: Callable[[str], None]) -> AsyncIterator[Hall]:
    """A hall that is empty at the end."""
    async with asyncio.TaskGroup() as group:
        found = Hall(service, group, stop)
        try:
            yield found
        finally:
            found.end("the engine has stopped")
