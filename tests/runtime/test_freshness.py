"""Nothing stops in silence: who is not synced any more is counted, told, recorded, and said to be well again."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from engine.ledger.schema import audit
from engine.model.modules import Module
from engine.service import Service, UserState
from tests.clocks import AheadClock
from tests.ledgers import begun
from tests.sync.fakes import FakeCrm, FakeMail, VirtualClock
from tests.sync.world import A, B
from tui import cli, exits

MINUTE = 60_000

FILE = f"""
[connections.crm]
kind = "salesforce"
login_url = "http://127.0.0.1:9"
client_id = "app"
client_secret_file = "secret.txt"
[connections.mail]
kind = "google"
credentials_file = "key.json"
[policies.Sales]
crm = "crm"
mailbox = "mail"
enabled = true
[policies.Sales.modules.contact]
{{contact}}
[[users]]
email = "{A}"
policy = "Sales"
[[users]]
email = "{B}"
policy = "Sales"
"""


@asynccontextmanager
async def engine(folder: Path, clock: AheadClock, *, off: bool = False) -> AsyncIterator[Service]:
    """A running engine on fakes; with ``off`` every module of the policy is off."""
    service = await Service.open(begun(folder / "data"), clock=clock)
    text = FILE.replace("{contact}", "enabled = true")
    if off:
        names = [f"[policies.Sales.modules.{module.value}]\nenabled = false" for module in Module]
        text = FILE.replace("[policies.Sales.modules.contact]\n{contact}", "\n".join(names))
    try:
        answer = await service.apply(text, "sales.toml", "test")
        assert answer.ok, answer
        virtual = VirtualClock()
        crm, mail = FakeCrm(virtual, [A, B]), FakeMail(virtual)
        crm.usage = mail.usage = lambda: []  # type: ignore[attr-defined, method-assign]
        service._office._crm["crm"] = crm  # type: ignore[assignment]
        service._office._mailbox["mail"] = mail  # type: ignore[assignment]
        async with service.running():
            yield service
    finally:
        await service.close()


async def look(service: Service) -> None:
    """What the engine does by itself every half a minute."""
    service._stale += service._watch.look()
    await service._flush()


async def recorded(service: Service) -> list[tuple[str, str]]:
    def read(connection: sa.Connection) -> list[tuple[str, str]]:
        rows = connection.execute(sa.select(audit).where(audit.c.command == "Stale").order_by(audit.c.id))
        return [(row.object, row.result) for row in rows]

    return await service._ledger.read(read)


async def test_a_schedule_that_silently_stops_is_alarmed_and_its_end_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await service.sync("Sales", "admin")
        assert {row.state for row in service.store.users.values()} == {UserState.IDLE}
        monkeypatch.setattr(
            service._timekeeper, "_tick", lambda: None
        )  # its clock stands still, and nobody sees it
        clock.ahead_ms += 40 * MINUTE
        await look(service)
        assert service.store.engine.stale == 0
        clock.ahead_ms += 40 * MINUTE * 60  # a day later at the least, whatever the day of the week
        await look(service)
        store = service.store
        assert {row.state for row in store.users.values()} == {UserState.STALE}
        assert store.engine.stale == store.policies["Sales"].stale == 2
        assert store.engine.states[UserState.STALE] == 2
        assert f"{A} and 1 more: no cycle has ended well for three intervals" in store.engine.message
        line = store.lines[A][-1]
        assert (line.sign, line.level) == ("!", 3)
        assert "stale: no cycle has ended well since" in line.text
        found = await recorded(service)
        assert [mailbox for mailbox, _ in found] == [A, B]
        assert "The next full sync is due now" in found[0][1]
        status = await service.status()
        assert status["stale"] == [A, B]
        assert status["policies"][0]["stale"] == 2
        assert all(user["stale_since"] for user in status["users"])
        json.dumps(status)
        await look(service)
        assert len(await recorded(service)) == 2  # once an incident, not once a look

        await service.sync("Sales", "admin")
        await look(service)
        assert {row.state for row in store.users.values()} == {UserState.IDLE}
        assert store.engine.stale == store.policies["Sales"].stale == 0
        assert store.lines[A][-1].text == "fresh again: a cycle has ended well"
        assert (await service.status())["stale"] == []


async def test_cycles_that_skip_every_step_are_no_success(tmp_path: Path) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await service.sync("Sales", "admin")
    async with engine(tmp_path, clock, off=True) as service:
        row = service.store.users[A]
        last = row.last_success_ms
        clock.ahead_ms += 60 * MINUTE
        await service.sync("Sales", "admin")
        assert row.state is UserState.IDLE
        assert row.last_success_ms == last
        assert (
            "ended without reading the mailbox: every step of the policy was skipped"
            in [line.text for line in service.store.lines[A]][-1]
        )
        clock.ahead_ms += 40 * MINUTE * 60
        await service.sync("Sales", "admin")
        await look(service)
        assert row.state is UserState.STALE
        assert service.store.engine.stale == 2


async def test_an_engine_that_was_away_gets_one_interval_before_it_alarms(tmp_path: Path) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await service.sync("Sales", "admin")
    clock.ahead_ms += 40 * MINUTE * 60
    async with engine(tmp_path, clock) as service:
        for job in service.store.jobs.values():
            job.next_run_ms = None
        await look(service)
        assert await recorded(service) == []


def test_status_tells_who_is_stale_and_leaves_with_a_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import asyncio

    async def once() -> None:
        async with engine(tmp_path, AheadClock(-40 * MINUTE * 60)) as service:
            await service.sync("Sales", "admin")

    asyncio.run(once())
    capsys.readouterr()
    assert cli.main(["status", "--data-dir", str(tmp_path / "data")]) == exits.FAULTS
    assert "stale since" in capsys.readouterr().out
    assert cli.main(["status", "--json", "--data-dir", str(tmp_path / "data")]) == exits.FAULTS
    assert json.loads(capsys.readouterr().out)["stale"] == [A, B]
    assert cli.main(["why", A, "--data-dir", str(tmp_path / "data")]) == exits.OK
    assert "No cycle has ended well for three intervals" in capsys.readouterr().out
