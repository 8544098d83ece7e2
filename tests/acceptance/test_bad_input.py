"""Wrong files, keys, servers and secrets: one clear message that names what and the remedy; nothing is changed."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.service import EnablePolicy, Service
from tests.acceptance.town import Town, assert_idle, engine, town
from tests.clocks import HastyClock

TINY = {
    "contacts": 4,
    "leads": 0,
    "appointments": 2,
    "calls": 0,
    "service_calls": 0,
    "tasks": 1,
    "opportunities": 1,
    "cases": 0,
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    with town(tmp_path_factory.mktemp("input"), users=1, sizes=TINY) as running:
        yield running


async def test_a_file_with_many_mistakes_is_refused_as_a_whole(place: Town, tmp_path: Path) -> None:
    """Every mistake is told at once, with field, value and what is allowed; the old configuration stays."""
    good = place.config()
    bad = place.config(
        policy="""
conflict = "loudest"
[policies.Demo.calendar]
past_days = -3
colour = "red"
[policies.Demo.scheduling]
zone = "Europe/Atlantis"
""",
        crm={"client_secret": "hunter2-very-secret"},
        connection="calendar_batch = 5000",
    )
    bad += '[[users]]\nemail = "not an address"\npolicy = "Nowhere"\n'
    async with engine(tmp_path, good) as service:
        before = await service.export()
        answer = await service.apply(bad, "bad.toml", "admin")
        assert not answer.ok
        assert "nothing was changed" in answer.text
        told = "\n".join(answer.details)
        for words in (
            "policies.Demo.conflict",
            "loudest",
            "policies.Demo.calendar.past_days",
            "policies.Demo.calendar.colour",
            "Europe/Atlantis",
            "connections.mail.calendar_batch",
            "5000",
            "connections.crm.client_secret",
            "not an address",
            "Nowhere",
        ):
            assert words in told, words
        assert "hunter2" not in told
        assert await service.export() == before
        assert not (await service.apply("[connections", "broken.toml", "admin")).ok


async def first_cycle(tmp_path: Path, config: str) -> tuple[Service, str]:
    """Enable the policy with that configuration; returns what the mailbox or the policy says is wrong."""
    async with engine(tmp_path, config, clock=HastyClock()) as service:
        await service.do(EnablePolicy("Demo"), "admin")
        report = await service.sync("Demo", "admin")
        [user] = report["users"]
        assert user["state"] == "failed"
        return service, " ".join((user["text"], service.store.policies["Demo"].fault))


def closed_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_a_missing_key_file_is_named(place: Town, tmp_path: Path) -> None:
    missing = tmp_path / "no-such-key.json"
    place.reset()
    _, said = await first_cycle(tmp_path, place.config(mail={"credentials_file": str(missing)}))
    assert "no-such-key.json" in said
    assert "credentials_file" in said
    assert place.writes() == {}


async def test_a_wrong_key_file_is_named_without_its_content(place: Town, tmp_path: Path) -> None:
    """A key of somebody else's, and a file that is no key at all."""
    wrong = tmp_path / "wrong.json"
    wrong.write_text('{"type": "authorized_user", "private_key": "hunter2"}', encoding="utf-8")
    place.reset()
    _, said = await first_cycle(tmp_path / "one", place.config(mail={"credentials_file": str(wrong)}))
    assert "wrong.json" in said
    assert "hunter2" not in said
    key = json.loads(Path(place.ready["google"]["credentials_file"]).read_text(encoding="utf-8"))
    stranger = tmp_path / "stranger.json"
    stranger.write_text(json.dumps({**key, "client_email": "stranger@other.example"}), encoding="utf-8")
    _, said = await first_cycle(tmp_path / "two", place.config(mail={"credentials_file": str(stranger)}))
    assert "Google sign-in" in said
    assert "PRIVATE KEY" not in said
    assert place.writes() == {}


async def test_a_wrong_client_secret_pauses_the_schedule(place: Town, tmp_path: Path) -> None:
    """The CRM refuses the login: the policy says so and waits for a person; with the right secret it goes on."""
    secret = tmp_path / "secret"
    secret.write_text("wrong", encoding="ascii")
    secret.chmod(0o600)
    config = place.config(crm={"client_secret_file": str(secret)}, policy="enabled = true")
    async with engine(tmp_path, config) as service:
        await service.sync("Demo", "admin")
        row = service.store.policies["Demo"]
        assert "Salesforce" in row.fault
        assert "secret" in row.fault
        assert row.next_full_ms is None
        assert "waits for you" in row.next_why
        assert (await service.apply(place.config(policy="enabled = true"), "demo.toml", "admin")).ok
        assert_idle(await service.sync("Demo", "admin"))
        assert service.store.policies["Demo"].fault == ""
        assert service.store.policies["Demo"].next_full_ms is not None


@pytest.mark.parametrize("side", ["crm", "mail"])
async def test_an_unreachable_server_is_named_and_tried_again(place: Town, tmp_path: Path, side: str) -> None:
    """Nobody listens at the address: host and port are told, and the engine comes back by itself."""
    port = closed_port()
    address = f"http://127.0.0.1:{port}"
    if side == "crm":
        config = place.config(crm={"login_url": address})
    else:
        config = place.config(
            mail={f"{api}_url": f"{address}/" for api in ("calendar", "people", "tasks", "gmail")}
        )
    place.reset()
    service, said = await first_cycle(tmp_path, config)
    assert f"127.0.0.1:{port}" in said or "127.0.0.1" in said
    assert "check" in said.lower()
    assert place.writes() == {}
    job = service.store.jobs["full:Demo"]
    assert job.next_run_ms is not None
    assert job.next_run_ms > service.clock.now_ms()
