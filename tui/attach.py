"""``syncline attach``: this terminal, connected to a console of a running engine. Standard library only, and little of it.

It knows nothing of the engine and has none of its rights; what is typed goes up, what is painted comes down. However it
ends, the terminal is as it was before.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import signal
import struct
import termios
from _socket import socket
from collections.abc import Callable
from contextlib import closing, suppress
from types import FrameType

from tui import ask, wire

HUNG_UP = 129
TERMINATED = 143

#: Gives back what a console may have switched: mouse, paste, focus, keys, wrap, cursor, colours, the other screen.
RESTORE = (
    b"\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[?2026l\x1b[<u\x1b[?7h\x1b[0m"
    b"\x1b[?1049l\x1b[?25h"
)

#: How a console takes the keyboard protocol on; it is taken off by ``RESTORE``.
KEYS = b"\x1b[>25u"

_GONE = "the engine went away; the sync goes on where it was when it is started again (syncline)"


class _Ended(Exception):
    """A signal ends us; raised from its handler, for a write to a terminal that does not read waits for ever."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _end(code: int) -> Callable[[int, FrameType | None], None]:
    def handler(number: int, frame: FrameType | None) -> None:
        raise _Ended(code)

    return handler


class Attached:
    """A terminal in raw mode, and the socket of a console.

    Attributes:
        ends: the engine has said that it ends with this console.
    """

    def __init__(self, sock: socket, tty: int = 0, out: int = 1) -> None:
        self.ends = False
        self._sock = sock
        self._in, self._out = tty, out
        self._before = termios.tcgetattr(tty)
        self._frames = wire.Frames()
        self._file: tuple[str, bytearray] | None = None
        self._raw = False
        self._painted = False
        self._wake, self._woken = os.pipe()
        os.set_blocking(self._woken, False)

    def run(self, hello: bytes) -> int:
        """Until the console ends, the engine goes or a signal comes; returns the exit code."""
        code, text = ask.UNUSABLE, _GONE
        old = signal.set_wakeup_fd(self._woken, warn_on_full_buffer=False)
        ending = ((signal.SIGHUP, HUNG_UP), (signal.SIGTERM, TERMINATED), (signal.SIGINT, ask.INTERRUPTED))
        try:
            for number, meaning in ending:
                signal.signal(number, _end(meaning))
            for number in (signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
                signal.signal(number, lambda *_: None)
            self._enter()
            self._sock.sendall(hello)
            code, text = self._talk()
        except _Ended as ended:
            code, text = ended.code, ""
        except (OSError, wire.Garbled, termios.error):
            pass
        finally:
            for number, _ in ending:
                signal.signal(number, signal.SIG_IGN)
            self._leave()
            signal.set_wakeup_fd(old)
            for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGWINCH, signal.SIGTSTP, signal.SIGCONT):
                signal.signal(number, signal.SIG_DFL)
            signal.signal(signal.SIGINT, signal.default_int_handler)
            os.close(self._wake)
            os.close(self._woken)
        if text:
            with suppress(OSError):
                os.write(2, f"syncline: {text}\n".encode())
        return code

    def _talk(self) -> tuple[int, str]:
        while True:
            ready, _, _ = select.select([self._in, self._sock.fileno(), self._wake], [], [])
            if self._wake in ready:
                self._signalled(os.read(self._wake, 100))
            if self._in in ready:
                typed = os.read(self._in, wire.MOST)
                if not typed:
                    raise _Ended(HUNG_UP)
                self._sock.sendall(wire.frame(wire.INPUT, typed))
            if self._sock.fileno() in ready:
                data = self._sock.recv(wire.MOST)
                if not data:
                    return ask.UNUSABLE, _GONE
                for kind, payload in self._frames.feed(data):
                    if kind == wire.EXIT:
                        end = json.loads(payload)
                        self._painted = False  # the console has given the terminal back
                        self.ends = bool(end.get("ends"))
                        return int(end["code"]), str(end["text"])
                    self._take(kind, payload)

    def _take(self, kind: bytes, payload: bytes) -> None:
        if kind == wire.OUTPUT:
            self._painted = True
            while payload:
                payload = payload[os.write(self._out, payload) :]
        elif kind == wire.WRITE:
            self._file = (str(json.loads(payload)["name"]), bytearray())
        elif kind == wire.PART and self._file is not None:
            self._file[1].extend(payload)
        elif kind == wire.DONE and self._file is not None:
            self._sock.sendall(wire.told(wire.DONE, save(*self._file)))
            self._file = None

    def _signalled(self, numbers: bytes) -> None:
        """Do what signals want that do not end us."""
        for number in numbers:
            if number == signal.SIGTSTP:
                painted = self._painted
                self._leave()
                os.kill(os.getpid(), signal.SIGSTOP)
                self._painted = painted
                os.write(self._out, KEYS)
            if number in {signal.SIGTSTP, signal.SIGCONT}:
                # Whoever stopped us may have used the terminal, and a shell has set its own mode.
                self._enter()
                self._sock.sendall(wire.frame(wire.REPAINT))
            if number in {signal.SIGWINCH, signal.SIGCONT}:
                self._sock.sendall(wire.told(wire.RESIZE, size(self._out)))

    def _enter(self) -> None:
        """Raw mode: every key is a byte of the console's, Ctrl+C too."""
        mode = termios.tcgetattr(self._in)
        mode[0] &= ~(
            termios.IXON
            | termios.IXOFF
            | termios.ICRNL
            | termios.INLCR
            | termios.IGNCR
            | termios.BRKINT
            | termios.ISTRIP
        )
        mode[1] &= ~termios.OPOST
        mode[3] &= ~(termios.ECHO | termios.ICANON | termios.IEXTEN | termios.ISIG)
        mode[6][termios.VMIN], mode[6][termios.VTIME] = 1, 0
        termios.tcsetattr(self._in, termios.TCSADRAIN, mode)
        self._raw = True

    def _leave(self) -> None:
        """The terminal as it was; a terminal that is gone or does not read is not waited for."""
        if not self._raw:
            return
        self._raw = False
        if self._painted:
            with suppress(OSError, termios.error):
                os.set_blocking(self._out, False)
                try:
                    os.write(self._out, RESTORE)
                except BlockingIOError:
                    termios.tcflush(self._out, termios.TCOFLUSH)  # frames that nobody will see any more
                    os.write(self._out, RESTORE)
            with suppress(OSError):
                os.set_blocking(self._out, True)
        with suppress(OSError, termios.error):
            termios.tcflush(
                self._in, termios.TCIFLUSH
            )  # late answers of the terminal are no keys for the shell
            termios.tcsetattr(self._in, termios.TCSANOW, self._before)


