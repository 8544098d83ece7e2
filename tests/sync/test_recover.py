"""What was in flight when the engine died must not be taken for a person's edit."""

from __future__ import annotations

import pytest

from engine.ledger import waiting
from engine.model.modules import Module, Side
from engine.model.port import CreateKey
from tests.sync.fakes import no_faults
from tests.sync.world import A, World


@pytest.mark.parametrize("side", list(Side))
async def test_an_edit_made_while_our_own_write_was_under_way_wins_against_it(side: Side) -> None:
    """A person edits, the engine carries it over and dies before it knows; meanwhile the person has edited on.

    The engine's own write is younger than the second edit and so would win by ``newest``, as if a person had made it.
    """
    world = await World().start()
    world.crm.add(A, Module.CONTACT, given="N", family="F", email="f@x.test")
    await world.settle(2)
    source, target = (world.crm, world.mail) if side is Side.CRM else (world.mail, world.crm)
    shelf = "Contact" if side is Side.CRM else f"{A}/contacts"
    [thing] = source.of(A, Module.CONTACT)
    source.edit(shelf, thing.id, title="first")
    struck = 0

    def edit_and_die(point: str, *_: object) -> str | None:
        nonlocal struck
        if point != "apply" or struck:
            return None
        struck += 1
        source.edit(shelf, thing.id, title="second")
        world.clock.ms += 5000
        return "crash-after"

    target.faults = edit_and_die
    assert await world.cycle() is None
    await world.settle(3)
    assert struck
    for provider in (world.crm, world.mail):
        assert [one.fields["title"] for one in provider.of(A, Module.CONTACT)] == ["second"]
    assert not [row for row in await world.journal() if row.kind == "conflict"]
    await world.check()


@pytest.mark.parametrize("key", list(CreateKey))
@pytest.mark.parametrize("died", ["crash", "crash-after"], ids=["before it was made", "after it was made"])
async def test_what_is_taken_back_from_the_bin_while_it_is_made_again_is_no_second_item_of_its_link(
    died: str, key: CreateKey
) -> None:
    """It is the link's item again; a copy, where one was made, waits for an admin, and nothing else does (seed 37525)."""
    world = await World(crm_key=key).start()
    mine = world.mail.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@x.test")
    await world.settle(2)
    [record] = world.crm.of(A, Module.CONTACT)
    # Deleted there, edited here: an edit beats a delete, and it is made again. The engine dies of that.
    world.crm.delete("Contact", record.id)
    world.mail.edit(f"{A}/contacts", mine, title="Boss")
    world.crm.faults = lambda point, *_: died if point == "apply" else None
    assert await world.cycle() is None
    world.crm.faults = no_faults
    world.crm.edit("Contact", record.id)  # back from the bin
    await world.settle(4)
    there = {one.id for one in world.crm.of(A, Module.CONTACT)}
    assert record.id in there
    assert len(there) == 2 if died == "crash-after" else len(there) <= 2
    row = await world.mailbox(A)
    waits = await world.ledger.read(waiting.listed, [row.id])
    assert [one.kind for one in waits] == ["twin"] * (len(there) - 1)
    assert len(world.mail.of(A, Module.CONTACT)) == 1
    assert world.crm.shelf("Contact").now[record.id].fields["title"] == "Boss"
    assert await world.open_work() == (0, 0)


async def test_a_delete_whose_answer_was_lost_is_not_taken_for_a_persons() -> None:
    """Deleted in the CRM, so deleted here; the engine dies of it, and the CRM takes its own back: it stays (seed 20054)."""
    world = await World().start()
    record = world.crm.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@x.test")
    await world.settle(2)
    world.crm.delete("Contact", record)
    world.mail.faults = lambda point, *_: "crash-after" if point == "apply" else None
    assert await world.cycle() is None
    world.mail.faults = no_faults
    assert world.mail.of(A, Module.CONTACT) == []
    world.crm.edit("Contact", record)  # back from the bin
    await world.settle(3)
    assert [one.id for one in world.crm.of(A, Module.CONTACT)] == [record]
    assert len(world.mail.of(A, Module.CONTACT)) == 1
    await world.check()


@pytest.mark.parametrize("died", ["crash", "crash-after"], ids=["before it was made", "after it was made"])
async def test_a_late_feed_that_shows_what_we_had_written_over_is_no_edit(died: str) -> None:
    """It shows a person's edit from before our write, and with it the values that our write replaced.

    Believed, they went to the CRM as that person's, and what was written there meanwhile was lost to them.
    """
    world = await World(lag=90).start()
    record = world.crm.add(A, Module.CONTACT, given="N", family="F", email="f@x.test", title="first")
    await world.settle(3)
    [contact] = world.mail.of(A, Module.CONTACT)
    world.crm.edit("Contact", record, title="second")
    world.mail.edit(f"{A}/contacts", contact.id, department="Sales")
    applied = 0

    def die(point: str, *_: object) -> str | None:
        nonlocal applied
        applied += point == "apply"
        return (
            died if point == "apply" and applied == 2 else None
        )  # the first meets an edit that the feed does not tell

    world.mail.faults = die
    assert await world.cycle() is None
    world.mail.faults = no_faults
    await world.cycle()
    assert [one.fields["title"] for one in world.crm.of(A, Module.CONTACT)] == ["second"]
    world.crm.edit("Contact", record, title="third")
    await world.settle(4)
    for provider in (world.crm, world.mail):
        [one] = provider.of(A, Module.CONTACT)
        assert (one.fields["title"], one.fields["department"]) == ("third", "Sales")
    assert not [row for row in await world.journal() if row.kind == "conflict"]
    await world.check()
