"""Classes of faults, end to end on the fakes: what failed, how far it reaches, when it comes back, or whom it waits for."""

from __future__ import annotations

import sqlite3
from typing import Any

import pytest
import sqlalchemy as sa

from engine.jobs.queue import Priority
from engine.ledger.store import StaleLease
from engine.model.modules import Module
from engine.model.states import FaultClass, UserState
from engine.monitor.fold import Fold
from engine.monitor.rows import UserRow
from engine.monitor.store import Store
from engine.net.errors import ErrorKind, ProviderError
from engine.sync.context import SuspiciousSource
from engine.sync.faults import backoff_ms, fault_class, waits_for_person, worst
from tests.sync.world import A, World, faulty

F = FaultClass


def error(kind: ErrorKind, **more: Any) -> ProviderError:
    return ProviderError(kind, "Fake", "said no", **more)


@pytest.mark.parametrize(
    ("raised", "alone", "in_step"),
    [
        (error(ErrorKind.CREDENTIAL), F.CONNECTION, F.CONNECTION),
        (error(ErrorKind.DELEGATION), F.CONNECTION, F.CONNECTION),
        (error(ErrorKind.CONFIGURATION), F.CONNECTION, F.CONNECTION),
        (error(ErrorKind.UNAVAILABLE), F.CONNECTION, F.CONNECTION),
        (error(ErrorKind.THROTTLED), F.CONNECTION, F.CONNECTION),
        (error(ErrorKind.PERMISSION), F.CONNECTION, F.MODULE),
        (error(ErrorKind.NOT_FOUND), F.CYCLE, F.MODULE),
        (error(ErrorKind.REQUEST), F.CYCLE, F.MODULE),
        (error(ErrorKind.MALFORMED), F.CYCLE, F.MODULE),
        (SuspiciousSource("empty"), F.CYCLE, F.MODULE),
        (StaleLease("taken over"), F.CYCLE, F.CYCLE),
        (sa.exc.OperationalError("", {}, sqlite3.OperationalError("disk I/O error")), F.CRITICAL, F.CRITICAL),
        (sqlite3.DatabaseError("malformed"), F.CRITICAL, F.CRITICAL),
        (KeyError("a fault of ours"), F.CYCLE, F.CYCLE),
    ],
    ids=lambda value: getattr(value, "kind", None) or getattr(value, "value", None) or type(value).__name__,
)
def test_every_kind_has_its_class(raised: Exception, alone: F, in_step: F) -> None:
    assert fault_class(raised, in_step=False) is alone
    assert fault_class(raised, in_step=True) is in_step


def test_every_kind_of_provider_error_is_classified() -> None:
    assert {fault_class(error(kind), in_step=True) for kind in ErrorKind} == {F.CONNECTION, F.MODULE}
    assert {kind for kind in ErrorKind if waits_for_person(error(kind))} == {
        ErrorKind.CREDENTIAL,
        ErrorKind.DELEGATION,
        ErrorKind.PERMISSION,
        ErrorKind.CONFIGURATION,
    }
    assert not waits_for_person(KeyError())


