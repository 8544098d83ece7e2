"""Incidents: one for what goes on failing, ended when it is well, kept over a restart, given up once."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from engine.ledger.schema import incident
from engine.model.incident import IncidentKind, Strike
from engine.model.job import CALENDAR
from engine.model.port import Scope
from engine.model.states import FaultClass
from engine.monitor.rows import IncidentRow
from engine.service import DisableJob, Service, SetOperator
from tests.clocks import AheadClock
from tests.runtime.test_freshness import FILE, engine
from tests.runtime.test_retries import crm, mail
from tests.sync.world import A, B

MINUTE = 60_000


def live(service: Service) -> list[IncidentRow]:
    return list(service.store.live_incidents.values())


async def failing(service: Service, times: int, kind: str = "unavailable") -> None:
    def fault(point: str, scope: Scope | None, *_: object) -> str | None:
        whose = scope is not None and scope.account is not None and scope.account.email == A
        return kind if point == "changes" and whose else None

    mail(service).faults = fault
    for _ in range(times):
        await service.sync("Sales", "admin")
    await service._flush()


async def test_a_mailbox_that_goes_on_failing_is_one_incident_until_it_is_well(tmp_path: Path) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await failing(service, 3)
        (row,) = live(service)
        assert (row.kind, row.subject, row.policy, row.count, row.state) == ("cycle", A, "Sales", 3, "open")
        assert row.phase == "first sync, phase B, contacts+leads"
        assert "unavailable" in row.text
        assert row.fault_class == "connection"
        assert row.advice == "It is tried again by itself."
        assert row.due_ms == row.first_ms + 30 * MINUTE
        assert row.first_ms < row.last_ms
        assert service.store.engine.unseen == 1
        assert await service._office.incidents.acknowledge([int(row.id)], "alice") == 1
        assert await service._office.incidents.acknowledge([int(row.id)], "bob") == 0
        assert (row.seen_by, service.store.engine.unseen) == ("alice", 0)
        mail(service).faults = lambda *_: None
        await service.sync("Sales", "admin")
        await service._flush()
        assert live(service) == []
        assert (row.state, row.closed_ms is not None) == ("healed", True)
        await failing(service, 1)
        (again,) = live(service)
        assert (again.id != row.id, again.count) == (True, 1)


async def test_what_fails_for_all_of_a_policy_is_one_incident_of_the_policy(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        crm(service).faults = lambda point, *_: "unavailable" if point == "changes" else None
        await service.sync("Sales", "admin")
        await service.sync("Sales", "admin")
        await service._flush()
        (row,) = live(service)
        assert (row.kind, row.subject, row.count) == ("policy", "Sales", 2)
        crm(service).faults = lambda *_: None
        await service.sync("Sales", "admin")
        await service._flush()
        assert live(service) == []


async def test_what_waits_for_a_person_is_mailed_soon(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await failing(service, 1, "permission")
        (row,) = live(service)
        assert "waits for a person" in row.advice
        assert row.due_ms == row.first_ms + MINUTE


async def test_given_up_once_and_kept_over_a_restart(tmp_path: Path) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await failing(service, 2)
        incidents = service._office.incidents
        clock.ahead_ms += 5 * MINUTE
        assert await incidents.cancel(A, "given up after 5 minutes", "The next run tries it anew.")
        assert not await incidents.cancel(A, "again", "")
        assert not await incidents.cancel(B, "nothing fails here", "")
        (row,) = live(service)
        assert (row.state, row.text) == ("cancelled", "given up after 5 minutes")
        assert row.due_ms is not None
        assert row.due_ms <= clock.now_ms()
        await failing(service, 1)
        assert (row.state, row.count) == ("cancelled", 3)
    async with engine(tmp_path, clock) as service:
        (kept,) = live(service)
        assert (kept.id, kept.state, kept.count) == (row.id, "cancelled", 3)
        await service.sync("Sales", "admin")
        await service._flush()
        assert live(service) == []


async def test_a_mailbox_that_is_no_user_any_more_has_no_incident(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await failing(service, 1)
        (row,) = live(service)
        without = FILE.replace("{contact}", "enabled = true").replace(
            f'[[users]]\nemail = "{A}"\npolicy = "Sales"\n', ""
        )
        answer = await service.apply(without, "sales.toml", "test")
        assert answer.ok, answer
        assert live(service) == []
        assert service.store.incidents[row.id].state == "dismissed"


async def test_who_becomes_stale_is_an_incident_until_a_cycle_ends_well(tmp_path: Path) -> None:
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        await service.sync("Sales", "admin")
        clock.ahead_ms += 3 * 24 * 60 * MINUTE
        service._stale += service._watch.look()
        service._watch.look()
        await service._flush()
        assert {(row.kind, row.subject) for row in live(service)} == {("stale", A), ("stale", B)}
        await service.sync("Sales", "admin")
        service._stale += service._watch.look()
        await service._flush()
        assert live(service) == []


async def test_nothing_is_written_for_what_is_well(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await service.sync("Sales", "admin")
        await service._flush()
        await service.sync("Sales", "admin")
        assert service._office.fold.faults.take() == ([], [])
        assert service._office.incidents.live(A, IncidentKind.CYCLE) is None


async def test_the_trouble_of_a_mailbox_is_one_incident_for_its_cycles_and_a_job(tmp_path: Path) -> None:
    """Whichever meets it first: one record, given up once, and over when both are well."""
    clock = AheadClock()
    async with engine(tmp_path, clock) as service:
        incidents = service._office.incidents
        await failing(service, 1)
        (row,) = live(service)
        now = clock.now_ms()
        await incidents.strike(
            Strike(IncidentKind.JOB, "Sales", A, FaultClass.CONNECTION, "the job fails, too", at_ms=now)
        )
        assert live(service) == [row]
        assert (row.kind, row.count, row.text) == ("cycle+job", 2, "the job fails, too")
        assert await incidents.cancel(A, "given up", kind=IncidentKind.JOB)
        assert not await incidents.cancel(A, "given up", kind=IncidentKind.CYCLE)
        await incidents.heal(IncidentKind.JOB, A)
        assert (row.kind, row.live) == ("cycle", True)
        assert incidents.live(A, IncidentKind.JOB) is None
    async with engine(tmp_path, clock) as service:
        (row,) = live(service)
        await service._office.incidents.strike(Strike(IncidentKind.JOB, "Sales", A, None, "again", at_ms=now))
        mail(service).faults = lambda *_: None
        await service.sync("Sales", "admin")
        await service._flush()
        assert (row.kind, row.live) == ("job", True)
        answer = await service.do(DisableJob(CALENDAR), "admin")
        assert answer.ok, answer
        assert row.state == "dismissed", "nobody expects the job to go well any more"


async def test_who_is_an_operator_no_more_has_no_trouble_with_the_job(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await service.sync("Sales", "admin")
        incidents, now = service._office.incidents, service.clock.now_ms()
        await incidents.strike(
            *(Strike(IncidentKind.JOB, "Sales", one, None, "the job fails", at_ms=now) for one in (A, B))
        )
        assert (await service.do(SetOperator((A,), calendar_sync=False), "admin")).ok
        assert [(row.subject, row.kind) for row in live(service)] == [(B, "job")]
        file = FILE.replace("{contact}", "enabled = true").replace(
            f'[[users]]\nemail = "{B}"\n', f'[[users]]\nemail = "{B}"\ncalendar_sync = false\n'
        )
        assert (await service.apply(file, "sales.toml", "test")).ok
        assert live(service) == []
        assert {row.state for row in service.store.incidents.values()} == {"dismissed"}


async def test_an_incident_of_an_earlier_version_goes_on_under_its_new_key(tmp_path: Path) -> None:
    async with engine(tmp_path, AheadClock()) as service:
        await failing(service, 1)
        old = sa.update(incident).values(kind="job", key=f"job:{A}")
        await service._ledger.write(lambda connection: connection.execute(old).rowcount)
    async with engine(tmp_path, AheadClock()) as service:
        (row,) = live(service)
        assert row.kind == "job"
        await failing(service, 1)
        assert live(service) == [row]
        assert (row.kind, row.count) == ("cycle+job", 2)
