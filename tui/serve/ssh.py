"""An SSH server in the engine, for those who want no login on its machine: public keys only, and nothing but the console.

It needs the extra ``syncline[ssh]``. Who comes is who the key belongs to, whatever name the client gives. Commands,
forwarding of ports, agents and displays, and files are refused.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, tzinfo
from functools import partial
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import asyncssh

from engine.service import LedgerFault, Service
from tui import exits
from tui.exits import Trouble
from tui.serve.hall import Hall
from tui.serve.manner import Manner
from tui.serve.session import Session, Terminal, believed
from tui.serve.ssh_keys import ADMINS, FOLDER, Admins, host_key

log = logging.getLogger(__name__)

#: Connections at once, logged in or not, and those of one address.
MOST, MOST_OF_ONE = 64, 16

#: Keys that one connection may try.
MOST_TRIES = 6

#: Seconds in which a client must have logged in.
LOGIN_SECONDS = 30

#: A client that does not answer for so many times of so many seconds has gone.
ALIVE_SECONDS, ALIVE_TIMES = 15, 3

#: So often the file of keys is looked at, in seconds; it is read when it has changed and stayed so until the next look.
LOOK_SECONDS = 2.0

#: What is told where a key has gone.
GONE = "your key was taken out of authorized_keys; the sync goes on"

#: What is advised where the file of keys cannot be used.
MEND = (
    "Mend the file: until then nobody logs in over SSH, and who is in stays. It is looked at every other second"
)

#: The engine waits so long for clients that were told to go, in seconds.
_LAST_SECONDS = 5.0

#: So many bytes may wait for a client before we stop to paint.
_HIGH_WATER = 65_536


def address(text: str) -> tuple[str, int]:
    """``[HOST:]PORT``; without a host the loopback.

    Raises:
        Trouble: it is none.
    """
    host, colon, port = text.rpartition(":")
    if not port.isdecimal() or not 0 <= int(port) < 65_536:
        raise Trouble(exits.USAGE, f"--ssh {text}: not [HOST:]PORT, as in 8022 or 0.0.0.0:8022")
    return (host.strip("[]") if colon else "127.0.0.1"), int(port)


class Front:
    """What all connections share."""

    def __init__(self, service: Service, guests: Hall, manner: Manner, admins: Admins, zone: tzinfo) -> None:
        self.service, self.guests, self.manner = service, guests, manner
        self.admins, self.zone = admins, zone
        self.open: dict[Login, str] = {}
        self.left = asyncio.Event()

    async def emptied(self, seconds: float) -> None:
        """Wait until the last client has gone, and do not wait for ever: consoles have been told to end before."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.open:
                    self.left.clear()
                    await self.left.wait()
        for login in list(self.open):
            login.abort()

    async def watch(self) -> None:
        """End the consoles whose keys leave the file, for as long as it runs. A look that fails is an incident, and repeated."""
        read = seen = self.admins.stamp()
        failed = ""
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            before, seen = seen, self.admins.stamp()
            if seen != before or (seen == read and not failed):  # being written now, or not new
                continue
            try:
                await self._send_away(seen)
                await self.service.logins("ssh")
                read, failed = seen, ""
            except Exception as error:  # one look that failed must not end the watch
                fault = (
                    str(error).removeprefix("--ssh: ")
                    if isinstance(error, Trouble)
                    else f"{ADMINS}: {type(error).__name__}"
                )
                if fault != failed:
                    failed = fault
                    log.error(
                        "SSH: who has lost his key is not sent away, it is tried again: %s",
                        fault,
                        exc_info=None if isinstance(error, Trouble) else error,
                    )
                    with suppress(LedgerFault):  # that is told on every screen, and the log has this
                        await self.service.logins("ssh", fault, MEND)

    async def _send_away(self, seen: object) -> None:
        """Those who are in without a key that is known now, go; without a file that is everybody.

        Raises:
            Trouble: whom the file names is not to be trusted, nor is that it no longer names somebody.
        """
        names = {} if seen is None else self.admins.names()
        for login in list(self.open):
            if login.name and names.get(login.key) != login.name:
                name, host = login.name, login.host
                login.revoke()
                log.warning("SSH: %s from %s was sent away: the key is no longer known", name, host)
                await self.service.note(
                    "KeyRemoved", name, f"the console from {host} was ended: the key left authorized_keys"
                )

    def full(self, host: str) -> bool:
        """Whether there is no room for one more connection from an address."""
        return len(self.open) >= MOST or sum(each == host for each in self.open.values()) >= MOST_OF_ONE


