"""Leaving a mailbox: what we made goes, what is the person's stays, and whatever dies meanwhile it can be finished."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from engine.jobs.queue import Priority
from engine.ledger import orders
from engine.ledger import undo as units
from engine.ledger.schema import cycle, item, link, scope
from engine.model.modules import Module, Side
from engine.model.policy import ModuleSettings, Policy
from engine.net.errors import ErrorKind, ProviderError
from tests.sync.fakes import no_faults
from tests.sync.test_cycle import fill, moment
from tests.sync.world import A, B, World, faulty

CONTACTS = f"{A}/contacts"


async def leave(world: World, *, edited: bool = False, cycles: int = 1) -> int:
    """Ask to leave Ada's mailbox and do it; returns the order's record."""
    box = await world.mailbox(A)
    order = await world.ledger.write(
        orders.ask, box.id, "sales", "leave", world.clock.now_ms(), options={"edited": edited}
    )
    for _ in range(cycles):
        await world.cycle(Priority.ADMIN, orders_only=True)
    return order


async def known(world: World, email: str = A) -> int:
    """Rows that the ledger still has of a mailbox."""
    box = (await world.mailbox(email)).id
    rows: list[Sequence[Any]] = []
    for table in (item, link, scope):
        rows += await world.rows(sa.select(table.c.id).where(table.c.mailbox_id == box))
    return len(rows)


def everything(world: World, email: str) -> int:
    return sum(len(world.mail.of(email, module)) for module in Module)


async def test_what_we_made_goes_with_its_containers_and_the_rest_stays() -> None:
    world = await World(people=(A, B)).start()
    fill(world)
    fill(world, B)
    own = world.mail.add(A, Module.CONTACT, given="Mum", family="Own", own=True)
    twin = world.mail.add(A, Module.CONTACT, given="Tom", family="Twin", email="tom@x.test")
    world.crm.add(A, Module.CONTACT, given="Tom", family="Twin", email="tom@x.test")
    mine = world.mail.add(A, Module.TASK, subject="my own task")
    await world.settle(2)
    records = {module: len(world.crm.of(A, module)) for module in Module}

    order = await leave(world)
    left = {one.id for module in Module for one in world.mail.of(A, module)}
    assert left == {own, twin, mine}
    assert {module: len(world.crm.of(A, module)) for module in Module} == records, "a CRM record went"
    assert "remove group:lead" in world.mail.log
    assert "remove group:contact" not in world.mail.log, "the adopted contact is still in that group"
    assert await known(world) == 0
    assert everything(world, B) == 8
    assert (await world.mailbox(A)).phase == "new"
    row = (await world.rows(sa.select(cycle).where(cycle.c.id == order)))[0]
    assert (row.state, row.counts["contact.deleted"]) == ("ok", 1)

    # Enabled again it begins afresh: nothing is doubled.
    await world.settle(3)
    assert len(world.mail.of(A, Module.CONTACT)) == 3
    await world.check()


async def test_an_edit_that_the_crm_has_not_received_stops_its_item_unless_asked() -> None:
    for edited in (False, True):
        world = await World().start()
        for name in ("kept", "synced"):
            world.crm.add(A, Module.CONTACT, family=name)
        await world.settle(2)
        ids = {one.fields["family"]: one.id for one in world.mail.of(A, Module.CONTACT)}
        world.mail.edit(CONTACTS, ids["synced"], title="in the CRM")
        await world.settle(1)
        world.mail.edit(CONTACTS, ids["kept"], title="mine")
        order = await leave(world, edited=edited)
        assert world.names(Side.MAILBOX) == ([] if edited else ["kept"])
        left = await world.ledger.read(units.left_alone, order)
        assert [one.why for one in left] == (
            [] if edited else ["edited in the mailbox, and the edit has not reached the CRM"]
        )
        assert await known(world) == 0
        await world.settle(3)
        assert world.names(Side.MAILBOX) == ["kept", "synced"], "what stayed was adopted by its mark"
        assert len(world.crm.of(A, Module.CONTACT)) == 2
        await world.check()


async def test_an_edit_in_the_last_moment_stops_its_item() -> None:
    world = await World().start()
    world.crm.add(A, Module.CONTACT, family="Berg")
    await world.settle(2)
    one = world.mail.of(A, Module.CONTACT)[0].id
    hits: list[str] = []

    def edit(point: str, _scope: Any, write: Any) -> None:
        if point == "write" and not hits:
            hits.append(point)
            world.mail.edit(CONTACTS, one, title="mine")

    world.mail.faults = edit  # type: ignore[assignment]
    await leave(world)
    world.mail.faults = no_faults
    assert world.names(Side.MAILBOX) == ["Berg"]


async def test_a_label_with_mails_of_the_person_stays() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)
    deal = world.mail.of(A, Module.OPPORTUNITY)[0]
    world.mail.filed.add(deal.id)
    order = await leave(world)
    assert [one.id for one in world.mail.of(A, Module.OPPORTUNITY)] == [deal.id]
    assert world.mail.of(A, Module.CASE) == []
    left = await world.ledger.read(units.left_alone, order)
    assert [one.why for one in left] == ["the person has filed mails of their own under its label"]


async def test_a_series_goes_whole_and_an_edited_occurrence_stops_it() -> None:
    for edited, lag in ((False, 0), (True, 0), (True, 90)):  # a late feed has not told of it yet
        world = await World(lag=lag).start()
        rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
        world.crm.add(
            A, Module.APPOINTMENT, subject="Stand-up", start=moment(25), end=moment(25, 10), rule=rule
        )
        await world.settle(2)
        if edited:
            master = world.mail.of(A, Module.APPOINTMENT)[0]
            place = world.mail.shelf(f"{A}/calendar")
            original = "2026-11-26T09:00:00Z"
            child = type(master)(
                f"{master.id}_{original}",
                Module.APPOINTMENT,
                {"subject": "Mine", "start": moment(26, 15), "end": moment(26, 16)},
                1,
                world.clock.ms,
                parent=master.id,
                occurrence=original,
            )
            place.put(child)
        await leave(world)
        assert bool(world.mail.of(A, Module.APPOINTMENT)) is edited


async def test_a_crm_that_is_gone_hinders_nobody_to_leave() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)
    with faulty(world.crm, lambda point, _scope, _write: "credential"):
        await leave(world)
    assert everything(world, A) == 0
    assert await known(world) == 0


async def test_a_container_that_somebody_deleted_hinders_nobody_to_leave() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)

    def gone(point: str, where: Any, _write: Any) -> None:
        if point == "changes" and where is not None and where.key == "calendar":
            raise ProviderError(ErrorKind.NOT_FOUND, "Fake", "there is no such calendar")

    world.mail.faults = gone  # type: ignore[assignment]
    await leave(world)
    assert await known(world) == 0
    assert not world.mail.of(A, Module.CONTACT)


async def test_modules_that_are_off_by_now_go_too() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)
    world.policy = Policy("sales", "crm", "mail", modules={Module.CONTACT: ModuleSettings()})
    await leave(world)
    assert everything(world, A) == 0


async def test_killed_at_any_point_it_goes_on() -> None:
    async def scene() -> World:
        world = await World().start()
        fill(world)
        world.mail.add(A, Module.CONTACT, given="Mum", family="Own", own=True)
        await world.settle(2)
        return world

    world = await scene()
    before = world.ledger.number
    await leave(world)
    points = world.ledger.number - before
    assert points > 10
    for point in range(2, points, 9):
        for when in ("before", "after"):
            world = await scene()
            target = world.ledger.number + 1 + point

            def kill(
                at: str, number: int, world: World = world, when: str = when, target: int = target
            ) -> None:
                if (at, number) == (when, target):
                    world.die()

            world.ledger.hook = kill
            await leave(world, cycles=3)
            assert everything(world, A) == 1, (point, when)
            assert await known(world) == 0, (point, when)
            assert not await world.ledger.read(orders.asked)
