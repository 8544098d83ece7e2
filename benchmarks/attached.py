"""Consoles as admins have them: an engine in a process of its own, clients in terminals of their own, real sockets.

``python -m benchmarks.attached`` loses the connection of an admin in the middle of a first sync of 500 mailboxes, comes back,
and prints what was seen (``--users N`` for fewer). It leaves with 1 when the sync did not go on.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import pty
import re
import select
import shutil
import signal
import statistics
import struct
import subprocess
import sys
import tempfile
import termios
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.company import sandbox
from benchmarks.rows import Row

#: Consoles of the idle measure, and its seconds.
IDLE, IDLE_SECONDS = 10, 10.0

#: Mailboxes that sync while keys are pressed, contacts of each, keys.
BUSY_USERS, BUSY_CONTACTS, KEYS = 50, 200, 60

#: Starts of a client that are measured.
STARTS = 11

#: Seconds between two looks at how far a sync is.
LOOK_SECONDS = 2.0

#: Seconds after which what does not come is not coming.
PATIENCE = 300.0

_OTHER_KINDS = ("leads", "appointments", "calls", "service-calls", "tasks", "opportunities", "cases")


@dataclass
class Engine:
    """A running ``syncline serve``."""

    process: subprocess.Popen[bytes]
    folder: Path
    env: dict[str, str]
    port: int = 0

    def ask(self, *words: str, patience: float = PATIENCE) -> Any:
        """A command that runs inside of it; its JSON."""
        done = subprocess.run(
            [sys.executable, "-m", "tui.cli", *words, "--json", "--data-dir", str(self.folder)],
            env=self.env, capture_output=True, check=False, timeout=patience,
        )  # fmt: skip
        try:
            return json.loads(done.stdout)
        except ValueError:
            told = done.stderr.decode(errors="replace") or "nothing was said"
            raise RuntimeError(
                f"{' '.join(words)}: exit code {done.returncode}, {len(done.stdout)} bytes; {told}"
            ) from None

    def cpu(self) -> float:
        """CPU seconds that it has used."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def serving(folder: Path, configuration: str = "", *, ssh: bool = False) -> Iterator[Engine]:
    """An engine on ``folder/data``, with a configuration; with ``ssh`` it takes the key ``folder/id``."""
    data = folder / "data"
    data.mkdir(mode=0o700, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="sl-") as runtime:
        env = {**os.environ, "XDG_RUNTIME_DIR": runtime, "TERM": "xterm-256color"}
        env.pop("RUNTIME_DIRECTORY", None)
        command = [sys.executable, "-m", "tui.cli"]
        if configuration:
            (folder / "acme.toml").write_text(configuration, encoding="utf-8")
            apply = [*command, "apply", str(folder / "acme.toml"), "--data-dir", str(data)]
            subprocess.run(apply, env=env, check=True, stdout=subprocess.DEVNULL)
        get, put = os.pipe()
        command += ["serve", "--data-dir", str(data), "--ready-fd", str(put)]
        if ssh:
            (data / "ssh").mkdir(mode=0o700, exist_ok=True)
            key = folder / "id"
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "alice", "-f", str(key)], check=True
            )
            shutil.copy(key.with_suffix(".pub"), data / "ssh" / "authorized_keys")
            (data / "ssh" / "authorized_keys").chmod(0o600)
            command += ["--ssh", "0"]
        process = subprocess.Popen(command, env=env, pass_fds=(put,))
        os.close(put)
        try:
            with os.fdopen(get) as told:
                ready = told.readline()
            if not ready.startswith("listening at "):
                raise RuntimeError(f"the engine did not start (exit code {process.wait()})")
            yield Engine(process, data, env, int(ready.rpartition("ssh at port ")[2] or 0) if ssh else 0)
        finally:
            process.terminate()
            process.wait(60)


@dataclass
class Client:
    """A console in a terminal of its own."""

    command: Sequence[str]
    env: dict[str, str]
    size: tuple[int, int] = (120, 40)
    seen: bytes = b""
    pid: int = field(init=False)

    def __post_init__(self) -> None:
        self.pid, self._fd = pty.fork()
        if self.pid == 0:
            os.execvpe(self.command[0], list(self.command), self.env)
        fcntl.ioctl(self._fd, termios.TIOCSWINSZ, struct.pack("HHHH", self.size[1], self.size[0], 0, 0))

    def press(self, keys: bytes) -> None:
        """Type, and forget what was seen before."""
        self.read(0)
        self.seen = b""
        os.write(self._fd, keys)

    def read(self, seconds: float) -> bool:
        """Read what is there, waiting so long for it; False when nothing came."""
        if not select.select([self._fd], [], [], seconds)[0]:
            return False
        with contextlib.suppress(OSError):
            self.seen += os.read(self._fd, 1 << 16)
        return True

    def until(self, pattern: bytes, seconds: float = PATIENCE) -> re.Match[bytes]:
        """Read until something was painted.

        Raises:
            TimeoutError: it was not.
        """
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = re.search(pattern, self.seen)
            if found:
                return found
            self.read(0.2)
        raise TimeoutError(f"{pattern!r} was not painted; last: {self.seen[-200:]!r}")

    def kill(self) -> None:
        """The connection is gone, without a word."""
        with contextlib.suppress(ProcessLookupError, ChildProcessError):
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self._fd)


