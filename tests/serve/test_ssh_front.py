"""The SSH front of an engine in the test's own loop: which files of keys it takes, and the watch over them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext
from datetime import UTC
from pathlib import Path

import pytest

from engine.service import Service
from tests.ledgers import begun
from tests.serve.console import until
from tui import exits
from tui.exits import Trouble
from tui.serve.access import Access
from tui.serve.hall import hall
from tui.serve.manner import Manner

asyncssh = pytest.importorskip("asyncssh", reason="the extra syncline[ssh] is not installed")
ssh = pytest.importorskip("tui.serve.ssh")


def write_keys(data: Path, text: str, mode: int = 0o600) -> None:
    path = data / ssh.FOLDER / ssh.ADMINS
    path.parent.mkdir(mode=0o700, exist_ok=True)
    path.write_text(text)
    path.chmod(mode)


@asynccontextmanager
async def front(data: Path) -> AsyncIterator[tuple[Service, int]]:
    """An engine that listens over SSH, and its port."""
    service = await Service.open(data)
    try:
        async with (
            hall(service, Manner(), Access()) as guests,
            ssh.ssh_listening("0", data, service, guests, Manner(), UTC) as port,
        ):
            yield service, port
    finally:
        await service.close()


async def test_a_file_of_keys_that_cannot_be_read_is_an_incident_and_sends_nobody_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(ssh, "LOOK_SECONDS", 0.02)
    alice, bob = (asyncssh.generate_private_key("ssh-ed25519", comment=name) for name in ("alice", "bob"))
    data = begun(tmp_path / "data")
    path = data / "ssh" / ssh.ADMINS
    text = {key: key.export_public_key().decode() for key in (alice, bob)}

    def write(*keys: asyncssh.SSHKey) -> None:
        write_keys(data, "".join(text[key] for key in keys))

    write(alice, bob)
    async with AsyncExitStack() as stack:
        service, port = await stack.enter_async_context(front(data))

        def login(key: asyncssh.SSHKey) -> asyncssh.SSHClientConnection:
            return asyncssh.connect(
                "127.0.0.1",
                port,
                username="x",
                client_keys=[key],
                known_hosts=None,
                agent_path=None,
                config=None,
            )

        async def told(words: str) -> None:
            await until(lambda: any(words in one["text"] for one in service.incidents()), caplog.text.__str__)
            [one] = service.incidents()
            assert (one["kind"], one["subject"], one["state"]) == ("login", "ssh", "open")
            assert "Mend the file" in one["advice"]
            assert str(path) in one["text"]
            assert words in caplog.text

        first = await stack.enter_async_context(login(alice))
        second = await stack.enter_async_context(login(bob))

        path.rename(path.with_name("aside"))
        path.mkdir()
        await told("Is a directory")
        with pytest.raises(asyncssh.PermissionDenied):
            await login(bob)
        path.rmdir()
        path.with_name("aside").rename(path)
        await until(lambda: service.incidents() == [])

        path.chmod(0o622)
        await told("can be changed by others")
        path.chmod(0o600)
        await until(lambda: service.incidents() == [])
        assert not first.is_closed()
        assert not second.is_closed()
        assert [one["state"] for one in service.incidents(closed=True)] == ["healed", "healed"]

        write(bob)  # the watch goes on
        await first.wait_closed()
        assert not second.is_closed()
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize(
    ("mode", "text", "told"),
    [
        (0o600, "", "names nobody"),
        (0o600, 'from="10.0.0.0/8" {key}', "names nobody"),
        (0o600, "{key}", ""),
        (0o622, "{key}", "can be changed by others"),
    ],
)
async def test_a_file_of_keys_that_cannot_be_trusted_is_not_used(
    tmp_path: Path, mode: int, text: str, told: str
) -> None:
    key = asyncssh.generate_private_key("ssh-ed25519", comment="alice")
    data = begun(tmp_path / "data")
    write_keys(data, text.format(key=key.export_public_key().decode()), mode)
    refused = pytest.raises(Trouble, match=told) if told else nullcontext()
    with refused as why:
        async with front(data):
            pass
    assert not told or why.value.code == exits.UNUSABLE