def test_the_wait_doubles_from_half_a_minute_to_sixteen_and_a_longer_wish_of_the_provider_wins() -> None:
    assert [backoff_ms(number) // 1000 for number in range(1, 9)] == [30, 60, 120, 240, 480, 960, 960, 960]
    assert backoff_ms(10_000) == 960_000
    assert backoff_ms(1, 5) == 30_000
    assert backoff_ms(1, 90.5) == 90_500
    assert backoff_ms(8, 3_600) == 3_600_000


def test_the_worst_class_is_the_widest() -> None:
    assert worst(None, None) is None
    assert worst(F.ITEM, None) is F.ITEM
    assert worst(F.MODULE, F.CONNECTION) is worst(F.CONNECTION, F.MODULE) is F.CONNECTION
    assert worst(F.CRITICAL, F.ITEM) is F.CRITICAL


async def ready() -> tuple[World, str]:
    world = await World().start()
    ann = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee")
    await world.settle()
    world.told.clear()
    return world, ann


def told(world: World, state: UserState) -> Any:
    return [one for one in world.told if one.state is state][-1]


@pytest.mark.parametrize(
    ("where", "fault", "kind"),
    [
        ("changes", "unavailable", F.CONNECTION),
        ("changes", "credential", F.CONNECTION),
        ("changes", "permission", F.MODULE),
    ],
)
async def test_a_mailbox_in_trouble_carries_its_class_in_the_ledger_on_its_row_and_in_its_lines(
    where: str, fault: str, kind: F
) -> None:
    world, _ = await ready()
    with faulty(world.mail, lambda point, *_: fault if point == where else None):
        await world.cycle()
    row = await world.mailbox(A)
    assert row.fault_class == kind
    assert fault in row.fault
    failed = told(world, UserState.FAILED)
    assert failed.fault is kind
    store = Store()
    store.users[A] = UserRow(A, "sales")
    fold = Fold(store)
    for one in world.told:
        fold(one)
    assert store.users[A].fault_class is kind
    assert any(line.text.startswith(f"{kind.value} fault: ") and line.level == 3 for line in store.lines[A])
    # Well again: nothing of it is left.
    await world.cycle(Priority.ADMIN)
    row = await world.mailbox(A)
    assert (row.fault, row.fault_class, row.fault_kind, row.failures) == ("", "", "", 0)


@pytest.mark.parametrize("fault", ["credential", "permission"])
async def test_what_waits_for_a_person_is_never_tried_by_the_clock(fault: str) -> None:
    world, _ = await ready()
    with faulty(world.mail, lambda point, *_: fault if point == "changes" else None):
        await world.cycle()
        assert A not in world.runner.retries
        assert told(world, UserState.FAILED).until_ms is None
        calls = len(world.mail.calls)
        for _ in range(5):
            world.clock.ms += 86_400_000
            await world.cycle()
        assert len(world.mail.calls) == calls
        await world.restart()
        await world.cycle()
        assert len(world.mail.calls) == calls
        await world.cycle(Priority.ADMIN)
        assert len(world.mail.calls) > calls
    await world.cycle(Priority.ADMIN)
    assert (await world.mailbox(A)).fault == ""


async def test_a_passing_fault_comes_back_after_30_s_doubled_each_time_up_to_16_min() -> None:
    world, _ = await ready()
    waits = []
    with faulty(world.mail, lambda point, *_: "unavailable" if point == "changes" else None):
        for _ in range(8):
            await world.cycle()
            waits.append((world.runner.retries[A] - told(world, UserState.FAILED).at_ms) // 1000)
    assert waits == [30, 60, 120, 240, 480, 960, 960, 960]


async def test_a_longer_wish_of_the_provider_wins_over_the_back_off() -> None:
    world, _ = await ready()
    changes = world.mail.changes

    def refuse(scope: object, cursor: object) -> object:
        raise ProviderError(ErrorKind.UNAVAILABLE, "Fake", "503", retry_after=400)

    world.mail.changes = refuse  # type: ignore[assignment, method-assign]
    await world.cycle()
    assert world.runner.retries[A] - told(world, UserState.FAILED).at_ms == 400_000
    world.mail.changes = changes  # type: ignore[method-assign]


async def test_a_throttled_mailbox_waits_ever_longer_and_forgets_it_when_it_is_well() -> None:
    world, _ = await ready()
    waits = []
    with faulty(world.mail, lambda point, *_: "throttled" if point == "changes" else None):
        for _ in range(4):
            await world.cycle()
            waiting = told(world, UserState.BACKOFF)
            assert waiting.fault is F.CONNECTION
            waits.append((waiting.until_ms - waiting.at_ms) // 1000)
    assert waits == [30, 60, 120, 240]
    await world.cycle()
    with faulty(world.mail, lambda point, *_: "throttled" if point == "changes" else None):
        await world.cycle()
    assert (told(world, UserState.BACKOFF).until_ms - told(world, UserState.BACKOFF).at_ms) // 1000 == 30


@pytest.mark.parametrize(
    ("fault", "kind", "people"),
    [
        ("credential", F.CONNECTION, True),
        ("permission", F.CONNECTION, True),
        ("unavailable", F.CONNECTION, False),
    ],
)
async def test_a_crm_in_trouble_is_the_policys_fault(fault: str, kind: F, people: bool) -> None:
    world, _ = await ready()
    with faulty(world.crm, lambda point, *_: fault if point == "changes" else None):
        result = await world.cycle()
    assert result is not None
    assert (result.fault_class, result.people) == (kind, people)
    assert told(world, UserState.FAILED).fault is kind


async def test_a_failing_step_does_not_hide_that_another_lost_its_connection() -> None:
    world, _ = await ready()

    def plan(point: str, scope: Any, _write: object) -> str | None:
        if point != "changes" or scope is None:
            return None
        return {"contacts": "permission", "calendar": "unavailable"}.get(scope.key)

    with faulty(world.mail, plan):
        await world.cycle()
    assert (await world.mailbox(A)).fault_class == F.CONNECTION
    kinds = [one.fault for one in world.told if one.fault is not None and one.state is None]
    assert set(kinds) == {F.MODULE, F.CONNECTION}
