"""Several admins at one engine, each at a real terminal: what one does, loses or breaks is nobody else's business."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import sys
import termios
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from engine.service import Role, Table
from tests.serve.console import Place, place, until
from tui import exits, wire
from tui.app import SynclineApp
from tui.screens.frame import Frame
from tui.serve import door as doors
from tui.serve import guest
from tui.serve.access import Access
from tui.serve.manner import Manner

#: What the driver says last when it gives the terminal back.
ALT_SCREEN_OFF = b"\x1b[?1049l"


@pytest.fixture
async def at() -> AsyncIterator[Place]:
    async with place() as found:
        yield found


async def test_two_admins_have_each_a_tab_a_size_and_a_cursor(at: Place) -> None:
    ann, bob = at.attach((100, 30)), at.attach((140, 40))
    await ann.sees("[1 Policies]")
    await bob.sees("[1 Policies]")  # the second login comes after the first app has started
    ann.press("2")
    await ann.sees("[2 Queue]")
    bob.press("4")
    await bob.sees("[4 Job Scheduler]")
    assert {session.size for session in at.guests._sessions.values()} == {(100, 30), (140, 40)}
    ann.press("#")
    await ann.sees("(you)")
    await ann.sees("140x40")
    for each in (ann, bob):
        each.press("\x1bq" if each is ann else "q")
    ann.press("q")
    assert await bob.ended() == exits.OK
    assert b"detached; the sync goes on" in bob.seen


async def test_a_lone_escape_arrives(at: Place) -> None:
    ann = at.attach()
    await ann.sees("[1 Policies]")
    ann.press("?")
    await ann.sees("esc closes")
    ann.press("\x1b")
    apps = [session._app for session in at.guests._sessions.values()]
    await until(lambda: isinstance(apps[0].screen, Frame), lambda: "Escape did not close the help")  # type: ignore[union-attr]


async def test_a_resize_reflows_this_console_alone(at: Place) -> None:
    ann, bob = at.attach((140, 40)), at.attach((100, 30))
    await ann.sees("[1 Policies]")
    await bob.sees("[1 Policies]")
    ann.resize(70, 20)
    await ann.sees("needs 80x24, has 70x20")
    assert b"needs 80x24" not in bob.seen
    assert sorted(row.size for row in at.service.store.sessions.values()) == [(70, 20), (100, 30)]


async def test_a_fault_in_one_console_ends_this_one_alone(
    at: Place, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann, bob = at.attach((100, 30)), at.attach((140, 40))
    await ann.sees("[1 Policies]")
    await bob.sees("[1 Policies]")
    streams = sys.stdout, sys.stderr
    secret = "hunter2"  # a local variable of the frame that fails

    def broken(self: SynclineApp) -> None:
        password = secret
        if self.size.width == 140:
            raise RuntimeError(f"broken {len(password)}")

    monkeypatch.setattr(SynclineApp, "action_attached", broken)
    bob.press("#")
    assert await bob.ended() == exits.UNUSABLE
    assert b"the console ended by an internal error (RuntimeError); the sync goes on" in bob.seen
    assert ALT_SCREEN_OFF in bob.seen
    assert "broken 7" in caplog.text
    assert "hunter2" not in caplog.text
    assert (sys.stdout, sys.stderr) == streams
    ann.press("2")
    await ann.sees("[2 Queue]")


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGHUP, 129), (signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=str
)
async def test_a_signal_gives_the_terminal_back(at: Place, number: int, code: int) -> None:
    ann = at.attach()
    await ann.sees("[1 Policies]")
    assert termios.tcgetattr(ann.fd)[3] & termios.ECHO == 0
    ann.kill(number)
    assert await ann.ended() == code
    assert ALT_SCREEN_OFF in ann.seen[-200:]
    assert termios.tcgetattr(ann.fd) == ann.before
    await until(lambda: not at.service.store.sessions)


async def test_the_end_of_the_engine_is_told_and_the_terminal_given_back() -> None:
    async with place() as at:
        ann = at.attach()
        await ann.sees("[1 Policies]")
        at.guests.say("The engine stops after the page it is on.")
        await ann.sees("The engine stops after the page it is on.")
        at.guests.close("the engine was stopped (SIGTERM)")
        late = at.attach()
        assert await late.ended() == exits.UNUSABLE
        at.guests.end("the engine was stopped (SIGTERM)")
        assert await ann.ended() == exits.OK
        assert b"the engine was stopped (SIGTERM)" in ann.seen
        assert termios.tcgetattr(ann.fd) == ann.before


async def test_an_engine_that_vanishes_is_told_and_the_terminal_given_back(at: Place) -> None:
    ann = at.attach()
    await ann.sees("[1 Policies]")
    for door in list(at.guests._doors):
        door.abort()
    assert await ann.ended() == exits.UNUSABLE
    assert b"the engine went away" in ann.seen
    assert ALT_SCREEN_OFF in ann.seen
    assert termios.tcgetattr(ann.fd) == ann.before


async def test_a_stop_and_a_continue_paint_everything_again(at: Place) -> None:
    ann = at.attach()
    await ann.sees("[1 Policies]")
    ann.kill(signal.SIGSTOP)
    await asyncio.to_thread(os.waitpid, ann.pid, os.WUNTRACED)
    termios.tcsetattr(ann.fd, termios.TCSANOW, ann.before)  # as a shell does
    ann.seen = b""
    ann.kill(signal.SIGCONT)
    await ann.sees("[1 Policies]")
    assert b"\x1b[?1049h" in ann.seen
    assert termios.tcgetattr(ann.fd)[3] & termios.ECHO == 0


class Gaps:
    """How long the loop was away, without the time in which this thread could have run and the machine ran others."""

    def __init__(self) -> None:
        self.longest_ms = 0.0

    @staticmethod
    def _now() -> float:
        try:
            with open(f"/proc/self/task/{threading.get_native_id()}/schedstat", encoding="ascii") as file:
                waited = int(file.read().split()[1]) / 1e9  # on a run queue, see proc(5)
        except OSError:
            waited = 0.0
        return time.monotonic() - waited

    async def _beats(self) -> None:
        while True:
            before = self._now()
            await asyncio.sleep(0.02)
            self.longest_ms = max(self.longest_ms, (self._now() - before) * 1000 - 20)

    async def __aenter__(self) -> Gaps:
        # What thousands of tests before this one have left in the process is not the engine's: looking through all of it
        # for garbage takes the collector most of a second.
        gc.collect()
        gc.freeze()
        self._task = asyncio.create_task(self._beats())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        gc.unfreeze()


async def busy(service: Any) -> None:
    """Five hundred events a second, all of them on rows that are shown."""
    rows = list(service.store.users.values())
    number = 0
    while True:
        for row in rows[:10]:
            number += 1
            row.done = number
            service.store.touch(Table.USERS, row)
            service.store.append(row.id, number, "+", f"'Item {number}' " + "x" * 60, 1)
        await asyncio.sleep(0.02)


def narrow(at: Place) -> None:
    """Let the kernel keep next to nothing of what is on its way: it has room for ten seconds of what a console paints."""
    for door in at.guests._doors:
        assert door.transport is not None
        door.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1)


@pytest.mark.parametrize("how", ["killed", "stopped", "stalled"])
async def test_a_client_that_goes_or_does_not_read_never_stops_the_engine(at: Place, how: str) -> None:
    ann, bob = at.attach((140, 40)), at.attach((140, 40))
    for each in (ann, bob):
        await each.sees("[1 Policies]")
        each.press("3v")
        await each.sees("[3 Activity Monitors]")
    narrow(at)
    events = asyncio.create_task(busy(at.service))
    await ann.sees("Item")
    async with Gaps() as gaps:
        if how == "killed":
            ann.kill(signal.SIGKILL)
            await until(lambda: len(at.service.store.sessions) == 1)
        else:
            if how == "stopped":
                ann.kill(signal.SIGSTOP)
            else:
                ann.look(on=False)
            # Until all buffers on the way are full, and the console has noticed.
            await until(lambda: any(session._paused for session in at.guests._sessions.values()))
            here = at.service.store._seq
            await until(lambda: at.service.store._seq > here + 500)
        bob.press("2")
        await bob.sees("[2 Queue]")
    assert gaps.longest_ms < 200
    if how != "killed":
        # Old frames were skipped: who reads again sees the newest state, and his keys work.
        ann.look()
        ann.kill(signal.SIGCONT)
        await until(lambda: not any(session._paused for session in at.guests._sessions.values()))
        ann.press("2")
        await ann.sees("[2 Queue]")
    events.cancel()


async def test_a_client_that_never_reads_again_is_given_up(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.serve.session.PATIENCE", 0.2)
    monkeypatch.setattr("tui.serve.hall.PULL_SECONDS", 0.05)
    ann = at.attach((140, 40))
    await ann.sees("[1 Policies]")
    ann.press("3v")
    await ann.sees("[3 Activity Monitors]")
    narrow(at)
    ann.kill(signal.SIGSTOP)
    events = asyncio.create_task(busy(at.service))
    await until(lambda: not at.service.store.sessions)
    events.cancel()


async def greeted(path: str, sent: bytes) -> asyncio.StreamWriter:
    """A console without a program: connected, painted once."""
    reader, writer = await asyncio.open_unix_connection(path)
    hello = {
        "version": wire.VERSION,
        "want": "screen",
        "width": 80,
        "height": 24,
        "term": "xterm",
        "theme": "dark",
    }
    writer.write(wire.told(wire.HELLO, hello) + wire.frame(wire.INPUT, sent))
    await writer.drain()
    frames, seen = wire.Frames(), b""
    while b"Policies" not in seen:
        for _, payload in frames.feed(await reader.read(65536)):
            seen += payload
    return writer


async def test_thirty_come_and_go_and_nothing_stays(at: Place) -> None:
    for number in range(30):
        # A key of the extended protocol: Textual keeps its parser in a cache, and with it the whole app.
        writer = await greeted(at.path, b"\x1b[106u")
        if number % 2:
            writer.write(wire.frame(wire.INPUT, b"q"))
        else:
            writer.transport.abort()
        await until(lambda: not at.service.store.sessions)
        writer.close()
    assert not at.guests._doors
    tasks = [task.get_name() for task in asyncio.all_tasks()]
    assert not [name for name in tasks if name.startswith("console")]
    gc.collect()
    assert sum(isinstance(each, SynclineApp) for each in gc.get_objects()) <= 2


async def test_who_goes_before_his_console_is_there_leaves_nothing_behind(at: Place) -> None:
    for _ in range(5):
        _, writer = await asyncio.open_unix_connection(at.path)
        writer.write(wire.told(wire.HELLO, {"version": wire.VERSION, "want": "screen"}))
        await writer.drain()
        writer.transport.abort()
    await until(lambda: not at.guests._doors and not at.service.store.sessions)


async def test_there_is_a_limit_and_it_is_told(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.serve.hall.MOST_SESSIONS", 1)
    ann = at.attach()
    await ann.sees("[1 Policies]")
    bob = at.attach()
    assert await bob.ended() == exits.UNUSABLE
    assert b"1 consoles are open, which is the limit" in bob.seen
    assert termios.tcgetattr(bob.fd) == bob.before


async def test_a_silent_client_is_not_waited_for(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "HELLO_SECONDS", 0.05)
    reader, writer = await asyncio.open_unix_connection(at.path)
    ((kind, _),) = wire.Frames().feed(await reader.read())
    assert kind == wire.EXIT
    writer.close()


async def test_a_stranger_is_refused(at: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "peer", lambda sock: guest.Peer(65_533, "eve"))
    eve = at.attach()
    assert await eve.ended() == exits.REFUSED
    assert b"eve has no role here" in eve.seen
    assert not at.service.store.sessions


async def test_a_viewer_is_told_why_a_key_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doors, "peer", lambda sock: guest.Peer(65_533, "vera"))
    monkeypatch.setattr("tui.serve.access.names", lambda uid: ["vera"])
    async with place(access=Access({"vera": Role.VIEWER})) as at:
        vera = at.attach((140, 40))
        await vera.sees("[1 Policies]")
        vera.press("r")
        await vera.sees("is a viewer here, and this needs an operator")
        vera.press("Q")
        await vera.sees("is a viewer here, and this needs an admin")
        assert at.service.commands == []
        assert not at.service.stopped.is_set()


async def test_what_the_terminal_cannot_show_is_not_sent(at: Place) -> None:
    ann = at.attach(NO_COLOR="1", LANG="C", LC_ALL="C")
    await ann.sees("1 Policies")
    assert b"38;5;" not in ann.seen
    told = ann.seen.split(b"\x1b[1;1H")[1].decode()
    assert not set("▸◌◷✓✗⚑↻█─│┌") & set(told)


async def test_screens_look_less_often_when_many_do_or_the_loop_is_late(at: Place) -> None:
    engine = at.service.store.engine
    engine.lag_p99_ms = 0
    assert at.guests.pull_seconds() == 0.25
    at.guests._sessions.update({str(number): Any for number in range(4)})  # type: ignore[dict-item]
    assert at.guests.pull_seconds() == 0.5
    engine.lag_p99_ms = 51
    assert at.guests.pull_seconds() == 1.0
    at.guests._sessions.clear()


async def test_the_last_to_leave_ends_a_demo(at: Place) -> None:
    async with place(Manner(leaving="detached", last="the demo has ended")) as demo:
        ann, bob = demo.attach(), demo.attach((140, 40))
        await ann.sees("[1 Policies]")
        await bob.sees("[1 Policies]")
        ann.press("q")
        assert await ann.ended() == exits.OK
        assert not demo.guests.over
        bob.press("q")
        assert await bob.ended() == exits.OK
        assert b"the demo has ended" in bob.seen
        assert demo.guests.over


def test_the_client_is_the_standard_library_alone() -> None:
    import subprocess

    code = (
        "import sys, tui.entry\n"
        "own = {'tui', 'tui.entry', 'tui.ask', 'tui.attach', 'tui.places', 'tui.wire'}\n"
        "new = {name for name in sys.modules if name.split('.')[0] in ('tui', 'engine', 'textual', 'rich', 'asyncio')}\n"
        "assert new == own, new - own\n"
        "other = {name.split('.')[0] for name in sys.modules} - sys.stdlib_module_names - {'tui', '__main__'}\n"
        "print(sorted(name for name in other if not name.startswith(('__editable__', '_distutils', '_virtualenv', 'sitecustomize'))))\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (ended.stdout.strip(), ended.stderr) == ("[]", "")