def attached(engine: Engine) -> Client:
    """A client over the unix socket."""
    return Client([sys.executable, "-m", "tui.cli", "attach", "--data-dir", str(engine.folder)], engine.env)


def by_ssh(engine: Engine) -> Client:
    """The OpenSSH client."""
    options = [
        "IdentitiesOnly=yes",
        "IdentityAgent=none",
        "StrictHostKeyChecking=no",
        "UserKnownHostsFile=/dev/null",
    ]
    command = ["ssh", "-F", "none", "-tt", "-p", str(engine.port), "-i", str(engine.folder.parent / "id")]
    command += [word for option in (*options, "LogLevel=ERROR") for word in ("-o", option)]
    return Client([*command, "127.0.0.1"], engine.env)


def configuration(ready: Mapping[str, Any]) -> str:
    """One policy, switched on, of all users of a sandbox."""
    google, crm = ready["google"], ready["salesforce"]
    settings: dict[str, dict[str, Any]] = {
        "connections.crm": {
            "kind": "salesforce",
            "login_url": crm["base_url"],
            "client_id": crm["client_id"],
            "client_secret_file": crm["client_secret_file"],
            "api_version": crm["api_version"],
        },
        "connections.mail": {
            "kind": "google",
            "credentials_file": google["credentials_file"],
            "token_uri": google["token_uri"],
            **{f"{api}_url": google[f"{api}_url"] for api in google["batch_urls"]},
            **{f"{api}_batch_url": url for api, url in google["batch_urls"].items()},
            "people_lag_seconds": 0,
        },
        "policies.Sales": {"crm": "crm", "mailbox": "mail", "enabled": True},
    }
    lines: list[str] = []
    for name, values in settings.items():
        lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in values.items())]
    for user in ready["users"]:
        lines += ["[[users]]", f"email = {json.dumps(user['email'])}", 'policy = "Sales"']
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def first_sync(folder: Path, users: int, contacts: int, *, ssh: bool = False) -> Iterator[Engine]:
    """An engine that has begun the first sync of a company."""
    options = ["--users", str(users), "--contacts", str(users * contacts)]
    options += [word for kind in _OTHER_KINDS for word in (f"--{kind}", "0")]
    with sandbox(folder, *options) as ready, serving(folder, configuration(ready), ssh=ssh) as engine:
        yield engine


# -- make bench --------------------------------------------------------------------------------------------


def starts() -> tuple[float, float]:
    """Milliseconds of CPU of ``syncline attach`` until it knows that nobody listens, and of a Python that does nothing.

    What is loaded until the connect is all that a client ever loads.
    """
    with tempfile.TemporaryDirectory(prefix="sl-") as folder:
        attach = ["-m", "tui.entry", "attach", "--socket", f"{folder}/nobody"]
        pairs = [(_cpu_of(["-c", "pass"], 0), _cpu_of(attach, 3)) for _ in range(STARTS)]
    bare, whole = (statistics.median(column) for column in zip(*pairs, strict=True))
    return 1000 * whole, 1000 * bare


def _cpu_of(words: Sequence[str], code: int) -> float:
    """CPU seconds of a Python in a terminal of its own.

    Raises:
        RuntimeError: it ended with another exit code.
    """
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(sys.executable, [sys.executable, *words])
    with contextlib.suppress(OSError):
        while os.read(terminal, 1 << 16):
            pass
    _, state, used = os.wait4(pid, 0)
    os.close(terminal)
    if os.waitstatus_to_exitcode(state) != code:
        raise RuntimeError(f"python {' '.join(words)} ended with {os.waitstatus_to_exitcode(state)}")
    return used.ru_utime + used.ru_stime


def idle(folder: Path) -> float:
    """CPU of an engine with ten consoles on which nothing changes, in percent of a core, less that without them."""
    with serving(folder) as engine:
        time.sleep(2)
        before, begun = engine.cpu(), time.monotonic()
        time.sleep(IDLE_SECONDS)
        alone = (engine.cpu() - before) / (time.monotonic() - begun)
        clients = [attached(engine) for _ in range(IDLE)]
        try:
            for client in clients:
                client.until(rb"No policy yet")
            _drained(clients, 2)
            before, begun = engine.cpu(), time.monotonic()
            _drained(clients, IDLE_SECONDS)
            return 100 * ((engine.cpu() - before) / (time.monotonic() - begun) - alone)
        finally:
            for client in clients:
                client.kill()


