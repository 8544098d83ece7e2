"""A whole series that is moved takes its changed occurrences along, and then there is nothing left to do."""

from __future__ import annotations

from typing import Any

import pytest

from engine.model.modules import Module, Side
from tests.sync.test_cycle import moment
from tests.sync.test_occurrence_taken import PLACES, change, scene, sides
from tests.sync.world import World


def move(world: World, side: Side) -> None:
    """A person moves the series to another hour; its changed occurrences are told as cancelled, as Google does it."""
    provider, where = sides(world, side)[0], PLACES[side]
    (series,) = [one for one in provider.shelf(where).live() if one.parent is None]
    provider.drop_occurrences(where, series.id)
    provider.edit(where, series.id, start=moment(25, 14), end=moment(25, 15))


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
