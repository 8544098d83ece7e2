"""What was in flight when the engine died must not be taken for a person's edit."""

from __future__ import annotations

import pytest

from engine.model.modules import Module, Side
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
