"""1: created, and the reply is lost. 2: 500 after the work is done. 3: the app is closed in the middle of a sync."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, Policy
from engine.model.port import CreateKey
from tests.acceptance.town import assert_all_green, assert_no_doubles, engine, town
from tests.clocks import HastyClock
from tests.failure_cases.scene import until_quiet
from tests.sync.test_cycle import fill, moment
from tests.sync.world import A, World

KEYS = list(CreateKey)

#: Every point when asked for (SYNCLINE_LONG=1), otherwise every so many, other ones for each kind of key.
STRIDE = 1 if os.environ.get("SYNCLINE_LONG") else 31


def world_of(key: CreateKey) -> World:
    """A mailbox whose deletes reach the CRM: nothing protects what is wrongly taken for deleted."""
    policy = Policy("sales", "crm", "mail", mailbox_deletes=DeleteMode.MIRROR)
    lag = 120 if key is CreateKey.MARKER else 0
    return World(policy=policy, crm_key=key, mail_key=key, lag=lag)


def people_write(world: World) -> None:
    """Every module in the CRM, and one item of each two-way module in the mailbox."""
    fill(world)
    world.mail.add(A, Module.CONTACT, given="Mo", family="Mail", email="mo@x.test")
    world.mail.add(A, Module.APPOINTMENT, subject="lunch", start=moment(26), end=moment(26, 10))
    world.mail.add(A, Module.TASK, subject="buy ink")


async def assert_everything_once(world: World) -> None:
    for side in Side:
        assert world.names(side) == ["Lee", "Mail"]
        assert world.names(side, A, Module.LEAD) == ["Lead"]
        assert world.names(side, A, Module.APPOINTMENT) == ["a appointment", "lunch"]
        assert world.names(side, A, Module.CALL) == ["a call"]
        assert world.names(side, A, Module.TASK) == ["buy ink", "write offer"]
    for module in (Module.OPPORTUNITY, Module.CASE):
        assert len(world.mail.of(A, module)) == 1
    assert not [line for line in world.mail.log + world.crm.log if line.startswith("delete")]
    await world.check()


@pytest.mark.parametrize("key", KEYS)
async def test_01_the_reply_of_every_create_is_lost_and_nothing_is_there_twice(key: CreateKey) -> None:
    world = await world_of(key).start()
    lost: set[str] = set()

    def lose(point: str, _scope: object, write: Any) -> str | None:
        if point == "write" and write.kind == "create" and write.key not in lost:
            lost.add(write.key)
            return "lost-after"
        return None

    people_write(world)
    world.mail.faults = world.crm.faults = lose
    await world.settle(5)
    assert len(lost) == 11
    await assert_everything_once(world)


CREATES = {
    "contacts": "batchCreateContacts",
    "groups": r"contactGroups\.create$",
    "events": "/batch/calendar",
    "tasks": r"tasks\.tasks\.insert$",
    "labels and mails": "^/batch$",
}


async def test_02_every_create_answers_500_after_it_was_done(tmp_path: Path) -> None:
    """A server error says nothing about what was done: no second event, and no second invitation."""
    with town(tmp_path, users=1) as place:
        place.fault(
            *(
                {"service": "google", "kind": "status_after", "status": 500, "route": route, "verb": "POST"}
                for route in CREATES.values()
            )
        )
        async with engine(tmp_path, place.config(policy="enabled = true"), clock=HastyClock()) as service:
            await until_quiet(place, service)
            assert all(place.struck().values()), place.struck()
            user = place.users[0]
            group = place.groups(user)["CRM Contacts"]
            body = {
                "names": [{"givenName": "Nora", "familyName": "Neu"}],
                "memberships": [{"contactGroupMembership": {"contactGroupResourceName": group}}],
            }
            place.google(user, "POST", "v1/people:createContact", json=body)
            place.fault(
                {
                    "service": "salesforce",
                    "kind": "status_after",
                    "status": 500,
                    "route": "composite",
                    "verb": "POST",
                }
            )
            await until_quiet(place, service)
            assert len(place.soql("SELECT Id FROM Contact WHERE LastName = 'Neu'")) == 1
            assert all(place.struck().values()), place.struck()
            assert_no_doubles(place)
            await assert_all_green(service)
        assert place.stats()["google.mails"] == 0


async def first_sync(world: World) -> None:
    await world.start()
    people_write(world)
    await world.settle(4)


@pytest.mark.parametrize("key", KEYS)
async def test_03_closed_at_any_write_of_the_first_sync_it_deletes_nothing_afterwards(key: CreateKey) -> None:
    calm = world_of(key)
    await first_sync(calm)
    number = calm.ledger.number
    for point in range(3 + KEYS.index(key) % STRIDE, number + 1, STRIDE):
        world = world_of(key)

        def close(at: str, count: int, world: World = world, point: int = point) -> None:
            if count == point and at == ("after" if point % 2 else "before") and not world.crashes:
                world.die()

        world.ledger.hook = close
        try:
            await first_sync(world)
            assert world.crashes == 1
            await assert_everything_once(world)
        except BaseException as error:
            raise AssertionError(f"closed at write {point} of {number}") from error


@pytest.mark.parametrize("point", ["crash", "crash-after"])
async def test_03_closed_around_any_call_of_the_first_sync_it_deletes_nothing_afterwards(point: str) -> None:
    calm = world_of(CreateKey.NATURAL)
    await first_sync(calm)
    calls = calm.mail.calls.count("apply") + calm.crm.calls.count("apply")
    for target in range(0, calls, (STRIDE + 3) // 4):
        world = world_of(CreateKey.NATURAL)
        count = -1

        def plan(at: str, *_: object, world: World = world, target: int = target) -> str | None:
            nonlocal count
            count += at == "apply"
            if at == "apply" and count == target and not world.crashes:
                world.crashes += 1
                return point
            return None

        world.mail.faults = world.crm.faults = plan
        await first_sync(world)
        assert world.crashes == 1
        await assert_everything_once(world)
