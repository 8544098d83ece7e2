"""What was taken back after we had made it again waits beside its copy, and takes its place when the copy goes."""

from __future__ import annotations

import pytest

from engine.ledger import twins
from engine.ledger.restored import RESTORED
from engine.model.modules import Module
from engine.model.port import CreateKey
from tests.sync.test_waiting import ANN, CONTACTS, contacts, listed, settle
from tests.sync.world import A, B, World


async def beside(key: CreateKey = CreateKey.NATURAL) -> tuple[World, str, str, str]:
    """A contact that waits beside its copy; the ids of the contact, of its copy, and of the record of both."""
    world = await World(crm_key=key).start()
    original = world.mail.add(A, Module.CONTACT, **ANN)
    await world.settle(2)
    (record,) = world.crm.of(A, Module.CONTACT)
    world.mail.delete(CONTACTS, original)
    world.crm.edit("Contact", record.id, title="Boss")
    await world.settle(2)
    (copy,) = contacts(world)
    world.mail.edit(CONTACTS, original)
    await world.settle(2)
    return world, original, copy.id, record.id


async def test_it_waits_whatever_is_edited_about_it_and_however_often_it_is_looked_at() -> None:
    world, original, _, record = await beside()
    world.mail.edit(CONTACTS, original, company="Acme", email="ann@elsewhere.test")
    await world.settle(2)
    (held,) = await listed(world)
    assert (held.kind, held.reason) == ("twin", RESTORED)
    assert await settle(world, twins.retry, [held.id]) == [held.id]
    await world.settle(2)
    assert [one.reason for one in await listed(world)] == [RESTORED]
    assert [one.id for one in world.crm.of(A, Module.CONTACT)] == [record]
    assert await world.open_work() == (0, 0)


async def test_when_the_copy_is_removed_it_is_the_records_twin_again() -> None:
    world, original, copy, record = await beside()
    world.mail.edit(CONTACTS, original, company="Acme")
    world.mail.delete(CONTACTS, copy)
    await world.settle(3)
    assert [one.id for one in contacts(world)] == [original]
    (left,) = world.crm.of(A, Module.CONTACT)
    assert (left.id, left.fields["company"], left.fields["title"]) == (record, "Acme", "Boss")
    assert contacts(world)[0].fields["title"] == "Boss"
    assert await listed(world) == []
    await world.check()


async def test_when_it_is_removed_itself_nothing_happens_to_the_others() -> None:
    world, original, copy, record = await beside()
    world.mail.delete(CONTACTS, original)
    await world.settle(3)
    assert [one.id for one in contacts(world)] == [copy]
    assert [one.id for one in world.crm.of(A, Module.CONTACT)] == [record]
    assert await listed(world) == []
    await world.check()


async def test_when_record_and_copy_are_gone_it_is_an_item_of_its_own() -> None:
    world, original, _, record = await beside()
    world.crm.delete("Contact", record)
    await world.settle(3)
    assert [one.id for one in contacts(world)] == [original]
    assert len(world.crm.of(A, Module.CONTACT)) == 1
    assert await listed(world) == []
    await world.check()


@pytest.mark.parametrize("edited", [False, True], ids=["as it was", "edited"])
async def test_a_record_that_is_given_back_after_it_was_made_again_waits(edited: bool) -> None:
    """Given to somebody else while it was edited in the mailbox, and back again (seeds 81240, 94380)."""
    world = await World(people=(A, B)).start()
    record = world.crm.add(A, Module.CONTACT, **ANN)
    await world.settle(2)
    (contact,) = contacts(world)
    world.crm.give(record, Module.CONTACT, B)
    world.mail.edit(CONTACTS, contact.id, title="Boss")
    await world.settle(2)
    (copy,) = world.crm.of(A, Module.CONTACT)
    assert copy.id != record
    world.crm.give(record, Module.CONTACT, A)
    if edited:
        await world.settle(1)
        world.crm.edit("Contact", record, company="Acme", email="ann@elsewhere.test")
    await world.settle(2)
    (held,) = await listed(world)
    assert held.reason == RESTORED
    assert await settle(world, twins.retry, [held.id]) == [held.id]
    await world.settle(2)
    assert [one.id for one in contacts(world)] == [contact.id]
    # One of the two is removed, as the admin was told.
    world.crm.delete("Contact", copy.id)
    await world.settle(3)
    assert [one.id for one in contacts(world)] == [contact.id]
    assert [one.id for one in world.crm.of(A, Module.CONTACT)] == [record]
    assert contacts(world)[0].fields["title"] == "Boss"
    assert await listed(world) == []


@pytest.mark.parametrize("key", list(CreateKey))
async def test_both_of_an_item_and_its_restored_original_are_synchronised_with_records_of_their_own(
    key: CreateKey,
) -> None:
    """By the key of its first create the original would find the record that belongs to the copy by now (seed 16766)."""
    world, original, _, record = await beside(key)
    (held,) = await listed(world)
    assert held.kind == "twin"
    assert await settle(world, twins.make_both, [held.id]) == [held.id]
    await world.settle(3)
    assert len(contacts(world)) == 2
    assert len(world.crm.of(A, Module.CONTACT)) == 2
    assert await listed(world) == []
    assert await world.open_work() == (0, 0)
    # Each has its own: what is written into one arrives at one.
    world.crm.edit("Contact", record, department="Sales")
    await world.settle(2)
    assert [one.id == original for one in contacts(world) if one.fields.get("department")] == [False]
