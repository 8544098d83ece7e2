"""Admins over SSH, with the real OpenSSH client against a real engine. Needs ssh, and the extra syncline[ssh]."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import shutil
import signal
import stat
import struct
import subprocess
import tempfile
import termios
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.serve.engine import PATIENCE, Engine, serving
from tui import exits

pytest.importorskip("asyncssh", reason="the extra syncline[ssh] is not installed")
if shutil.which("ssh") is None or shutil.which("ssh-keygen") is None:
    pytest.skip("there is no OpenSSH client here", allow_module_level=True)


def made_key(folder: Path, name: str) -> Path:
    path = folder / name
    command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run(command, check=True, timeout=PATIENCE)
    return path


def known(data: Path, *keys: Path) -> None:
    (data / "ssh").mkdir(parents=True, exist_ok=True)
    for folder in (data, data / "ssh"):
        folder.chmod(0o700)
    path = data / "ssh" / "authorized_keys"
    path.write_text("# admins\n" + "".join(key.with_suffix(".pub").read_text() for key in keys))
    path.chmod(0o600)


def ssh(engine: Engine, key: Path, *options: str) -> list[str]:
    """The command line of the client, without a word of this user's own configuration."""
    given = {
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "StrictHostKeyChecking": "yes",
        "UserKnownHostsFile": str(engine.folder / "known"),
        "LogLevel": "ERROR",
        "PasswordAuthentication": "yes",
        "NumberOfPasswordPrompts": "1",
        "BatchMode": "yes",
    }
    words = ["ssh", "-F", "none", "-p", str(engine.ssh_port), "-i", str(key)]
    words += [word for name, value in given.items() for word in ("-o", f"{name}={value}")]
    return [*words, *options, "127.0.0.1"]


class Console:
    """An ssh client in a terminal of its own."""

    def __init__(self, engine: Engine, key: Path, size: tuple[int, int] = (80, 24)) -> None:
        self.seen = b""
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execvp("ssh", ssh(engine, key, "-tt"))
        self.resize(*size)

    def resize(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def type(self, keys: bytes) -> None:
        self.seen = b""
        os.write(self._fd, keys)

    def until(self, text: bytes) -> bytes:
        """Read until the terminal was sent a text."""
        deadline = time.monotonic() + PATIENCE
        while text not in self.seen:
            assert time.monotonic() < deadline, f"{text!r} did not come; last: {self.seen[-300:]!r}"
            if select.select([self._fd], [], [], 0.5)[0] and not self._read():
                break
        assert text in self.seen, f"{text!r} did not come; last: {self.seen[-300:]!r}"
        return self.seen

    def ended(self) -> int:
        """Read to the end; the exit code of ssh."""
        while self._read():
            pass
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def _read(self) -> bytes:
        try:
            data = os.read(self._fd, 65_536)
        except OSError:  # Linux: the other side of the terminal has closed
            return b""
        self.seen += data
        return data

    def close(self) -> None:
        with suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("keys")
    return {name: made_key(folder, name) for name in ("alice", "bob", "mallory")}


@contextmanager
def trusting(folder: Path, *keys: Path) -> Iterator[Engine]:
    """An engine that lets these keys in over SSH, and whose own key the client knows."""
    known(folder / "data", *keys)
    with serving(folder, "--ssh", "0") as engine:
        public = (engine.folder / "ssh" / "host_key.pub").read_text()
        (engine.folder / "known").write_text(f"[127.0.0.1]:{engine.ssh_port} {public}")
        yield engine


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory, keys: dict[str, Path]) -> Iterator[Engine]:
    with trusting(tmp_path_factory.mktemp("ssh"), keys["alice"], keys["bob"]) as found:
        yield found


@pytest.fixture
def consoles(engine: Engine) -> Iterator[list[Console]]:
    made: list[Console] = []
    yield made
    for each in made:
        each.close()


def test_a_second_admin_logs_in_while_the_first_is_there_and_each_has_an_own_console(
    engine: Engine, keys: dict[str, Path], consoles: list[Console]
) -> None:
    # On Python 3.12 and newer Textual makes all tasks of a loop eager, and asyncssh then loses its answers to the second.
    consoles.append(alice := Console(engine, keys["alice"]))
    alice.until(b"alice")
    alice.until(b"No policy yet")
    consoles.append(bob := Console(engine, keys["bob"], (140, 40)))
    bob.until(b"bob")
    bob.until(b"1 Policies")
    alice.type(b"2")
    alice.until(b"Nothing is waiting")
    assert b"Nothing is waiting" not in bob.seen
    alice.type(b"?")
    alice.until(b"esc closes")
    alice.type(b"\x1b")  # a lone Escape, which no other byte follows
    alice.until(b"Nothing is waiting")
    alice.type(b"")
    alice.resize(70, 20)
    alice.until(b"needs 80x24, has 70x20")
    alice.resize(80, 24)
    alice.type(b"q")
    assert alice.ended() == exits.OK
    assert b"\x1b[?1049l" in alice.seen
    assert b"the sync goes on" in alice.seen
    bob.type(b"4")
    bob.until(b"Ledger upkeep")
    bob.type(b"q")
    assert bob.ended() == exits.OK


def test_a_client_that_is_killed_leaves_the_others_alone(
    engine: Engine, keys: dict[str, Path], consoles: list[Console]
) -> None:
    consoles.append(alice := Console(engine, keys["alice"]))
    alice.until(b"No policy yet")
    os.kill(alice.pid, signal.SIGKILL)
    consoles.append(bob := Console(engine, keys["bob"]))
    bob.until(b"No policy yet")
    bob.type(b"q")
    assert bob.ended() == exits.OK
    assert engine.run("status", "--json").returncode == exits.OK


