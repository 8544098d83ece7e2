"""A roll-out through the engine: held-back mailboxes are not touched, whatever happens to the first ones."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.jobs import rollout
from engine.jobs.queue import Priority
from engine.ledger import mailboxes
from engine.model.modules import Module, Side
from engine.model.policy import ModuleSettings, Policy, Rollout
from engine.model.states import Move
from tests.sync.world import A, B, World, faulty

C = "cyd@example.org"
D = "dan@example.org"
EVERYBODY = (A, B, C, D)


def policy(**setting: Any) -> Policy:
    return Policy(
        "sales",
        "crm",
        "mail",
        modules={Module.CONTACT: ModuleSettings(), Module.TASK: ModuleSettings()},
        rollout=Rollout(**{"waves": (1, 1, 0), **setting}),
    )


async def company(**setting: Any) -> World:
    world = await World(people=EVERYBODY, policy=policy(**setting)).start()
    for email in EVERYBODY:
        for number in range(4):
            world.crm.add(email, Module.CONTACT, given="N", family=f"F{number}")
    return world


def filled(world: World) -> list[str]:
    return [email[0] for email in EVERYBODY if world.names(Side.MAILBOX, email)]


def touched(world: World) -> set[str]:
    """Mailboxes for which the provider was called at all."""
    return world.mail.asked


async def told(world: World) -> str:
    [record] = await world.ledger.read(mailboxes.policies)
    return rollout.said(rollout.read(record.rollout))


async def test_each_wave_waits_for_the_admin_and_the_others_are_not_touched() -> None:
    world = await company()
    world.mail.asked.clear()
    for _ in range(3):
        await world.cycle()
    assert filled(world) == ["a"]
    assert touched(world) == {A}
    assert "wave 1 was good: 1 mailbox, 4 items; wave 2 of 3 waits for you" in await told(world)
    assert "waits for wave 2 of 3" in [one.text for one in world.told if one.mailbox == B]
    await world.restart()
    await world.cycle()
    assert filled(world) == ["a"]
    _, refusal = await world.runner.waves.move("sales", Move.NEXT, "alice")
    assert refusal == ""
    await world.cycle()
    assert filled(world) == ["a", "b"]
    await world.runner.waves.move("sales", Move.ALL, "alice")
    await world.cycle()
    assert filled(world) == ["a", "b", "c", "d"]
    assert await told(world) == ""
    await world.settle(2)
    await world.check()


async def test_without_asking_good_waves_follow_each_other_in_one_run() -> None:
    world = await company(ask=False)
    result = await world.cycle()
    assert result is not None
    assert result.mailboxes >= 4
    assert filled(world) == ["a", "b", "c", "d"]
    assert await told(world) == ""
    await world.settle(2)
    await world.check()
    # Idle from then on, as without a roll-out.
    commits = world.ledger.commits
    await world.cycle()
    assert world.ledger.commits == commits


@pytest.mark.parametrize("fault", ["permission", "rejected", "crash"])
async def test_a_bad_first_wave_touches_nobody_else(fault: str) -> None:
    world = await company(ask=False)

    def plan(point: str, scope: Any, write: Any) -> str | None:
        mine = scope is not None and scope.remote_id.startswith(A)
        if fault == "rejected":
            return "rejected" if write is not None and mine and write.fields["family"] == "F1" else None
        if fault == "crash" and point == "apply" and mine:
            world.die()
        return fault if point == "changes" and mine and scope.key == "contacts" else None

    with faulty(world.mail, plan):
        await world.cycle(Priority.ADMIN)
    if fault == "crash":
        assert filled(world) == []
        assert "wave 1 of 3 runs" in await told(world)
        await world.settle(3)
        assert filled(world) == ["a", "b", "c", "d"]
        await world.check()
        return
    assert "stopped at wave 1 of 3" in await told(world)
    assert [email for email in EVERYBODY if world.names(Side.MAILBOX, email)] in ([], [A])
    assert any("the roll-out stopped at wave 1 of 3" in one.text for one in world.told if one.mailbox == A)
    assert any("stopped at wave 1" in one.text for one in world.told if one.mailbox == B)
    await world.restart()
    await world.settle(3)
    assert touched(world) == {A}
    if fault == "permission":
        await world.cycle(Priority.ADMIN)  # it was mended
    await world.runner.waves.move("sales", Move.ALL, "alice")
    await world.settle(4)
    assert filled(world) == ["a", "b", "c", "d"]


async def test_changed_rules_reach_the_first_wave_first() -> None:
    world = await company(ask=False)
    await world.settle(2)
    world.policy = replace(
        world.policy,
        modules={**world.policy.modules, Module.LEAD: ModuleSettings()},
        rollout=replace(world.policy.rollout, ask=True),
    )
    for email in EVERYBODY:
        world.crm.add(email, Module.LEAD, family="Lead")
    world.crm.edit("Contact", world.crm.of(B, Module.CONTACT)[0].id, title="Boss")
    await world.settle(2)
    assert [bool(world.names(Side.MAILBOX, email, Module.LEAD)) for email in EVERYBODY] == [True] + [False] * 3
    assert not any("title" in one.fields for one in world.mail.of(B, Module.CONTACT)), "its cycles wait as well"
    assert "wave 2 of 3 waits for you" in await told(world)
    await world.runner.waves.move("sales", Move.ALL, "alice")
    await world.settle(2)
    assert all(world.names(Side.MAILBOX, email, Module.LEAD) for email in EVERYBODY)
    assert any("title" in one.fields for one in world.mail.of(B, Module.CONTACT))
    await world.check()


async def test_a_paused_mailbox_does_not_hold_up_its_wave() -> None:
    world = await company(waves=(2, 0))
    row = await world.mailbox(B)
    await world.ledger.write(mailboxes.set_mailbox, row.id, paused=1)
    await world.settle(2)
    assert filled(world) == ["a"]
    assert "wave 2 of 2 waits for you" in await told(world)