def size(tty: int) -> list[int]:
    """Columns and rows of a terminal."""
    try:
        rows, columns = struct.unpack("4H", fcntl.ioctl(tty, termios.TIOCGWINSZ, b"\0" * 8))[:2]
    except OSError:
        rows = columns = 0
    return [columns or 80, rows or 24]


def save(name: str, data: bytes | bytearray) -> dict[str, str]:
    """Write a file that the engine hands over: a new one, in the current directory, of a name that can harm nobody."""
    kind = name.rpartition(".")[2]
    plain = name.isascii() and all(char.isalnum() or char in "-_." for char in name)
    if not (plain and name.startswith("syncline-") and kind in {"csv", "json"}):
        return {"error": "the engine has named a file that is none of its own"}
    try:
        with os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(data)
    except OSError as error:
        return {"error": error.strerror or "cannot be written"}
    return {"error": "", "path": os.path.abspath(name)}


def terminal() -> dict[str, object]:
    """What this terminal is and can do, for the hello."""
    columns, rows = size(1)
    locale = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or ""
    return {
        "width": columns,
        "height": rows,
        "term": os.environ.get("TERM", ""),
        "program": os.environ.get("TERM_PROGRAM", ""),
        "no_color": "NO_COLOR" in os.environ,
        "utf8": "utf" in locale.lower() or not locale,
    }


def is_terminal() -> bool:
    """Whether a console can be shown here."""
    return os.isatty(0) and os.isatty(1)


def attach(sock: socket, *, theme: str = "", ascii: bool = False, greeting: str = "") -> tuple[int, bool]:
    """Show a console of the engine until it ends.

    Args:
        sock: connected to the engine.
        theme: dark, light or plain.
        ascii: no signs beyond ASCII.
        greeting: what the message line says first.

    Returns:
        the exit code, and whether the engine ends with this console.
    """
    with closing(sock):
        hello = ask.hello("screen", theme=theme, ascii=ascii, greeting=greeting, **terminal())
        attached = Attached(sock)
        return attached.run(hello), attached.ends
