"""An occurrence that two people change at once, one on each side: the engine makes neither's change over the other's."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from engine.ledger.intents import QUARANTINE_AFTER
from engine.model.modules import Direction, Module, Side
from engine.model.policy import ConflictRule, ModuleSettings, Policy
from engine.model.port import CreateKey, WriteKind
from tests.sync.fakes import FakeProvider
from tests.sync.test_cycle import moment
from tests.sync.world import A, World

PLACES = {Side.CRM: "Event", Side.MAILBOX: f"{A}/calendar"}
DAY = 26


async def scene(
    key: CreateKey = CreateKey.NATURAL, lag: int = 0, direction: Direction = Direction.BOTH, **policy: Any
) -> World:
    """A series that is the same in both places, none of its occurrences changed."""
    modules = {Module.APPOINTMENT: ModuleSettings(direction=direction)}
    rules = Policy("sales", "crm", "mail", modules=modules, **policy)
    world = await World(policy=rules, crm_key=key, mail_key=key, lag=lag).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    world.crm.add(A, Module.APPOINTMENT, subject="series", start=moment(25), end=moment(25, 10), rule=rule)
    await world.settle(3)
    assert all(len(provider.shelf(PLACES[provider.side]).live()) == 1 for provider in (world.crm, world.mail))
    return world


def sides(world: World, ours: Side) -> tuple[FakeProvider, FakeProvider]:
    """Where the engine makes the occurrence, and where it comes from."""
    return (world.crm, world.mail) if ours is Side.CRM else (world.mail, world.crm)


def change(provider: FakeProvider, **fields: Any) -> str:
    """A person changes the occurrence, as the series has it or as somebody has changed it."""
    where = PLACES[provider.side]
    shelf = provider.shelf(where)
    series = next(one for one in shelf.live() if one.parent is None)
    original = str(moment(DAY)["utc"])
    item = f"{series.id}_{original}"
    if item in shelf.now:
        provider.edit(where, item, **fields)
        return item
    shown = {**series.fields, "start": moment(DAY), "end": moment(DAY, 10), **fields}
    shown.pop("rule")
    changed = replace(
        series, id=item, fields=shown, version=0, marker=None, parent=series.id, occurrence=original
    )
    provider._store(where, changed)
    return item


def cancel(provider: FakeProvider) -> None:
    """A person cancels the occurrence: nothing else is told of it any more."""
    where, item = PLACES[provider.side], change(provider)
    provider._store(where, replace(provider.shelf(where).now[item], fields={"cancelled": True}))


def before_the_write(provider: FakeProvider, act: Any) -> list[str]:
    """Let a person act when our next create of an occurrence arrives; returns where each such create is noted."""
    asked: list[str] = []

    def plan(point: str, _scope: Any, write: Any) -> str | None:
        if point == "write" and write.kind is WriteKind.CREATE and write.parent is not None:
            if not asked:
                act()
            asked.append(write.key)
        return None

    provider.faults = plan
    return asked


def occurrence(provider: FakeProvider) -> dict[str, Any]:
    [one] = [one for one in provider.shelf(PLACES[provider.side]).live() if one.parent is not None]
    return dict(one.fields)


async def told(world: World) -> str:
    """All that the journal says."""
    return " ".join(f"{row.before} {row.after}" for row in await world.journal())


@pytest.mark.parametrize("ours", list(Side))
@pytest.mark.parametrize("key", list(CreateKey))
@pytest.mark.parametrize("lag", [0, 300])
@pytest.mark.parametrize("rule", [ConflictRule.NEWEST, ConflictRule.CRM, ConflictRule.MAILBOX])
async def test_what_a_person_changed_before_our_create_is_merged_with_it(
    ours: Side, key: CreateKey, lag: int, rule: ConflictRule
) -> None:
    """Seed 117679."""
    world = await scene(key, lag, conflict=rule)
    target, source = sides(world, ours)
    change(source, location="the garden")
    asked = before_the_write(target, lambda: change(target, location="the cellar", body="bring a lamp"))
    await world.settle(5)
    assert len(asked) == 1, "what is told of the person's occurrence leaves nothing to create"
    assert occurrence(target) == occurrence(source)
    shown, journal = occurrence(target), await told(world)
    assert shown["body"] == "bring a lamp"
    wins = {ConflictRule.CRM: Side.CRM, ConflictRule.MAILBOX: Side.MAILBOX}.get(rule, ours)
    assert shown["location"] == ("the cellar" if wins is ours else "the garden")
    assert ("the garden" if wins is ours else "the cellar") in journal
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("ours", list(Side))
@pytest.mark.parametrize("key", list(CreateKey))
@pytest.mark.parametrize("fault", [None, "lost-before", "lost-after", "conflict"])
async def test_what_a_person_cancelled_before_our_create_stays_cancelled(
    ours: Side, key: CreateKey, fault: str | None
) -> None:
    """Also when the write that cancels it on the other side has to be planned twice."""
    world = await scene(key)
    target, source = sides(world, ours)
    change(source, location="the garden")
    before_the_write(target, lambda: cancel(target))
    failed: list[str] = []

    def plan(point: str, _scope: Any, write: Any) -> str | None:
        if point == "write" and write.kind is WriteKind.UPDATE and fault and not failed:
            failed.append(write.key)
            return fault
        return None

    source.faults = plan
    await world.settle(4)
    assert bool(failed) is bool(fault)
    assert occurrence(target) == occurrence(source) == {"cancelled": True}
    assert not [line for line in target.log if line.startswith("update")], (
        "few can bring back what was cancelled"
    )
    assert "the garden" in await told(world)
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("ours", list(Side))
async def test_what_a_person_changed_before_we_cancel_it_is_in_the_journal(ours: Side) -> None:
    world = await scene()
    target, source = sides(world, ours)
    cancel(source)
    before_the_write(target, lambda: change(target, location="the cellar"))
    await world.settle(4)
    assert occurrence(target) == occurrence(source) == {"cancelled": True}
    assert "the cellar" in await told(world)
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("ours", list(Side))
async def test_the_same_change_on_both_sides_is_no_conflict(ours: Side) -> None:
    world = await scene()
    target, source = sides(world, ours)
    change(source, location="the garden")
    before_the_write(target, lambda: change(target, location="the garden"))
    await world.settle(3)
    assert occurrence(target) == occurrence(source)
    assert target.calls.count("occurrences") == 0
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("ours", list(Side))
@pytest.mark.parametrize("key", list(CreateKey))
@pytest.mark.parametrize("rewritten", [False, True])
async def test_an_edit_after_our_create_whose_answer_was_lost_is_kept(
    ours: Side, key: CreateKey, rewritten: bool
) -> None:
    """The first attempt has landed; what a person makes of it before the repeat is not ours."""
    world = await scene(key)
    target, source = sides(world, ours)
    if rewritten:
        target.rewrites = {"location": lambda value: f"<p>{value}</p>" if "<p>" not in value else value}
    change(source, location="the garden")
    sent: list[int] = []

    def plan(point: str, _scope: Any, write: Any) -> str | None:
        if point != "write" or write.kind is not WriteKind.CREATE or write.parent is None:
            return None
        sent.append(write.attempt)
        if len(sent) == 1:
            return "lost-after"
        if len(sent) == 2:
            change(target, body="bring a lamp")
        return None

    target.faults = plan
    await world.settle(5)
    assert occurrence(target) == occurrence(source)
    assert occurrence(target)["body"] == "bring a lamp"
    assert "the garden" in occurrence(target)["location"]
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("ours", list(Side))
async def test_a_place_that_stays_taken_by_nothing_that_is_told_is_set_aside_with_its_reason(
    ours: Side,
) -> None:
    world = await scene()
    target, source = sides(world, ours)
    change(source, location="the garden")

    def untold() -> None:
        change(target, location="the cellar")
        target.shelf(PLACES[ours]).log.pop()

    asked = before_the_write(target, untold)
    hidden = target.occurrences

    async def nothing(*_: Any) -> list[Any]:
        return []

    target.occurrences = nothing  # type: ignore[method-assign]
    await world.settle(2)
    assert await world.links("quarantined") == [], "people are at work now and then"
    await world.settle(8)
    assert len(asked) == QUARANTINE_AFTER
    [aside] = await world.links("quarantined")
    assert "already" in aside.reason
    # Its next change is told, and brings it back.
    target.occurrences = hidden  # type: ignore[method-assign]
    change(target, body="bring a lamp")
    await world.settle(3)
    assert occurrence(target) == occurrence(source)
    assert "the garden" in await told(world) + str(occurrence(target))
    await world.check((Module.APPOINTMENT,))


async def test_what_was_changed_while_the_series_was_the_persons_own_is_found_when_its_place_is_taken() -> None:
    modules = {Module.APPOINTMENT: ModuleSettings()}
    world = await World(policy=Policy("sales", "crm", "mail", modules=modules)).start()
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=5"]}
    times = {"start": moment(25), "end": moment(25, 10)}
    item = world.mail.add(A, Module.APPOINTMENT, own=True, subject="series", rule=rule, **times)
    change(world.mail, location="the cellar")
    await world.settle(2)
    where = PLACES[Side.MAILBOX]
    own = world.mail.shelf(where).now[item]
    world.mail._store(where, replace(own, containers=("k-CRM Appointment",)))
    await world.settle(3)
    change(world.crm, body="bring a lamp")
    await world.settle(4)
    assert occurrence(world.mail) == occurrence(world.crm)
    assert occurrence(world.mail)["location"] == "the cellar"
    assert occurrence(world.mail)["body"] == "bring a lamp"
    await world.check((Module.APPOINTMENT,))


async def test_what_stood_in_a_place_that_only_receives_is_in_the_journal() -> None:
    """Seed 97735: it was taken for what the mail system makes of our values, and overwritten by the next edit in the CRM."""
    world = await scene(direction=Direction.TO_MAILBOX)
    change(world.crm, location="the garden")
    before_the_write(world.mail, lambda: change(world.mail, location="the cellar"))
    await world.settle(3)
    change(world.crm, location="elsewhere")
    await world.settle(2)
    assert occurrence(world.crm)["location"] == occurrence(world.mail)["location"] == "elsewhere"
    assert "the cellar" in await told(world)
    await world.check((Module.APPOINTMENT,))


@pytest.mark.parametrize("where", ["asking", "recording"])
async def test_an_engine_that_dies_before_it_knows_what_stands_there_asks_again(where: str) -> None:
    world = await scene()
    change(world.crm, location="the garden")
    before_the_write(world.mail, lambda: change(world.mail, location="the cellar"))
    people, asked = world.mail.faults, []

    def die(point: str, scope: Any, write: Any) -> str | None:
        if point == "occurrences" and not asked:
            asked.append(point)
            if where == "asking":
                world.die()
            world.ledger.hook = lambda _when, _number: world.die()
        return people(point, scope, write)

    world.mail.faults = die
    await world.cycle()
    assert world.crashes == 1
    await world.settle(2)
    assert occurrence(world.crm) == occurrence(world.mail)
    shown, journal = occurrence(world.crm)["location"], await told(world)
    assert shown in {"the garden", "the cellar"}
    assert ({"the garden", "the cellar"} - {shown}).pop() in journal
    await world.check((Module.APPOINTMENT,))
