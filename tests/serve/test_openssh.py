"""Admins as most of them come: the real OpenSSH client, the host's own sshd, and ``ForceCommand syncline attach``."""

from __future__ import annotations

import os
import pwd
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.serve.console import Client, Place, place, until
from tui import exits

SSHD = shutil.which("sshd", path="/usr/sbin:/usr/local/sbin:/usr/bin")
SSH = shutil.which("ssh")

pytestmark = pytest.mark.skipif(
    not (SSHD and SSH and shutil.which("ssh-keygen")) or os.getuid() != 0,
    reason="needs sshd, ssh, and a user who may run a server of his own",
)


@dataclass
class Host:
    """An sshd on the loopback interface, with a folder for its keys."""

    folder: Path
    port: int

    def words(self) -> list[str]:
        user = pwd.getpwuid(os.getuid()).pw_name
        assert SSH is not None
        options = (
            "StrictHostKeyChecking=no",
            "UserKnownHostsFile=/dev/null",
            "LogLevel=ERROR",
            "IdentitiesOnly=yes",
        )
        return [
            SSH,
            *("-F", "/dev/null", "-tt", "-i", str(self.folder / "key"), "-p", str(self.port)),
            *(part for option in options for part in ("-o", option)),
            f"{user}@127.0.0.1",
        ]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    for name in ("key", "host"):
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / name)], check=True, timeout=30
        )
    (tmp_path / "authorized").write_text((tmp_path / "key.pub").read_text())
    os.makedirs("/run/sshd", exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = Path(__file__).parents[2]
    script = tmp_path / "attach"
    script.write_text(
        f"#!/bin/sh\ncd {root}\nexec {sys.executable} -m tui.entry attach --socket $(cat {tmp_path}/socket)\n"
    )
    script.chmod(0o755)
    config = tmp_path / "sshd_config"
    config.write_text(
        f"ListenAddress 127.0.0.1\nPort {port}\nHostKey {tmp_path}/host\nAuthorizedKeysFile {tmp_path}/authorized\n"
        "StrictModes no\nUsePAM no\nPasswordAuthentication no\nPidFile none\nPermitRootLogin yes\n"
        f"ForceCommand {script}\n"
    )
    assert SSHD is not None
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen([SSHD, "-D", "-e", "-f", str(config)], stderr=log)
    try:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert process.poll() is None, (tmp_path / "log").read_text()
        yield Host(tmp_path, port)
    finally:
        process.terminate()
        process.wait(30)


def came(at: Place, host: Host, size: tuple[int, int]) -> Client:
    (host.folder / "socket").write_text(at.path)
    return at.attach(size, words=host.words())


async def test_two_admins_over_ssh_one_of_whom_is_lost(host: Host) -> None:
    async with place() as at:
        ann = came(at, host, (100, 30))
        await ann.sees("[1 Policies]")
        bob = came(at, host, (140, 40))
        await bob.sees("[1 Policies]")
        assert {row.origin for row in at.service.store.sessions.values()} == {"ssh 127.0.0.1"}
        bob.press("2")
        await bob.sees("[2 Queue]")
        bob.resize(70, 20)
        await bob.sees("needs 80x24, has 70x20")
        ann.kill(9)  # the connection is cut, as by a laptop that is shut
        await until(lambda: len(at.service.store.sessions) == 1)
        bob.resize(140, 40)
        bob.press("4")
        await bob.sees("[4 Job Scheduler]")
        bob.press("q")
        assert await bob.ended() == exits.OK
        assert b"\x1b[?1049l" in bob.seen
