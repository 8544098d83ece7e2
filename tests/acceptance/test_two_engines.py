"""Two engines on one data directory: the second is told who is there; one that lost its lock writes nothing more."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

from tests.acceptance.engine_process import start
from tests.acceptance.town import Town, assert_all_green, assert_idle, assert_no_doubles, engine, town
from tui import cli, exits

SIZES = {
    "contacts": 30,
    "leads": 3,
    "appointments": 14,
    "calls": 2,
    "service_calls": 2,
    "tasks": 8,
    "opportunities": 3,
    "cases": 2,
}
HOLDER = r"another syncline works on \S+ \(pid {pid} on {host}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d UTC\)"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=SIZES, options=("--latency-ms", "4")) as running:
        yield running


def halt(place: Town, process: ForkServerProcess, calls: int, when: str) -> None:
    """Stop an engine (as ``kill -STOP`` or a suspended machine does) at its so-many-th write."""
    assert process.pid is not None
    place.sentence(process.pid, calls, when, sign=signal.SIGSTOP)
    deadline = time.monotonic() + 30
    while _state(process.pid) != "T":
        assert process.is_alive(), "it ended before"
        assert time.monotonic() < deadline, "it was never stopped"
        time.sleep(0.005)


def _state(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads process states from /proc")
class TestWhileAnotherEngineWorks:
    """The first engine is halted in the midst of its first sync, holding its lock."""

    def test_every_command_says_who_it_is_and_changes_nothing(
        self,
        place: Town,
        tmp_path: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(
            cli, "_BETWEEN", 0.2
        )  # an engine that is about to end is waited for; this one is not
        file = tmp_path / "demo.toml"
        file.write_text(place.config(policy="enabled = true"), encoding="utf-8")
        process = start(tmp_path)
        try:
            halt(place, process, 4, "done")
            ledger = tmp_path / "data" / "ledger.sqlite"
            before = [one.stat().st_mtime_ns for one in (ledger, ledger.with_name("ledger.sqlite-wal"))]
            place.reset()
            for words in (
                ["sync", "--once"],
                ["sync"],
                ["status"],
                ["status", "--json"],
                ["apply", str(file)],
                ["export"],
            ):
                code = cli.main([*words, "--data-dir", str(tmp_path / "data")])
                told = capsys.readouterr()
                assert code == exits.UNUSABLE, words
                assert re.search(HOLDER.format(pid=process.pid, host=os.uname().nodename), told.err), told.err
                assert told.out == ""
            assert place.stats()["google.http"] == 0
            assert [one.stat().st_mtime_ns for one in (ledger, ledger.with_name("ledger.sqlite-wal"))] == before
        finally:
            os.kill(process.pid or 0, signal.SIGCONT)
            process.join(60)
        assert process.exitcode == 0
        assert_idle(json.loads((tmp_path / "report.json").read_text(encoding="utf-8")))

        async def look() -> None:
            async with engine(tmp_path, None) as service:
                await assert_all_green(service)

        asyncio.run(look())
        assert_no_doubles(place)

    @pytest.mark.parametrize(("calls", "when"), [(2, "lost"), (5, "done"), (9, "lost"), (12, "done")])
    async def test_a_halted_engine_whose_lock_was_taken_writes_nothing_when_it_goes_on(
        self, place: Town, tmp_path: Path, calls: int, when: str
    ) -> None:
        """As an admin in panic does it: the lock file is removed, another engine is started and does the work.

        It is halted while it waits for an answer. Halted in the few microseconds between its last look at the lock and the
        system call that sends, it would still send that one request: no lease can prevent it, etags and markers make it good.
        """
        (tmp_path / "demo.toml").write_text(place.config(policy="enabled = true"), encoding="utf-8")
        process = start(tmp_path)
        try:
            halt(place, process, calls, when)
            (tmp_path / "data" / "ledger.lock").unlink()
            async with engine(tmp_path, None) as service:
                for _ in range(6):
                    report = await service.sync("Demo", "test")
                    if report["totals"]["writes"] == 0 and not any(user["text"] for user in report["users"]):
                        break
                assert_idle(report)
                assert report["totals"]["writes"] == 0
                place.reset()
                rows = _rows(tmp_path / "data" / "ledger.sqlite")
                os.kill(process.pid or 0, signal.SIGCONT)
                await asyncio.to_thread(process.join, 60)
                assert process.exitcode is not None
                assert place.writes() == {}
                assert place.stats()["google.http"] == 0, "it still called a provider"
                assert _rows(tmp_path / "data" / "ledger.sqlite") == rows
                assert_idle(await service.sync("Demo", "test"))
                await assert_all_green(service)
        finally:
            process.kill()
            process.join()
        assert_no_doubles(place)
        assert place.stats()["google.mails"] == 0


def _rows(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """Everything in the ledger that a cycle writes."""
    ledger = sqlite3.connect(path)
    try:
        names = ("scope", "link", "item", "intent", "journal", "dirty", "cycle")
        return {name: ledger.execute(f"SELECT * FROM {name}").fetchall() for name in names}
    finally:
        ledger.close()
