"""Cycles of the whole engine against a CRM and a mail system in memory."""

from __future__ import annotations

import pytest

from engine.model.modules import STEPS, Module, Side
from tests.sync.world import A, B, World

FIRST = {"given": "Ann", "family": "Lee", "company": "Acme", "email": "ann@acme.test"}


def moment(day: int, hour: int = 9) -> dict[str, object]:
    return {"utc": f"2026-11-{day:02d}T{hour:02d}:00:00Z", "zone": "UTC"}


def fill(world: World, email: str = A) -> None:
    """One item of every module in the CRM."""
    world.crm.add(email, Module.CONTACT, **FIRST)
    world.crm.add(email, Module.LEAD, given="Leo", family="Lead", email="leo@x.test")
    for module in (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL):
        world.crm.add(email, module, subject=f"a {module}", start=moment(25), end=moment(25, 10))
    world.crm.add(email, Module.TASK, subject="write offer", due="2026-12-01")
    world.crm.add(email, Module.OPPORTUNITY, name="Big deal", stage="open")
    world.crm.add(email, Module.CASE, name="Broken", number="7")


async def test_a_first_sync_brings_every_module_in_the_fixed_order() -> None:
    world = await World().start()
    fill(world)
    result = await world.cycle()
    assert result is not None
    assert not result.faults
    assert result.written == 8
    for module in Module:
        assert len(world.mail.of(A, module)) == 1, module
    order = [line.split()[1] for line in world.mail.log]
    steps = [(Module.CONTACT, Module.LEAD), (Module.APPOINTMENT, Module.CALL, Module.SERVICE_CALL)]
    assert {order[0], order[1]} == set(steps[0])
    assert set(order[2:5]) == set(steps[1])
    assert order[5] == Module.TASK
    assert set(order[6:]) == {Module.OPPORTUNITY, Module.CASE}
    seen = [one.step for one in world.told if one.step_state == "running"]
    assert seen == list(STEPS)
    await world.check()


async def test_an_idle_cycle_makes_one_call_per_feed_and_commits_nothing() -> None:
    world = await World().start()
    fill(world)
    await world.settle(2)
    world.crm.calls.clear()
    world.mail.calls.clear()
    commits, lines = world.ledger.commits, len(world.mail.log) + len(world.crm.log)
    await world.cycle()
    assert world.crm.calls == ["changes"] * 7
    assert world.mail.calls == ["changes"] * 4
    assert world.ledger.commits == commits
    assert len(world.mail.log) + len(world.crm.log) == lines


async def test_the_echo_of_our_own_writes_is_read_once() -> None:
    world = await World().start()
    fill(world)
    await world.cycle()
    await world.cycle()
    listed = []
    world.mail.show, shown = lambda thing: listed.append(thing.id) or shown(thing), world.mail.show
    await world.cycle()
    assert listed == []


@pytest.mark.parametrize("count", [1, 100])
async def test_edits_flow_both_ways(count: int) -> None:
    world = await World().start()
    ids = [world.crm.add(A, Module.CONTACT, given="N", family=f"F{n:03d}") for n in range(count)]
    await world.cycle()
    for item in ids:
        world.crm.edit("Contact", item, title="Boss")
    for thing in world.mail.of(A, Module.CONTACT):
        world.mail.edit(f"{A}/contacts", thing.id, department="Sales")
    await world.cycle()
    await world.cycle()
    for things in (world.crm.of(A, Module.CONTACT), world.mail.of(A, Module.CONTACT)):
        assert len(things) == count
        assert all(one.fields["title"] == "Boss" and one.fields["department"] == "Sales" for one in things)
    assert not [row for row in await world.journal() if row.kind == "conflict"]
    await world.check()


async def test_new_items_of_the_mailbox_reach_the_crm_and_get_the_owner() -> None:
    world = await World(people=(A, B)).start()
    await world.cycle()
    world.mail.add(A, Module.CONTACT, given="Mo", family="Mail")
    world.mail.add(B, Module.TASK, subject="buy ink")
    await world.settle(2)
    assert world.names(Side.CRM, A) == ["Mail"]
    assert world.names(Side.CRM, B, Module.TASK) == ["buy ink"]
    await world.check()


async def test_of_two_edits_of_one_field_the_newest_wins_and_the_other_is_in_the_journal() -> None:
    world = await World().start()
    item = world.crm.add(A, Module.CONTACT, **FIRST)
    await world.cycle()
    world.crm.edit("Contact", item, title="old title")
    twin = world.mail.of(A, Module.CONTACT)[0]
    world.mail.edit(f"{A}/contacts", twin.id, title="new title")
    await world.settle(2)
    assert world.crm.of(A, Module.CONTACT)[0].fields["title"] == "new title"
    lost = [row for row in await world.journal() if row.kind == "conflict"]
    assert [(row.side, row.before) for row in lost] == [("crm", {"title": "old title"})]
    await world.check()
