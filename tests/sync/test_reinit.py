"""Re-initialise: Resync and Full bring back what is missing and delete and double nothing; Clear removes, then begins anew."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from engine.ledger import reinit as units
from engine.ledger.schema import mailbox
from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, Policy
from tests.sync.test_cycle import fill
from tests.sync.world import A, B, World

CONTACTS = f"{A}/contacts"


async def ask(world: World, mode: str, *modules: Module) -> None:
    box = await world.mailbox(A)
    names = [module.value for module in modules or tuple(Module)]
    await world.ledger.write(units.ask, [box.id], names, mode)


async def asked(world: World) -> object:
    return (await world.rows(sa.select(mailbox.c.reinit).where(mailbox.c.email == A)))[0].reinit


def ids(world: World, module: Module = Module.CONTACT) -> set[str]:
    return {one.id for one in world.mail.of(A, module)}


@pytest.mark.parametrize("mode", ["resync", "full"])
async def test_what_the_mailbox_has_lost_is_sent_again_and_nothing_is_doubled(mode: str) -> None:
    world = await World(people=(A, B)).start()
    fill(world)
    gone = world.crm.add(A, Module.CONTACT, family="Gone")
    mine = world.mail.add(A, Module.CONTACT, family="Mine")
    await world.settle(2)
    lost = next(one.id for one in world.mail.of(A, Module.CONTACT) if one.fields["family"] == "Gone")
    world.mail.delete(CONTACTS, lost)
    await world.settle(1)
    assert world.names(Side.MAILBOX) == ["Lee", "Mine"]
    before = ids(world)

    await ask(world, mode)
    world.crm.calls.clear()
    await world.settle(1)
    assert world.names(Side.MAILBOX) == ["Gone", "Lee", "Mine"]
    assert before < ids(world)
    assert mine in ids(world)
    assert gone in {one.id for one in world.crm.of(A, Module.CONTACT)}
    assert await asked(world) is None
    await world.check()
    world.mail.log.clear()
    world.crm.log.clear()
    await world.settle(2)
    assert world.mail.log == world.crm.log == []


async def test_full_reads_the_crm_again_and_resync_does_not() -> None:
    for mode, again in (("resync", False), ("full", True)):
        world = await World().start()
        record = world.crm.add(A, Module.CONTACT, family="Berg")
        await world.settle(2)
        # A change that the CRM's feed never told, as after a restore of the CRM.
        shelf = world.crm.shelf("Contact")
        thing = shelf.now[record]
        told = type(thing)(
            **{name: getattr(thing, name) for name in thing.__slots__}
            | {"version": 99, "fields": {"family": "New"}}
        )
        shelf.now[record] = told
        shelf.log[-1] = told
        await ask(world, mode, Module.CONTACT)
        await world.settle(1)
        assert world.names(Side.MAILBOX) == (["New"] if again else ["Berg"])


@pytest.mark.parametrize("mode", ["resync", "full"])
async def test_what_only_the_mailbox_has_left_is_not_deleted(mode: str) -> None:
    world = await World(policy=Policy("sales", "crm", "mail", crm_deletes=DeleteMode.NEVER)).start()
    record = world.crm.add(A, Module.CONTACT, family="Berg")
    await world.settle(2)
    world.crm.delete("Contact", record)
    await world.settle(1)
    world.policy = Policy("sales", "crm", "mail", crm_deletes=DeleteMode.MIRROR)
    await ask(world, mode)
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["Berg"]


async def test_clear_removes_what_we_made_and_sends_it_anew() -> None:
    world = await World(people=(A, B)).start()
    fill(world)
    fill(world, B)
    mine = world.mail.add(A, Module.CONTACT, family="Mine")
    await world.settle(2)
    before = ids(world) - {mine}
    others = {one.id for one in world.mail.of(B, Module.CONTACT)}
    await ask(world, "clear", Module.CONTACT, Module.APPOINTMENT)
    await world.cycle()
    assert world.names(Side.MAILBOX) == ["Lee", "Mine"]
    assert not before & ids(world), "they were not made anew"
    assert mine in ids(world)
    assert {one.id for one in world.mail.of(B, Module.CONTACT)} == others
    assert len(world.mail.of(A, Module.APPOINTMENT)) == 1
    assert await asked(world) is None
    await world.settle(2)
    await world.check()


async def test_none_drops_what_was_asked() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)
    before = ids(world)
    await ask(world, "clear")
    await ask(world, "none", Module.CONTACT)
    assert Module.CONTACT not in dict(await asked(world))  # type: ignore[call-overload]
    await world.settle(1)
    assert ids(world) == before


async def test_clear_killed_at_any_point_ends_the_same_and_removes_nothing_twice() -> None:
    async def scene() -> World:
        world = await World().start()
        for name in ("a", "b", "c", "d", "e", "f"):
            world.crm.add(A, Module.CONTACT, family=name)
        await world.settle(2)
        await ask(world, "clear", Module.CONTACT)
        world.mail.log.clear()
        return world

    world = await scene()
    before = world.ledger.number
    await world.cycle()
    points = world.ledger.number - before
    for point in range(1, points, 7):
        for when in ("before", "after"):
            world = await scene()
            target = world.ledger.number + point

            def kill(
                at: str, number: int, world: World = world, when: str = when, target: int = target
            ) -> None:
                if (at, number) == (when, target):
                    world.die()

            world.ledger.hook = kill
            await world.cycle()
            await world.settle(3)
            assert world.names(Side.MAILBOX) == list("abcdef"), (point, when)
            made = [line for line in world.mail.log if line.startswith("create")]
            gone = [line for line in world.mail.log if line.startswith("delete")]
            assert (len(made), len(gone)) == (6, 6), (point, when, world.mail.log)
            assert await asked(world) is None
            await world.check()
