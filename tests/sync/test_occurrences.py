"""An occurrence that people change in both places before either place has heard of the other's change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.model.modules import Direction, Module, Side
from engine.model.policy import ConflictRule, DeleteMode, ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.sync.fakes import FakeProvider
from tests.sync.test_cycle import moment
from tests.sync.world import A, World

PLACES = {Side.CRM: "Event", Side.MAILBOX: f"{A}/calendar"}


async def scene(key: CreateKey = CreateKey.NATURAL, *, untold: Side, **settings: Any) -> World:
    """A series in both places; a person has changed the same occurrence in each of them, of which one feed does not tell."""
    direction = settings.pop("direction", Direction.BOTH)
    modules = {Module.APPOINTMENT: ModuleSettings(direction=direction)}
    policy = Policy("sales", "crm", "mail", modules=modules, mailbox_deletes=DeleteMode.MIRROR, **settings)
    world = await World(policy=policy, crm_key=key, mail_key=key).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    world.crm.add(A, Module.APPOINTMENT, subject="series", start=moment(25), end=moment(25, 10), rule=rule)
    await world.settle(2)
    change(world.crm, Side.CRM, location="of the CRM", body="agenda")
    change(world.mail, Side.MAILBOX, location="of the mailbox")
    shelf = {Side.CRM: world.crm, Side.MAILBOX: world.mail}[untold].shelf(PLACES[untold])
    shelf.log.pop()
    return world


def change(provider: FakeProvider, side: Side, **fields: Any) -> None:
    shelf = provider.shelf(PLACES[side])
    series = next(one for one in shelf.live() if one.parent is None)
    at = str(moment(26)["utc"])
    shown = {"subject": "series", "start": moment(26), "end": moment(26, 10), **fields}
    provider._store(
        PLACES[side],
        replace(
            series,
            id=f"{series.id}_{at}",
            version=0,
            fields=shown,
            marker=None,
            parent=series.id,
            occurrence=at,
        ),
    )


def occurrences(world: World) -> list[tuple[Any, Any]]:
    """Place and text of the changed occurrences, the CRM's first."""
    return [
        (one.fields.get("location"), one.fields.get("body"))
        for side, provider in ((Side.CRM, world.crm), (Side.MAILBOX, world.mail))
        for one in provider.shelf(PLACES[side]).live()
        if one.parent is not None
    ]


async def places_in_journal(world: World) -> list[Any]:
    return [(row.before or {}).get("location") for row in await world.journal()]


@pytest.mark.parametrize("untold", list(Side))
@pytest.mark.parametrize("key", list(CreateKey))
@pytest.mark.parametrize("rule", [ConflictRule.CRM, ConflictRule.MAILBOX])
async def test_the_policy_decides_between_the_two_and_the_loser_is_in_the_journal(
    untold: Side, key: CreateKey, rule: ConflictRule
) -> None:
    world = await scene(key, untold=untold, conflict=rule)
    await world.cycle()
    wins, loses = "of the CRM", "of the mailbox"
    if rule is ConflictRule.MAILBOX:
        wins, loses = loses, wins
    assert occurrences(world) == [(wins, "agenda")] * 2
    assert loses in await places_in_journal(world)
    await world.check((Module.APPOINTMENT,))


async def test_what_stood_in_a_place_that_only_receives_is_in_the_journal() -> None:
    """Seed 97735: it was taken for what the mail system makes of our values, and overwritten by the next edit in the CRM."""
    world = await scene(untold=Side.MAILBOX, direction=Direction.TO_MAILBOX)
    await world.settle(2)
    one = next(each for each in world.crm.shelf("Event").live() if each.parent is not None)
    world.crm.edit("Event", one.id, location="elsewhere")
    await world.settle(2)
    assert occurrences(world) == [("elsewhere", "agenda")] * 2
    assert "of the mailbox" in await places_in_journal(world)
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("where", ["asking", "recording"])
async def test_an_engine_that_dies_before_it_knows_what_stands_there_asks_again(where: str) -> None:
    world = await scene(untold=Side.MAILBOX)
    asked: list[str] = []

    def die(point: str, _scope: Any, _write: Any) -> str | None:
        if point == "occurrences" and not asked:
            asked.append(point)
            if where == "asking":
                world.die()
            world.ledger.hook = lambda _when, _number: world.die()
        return None

    world.mail.faults = die
    await world.cycle()
    assert world.crashes == 1
    await world.settle(2)
    crm, mailbox = occurrences(world)
    assert crm == mailbox
    assert {"of the CRM", "of the mailbox"} <= {crm[0], *await places_in_journal(world)}
    await world.check((Module.APPOINTMENT,))
