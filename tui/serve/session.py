"""One admin's console: an app of its own over any transport that carries bytes.

A front (the unix socket of ``tui.serve.door``, an SSH server) makes a session like this::

    session = Session(Actor("ann@ops", Role.OPERATOR, "ssh 10.0.0.5"), Terminal((100, 30)), service,
                      pull_seconds=hall.pull_seconds, send=channel.write, end=lambda code, text: channel.exit(code))
    hall.full()                    # why there is no room for one more; empty when there is
    hall.show(session)             # runs the app in a task of the hall's group
    session.feed(data)             # bytes that were typed
    session.resize(100, 30)
    session.pause(); session.resume()   # the transport's write buffer is full, is empty again
    session.lost()                 # the connection has gone: the app ends, nobody is told

``send`` must not block: it hands bytes to the transport's buffer. ``end`` is called once, after the terminal was given back;
it tells the client its exit code and closes.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable
from contextvars import Context
from dataclasses import dataclass
from datetime import UTC, tzinfo
from functools import partial
from typing import Any, cast

from rich.console import Console

from engine.service import Actor, Service
from tui import exits
from tui.app import SynclineApp
from tui.serve.driver import RemoteDriver

log = logging.getLogger(__name__)

#: Sizes of a terminal that we believe.
LEAST, MOST = (1, 1), (1000, 500)

#: A client that does not read for so long is given up, in seconds.
PATIENCE = 600.0

#: Terminals that have no 256 colours, or no colours.
_POOR = ("linux", "vt", "ansi", "dumb", "cons", "sun", "wyse")


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a client has told about its terminal.

    Attributes:
        size: columns and rows.
        term: ``TERM``.
        program: ``TERM_PROGRAM``.
        no_color: ``NO_COLOR`` is set.
        utf8: the locale is a UTF-8 one.
        theme: that the admin asked for: dark, light or plain.
        ascii: the admin asked for signs of ASCII.
        zone: of the admin.
    """

    size: tuple[int, int] = (80, 24)
    term: str = "xterm-256color"
    program: str = ""
    no_color: bool = False
    utf8: bool = True
    theme: str = "dark"
    ascii: bool = False
    zone: tzinfo = UTC

    @property
    def plain(self) -> bool:
        """Whether it is to show its own colours only."""
        return self.no_color or self.theme == "plain" or self.term.startswith(_POOR) or not self.term


def believed(width: Any, height: Any) -> tuple[int, int]:
    """A size within what we believe; 80x24 for what is no size."""
    if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
        return 80, 24
    return min(max(width, LEAST[0]), MOST[0]), min(max(height, LEAST[1]), MOST[1])