def _drained(clients: Sequence[Client], seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for client in clients:
            client.read(0)
        time.sleep(0.1)


def keys(folder: Path) -> list[float]:
    """Milliseconds from a key to the painted cursor in the Queue, while 50 mailboxes sync."""
    found = []
    with first_sync(folder, BUSY_USERS, BUSY_CONTACTS) as engine:
        client = attached(engine)
        try:
            client.until(rb"Policies")
            client.press(b"2")
            client.until(rb"Mailbox")
            for number in range(KEYS):
                _drained([client], 0.15)
                client.press(b"k" if number % 2 else b"j")
                begun = time.perf_counter()
                client.until("►".encode(), 10)
                found.append((time.perf_counter() - begun) * 1000)
        finally:
            client.kill()
    return found


async def measure(folder: Path, users: int) -> list[Row]:
    """Consoles of a real engine: ten that are idle, and one whose keys are answered while 50 mailboxes sync."""
    (folder / "idle").mkdir()
    (folder / "keys").mkdir()
    attach, bare = starts()
    waits = sorted(keys(folder / "keys"))
    return [
        Row("console: CPU of syncline attach up to its connect, median", round(attach, 1), "ms", peer=60.0),
        Row("console: CPU of python -c pass, median", round(bare, 1), "ms"),
        Row("console: 10 idle sessions, CPU", round(idle(folder / "idle"), 2), "% of a core", peer=3.0),
        Row(
            "console: key to paint while 50 mailboxes sync, p50",
            round(statistics.median(waits), 1),
            "ms",
            peer=50.0,
        ),
        Row(
            "console: key to paint while 50 mailboxes sync, p95", round(waits[int(len(waits) * 0.95)], 1), "ms"
        ),
    ]


# -- a lost connection -------------------------------------------------------------------------------------


def written(engine: Engine) -> tuple[int, int]:
    """Items that stand in mailboxes, and mailboxes whose first sync has ended."""
    rows = engine.ask("users")["rows"]
    cycles = engine.ask("cycles", "--limit", "100000")["cycles"]
    return sum(sum(row["counts"].values()) for row in cycles), sum(
        row["last_success_ms"] is not None for row in rows
    )


def lose(folder: Path, users: int, contacts: int, told: Any = print) -> bool:
    """Lose the connection in the middle of a first sync, come back, wait for its end; whether all went on."""
    ssh = shutil.which("ssh") is not None
    if ssh:
        try:
            import asyncssh  # noqa: F401 - only whether it is there
        except ImportError:
            ssh = False
    with first_sync(folder, users, contacts, ssh=ssh) as engine:
        connect = by_ssh if ssh else attached
        told(f"{users} mailboxes of {contacts} contacts, over {'OpenSSH' if ssh else 'syncline attach'}")
        client = connect(engine)
        begun = time.monotonic()

        def say(text: str) -> None:
            told(f"{time.monotonic() - begun:6.1f} s, {engine.cpu():6.1f} s of CPU: {text}")

        def standing() -> tuple[int, int]:
            found = written(engine)
            say(f"{found[0]:,} items written, {found[1]} of {users} mailboxes done")
            return found

        client.until(rb"Policies")
        while (state := standing())[1] < max(1, users // 10):
            _drained([client], LOOK_SECONDS)
        if state[1] == users:
            raise RuntimeError(
                "the first sync had ended before the connection was lost; give it more --contacts"
            )
        client.kill()
        say("the connection is lost: its client was killed")
        while (later := standing()) == state:
            time.sleep(LOOK_SECONDS)
            if time.monotonic() - begun > 20 * PATIENCE:
                say("NOTHING WENT ON")
                return False
        back = connect(engine)
        back.until(rb"Policies")
        share = back.until(rb"first(?: sync)? +(\d+)%|\xe2\x9c\x93 (?:idle )?[\d,]+")
        say(f"back; the console shows {share[0].decode()!r}")
        while later[1] < users and time.monotonic() - begun < 20 * PATIENCE:
            _drained([back], LOOK_SECONDS)
            later = standing()
        back.kill()
        return later[1] == users and whole(engine, users, contacts, say)


def whole(engine: Engine, users: int, contacts: int, say: Callable[[str], None]) -> bool:
    """Whether nothing was lost and nothing doubled: every mailbox, read back from the provider, has what it should."""
    rows = engine.ask("verify", patience=20 * PATIENCE)["rows"]
    wrong = [row for row in rows if not row["ok"]]
    people = [row for row in rows if row["check"] == "contacts"]
    have, want = sum(row["have"] for row in people), sum(row["want"] for row in people)
    say(f"read back: {len(people)} mailboxes with {have:,} of {want:,} contacts; {len(wrong)} differences")
    for row in wrong[:5]:
        say(f"  {row['mailbox']} {row['check']}: {row['have']} of {row['want']}; {row['detail']}")
    return not wrong and len(people) == users and have == want and want > users * contacts // 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Lose a connection; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.attached", description=__doc__)
    parser.add_argument("--users", type=int, default=500, metavar="N")
    parser.add_argument("--contacts", type=int, default=20, metavar="N", help="of each mailbox (default 20)")
    given = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="syncline-lost-") as folder:
        ok = lose(Path(folder), given.users, given.contacts)
    print("the sync went on, and was found where it was" if ok else "THE SYNC DID NOT GO ON")
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