def test_a_stranger_stays_outside(engine: Engine, keys: dict[str, Path]) -> None:
    ended = subprocess.run(
        ssh(engine, keys["mallory"], "-tt"), capture_output=True, text=True, timeout=PATIENCE, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert ended.returncode == 255
    assert "Permission denied (publickey)" in ended.stderr


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (("-T",), exits.UNUSABLE),  # no terminal
        (("-s", "sftp"), 255),
        (("-W", "127.0.0.1:1"), 255),
    ],
)
def test_there_is_nothing_but_the_console(
    engine: Engine, keys: dict[str, Path], options: tuple[str, ...], code: int
) -> None:
    words = ssh(engine, keys["alice"])
    if options[0] == "-s":
        words = [*words[:-1], "-s", words[-1], "sftp"]
    else:
        words = [*words[:-1], *options, words[-1]]
    ended = subprocess.run(
        words, capture_output=True, text=True, timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL
    )
    assert ended.returncode == code
    if code == exits.UNUSABLE:
        assert "the console needs a terminal" in ended.stdout
    command = subprocess.run(
        [*ssh(engine, keys["alice"]), "id"], capture_output=True, text=True, timeout=PATIENCE, check=False,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert command.returncode == 255
    assert "uid=" not in command.stdout


def test_a_key_that_is_taken_away_or_added_counts_from_the_next_login_on(
    tmp_path: Path, keys: dict[str, Path]
) -> None:
    with trusting(tmp_path, keys["alice"]) as engine:
        host_key = engine.folder / "ssh" / "host_key"
        assert stat.S_IMODE(host_key.stat().st_mode) == 0o600
        known(engine.folder, keys["bob"])
        refused = subprocess.run(
            ssh(engine, keys["alice"], "-tt"), capture_output=True, text=True, timeout=PATIENCE, check=False,
            stdin=subprocess.DEVNULL,
        )  # fmt: skip
        assert "Permission denied" in refused.stderr
        bob = Console(engine, keys["bob"])
        try:
            bob.until(b"No policy yet")
            bob.seen = b""
            assert engine.stop() == exits.OK
            assert bob.ended() == exits.OK
            assert b"\x1b[?1049l" in bob.seen
            assert b"the engine was stopped (SIGTERM)" in bob.seen
        finally:
            bob.close()
        first = host_key.read_bytes()
        with serving(tmp_path, "--ssh", "0") as again:
            assert (again.folder / "ssh" / "host_key").read_bytes() == first


def test_who_loses_his_key_goes_with_his_connections_and_the_others_stay(
    tmp_path: Path, keys: dict[str, Path]
) -> None:
    with (
        trusting(tmp_path, *keys.values()) as engine,
        # Here a client logs in and opens no console; others could open theirs over its connection.
        tempfile.TemporaryDirectory(prefix="sl-") as short,
        ExitStack() as stack,
    ):
        alice, bob = Console(engine, keys["alice"]), Console(engine, keys["bob"])
        stack.callback(alice.close)
        stack.callback(bob.close)
        shared = f"{short}/c"
        master = subprocess.Popen(
            ssh(engine, keys["mallory"], "-M", "-S", shared, "-N"), stdin=subprocess.DEVNULL
        )
        stack.callback(master.wait)
        stack.callback(master.kill)
        alice.until(b"No policy yet")
        bob.until(b"No policy yet")
        check = ssh(engine, keys["mallory"], "-S", shared, "-O", "check")
        deadline = time.monotonic() + PATIENCE
        while subprocess.run(check, capture_output=True, timeout=PATIENCE, check=False).returncode:
            assert time.monotonic() < deadline, "the client did not log in"
            time.sleep(0.05)
        known(engine.folder, keys["bob"])
        alice.until(b"your key was taken out of authorized_keys; the sync goes on")
        alice.ended()
        assert b"\x1b[?1049l" in alice.seen, "the terminal is as it was before"
        master.wait(PATIENCE)
        assert subprocess.run(check, capture_output=True, timeout=PATIENCE, check=False).returncode
        entry = engine.run("audit", "--json").stdout
        assert "KeyRemoved" in entry
        assert "alice" in entry
        assert "mallory" in entry
        bob.type(b"4")
        bob.until(b"Ledger upkeep")
        bob.type(b"q")
        assert bob.ended() == exits.OK


def test_a_key_without_a_role_may_look_and_is_told_who_gives_one(tmp_path: Path, keys: dict[str, Path]) -> None:
    known(tmp_path / "data")
    roles = tmp_path / "data" / "roles.toml"
    roles.write_text('[roles]\nadmin = ["ssh:bob"]\n')
    roles.chmod(0o600)
    with trusting(tmp_path, keys["alice"], keys["bob"]) as engine:
        alice = Console(engine, keys["alice"], (140, 40))
        bob = Console(engine, keys["bob"], (140, 40))
        try:
            alice.until(b'You may look. roles.toml has no "ssh:alice"')
            alice.type(b"Q")
            alice.until(b"alice is a viewer here, and this needs an admin; nothing was changed.")
            bob.until(b"No policy yet")
            bob.type(b"Q")
            bob.until(b"Stop the engine")
        finally:
            alice.close()
            bob.close()


def test_an_address_that_is_none_is_told(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match=r"--ssh nowhere: not \[HOST:\]PORT"),
        serving(tmp_path, "--ssh", "nowhere"),
    ):
        pass
