"""The service as admins meet it: commands with their effects and audit rows, stops, retries, schedules."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger.schema import audit
from engine.service import (
    CancelUser,
    DisableJob,
    DisablePolicy,
    EnableJob,
    EnablePolicy,
    EngineBusy,
    JobState,
    PauseUser,
    PolicyState,
    ResumeUser,
    RunJob,
    Service,
    StopJob,
    SyncNow,
    TestPolicy,
    UserState,
    VerifyPolicy,
)
from tests.acceptance.town import (
    Town,
    assert_all_green,
    assert_idle,
    assert_no_doubles,
    committed,
    engine,
    town,
)
from tests.clocks import AheadClock, HastyClock

TINY = {
    "contacts": 8,
    "leads": 2,
    "appointments": 6,
    "calls": 2,
    "service_calls": 0,
    "tasks": 2,
    "opportunities": 2,
    "cases": 2,
}

FULL = "full:Demo"
VERIFY = "verify:Demo"

#: The drop-label check has a schedule of its own, which a test of the full sync leaves out.
POLICY_WITHOUT_FILING = "enabled = true\nmail = { enabled = false }"


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Town]:
    with town(tmp_path, sizes=TINY) as running:
        yield running


async def until(true: Callable[[], Any], seconds: float = 20) -> None:
    """Wait until something can be seen in the store."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - the store is pulled, as screens do
            await asyncio.sleep(0.01)


async def at_rest(service: Service) -> None:
    """Wait until no job runs."""
    await until(lambda: all(row.state is not JobState.RUNNING for row in service.store.jobs.values()))


def states(service: Service) -> set[UserState]:
    return {row.state for row in service.store.users.values()}


async def audited(service: Service) -> list[tuple[str, str, str]]:
    """The audit log: who, which command, on what."""

    def read(connection: sa.Connection) -> list[tuple[str, str, str]]:
        rows = connection.execute(sa.select(audit).order_by(audit.c.id))
        return [(row.actor, row.command, row.object) for row in rows]

    return await service._ledger.read(read)


async def test_every_command_has_its_effect_and_its_audit_row(place: Town, tmp_path: Path) -> None:
    """One admin's morning, command by command."""
    ann, juan = place.users
    async with engine(tmp_path, place.config()) as service:
        store = service.store
        asked: list[tuple[str, str, str]] = [("test", "apply", "demo.toml")]

        async def do(command: Any) -> Any:
            asked.append(("alice", type(command).__name__, next(iter(command.__getstate__()))))
            return await service.do(command, "alice")

        tested = await do(TestPolicy("Demo"))
        assert tested.ok, tested
        assert all(line.startswith("✓") for line in tested.details)

        refused = await do(SyncNow(policy="Demo"))
        assert not refused.ok
        assert "off" in refused.text
        asked[-1] = ("alice", "SyncNow", "")

        assert any("First sync of Demo" in line for line in service.what_happens(EnablePolicy("Demo")))
        assert (await do(EnablePolicy("Demo"))).ok
        assert store.policies["Demo"].state is PolicyState.ENABLED
        await until(lambda: states(service) == {UserState.IDLE})
        await at_rest(service)
        first = store.jobs[FULL].last
        assert first is not None
        assert first.result == "ok"
        again = await do(EnablePolicy("Demo"))
        assert not again.ok
        assert "already on" in again.text

        assert (await do(PauseUser(ann))).ok
        assert store.users[ann].state is UserState.PAUSED
        assert "alice" in store.users[ann].why
        assert not (await do(SyncNow(mailbox=ann))).ok
        [change] = place.edit("crm", ann)
        await service.sync("Demo", "bob")
        asked.append(("bob", "sync", "Demo"))
        assert store.users[ann].state is UserState.PAUSED
        assert change["after"] not in str(place.contacts(ann))
        assert (await do(ResumeUser(ann))).ok
        await until(lambda: store.users[ann].state is UserState.IDLE)
        await at_rest(service)
        assert change["after"] in str(place.contacts(ann))
        assert not (await do(ResumeUser(ann))).ok

        assert (await do(SyncNow(mailbox=juan))).ok
        await at_rest(service)
        assert not (await do(CancelUser(juan))).ok

        assert (await do(VerifyPolicy("Demo"))).ok
        await at_rest(service)
        report = await service.verify_report("Demo")
        assert report
        assert all(row.ok for row in report)

        assert (await do(EnableJob(VERIFY))).ok
        assert store.jobs[VERIFY].next_run_ms is not None
        assert (await do(DisableJob(FULL))).ok
        assert (store.jobs[FULL].state, store.jobs[FULL].next_run_ms) == (JobState.DISABLED, None)
        assert (await do(EnableJob(FULL))).ok
        assert store.jobs[FULL].next_run_ms is not None
        assert (await do(RunJob("upkeep"))).ok
        await at_rest(service)
        assert [run.result for run in await service.runs("upkeep")] == ["ok"]
        assert not (await do(StopJob(FULL))).ok

        assert (await do(DisablePolicy("Demo"))).ok
        assert states(service) == {UserState.DISABLED}
        assert store.jobs[FULL].next_run_ms is None
        missing = await do(PauseUser("nobody@x.example"))
        assert not missing.ok
        assert "nobody@x.example" in missing.text

        assert await audited(service) == asked


