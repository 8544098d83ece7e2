"""Quarantine: one bad item is set aside in sight, its mailbox goes on, and an admin may try it again or dismiss it."""

from __future__ import annotations

from itertools import pairwise

import pytest

from engine.ledger import explain as units
from engine.ledger import fence as fences
from engine.ledger import intents, twins, waiting
from engine.ledger.fence import Fence
from engine.ledger.links import DISMISSED
from engine.model.modules import ItemOutcome, Module, Side
from engine.model.port import Outcome, Result, Scope, Write, WriteKind
from engine.model.states import FaultClass, UserState
from tests.sync.fakes import place_of
from tests.sync.world import A, World, faulty

CONTACTS = f"{A}/{place_of(Module.CONTACT)}"


def refuses(name: str):  # type: ignore[no-untyped-def]
    """Writes of one contact are rejected."""

    def plan(point: str, _scope: object, write: object) -> str | None:
        fields = getattr(write, "fields", {})
        return "rejected" if point == "write" and fields.get("family") == name else None

    return plan


async def fence(world: World) -> Fence:
    mailbox_id = (await world.mailbox(A)).id
    return Fence("sales", mailbox_id, await world.ledger.read(fences.epoch, "sales", mailbox_id))


async def quarantined(*, new: bool) -> tuple[World, str, int]:
    """A world with 11 contacts, one of which the mailbox has refused five times."""
    world = await World().start()
    good = [world.crm.add(A, Module.CONTACT, given="Good", family=f"F{number}") for number in range(10)]
    bad = world.crm.add(A, Module.CONTACT, given="Bad", family="Bad")
    if not new:
        await world.settle()
        world.crm.edit("Contact", bad, title="Chief")
    with faulty(world.mail, refuses("Bad")):
        for number in range(6):
            world.crm.edit("Contact", good[number], title=f"T{number}")
            await world.cycle()
            assert world.names(Side.MAILBOX).count(f"F{number}") == 1
            assert (await world.mailbox(A)).fault == ""
            world.clock.ms += 600_000
    rows = await world.links("quarantined")
    assert len(rows) == 1
    return world, bad, rows[0].id


@pytest.mark.parametrize("new", [True, False], ids=["create", "update"])
async def test_it_is_tried_five_times_ever_more_rarely_and_the_mailbox_goes_on(new: bool) -> None:
    world, _, _ = await quarantined(new=new)
    refused = [one for one in world.told if one.fault is FaultClass.ITEM]
    assert len(refused) == intents.QUARANTINE_AFTER == 5
    assert "set aside in quarantine" in refused[-1].text
    assert not [one for one in world.told if one.state in {UserState.FAILED, UserState.BACKOFF}]
    assert [
        one.fields.get("title") for one in world.mail.of(A, Module.CONTACT) if one.fields["given"] == "Good"
    ].count(None) == 4
    calls = len(world.mail.log)
    await world.settle()
    assert len(world.mail.log) == calls
    failed = [one for one in world.told if ItemOutcome.FAILED in {outcome for _, outcome in one.counts}]
    assert len(failed) == 5


