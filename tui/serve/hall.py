"""Everybody who is connected to one engine: consoles and commands, how many there may be, and how they are told the end."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from engine.service import Actor, Role, Service, SessionRow, Table
from tui import exits, wire
from tui.host import PULL_SECONDS
from tui.serve.access import Access
from tui.serve.call import Call, RemoteOut, zone_of
from tui.serve.door import Door, Purpose
from tui.serve.guest import said
from tui.serve.manner import Manner
from tui.serve.session import Session, Terminal, believed

#: Consoles at once: at four pulls a second some eight busy ones fill a core (screens.md section 3.2).
MOST_SESSIONS = 16

#: With more sessions than this, or with a loop that is late, screens look at the store less often.
FEW = 3
LATE_MS = 50.0

#: Commands that run at once, and connections that have not said yet what they want.
MOST_CALLS = 32
MOST_DOORS = 64


class Hall:
    """The connections of one engine.

    Args:
        service: the engine, which runs.
        group: for the tasks of consoles and commands.
        manner: what is told to those who come and go.
        access: who may do what.
    """

    def __init__(self, service: Service, group: asyncio.TaskGroup, manner: Manner, access: Access) -> None:
        self.access = access
        self._service = service
        self._group = group
        self._manner = manner
        self._sessions: dict[str, Session] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self.changed = asyncio.Event()  # a console came or went
        self.over = False  # the last console of an engine that ends with it was left
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
        actor = self._actor(door, hello)
        if actor is None:
            return None
        if want == "command":
            return self._command(door, actor, hello)
        if want == "screen":
            return self._screen(door, actor, hello)
        if want == "stop":
            self.start_task(self._stop(door, actor, hello))
            return None
        door.exit(exits.USAGE, "the engine does not know what the client wants; restart the older of both")
        return None

    def _actor(self, door: Door, hello: Mapping[str, Any]) -> Actor | None:
        """Who it is, and in which role; a stranger is told so, and goes."""
        role = self.access.role(door.peer.uid)
        if role is None:
            door.exit(
                exits.REFUSED,
                f"{door.peer.name} has no role here; whoever runs the engine gives one in roles.toml (docs/deploy.md)",
            )
            return None
        uid, name, origin = door.peer.uid, f"{door.peer.name}@{os.uname().nodename}", said(hello, "origin")

        def again() -> Actor | None:
            found = self.access.role(uid)
            return None if found is None else Actor(name, found, origin)

        return Actor(name, role, origin, again=again)

    def ssh_actor(self, name: str, origin: str) -> Actor:
        """Somebody whose key the SSH front knows, in the role that he has at each command."""
        return replace(self.access.ssh_actor(name, origin), again=lambda: self.access.ssh_actor(name, origin))

    def take_roles(self, access: Access) -> None:
        """Roles were read again. They hold for those who are connected already; who has none any more, goes."""
        self.access = access
        for door, call in list(self._calls.items()):
            if access.role(door.peer.uid) is None:
                call.cancel()
        for session in list(self._sessions.values()):
            actor, row = session.actor, self._service.store.sessions.get(session.id)
            if actor.again is not None and actor.again() is None:
                session.end(f"{actor.name} has no role here any more; the sync goes on")
            elif row is not None and row.role != (role := actor.now().role):
                row.role = role
                self._service.store.reshape(Table.SESSIONS)
                session.say(
                    f"You are {'a' if role is Role.VIEWER else 'an'} {role} now: the roles were changed."
                )

    def start_task(self, work: Coroutine[None, None, Any]) -> None:
        """Run something of the engine's for nobody in particular."""
        task = self._group.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _stop(self, door: Door, actor: Actor, hello: Mapping[str, Any]) -> None:
        if hello.get("unless_attached") is True and self._sessions:
            door.exit(exits.UNUSABLE, f"{len(self._sessions)} attached; q there leaves it")
            return
        answer = await self._service.stop(actor)
        door.exit(exits.OK if answer.ok else exits.USAGE, answer.text)

    # Consoles

    def pull_seconds(self) -> float:
        """How long a screen may wait until it looks at the store again: 4 Hz, 2 Hz with many sessions, 1 Hz on a late loop."""
        if self._service.store.engine.lag_p99_ms > LATE_MS:
            return 4 * PULL_SECONDS
        return PULL_SECONDS if len(self._sessions) <= FEW else 2 * PULL_SECONDS

    def full(self) -> str:
        """Why no console can be opened now; empty when one can."""
        if self._closing:
            return self._closing
        if len(self._sessions) >= MOST_SESSIONS:
            return f"{MOST_SESSIONS} consoles are open, which is the limit; syncline status and the like work still"
        return ""

    def _screen(self, door: Door, actor: Actor, hello: Mapping[str, Any]) -> Purpose | None:
        why = self.full()
        if why:
            door.exit(exits.UNUSABLE, why)
            return None
        terminal = Terminal(
            size=believed(hello.get("width"), hello.get("height")),
            term=said(hello, "term"),
            program=said(hello, "program"),
            no_color=hello.get("no_color") is True,
            utf8=hello.get("utf8") is not False,
            theme=theme if (theme := said(hello, "theme")) in {"dark", "light", "plain"} else "dark",
            ascii=hello.get("ascii") is True,
            zone=zone_of(hello),
        )
        started = said(hello, "greeting", 140)
        session = Session(
            actor,
            terminal,
            self._service,
            pull_seconds=self.pull_seconds,
            send=lambda data: door.send(wire.OUTPUT, data),
            end=lambda code, text: self._ended(session, door, code, text),
            greeting=started or self._manner.greeting,
            leaving=self._manner.leaving,
        )
        session.on_stalled = door.abort
        self.show(session)
        return Screen(self, session)

    def show(self, session: Session) -> None:
        """Open a console; ``full`` must have been asked."""
        store = self._service.store
        self._sessions[session.id] = session
        store.sessions[session.id] = SessionRow(
            session.id,
            session.actor.name,
            session.actor.origin,
            session.actor.role,
            session.since_ms,
            session.size,
        )
        store.reshape(Table.SESSIONS)
        self.changed.set()
        session.start(self._group).add_done_callback(lambda _: self._left(session))

    def _ended(self, session: Session, door: Door, code: int, text: str) -> None:
        if self._manner.last and session.left_by_key and len(self._sessions) == 1:
            self.over = True
            door.exit(code, self._manner.last, ends=True)
        else:
            door.exit(code, text)

    def attached(self) -> int:
        """How many consoles are open."""
        return len(self._sessions)

    def resized(self, session: Session) -> None:
        """A terminal has another size."""
        row = self._service.store.sessions.get(session.id)
        if row is not None:
            row.size = session.size

    def _left(self, session: Session) -> None:
        store = self._service.store
        self._sessions.pop(session.id, None)
        store.sessions.pop(session.id, None)
        store.reshape(Table.SESSIONS)
        self.changed.set()

    def say(self, text: str) -> None:
        """Put a text on every message line."""
        for session in self._sessions.values():
            session.say(text)

    def _command(self, door: Door, actor: Actor, hello: Mapping[str, Any]) -> Purpose | None:
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
        call = Call(door, RemoteOut(door, actor, zone_of(hello), cwd))
        self._calls[door] = call
        call.start(self._service, words, self._group)
        return call

    def close(self, why: str) -> None:
        """Take in nobody more. The first reason is the one that everybody is told."""
        self._closing = self._closing or why

    def end(self, why: str) -> None:
        """Say good-bye to everybody."""
        self.close(why)
        for call in list(self._calls.values()):
            call.cancel()
        for session in list(self._sessions.values()):
            session.end(self._closing)


class Screen:
    """A connection that has turned out to be a console."""

    def __init__(self, hall: Hall, session: Session) -> None:
        self._hall = hall
        self._session = session

    def take(self, kind: bytes, payload: bytes) -> None:
        """What was typed, or a new size."""
        if kind == wire.INPUT:
            self._session.feed(payload)
        elif kind == wire.RESIZE:
            width, height = json.loads(payload)
            self._session.resize(width, height)
            self._hall.resized(self._session)
        elif kind == wire.REPAINT:
            self._session.repaint()

    def pause(self) -> None:
        """The client reads too slowly."""
        self._session.pause()

    def resume(self) -> None:
        """It reads again."""
        self._session.resume()

    def lost(self) -> None:
        """It has gone."""
        self._session.lost()


@asynccontextmanager
async def hall(service: Service, manner: Manner, access: Access) -> AsyncIterator[Hall]:
    """A hall that is empty at the end; an error from inside comes out as it is, without the group of its tasks."""
    try:
        async with asyncio.TaskGroup() as group:
            service.serves_others()
            found = Hall(service, group, manner, access)
            try:
                yield found
            finally:
                found.end("the engine has stopped")
    except BaseExceptionGroup as several:
        error: BaseException = several
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None
