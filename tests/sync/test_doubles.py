"""A create that was carried out twice leaves one item, whatever people have copied meanwhile."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.model.modules import Module
from engine.model.port import CreateKey
from engine.sync.doubles import COPY
from tests.sync.fakes import Thing
from tests.sync.test_waiting import ANN, CONTACTS, contacts, listed
from tests.sync.world import A, World, faulty


def again(world: World, thing: Thing, **fields: str) -> Thing:
    """The same item once more, with all that is on it: a late request of ours, or a person's copy under another name."""
    mail = world.mail
    return mail._store(CONTACTS, replace(thing, id=mail._fresh(), fields={**thing.fields, **fields}, version=0))


@pytest.mark.parametrize("copied", ["before", "after", "long before", "never"])
async def test_a_second_copy_goes_though_a_person_has_copied_the_first(copied: str) -> None:
    """The copy under another name carries our mark as well, and says nothing about the second (seeds 10909, 33134)."""
    world = await World(mail_key=CreateKey.MARKER).start()
    world.crm.add(A, Module.CONTACT, **ANN)
    await world.cycle()
    (first,) = contacts(world)
    if copied in {"before", "long before"}:
        again(world, first, family="Lee-Smith", email="smith@acme.test")
    if copied == "long before":
        await world.cycle()
    again(world, first)
    if copied == "after":
        again(world, first, family="Lee-Smith", email="smith@acme.test")
    await world.settle(3)
    names = ["Lee"] if copied == "never" else ["Lee", "Lee-Smith"]
    assert sorted(str(one.fields["family"]) for one in contacts(world)) == names
    assert sorted(str(one.fields["family"]) for one in world.crm.of(A, Module.CONTACT)) == names
    assert await listed(world) == []
    assert await world.open_work() == (0, 0)


async def test_a_copy_that_was_edited_waits_and_is_not_copied_to_the_crm() -> None:
    world = await World(mail_key=CreateKey.MARKER).start()
    world.crm.add(A, Module.CONTACT, **ANN)
    await world.cycle()
    (first,) = contacts(world)
    again(world, first, family="Lee-Smith", email="smith@acme.test")
    again(world, first, title="Boss")
    await world.settle(3)
    assert [one.reason for one in await listed(world)] == [COPY]
    assert len(contacts(world)) == 3
    assert len(world.crm.of(A, Module.CONTACT)) == 2


async def test_what_we_made_is_adopted_and_not_the_renamed_copy_of_it() -> None:
    """The engine died before it knew, and both carry its key: the record must not be renamed after the copy (seed 143923)."""
    world = await World(mail_key=CreateKey.MARKER).start()
    record = world.crm.add(A, Module.CONTACT, **ANN)
    with faulty(world.mail, lambda point, *_: "crash-after" if point == "apply" else None):
        assert await world.cycle() is None
    (first,) = contacts(world)
    world.mail.edit(CONTACTS, first.id, title="Boss")
    again(world, first, family="Lee-Smith", email="smith@acme.test")
    await world.settle(3)
    names = {one.id: str(one.fields["family"]) for one in world.crm.of(A, Module.CONTACT)}
    assert names.pop(record) == "Lee"
    assert list(names.values()) == ["Lee-Smith"]
    assert len(contacts(world)) == 2
    assert await listed(world) == []
