"""A roll-out over real sockets: a first wave that fares badly touches no other mailbox."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.service import EnablePolicy, Move, RollOut, SyncNow
from tests.acceptance.town import Town, assert_all_green, assert_no_doubles, engine, everything, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import TINY, until_quiet
from tui import cli, exits

WAVES = 'enabled = {on}\n[policies.Demo.rollout]\nwaves = [1, "all"]\n'
ON = WAVES.format(on="true")


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=3, sizes=TINY) as running:
        yield running


def all_of(place: Town) -> dict[str, dict[str, str]]:
    """Everything in every mailbox, byte for byte."""
    return {user: everything(place, user) for user in place.users}


@pytest.mark.parametrize("trouble", ["permission", "mapping"])
async def test_a_bad_first_wave_stops_and_the_other_mailboxes_stay_as_they_are(
    place: Town, tmp_path: Path, trouble: str
) -> None:
    first, *others = sorted(place.users)
    before = all_of(place)
    if trouble == "permission":
        body = {
            "error": {
                "code": 403,
                "status": "PERMISSION_DENIED",
                "message": "The caller does not have permission",
            }
        }
        place.fault({"route": r"connections\.list$", "status": 403, "body": body, "times": 99})
    else:
        place.fault({"route": r"batchCreateContacts$", "status": 400, "times": 99})
        place.fault({"route": r"people\.createContact$", "status": 400, "times": 99})
    async with engine(tmp_path, place.config(policy=ON), clock=HastyClock()) as service:
        for _ in range(4):
            await service.sync("Demo", "admin")
        row = service.store.policies["Demo"]
        assert row.rollout.startswith("stopped at wave 1 of 2: "), row.rollout
        assert (await service.status())["policies"][0]["rollout_stage"] == "stopped"
        stops = [one for one in service.store.incidents.values() if one.kind == "rollout"]
        assert [(one.subject, one.count, one.text) for one in stops] == [("Demo", 1, row.rollout)]
        assert stops[0].due_ms == stops[0].first_ms + 60_000
        assert any("the roll-out stopped" in line.text for line in service.store.lines[first])
        for user in others:
            assert service.store.users[user].why.startswith("waits for wave 2 of 2")
            assert not (await service.do(SyncNow(user), "admin")).ok
    place.mend()
    after = all_of(place)
    assert {user: after[user] for user in others} == {user: before[user] for user in others}
    async with engine(tmp_path, None, clock=HastyClock()) as service:  # after a restart it still stands
        await service.sync("Demo", "admin")
        assert service.store.policies["Demo"].rollout_stage == "stopped"
        [stop] = [one for one in service.store.incidents.values() if one.kind == "rollout"]
        assert (stop.live, stop.count) == (True, 1)
        assert everything(place, others[0]) == before[others[0]]
        answer = await service.do(RollOut("Demo", Move.ALL), "admin")
        assert answer.ok, answer
        assert stop.state == "healed"
        await until_quiet(place, service, 12)
        await assert_all_green(service)
    assert_no_doubles(place)


async def test_a_good_wave_waits_for_the_command_line(
    place: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, *others = sorted(place.users)

    async with engine(tmp_path, place.config(policy=WAVES.format(on="false"))) as service:
        told = service.what_happens(EnablePolicy("Demo"))
        assert f"Roll-out in 2 waves: 1, then 2. First {first}." in told
        assert (await service.do(EnablePolicy("Demo"), "admin")).ok
        await service.sync("Demo", "admin")
        report = await service.rollout("Demo")
        assert report.stage == "asks"
        assert "wave 2 of 2 waits for you" in report.text
        assert [(row.state, row.mailboxes) for row in report.waves] == [
            ("admitted", (first,)),
            ("waits", tuple(others)),
        ]
        read_back = await service.verify_report("Demo")
        assert {row.mailbox for row in read_back} == {first}, "the wave was read back, and the screens show it"
        assert all(row.ok for row in read_back)
        assert not place.contacts(others[0]) or "syncline" not in str(place.contacts(others[0]))

    def line(*words: str) -> tuple[int, str]:
        code = cli.main([*words, "--data-dir", str(tmp_path / "data")])
        return code, capsys.readouterr().out

    code, out = await asyncio.to_thread(line, "rollout", "Demo", "--json")
    assert (code, json.loads(out)["stage"]) == (exits.OK, "asks")
    code, out = await asyncio.to_thread(line, "rollout", "Demo", "next")
    assert code == exits.OK
    assert "wave 2 of 2 runs" in out
    assert f"wave 2  admitted  2 mailboxes: {', '.join(others)}" in out
    assert (await asyncio.to_thread(line, "rollout", "Nobody"))[0] == exits.USAGE
    async with engine(tmp_path, None) as service:
        await until_quiet(place, service)
        assert (await service.rollout("Demo")).stage == ""
        await assert_all_green(service)
    assert_no_doubles(place)
