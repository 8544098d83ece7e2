"""When a mailbox comes back after trouble, as its row, its policy and its job say it; and who waits for a person."""

from __future__ import annotations

import asyncio
from pathlib import Path

from engine.ledger.mailboxes import set_mailbox
from engine.model.port import Scope, Write
from engine.service import JobState, PolicyState, RunJob, Service, StopJob, SyncNow, UserState
from tests.clocks import AheadClock
from tests.ledgers import begun
from tests.runtime.test_freshness import engine
from tests.sync.fakes import FakeCrm, FakeMail, no_faults
from tests.sync.world import A, B

FULL = "full:Sales"


def crm(service: Service) -> FakeCrm:
    found = service._office._crm["crm"]
    assert isinstance(found, FakeCrm)
    return found


def mail(service: Service) -> FakeMail:
    found = service._office._mailbox["mail"]
    assert isinstance(found, FakeMail)
    return found


async def test_after_a_passing_fault_of_a_whole_policy_each_mailbox_says_when_it_is_tried_again(
    tmp_path: Path,
) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await service.sync("Sales", "admin")
        crm(service).faults = lambda point, *_: "unavailable" if point == "changes" else None
        await service.sync("Sales", "admin")
        store = service.store
        job, policy = store.jobs[FULL], store.policies["Sales"]
        assert job.next_run_ms is not None
        assert 25_000 < job.next_run_ms - clock.now_ms() <= 30_000
        assert "failed 1 time in a row" in job.next_why
        assert policy.next_full_ms == job.next_run_ms
        assert (policy.fault, policy.fault_class) == ("", "connection")
        for row in store.users.values():
            assert row.state is UserState.FAILED
            assert row.until_ms == row.next_full_ms == job.next_run_ms
            assert row.fault_class == "connection"
            why = service.why(row.id)
            assert why is not None
            assert why.why[0].startswith("Its last cycle failed (connection fault): Fake: unavailable")
            assert why.why[1].startswith("It is tried again")
        assert (await service.status())["users"][0]["fault_class"] == "connection"
        crm(service).faults = lambda *_: None
        await service.sync("Sales", "admin")
        assert {row.state for row in store.users.values()} == {UserState.IDLE}
        assert {row.until_ms for row in store.users.values()} == {None}
        assert policy.fault_class is None


