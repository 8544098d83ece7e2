"""What a command of the command line talks to: where its words go, where its files are, who asks.

A command is a function of the service, what was given and this::

    async def export(service: Service, given: Namespace, out: Out) -> int:
        out.print(await service.export(), end="")
        return exits.OK

It runs in the engine's process when an engine works on the data directory, and in its own process otherwise; ``tui.commands``
decides. So it must not print, read a file, ask for the user's name or for the zone by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from abc import ABC, abstractmethod
from datetime import tzinfo
from pathlib import Path
from typing import Any

from engine.service import By
from tui import exits
from tui.exits import Trouble

#: Longest file that a command reads, bytes.
LONGEST = 50_000_000


class Out(ABC):
    """Where a command's words go and its files come from.

    Attributes:
        by: who asks, for the service.
        zone: for the times that are printed.
        stopped: set when who asked wants the command to end. Commands that run cycles look at it; the others are cancelled.
        remote: whether the command runs inside of an engine that was there before it.
    """

    def __init__(self, by: By, zone: tzinfo, *, remote: bool) -> None:
        self.by = by
        self.zone = zone
        self.stopped = asyncio.Event()
        self.remote = remote

    @abstractmethod
    def print(self, text: str = "", end: str = "\n") -> None:
        """Write to standard output. After many lines, ``drain``."""

    @abstractmethod
    def warn(self, text: str) -> None:
        """Write a line to standard error."""

    @abstractmethod
    async def drain(self) -> None:
        """Wait until what was printed is on its way; call it once a page, so that a slow reader costs no memory."""

    def show(self, value: Any) -> None:
        """Print one JSON object."""
        self.print(json.dumps(value, ensure_ascii=False, indent=2))

    @abstractmethod
    def folder(self, name: str) -> Path:
        """The absolute folder of a file that the command line names: its relative paths begin there."""

    @abstractmethod
    async def read(self, name: str) -> bytes:
        """The content of a file that the command line names, read with the rights and from the directory of who asks.

        Args:
            name: as it was given; ``-`` is standard input.

        Raises:
            Trouble: it cannot be read, or is longer than ``LONGEST``.
        """

    @abstractmethod
    async def write(self, name: str, data: bytes) -> None:
        """Write a file that the command line names (0600), with the rights and in the directory of who asks.

        Raises:
            Trouble: it cannot be written.
        """

    async def read_text(self, name: str) -> str:
        """The same as text.

        Raises:
            Trouble: it cannot be read, or is no UTF-8.
        """
        try:
            return (await self.read(name)).decode("utf-8")
        except UnicodeDecodeError as error:
            raise Trouble(
                exits.USAGE, f"{name}: not UTF-8 text (byte {error.start}); nothing was changed"
            ) from None


class LocalOut(Out):
    """For a command in a process of its own."""

    def __init__(self, by: By, zone: tzinfo) -> None:
        super().__init__(by, zone, remote=False)
        self._read: dict[str, bytes] = {}

    def print(self, text: str = "", end: str = "\n") -> None:
        """Write to standard output."""
        print(text, end=end)

    def warn(self, text: str) -> None:
        """Write a line to standard error."""
        print(text, file=sys.stderr)

    async def drain(self) -> None:
        """Nothing waits: standard output blocks by itself."""

    def folder(self, name: str) -> Path:
        """The absolute folder of a file."""
        return Path(name).absolute().parent

    async def read(self, name: str) -> bytes:
        """The content of a file, or of standard input; what was read once is not read again."""
        if name in self._read:
            return self._read[name]
        try:
            raw = await asyncio.to_thread(_content, name)
        except OSError as error:
            raise Trouble(exits.USAGE, unreadable(name, error.strerror or "cannot be read")) from None
        if len(raw) > LONGEST:
            raise Trouble(exits.USAGE, too_long(name))
        self._read[name] = raw
        return raw

    async def write(self, name: str, data: bytes) -> None:
        """Write a file."""
        try:
            number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(number, "wb") as file:
                file.write(data)
        except OSError as error:
            raise Trouble(exits.USAGE, unwritable(name, error.strerror or "cannot be written")) from None


def _content(name: str) -> bytes:
    if name == "-":
        return sys.stdin.buffer.read(LONGEST + 1)
    with Path(name).open("rb") as file:
        return file.read(LONGEST + 1)


def unreadable(name: str, why: str) -> str:
    """What is told about a file that cannot be read."""
    return f"{name}: {why}; name a readable file, or - for standard input"


def unwritable(name: str, why: str) -> str:
    """What is told about a file that cannot be written."""
    return f"{name}: {why}; name a file in a directory that you can write to"


def too_long(name: str) -> str:
    """What is told about a file that is too long."""
    return f"{name}: longer than {LONGEST:,} bytes; nothing was changed"