async def test_a_command_to_an_engine_that_does_not_run_is_refused(place: Town, tmp_path: Path) -> None:
    service = await Service.open(tmp_path / "data")
    assert not (await service.do(EnablePolicy("Demo"), "alice")).ok
    await service.close()


async def test_a_first_sync_stopped_by_an_admin_goes_on_where_it_was(place: Town, tmp_path: Path) -> None:
    """Stop at the next page; run again; everything is there once."""
    place.fault({"route": "batch", "kind": "latency", "seconds": 0.3, "times": None})
    async with engine(tmp_path, place.config()) as service:
        assert (await service.do(EnablePolicy("Demo"), "alice")).ok
        await until(lambda: any(row.counts for row in service.store.users.values()))
        stopped = await service.do(StopJob(FULL), "alice")
        assert stopped.ok
        await at_rest(service)
        await until(lambda: not service._timekeeper.running(FULL))
        run = service.store.jobs[FULL].last
        assert run is not None
        assert run.result == "stopped"
        assert UserState.QUEUED in states(service)
        place.mend()
        assert (await service.do(RunJob(FULL), "alice")).ok
        await until(lambda: states(service) == {UserState.IDLE})
        await at_rest(service)
        assert_no_doubles(place)
        await assert_all_green(service)


async def test_a_cancelled_mailbox_stops_alone(place: Town, tmp_path: Path) -> None:
    """One mailbox is cancelled in the middle of its cycle; the other ends its own."""
    ann, juan = place.users
    place.fault({"route": "batch", "kind": "latency", "seconds": 0.3, "times": None})
    async with engine(tmp_path, place.config()) as service:
        await service.do(EnablePolicy("Demo"), "alice")
        await until(
            lambda: service.store.users[ann].state is UserState.SYNCING and service.store.users[ann].counts
        )
        assert (await service.do(CancelUser(ann), "alice")).ok
        await until(lambda: not service._timekeeper.running(FULL))
        assert service.store.users[ann].state is UserState.QUEUED
        assert service.store.users[juan].state is UserState.IDLE
        place.mend()
        assert_idle(await service.sync("Demo", "alice"))
        assert_no_doubles(place)
        await assert_all_green(service)


async def test_the_program_ends_in_the_middle_and_goes_on_later(place: Town, tmp_path: Path) -> None:
    """SIGTERM's way: stop at the next page boundary, store everything, go on with the next start."""
    place.fault({"route": "batch", "kind": "latency", "seconds": 0.2, "times": None})
    async with engine(tmp_path, place.config()) as service:
        await service.do(EnablePolicy("Demo"), "alice")
        await until(lambda: any(row.counts for row in service.store.users.values()))
    place.mend()
    async with engine(tmp_path, None) as service:
        # The schedule brings it back by itself: its first sync is due.
        await until(lambda: states(service) == {UserState.IDLE})
        await until(lambda: not service._timekeeper.running(FULL))
        assert_no_doubles(place)
        await assert_all_green(service)
        assert service.store.policies["Demo"].initialised


async def test_a_policy_switched_off_while_it_runs_ends_its_cycle(place: Town, tmp_path: Path) -> None:
    place.fault({"route": "batch", "kind": "latency", "seconds": 0.2, "times": None})
    async with engine(tmp_path, place.config()) as service:
        await service.do(EnablePolicy("Demo"), "alice")
        await until(lambda: any(row.counts for row in service.store.users.values()))
        answer = await service.do(DisablePolicy("Demo"), "alice")
        assert answer.ok
        assert "ends first" in answer.text
        place.mend()
        await until(lambda: not service._timekeeper.running(FULL))
        row = service.store.policies["Demo"]
        assert row.state is PolicyState.DISABLED
        assert row.next_full_ms is None
        assert row.initialised
        assert service.store.jobs[FULL].next_run_ms is None
        assert states(service) == {UserState.DISABLED}
        await assert_all_green(service)


