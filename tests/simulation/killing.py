"""A scenario whose process dies at a failpoint of one's choice, and goes on: the end must be the same.

A failpoint is the moment before or after each commit of the ledger and each call of a provider.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

from engine.model.modules import Module
from engine.model.policy import DeleteMode, ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.simulation import invariants
from tests.simulation.faults import Weather
from tests.simulation.loop import VirtualLoop
from tests.simulation.people import moment
from tests.simulation.servers import crm_server, mail_server
from tests.simulation.store import store
from tests.simulation.world import Life, SimWorld
from tests.sync.fakes import Thing
from tests.sync.world import A

#: How the mailbox recognises a repeated create; the CRM does the other way.
KEYS = tuple(CreateKey)
MODULES = (Module.CONTACT, Module.APPOINTMENT, Module.TASK)


@dataclass(slots=True)
class Kill:
    """The process dies at failpoint ``at``, counted from the start; the next one at ``again`` of its own, if any."""

    at: int
    again: int | None = None
    count: int = 0
    deaths: int = 0
    where: str = ""

    def __call__(self, life: Life, where: str) -> None:
        """Asked at each failpoint."""
        self.count += 1
        target = self.at if self.deaths == 0 else self.again
        if self.deaths < (1 if self.again is None else 2) and self.count == target:
            self.deaths += 1
            self.count = 0
            self.where += f" {where}"
            life.die(where)


def _world(loop: VirtualLoop, key: CreateKey, killer: Callable[[Life, str], None]) -> SimWorld:
    dice = random.Random(1)
    weather = Weather(dice, ())
    store().reset()
    mail = mail_server(dice, weather, key=key, lag=90 if key is CreateKey.MARKER else 0)
    other = {
        CreateKey.NATURAL: CreateKey.PROBE,
        CreateKey.PROBE: CreateKey.MARKER,
        CreateKey.MARKER: CreateKey.NATURAL,
    }
    policy = Policy(
        "sales",
        "crm",
        "mail",
        modules={module: ModuleSettings() for module in MODULES},
        mailbox_deletes=DeleteMode.MIRROR,
    )
    world = SimWorld(
        loop,
        dice,
        weather,
        policy,
        (A,),
        MODULES,
        store(),
        crm=crm_server(dice, weather, other[key]),
        mail=mail,
    )
    world.killer = killer
    world.crm.page_size = world.mail.page_size = 3
    return world


def _people(world: SimWorld) -> None:
    """First of all: items on both sides, one of them on both at once, a series with a changed occurrence."""
    for number in range(3):
        world.crm.add(A, Module.CONTACT, given="C", family=f"v{number}", title=f"v1{number}")
    world.mail.add(A, Module.CONTACT, given="M", family="v3", email="v3@x.test")
    for side in (world.crm, world.mail):
        side.add(A, Module.CONTACT, given="T", family="v4", email="v4@x.test")
    rule = {"lines": ["RRULE:FREQ=DAILY;COUNT=4"]}
    series = world.crm.add(
        A, Module.APPOINTMENT, subject="v5", start=moment(2, 9), end=moment(2, 10), rule=rule
    )
    fields = {"subject": "v5", "start": moment(3, 12), "end": moment(3, 13), "location": "v50"}
    world.crm._store(
        "Event",
        Thing(
            f"{series}_2026-12-03T09:00:00Z",
            Module.APPOINTMENT,
            fields,
            0,
            0,
            owner=f"u-{A}",
            parent=series,
            occurrence="2026-12-03T09:00:00Z",
        ),
    )
    world.mail.add(A, Module.TASK, subject="v6")


def _later(world: SimWorld) -> None:
    """Then: edits on both sides, deletes on both sides, one against the other, an item moved away."""
    persons = world.persons
    contacts = {one.fields["family"]: one for one in world.crm.of(A, Module.CONTACT)}
    mail = {one.fields["family"]: one for one in world.mail.of(A, Module.CONTACT)}
    persons.seen |= {"v10"}
    world.crm.edit("Contact", contacts["v0"].id, title="v20")
    if "v0" in mail:
        world.mail.edit(f"{A}/contacts", mail["v0"].id, department="v21")
    persons.gone(world.crm, "Contact", contacts["v1"])
    world.crm.delete("Contact", contacts["v1"].id)
    persons.seen |= {"v1", "v11"}
    persons.gone(world.mail, f"{A}/contacts", mail["v3"])
    world.mail.delete(f"{A}/contacts", mail["v3"].id)
    persons.seen |= {"v3"}
    for task in world.mail.of(A, Module.TASK):
        world.mail.edit(f"{A}/tasks", task.id, body="v22")
    world.crm.add(A, Module.TASK, subject="v7")
    persons.values |= {"v0", "v2", "v4", "v5", "v50", "v6", "v7", "v12", "v20", "v21", "v22"} - (
        set() if "v0" in mail else {"v21"}
    )


async def _whole(world: SimWorld) -> None:
    await world.start()
    _people(world)
    await asyncio.sleep(200)  # a feed that lags shows all of it by now
    for _ in range(2):
        await world.cycle()
        await asyncio.sleep(200)
    _later(world)
    for _ in range(5):
        await asyncio.sleep(1800)
        await world.cycle()
        for check in invariants.ALWAYS.values():
            check(world)
    for check in invariants.FINALLY.values():
        check(world)
    names = sorted(one.fields["family"] for one in world.crm.of(A, Module.CONTACT))
    assert (
        names == sorted(one.fields["family"] for one in world.mail.of(A, Module.CONTACT)) == ["v0", "v2", "v4"]
    )
    assert len(world.mail.of(A, Module.APPOINTMENT)) == len(world.crm.of(A, Module.APPOINTMENT)) == 2
    assert [len(side.of(A, Module.TASK)) for side in (world.crm, world.mail)] == [2, 2]


def run(key: CreateKey, kill: Kill) -> None:
    loop = VirtualLoop()
    world = _world(loop, key, kill)
    try:
        loop.run_until_complete(_whole(world))
    except Exception as error:
        raise AssertionError(
            f"killed{kill.where or ' never'} (failpoint {kill.at}, then {kill.again})"
        ) from error
    finally:
        loop.set_exception_handler(lambda *_: None)
        loop._ready.clear()  # type: ignore[attr-defined]
        loop._scheduled.clear()  # type: ignore[attr-defined]
        loop.close()


@cache
def failpoints(key: CreateKey) -> int:
    """How many failpoints the scenario has when nothing dies."""
    kill = Kill(0)
    run(key, kill)
    return kill.count


def again(key: CreateKey) -> list[Kill]:
    """Deaths at every tenth failpoint, each with a second one while the next process recovers."""
    return [Kill(at, 1 + at % 23) for at in range(5, failpoints(key) + 1, 10)]
