"""A client of a running engine that asks for a command: the words go up, what it prints comes down. Standard library only."""

from __future__ import annotations

import json
import os
import sys

# What ``socket`` adds to it (``selectors`` and a file over a socket) is a tenth of the time to attach.
from _socket import AF_UNIX, SOCK_STREAM, socket
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

from tui import places, wire

#: As in ``tui.exits``, which may grow imports.
UNUSABLE = 3
INTERRUPTED = 130


def connect(folder: str, path: str = "") -> socket | None:
    """A connection to the engine on a data directory; ``None`` where none listens.

    Args:
        folder: the data directory.
        path: of the socket, if it is not where it is by default.

    Raises:
        PermissionError: one listens, but not to this user.
    """
    refused: PermissionError | None = None
    for each in [path] if path else places.candidates(folder):
        sock = socket(AF_UNIX, SOCK_STREAM)
        try:
            sock.connect(each)
        except PermissionError as error:
            sock.close()
            refused = error
        except OSError:
            sock.close()
        else:
            return sock
    if refused is not None:
        raise refused
    return None


def zone() -> str:
    """The name of this user's zone, for times in what is printed; empty when it has none."""
    found = os.environ.get("TZ", "").lstrip(":") or os.path.realpath("/etc/localtime").partition("zoneinfo/")[2]
    return found or "UTC"


def origin() -> str:
    """From where this user came: over SSH, or a terminal of this machine."""
    came = os.environ.get("SSH_CONNECTION", "").split(" ")[0]
    if came:
        return f"ssh {came}"
    for number in (0, 1, 2):
        with suppress(OSError):
            return os.ttyname(number).removeprefix("/dev/")
    return "no terminal"


def hello(want: str, **more: object) -> bytes:
    """The first frame."""
    base = {
        "version": wire.VERSION,
        "want": want,
        "zone": zone(),
        "origin": origin(),
        "host": os.uname().nodename,
    }
    return wire.told(wire.HELLO, {**base, **more})


class Conversation:
    """One command that an engine runs for us."""

    def __init__(self, sock: socket, words: Sequence[str]) -> None:
        self._sock = sock
        self._words = words
        self._frames = wire.Frames()
        self._coming: tuple[str, bytearray] | None = None
        self._cancelled = False

    def begin(self, hello: bytes) -> int:
        """Say what we want, and run."""
        self._send(hello)
        return self.run()

    def _send(self, data: bytes) -> None:
        """Send to the engine. One that takes nobody in any more has closed already: reading tells why.

        Its BrokenPipeError must not be taken for that of our own output, after which a command is over and all is well.
        """
        with suppress(OSError):
            self._sock.sendall(data)

    def run(self) -> int:
        """Until the command has ended; returns its exit code.

        Ctrl+C cancels the command; a second one does not wait for that.
        """
        while True:
            try:
                return self._until_exit()
            except KeyboardInterrupt:
                if self._cancelled:
                    return INTERRUPTED
                self._cancelled = True
                self._send(wire.frame(wire.CANCEL))

    def _until_exit(self) -> int:
        for kind, payload in self._incoming():
            if kind == wire.OUTPUT:
                _write(1, payload)
            elif kind == wire.ERRORS:
                _write(2, payload)
            elif kind == wire.READ:
                self._send_file(json.loads(payload))
            elif kind == wire.WRITE:
                self._coming = (str(json.loads(payload)["name"]), bytearray())
            elif kind == wire.PART and self._coming is not None:
                self._coming[1].extend(payload)
            elif kind == wire.DONE and self._coming is not None:
                name, data = self._coming
                self._coming = None
                self._send(wire.told(wire.DONE, {"error": self._store(name, data)}))
            elif kind == wire.EXIT:
                end = json.loads(payload)
                if end["text"]:
                    _write(2, f"syncline: {end['text']}\n".encode())
                return int(end["code"])
        _write(
            2,
            b"syncline: the engine went away before the command had ended; see syncline.log in its data directory\n",
        )
        return UNUSABLE

    def _incoming(self) -> Iterator[tuple[bytes, bytes]]:
        while True:
            try:
                data = self._sock.recv(wire.MOST)
            except OSError:
                return
            if not data:
                return
            yield from self._frames.feed(data)

    def _ours(self, name: str) -> bool:
        """Whether the command line names this file: an engine gets no other one of this user's."""
        return name in self._words or any(word.endswith(f"={name}") for word in self._words)

    def _send_file(self, asked: dict[str, str | int]) -> None:
        name, most = str(asked["name"]), int(asked["most"])
        error = "" if self._ours(name) else "the command line does not name this file"
        sent = 0
        try:
            if not error:
                with sys.stdin.buffer if name == "-" else open(name, "rb") as file:
                    while sent < most and (data := file.read(min(wire.MOST, most - sent))):
                        sent += len(data)
                        self._send(wire.frame(wire.PART, data))
        except OSError as fault:
            error = fault.strerror or "cannot be read"
        self._send(wire.told(wire.DONE, {"error": error}))

    def _store(self, name: str, data: bytearray) -> str:
        """Write a file; returns why not."""
        if not self._ours(name):
            return "the command line does not name this file"
        try:
            number = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(number, "wb") as file:
                file.write(data)
        except OSError as fault:
            return fault.strerror or "cannot be written"
        return ""


def _write(number: int, data: bytes) -> None:
    while data:
        data = data[os.write(number, data) :]


def ask(sock: socket, words: Sequence[str]) -> int:
    """Let the engine run a command line; returns the exit code.

    Raises:
        BrokenPipeError: who reads our output has seen enough.
    """
    with closing(sock):
        return Conversation(sock, words).begin(hello("command", words=list(words), cwd=os.getcwd()))


def stop(sock: socket, *, unless_attached: bool = False) -> int:
    """Ask the engine to stop at its next page; returns an exit code, 0 when it does."""
    with closing(sock):
        return Conversation(sock, ()).begin(hello("stop", unless_attached=unless_attached))
