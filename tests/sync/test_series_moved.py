"""A whole series that is moved takes its changed occurrences along, and then there is nothing left to do."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.model.modules import Module, Side
from tests.sync.test_cycle import moment
from tests.sync.test_occurrence_taken import PLACES, change, scene, sides
from tests.sync.world import World, faulty


def move(world: World, side: Side) -> None:
    """A person moves the series to another hour; its changed occurrences are told as cancelled, as Google does it."""
    provider, where = sides(world, side)[0], PLACES[side]
    (series,) = [one for one in provider.shelf(where).live() if one.parent is None]
    new = {"start": moment(25, 14), "end": moment(25, 15)}
    provider.drop_occurrences(where, series.id, {**series.fields, **new})
    provider.edit(where, series.id, **new)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("rewritten", [False, True], ids=["as written", "rewritten"])
async def test_the_other_side_follows_once(side: Side, rewritten: bool) -> None:
    """Also where that side makes something of its own of each text (seed 22013)."""
    world = await scene()
    moved, other = sides(world, side)
    moved.drops = True
    if rewritten:
        other.rewrites = {"body": lambda text: f"<p>{text}</p>"}
    (series,) = other.shelf(PLACES[other.side]).live()
    other.edit(PLACES[other.side], series.id, body="agenda")
    change(moved, location="the garden")
    await world.settle(3)
    move(world, side)
    await world.settle(3)
    written = (len(moved.log), len(other.log))
    (occurrence,) = [one for one in other.shelf(PLACES[other.side]).live() if one.parent is not None]
    assert occurrence.fields["start"] == moment(26, 14)
    assert "location" not in occurrence.fields
    await world.settle(2)
    assert (len(moved.log), len(other.log)) == written, "the same is written again and again"
    assert await world.open_work() == (0, 0)
    assert any((row.before or {}).get("location") == "the garden" for row in await world.journal())
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("known", [False, True], ids=["new", "known"])
async def test_what_a_person_changes_in_an_occurrence_meanwhile_is_in_the_journal(
    side: Side, known: bool
) -> None:
    """The provider drops it with the old times of its series, and no version of the series protects it (seed 3295)."""
    world = await scene()
    moved, other = sides(world, side)
    moved.drops = other.drops = True
    if known:
        change(moved, location="the garden")
        await world.settle(2)
    move(world, side)
    acted: list[str] = []

    def person(point: str, _scope: Any, _write: Any) -> str | None:
        if point == "occurrences" and not acted:
            acted.append(change(other, location="the cellar"))
        return None

    other.faults = person
    await world.settle(3)
    assert acted
    (series,) = [one for one in other.shelf(PLACES[other.side]).live() if one.parent is None]
    assert series.fields["start"] == moment(25, 14)
    assert any((row.before or {}).get("location") == "the cellar" for row in await world.journal())
    assert await world.open_work() == (0, 0)


@pytest.mark.parametrize("side", list(Side))
@pytest.mark.parametrize("died", [False, True], ids=["", "the engine dies of it"])
async def test_a_series_that_goes_on_longer_keeps_what_was_changed_about_its_occurrences(
    side: Side, died: bool
) -> None:
    """Exchange forgets all of it with another rule; it is written once more, and nothing flows back."""
    world = await scene()
    edited, other = sides(world, side)
    other.resets = True
    change(edited, location="the garden")
    gone = str(moment(27)["utc"])
    (series,) = [one for one in edited.shelf(PLACES[side]).live() if one.parent is None]
    edited._store(
        PLACES[side],
        replace(
            series, id=f"{series.id}_{gone}", fields={"cancelled": True}, version=0, marker=None, parent=series.id,
            occurrence=gone,
        ),
    )  # fmt: skip
    await world.settle(3)
    edited.edit(PLACES[side], series.id, rule={"lines": ["RRULE:FREQ=DAILY;COUNT=6"]})
    if died:
        with faulty(other, lambda point, *_: "crash-after" if point == "apply" else None):
            assert await world.cycle() is None
    await world.settle(3)
    for provider in (edited, other):
        things = provider.shelf(PLACES[provider.side]).live()
        (master,) = [one for one in things if one.parent is None]
        assert master.fields["rule"] == {"lines": ["RRULE:FREQ=DAILY;COUNT=6"]}
        shown = {one.occurrence: one.fields for one in things if one.parent is not None}
        assert shown[str(moment(26)["utc"])]["location"] == "the garden"
        assert shown[gone] == {"cancelled": True}
    written = (len(edited.log), len(other.log))
    await world.settle(2)
    assert (len(edited.log), len(other.log)) == written
    assert await world.open_work() == (0, 0)
    await world.check((Module.APPOINTMENT,))
