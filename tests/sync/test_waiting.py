"""What waits for an admin is settled: held deletes, twins, quarantine; twice, after a restart, and when things change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import fence as fences
from engine.ledger import twins, waiting
from engine.ledger.fence import Fence
from engine.ledger.schema import guard, intent, item
from engine.ledger.store import StaleLease
from engine.model.modules import Module, Side
from engine.model.policy import ConflictRule, Policy
from tests.sync.fakes import Thing
from tests.sync.test_cycle import moment
from tests.sync.world import A, World

CONTACTS = f"{A}/contacts"
ANN = {"given": "Ann", "family": "Lee", "email": "ann@acme.test"}


async def right(world: World) -> Fence:
    """The right to write for the mailbox, as the desk takes it."""
    row = await world.mailbox(A)
    return Fence(world.policy.name, row.id, await world.ledger.read(fences.epoch, world.policy.name, row.id))


async def settle(world: World, how: Any, *args: Any) -> Any:
    """Carry out a decision of an admin."""
    return await world.ledger.write(how, await right(world), *args)


async def listed(world: World, kind: str | None = None) -> list[waiting.Waiting]:
    """What waits."""
    row = await world.mailbox(A)
    found = await world.ledger.read(waiting.listed, [row.id])
    return [one for one in found if kind in {None, one.kind}]


def contacts(world: World) -> list[Thing]:
    return world.mail.of(A, Module.CONTACT)


async def tripped(many: int = 20, gone: int = 10) -> tuple[World, list[str]]:
    """A world in which the CRM lost half of its contacts, and Delete Safety holds the deletes."""
    world = await World().start()
    ids = [world.crm.add(A, Module.CONTACT, given="G", family=f"F{n:03}") for n in range(many)]
    await world.cycle()
    for one in ids[:gone]:
        world.crm.delete("Contact", one)
    await world.settle(2)
    assert len(contacts(world)) == many
    return world, ids


# -- deletes -------------------------------------------------------------------------------------------


async def test_held_deletes_are_listed_with_what_would_be_lost() -> None:
    world, _ = await tripped()
    rows = await listed(world)
    assert {(one.kind, one.module, one.side) for one in rows} == {("delete", "contact", "mailbox")}
    assert sorted(one.fields["family"] for one in rows) == [f"F{n:03}" for n in range(10)]
    assert all("10 of 20 items" in one.reason for one in rows)
    assert all(one.since for one in rows)


@pytest.mark.parametrize("restart", [False, True], ids=["same engine", "after a restart"])
async def test_approved_deletes_are_made_in_the_next_cycle(restart: bool) -> None:
    world, _ = await tripped()
    chosen = [one.id for one in await listed(world)][:4]
    assert await settle(world, waiting.approve, chosen) == chosen
    assert await settle(world, waiting.approve, chosen) == []
    if restart:
        await world.restart()
    await world.settle(2)
    assert len(contacts(world)) == 16
    assert len(await listed(world, "delete")) == 6
    await settle(world, waiting.approve, None)
    await world.settle(2)
    assert world.names(Side.MAILBOX) == world.names(Side.CRM) == [f"F{n:03}" for n in range(10, 20)]
    assert await listed(world) == []
    assert {row.state for row in await world.rows(sa.select(guard))} == {"settled"}
    await world.check()


async def test_an_approval_outlives_a_cycle_that_dies_before_it_deletes() -> None:
    world, _ = await tripped()
    await settle(world, waiting.approve, None)
    world.mail.faults = lambda point, _scope, _write: "crash" if point == "apply" else None
    await world.cycle()
    world.mail.faults = lambda *_: None
    await world.settle(2)
    assert len(contacts(world)) == 10
    await world.check()


async def test_an_approval_is_for_one_delete_only() -> None:
    world, ids = await tripped()
    await settle(world, waiting.approve, None)
    for one in ids[:10]:
        world.crm.edit("Contact", one)  # restored before the cycle came to it
    await world.settle(2)
    assert len(contacts(world)) == 20
    for one in ids[:10]:
        world.crm.delete("Contact", one)
    await world.settle(2)
    assert len(contacts(world)) == 20
    assert len(await listed(world, "delete")) == 10


async def test_discarded_deletes_stay_and_are_not_planned_again() -> None:
    world, _ = await tripped()
    assert len(await settle(world, waiting.discard, None, world.clock.ms)) == 10
    assert await settle(world, waiting.discard, None, world.clock.ms) == []
    await world.restart()
    await world.settle(3)
    assert len(contacts(world)) == 20
    assert await listed(world) == []
    assert await world.open_work() == (0, 0)
    kept = [row for row in await world.journal() if row.kind == "kept"]
    assert sorted(row.before["family"] for row in kept) == [f"F{n:03}" for n in range(10)]


async def test_an_edit_of_a_kept_item_counts_again() -> None:
    world, _ = await tripped()
    await settle(world, waiting.discard, None, world.clock.ms)
    mine = next(one for one in contacts(world) if one.fields["family"] == "F003")
    world.mail.edit(CONTACTS, mine.id, title="Boss")
    await world.settle(2)
    assert [one.fields["family"] for one in world.crm.of(A, Module.CONTACT) if "title" in one.fields] == [
        "F003"
    ]
    await world.check()


async def test_a_kept_item_that_is_restored_in_the_crm_is_one_pair_again() -> None:
    world, ids = await tripped()
    await settle(world, waiting.discard, None, world.clock.ms)
    world.crm.edit("Contact", ids[3], title="Boss")
    await world.settle(2)
    mine = next(one for one in contacts(world) if one.fields["family"] == "F003")
    assert mine.fields["title"] == "Boss"
    assert len(contacts(world)) == 20
    await world.check()


async def test_deletes_whose_items_were_restored_are_no_longer_held() -> None:
    world, ids = await tripped()
    for one in ids[:7]:
        world.crm.edit("Contact", one)
    await world.settle(2)
    assert sorted(one.fields["family"] for one in await listed(world)) == ["F007", "F008", "F009"]
    assert len(contacts(world)) == 20
    assert await world.open_work() == (0, 0)


async def test_a_touched_item_does_not_take_its_delete_past_delete_safety() -> None:
    world, _ = await tripped()
    # A field that never crosses over changed: it is still a delete, and alone it would be below the threshold.
    row = (await world.rows(sa.select(item).where(item.c.side == "mailbox").limit(1)))[0]

    def wake(connection: sa.Connection) -> None:
        from engine.ledger.worklist import mark_dirty

        mark_dirty(connection, [row.link_id])

    await world.ledger.write(wake)
    await world.settle(2)
    assert len(contacts(world)) == 20
    assert len(await listed(world, "delete")) == 10
    assert await world.open_work() == (0, 0)
    assert len(await world.rows(sa.select(intent).where(intent.c.state == "reviewed"))) == 0


async def test_a_decision_under_an_old_lease_changes_nothing() -> None:
    world, _ = await tripped()
    old = await right(world)
    await world.restart()
    for unit, args in (
        (waiting.approve, (None,)),
        (waiting.discard, (None, 0)),
        (twins.retry, ([1],)),
        (twins.make_both, ([1],)),
        (twins.keep_apart, ([1], 0)),
        (twins.use_own, ([1],)),
    ):
        with pytest.raises(StaleLease):
            await world.ledger.write(unit, old, *args)
    assert len(await listed(world, "delete")) == 10


# -- twins ---------------------------------------------------------------------------------------------


async def twin(policy: Policy | None = None, **own: Any) -> tuple[World, str, int]:
    """A world in which a contact of the CRM has a twin that is the person's own: (world, own id, link id)."""
    world = await World(policy=policy).start()
    mine = world.mail.add(A, Module.CONTACT, own=True, **{**ANN, **own})
    world.crm.add(A, Module.CONTACT, **ANN, title="Boss")
    await world.settle(2)
    (row,) = await listed(world, "twin")
    assert "item of its own" in row.reason
    assert row.fields["title"] == "Boss"
    return world, mine, row.id


