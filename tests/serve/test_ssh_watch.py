"""The watch over ``authorized_keys``, in an engine in the test's own loop: a look that fails is told, and is not the last."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import UTC
from pathlib import Path

import pytest

from engine.service import Service
from tests.ledgers import begun
from tests.serve.console import until
from tui.serve.access import Access
from tui.serve.hall import hall
from tui.serve.manner import Manner

asyncssh = pytest.importorskip("asyncssh", reason="the extra syncline[ssh] is not installed")


async def test_a_file_of_keys_that_cannot_be_read_is_an_incident_and_sends_nobody_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    from tui.serve import ssh

    monkeypatch.setattr(ssh, "LOOK_SECONDS", 0.02)
    alice, bob = (asyncssh.generate_private_key("ssh-ed25519", comment=name) for name in ("alice", "bob"))
    data = begun(tmp_path / "data")
    path = data / "ssh" / ssh.ADMINS
    path.parent.mkdir(mode=0o700)
    text = {key: key.export_public_key().decode() for key in (alice, bob)}

    def write(*keys: asyncssh.SSHKey) -> None:
        path.write_text("".join(text[key] for key in keys))
        path.chmod(0o600)

    write(alice, bob)
    service = await Service.open(data)
    async with AsyncExitStack() as stack:
        stack.push_async_callback(service.close)
        guests = await stack.enter_async_context(hall(service, Manner(), Access()))
        port = await stack.enter_async_context(ssh.ssh_listening("0", data, service, guests, Manner(), UTC))

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
