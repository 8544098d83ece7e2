"""An engine of one's own in a process, as ``syncline serve`` starts it, and command lines that come to it."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.ledgers import begun

#: Seconds; a shared machine may be slow.
PATIENCE = 60.0


def syncline(*words: str) -> list[str]:
    return [sys.executable, "-m", "tui.cli", *words]


@dataclass
class Engine:
    """A running engine.

    Attributes:
        process: of it.
        folder: its data directory.
        env: with which a client finds it.
        socket: where it listens.
        ssh_port: where it listens for SSH; 0 when it does not.
    """

    process: subprocess.Popen[str]
    folder: Path
    env: dict[str, str]
    socket: Path
    ssh_port: int = 0

    def run(
        self, *words: str, cwd: Path | None = None, given: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """A command line that comes to it."""
        return subprocess.run(
            syncline(*words, "--data-dir", str(self.folder)),
            capture_output=True,
            text=True,
            input=given,
            timeout=PATIENCE,
            check=False,
            env=self.env,
            cwd=cwd,
        )

    def stop(self) -> int:
        """End it as systemd does; its exit code."""
        self.process.terminate()
        return self.process.wait(PATIENCE)


@contextmanager
def serving(folder: Path, *words: str, python: str = sys.executable) -> Iterator[Engine]:
    """An engine that listens already, on a data directory below ``folder``; it has ended afterwards."""
    with tempfile.TemporaryDirectory(prefix="sl-") as runtime:  # short: a socket's path has 107 bytes
        env = {**os.environ, "XDG_RUNTIME_DIR": runtime, "PYTHONPATH": os.getcwd()}
        env.pop("RUNTIME_DIRECTORY", None)
        data = begun(folder / "data")
        get, put = os.pipe()
        process = subprocess.Popen(
            [python, *syncline("serve", "--data-dir", str(data), "--ready-fd", str(put), *words)[1:]],
            env=env,
            pass_fds=(put,),
            text=True,
            stderr=subprocess.PIPE,
        )
        os.close(put)
        try:
            with os.fdopen(get) as told:
                line = told.readline()  # ends with the process at the latest
            if not line.startswith("listening at "):
                process.wait(PATIENCE)
                assert process.stderr is not None
                raise AssertionError(process.stderr.read())
            path, _, port = line.removeprefix("listening at ").strip().partition(", ssh at port ")
            yield Engine(process, data, env, Path(path), int(port or 0))
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()
            if process.stderr is not None:
                process.stderr.close()