async def test_an_own_item_that_is_used_as_the_twin_loses_nothing() -> None:
    world, mine, link = await twin(title="Chief", company="Own Inc.")
    assert await settle(world, twins.use_own, [link]) == ([link], [])
    await world.settle(2)
    assert [one.id for one in contacts(world)] == [mine]
    assert contacts(world)[0].fields == world.crm.of(A, Module.CONTACT)[0].fields
    assert contacts(world)[0].fields["company"] == "Own Inc."
    lost = [row for row in await world.journal() if row.kind == "conflict"]
    titles = {contacts(world)[0].fields["title"], *(row.before.get("title") for row in lost)}
    assert titles == {"Boss", "Chief"}
    assert await listed(world) == []
    await world.check()
    world.mail.edit(CONTACTS, mine, title="Founder")
    await world.settle(2)
    assert world.crm.of(A, Module.CONTACT)[0].fields["title"] == "Founder"
    await world.check()


async def test_the_policys_rule_decides_between_twins() -> None:
    policy = Policy("sales", "crm", "mail", conflict=ConflictRule.MAILBOX)
    world, _, link = await twin(policy, title="Chief")
    await settle(world, twins.use_own, [link])
    await world.settle(2)
    assert world.crm.of(A, Module.CONTACT)[0].fields["title"] == "Chief"