async def test_a_second_engine_is_refused_and_told_who_holds_it(place: Town, tmp_path: Path) -> None:
    async with engine(tmp_path, place.config()):
        with pytest.raises(EngineBusy, match=r"another syncline works on .*pid \d+"):
            await Service.open(tmp_path / "data")
    second = await Service.open(tmp_path / "data")
    await second.close()


async def test_a_user_added_later_gets_a_first_sync_while_the_others_go_on(place: Town, tmp_path: Path) -> None:
    ann, juan = place.users
    async with engine(tmp_path, place.config(users=[ann], policy="enabled = true")) as service:
        assert_idle(await service.sync("Demo", "alice"))
        await service.sync("Demo", "alice")
        assert (await service.apply(place.config(policy="enabled = true"), "more.toml", "alice")).ok
        report = await service.sync("Demo", "alice")
        assert_idle(report)
        created = {
            user["email"]: sum(module["created"] for module in user["modules"].values())
            for user in report["users"]
        }
        assert created[ann] == 0
        assert created[juan] > 5
        await assert_all_green(service)
        # Taken out again: nothing of his is touched; and back once more: nothing is made twice.
        before = len(place.contacts(juan))
        assert (await service.apply(place.config(users=[ann], policy="enabled = true"), "x", "alice")).ok
        assert_idle(await service.sync("Demo", "alice"))
        assert (await service.apply(place.config(policy="enabled = true"), "y", "alice")).ok
        assert_idle(await service.sync("Demo", "alice"))
        assert len(place.contacts(juan)) == before
        assert_no_doubles(place)


async def test_a_failed_mailbox_comes_back_by_itself_after_its_wait(place: Town, tmp_path: Path) -> None:
    """A provider fails for a while: the mailboxes wait thirty seconds, then twice as long, then are well again."""

    class Clock(AheadClock, HastyClock):
        pass

    clock = Clock()
    async with engine(tmp_path, place.config(policy="enabled = true"), clock=clock) as service:
        assert_idle(await service.sync("Demo", "alice"))
        place.fault({"route": r"connections\.list$", "kind": "status", "status": 500, "times": None})
        waits = []
        for _ in range(2):
            await service.sync("Demo", "alice")
            row = service.store.users[place.users[0]]
            assert row.state in {UserState.FAILED, UserState.BACKOFF}
            assert "Google People" in row.text
            assert row.until_ms is not None
            waits.append((row.until_ms - clock.now_ms()) / 1000)
        assert 20 < waits[0] <= 30
        assert 50 < waits[1] <= 60
        # Other modules are not held up by the one that fails.
        assert {step.step: step.state for step in row.steps if step.state == "done"}
        place.mend()
        clock.ahead_ms += 61_000
        await until(lambda: states(service) == {UserState.IDLE})
        assert row.until_ms is None


async def test_a_scheduled_cycle_with_nothing_to_do_leaves_the_ledger_alone(
    place: Town, tmp_path: Path
) -> None:
    """The schedule runs a cycle; apart from the monitor's lines nothing is committed."""
    clock = AheadClock()
    async with engine(tmp_path, place.config(policy=POLICY_WITHOUT_FILING), clock=clock) as service:
        for _ in range(3):
            assert_idle(await service.sync("Demo", "alice"))
        row = service.store.policies["Demo"]
        due = row.next_full_ms
        assert due is not None
        assert due > clock.now_ms()
        place.reset()
        units = committed(service)
        clock.ahead_ms += due - clock.now_ms() + 1000
        await until(lambda: row.next_full_ms is not None and row.next_full_ms > due)
        assert place.stats()["google.http"] == 4 * len(place.users)
        assert place.writes() == {}
        # When the last full sync was is stored now and then, not after each; at night the tidying may fall in.
        tidying = {"start_run", "end_run", "prune", "drop_old", "set_job"}
        assert set(units) - tidying <= {"_flush", "set_policy"}


async def test_a_blackout_keeps_everybody_waiting(place: Town, tmp_path: Path) -> None:
    now = datetime.now(UTC)
    days = [(now + timedelta(days=offset)).strftime("%a") for offset in (-1, 1)]
    policy = f'[policies.Demo.scheduling]\nblackouts = ["{days[0]} 00:00 - {days[1]} 00:00"]'
    async with engine(tmp_path, place.config()) as service:
        await service.do(EnablePolicy("Demo"), "alice")
        await until(lambda: states(service) == {UserState.IDLE})
        await at_rest(service)
        assert (await service.apply(place.config(policy=policy), "blackout.toml", "alice")).ok
        answer = await service.do(SyncNow(policy="Demo"), "alice")
        assert not answer.ok
        assert "blackout" in answer.text
        due = service.store.policies["Demo"].next_full_ms
        assert due is not None
        assert (
            due
            >= (now + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1000
            - 1000
        )
