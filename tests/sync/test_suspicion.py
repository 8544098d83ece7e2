"""Causes for which deletes and creates wait for an admin, whatever their number (sync.md section 6)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from engine.jobs.queue import Priority
from engine.ledger import waiting
from engine.ledger.fence import Fence
from engine.ledger.schema import guard, intent
from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, DeleteSafety, DeleteThreshold, ModuleSettings, Policy
from tests.sync.world import A, World, faulty

CONTACTS = f"{A}/contacts"
ANY = DeleteThreshold(9999, 100)
#: Nothing is held by its number alone, and deletes of the mailbox reach the CRM.
OPEN = Policy(
    "sales",
    "crm",
    "mail",
    modules={module: ModuleSettings() for module in (Module.CONTACT, Module.TASK)},
    mailbox_deletes=DeleteMode.MIRROR,
    delete_safety=DeleteSafety(ANY, ANY, ANY, ANY, ANY),
)


async def crowded(count: int, policy: Policy = OPEN) -> tuple[World, list[str]]:
    """A synchronised world of so many contacts."""
    world = await World(policy=policy).start()
    ids = [world.crm.add(A, Module.CONTACT, given="N", family=f"F{n:03d}") for n in range(count)]
    await world.settle(2)
    assert len(world.names(Side.MAILBOX)) == count
    world.mail.log.clear()
    world.crm.log.clear()
    return world, ids


def forget(provider: Any) -> None:
    """The provider no longer knows any cursor."""
    for shelf in provider.shelves.values():
        shelf.epoch += 1


async def causes(world: World) -> list[str]:
    return [row.cause for row in await world.rows(sa.select(guard).order_by(guard.c.id))]


async def held(world: World) -> list[int]:
    return [row.link_id for row in await world.rows(sa.select(intent).where(intent.c.state == "held"))]


async def settle(world: World, unit: Any, *arguments: Any) -> Any:
    row = await world.mailbox(A)
    return await world.ledger.write(unit, Fence("sales", row.id, row.epoch), *arguments)


def wrote(world: World, kind: str) -> Sequence[str]:
    return [line for line in world.mail.log + world.crm.log if line.startswith(kind)]


@pytest.mark.parametrize("told", [True, False], ids=["tombstones", "absent"])
async def test_deletes_that_are_only_inferred_stand_under_their_own_threshold(told: bool) -> None:
    policy = replace(OPEN, delete_safety=DeleteSafety(ANY, ANY, ANY, ANY))
    world, _ = await crowded(100, policy)
    for thing in world.mail.of(A, Module.CONTACT)[:12]:
        world.mail.delete(CONTACTS, thing.id)
    if not told:
        forget(world.mail)
    result = await world.cycle()
    assert result is not None
    if told:
        assert len(world.names(Side.CRM)) == 88
        return
    assert "12 deletes, more than the 10" in result.faults[A]
    assert "'N F0" in result.faults[A], "a sample is told"
    assert await causes(world) == ["inferred"]
    assert len(world.names(Side.CRM)) == 100
    await settle(world, waiting.approve, None)
    await world.settle(2)
    assert len(world.names(Side.CRM)) == 88
    await world.check()


async def test_a_few_inferred_deletes_are_made() -> None:
    world, _ = await crowded(30)
    for thing in world.mail.of(A, Module.CONTACT)[:3]:
        world.mail.delete(CONTACTS, thing.id)
    forget(world.mail)
    await world.settle(2)
    assert len(world.names(Side.CRM)) == 27
    await world.check()


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_a_source_that_shrank_by_a_third_deletes_nothing_without_an_admin(where: str) -> None:
    world, ids = await crowded(30)
    provider, other = (world.crm, Side.MAILBOX) if where == "crm" else (world.mail, Side.CRM)
    gone = ids[:10] if where == "crm" else [one.id for one in world.mail.of(A, Module.CONTACT)[:10]]
    for item in gone:
        provider.delete("Contact" if where == "crm" else CONTACTS, item)
    world.crm.edit("Contact", ids[20], title="Boss")
    forget(provider)
    result = await world.cycle()
    assert result is not None
    assert "gone from it at once" in result.faults[A]
    assert await causes(world) == ["shrunk"]
    assert len(world.names(other)) == 30
    assert any(one.fields.get("title") for one in world.mail.of(A, Module.CONTACT)), "the rest goes on"
    await settle(world, waiting.discard, None, world.clock.ms)
    await world.settle(2)
    assert len(world.names(other)) == 30
    assert not wrote(world, "delete")


async def test_a_source_that_is_empty_for_a_day_is_believed_and_its_deletes_are_held() -> None:
    world, _ = await crowded(12)
    for thing in world.mail.of(A, Module.CONTACT):
        world.mail.delete(CONTACTS, thing.id)
    forget(world.mail)
    result = await world.cycle()
    assert result is not None
    assert "returned nothing" in result.faults[A]
    assert not await held(world)
    world.clock.ms += 25 * 3_600_000
    result = await world.cycle()
    assert result is not None
    assert "Delete Safety" in result.faults[A]
    assert len(await held(world)) == len(world.names(Side.CRM)) == 12
    await settle(world, waiting.restore, None)
    await world.settle(2)
    assert len(world.names(Side.MAILBOX)) == 12
    assert not await held(world)
    await world.check()


async def test_a_container_that_its_owner_deleted_comes_back_with_all_items_where_the_crm_is_the_authority() -> (
    None
):
    world, ids = await crowded(20, replace(OPEN, mailbox_deletes=DeleteMode.NEVER))
    world.mail.removed.add(CONTACTS)
    result = await world.cycle()
    assert result is not None
    assert not result.faults
    assert any("was deleted by somebody, with 20 items" in one.text for one in world.told)
    assert len(world.names(Side.MAILBOX)) == len(world.names(Side.CRM)) == 20
    assert not wrote(world, "delete")
    world.crm.edit("Contact", ids[3], title="Boss")
    await world.settle(2)
    assert any(one.fields.get("title") for one in world.mail.of(A, Module.CONTACT))
    await world.check()
    # It is not wanted, obviously: the second time within a week it waits for a person.
    world.mail.removed.add(f"{CONTACTS}'")
    world.crm.add(A, Module.TASK, subject="call back")
    for _ in range(2):
        result = await world.cycle()
        assert result is not None
        assert "gone again" in result.faults[A]
    assert world.names(Side.MAILBOX, A, Module.TASK) == ["call back"], "everything else goes on"
    assert len(world.names(Side.CRM)) == 20
    world.clock.ms += 8 * 86_400_000
    await world.settle(2)
    assert len(world.names(Side.MAILBOX)) == 20


@pytest.mark.parametrize("way", ["approve", "discard", "restore"])
async def test_what_went_with_its_container_is_never_deleted_without_an_admin(way: str) -> None:
    world, ids = await crowded(8)
    world.mail.removed.add(CONTACTS)
    result = await world.cycle()
    assert result is not None
    assert "deleted as a whole" in result.faults[A]
    assert await causes(world) == ["vanished"]
    assert len(await held(world)) == len(world.names(Side.CRM)) == 8
    assert world.names(Side.MAILBOX) == []
    world.crm.edit("Contact", ids[0], title="Boss")
    await world.cycle()
    assert len(world.names(Side.MAILBOX)) == 1, "an edit beats a delete"
    assert len(await held(world)) == 7
    arguments = (None, world.clock.ms) if way == "discard" else (None,)
    await settle(world, getattr(waiting, way), *arguments)
    await world.restart()
    await world.settle(2)
    left = {"approve": (1, 1), "discard": (8, 1), "restore": (8, 8)}[way]
    assert (len(world.names(Side.CRM)), len(world.names(Side.MAILBOX))) == left
    assert not await held(world)
    await world.check()


@pytest.mark.parametrize("where", ["crm", "mail"])
async def test_deletes_told_right_after_access_was_refused_are_held(where: str) -> None:
    world, _ = await crowded(8)
    provider = world.crm if where == "crm" else world.mail
    place = "Contact" if where == "crm" else CONTACTS

    def refuse(point: str, scope: Any, _write: object) -> str | None:
        return "permission" if point == "changes" and scope.remote_id == place else None

    with faulty(provider, refuse):
        result = await world.cycle()
        assert result is not None
        assert "permission" in result.faults[A]
        world.crm.add(A, Module.TASK, subject="call back")
        await world.restart()
        await world.cycle(Priority.ADMIN)
    assert world.names(Side.MAILBOX, A, Module.TASK) == ["call back"], "everything else goes on"
    for thing in list(provider.shelf(place).live())[:2]:
        provider.delete(place, thing.id)
    result = await world.cycle(Priority.ADMIN)
    assert result is not None
    assert "after it had refused access" in result.faults[A]
    assert await causes(world) == ["denied"]
    assert len(await held(world)) == 2
    assert not wrote(world, "delete")
    # Later deletes are believed again.
    provider.delete(place, provider.shelf(place).live()[0].id)
    await world.cycle(Priority.ADMIN)
    assert len(wrote(world, "delete")) == 1


@pytest.mark.parametrize("kind", ["permission", "not found"])
async def test_a_crm_object_that_can_no_longer_be_read_stops_its_module_only(kind: str) -> None:
    world, ids = await crowded(8)

    def refuse(point: str, scope: Any, _write: object) -> str | None:
        return kind if scope is not None and scope.remote_id == "Contact" else None

    with faulty(world.crm, refuse):
        for thing in world.mail.of(A, Module.CONTACT)[:2]:
            world.mail.edit(CONTACTS, thing.id, title="Boss")
        world.crm.add(A, Module.TASK, subject="call back")
        for _ in range(2):
            result = await world.cycle()
            assert result is not None
            assert f"contact: Fake: {kind}" in result.faults[A]
            assert (await world.mailbox(A)).fault_kind == "", "it goes on by itself"
        assert world.names(Side.MAILBOX, A, Module.TASK) == ["call back"]
        assert len(world.names(Side.MAILBOX)) == 8
    await world.settle(2)
    assert sum("title" in world.crm.shelf("Contact").now[one].fields for one in ids) == 2
    await world.check()


@pytest.mark.parametrize("way", ["approve", "discard"])
async def test_many_items_that_are_there_already_are_not_made_again(way: str) -> None:
    """A restored mailbox shows everything twice, under new ids and without our marks."""
    world, _ = await crowded(60, replace(OPEN, match_existing=False))
    for thing in world.mail.of(A, Module.CONTACT):
        world.mail.add(A, Module.CONTACT, **thing.fields)
    world.mail.add(A, Module.CONTACT, family="Really New")
    result = await world.cycle()
    assert result is not None
    assert "60 items are new in the mailbox although the CRM has each of them already" in result.faults[A]
    assert await causes(world) == ["recreated"]
    assert len(world.names(Side.CRM)) == 61, "what is really new goes on"
    waits = await world.ledger.read(waiting.listed, [(await world.mailbox(A)).id])
    assert {(one.kind, one.side) for one in waits} == {("create", "crm")}
    ids = [one.id for one in waits]
    await settle(world, getattr(waiting, way), ids, *([world.clock.ms] if way == "discard" else []))
    await world.settle(2)
    assert len(world.names(Side.CRM)) == (121 if way == "approve" else 61)
    assert not await held(world)
    await world.check()


async def test_many_new_items_are_made_at_once() -> None:
    world, _ = await crowded(60)
    for n in range(60):
        world.mail.add(A, Module.CONTACT, given="M", family=f"G{n:03d}")
    await world.settle(2)
    assert len(world.names(Side.CRM)) == 120
    await world.check()


async def test_what_a_windowed_feed_reports_as_removed_is_read_by_id_first() -> None:
    world, _ = await crowded(4)
    world.mail.windowed = True
    first, second, *_ = world.mail.of(A, Module.CONTACT)
    shelf = world.mail.shelf(CONTACTS)
    # It leaves the window: the feed says deleted, the item is there.
    shelf.log.append(replace(first, deleted=True, modified=world.mail._tick(), version=first.version))
    world.mail.delete(CONTACTS, second.id)
    await world.settle(2)
    assert len(world.names(Side.CRM)) == 3
    assert len(world.names(Side.MAILBOX)) == 3
    assert world.mail.shelf(CONTACTS).now[first.id].deleted is False
    await world.check()


def _allowing(threshold: DeleteThreshold) -> Policy:
    """So many deletes in one cycle, however they were learned."""
    return replace(OPEN, delete_safety=DeleteSafety(threshold, threshold, threshold, threshold))


async def _deletes_in_two_rounds(gone: int, given: int, threshold: DeleteThreshold) -> tuple[World, list[str]]:
    """A cycle that deletes in the mailbox what went in the CRM, and then what the CRM gave to somebody else meanwhile.

    The latter were new in the mailbox. The answer to their create is lost, and they are another's when it is repeated: the
    second round of the same cycle takes them out of this mailbox.

    Returns:
        the world, and what the cycle reported.
    """
    world, ids = await crowded(10, _allowing(threshold))
    for item in ids[:gone]:
        world.crm.delete("Contact", item)
    for n in range(given):
        world.mail.add(A, Module.CONTACT, given="M", family=f"G{n:03d}")
    lost: set[str] = set()

    def lose(point: str, _scope: Any, write: Any) -> str | None:
        if point == "apply" and lost:
            for key in lost & world.crm.shelf("Contact").now.keys():
                world.crm.give(key, Module.CONTACT, "nobody@example.org")
            return None
        if point != "write" or write.kind != "create" or write.attempt:
            return None
        lost.add(write.key)
        return "lost-after"

    with faulty(world.crm, lose):
        result = await world.cycle()
    assert len(lost) == given
    assert result is not None
    return world, [*result.faults.values()]


async def test_deletes_of_all_rounds_of_a_cycle_count_together() -> None:
    """The policy allows two; the first round makes two, and the one that comes up in the second waits for an admin."""
    world, faults = await _deletes_in_two_rounds(gone=2, given=1, threshold=DeleteThreshold(2, 100))
    assert len(wrote(world, "delete")) == 2
    [told] = faults
    assert "3 deletes, more than the 2 that the policy allows in one cycle" in told
    assert "'M G000'" in told
    assert await causes(world) == ["threshold"]
    assert len(await held(world)) == 1
    await settle(world, waiting.approve, None)
    await world.settle(2)
    assert len(wrote(world, "delete")) == 3
    assert not await held(world)
    await world.check()


async def test_deletes_of_two_rounds_go_on_as_long_as_the_policy_allows_them_in_one_cycle() -> None:
    world, faults = await _deletes_in_two_rounds(gone=1, given=1, threshold=DeleteThreshold(2, 100))
    assert not faults
    assert len(wrote(world, "delete")) == 2
    assert not await held(world)
    await world.check()


async def test_the_share_that_a_cycle_deletes_is_that_of_what_was_there_before_it() -> None:
    """Three in the second round are a handful by themselves, and with the four of the first more than half."""
    world, faults = await _deletes_in_two_rounds(gone=4, given=3, threshold=DeleteThreshold(99, 50))
    [told] = faults
    assert "7 of 13 items would be deleted, more than the 50 % that the policy allows" in told
    assert len(wrote(world, "delete")) == 4
    assert len(await held(world)) == 3


@pytest.mark.parametrize("fault", ["conflict", "lost-before", "lost-after"])
async def test_a_delete_that_is_sent_again_in_the_same_cycle_counts_once(fault: str) -> None:
    """Somebody wrote to it meanwhile, or nobody can tell whether it was made: it is one delete all the same."""
    world, ids = await crowded(10, _allowing(DeleteThreshold(1, 100)))
    world.crm.delete("Contact", ids[0])
    struck: list[str] = []

    def strike(point: str, _scope: Any, write: Any) -> str | None:
        if point != "write" or write.kind != "delete" or struck:
            return None
        struck.append(write.remote_id)
        return fault

    with faulty(world.mail, strike):
        result = await world.cycle()
    assert struck
    assert result is not None
    assert not result.faults
    assert len(world.names(Side.MAILBOX)) == 9
    assert not await held(world)
    await world.check()


async def test_the_next_cycle_counts_what_an_earlier_one_left_but_not_what_it_made() -> None:
    """An engine makes one of two deletes and ends; what is left and one more are the two that the next cycle may make."""
    world, ids = await crowded(10, _allowing(DeleteThreshold(2, 100)))
    for item in ids[:2]:
        world.crm.delete("Contact", item)
    sent: list[str] = []

    def die(point: str, _scope: Any, write: Any) -> str | None:
        if point == "write" and write.kind == "delete":
            sent.append(write.remote_id)
            return "lost-before" if len(sent) == 2 else None
        return "crash" if point == "fetch" and len(sent) == 2 else None

    world.mail.faults = die
    assert await world.cycle() is None
    world.mail.faults = lambda *_: None
    assert len(wrote(world, "delete")) == 1
    world.crm.delete("Contact", ids[2])
    result = await world.cycle()
    assert result is not None
    assert not result.faults
    assert len(wrote(world, "delete")) == 3
    for item in ids[3:6]:
        world.crm.delete("Contact", item)
    result = await world.cycle()
    assert result is not None
    assert "3 deletes, more than the 2" in result.faults[A]
    assert len(wrote(world, "delete")) == 3
