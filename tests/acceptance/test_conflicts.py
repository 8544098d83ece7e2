"""A field that both sides changed, over real servers: it waits in the inbox, everything else flows, an admin decides."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Iterator
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger.schema import audit, journal
from engine.service import ConflictRow, DecideConflict, JobState, Keep, Service, ServiceError
from tests.acceptance.engine_process import start
from tests.acceptance.forks import fork
from tests.acceptance.town import Town, assert_idle, assert_no_doubles, engine, town
from tests.failure_cases.scene import record_of, settled
from tui import cli, exits

SIZES = {
    "contacts": 3,
    "leads": 0,
    "appointments": 0,
    "calls": 0,
    "service_calls": 0,
    "tasks": 0,
    "opportunities": 0,
    "cases": 0,
}
POLICY = 'enabled = true\n[policies.Demo.modules.contact]\nconflicts = { phone_work = "ask" }'
HERE, THERE = "+49 30 111111", "+49 30 222222"


def decide_and_die(folder: Path, value: str) -> None:
    """In a process of its own: type a value for all that waits, and die at once by SIGKILL."""

    async def work() -> None:
        service = await Service.open(folder / "data")
        rows = await service.conflicts()
        ids = tuple(row.id for row in rows)
        answer = await service.do(DecideConflict(rows[0].mailbox, ids, Keep.EDIT, value), "alice")
        assert answer.ok, answer
        os.kill(os.getpid(), signal.SIGKILL)

    asyncio.run(work())


def kill_after(place: Town, process: ForkServerProcess, calls: int) -> None:
    """Kill an engine once it has made so many calls."""

    def made() -> int:
        return sum(
            count for name, count in place.stats().items() if name.startswith(("google.", "salesforce."))
        )

    wanted = made() + calls
    while process.is_alive() and made() < wanted:
        time.sleep(0.004)
    process.kill()
    process.join()


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, users=1, sizes=SIZES, options=("--latency-ms", "5")) as running:
        yield running


def both_edit(place: Town) -> tuple[str, str]:
    """One contact's phone at work changed on both sides, and another field on each: (its record, its person)."""
    user = place.users[0]
    person = min(
        (one for one in place.contacts(user) if "'c.003" in str(one.get("clientData"))),
        key=record_of,
    )
    record = record_of(person)
    place.change("Contact", record, Phone=HERE, Department="Einkauf")
    others = [one for one in person.get("phoneNumbers", []) if one.get("type") != "work"]
    change(place, person["resourceName"], phoneNumbers=[*others, {"value": THERE, "type": "work"}])
    change(place, person["resourceName"], urls=[{"value": "https://new.example", "type": "work"}])
    return record, person["resourceName"]


def change(place: Town, resource: str, **fields: Any) -> None:
    """A person edits a contact in the mailbox."""
    user = place.users[0]
    body = {"etag": place.contact(user, resource)["etag"], **fields}
    place.google(
        user,
        "PATCH",
        f"v1/{resource}:updateContact",
        json=body,
        params={"updatePersonFields": ",".join(fields)},
    )


def phones(place: Town, record: str, resource: str) -> tuple[Any, set[Any]]:
    """The phone at work on both sides."""
    [row] = place.soql(f"SELECT Phone FROM Contact WHERE Id = '{record}'")
    found = place.contact(place.users[0], resource).get("phoneNumbers", [])
    return row["Phone"], {one["value"] for one in found if one.get("type") == "work"}


async def at_rest(service: Service) -> None:
    async with asyncio.timeout(20):
        while any(row.state is JobState.RUNNING for row in service.store.jobs.values()):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def the_conflict(place: Town, service: Service) -> tuple[str, str, ConflictRow]:
    """First sync, both sides edit, one cycle: (record, person, the row of the inbox)."""
    assert_idle(await service.sync("Demo", "admin"))
    assert_idle(await service.sync("Demo", "admin"))
    record, resource = both_edit(place)
    assert_idle(await service.sync("Demo", "admin"))
    [row] = await service.conflicts()
    return record, resource, row