class Login(asyncssh.SSHServer):
    """One connection: who it is."""

    def __init__(self, front: Front) -> None:
        self._front = front
        self._conn: asyncssh.SSHServerConnection | None = None
        self._tries = 0
        self.name = ""
        self.host = ""
        self.key = b""
        self.shells: set[Shell] = set()

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Take it, if there is room."""
        self._conn = conn
        self.host = str((conn.get_extra_info("peername") or ("?",))[0])
        if self._front.full(self.host):
            log.warning("SSH: a connection from %s was refused: too many are open", self.host)
            conn.abort()
            return
        self._front.open[self] = self.host

    def connection_lost(self, exc: Exception | None) -> None:
        """It has gone."""
        self._front.open.pop(self, None)
        self._front.left.set()

    def abort(self) -> None:
        """Close it at once."""
        if self._conn is not None:
            self._conn.abort()

    def begin_auth(self, username: str) -> bool:
        """Nobody comes in without a key."""
        return True

    def public_key_auth_supported(self) -> bool:
        """The only way in."""
        return True

    def password_auth_supported(self) -> bool:
        """There are no passwords."""
        return False

    def kbdint_auth_supported(self) -> bool:
        """There are no questions either."""
        return False

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Whether a key is one of the admins'. That who comes has it is proved by asyncssh right after, or he stays out."""
        self._tries += 1
        if self._tries > MOST_TRIES:
            log.warning("SSH: a connection from %s was closed: it has tried %d keys", self.host, MOST_TRIES)
            if self._conn is not None:
                self._conn.abort()
            return False
        try:
            names = self._front.admins.names()
        except Trouble as trouble:
            log.error("SSH: nobody can log in: %s", trouble)
            return False
        self.name, self.key = names.get(key.public_data, ""), key.public_data
        return bool(self.name)

    def auth_completed(self) -> None:
        """Somebody is in."""
        log.info("SSH: %s from %s", self.name, self.host)

    def session_requested(self) -> Shell | bool:
        """A channel: for one console, of somebody who has proved who he is."""
        return Shell(self._front, self, self._conn) if self.name else False

    def revoke(self) -> None:
        """The key has gone: tell the consoles why they end, open no other, and close the connection after them."""
        self.name = ""
        for shell in self.shells:
            shell.end(GONE)
        self.close_if_empty()
        asyncio.get_running_loop().call_later(_LAST_SECONDS, self.abort)

    def close_if_empty(self) -> None:
        """Close the connection of somebody without a key, once the last console has been told."""
        if not self.name and not self.shells and self._conn is not None:
            self._conn.close()


