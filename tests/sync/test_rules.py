"""The rules that people notice: deletes, owners, twins, switches, broken sources, poison items."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from engine.jobs.queue import Priority
from engine.ledger import fence, mailboxes
from engine.ledger.schema import guard, intent
from engine.model.modules import Direction, Module, Side
from engine.model.policy import DeleteMode, ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.sync.test_cycle import FIRST, fill, moment
from tests.sync.world import A, B, World, faulty

CONTACTS = f"{A}/contacts"


def policy(**values: Any) -> Policy:
    return replace(Policy("sales", "crm", "mail"), **values)


def crowd(world: World, count: int) -> list[str]:
    return [world.crm.add(A, Module.CONTACT, given="N", family=f"F{n:03d}") for n in range(count)]


# -- deletes ---------------------------------------------------------------------------------------------


async def test_a_delete_in_the_crm_is_mirrored_and_one_in_the_mailbox_is_not() -> None:
    world = await World().start()
    one, two = crowd(world, 2)
    await world.cycle()
    world.crm.delete("Contact", one)
    twin = next(thing for thing in world.mail.of(A, Module.CONTACT) if thing.fields["family"] == "F001")
    world.mail.delete(CONTACTS, twin.id)
    await world.settle(2)
    assert world.names(Side.MAILBOX) == []
    assert [thing.id for thing in world.crm.of(A, Module.CONTACT)] == [two]
    assert [row.state for row in await world.links()] == ["tombstone", "absent"]
    await world.check()


async def test_mailbox_deletes_reach_the_crm_when_the_policy_says_so() -> None:
    world = await World(policy=policy(mailbox_deletes=DeleteMode.MIRROR)).start()
    crowd(world, 1)
    await world.cycle()
    world.mail.delete(CONTACTS, world.mail.of(A, Module.CONTACT)[0].id)
    await world.settle(2)
    assert world.names(Side.CRM) == []


async def test_an_edit_beats_a_delete() -> None:
    world = await World().start()
    (item,) = crowd(world, 1)
    await world.cycle()
    world.mail.delete(CONTACTS, world.mail.of(A, Module.CONTACT)[0].id)
    world.crm.edit("Contact", item, title="Boss")
    await world.settle(2)
    assert [one.fields["title"] for one in world.mail.of(A, Module.CONTACT)] == ["Boss"]
    assert any(row.why == "an edit beats a delete" for row in await world.journal())
    await world.check()


async def test_a_recreated_item_forgets_what_was_cleared_meanwhile() -> None:
    world = await World().start()
    item = world.crm.add(A, Module.CONTACT, **FIRST, title="Boss")
    await world.cycle()
    world.mail.delete(CONTACTS, world.mail.of(A, Module.CONTACT)[0].id)
    world.crm.edit("Contact", item, title=None)
    await world.settle(2)
    world.mail.edit(CONTACTS, world.mail.of(A, Module.CONTACT)[0].id, title="Boss")
    await world.settle(2)
    assert world.crm.of(A, Module.CONTACT)[0].fields.get("title") == "Boss"
    await world.check()


async def test_an_item_that_comes_back_in_the_crm_comes_back_in_the_mailbox() -> None:
    world = await World().start()
    (item,) = crowd(world, 1)
    await world.cycle()
    world.crm.delete("Contact", item)
    await world.settle(2)
    assert world.names(Side.MAILBOX) == []
    world.crm.edit("Contact", item)  # undeleted from the recycle bin
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["F000"]
    await world.check()


async def test_delete_safety_holds_too_many_deletes_and_lets_the_rest_go_on() -> None:
    world = await World().start()
    ids = crowd(world, 20)
    await world.cycle()
    for item in ids[:10]:
        world.crm.delete("Contact", item)
    world.crm.edit("Contact", ids[15], title="Boss")
    result = await world.cycle()
    assert result is not None
    assert "Delete Safety" in result.faults[A]
    await world.settle(2)
    assert len(world.mail.of(A, Module.CONTACT)) == 20
    assert [one.fields.get("title") for one in world.mail.of(A, Module.CONTACT)].count("Boss") == 1
    held = await world.rows(sa.select(intent).where(intent.c.state == "held"))
    assert len(held) == 10
    assert len(await world.rows(sa.select(guard))) == 1


# -- owners and users ------------------------------------------------------------------------------------


async def test_a_change_of_owner_moves_an_item_between_mailboxes_and_back() -> None:
    world = await World(people=(A, B)).start()
    (item,) = crowd(world, 1)
    await world.settle(2)
    world.crm.give(item, Module.CONTACT, B)
    await world.settle(2)
    assert (world.names(Side.MAILBOX, A), world.names(Side.MAILBOX, B)) == ([], ["F000"])
    world.crm.give(item, Module.CONTACT, A)
    await world.settle(2)
    assert (world.names(Side.MAILBOX, A), world.names(Side.MAILBOX, B)) == (["F000"], [])
    assert len(world.crm.shelf("Contact").live()) == 1
    await world.check()


async def test_a_user_who_is_removed_keeps_everything_and_is_not_doubled_on_return() -> None:
    world = await World(people=(A, B)).start()
    item, gone = crowd(world, 2)
    await world.settle(2)
    await world.configure([B])
    await world.settle(1)
    world.crm.edit("Contact", item, title="Boss")
    world.crm.delete("Contact", gone)
    world.mail.add(A, Module.CONTACT, given="Mo", family="Mail")
    await world.settle(1)
    assert world.names(Side.MAILBOX) == ["F000", "F001", "Mail"]
    await world.configure([A, B])
    await world.settle(2)
    assert world.names(Side.MAILBOX) == world.names(Side.CRM) == ["F000", "Mail"]
    assert world.mail.of(A, Module.CONTACT)[0].fields["title"] == "Boss"
    await world.check()


# -- twins -----------------------------------------------------------------------------------------------


async def test_twins_that_both_sides_had_are_joined() -> None:
    world = await World().start()
    world.crm.add(A, Module.CONTACT, **FIRST)
    world.mail.add(A, Module.CONTACT, **{**FIRST, "email": "ANN@acme.test"}, title="Boss")
    await world.settle(2)
    assert len(world.mail.of(A, Module.CONTACT)) == len(world.crm.of(A, Module.CONTACT)) == 1
    assert world.crm.of(A, Module.CONTACT)[0].fields["title"] == "Boss"
    await world.check()


async def test_a_persons_own_twin_is_left_alone_until_it_disappears() -> None:
    world = await World().start()
    own = world.mail.add(A, Module.CONTACT, own=True, **FIRST)
    world.crm.add(A, Module.CONTACT, **FIRST, title="Boss")
    await world.settle(2)
    assert [one.id for one in world.mail.of(A, Module.CONTACT)] == [own]
    assert [row.state for row in await world.links()] == ["held"]
    world.mail.delete(CONTACTS, own)
    await world.settle(2)
    assert [one.fields.get("title") for one in world.mail.of(A, Module.CONTACT)] == ["Boss"]
    await world.check()


async def test_a_held_twin_goes_on_when_its_address_is_corrected() -> None:
    world = await World().start()
    world.mail.add(A, Module.CONTACT, own=True, given="X", email="ann@acme.test")
    item = world.crm.add(A, Module.CONTACT, **FIRST)
    await world.settle(2)
    assert [row.state for row in await world.links()] == ["held"]
    world.crm.edit("Contact", item, email="ann.lee@acme.test")
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["", "Lee"]
    await world.check()


async def test_a_held_twin_goes_on_when_the_own_item_gets_another_address() -> None:
    world = await World().start()
    own = world.mail.add(A, Module.CONTACT, own=True, given="X", email="ann@acme.test")
    world.crm.add(A, Module.CONTACT, **FIRST)
    await world.settle(2)
    world.mail.edit(CONTACTS, own, email="someone@else.test")
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["", "Lee"]
    await world.check()


# -- switches --------------------------------------------------------------------------------------------


async def test_a_module_that_is_switched_off_deletes_nothing_and_catches_up_when_it_is_on_again() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)
    on = world.policy
    world.policy = replace(on, modules={**on.modules, Module.CALL: ModuleSettings(enabled=False)})
    world.crm.add(A, Module.CALL, subject="second call", start=moment(25), end=moment(25, 10))
    world.crm.add(A, Module.TASK, subject="second task")
    world.mail.add(A, Module.CALL, subject="third call", start=moment(26), end=moment(26, 10))
    await world.settle(2)
    assert len(world.mail.of(A, Module.CALL)) == 2
    assert len(world.crm.of(A, Module.CALL)) == 2
    assert world.names(Side.MAILBOX, A, Module.TASK) == ["second task", "write offer"]
    world.policy = on
    await world.settle(2)
    assert world.names(Side.MAILBOX, A, Module.CALL) == ["a call", "second call", "third call"]
    assert world.names(Side.CRM, A, Module.CALL) == ["a call", "second call", "third call"]
    await world.check()


@pytest.mark.parametrize("direction", [Direction.TO_MAILBOX, Direction.TO_CRM])
async def test_a_one_way_module_never_writes_the_other_side(direction: Direction) -> None:
    modules = {Module.CONTACT: ModuleSettings(direction=direction)}
    world = await World(policy=policy(modules=modules)).start()
    item = world.crm.add(A, Module.CONTACT, **FIRST)
    other = world.mail.add(A, Module.CONTACT, given="Mo", family="Mail")
    await world.settle(2)
    world.crm.edit("Contact", item, title="crm")
    world.mail.edit(CONTACTS, other, title="mail")
    await world.settle(2)
    wrote, quiet = (world.mail, world.crm) if direction is Direction.TO_MAILBOX else (world.crm, world.mail)
    assert wrote.log
    assert not quiet.log
    assert await world.open_work() == (0, 0)


# -- sources that fail -----------------------------------------------------------------------------------


@pytest.mark.parametrize("page", [0, 1, 2])
@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_a_cursor_that_expires_on_any_page_costs_a_complete_read_and_nothing_else(
    page: int, where: str
) -> None:
    world = await World(policy=policy(modules={Module.CONTACT: ModuleSettings()})).start()
    world.crm.page_size = world.mail.page_size = 3
    ids = crowd(world, 10)
    await world.settle(2)
    for item in ids[:8]:
        world.crm.edit("Contact", item, title="crm")
    for thing in world.mail.of(A, Module.CONTACT)[2:]:
        world.mail.edit(CONTACTS, thing.id, department="mail")
    world.crm.delete("Contact", ids[9])
    provider = world.crm if where == "crm" else world.mail
    count = -1

    def expire(point: str, *_: object) -> str | None:
        nonlocal count
        count += point == "page"
        return "expired" if point == "page" and count == page else None

    with faulty(provider, expire):
        result = await world.cycle()
    assert result is not None
    assert not result.faults
    await world.settle(2)
    assert world.names(Side.MAILBOX) == world.names(Side.CRM)
    assert len(world.names(Side.CRM)) in {9, 10}
    assert all("title" in one.fields for one in world.mail.of(A, Module.CONTACT)[:8])
    await world.check()


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_a_complete_read_that_expires_again_is_told_and_tried_later(where: str) -> None:
    world = await World().start()
    crowd(world, 3)
    await world.settle(2)
    provider = world.crm if where == "crm" else world.mail
    with faulty(provider, lambda point, *_: "expired" if point == "page" else None):
        result = await world.cycle()
    assert result is not None
    assert "cursor" in next(iter(result.faults.values()))
    await world.settle(2)
    await world.check()


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_a_source_that_returns_nothing_is_not_believed(where: str) -> None:
    world = await World().start()
    crowd(world, 12)
    await world.settle(2)
    provider = world.crm if where == "crm" else world.mail
    for shelf in provider.shelves.values():
        shelf.epoch += 1
    with faulty(provider, lambda point, *_: "empty" if point == "changes" else None):
        result = await world.cycle()
    assert result is not None
    assert "returned nothing" in next(iter(result.faults.values()))
    await world.settle(2)
    assert len(world.names(Side.MAILBOX)) == len(world.names(Side.CRM)) == 12
    await world.check()


async def test_a_step_that_fails_does_not_stop_later_ones() -> None:
    world = await World().start()
    fill(world)

    def fail(point: str, scope: Any, _write: object) -> str | None:
        return "unavailable" if point == "changes" and scope.key == "contacts" else None

    with faulty(world.mail, fail):
        result = await world.cycle()
    assert result is not None
    assert "unavailable" in result.faults[A]
    assert world.names(Side.MAILBOX) == []
    assert world.names(Side.MAILBOX, A, Module.TASK) == ["write offer"]
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["Lee"]
    await world.check()


async def test_a_refused_credential_stops_one_mailbox_and_no_other() -> None:
    world = await World(people=(A, B)).start()
    fill(world, A)
    fill(world, B)

    def fail(point: str, scope: Any, _write: object) -> str | None:
        return "credential" if scope is not None and scope.account.email == A else None

    with faulty(world.mail, fail):
        result = await world.cycle()
    assert result is not None
    assert list(result.faults) == [A]
    assert (await world.mailbox(A)).fault_kind == "credential"
    assert not world.mail.shelf(CONTACTS).live()
    assert all(len(world.mail.of(B, module)) == 1 for module in Module)
    calls = len(world.mail.calls)
    await world.cycle()
    assert len(world.mail.calls) - calls == 4, "it waits for a person"
    await world.cycle(Priority.ADMIN)
    await world.settle(2)
    assert (await world.mailbox(A)).fault == ""
    await world.check()


async def test_a_poison_item_is_set_aside_after_five_failures_and_the_mailbox_goes_on() -> None:
    world = await World().start()
    ids = crowd(world, 3)

    def poison(point: str, _scope: object, write: Any) -> str | None:
        return "rejected" if point == "write" and write.fields.get("family") == "F001" else None

    world.mail.faults = poison
    for number in range(4):
        await world.cycle()
        world.clock.ms += 3_600_000
        assert [row.state for row in await world.links()].count("quarantined") == 0, number
    await world.cycle()
    assert [row.state for row in await world.links()].count("quarantined") == 1
    assert world.names(Side.MAILBOX) == ["F000", "F002"]
    before = len(world.mail.calls)
    world.crm.edit("Contact", ids[0], title="Boss")
    await world.cycle()
    assert world.mail.calls[before:].count("apply") == 1
    world.mail.faults = lambda *_: None
    world.crm.edit("Contact", ids[1], title="Boss")  # somebody mended it
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["F000", "F001", "F002"]
    await world.check()


async def test_a_failed_item_waits_longer_each_time() -> None:
    world = await World().start()
    crowd(world, 1)
    world.mail.faults = lambda point, *_: "rejected" if point == "write" else None
    tries = []
    for _ in range(12):
        before = world.mail.calls.count("apply")
        await world.cycle()  # one a minute
        tries.append(world.mail.calls.count("apply") - before)
    assert tries[:8] == [1, 1, 1, 0, 1, 0, 0, 0]


async def test_an_item_that_we_deleted_does_not_come_back_through_a_late_feed() -> None:
    world = await World(lag=300, mail_key=CreateKey.MARKER).start()
    (item,) = crowd(world, 1)
    await world.settle(3)
    world.crm.edit("Contact", item, title="Boss")
    await world.cycle()
    world.crm.delete("Contact", item)
    for _ in range(10):
        await world.cycle()
        assert world.names(Side.CRM) == []
    await world.settle(2)
    assert world.names(Side.MAILBOX) == world.names(Side.CRM) == []
    await world.check()


async def test_what_the_provider_makes_of_a_value_is_no_edit() -> None:
    world = await World().start()
    world.mail.rewrites = {"notes": lambda text: f"<p>{text}</p>"}
    item = world.crm.add(A, Module.CONTACT, **FIRST, notes="hello")
    await world.settle(3)
    assert world.crm.of(A, Module.CONTACT)[0].fields["notes"] == "hello"
    assert len(world.mail.log) == 1
    world.crm.edit("Contact", item, notes="good bye")
    await world.settle(3)
    assert world.mail.of(A, Module.CONTACT)[0].fields["notes"] == "<p>good bye</p>"
    world.mail.edit(CONTACTS, world.mail.of(A, Module.CONTACT)[0].id, notes="<p>my own</p>")
    await world.settle(3)
    assert world.crm.of(A, Module.CONTACT)[0].fields["notes"] == "<p>my own</p>"


@pytest.mark.parametrize("moment_", ["changes", "apply"])
async def test_a_lease_that_was_taken_over_is_told_and_commits_nothing(moment_: str) -> None:
    world = await World().start()
    crowd(world, 3)

    def take_over(point: str, _scope: object, _write: object) -> None:
        if point == moment_:
            with world.ledger._engine.begin() as connection:
                fence.take_all(connection)

    with faulty(world.mail, take_over):
        result = await world.cycle()
    assert result is not None
    assert not any("internal error" in text for text in result.faults.values())
    assert (await world.mailbox(A)).failures == 0
    assert any("taken over" in one.text for one in world.told)
    assert not await world.links("live")
    await world.settle(2)
    assert len(world.names(Side.MAILBOX)) == 3
    await world.check()


async def test_a_series_and_its_changed_occurrence_reach_the_mailbox_and_end_together() -> None:
    world = await World().start()
    rule = {"lines": ["RRULE:FREQ=WEEKLY"]}
    world.crm.add(A, Module.APPOINTMENT, subject="weekly", start=moment(20), end=moment(20, 10), rule=rule)
    await world.settle(2)
    master = world.mail.of(A, Module.APPOINTMENT)[0]
    occurrence = "2026-11-27T09:00:00Z"
    thing = replace(
        master,
        id=f"{master.id}_{occurrence}",
        fields={"subject": "weekly, moved", "start": moment(28), "end": moment(28, 10)},
        parent=master.id,
        occurrence=occurrence,
        marker=None,
    )
    world.mail._store(f"{A}/calendar", thing)
    await world.settle(2)
    series = world.crm.of(A, Module.APPOINTMENT)
    assert sorted(one.fields["subject"] for one in series) == ["weekly", "weekly, moved"]
    moved = next(one for one in series if one.parent)
    assert (moved.parent, moved.occurrence) == (next(one.id for one in series if not one.parent), occurrence)
    await world.check()
    world.crm.delete("Event", moved.parent or "")
    await world.settle(2)
    assert world.names(Side.MAILBOX, A, Module.APPOINTMENT) == []
    await world.check()


async def test_a_paused_mailbox_catches_up_when_it_is_resumed() -> None:
    world = await World(people=(A, B)).start()
    item, gone = crowd(world, 2)
    await world.settle(2)
    box = (await world.mailbox(A)).id
    await world.ledger.write(mailboxes.set_mailbox, box, paused=1)
    world.crm.edit("Contact", item, title="Boss")
    world.crm.delete("Contact", gone)
    world.crm.add(A, Module.CONTACT, given="N", family="new")
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["F000", "F001"]
    await world.ledger.write(mailboxes.set_mailbox, box, paused=0)
    await world.settle(2)
    assert world.names(Side.MAILBOX) == ["F000", "new"]
    assert "Boss" in [one.fields.get("title") for one in world.mail.of(A, Module.CONTACT)]
    await world.check()


async def test_who_moves_to_another_policy_begins_anew_and_nothing_is_made_twice() -> None:
    world = await World().start()
    crowd(world, 3)
    await world.cycle()
    before = world.names(Side.MAILBOX)
    world.policy = replace(world.policy, name="other")
    await world.configure([A, B])
    records = await world.ledger.read(mailboxes.mailboxes)
    assert {(record.policy, record.phase) for record in records} == {("other", "new")}
    assert await world.links() == []
    await world.settle(2)
    assert world.names(Side.MAILBOX) == before
    assert len(before) == 3
    await world.check()