async def test_a_conflict_waits_and_is_decided(place: Town, tmp_path: Path) -> None:
    user = place.users[0]
    async with engine(tmp_path, place.config(policy=POLICY)) as service:
        record, resource, row = await the_conflict(place, service)
        assert (row.mailbox, row.policy, row.module, row.field) == (user, "Demo", "contact", "phone_work")
        assert (row.label, row.crm, row.theirs) == ("phone at work", HERE, THERE)
        assert row.agreed not in ("", HERE, THERE)
        assert row.why == "both sides changed it"
        assert row.since_ms
        assert row.crm_ms
        assert row.mailbox_ms
        assert phones(place, record, resource) == (HERE, {THERE})
        assert str(place.contact(user, resource)).count("Einkauf") == 1, "the other fields flow"
        shown = (service.store.users[user].conflicts, service.store.policies["Demo"].conflicts)
        assert (*shown, service.store.engine.conflicts) == (1, 1, 1)
        assert await service.conflicts(user) == await service.conflicts(policy="Demo") == [row]
        place.reset()
        assert_idle(await service.sync("Demo", "admin"))
        assert place.writes() == {}, "an open conflict writes nothing"
        with pytest.raises(ServiceError, match="no user of any policy"):
            await service.conflicts("nobody@example.com")

        wrong = await service.do(DecideConflict(user, (row.id,), Keep.EDIT, "call me"), "alice")
        assert not wrong.ok
        assert "phone at work: 'call me' is no phone number; allowed: " in wrong.text
        unknown = await service.do(DecideConflict(user, (999,), Keep.CRM), "alice")
        assert (unknown.ok, "999 is no open conflict" in unknown.text) == (False, True)
        assert [one.decided for one in await service.conflicts()] == [""]

        assert len(service.what_happens(DecideConflict(user, (row.id,), Keep.CRM))) == 2
        answer = await service.do(DecideConflict(user, (row.id,), Keep.EDIT, "+49 30 333333"), "alice")
        assert answer.ok, answer
        assert "phone at work of " in answer.text
        assert "full sync" in answer.text
        await at_rest(service)
        assert phones(place, record, resource) == ("+49 30 333333", {"+49 30 333333"})
        assert await service.conflicts() == []
        assert service.store.users[user].conflicts == service.store.engine.conflicts == 0
        await settled(place, service)

        def told(connection: sa.Connection) -> tuple[Any, Any]:
            lost = connection.execute(sa.select(journal).where(journal.c.kind == "conflict")).all()
            audited = connection.execute(sa.select(audit).where(audit.c.command == "DecideConflict")).all()
            return lost, audited

        lost, audited = await service._ledger.read(told)
        assert {(one.side, one.before["phone_work"]["raw"], one.why) for one in lost} == {
            ("crm", HERE, "decided by alice"),
            ("mailbox", THERE, "decided by alice"),
        }
        assert [(one.actor, one.object) for one in audited] == [("alice", user)] * 3
        assert audited[-1].result == answer.text


async def test_a_kill_between_decision_and_cycle_and_in_the_cycle_changes_nothing(
    place: Town, tmp_path: Path
) -> None:
    config = place.config(policy=POLICY)
    (tmp_path / "demo.toml").write_text(config, encoding="utf-8")
    async with engine(tmp_path, config) as service:
        record, resource, _ = await the_conflict(place, service)
    died = fork(decide_and_die, tmp_path, "+49 30 333333")
    await asyncio.to_thread(died.join)
    assert died.exitcode == -signal.SIGKILL
    assert phones(place, record, resource) == (HERE, {THERE})
    for calls in (2, 4, 5, 6):
        await asyncio.to_thread(kill_after, place, start(tmp_path), calls)
    async with engine(tmp_path, None) as service:
        assert_idle(await service.sync("Demo", "admin"))
        assert phones(place, record, resource) == ("+49 30 333333", {"+49 30 333333"})
        assert await service.conflicts() == []
        await settled(place, service)
    assert_no_doubles(place)


async def test_the_command_line_lists_and_decides(
    place: Town, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with engine(tmp_path, place.config(policy=POLICY)) as service:
        record, resource, row = await the_conflict(place, service)

    async def syncline(*words: str) -> tuple[int, str, str]:
        code = await asyncio.to_thread(cli.main, ["--data-dir", str(tmp_path / "data"), *words])
        return code, *capsys.readouterr()

    code, out, _ = await syncline("conflicts")
    assert code == exits.OK
    for word in (str(row.id), row.mailbox, "phone at work", HERE, THERE, "both sides changed it"):
        assert word in out
    code, out, _ = await syncline("conflicts", row.mailbox, "--json")
    [found] = json.loads(out)["rows"]
    assert (found["crm"], found["theirs"], found["typed"]) == (HERE, THERE, THERE)
    code, _, err = await syncline("conflicts", "decide", str(row.id), "--value", "nobody knows")
    assert (code, "is no phone number" in err) == (exits.USAGE, True)
    code, out, _ = await syncline("conflicts", "decide", str(row.id), "999", "--keep", "mailbox")
    assert code == exits.FAULTS
    assert "phone at work of" in out
    assert "999 does not wait" in out
    assert "decided: the mailbox's value, by " in (await syncline("conflicts"))[1]
    async with engine(tmp_path, None) as service:
        assert_idle(await service.sync("Demo", "admin"))
    assert phones(place, record, resource) == (THERE, {THERE})
    assert "no conflict waits" in (await syncline("conflicts"))[1]
