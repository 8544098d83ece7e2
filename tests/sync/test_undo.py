"""Undo of a cycle: what nobody has edited since is as it was before, the rest is listed, and neither flows back."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import sqlalchemy as sa

from engine.jobs.queue import Priority
from engine.ledger import orders
from engine.ledger import undo as units
from engine.ledger.schema import cycle
from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.sync.fakes import FakeProvider
from tests.sync.test_cycle import moment
from tests.sync.world import A, World

MODULES = {module: ModuleSettings() for module in (Module.CONTACT, Module.APPOINTMENT, Module.TASK)}


def policy(**settings: Any) -> Policy:
    return Policy("sales", "crm", "mail", modules=MODULES, **settings)


async def last_cycle(world: World) -> int:
    """The youngest cycle that wrote something."""
    found = await world.ledger.read(units.cycles)
    return next(one.id for one in found if one.wrote)


async def ask(world: World, cycle_id: int) -> int:
    """Ask for an undo; returns its own cycle."""
    record = (await world.ledger.read(units.cycles, ids=[cycle_id]))[0]
    return await world.ledger.write(
        orders.ask, record.mailbox_id, "sales", "undo", world.clock.now_ms(), about=cycle_id
    )


async def undo(world: World, cycle_id: int, *, orders_only: bool = False) -> int:
    """Ask for an undo and run it; returns its own cycle."""
    order = await ask(world, cycle_id)
    await world.cycle(Priority.ADMIN, orders_only=orders_only)
    return order


async def state_of(world: World, cycle_id: int) -> sa.Row[Any]:
    return (await world.rows(sa.select(cycle).where(cycle.c.id == cycle_id)))[0]


async def left(world: World, order: int) -> list[str]:
    return [one.why for one in await world.ledger.read(units.left_alone, order)]


def fields(provider: FakeProvider, where: str, item: str) -> dict[str, Any]:
    return dict(provider.shelf(where).now[item].fields)


async def pair(world: World, **values: Any) -> tuple[str, str]:
    """A contact on both sides: (CRM id, mailbox id)."""
    made = world.crm.add(A, Module.CONTACT, given="Ann", **values)
    await world.settle(2)
    twin = next(
        one for one in world.mail.of(A, Module.CONTACT) if one.fields.get("family") == values.get("family")
    )
    return made, twin.id


CONTACTS = f"{A}/contacts"


async def test_an_update_is_put_back_and_neither_side_flows_over_the_other() -> None:
    world = await World(policy=policy()).start()
    record, item = await pair(world, family="Berg", title="Clerk")
    world.crm.edit("Contact", record, title="Boss", phone_work={"raw": "1", "e164": None})
    await world.cycle()
    assert fields(world.mail, CONTACTS, item)["title"] == "Boss"

    order = await undo(world, await last_cycle(world))
    shown = fields(world.mail, CONTACTS, item)
    assert (shown["title"], "phone_work" in shown) == ("Clerk", False)
    assert (await state_of(world, order)).state == "ok"

    world.mail.log.clear()
    world.crm.log.clear()
    await world.settle(3)
    assert world.mail.log == world.crm.log == [], "the undo flows back"
    assert fields(world.crm, "Contact", record)["title"] == "Boss"
    assert await world.open_work() == (0, 0)

    # Later edits flow as ever, on either side.
    world.crm.edit("Contact", record, title="Chair")
    world.mail.edit(CONTACTS, item, phone_work={"raw": "2", "e164": None})
    await world.settle(2)
    assert fields(world.mail, CONTACTS, item)["title"] == "Chair"
    assert fields(world.crm, "Contact", record)["phone_work"]["raw"] == "2"
    await world.check()


async def test_what_was_edited_since_is_listed_and_not_forced() -> None:
    world = await World(policy=policy()).start()
    record, item = await pair(world, family="Berg", title="Clerk", company="Old")
    world.crm.edit("Contact", record, title="Boss", company="New")
    await world.cycle()
    undone = await last_cycle(world)
    world.mail.edit(CONTACTS, item, title="Mine")

    order = await undo(world, undone)
    shown = fields(world.mail, CONTACTS, item)
    assert (shown["title"], shown["company"]) == ("Mine", "Old")
    assert await left(world, order) == ["changed since: job title"]
    await world.settle(2)
    assert fields(world.crm, "Contact", record)["title"] == "Mine", "the person's edit flows on"
    assert fields(world.crm, "Contact", record)["company"] == "New"


async def test_an_edit_that_the_undo_has_not_seen_is_not_overwritten() -> None:
    world = await World(policy=policy()).start()
    record, item = await pair(world, family="Berg", title="Clerk")
    world.crm.edit("Contact", record, title="Boss")
    await world.cycle()
    undone = await last_cycle(world)
    hits: list[str] = []

    def edit_first(point: str, _scope: Any, write: Any) -> None:
        if point == "write" and not hits:
            hits.append(point)
            world.mail.edit(CONTACTS, item, title="Mine")

    world.mail.faults = edit_first  # type: ignore[assignment]
    order = await undo(world, undone)
    assert fields(world.mail, CONTACTS, item)["title"] == "Mine"
    assert await left(world, order) == ["changed since: job title"]


async def test_what_a_cycle_made_is_removed_and_not_sent_again_until_it_changes() -> None:
    world = await World(policy=policy(crm_deletes=DeleteMode.MIRROR, mailbox_deletes=DeleteMode.MIRROR)).start()
    record, _item = await pair(world, family="Berg")
    edited, kept = await pair(world, family="Lind")
    first = await world.ledger.read(units.cycles)
    world.mail.edit(CONTACTS, kept, title="Mine")
    for one in first:
        if one.wrote:
            await undo(world, one.id)
    assert world.names(Side.MAILBOX) == ["Lind"]
    await world.settle(3)
    assert world.names(Side.MAILBOX) == ["Lind"]
    assert world.names(Side.CRM) == ["Berg", "Lind"], "the undo took the source with it"

    world.crm.edit("Contact", record, title="Boss")
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["Berg", "Lind"]
    assert fields(world.crm, "Contact", edited)["title"] == "Mine"
    await world.check()


async def test_what_a_cycle_deleted_is_made_again_and_stays() -> None:
    for key in CreateKey:
        lag = 120 if key is CreateKey.MARKER else 0
        world = await World(policy=policy(), mail_key=key, lag=lag).start()
        record, _item = await pair(world, family="Berg", title="Clerk")
        await world.settle(1)
        world.crm.delete("Contact", record)
        await world.settle(2)
        assert world.names(Side.MAILBOX) == []
        await undo(world, await last_cycle(world))
        assert world.names(Side.MAILBOX) == ["Berg"]
        assert world.mail.of(A, Module.CONTACT)[0].fields["title"] == "Clerk"
        await world.settle(3)
        assert world.names(Side.MAILBOX) == ["Berg"], "the tombstone deleted it again"
        assert world.names(Side.CRM) == []

        again = world.mail.of(A, Module.CONTACT)[0].id
        world.mail.edit(CONTACTS, again, title="Boss")
        await world.settle(2)
        assert world.names(Side.CRM) == ["Berg"]
        await world.check()


async def test_an_undo_can_be_undone() -> None:
    world = await World(policy=policy()).start()
    record, item = await pair(world, family="Berg", title="Clerk")
    world.mail.rewrites["title"] = lambda text: f"<{text}>"
    world.crm.edit("Contact", record, title="Boss")
    await world.settle(2)
    order = await undo(world, await last_cycle(world))
    assert fields(world.mail, CONTACTS, item)["title"] == "<Clerk>"
    await world.settle(2)
    again = await undo(world, order)
    assert fields(world.mail, CONTACTS, item)["title"] == "<Boss>"
    assert await left(world, again) == []
    await world.settle(2)
    assert fields(world.crm, "Contact", record)["title"] == "Boss"
    assert await world.open_work() == (0, 0)


async def test_an_undo_runs_while_the_policy_is_off_and_syncs_nothing_else() -> None:
    world = await World(policy=policy()).start()
    record, item = await pair(world, family="Berg", title="Clerk")
    world.crm.edit("Contact", record, title="Boss")
    await world.cycle()
    undone = await last_cycle(world)
    world.crm.add(A, Module.CONTACT, family="Later")
    order = await undo(world, undone, orders_only=True)
    assert (await state_of(world, order)).state == "ok"
    assert (await state_of(world, undone)).undone_by == order
    assert fields(world.mail, CONTACTS, item)["title"] == "Clerk"
    assert world.names(Side.MAILBOX) == ["Berg"]


async def test_the_journal_of_the_write_after_an_undo_keeps_what_stood_there() -> None:
    world = await World(policy=policy()).start()
    record, _item = await pair(world, family="Berg", title="Clerk")
    world.crm.edit("Contact", record, title="Boss")
    await world.cycle()
    await undo(world, await last_cycle(world))
    world.crm.edit("Contact", record, title="Chair")
    await world.settle(2)
    row = (await world.journal())[-1]
    assert (row.before, row.after) == ({"title": "Clerk"}, {"title": "Chair"})


async def test_a_series_is_taken_back_whole_and_comes_back_whole() -> None:
    world = await World(policy=policy(mailbox_deletes=DeleteMode.MIRROR)).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    series = world.crm.add(
        A, Module.APPOINTMENT, subject="Stand-up", start=moment(25), end=moment(25, 10), rule=rule
    )
    await world.settle(2)
    await undo(world, await last_cycle(world))
    await world.settle(2)
    assert world.names(Side.MAILBOX, A, Module.APPOINTMENT) == []
    assert world.names(Side.CRM, A, Module.APPOINTMENT) == ["Stand-up"]
    world.crm.edit("Event", series, subject="Stand up")
    await world.settle(2)
    assert world.names(Side.MAILBOX, A, Module.APPOINTMENT) == ["Stand up"]
    await world.check()


async def test_an_undo_that_takes_a_series_back_leaves_a_changed_occurrence_in_the_journal() -> None:
    """Also one that no feed has told of: it goes with its series (seed 86676)."""
    world = await World(policy=policy(mailbox_deletes=DeleteMode.MIRROR)).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    world.crm.add(A, Module.APPOINTMENT, subject="Stand-up", start=moment(25), end=moment(25, 10), rule=rule)
    await world.settle(2)
    where = f"{A}/calendar"
    [series] = world.mail.of(A, Module.APPOINTMENT)
    shown = {"subject": "Stand-up", "location": "the garden", "start": moment(26), "end": moment(26, 10)}
    at = str(moment(26)["utc"])
    thing = replace(series, id=f"{series.id}_26", fields=shown, parent=series.id, occurrence=at, marker=None)
    world.mail._store(where, thing)
    world.mail.shelf(where).log.pop()
    await undo(world, await last_cycle(world))
    assert world.mail.of(A, Module.APPOINTMENT) == []
    assert "the garden" in [(row.before or {}).get("location") for row in await world.journal()]
    await world.settle(2)
    await world.check()


async def test_what_an_undo_cannot_come_to_is_listed() -> None:
    world = await World(policy=policy()).start()
    record, item = await pair(world, family="Berg", title="Clerk")
    task = world.crm.add(A, Module.TASK, subject="old")
    await world.settle(2)
    world.crm.edit("Contact", record, title="Boss")
    world.crm.edit("Task", task, subject="new")
    await world.cycle()
    undone = await last_cycle(world)
    world.policy = Policy("sales", "crm", "mail", modules={Module.CONTACT: ModuleSettings()})
    order = await undo(world, undone)
    assert fields(world.mail, CONTACTS, item)["title"] == "Clerk"
    assert await left(world, order) == ["its module is off in the policy by now"]


async def test_times_are_put_back_together_or_not_at_all() -> None:
    world = await World(policy=policy()).start()
    event = world.crm.add(A, Module.APPOINTMENT, subject="Meet", start=moment(25, 9), end=moment(25, 10))
    await world.settle(2)
    world.crm.edit("Event", event, start=moment(25, 12), end=moment(25, 13))
    await world.settle(1)
    undone = await last_cycle(world)
    item = world.mail.of(A, Module.APPOINTMENT)[0]
    world.mail.edit(f"{A}/calendar", item.id, end=moment(25, 15))
    await undo(world, undone)
    shown = fields(world.mail, f"{A}/calendar", item.id)
    assert (shown["start"], shown["end"]) == (moment(25, 12), moment(25, 15))


async def scene(mail_key: CreateKey) -> tuple[World, int, dict[str, str]]:
    """A cycle that made, changed and deleted contacts in both places."""
    lag = 120 if mail_key is CreateKey.MARKER else 0
    world = await World(policy=policy(mailbox_deletes=DeleteMode.MIRROR), mail_key=mail_key, lag=lag).start()
    ids = {name: world.crm.add(A, Module.CONTACT, family=name, title="old") for name in ("edit", "gone")}
    mine = world.mail.add(A, Module.CONTACT, family="mine", title="old")
    await world.settle(3)
    world.crm.edit("Contact", ids["edit"], title="new")
    world.crm.delete("Contact", ids["gone"])
    world.mail.edit(CONTACTS, mine, title="new")
    world.crm.add(A, Module.CONTACT, family="made", title="new")
    await world.settle(1)
    return world, await last_cycle(world), ids


def found(world: World) -> Sequence[tuple[str, str]]:
    return [
        tuple(sorted((one.fields["family"], one.fields["title"]) for one in things))  # type: ignore[misc]
        for things in (world.mail.of(A, Module.CONTACT), world.crm.of(A, Module.CONTACT))
    ]


WANTED = [
    (("edit", "old"), ("gone", "old"), ("mine", "new")),
    (("edit", "new"), ("made", "new"), ("mine", "old")),
]


async def test_killed_at_any_point_an_undo_goes_on_and_ends_the_same() -> None:
    for number, key in enumerate(CreateKey):
        world, undone, _ = await scene(key)
        await ask(world, undone)
        before = world.ledger.number
        await world.cycle()
        points = world.ledger.number - before
        await world.settle(3)
        assert found(world) == WANTED
        for point in range(1 + number, points, 13):
            for when in ("before", "after"):
                world, undone, _ = await scene(key)
                await ask(world, undone)
                target = world.ledger.number + point

                def kill(
                    at: str, number: int, world: World = world, when: str = when, target: int = target
                ) -> None:
                    if (at, number) == (when, target):
                        world.die()

                world.ledger.hook = kill
                await world.cycle()
                world.ledger.hook = lambda _when, _number: None
                await world.settle(4)
                assert found(world) == WANTED, (key, point, when)
                assert await world.open_work() == (0, 0), (key, point, when)
                assert not await world.ledger.read(orders.asked)
