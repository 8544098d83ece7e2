"""Textual's idea of a terminal, over bytes that go anywhere: no thread, no file, no signal, nothing that could block.

Textual's own driver must never run in the engine's loop: when its terminal stops to read, its queue of thirty writes fills
and the next one stops the whole loop (screens.md section 0).
"""

from __future__ import annotations

import asyncio
from codecs import getincrementaldecoder
from collections.abc import Callable, Iterable
from typing import Any

from textual import constants, events
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.driver import Driver
from textual.geometry import Size
from textual.message import Message

#: Press, release and drag, with coordinates that may be large; not every move, which would be a packet and a repaint each.
_MOUSE = ("1000", "1002", "1006")

_START = "\x1b[?1049h\x1b[?25l\x1b[?1004h\x1b[?2004h\x1b[?7l" + "".join(f"\x1b[?{mode}h" for mode in _MOUSE)

#: Disambiguate escape codes, report all keys as escape codes, and the text that goes with them.
_KEYS_ON, _KEYS_AGAIN, _KEYS_OFF = "\x1b[>25u", "\x1b[=25;1u", "\x1b[<u"
_ASK_SYNC = "\x1b[?2026$p"

_END = (
    "".join(f"\x1b[?{mode}l" for mode in _MOUSE)
    + "\x1b[?2004l\x1b[?7h"
    + _KEYS_OFF
    + "\x1b[?1049l\x1b[?25h\x1b[?1004l"
)

#: A little more than the time after which an escape byte is the Escape key.
_ESCAPE_SECONDS = constants.ESCAPE_DELAY + 0.01


class RemoteDriver(Driver):
    """A terminal at the other end of something.

    Args:
        app: whose.
        send: takes the bytes for the terminal; must not block.
        asks_sync: whether the terminal may be asked for synchronized output (Apple's prints the question).
    """

    def __init__(
        self,
        app: App[Any],
        *,
        send: Callable[[bytes], None],
        asks_sync: bool = True,
        debug: bool = False,
        mouse: bool = True,
        size: tuple[int, int] | None = None,
    ) -> None:
        super().__init__(app, debug=debug, mouse=mouse, size=size)
        self._send = send
        self._asks_sync = asks_sync
        self._parser = XTermParser(debug)
        self._decode = getincrementaldecoder("utf-8")("replace").decode
        self._waiting: list[str] = []
        self._flush_soon: asyncio.Handle | None = None
        self._escape: asyncio.TimerHandle | None = None
        self._deaf = False

    # What the app wants of the terminal

    def write(self, data: str) -> None:
        """Send soon; what is written in one go travels in one piece."""
        self._waiting.append(data)
        if self._flush_soon is None:
            self._flush_soon = self._loop.call_soon(self.flush)

    def flush(self) -> None:
        """Send now."""
        if self._flush_soon is not None:
            self._flush_soon.cancel()
            self._flush_soon = None
        if self._waiting:
            data, self._waiting = "".join(self._waiting), []
            self._send(data.encode("utf-8", "replace"))

    def start_application_mode(self) -> None:
        """Take the whole screen, and tell the app its size."""
        self.take_terminal()
        self.resize(*(self._size or (80, 24)))

    def take_terminal(self, *, again: bool = False) -> None:
        """Switch the terminal to our needs; ``again`` after it may have forgotten them (the keys are not pushed twice)."""
        self.write(_START + (_KEYS_AGAIN if again else _KEYS_ON) + (_ASK_SYNC if self._asks_sync else ""))
        self.flush()

    def disable_input(self) -> None:
        """Hear no more keys."""
        self._deaf = True
        if self._escape is not None:
            self._escape.cancel()
            self._escape = None

    def stop_application_mode(self) -> None:
        """Give the terminal back as it was."""
        self.disable_input()
        self.write(_END)
        self.flush()

    def close(self) -> None:
        """Forget the parser, which a cache of Textual's would keep alive for ever, and the app with it."""
        self.disable_input()
        self.flush()
        XTermParser._parse_extended_key.cache_clear()

    def open_url(self, url: str, new_tab: bool = True) -> None:
        """Do nothing: the browser would open on the engine's machine."""

    def deliver_binary(self, *arguments: Any, **options: Any) -> None:
        """Do nothing: the file would be written by the engine, with its rights."""

    # What the terminal wants of the app

    def feed(self, data: bytes) -> None:
        """Bytes have come from the terminal."""
        if not self._deaf:
            self._process(self._parser.feed(text) if (text := self._decode(data)) else ())
            self._arm()

    def _tick(self) -> None:
        self._escape = None
        if not self._deaf:
            self._process(self._parser.tick())
            self._arm()

    def _arm(self) -> None:
        """A lone escape byte becomes the Escape key when nothing follows it for a while: nobody else tells the parser."""
        if self._parser._timeout_time is not None and self._escape is None:
            self._escape = self._loop.call_later(_ESCAPE_SECONDS, self._tick)

    def _process(self, messages: Iterable[Message]) -> None:
        for message in messages:
            self.process_message(message)

    def send_message(self, message: Message) -> None:
        """Hand a message to the app; we are in its loop already."""
        self._app.post_message(message)

    def resize(self, width: int, height: int) -> None:
        """The terminal has another size."""
        self._size = (width, height)
        size = Size(width, height)
        self._app.post_message(events.Resize(size, size))