async def test_a_mailbox_whose_first_sync_failed_is_run_alone(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        mailbox = mail(service)

        def refused(point: str, scope: Scope | None, _write: Write | None) -> str | None:
            mine = scope is not None and scope.account is not None and scope.account.email == B
            return "credential" if mine and point == "changes" else None

        mailbox.faults = refused
        job = service.store.jobs[FULL]

        async def ran() -> tuple[int, str]:
            await service._timekeeper.finished(FULL)
            assert job.last is not None
            return job.last.started_ms, job.last.note

        # Nothing has been synchronised yet: whoever is asked for, phase A is for all, and the notice says so.
        answer = await service.do(SyncNow(B), "alice")
        began = "first sync of the policy Sales, 2 mailboxes: runs already; it will run once more right after"
        assert answer.text == began
        assert (await ran())[1] == "2 mailboxes, 1 failed"
        assert {row.id: row.state for row in service.store.users.values()} == {
            A: UserState.IDLE,
            B: UserState.FAILED,
        }
        assert not service.store.policies["Sales"].initialised
        # Both runs failed before there was anything to write, and both are counted and listed.
        assert ((await service.day(B)).cycles, (await service.day(B)).failed) == (2, 2)
        assert [(row.state, bool(row.error)) for row in await service.cycles(B)] == [("failed", True)] * 2
        assert (await service.day(A)).failed == 0
        lines = [line.text for line in service.store.lines[B] if line.sign == "✗"]
        assert len(lines) == 4
        assert "credential" in lines[-2]
        assert lines[-1] == "cycle failed for the reason above"
        last = service.store.users[A].last_success_ms

        answer = await service.do(SyncNow(B), "alice")
        assert answer.text == f"full sync of {B} alone: started"
        assert (await ran())[1] == "1 mailbox, 1 failed"
        assert service.store.users[A].last_success_ms == last
        assert (await service.day(B)).failed == 3

        mailbox.faults = no_faults
        answer = await service.do(SyncNow(B), "alice")
        assert (await ran())[1] == "1 mailbox"
        assert service.store.users[B].state is UserState.IDLE
        assert service.store.policies["Sales"].initialised
        assert (await service.day(B)).failed == 3

        for command in (SyncNow(policy="Sales"), RunJob(FULL)):
            answer = await service.do(command, "alice")
            assert answer.text == "full sync of the policy Sales, 2 mailboxes: started"
            assert (await ran())[1] == "2 mailboxes"


async def test_a_fault_of_ours_ends_the_cycle_in_the_history_too(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await service.sync("Sales", "admin")

        async def broken(*_: object) -> None:
            raise RuntimeError("a bug")

        mail(service).ensure = broken  # type: ignore[assignment]
        await service._ledger.write(set_mailbox, service._office.mailbox_ids[B], structure="changed")
        await service.sync("Sales", "admin")
        assert service.store.users[B].state is UserState.FAILED
        newest = (await service.cycles(B))[0]
        assert (newest.state, newest.error) == ("failed", "internal error: RuntimeError: a bug")
        assert (await service.day(B)).failed == 1


async def test_a_stopped_run_leaves_no_old_time_behind(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await service.sync("Sales", "admin")
        gate, began = asyncio.Event(), asyncio.Event()
        changes = mail(service).changes

        async def slow(scope, cursor):  # type: ignore[no-untyped-def]
            began.set()
            await gate.wait()
            async for page in changes(scope, cursor):
                yield page

        mail(service).changes = slow  # type: ignore[method-assign]
        running = asyncio.create_task(service.sync("Sales", "admin"))
        async with asyncio.timeout(20):
            await began.wait()
        assert (await service.do(StopJob(FULL), "alice")).ok
        assert service.why(A).why[0].startswith(("It runs now", "The run of Sales was asked to stop"))  # type: ignore[union-attr]
        assert service.why(FULL).why == ("It runs now and was asked to stop: it ends at its next page.",)  # type: ignore[union-attr]
        gate.set()
        await running
        job, policy = service.store.jobs[FULL], service.store.policies["Sales"]
        assert job.state is JobState.ENABLED
        assert job.next_why == "stopped on request; r runs it now"
        assert {policy.next_full_ms, *(row.next_full_ms for row in service.store.users.values())} == {
            job.next_run_ms
        }


async def test_a_policy_that_waits_for_a_person_is_not_tried_by_a_restart_but_by_a_new_configuration(
    tmp_path: Path,
) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await service.sync("Sales", "admin")
        crm(service).faults = lambda point, *_: "credential" if point == "changes" else None
        await service.sync("Sales", "admin")
        row = service.store.policies["Sales"]
        assert (row.fault_class, row.next_full_ms) == ("connection", None)
        assert "credential" in row.fault
        assert service.why(FULL).why[0].startswith("All of Sales waits for a person: ")  # type: ignore[union-attr]
        assert service.why(B).why[-1] == "All of Sales waits for a person: mend it, then r in Policies."  # type: ignore[union-attr]
    service = await Service.open(begun(tmp_path / "data"))
    try:
        row = service.store.policies["Sales"]
        assert row.state is PolicyState.ENABLED
        assert (row.fault_class, row.next_full_ms) == ("connection", None)
        assert service.store.jobs[FULL].next_why == "waits for you: mend the fault, then r"
        told = await service.apply(await service.export(), "sales.toml", "alice")
        assert told.ok, told
        row = service.store.policies["Sales"]
        assert row.fault == ""
        assert row.next_full_ms is not None
    finally:
        await service.close()


async def test_a_provider_that_lets_us_wait_says_until_when(tmp_path: Path) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        observer = service._office.net.observer
        observer.waiting("Google People", A, 40.0, "quota")
        observer.waiting("Gmail", A, 10.0, "quota")
        header = service.store.engine
        assert header.providers["Google"] == "wait"
        assert 35_000 < header.provider_until_ms["Google"] - clock.now_ms() <= 40_000
        observer.called("Google People", A)
        assert header.providers["Google"] == "wait"
        clock.ahead_ms += 41_000
        observer.called("Google People", A)
        assert header.providers["Google"] == "ok"
        assert "Google" not in header.provider_until_ms