class Session:
    """A console. It is the ``Host`` of its app.

    Args:
        actor: the admin: name, role, from where.
        terminal: what it can do.
        service: the engine.
        pull_seconds: how long the screens may wait until they look at the store again.
        send: takes bytes for the terminal.
        end: takes the exit code and a last line for the admin.
        save: writes a file where the admin is; ``None`` where the front cannot.
        greeting: the first message.
        leaving: what ``q`` does.
    """

    def __init__(
        self,
        actor: Actor,
        terminal: Terminal,
        service: Service,
        *,
        pull_seconds: Callable[[], float],
        send: Callable[[bytes], None],
        end: Callable[[int, str], None],
        save: Callable[[str, bytes], Awaitable[str]] | None = None,
        greeting: str = "",
        leaving: str = "",
    ) -> None:
        self.id = uuid.uuid4().hex
        self.actor = actor
        self.size = terminal.size
        self.since_ms = service.clock.now_ms()
        self.farewell = leaving
        self.pull_seconds = pull_seconds
        self._terminal = terminal
        self._service = service
        self._send = send
        self._end = end
        self._save = save
        self._greeting = greeting
        self._leaving = leaving
        self._app: SynclineApp | None = None
        self._driver: RemoteDriver | None = None
        self._typed: list[bytes] = []
        self._paused = False
        self._batched = False
        self._gone = False
        self._leaving_already = False
        self.left_by_key = False
        self._code = exits.OK
        self._give_up: asyncio.TimerHandle | None = None
        self.on_stalled: Callable[[], None] | None = None

    # The host of the app

    def greeting(self) -> str:
        """What the message line says first."""
        return self._greeting

    def what_leaving_does(self) -> str:
        """What ``q`` does here."""
        return self._leaving

    async def save(self, name: str, data: bytes) -> str:
        """Let the admin's client write a file."""
        if self._save is None:
            return "This connection carries no files; the same command of the command line writes them."
        return await self._save(name, data)

    # The life of a session

    def start(self, group: asyncio.TaskGroup) -> asyncio.Task[None]:
        """Run the app in a task of its own, in a context of its own: nothing of another app may be found in it."""
        return group.create_task(self._run(), name=f"console of {self.actor.name}", context=Context())

    async def _run(self) -> None:
        terminal = self._terminal
        app = self._app = SynclineApp(
            self._service,
            self.actor,
            zone=terminal.zone,
            ascii=terminal.ascii or not terminal.utf8,
            theme=f"syncline-{terminal.theme}",
            plain=terminal.plain,
            host=self,
            session_id=self.id,
            ahead=True,
        )
        # Several apps in one process would put back each other's streams: they leave the process's own alone.
        app._capture_stdout = cast("Any", sys.stdout)
        app._capture_stderr = cast("Any", sys.stderr)
        # A traceback of Textual's shows the values of local variables, and those may be secrets.
        app.error_console = Console(file=io.StringIO())
        app.driver_class = cast(
            "Any", partial(self._made_driver, asks_sync=terminal.program != "Apple_Terminal")
        )
        try:
            if self._leaving_already:
                return
            await app.run_async(size=self.size)
            if app.crash is not None:
                self._crashed(app.crash)
            self.left_by_key = app.crash is None and not self._leaving_already
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self._crashed(error)
        finally:
            self._app = self._driver = None
            if self._give_up is not None:
                self._give_up.cancel()
            if not self._gone:
                self._end(self._code, self.farewell)

    def _made_driver(self, app: Any, **options: Any) -> RemoteDriver:
        driver = self._driver = RemoteDriver(app, send=self._output, **options)
        for data in self._typed:
            driver.feed(data)
        self._typed.clear()
        return driver

    def _output(self, data: bytes) -> None:
        if not self._gone:
            self._send(data)

    def _crashed(self, error: BaseException) -> None:
        """A fault of ours in one console ends this one, and no other, and not the engine."""
        self._code = exits.UNUSABLE
        self.farewell = (
            f"the console ended by an internal error ({type(error).__name__}); the sync goes on. "
            "Details in syncline.log; syncline attaches again"
        )
        log.error("the console of %s ended: %s", self.actor.name, "".join(traceback.format_exception(error)))

    # What comes from the transport

    def feed(self, data: bytes) -> None:
        """Bytes that were typed."""
        if self._driver is not None:
            self._driver.feed(data)
        elif len(self._typed) < 100:
            self._typed.append(data)

    def resize(self, width: int, height: int) -> None:
        """The terminal has another size."""
        self.size = believed(width, height)
        if self._driver is not None:
            self._driver.resize(*self.size)

    def repaint(self) -> None:
        """The terminal has lost what it showed: its modes, and the picture."""
        if self._driver is not None and self._app is not None:
            self._driver.take_terminal(again=True)
            self._app.refresh(layout=True)

    def pause(self) -> None:
        """The client reads too slowly: old frames are skipped, the newest state is painted when it reads again."""
        if self._paused:
            return
        self._paused = True
        if self._app is not None:
            self._batched = True
            self._app._begin_batch()
        self._give_up = asyncio.get_running_loop().call_later(PATIENCE, self._stalled)

    def resume(self) -> None:
        """It reads again."""
        if not self._paused:
            return
        self._paused = False
        if self._give_up is not None:
            self._give_up.cancel()
            self._give_up = None
        if self._app is not None and self._batched:
            self._batched = False
            self._app._end_batch()
            if self._app.is_running:
                self._app.screen.refresh(layout=True)

    def _stalled(self) -> None:
        if self.on_stalled is not None:
            self.on_stalled()

    def lost(self) -> None:
        """The connection has gone."""
        self._gone = True
        self._exit()

    # What comes from the engine

    def say(self, text: str) -> None:
        """Put a text on the message line."""
        if self._app is not None and self._app.is_running:
            self._app.tell(text)

    def end(self, why: str) -> None:
        """End the console, and tell the admin why."""
        self.farewell = why
        self._exit()

    def _exit(self) -> None:
        self._leaving_already = True
        if self._app is not None:
            self._app.exit()
