"""The process is killed ten times during the first sync; what it leaves behind is no different from a calm day."""

from __future__ import annotations

import sqlite3
import time
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from random import Random
from typing import Any

import pytest

from tests.acceptance.conftest import Portraits
from tests.acceptance.engine_process import AheadClock, start
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    assert_like,
    assert_no_doubles,
    engine,
    town,
)

KILLS = 10

#: What counts the calls that reached the sandbox.
CALLS = {"google.http", "salesforce.GET query", "salesforce.GET queryAll", "salesforce.logins"}

#: A little way to the provider, so that there are moments in which a write is under way.
OPTIONS = ("--latency-ms", "15")


def kill_after(place: Town, process: ForkServerProcess, calls: int) -> bool:
    """Kill the process once it has made so many calls; False when it ended before."""

    def made() -> int:
        return sum(count for name, count in place.stats().items() if name in CALLS)

    wanted = made() + calls
    while process.is_alive():
        if made() >= wanted:
            process.kill()
            process.join()
            return True
        time.sleep(0.004)
    process.join()
    assert process.exitcode == 0
    return False


@pytest.mark.parametrize(("lag", "seed"), [(0, 1), (60, 2)])
async def test_ten_kills_leave_no_double_and_no_gap(
    tmp_path: Path, calm: Portraits, lag: int, seed: int
) -> None:
    """Killed at ten random moments of the first sync and started again each time."""
    dice = Random(seed)
    folder = tmp_path
    with town(folder, options=(*OPTIONS, "--people-lag", str(lag))) as place:
        config = place.config(policy="enabled = true", connection=f"people_lag_seconds = {lag}")
        (folder / "demo.toml").write_text(config, encoding="utf-8")
        killed = 0
        for _ in range(KILLS):
            killed += kill_after(place, start(folder), dice.randint(4, 22))
        assert killed >= KILLS - 2, "the first sync ended too early to be killed ten times"
        clock = AheadClock()
        report: dict[str, Any] = {}
        async with engine(folder, None, clock=clock) as service:
            for _ in range(4):
                report = await service.sync("Demo", "test")
                if not lag:
                    break
                # What was under way at a kill may be in the feed after its lag, and is looked for then.
                place.advance(lag + 1)
                clock.ahead_ms += (lag + 1) * 1000
            assert_idle(report)
            await assert_all_green(service)
            assert_no_doubles(place)
            assert_like(place, calm)
            place.reset()
            assert (await service.sync("Demo", "test"))["totals"]["writes"] == 0
            assert place.writes() == {}
        assert place.stats()["google.mails"] == 0
    with sqlite3.connect(folder / "data" / "ledger.sqlite") as ledger:
        assert ledger.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert ledger.execute(
            "SELECT count(*) FROM intent WHERE state IN ('in_flight', 'unknown')"
        ).fetchone() == (0,)
        assert ledger.execute("SELECT count(*) FROM dirty").fetchone() == (0,)
    ledger.close()
