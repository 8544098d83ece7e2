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
EDIT_KILLS = 6

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


async def test_kills_while_edits_of_both_sides_cross_over(tmp_path: Path) -> None:
    """People work on both sides, and the engine dies again and again while it carries their edits over."""
    dice = Random(3)
    with town(tmp_path, users=1, options=OPTIONS) as place:
        user = place.users[0]
        (tmp_path / "demo.toml").write_text(place.config(policy="enabled = true"), encoding="utf-8")
        async with engine(tmp_path, place.config(policy="enabled = true")) as service:
            assert_idle(await service.sync("Demo", "test"))
            assert_idle(await service.sync("Demo", "test"))
        group = place.groups(user)["CRM Contacts"]
        killed = 0
        made: list[str] = []
        wanted: dict[str, str] = {}
        for turn in range(EDIT_KILLS):
            for change in place.edit("mailbox", user, 3, seed=turn):
                wanted[f"mailbox {change['id']} {change['field']}"] = change["after"]
            made.append(f"Neu{turn}")
            place.google(user, "POST", "v1/people:createContact", json=_person(made[-1], group))
            place.crm(
                "POST", "sobjects/Contact", json={"LastName": f"Alt{turn}", "OwnerId": place.crm_user(user)}
            )
            row = place.soql("SELECT Id FROM Opportunity WHERE IsClosed = false ORDER BY Id")[0]
            place.change("Opportunity", row["Id"], Description=f"turn {turn}")
            killed += kill_after(place, start(tmp_path), dice.randint(8, 18))
        assert killed >= EDIT_KILLS // 2, "the cycles ended too early to be killed"
        async with engine(tmp_path, None) as service:
            for _ in range(3):
                report = await service.sync("Demo", "test")
            assert_idle(report)
            assert report["totals"]["writes"] == 0
            await assert_all_green(service)
        assert_no_doubles(place)
        rows = place.soql("SELECT LastName, Phone, Title FROM Contact")
        names = [row["LastName"] for row in rows]
        assert sorted(name for name in names if name.startswith("Neu")) == sorted(made)
        families = [one["names"][0].get("familyName") for one in place.contacts(user)]
        for turn in range(EDIT_KILLS):
            assert families.count(f"Neu{turn}") == families.count(f"Alt{turn}") == 1
        shown = {str(value) for row in rows for value in (row["Phone"], row["Title"])}
        people = {one["resourceName"]: str(one) for one in place.contacts(user)}
        for what, value in wanted.items():
            assert value in people[what.split()[1]], what
        contacts = {what: value for what, value in wanted.items() if "'c.003" in people[what.split()[1]]}
        assert set(contacts.values()) <= shown


def _person(family: str, group: str) -> dict[str, Any]:
    return {
        "names": [{"familyName": family}],
        "memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}}],
    }
