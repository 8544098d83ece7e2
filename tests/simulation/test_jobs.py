"""CalendarSynchronization in the simulation: every invariant holds, and the size of batches changes nothing."""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.model.modules import EVENT_MODULES, Module
from engine.model.policy import Policy
from engine.model.port import Capability, CreateKey
from tests.simulation.jobs import JobSeed, calendar_errand
from tests.sync.fakes import FakeProvider
from tests.sync.world import A, B, World

CHUNK = 25
DAY = 86_400_000
C, D = "cleo@example.org", "dora@example.org"


def _chunks() -> list[range]:
    first, _, last = os.environ.get("SYNCLINE_JOB_SEEDS", "0:50").partition(":")
    numbers = range(int(first), int(last))
    return [numbers[n : n + CHUNK] for n in range(0, len(numbers), CHUNK)]


@pytest.mark.parametrize("numbers", _chunks(), ids=lambda one: f"{one.start}:{one.stop}")
def test_seeds_with_the_job_hold_every_invariant(numbers: range) -> None:
    logging.getLogger("engine").setLevel(logging.CRITICAL + 1)
    runs = 0
    for number in numbers:
        seed = JobSeed(number)
        if not seed.concerned:
            seed._sweep()
            continue
        verdict = seed.run()
        runs += seed.runs
        if verdict.broken:
            story = "\n".join(JobSeed(number, tracing=True).run().trace)
            pytest.fail(f"{story}\nseed {number}: {verdict.broken}: {verdict.text}", pytrace=False)
    assert runs


# -- batches ---------------------------------------------------------------------------------------------


def sized(provider: FakeProvider, size: int) -> None:
    """Reads and writes so many items at once."""
    provider.page_size = size
    plain = provider.capability

    def capability(module: Module) -> Capability | None:
        found = plain(module)
        return None if found is None else replace(found, batch=size)

    provider.capability = capability  # type: ignore[method-assign]


def at(world: World, days: float) -> dict[str, Any]:
    moment = datetime.fromtimestamp((world.clock.ms + days * DAY) / 1000, UTC)
    return {"utc": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "zone": "UTC"}


def meet(world: World, side: FakeProvider, email: str, number: int, days: float) -> str:
    text = f"{side.side} {number}"
    return side.add(  # type: ignore[attr-defined, no-any-return]
        email, Module.APPOINTMENT, subject=text, start=at(world, days - 0.05), end=at(world, days)
    )


async def job(world: World) -> None:
    """One run of the job; a process that dies is started again."""
    await world.errand(calendar_errand(world.clock))


async def story(size: int, kills: int, key: CreateKey) -> dict[str, list[str]]:
    """Operators with appointments on both sides, edits and cancellations, and runs that are killed; what is there at the end."""
    people = (A, B, C, D)
    policy = Policy("sales", "crm", "mail")
    world = await World(policy=policy, people=people, crm_key=key, mail_key=key).start()
    sized(world.crm, size)
    sized(world.mail, size)
    await world.cycle()
    made: dict[str, list[str]] = {}
    for email in people:
        made[email] = [meet(world, world.crm, email, n, (n - 4) * 20) for n in range(12)]
        for number in range(6):
            meet(world, world.mail, email, number, number + 1)
    number = 0

    def die(when: str, _number: int) -> None:
        nonlocal number
        number += 1
        if kills and number % 9 == 0 and number // 9 <= kills:
            world.die()

    for turn in range(4):
        world.ledger.hook = die
        for _ in range(8 if kills else 2):
            await job(world)
            world.ledger.hook = die
        for email in people:
            if turn == 1:
                world.crm.edit("Event", made[email][8], subject="edited")
                world.crm.delete("Event", made[email][9])
            if turn == 2:
                world.crm.edit("Event", made[email][0], subject="past, edited")
    world.ledger.hook = lambda *_: None
    await world.settle(4)
    await job(world)
    await world.check([Module.APPOINTMENT])
    return {
        f"{side.side} {email}": sorted(
            f"{one.fields['subject']} {one.fields['end']['utc']}" for one in side.of(email, Module.APPOINTMENT)
        )
        for side in (world.crm, world.mail)
        for email in people
    }


@pytest.mark.parametrize("key", list(CreateKey))
async def test_batches_of_1_7_and_512_end_the_same_also_when_runs_are_killed(key: CreateKey) -> None:
    plain = await story(512, 0, key)
    assert all(len(items) == 17 for name, items in plain.items() if name.startswith("crm"))
    assert EVENT_MODULES
    for size in (1, 7, 512):
        for kills in (0, 12):
            ends = await story(size, kills, key)
            assert ends.keys() == plain.keys()
            # Moments of the fakes move with every write; what is there, and how often, does not.
            assert {name: [one.rpartition(" ")[0] for one in items] for name, items in ends.items()} == {
                name: [one.rpartition(" ")[0] for one in items] for name, items in plain.items()
            }, (size, kills)