class Shell(asyncssh.SSHServerSession[bytes]):
    """One channel: a console."""

    def __init__(self, front: Front, login: Login, conn: asyncssh.SSHServerConnection | None) -> None:
        self._front, self._login, self._conn = front, login, conn
        self._who, self._host = login.name, login.host
        self._chan: Any = None
        self._session: Session | None = None
        self._pty = False

    def connection_made(self, chan: Any) -> None:
        """It is open."""
        self._chan = chan
        self._login.shells.add(self)
        chan.set_write_buffer_limits(high=_HIGH_WATER)

    def pty_requested(self, term_type: str, term_size: Any, term_modes: Any) -> bool:
        """A console needs a terminal."""
        self._pty = True
        return True

    def shell_requested(self) -> bool:
        """The console."""
        return True

    def exec_requested(self, command: str) -> bool:
        """Commands come over the unix socket, with a user of this machine."""
        return False

    def subsystem_requested(self, subsystem: str) -> bool:
        """There are no files here."""
        return False

    def session_started(self) -> None:
        """Open the console."""
        chan, front = self._chan, self._front
        why = front.guests.full()
        if not self._pty:
            why = "the console needs a terminal: ssh -t"
        if why:
            self._leave(exits.UNUSABLE, why)
            return
        said = {str(key): str(value)[:60] for key, value in chan.get_environment().items()}
        columns, rows = chan.get_terminal_size()[:2]
        locale = said.get("LC_ALL") or said.get("LC_CTYPE") or said.get("LANG") or "UTF-8"
        terminal = Terminal(
            size=believed(columns, rows),
            term=str(chan.get_terminal_type() or "")[:60],
            program=said.get("TERM_PROGRAM", ""),
            no_color="NO_COLOR" in said,
            utf8="utf" in locale.lower(),
            zone=_zone(said.get("TZ", ""), front.zone),
        )
        actor = front.guests.ssh_actor(self._who, f"ssh {self._host}")
        session = Session(
            actor,
            terminal,
            front.service,
            pull_seconds=front.guests.pull_seconds,
            send=self._send,
            end=self._leave,
            greeting=f"You may look. {actor.advice}." if actor.advice else front.manner.greeting,
            leaving="detached; the sync goes on",
        )
        if self._conn is not None:
            session.on_stalled = self._conn.abort
        self._session = session
        front.guests.show(session)

    def _send(self, data: bytes) -> None:
        if not self._chan.is_closing():
            self._chan.write(data)

    def _leave(self, code: int, text: str) -> None:
        if self._chan.is_closing():
            return
        if text:
            self._chan.write(f"syncline: {text}\r\n".encode())
        self._chan.exit(code)

    def data_received(self, data: bytes, datatype: Any) -> None:
        """What was typed."""
        if self._session is not None:
            self._session.feed(data)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """The window has another size."""
        if self._session is not None:
            self._session.resize(width, height)
            self._front.guests.resized(self._session)

    def break_received(self, msec: int) -> bool:
        """A break is no key."""
        return True

    def signal_received(self, signal: str) -> None:
        """Signals are no keys either."""

    def eof_received(self) -> bool:
        """Nothing more will be typed: the channel closes."""
        return False

    def pause_writing(self) -> None:
        """The client reads too slowly."""
        if self._session is not None:
            self._session.pause()

    def resume_writing(self) -> None:
        """It has caught up."""
        if self._session is not None:
            self._session.resume()

    def connection_lost(self, exc: Exception | None) -> None:
        """The channel has gone."""
        session, self._session = self._session, None
        if session is not None:
            session.lost()
        self._login.shells.discard(self)
        self._login.close_if_empty()

    def end(self, why: str) -> None:
        """End the console, and tell why."""
        if self._session is not None:
            self._session.end(why)
        else:
            self._leave(exits.REFUSED, why)


def _zone(name: str, other: tzinfo) -> tzinfo:
    if not name:
        return other
    try:
        return ZoneInfo(name.lstrip(":"))
    except (ValueError, OSError, KeyError):
        return UTC


@asynccontextmanager
async def ssh_listening(
    where: str, data_dir: Path, service: Service, guests: Hall, manner: Manner, zone: tzinfo
) -> AsyncIterator[int]:
    """Listen for admins over SSH; the value is the port.

    Args:
        where: ``[HOST:]PORT``; port 0 takes a free one.
        data_dir: of the engine; ``ssh/`` in it has the keys.
        service: the engine.
        guests: where consoles are opened.
        manner: what who comes is told.
        zone: of those who name none.

    Raises:
        Trouble: the address or the keys cannot be used.
    """
    host, port = address(where)
    folder = data_dir / FOLDER
    key = host_key(folder)
    admins = Admins(folder)
    if not admins.names():
        raise Trouble(
            exits.UNUSABLE,
            f"--ssh: {folder / 'authorized_keys'} names nobody; it needs a line for each admin: ssh-ed25519 AAAA... name",
        )
    front = Front(service, guests, manner, admins, zone)
    # What asyncssh has to say of each connection is of no use in a log of warnings, and never a secret of ours.
    asyncssh.set_log_level(logging.WARNING)
    try:
        acceptor = await asyncssh.listen(
            host,
            port,
            server_factory=partial(Login, front),
            server_host_keys=[key],
            encoding=None,
            line_editor=False,
            password_auth=False,
            kbdint_auth=False,
            host_based_auth=False,
            gss_host=None,
            allow_scp=False,
            agent_forwarding=False,
            x11_forwarding=False,
            # A server that names this alone makes stock clients compress without being asked: 20 to 1 (screens.md 2.4).
            compression_algs=["zlib@openssh.com"],
            keepalive_interval=ALIVE_SECONDS,
            keepalive_count_max=ALIVE_TIMES,
            login_timeout=LOGIN_SECONDS,
            server_version="Syncline",
        )
    except OSError as error:
        raise Trouble(
            exits.UNUSABLE, f"--ssh: cannot listen at {host} port {port}: {error.strerror or error}"
        ) from None
    watching = asyncio.create_task(front.watch())
    try:
        yield acceptor.get_port()
    finally:
        watching.cancel()
        acceptor.close()
        await front.emptied(_LAST_SECONDS)