async def test_the_waits_between_the_tries_double_from_half_a_minute() -> None:
    world = await World().start()
    world.crm.add(A, Module.CONTACT, given="Bad", family="Bad")
    tries: list[int] = []
    with faulty(world.mail, refuses("Bad")):
        for _ in range(12):
            before = len([one for one in world.told if one.fault is FaultClass.ITEM])
            started = world.clock.ms
            await world.cycle()
            if len([one for one in world.told if one.fault is FaultClass.ITEM]) > before:
                tries.append(started + 60_000)
    assert len(tries) == 5
    gaps = [(later - earlier) // 60_000 for earlier, later in pairwise(tries)]
    assert gaps == [1, 1, 2, 4]  # of 30, 60, 120 and 240 s, in cycles of a minute


@pytest.mark.parametrize("new", [True, False], ids=["create", "update"])
async def test_dismissed_it_leaves_the_list_and_is_counted_and_journalled(new: bool) -> None:
    world, _, link = await quarantined(new=new)
    mine = await fence(world)
    assert await world.ledger.write(twins.dismiss, mine, [link, 99_999], world.clock.ms) == [link]
    assert await world.ledger.write(twins.dismiss, mine, [link], world.clock.ms) == []
    assert await world.ledger.read(waiting.listed, [mine.mailbox_id]) == []
    assert await world.ledger.read(intents.held_counts) == {}
    kept = await world.ledger.read(units.kept_by_reason, mine.mailbox_id)
    assert [(one.state, one.reason, one.count) for one in kept] == [
        ("filtered", f"{DISMISSED}: this value is not allowed", 1)
    ]
    told = (await world.journal())[-1]
    assert (told.kind, told.link_id, told.why) == ("dismissed", link, f"{DISMISSED}: this value is not allowed")
    await world.settle()
    assert await world.ledger.read(waiting.listed, [mine.mailbox_id]) == []
    await world.check()


@pytest.mark.parametrize("side", ["crm", "mailbox"])
async def test_a_dismissed_item_comes_back_when_either_side_changes(side: str) -> None:
    world, bad, link = await quarantined(new=False)
    await world.ledger.write(twins.dismiss, await fence(world), [link], world.clock.ms)
    if side == "crm":
        world.crm.edit("Contact", bad, company="Acme")
    else:
        twin = next(one.id for one in world.mail.of(A, Module.CONTACT) if one.fields["family"] == "Bad")
        world.mail.edit(CONTACTS, twin, company="Acme")
    await world.settle()
    assert [row.state for row in await world.links() if row.id == link] == ["live"]
    for one in (world.crm.of(A, Module.CONTACT)[-1], world.mail.of(A, Module.CONTACT)[-1]):
        assert (one.fields["title"], one.fields["company"]) == ("Chief", "Acme")
    await world.check()


async def test_a_dismissed_item_that_is_still_bad_gets_five_new_tries() -> None:
    world, bad, link = await quarantined(new=True)
    await world.ledger.write(twins.dismiss, await fence(world), [link], world.clock.ms)
    world.crm.edit("Contact", bad, company="Acme")
    before = len([one for one in world.told if one.fault is FaultClass.ITEM])
    with faulty(world.mail, refuses("Bad")):
        for _ in range(8):
            world.clock.ms += 600_000
            await world.cycle()
    assert len([one for one in world.told if one.fault is FaultClass.ITEM]) == before + 5
    assert [row.id for row in await world.links("quarantined")] == [link]
    await world.ledger.write(twins.retry, await fence(world), [link])
    await world.settle()
    assert world.names(Side.MAILBOX).count("Bad") == 1
    await world.check()


async def test_only_what_is_in_quarantine_of_that_mailbox_can_be_dismissed() -> None:
    world, _, link = await quarantined(new=True)
    other = Fence("sales", 0, await world.ledger.read(fences.epoch, "sales", 0))
    assert await world.ledger.write(twins.dismiss, other, [link], 0) == []
    live = (await world.links("live"))[0].id
    assert await world.ledger.write(twins.dismiss, await fence(world), [live], 0) == []
    assert len(await world.links("quarantined")) == 1


def gone_when_written(world: World, really: bool) -> list[str]:
    """Updates in the mailbox answer 404: because a person has just deleted the item, or although it is there."""
    change, asked = world.mail._change, []

    def answer(scope: Scope, write: Write) -> Outcome:
        if write.kind is WriteKind.UPDATE:
            asked.append(write.remote_id)
            if really and not world.mail.shelf(scope.remote_id).now[write.remote_id].deleted:
                world.mail.delete(scope.remote_id, write.remote_id)
            return Outcome(Result.GONE, reason="404")
        return change(scope, write)

    world.mail._change = answer  # type: ignore[method-assign]
    return asked


async def test_what_was_deleted_while_it_was_written_is_read_and_made_again_in_the_same_cycle() -> None:
    world = await World().start()
    ann = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee")
    await world.settle()
    asked = gone_when_written(world, really=True)
    world.crm.edit("Contact", ann, title="Chief")
    await world.cycle()
    assert len(asked) == 1
    assert [one.fields["title"] for one in world.mail.of(A, Module.CONTACT)] == [
        "Chief"
    ]  # an edit beats a delete
    assert await world.open_work() == (0, 0)
    await world.check()


async def test_what_is_gone_when_written_and_there_when_read_is_never_doubled_and_backs_off() -> None:
    world = await World().start()
    ann = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee")
    await world.settle()
    asked = gone_when_written(world, really=False)
    world.crm.edit("Contact", ann, title="Chief")
    tries = []
    for _ in range(12):
        before = len(asked)
        await world.cycle()  # a minute each
        tries.append(len(asked) - before)
        assert len(world.mail.of(A, Module.CONTACT)) == 1
    assert sum(tries) == intents.QUARANTINE_AFTER
    assert tries[0] == 2  # as it was read again in between, once more at once; then it waits
    [row] = await world.links("quarantined")
    assert row.reason == "there when it is read, gone when it is written: 404"
    assert "set aside in quarantine" in [one.text for one in world.told if one.fault is FaultClass.ITEM][-1]