async def test_using_the_own_item_waits_for_a_provider_that_does_not_answer_and_survives_a_restart() -> None:
    world, mine, link = await twin(company="Own Inc.")
    await settle(world, twins.use_own, [link])
    world.mail.faults = lambda point, _scope, _write: "unavailable" if point == "fetch" else None
    await world.cycle()
    assert world.crm.of(A, Module.CONTACT)[0].fields.get("company") is None
    await world.restart()
    world.mail.faults = lambda *_: None
    await world.settle(2)
    assert [one.id for one in contacts(world)] == [mine]
    assert world.crm.of(A, Module.CONTACT)[0].fields["company"] == "Own Inc."
    await world.check()


async def test_an_own_item_that_was_deleted_meanwhile_is_no_longer_wanted() -> None:
    world, mine, link = await twin()
    await settle(world, twins.use_own, [link])
    world.mail.delete(CONTACTS, mine)
    await world.settle(3)
    assert [one.fields["title"] for one in contacts(world)] == ["Boss"]
    await world.check()


async def test_two_own_items_are_no_answer() -> None:
    world, _, link = await twin()
    world.mail.add(A, Module.CONTACT, own=True, **ANN)
    await world.settle(1)
    assert await settle(world, twins.use_own, [link]) == ([], [link])
    await world.settle(1)
    assert [one.id for one in await listed(world, "twin")] == [link]
    assert len(contacts(world)) == 2


async def test_of_two_contacts_in_the_crm_one_takes_the_only_item_in_the_mailbox() -> None:
    world = await World().start()
    world.mail.add(A, Module.CONTACT, given="Ann", family="Lee", email=ANN["email"], company="Own Inc.")
    first = world.crm.add(A, Module.CONTACT, **ANN, title="Boss")
    world.crm.add(A, Module.CONTACT, **ANN, title="Clerk")
    await world.settle(2)
    rows = await listed(world, "twin")
    assert len(rows) == 3
    chosen = next(one for one in rows if one.fields.get("title") == "Boss")
    assert await settle(world, twins.use_own, [chosen.id]) == ([chosen.id], [])
    await world.settle(3)
    assert world.crm.shelf("Contact").now[first].fields["company"] == "Own Inc."
    assert len(contacts(world)) == 2
    assert await listed(world) == []
    await world.check()


async def test_both_are_made_and_never_held_again() -> None:
    world, mine, link = await twin()
    assert await settle(world, twins.make_both, [link]) == [link]
    assert await settle(world, twins.make_both, [link]) == []
    await world.settle(2)
    assert len(contacts(world)) == 2
    world.mail.edit(CONTACTS, mine, company="Own Inc.")
    crm = world.crm.of(A, Module.CONTACT)[0]
    world.crm.edit("Contact", crm.id, title="Chief")
    await world.settle(2)
    assert await listed(world) == []
    assert [one.fields.get("title") for one in contacts(world)] == [None, "Chief"]
    await world.check()


async def test_both_holds_although_the_item_changes_before_it_is_made() -> None:
    world, _, link = await twin()
    await settle(world, twins.make_both, [link])
    world.crm.edit("Contact", world.crm.of(A, Module.CONTACT)[0].id, title="Chief")
    await world.settle(2)
    assert await listed(world) == []
    assert len(contacts(world)) == 2
    await world.check()


async def test_a_twin_that_is_kept_apart_is_looked_at_again_when_it_changes() -> None:
    world, _, link = await twin()
    assert await settle(world, twins.keep_apart, [link], world.clock.ms) == [link]
    await world.restart()
    await world.settle(2)
    assert await listed(world) == []
    assert len(contacts(world)) == 1
    assert [row.state for row in await world.links()] == ["filtered"]
    world.crm.edit("Contact", world.crm.of(A, Module.CONTACT)[0].id, email="ann.lee@acme.test", family="Li")
    await world.settle(2)
    assert len(contacts(world)) == 2
    await world.check()


# -- series --------------------------------------------------------------------------------------------


async def held_series() -> tuple[World, str, int]:
    """A weekly series of the CRM with a moved occurrence, held for a series of the person's own."""
    world = await World().start()
    rule = {"lines": ["RRULE:FREQ=WEEKLY"]}
    weekly: dict[str, Any] = {"subject": "weekly", "start": moment(20), "end": moment(20, 10), "rule": rule}
    master = world.crm.add(A, Module.APPOINTMENT, **weekly)
    occurrence = "2026-11-27T09:00:00Z"
    moved = replace(
        world.crm.shelf("Event").now[master],
        id=f"{master}_{occurrence}",
        fields={"subject": "weekly, moved", "start": moment(28), "end": moment(28, 10)},
        parent=master,
        occurrence=occurrence,
    )
    world.crm._store("Event", moved)
    own = world.mail.add(A, Module.APPOINTMENT, own=True, **weekly)
    await world.settle(2)
    (row,) = await listed(world, "twin")
    assert [one.id for one in world.mail.of(A, Module.APPOINTMENT)] == [own]
    return world, own, row.id


