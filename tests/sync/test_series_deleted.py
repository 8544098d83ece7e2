"""A series that is deleted in one place: its changed occurrences go with it, or come back with it, but never alone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.sync.fakes import FakeProvider
from tests.sync.test_cycle import moment
from tests.sync.world import A, World

PLACES = {Side.CRM: "Event", Side.MAILBOX: f"{A}/calendar"}


async def scene(key: CreateKey = CreateKey.NATURAL, deletes: DeleteMode = DeleteMode.MIRROR) -> World:
    """A series with one changed occurrence, the same in both places."""
    modules = {Module.APPOINTMENT: ModuleSettings()}
    policy = Policy("sales", "crm", "mail", modules=modules, mailbox_deletes=deletes)
    world = await World(policy=policy, crm_key=key, mail_key=key).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    made = world.crm.add(
        A, Module.APPOINTMENT, subject="series", start=moment(25), end=moment(25, 10), rule=rule
    )
    series = world.crm.shelf("Event").now[made]
    changed = {**series.fields, "subject": "changed", "start": moment(26, 15), "end": moment(26, 16)}
    changed.pop("rule")
    occurrence = replace(series, id=f"{made}_x", fields=changed, parent=made, occurrence=str(moment(26)["utc"]))
    world.crm._store("Event", occurrence)
    await world.settle(3)
    assert shown(world.crm, world) == shown(world.mail, world) == ["changed", "series"]
    return world


def shown(provider: FakeProvider, world: World) -> list[str]:
    return sorted(str(one.fields["subject"]) for one in provider.shelf(place(provider, world)).live())


def place(provider: FakeProvider, world: World) -> str:
    return PLACES[Side.CRM if provider is world.crm else Side.MAILBOX]


def master(provider: FakeProvider, world: World) -> str:
    return next(one.id for one in provider.shelf(place(provider, world)).live() if one.parent is None)


def pair(world: World, deleted_in: Side) -> tuple[FakeProvider, FakeProvider]:
    return (world.crm, world.mail) if deleted_in is Side.CRM else (world.mail, world.crm)


@pytest.mark.parametrize("deleted_in", list(Side))
@pytest.mark.parametrize("key", list(CreateKey))
@pytest.mark.parametrize("fault", [None, "lost-after", "lost-before"])
async def test_a_series_edited_after_its_delete_comes_back_with_its_changed_occurrence(
    deleted_in: Side, key: CreateKey, fault: str | None
) -> None:
    world = await scene(key)
    gone, kept = pair(world, deleted_in)
    gone.delete(place(gone, world), master(gone, world))
    kept.edit(place(kept, world), master(kept, world), subject="series edited")
    lost: set[str] = set()

    def once(point: str, _scope: Any, write: Any) -> str | None:
        if point == "write" and write.kind == "create" and write.key not in lost:
            lost.add(write.key)
            return fault
        return None

    gone.faults = once
    await world.settle(5)
    assert shown(kept, world) == ["changed", "series edited"]
    assert shown(gone, world) == ["changed", "series edited"]
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("deleted_in", list(Side))
async def test_a_series_that_nobody_edited_goes_with_its_changed_occurrence(deleted_in: Side) -> None:
    world = await scene()
    gone, kept = pair(world, deleted_in)
    before = len(await world.journal())
    gone.delete(place(gone, world), master(gone, world))
    await world.settle(3)
    assert shown(kept, world) == shown(gone, world) == []
    journal = [row.before or {} for row in (await world.journal())[before:]]
    assert {one.get("subject") for one in journal} >= {"series", "changed"}
    await world.check((Module.APPOINTMENT,))


def change_untold(provider: FakeProvider, world: World, day: int, **fields: Any) -> None:
    """A person changes an occurrence; the feed does not tell of it, and the series keeps its version."""
    where = place(provider, world)
    shelf = provider.shelf(where)
    series = shelf.now[master(provider, world)]
    at = moment(day)
    shown = {**series.fields, "start": at, "end": moment(day, 10), **fields}
    shown.pop("rule")
    thing = replace(series, id=f"{series.id}_{day}", fields=shown, parent=series.id, occurrence=str(at["utc"]))
    provider._store(where, replace(thing, version=0, marker=None))
    shelf.log.pop()


@pytest.mark.parametrize("deleted_in", list(Side))
async def test_what_a_person_changed_in_an_occurrence_that_no_feed_told_of_is_in_the_journal(
    deleted_in: Side,
) -> None:
    """Seed 86676."""
    world = await scene()
    gone, kept = pair(world, deleted_in)
    change_untold(kept, world, 27, location="the garden")
    gone.delete(place(gone, world), master(gone, world))
    await world.settle(3)
    assert shown(kept, world) == shown(gone, world) == []
    assert "the garden" in [(row.before or {}).get("location") for row in await world.journal()]
    await world.check((Module.APPOINTMENT,))


async def test_a_series_whose_occurrences_cannot_be_read_stays_until_they_can() -> None:
    world = await scene()
    world.crm.delete("Event", master(world.crm, world))
    world.mail.faults = lambda point, _scope, _write: "unavailable" if point == "occurrences" else None
    await world.settle(2)
    assert shown(world.mail, world) == ["changed", "series"]
    world.mail.faults = lambda _point, _scope, _write: None
    await world.settle(3)
    assert shown(world.mail, world) == []
    await world.check((Module.APPOINTMENT,))


async def test_a_series_that_the_policy_keeps_keeps_its_changed_occurrence() -> None:
    world = await scene(deletes=DeleteMode.NEVER)
    world.mail.delete(PLACES[Side.MAILBOX], master(world.mail, world))
    await world.settle(3)
    assert shown(world.crm, world) == ["changed", "series"]
    assert shown(world.mail, world) == []
    world.crm.edit("Event", master(world.crm, world), subject="series edited")
    await world.settle(3)
    assert shown(world.mail, world) == shown(world.crm, world) == ["changed", "series edited"]
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("deleted_in", list(Side))
async def test_an_occurrence_deleted_by_itself_is_deleted_in_the_other_place(deleted_in: Side) -> None:
    world = await scene()
    gone, kept = pair(world, deleted_in)
    one = next(thing for thing in gone.shelf(place(gone, world)).live() if thing.parent is not None)
    gone.delete(place(gone, world), one.id)
    await world.settle(3)
    assert shown(kept, world) == shown(gone, world) == ["series"]
    await world.check((Module.APPOINTMENT,))
