"""Commands over a real engine in this process: messages, exit codes, nothing changed on error."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.service import Service
from tui import cli, exits

FILE = """
[connections.acme]
kind = "salesforce"
login_url = "http://127.0.0.1:9"
client_id = "app"
client_secret_file = "secret.txt"
[connections.workspace]
kind = "google"
credentials_file = "key.json"
[policies.Sales]
crm = "acme"
mailbox = "workspace"
[[users]]
email = "ann@acme.example"
policy = "Sales"
"""


@pytest.fixture(autouse=True)
def _umask() -> Iterator[None]:
    old = os.umask(0o022)
    yield
    os.umask(old)


class Line:
    """``syncline`` on a fresh data directory."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = folder / "data"
        self.file = folder / "acme.toml"
        self.file.write_text(FILE)
        self._capsys = capsys
        self.out = self.err = ""

    def __call__(self, *words: str) -> int:
        self._capsys.readouterr()
        code = cli.main([*words, "--data-dir", str(self.data)])
        self.out, self.err = self._capsys.readouterr()
        assert "Traceback" not in self.err
        return code


@pytest.fixture
def line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Line:
    return Line(tmp_path, capsys)


def test_a_file_is_applied_exported_and_applied_again(line: Line, tmp_path: Path) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert "1 policy" in line.out
    assert line("export") == exits.OK
    first = line.out
    assert f'client_secret_file = "{tmp_path}/secret.txt"' in first
    line.file.write_text(first)
    assert line("apply", str(line.file)) == exits.OK
    assert line("export") == exits.OK
    assert line.out == first


def test_all_faults_of_a_file_are_told_and_nothing_is_changed(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert line("export") == exits.OK
    before = line.out
    line.file.write_text(
        FILE + 'zone = "Mars"\n[policies.Other]\ncrm = "x"\nmailbox = "workspace"\ncolor = 1\n'
    )
    assert line("apply", str(line.file)) == exits.USAGE
    assert line.err.count("\n") == 4
    for told in (
        "3 errors, nothing was changed",
        "users[0].zone",
        "policies.Other.crm",
        "policies.Other.color",
    ):
        assert told in line.err
    assert line("export") == exits.OK
    assert line.out == before


def test_a_file_that_cannot_be_read_is_bad_input(line: Line, tmp_path: Path) -> None:
    assert line("apply", str(tmp_path / "none.toml")) == exits.USAGE
    assert "No such file" in line.err
    assert line("apply", str(tmp_path)) == exits.USAGE
    assert "Is a directory" in line.err
    line.file.write_bytes(b"\xff\xfe")
    assert line("apply", str(line.file)) == exits.USAGE
    assert "not UTF-8" in line.err
    assert not line.data.exists()


def test_the_data_directory_is_for_its_owner_alone(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert stat.S_IMODE(line.data.stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in line.data.iterdir()} == {0o600}


def test_before_anything_is_applied(line: Line) -> None:
    assert line("status") == exits.OK
    assert "no policy yet" in line.out
    assert line("status", "--json") == exits.OK
    assert json.loads(line.out)["policies"] == []
    for words in (["verify"], ["doctor"], ["sync", "--once"], ["sync"]):
        assert line(*words) == exits.USAGE
        assert len(line.err.splitlines()) == 1


def test_a_policy_must_be_there_and_on_to_sync(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert line("sync", "--once", "--policy", "Sale") == exits.USAGE
    assert "there is no policy 'Sale'; there are: Sales" in line.err
    assert line("sync", "--once", "--policy", "Sales") == exits.USAGE
    assert "is off" in line.err
    assert line("sync", "--policy", "Sales") == exits.USAGE
    assert "--policy needs --once" in line.err


def test_a_connection_that_cannot_be_used_is_code_4_with_advice(line: Line, tmp_path: Path) -> None:
    (tmp_path / "key.json").write_text('{"type": "authorized_user", "private_key": "s3cr3t-value"}')
    assert line("apply", str(line.file)) == exits.OK
    assert line("doctor", "--json") == exits.REFUSED
    found = json.loads(line.out)
    assert not found["ok"]
    assert {"connection", "check", "ok", "detail", "advice"} == set(found["rows"][0])
    assert {row["connection"] for row in found["rows"] if not row["ok"]} == {"acme", "workspace"}
    assert all(row["advice"] for row in found["rows"] if not row["ok"])
    assert "secret.txt" in line.out
    assert "key.json" in line.out
    assert "s3cr3t-value" not in line.out


def test_a_directory_in_use_is_code_3_and_names_the_process(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    monkeypatch.setattr("tui.cli._BETWEEN", 0.2)  # it may be an engine that is about to end

    async def meanwhile() -> int:
        service = await Service.open(line.data)
        try:
            return await asyncio.to_thread(line, "status")
        finally:
            await service.close()

    assert asyncio.run(meanwhile()) == exits.UNUSABLE
    assert f"pid {os.getpid()}" in line.err


def test_a_command_waits_for_an_engine_that_starts_or_stops(
    line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    import asyncio

    async def meanwhile() -> int:
        service = await Service.open(line.data)
        loop, looked = asyncio.get_running_loop(), asyncio.Event()

        def connect(folder: str) -> None:
            """Nobody listens: an engine that starts does not yet, one that stops no more."""
            looks.append(folder)
            if len(looks) == 2:
                loop.call_soon_threadsafe(looked.set)

        looks: list[str] = []
        monkeypatch.setattr("tui.ask.connect", connect)
        ended = asyncio.create_task(asyncio.to_thread(line, "users", "--json"))
        await looked.wait()  # it was refused the data directory, and looks again
        await service.close()
        return await ended

    assert asyncio.run(meanwhile()) == exits.OK
    assert line.out == '{"rows": []}\n'


def test_a_damaged_ledger_or_an_unusable_directory_is_code_3(line: Line, tmp_path: Path) -> None:
    line.data.mkdir()
    (line.data / "ledger.sqlite").write_bytes(b"no ledger" * 1000)
    assert line("status") == exits.UNUSABLE
    assert "ledger.sqlite" in line.err
    line.data = tmp_path / "acme.toml" / "data"
    assert line("status") == exits.UNUSABLE
    assert "--data-dir" in line.err


def test_the_app_needs_a_terminal(line: Line) -> None:
    assert line() == exits.USAGE
    assert "needs a terminal" in line.err


def test_a_fault_of_ours_is_one_line_and_a_file(line: Line, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken(_self: Service) -> None:
        raise ZeroDivisionError("some detail")

    monkeypatch.setattr(Service, "status", broken)
    assert line("status") == exits.UNUSABLE
    assert line.err.startswith("syncline: internal error (ZeroDivisionError)")
    assert "ZeroDivisionError: some detail" in (line.data / "fault.log").read_text()


def test_the_demo_touches_no_directory_that_is_not_its_own(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    before = sorted(each.name for each in line.data.iterdir())
    for words in (["demo", "--headless"], ["demo", "--headless", "--fresh"]):
        assert line(*words) == exits.USAGE
        assert "was not made by the demo" in line.err
    assert sorted(each.name for each in line.data.iterdir()) == before


def test_a_demo_made_with_other_options_is_not_mistaken(line: Line) -> None:
    line.data.mkdir()
    (line.data / "syncline-demo.json").write_text('{"users": 3}')
    assert line("demo", "--headless", "--users", "4") == exits.USAGE
    assert "users 3" in line.err
    assert "--fresh" in line.err
    (line.data / "syncline-demo.json").write_text("{")
    assert line("demo", "--headless") == exits.UNUSABLE
    assert "--fresh makes a new demo" in line.err
