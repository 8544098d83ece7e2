"""Real processes on both sides: how long a client takes to start, and what signals do to engine and clients."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import termios
import threading
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.serve.console import Client, until
from tests.serve.engine import PATIENCE, Engine, serving
from tui import exits, wire
from tui.serve import access

ALT_SCREEN_OFF = b"\x1b[?1049l"
UNIT = Path(__file__).parents[2] / "docs" / "deploy" / "syncline.service"

#: A client may use so much CPU until it has connected and gone again, in seconds, where Python itself starts in a quarter
#: of it; on a machine on which Python takes longer, so may the client.
MOST_CPU, TIMES = 0.060, 2.5


def cpu_of(words: Sequence[str]) -> float:
    """CPU seconds of a program in a terminal of its own, from its start to its end."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(words[0], list(words))
    with suppress(OSError):
        while os.read(terminal, 65_536):
            pass
    _, state, used = os.wait4(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(state) == 0
    return used.ru_utime + used.ru_stime


@contextmanager
def turning_away() -> Iterator[str]:
    """A socket that says goodbye to everybody as soon as he has said what he wants."""
    with tempfile.TemporaryDirectory(prefix="sl-") as folder, socket.socket(socket.AF_UNIX) as sock:
        path = f"{folder}/x.sock"
        sock.bind(path)
        sock.listen()

        def serve() -> None:
            with suppress(OSError):
                while True:
                    one, _ = sock.accept()
                    with one:
                        one.recv(65_536)
                        goodbye = json.dumps({"code": 0, "text": "", "ends": False}).encode()
                        one.sendall(wire.frame(wire.EXIT, goodbye))

        threading.Thread(target=serve, daemon=True).start()
        try:
            yield path
        finally:
            sock.shutdown(socket.SHUT_RDWR)


def test_a_client_is_there_at_once() -> None:
    with turning_away() as path:
        attach = [sys.executable, "-m", "tui.entry", "attach", "--socket", path]
        pairs = [(cpu_of([sys.executable, "-c", "pass"]), cpu_of(attach)) for _ in range(5)]
    bare, whole = (min(column) for column in zip(*pairs, strict=True))
    told = f"attach {whole * 1000:.0f} ms, python -c pass {bare * 1000:.0f} ms of CPU"
    print(told)
    assert whole <= max(MOST_CPU, TIMES * bare), told


@contextmanager
def clients(engine: Engine, number: int) -> Iterator[list[Client]]:
    with ExitStack() as stack:
        made = []
        for _ in range(number):
            made.append(Client(str(engine.socket), (140, 40)))
            stack.callback(made[-1].close)
        yield made


async def ended(engine: Engine) -> int:
    await until(lambda: engine.process.poll() is not None)
    return engine.process.returncode


async def test_sigterm_is_told_to_every_client_and_to_systemd(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (
        tempfile.TemporaryDirectory(prefix="sl-") as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd,
    ):
        systemd.bind(f"{folder}/notify")
        systemd.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", f"{folder}/notify")
        with serving(tmp_path) as engine:
            assert systemd.recv(4096).decode() == f"READY=1\nSTATUS=listening at {engine.socket}"
            with clients(engine, 2) as attached:
                for each in attached:
                    await each.sees("No policy yet")
                engine.process.send_signal(signal.SIGTERM)
                for each in attached:
                    assert await each.ended() == exits.OK
                    assert b"the engine was stopped (SIGTERM)" in each.seen
                    assert ALT_SCREEN_OFF in each.seen
                    assert termios.tcgetattr(each.fd) == each.before
            assert systemd.recv(4096) == b"STOPPING=1"
            assert await ended(engine) == exits.OK
            assert not engine.socket.exists()


async def test_an_engine_that_is_killed_leaves_the_terminals_as_they_were(tmp_path: Path) -> None:
    with serving(tmp_path) as engine, clients(engine, 2) as attached:
        for each in attached:
            await each.sees("No policy yet")
        engine.process.kill()
        for each in attached:
            assert await each.ended() == exits.UNUSABLE
            assert b"the engine went away" in each.seen
            assert ALT_SCREEN_OFF in each.seen
            assert termios.tcgetattr(each.fd) == each.before


async def test_sighup_reads_roles_again_and_nobody_is_cut_off(tmp_path: Path) -> None:
    with serving(tmp_path) as engine, clients(engine, 1) as (ann,):
        await ann.sees("No policy yet")
        folder = engine.socket.parent
        assert engine.socket.stat().st_mode & 0o777 == 0o600
        roles = engine.folder / access.NAME
        roles.write_text('[roles]\nviewer = ["65533"]\n')
        roles.chmod(0o600)
        engine.process.send_signal(signal.SIGHUP)
        await until(lambda: engine.socket.stat().st_mode & 0o777 == 0o666)
        assert folder.stat().st_mode & 0o777 == 0o711
        roles.write_text("[roles]\nking = []\n")
        engine.process.send_signal(signal.SIGHUP)
        await ann.sees("The roles stay as they were: ")
        ann.press("2")
        await ann.sees("[2 Queue]")
        assert engine.process.poll() is None
        ann.press("q")
        assert await ann.ended() == exits.OK


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_unit_is_one_that_systemd_takes(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    text = UNIT.read_text(encoding="utf-8")
    assert "ExecStart=/opt/syncline/bin/syncline " in text
    unit.write_text(text.replace("/opt/syncline/bin/syncline ", "/bin/true "), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", str(unit)], capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
