"""An admin loses the connection in the middle of a first sync: it goes on, and who returns sees it where it is."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_demo import Terminal, alive, end_engine, run, wait_for
from tui import exits

COMPANY = [
    *("--users", "2", "--contacts", "60", "--leads", "5", "--appointments", "20", "--calls", "2"),
    *("--service-calls", "2", "--tasks", "5", "--opportunities", "2", "--cases", "2"),
]


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    yield tmp_path / "data"
    end_engine(tmp_path / "data")


def test_the_first_sync_goes_on_and_the_end_of_the_engine_is_told(folder: Path) -> None:
    ann = Terminal("demo", *COMPANY, "--data-dir", str(folder))
    back = None
    try:
        ann.until("Acme Sales")
        ann.press("o")
        ann.until("Guests get no mail.")
        ann.press("y")
        ann.until("Queue")
        os.kill(ann.pid, signal.SIGKILL)
        assert ann.ended() == -signal.SIGKILL

        back = Terminal("demo", "--data-dir", str(folder))
        back.until("Acme Sales")
        back.press('"')
        back.until("EnablePolicy")  # who, and what, is on record
        back.press("\x1b[27u")
        wait_for(
            lambda: all(
                user["state"] == "idle"
                for user in json.loads(run(folder, "status", "--json").stdout)["users"][:2]
            )
        )
        engine = int((folder / "ledger.lock").read_text().split()[1])
        os.kill(engine, signal.SIGTERM)
        back.until("the engine was stopped (SIGTERM)")
        assert back.ended() == exits.OK
        wait_for(lambda: not alive(engine))
        assert (folder / "syncline.log").read_text() == ""
    finally:
        ann.close()
        if back is not None:
            back.close()