def subjects(world: World) -> list[str]:
    return world.names(Side.MAILBOX, A, Module.APPOINTMENT)


@pytest.mark.parametrize("way", ["adopt", "both", "deleted"])
async def test_the_changed_occurrences_of_a_held_series_come_with_it(way: str) -> None:
    world, own, link = await held_series()
    if way == "adopt":
        assert await settle(world, twins.use_own, [link]) == ([link], [])
    elif way == "both":
        await settle(world, twins.make_both, [link])
    else:
        world.mail.delete(f"{A}/calendar", own)
    await world.settle(3)
    assert subjects(world) == ["weekly", *(["weekly"] if way == "both" else []), "weekly, moved"]
    master = next(one for one in world.mail.of(A, Module.APPOINTMENT) if one.parent)
    assert (master.parent == own) is (way == "adopt")
    assert await listed(world) == []
    await world.check()


# -- quarantine ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("first", [True, False], ids=["create", "update"])
async def test_quarantine_is_listed_and_tried_again(first: bool) -> None:
    world = await World().start()
    one = world.crm.add(A, Module.CONTACT, **ANN)
    if not first:
        await world.cycle()
        world.crm.edit("Contact", one, title="Boss")
    world.mail.faults = lambda point, _scope, _write: "rejected" if point == "write" else None
    for _ in range(8):
        world.clock.ms += 600_000
        await world.cycle()
    (row,) = await listed(world, "quarantine")
    assert (row.module, row.side, row.fields["family"]) == ("contact", "mailbox", "Lee")
    assert "not allowed" in row.reason
    assert row.since
    world.mail.faults = lambda *_: None
    await world.settle(1)
    assert len(await listed(world, "quarantine")) == 1
    assert await settle(world, twins.retry, [row.id]) == [row.id]
    assert await settle(world, twins.retry, [row.id]) == []
    await world.restart()
    await world.settle(1)
    assert await listed(world) == []
    assert contacts(world)[0].fields == world.crm.of(A, Module.CONTACT)[0].fields
    await world.check()


async def test_a_held_twin_that_is_tried_again_is_held_again_while_its_twin_is_there() -> None:
    world, _, link = await twin()
    assert await settle(world, twins.retry, [link]) == [link]
    await world.settle(1)
    assert [one.id for one in await listed(world, "twin")] == [link]
    assert await world.open_work() == (0, 0)


async def test_decisions_about_other_mailboxes_items_do_nothing() -> None:
    world, _, link = await twin()
    fence = Fence(world.policy.name, 0, await world.ledger.read(fences.epoch, world.policy.name, 0))
    assert await world.ledger.write(twins.make_both, fence, [link]) == []
    assert [one.id for one in await listed(world, "twin")] == [link]


# -- kills ---------------------------------------------------------------------------------------------


def kill(world: World, when: str, number: int) -> None:
    """Let the process die at the n-th write from now on."""
    last = world.ledger.number + number

    def hook(moment_: str, at: int) -> None:
        if moment_ == when and at == last:
            world.die()

    world.ledger.hook = hook


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("number", range(1, 9, 2))  # after the n-th is as before the next
async def test_a_decision_outlives_a_kill_at_any_write_of_the_cycle_that_carries_it_out(
    when: str, number: int
) -> None:
    world, mine, link = await twin(title="Chief", company="Own Inc.")
    ids = [world.crm.add(A, Module.CONTACT, given="G", family=f"F{n:03}") for n in range(12)]
    await world.settle(1)
    for one in ids[:6]:
        world.crm.delete("Contact", one)
    await world.settle(2)
    chosen = [row.id for row in await listed(world, "delete")]
    assert len(chosen) == 6
    await settle(world, twins.use_own, [link])
    await settle(world, waiting.approve, chosen[:4])
    await settle(world, waiting.discard, chosen[4:], world.clock.ms)
    kill(world, when, number)
    await world.settle(3)
    assert world.crashes == 1
    assert len(contacts(world)) == 12 - 4 + 1
    assert contacts(world)[0].id == mine
    assert contacts(world)[0].fields["company"] == "Own Inc."
    assert await listed(world) == []
    await world.check()
