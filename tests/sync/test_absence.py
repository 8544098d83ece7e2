"""What a complete listing does not show is asked for by id, whatever happens to the process meanwhile."""

from __future__ import annotations

import pytest

from engine.model.modules import Module, Side
from engine.model.policy import DeleteMode, ModuleSettings, Policy
from tests.sync.world import A, World


@pytest.mark.parametrize("when", ["before", "after"])
async def test_07_a_delete_in_the_gap_of_a_lost_cursor_outlives_a_kill_at_any_commit(when: str) -> None:
    killed, number = True, 0
    while killed:
        number += 1
        modules = {Module.CONTACT: ModuleSettings()}
        policy = Policy("sales", "crm", "mail", modules=modules, mailbox_deletes=DeleteMode.MIRROR)
        world = await World(policy=policy).start()
        for name in ("one", "two", "three"):
            world.crm.add(A, Module.CONTACT, family=name)
        await world.settle(2)
        shelf = world.mail.shelf(f"{A}/contacts")
        world.mail.delete(
            f"{A}/contacts", next(one.id for one in shelf.live() if one.fields["family"] == "two")
        )
        shelf.epoch += 1  # the provider no longer knows the cursor
        first, killed = world.ledger.number, False

        def hook(at: str, count: int, world: World = world, target: int = first + number) -> None:
            nonlocal killed
            if (at, count) == (when, target):
                killed = True
                world.die()

        world.ledger.hook = hook
        await world.settle(3)
        assert world.names(Side.MAILBOX) == ["one", "three"], f"killed {when} commit {number}"
        assert world.names(Side.CRM) == ["one", "three"], f"killed {when} commit {number}"
        await world.check((Module.CONTACT,))
    assert number > 4
