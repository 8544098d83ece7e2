"""Answers that never come: afterwards everything is there, once. (A death at every point: tests/simulation/test_kill.py)"""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from engine.model.modules import Module, Side
from engine.model.policy import ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.sync.test_cycle import FIRST, moment
from tests.sync.world import A, World, faulty

KEYS = list(CreateKey)


def scene(crm_key: CreateKey, mail_key: CreateKey) -> World:
    lag = 120 if mail_key is CreateKey.MARKER else 0
    modules = {module: ModuleSettings() for module in (Module.CONTACT, Module.APPOINTMENT, Module.TASK)}
    policy = Policy("sales", "crm", "mail", modules=modules)
    world = World(policy=policy, crm_key=crm_key, mail_key=mail_key, lag=lag)
    world.crm.page_size = world.mail.page_size = 3
    return world


async def act(world: World) -> None:
    """Creates, edits, deletes on both sides, with names that tell what must come of it."""
    await world.start()
    for n in range(4):
        world.crm.add(A, Module.CONTACT, given="C", family=f"c{n}")
    world.mail.add(A, Module.CONTACT, given="M", family="m0", email="m0@x.test")
    world.crm.add(A, Module.APPOINTMENT, subject="meet", start=moment(25), end=moment(25, 10))
    world.mail.add(A, Module.TASK, subject="task")


async def act_again(world: World) -> None:
    first, second, third = (one.id for one in world.crm.of(A, Module.CONTACT)[:3])
    world.crm.edit("Contact", first, title="Boss")
    world.crm.delete("Contact", second)
    twin = next(
        (one for one in world.mail.of(A, Module.CONTACT) if one.fields["family"] == world.family(third)), None
    )
    if twin is not None:
        world.mail.edit(f"{A}/contacts", twin.id, department="Sales")
    world.crm.add(A, Module.TASK, subject="more")


async def expect(world: World) -> None:
    await world.settle(3)
    assert world.names(Side.MAILBOX) == world.names(Side.CRM) == ["c0", "c2", "c3", "m0"]
    assert world.names(Side.MAILBOX, A, Module.TASK) == ["more", "task"]
    assert world.names(Side.CRM, A, Module.TASK) == ["more", "task"]
    assert world.names(Side.MAILBOX, A, Module.APPOINTMENT) == ["meet"]
    people = {one.fields["family"]: one.fields for one in world.crm.of(A, Module.CONTACT)}
    assert people["c0"]["title"] == "Boss"
    await world.check()


async def whole(world: World) -> None:
    await act(world)
    await world.settle(2)
    await act_again(world)
    await expect(world)


@pytest.mark.parametrize("crm_key", KEYS)
@pytest.mark.parametrize("mail_key", KEYS)
@pytest.mark.parametrize("fault", ["lost-after", "lost-before", "lost"])
async def test_no_lost_answer_of_a_create_makes_a_duplicate(
    crm_key: CreateKey, mail_key: CreateKey, fault: str
) -> None:
    world = scene(crm_key, mail_key)
    lost: set[object] = set()

    def plan(point: str, scope: Any, write: Any) -> str | None:
        if fault == "lost" and point == "apply" and scope not in lost:
            lost.add(scope)
            return "lost"
        if fault != "lost" and point == "write" and write.kind == "create" and write.key not in lost:
            lost.add(write.key)
            return fault
        return None

    world.crm.faults = world.mail.faults = plan
    await whole(world)
    assert lost


@pytest.mark.parametrize("mail_key", KEYS)
async def test_an_edit_made_while_the_answer_was_lost_is_kept(mail_key: CreateKey) -> None:
    world = await scene(CreateKey.NATURAL, mail_key).start()
    world.crm.add(A, Module.CONTACT, **FIRST)

    def plan(point: str, _scope: object, _write: object) -> str | None:
        return "crash-after" if point == "apply" else None

    with faulty(world.mail, plan):
        await world.cycle()
    twin = world.mail.of(A, Module.CONTACT)[0]
    world.mail.edit(f"{A}/contacts", twin.id, title="Boss", company="Acme Ltd")
    await world.settle(4)
    assert len(world.mail.of(A, Module.CONTACT)) == 1
    for things in (world.mail.of(A, Module.CONTACT), world.crm.of(A, Module.CONTACT)):
        assert (things[0].fields["title"], things[0].fields["company"]) == ("Boss", "Acme Ltd")
    await world.check()


async def test_a_recreated_item_whose_answer_was_lost_is_found_again() -> None:
    world = await scene(CreateKey.MARKER, CreateKey.NATURAL).start()
    world.crm.add(A, Module.CONTACT, **FIRST)
    await world.settle(2)
    world.crm.delete("Contact", world.crm.of(A, Module.CONTACT)[0].id)
    world.mail.edit(f"{A}/contacts", world.mail.of(A, Module.CONTACT)[0].id, title="Boss")
    with faulty(world.crm, lambda point, *_: "crash-after" if point == "apply" else None):
        await world.cycle()
    await world.settle(3)
    assert [one.fields["title"] for one in world.crm.of(A, Module.CONTACT)] == ["Boss"]
    await world.check()


@pytest.mark.parametrize("kind", ["throttled", "unavailable"])
async def test_a_provider_that_refuses_for_a_while_costs_time_only(kind: str) -> None:
    world, dice = scene(CreateKey.PROBE, CreateKey.PROBE), random.Random(7)
    count = 0

    def plan(point: str, _scope: object, _write: object) -> str | None:
        nonlocal count
        count += 1
        return kind if point in {"apply", "changes"} and dice.random() < 0.3 and count < 25 else None

    world.crm.faults = world.mail.faults = plan
    await act(world)
    await world.settle(12)
    assert world.names(Side.MAILBOX) == world.names(Side.CRM) == ["c0", "c1", "c2", "c3", "m0"]
    await world.check()


@pytest.mark.parametrize("mail_key", [CreateKey.NATURAL, CreateKey.PROBE])
@pytest.mark.parametrize("side", list(Side))
async def test_two_that_are_alike_are_both_made_wherever_the_engine_died(
    mail_key: CreateKey, side: Side
) -> None:
    """What a create left before a kill mirrors its own record, and is no possible twin of the other one, which would be held."""
    for number in range(24, 38):  # the writes of the ledger around the creates
        world = await scene(mail_key, mail_key).start()
        one_by_one(world)
        provider = world.crm if side is Side.CRM else world.mail
        for _ in range(3):
            provider.add(A, Module.APPOINTMENT, subject="Trade fair", start=moment(25), end=moment(25, 10))
        died = False

        def kill(when: str, _number: int, world: World = world, number: int = number) -> None:
            nonlocal left, died
            left -= when == "before"
            if not left:
                died = True
                world.die()

        left = number
        world.ledger.hook = kill
        await world.cycle()
        world.ledger.hook = lambda *_: None
        await world.settle(4)
        for each in Side:
            assert world.names(each, A, Module.APPOINTMENT) == ["Trade fair"] * 3, (number, each)
        assert not await world.links("held"), number
        await world.check()
        assert died, number


def one_by_one(world: World) -> None:
    """Each write in a call of its own."""
    for provider in (world.crm, world.mail):
        plain = provider.capability

        def capability(module: Module, plain: Any = plain) -> Any:
            found = plain(module)
            return None if found is None else replace(found, batch=1)

        provider.capability = capability  # type: ignore[method-assign]
