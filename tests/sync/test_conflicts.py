"""Conflicts in a whole engine: asked, kept, decided, asked again; a crash anywhere between; fields that bounce."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import sqlalchemy as sa

from engine.ledger import conflicts, fence
from engine.ledger.conflicts import Verdict
from engine.ledger.fence import Fence
from engine.ledger.schema import conflict, link
from engine.model.canonical import attendees
from engine.model.modules import Module
from engine.model.policy import ConflictRule, ModuleSettings, Policy
from tests.sync.world import A, World, faulty

CONTACT, EVENT = Module.CONTACT, Module.APPOINTMENT
MAIL = f"{A}/contacts"


def asking(**rules: str) -> Policy:
    chosen = {name: ConflictRule(rule) for name, rule in rules.items()}
    return Policy(
        "sales",
        "crm",
        "mail",
        modules={CONTACT: ModuleSettings(conflicts=chosen), EVENT: ModuleSettings(conflicts=chosen)},
    )


async def pair(policy: Policy, **fields: Any) -> tuple[World, str, str]:
    """A world with one contact on both sides: (world, its id in the CRM, its id in the mailbox)."""
    world = await World(policy=policy).start()
    crm = world.crm.add(A, CONTACT, family="Lee", **fields)
    await world.settle(2)
    [mail] = [one.id for one in world.mail.of(A, CONTACT)]
    return world, crm, mail


async def rows(world: World, *states: str) -> Sequence[Any]:
    query = sa.select(conflict).order_by(conflict.c.id)
    return await world.rows(query.where(conflict.c.state.in_(states)) if states else query)


async def decide(world: World, choice: str, value: Any = None, by: str = "alice") -> None:
    """As the desk does it."""
    row = await world.mailbox(A)
    epoch = await world.ledger.read(fence.epoch, world.policy.name, row.id)
    chosen = [
        Verdict(one.id, choice, getattr(one, choice) if choice != "edit" else value)
        for one in await rows(world, *conflicts.OPEN)
    ]
    done = await world.ledger.write(
        conflicts.decide, Fence(world.policy.name, row.id, epoch), chosen, by, world.clock.now_ms()
    )
    assert len(done) == len(chosen) > 0


def titles(world: World, crm: str, mail: str) -> tuple[Any, Any]:
    return (
        world.crm.shelf("Contact").now[crm].fields.get("title"),
        world.mail.shelf(MAIL).now[mail].fields.get("title"),
    )


async def test_the_field_waits_the_rest_flows_and_no_idle_cycle_commits() -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    world.crm.edit("Contact", crm, title="c", company="Acme")
    world.mail.edit(MAIL, mail, title="m", department="R&D")
    await world.settle(2)
    assert titles(world, crm, mail) == ("c", "m")
    assert world.crm.shelf("Contact").now[crm].fields["department"] == "R&D"
    assert world.mail.shelf(MAIL).now[mail].fields["company"] == "Acme"
    [row] = await rows(world)
    assert (row.state, row.field, row.crm, row.base, row.mailbox) == ("open", "title", "c", "a", "m")
    assert row.why == "both sides changed it"
    assert await world.open_work() == (0, 0)
    assert any("waits for you (job title" in one.text for one in world.told)
    commits = world.ledger.commits
    told = len(world.told)
    await world.cycle()
    assert world.ledger.commits == commits, "an open conflict costs an idle cycle nothing"
    assert not [one for one in world.told[told:] if "waits" in one.text]


@pytest.mark.parametrize(
    ("choice", "value", "end"), [("crm", None, "c"), ("mailbox", None, "m"), ("edit", "x", "x")]
)
async def test_a_decision_is_carried_out_by_the_next_cycle(choice: str, value: Any, end: str) -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    world.crm.edit("Contact", crm, title="c")
    world.mail.edit(MAIL, mail, title="m")
    await world.cycle()
    await decide(world, choice, value)
    assert titles(world, crm, mail) == ("c", "m")
    await world.cycle()
    assert titles(world, crm, mail) == (end, end)
    await world.check([CONTACT])
    [row] = await rows(world)
    assert (row.state, row.choice, row.value, row.by) == ("closed", choice, end, "alice")
    lost = {(one.side, one.before["title"], one.why) for one in await world.journal() if one.kind == "conflict"}
    assert lost == {
        (side, one, "decided by alice") for side, one in (("crm", "c"), ("mailbox", "m")) if one != end
    }
    await world.cycle()  # its echo
    commits = world.ledger.commits
    await world.cycle()
    assert world.ledger.commits == commits


async def test_sides_that_come_to_agree_close_it_and_a_decision_about_old_values_is_void() -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    world.crm.edit("Contact", crm, title="c")
    world.mail.edit(MAIL, mail, title="m")
    await world.cycle()
    await decide(world, "crm")
    world.mail.edit(MAIL, mail, title="later")
    await world.cycle()
    assert titles(world, crm, mail) == ("c", "later")
    [row] = await rows(world)
    assert (row.state, row.mailbox, row.choice, row.by) == ("open", "later", "", "")
    assert row.why == "both sides changed it again, after alice had decided"
    world.crm.edit("Contact", crm, title="later")
    await world.cycle()
    [row] = await rows(world)
    assert (row.state, row.choice) == ("closed", "")
    await world.check([CONTACT])


async def test_a_side_that_goes_back_or_goes_away_leaves_nothing_to_ask() -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    world.crm.edit("Contact", crm, title="c")
    world.mail.edit(MAIL, mail, title="m")
    await world.cycle()
    world.mail.edit(MAIL, mail, title="a")
    await world.settle(2)
    assert titles(world, crm, mail) == ("c", "c")
    world.crm.edit("Contact", crm, title="d")
    world.mail.edit(MAIL, mail, title="e")
    await world.cycle()
    world.crm.delete("Contact", crm)
    await world.settle(2)
    assert [row.state for row in await rows(world)] == ["closed", "closed"]


async def test_a_rule_that_changes_is_asked_of_what_waits_already() -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    world.crm.edit("Contact", crm, title="c")
    world.mail.edit(MAIL, mail, title="m")
    await world.cycle()
    world.policy = asking(title="crm")
    assert await world.ledger.write(conflicts.ask_again) == 1
    await world.settle(2)
    assert titles(world, crm, mail) == ("c", "c")
    assert [row.state for row in await rows(world)] == ["closed"]


def guests(*names: str) -> list[dict[str, Any]] | None:
    return attendees({"email": f"{name}@x.test"} for name in names)


EVENT_FIELDS = {
    "subject": "Kick-off",
    "start": {"utc": "2026-11-23T09:00:00Z", "zone": "Europe/Berlin"},
    "end": {"utc": "2026-11-23T10:00:00Z", "zone": "Europe/Berlin"},
}


async def meeting() -> tuple[World, str, str]:
    """An appointment with guests, to which people on either side have invited others."""
    world = await World(policy=asking(attendees="union")).start()
    crm = world.crm.add(A, EVENT, attendees=guests("ann", "bob"), **EVENT_FIELDS)
    await world.settle(2)
    [mail] = [one.id for one in world.mail.of(A, EVENT)]
    world.crm.edit("Event", crm, attendees=guests("ann", "cid"))
    world.mail.edit(f"{A}/calendar", mail, attendees=guests("ann", "bob", "dan"))
    return world, crm, mail


async def test_guests_are_united() -> None:
    world, crm, mail = await meeting()
    await world.settle(2)
    wanted = guests("ann", "cid", "dan")
    assert world.crm.shelf("Event").now[crm].fields["attendees"] == wanted
    assert world.mail.shelf(f"{A}/calendar").now[mail].fields["attendees"] == wanted
    assert not await rows(world)
    await world.check([EVENT])
    # The union is the base now: who is taken out on one side is taken out.
    world.mail.edit(f"{A}/calendar", mail, attendees=guests("ann", "cid"))
    await world.settle(2)
    assert world.crm.shelf("Event").now[crm].fields["attendees"] == guests("ann", "cid")


async def killed_at_every_commit(world: World, number: int, when: str) -> bool:
    """One cycle killed at its n-th commit, then calm ones; False when it ended before."""
    first, crashes = world.ledger.number, world.crashes

    def hook(moment: str, at: int) -> None:
        if (moment, at) == (when, first + number):
            world.die()

    world.ledger.hook = hook
    await world.cycle()
    world.ledger.hook = lambda _when, _number: None
    await world.settle(2)
    return world.crashes > crashes


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_commit_loses_no_decision(when: str) -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    number, killed = 0, True
    while killed:
        number += 1
        world.crm.edit("Contact", crm, title=f"c{number}")
        world.mail.edit(MAIL, mail, title=f"m{number}")
        await world.cycle()
        await decide(world, "edit", f"x{number}")
        killed = await killed_at_every_commit(world, number, when)
        assert titles(world, crm, mail) == (f"x{number}", f"x{number}"), f"killed {when} commit {number}"
        assert {row.state for row in await rows(world)} == {"closed"}
    await world.check([CONTACT])
    assert number > 5


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_kill_at_any_commit_loses_no_guest(when: str) -> None:
    world, crm, mail = await meeting()
    number, killed = 0, True
    while killed:
        number += 1
        here, there = guests("ann", f"c{number}"), guests("ann", f"d{number}")
        world.crm.edit("Event", crm, attendees=here)
        world.mail.edit(f"{A}/calendar", mail, attendees=there)
        killed = await killed_at_every_commit(world, number, when)
        wanted = guests("ann", f"c{number}", f"d{number}")
        assert world.crm.shelf("Event").now[crm].fields["attendees"] == wanted, f"killed {when} commit {number}"
        assert world.mail.shelf(f"{A}/calendar").now[mail].fields["attendees"] == wanted
    await world.check([EVENT])
    assert number > 5


@pytest.mark.parametrize("side", ["crm", "mail"])
async def test_a_refused_half_of_a_decision_is_written_later(side: str) -> None:
    world, crm, mail = await pair(asking(title="ask"), title="a")
    world.crm.edit("Contact", crm, title="c")
    world.mail.edit(MAIL, mail, title="m")
    await world.cycle()
    await decide(world, "edit", "x")
    once = ["conflict", "conflict"]
    with faulty(getattr(world, side), lambda point, *_: once.pop() if point == "write" and once else None):
        await world.settle(2)
    assert titles(world, crm, mail) == ("x", "x")
    await world.check([CONTACT])


async def test_a_field_that_two_programs_fight_over_is_frozen_and_reported() -> None:
    world, crm, mail = await pair(asking(), title="A")

    def quarrel() -> None:
        """The CRM's workflow wants A, the mailbox's tool wants B."""
        if titles(world, crm, mail)[0] != "A":
            world.crm.edit("Contact", crm, title="A")
        elif titles(world, crm, mail)[1] != "B":
            world.mail.edit(MAIL, mail, title="B")

    for _ in range(12):
        quarrel()
        await world.cycle()
    writes = [one for one in world.crm.log + world.mail.log if one.startswith("update")]
    assert len(writes) == 4, "three times back, and no further"
    [row] = await rows(world, "open")
    assert row.why.startswith("written back and forth 3 times within a day")
    assert any("written back and forth" in one.text for one in world.told)
    # Everything else still flows, and a decision starts afresh.
    world.crm.edit("Contact", crm, company="Acme")
    await world.cycle()
    assert world.mail.shelf(MAIL).now[mail].fields["company"] == "Acme"
    await decide(world, "edit", "C")
    await world.settle(2)
    assert titles(world, crm, mail) == ("C", "C")
    assert [one.state for one in await rows(world)] == ["closed"]
    [bounces] = [
        one.bounces for one in await world.rows(sa.select(link.c.bounces).where(link.c.module == "contact"))
    ]
    assert bounces["title"][0] == 0
    await world.check([CONTACT])


async def test_a_person_who_toggles_is_not_frozen() -> None:
    world = await World(policy=Policy("sales", "crm", "mail", modules={Module.TASK: ModuleSettings()})).start()
    crm = world.crm.add(A, Module.TASK, subject="Call", done=False)
    await world.settle(2)
    [mail] = [one.id for one in world.mail.of(A, Module.TASK)]
    for number in range(10):
        world.mail.edit(f"{A}/tasks", mail, done=number % 2 == 0)
        await world.cycle()
        assert world.crm.shelf("Task").now[crm].fields.get("done") == (number % 2 == 0)
    assert not await rows(world)


async def test_a_text_is_forgotten_when_its_item_becomes_private() -> None:
    world = await World(policy=asking(body="ask")).start()
    crm = world.crm.add(A, EVENT, body="agenda", **EVENT_FIELDS)
    await world.settle(2)
    [mail] = [one.id for one in world.mail.of(A, EVENT)]
    world.crm.edit("Event", crm, body="here")
    world.mail.edit(f"{A}/calendar", mail, body="there")
    await world.cycle()
    [row] = await rows(world, "open")
    assert (row.crm, row.mailbox) == ("here", "there")
    world.mail.edit(f"{A}/calendar", mail, private=True)
    await world.cycle()
    [row] = await rows(world)
    assert (row.state, row.crm, row.base, row.mailbox) == ("closed", None, None, None)


async def test_the_occurrences_of_a_series_that_ends_leave_no_question() -> None:
    world = await World(policy=asking(location="ask")).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=4"]}
    crm = world.crm.add(A, EVENT, location="a", rule=rule, **EVENT_FIELDS)
    await world.settle(2)
    [mail] = [one.id for one in world.mail.of(A, EVENT)]
    world.crm.edit("Event", crm, location="c")
    world.mail.edit(f"{A}/calendar", mail, location="m")
    await world.cycle()
    assert len(await rows(world, "open")) == 1
    world.crm.delete("Event", crm)
    world.mail.delete(f"{A}/calendar", mail)
    await world.settle(2)
    assert [row.state for row in await rows(world)] == ["closed"]
    assert await world.ledger.read(conflicts.counts) == {}
