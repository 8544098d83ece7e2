"""``syncline demo`` as people and scripts start it: real processes, real sockets, a real terminal."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import tomllib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tui import exits

SMALL = [
    *("--users", "1", "--contacts", "12", "--leads", "3", "--appointments", "6", "--calls", "2"),
    *("--service-calls", "2", "--tasks", "3", "--opportunities", "2", "--cases", "2"),
]
MODULES = {"contact", "lead", "appointment", "call", "service_call", "task", "opportunity", "case"}
COUNTERS = {"created", "updated", "deleted", "unchanged", "held", "failed", "filtered"}

#: Seconds; a shared machine may be slow.
PATIENCE = 60.0


def syncline(*words: str) -> list[str]:
    return [sys.executable, "-m", "tui.cli", *words]


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        syncline(*words, "--data-dir", str(folder)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demo") / "data"


@pytest.fixture(scope="module")
def first(folder: Path) -> dict[str, Any]:
    """The report of the first headless demo."""
    ended = run(folder, "demo", "--headless", "--json", *SMALL)
    assert (ended.returncode, ended.stderr) == (exits.OK, "")
    return json.loads(ended.stdout)  # type: ignore[no-any-return]


def test_the_first_demo_syncs_and_verifies(first: dict[str, Any]) -> None:
    (user,) = first["users"]
    assert user["state"] == "idle"
    assert set(user["modules"]) == MODULES
    assert all(set(counts) == COUNTERS for counts in user["modules"].values())
    assert user["modules"]["contact"]["created"] + user["modules"]["contact"]["held"] == 12
    assert user["calls"] > 0
    assert first["totals"]["writes"] > 20
    assert first["totals"]["duplicates"] == 0
    assert set(first["totals"]) >= {"writes", "calls", "items", "seconds", "duplicates"}
    assert first["verify"]["ok"]
    assert all(row["ok"] for row in first["verify"]["rows"])


def test_an_exchange_policy_stands_beside_it_off_and_with_people_of_its_own(
    first: dict[str, Any], folder: Path
) -> None:
    declared = tomllib.loads((folder / "demo.toml").read_text(encoding="utf-8"))
    assert set(declared["policies"]) == {"Acme Sales", "Acme Service"}
    assert declared["connections"]["Acme Exchange Server"]["kind"] == "exchange"
    assert [user["policy"] for user in declared["users"]] == ["Acme Sales", "Acme Service"]
    status = json.loads(run(folder, "status", "--json").stdout)
    states = {row["name"]: row["state"] for row in status["policies"]}
    assert states == {"Acme Sales": "enabled", "Acme Service": "disabled"}


def test_a_second_demo_writes_nothing(first: dict[str, Any], folder: Path) -> None:
    ended = run(folder, "demo", "--headless", "--json")
    report = json.loads(ended.stdout)
    assert ended.returncode == exits.OK
    assert report["totals"]["writes"] == 0
    assert report["totals"]["items"] == first["totals"]["items"]
    assert report["verify"]["ok"]


def test_the_sandbox_is_gone_and_files_are_private(first: dict[str, Any], folder: Path) -> None:
    pid = int((folder / "sandbox" / "sandbox.lock").read_text())
    assert not alive(pid)
    assert {each.stat().st_mode & 0o077 for each in folder.rglob("*")} == {0}


def test_a_closed_pipe_is_no_fault(first: dict[str, Any], folder: Path) -> None:
    with subprocess.Popen(
        syncline("export", "--data-dir", str(folder)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(PATIENCE) == exits.OK


def test_sync_by_the_schedule_ends_well_at_sigterm(first: dict[str, Any], folder: Path) -> None:
    with subprocess.Popen(
        syncline("sync", "--json", "--data-dir", str(folder)), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        wait_for(lambda: held(folder / "ledger.lock", process.pid))
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=PATIENCE)
    assert (process.returncode, err) == (exits.OK, b"")
    assert json.loads(out)["users"]


def test_sandbox_is_the_sandbox() -> None:
    ended = subprocess.run(
        syncline("sandbox", "--help"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert ended.returncode == 0
    assert "--ready-file" in ended.stdout


class Terminal:
    """The app in a terminal of its own."""

    def __init__(self, *words: str) -> None:
        self.pid, self._fd = pty.fork()
        if not self.pid:
            os.environ["TERM"] = "xterm-256color"
            os.execv(sys.executable, syncline(*words))
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 120, 0, 0))
        self._seen = b""

    def read(self, seconds: float) -> bool:
        """Take in what comes; False when the terminal is closed."""
        ready, _, _ = select.select([self._fd], [], [], seconds)
        if ready:
            try:
                self._seen += os.read(self._fd, 65536)
            except OSError:
                return False
        return True

    def until(self, text: str) -> None:
        """Wait until a text was shown."""
        end = time.monotonic() + PATIENCE
        while text.encode() not in self._seen:
            assert self.read(0.2), self._seen[-2000:]
            assert time.monotonic() < end, self._seen[-2000:]

    def press(self, keys: str) -> None:
        """Press keys, and look only at what comes from now on."""
        self._seen = b""
        os.write(self._fd, keys.encode())

    def hang_up(self) -> None:
        """What a lost ssh connection does."""
        os.close(self._fd)
        self._fd = -1

    def ended(self) -> int:
        """The exit code."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            pid, state = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.pid = 0
                return os.waitstatus_to_exitcode(state)
            if self._fd >= 0:
                self.read(0.1)
            else:
                time.sleep(0.05)
        raise AssertionError(f"still running: {self._seen[-2000:]!r}")

    def close(self) -> None:
        """End it if it still runs."""
        if self.pid:
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        if self._fd >= 0:
            os.close(self._fd)


@pytest.fixture
def terminal(first: dict[str, Any], folder: Path) -> Iterator[Terminal]:
    shown = Terminal("demo", "--data-dir", str(folder))
    yield shown
    shown.close()
    end_engine(folder)


@pytest.mark.parametrize("how", ["SIGTERM", "hang-up"])
def test_a_lost_terminal_does_not_end_the_demo_and_q_does(terminal: Terminal, folder: Path, how: str) -> None:
    terminal.until("Acme Sales")
    sandbox = int((folder / "sandbox" / "sandbox.lock").read_text())
    engine = int((folder / "ledger.lock").read_text().split()[1])
    if how == "SIGTERM":
        # Nobody takes away a demo that somebody looks at.
        second = run(folder, "demo", "--headless", "--fresh")
        assert second.returncode == exits.UNUSABLE
        assert f"pid {engine}" in second.stderr
        os.kill(terminal.pid, signal.SIGTERM)
        assert terminal.ended() == 143
    else:
        terminal.hang_up()
        assert terminal.ended() == 129
    assert alive(sandbox)

    again = Terminal("demo", "--data-dir", str(folder))
    try:
        again.until("Acme Sales")
        assert int((folder / "ledger.lock").read_text().split()[1]) == engine
        again.press("q")
        again.until("the demo has ended")
        assert again.ended() == exits.OK
    finally:
        again.close()
    assert not alive(sandbox)
    wait_for(lambda: not alive(engine))
    assert (folder / "syncline.log").read_text() == ""


def end_engine(folder: Path) -> None:
    """End the engine of a demo that a test has left behind."""
    held_by = (folder / "ledger.lock").read_text().split()
    with suppress(ProcessLookupError, IndexError):
        os.kill(int(held_by[1]), signal.SIGKILL)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def held(lock: Path, pid: int) -> bool:
    return lock.read_text().startswith(f"pid {pid} ")


def wait_for(condition: Any) -> None:
    end = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.05)
