"""One seed from its number to its verdict, and many of them."""

from __future__ import annotations

import asyncio
import gc
import logging
import random
import traceback
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Any

from engine.jobs.queue import Priority
from engine.model.modules import Direction, Module
from engine.model.policy import ConflictRule, DeleteMode, DeleteSafety, DeleteThreshold, ModuleSettings, Policy
from engine.model.port import CreateKey
from tests.simulation import invariants, previewing, undoing
from tests.simulation.admin import settle_all
from tests.simulation.faults import Weather
from tests.simulation.loop import Stuck, VirtualLoop
from tests.simulation.questions import decide_all, with_questions
from tests.simulation.servers import crm_server, mail_server
from tests.simulation.store import store
from tests.simulation.world import SimWorld, Violation
from tests.sync.world import A, B

_LOG = logging.getLogger("engine")

#: What the engine logs is not looked at.
QUIET = logging.CRITICAL + 1

C = "cleo@example.org"

#: So many cycles without faults must be enough for both sides to agree (I3).
ENOUGH = 10

#: Every so many seeds a bigger one: more people, more modules, more cycles.
BIG = 10

#: Every third seed has a mail system whose feeds tell net differences, as Exchange's do.
NETS, NET = 9, (4, 6, 8)

#: In every so many seeds people copy items.
COPY_EVERY, COPY = 7, 3

#: In every so many they move whole series.
MOVE_EVERY, MOVE = 7, 5

DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a seed.

    Attributes:
        broken: name of the invariant that does not hold, empty when all do.
        struck: faults that struck, by kind.
        ms: virtual time that passed, milliseconds.
        trace: what happened, when asked for.
    """

    seed: int
    broken: str = ""
    text: str = ""
    struck: Counter[str] = field(default_factory=Counter)
    crashes: int = 0
    cycles: int = 0
    ms: int = 0
    trace: tuple[str, ...] = ()

    def document(self) -> dict[str, Any]:
        """For machines."""
        return {
            "seed": self.seed,
            "invariant": self.broken,
            "text": self.text,
            "faults": dict(sorted(self.struck.items())),
            "crashes": self.crashes,
            "trace": list(self.trace),
        }


def random_policy(dice: random.Random, modules: Collection[Module]) -> Policy:
    """A policy as an admin might have set it."""
    tight = dice.random() < 0.4
    threshold = DeleteThreshold(dice.randint(0, 2), 100) if tight else DeleteThreshold(999, 101)
    return Policy(
        "sales",
        "crm",
        "mail",
        modules={
            module: ModuleSettings(
                direction=dice.choice((Direction.BOTH,) * 4 + (Direction.TO_MAILBOX, Direction.TO_CRM))
            )
            for module in modules
        },
        conflict=dice.choice((ConflictRule.NEWEST, ConflictRule.CRM, ConflictRule.MAILBOX)),
        mailbox_deletes=dice.choice((DeleteMode.NEVER, DeleteMode.MIRROR)),
        crm_deletes=dice.choice((DeleteMode.MIRROR, DeleteMode.MIRROR, DeleteMode.NEVER)),
        delete_safety=DeleteSafety(threshold, threshold, threshold, threshold),
    )


class Seed:
    """One seed: the world that its number makes, and the run through it."""

    def __init__(self, number: int, *, tracing: bool = False, kinds: Collection[str] | None = None) -> None:
        self.number = number
        self.dice = dice = random.Random(number)
        self.loop = VirtualLoop()
        self.big = number % BIG == 0
        weather = Weather(dice, kinds)
        people = (A, B, C)[: dice.randint(2, 3) if self.big else dice.choice((1, 1, 1, 2))]
        every = (Module.CONTACT, Module.LEAD, Module.APPOINTMENT, Module.TASK)
        modules = [*every] if self.big else sorted(dice.sample(every, dice.choice((1, 2))), key=every.index)
        ledger = store()
        ledger.reset()
        crm_key = dice.choice(list(CreateKey))
        self.world = SimWorld(
            self.loop,
            dice,
            weather,
            with_questions(random_policy(dice, modules), number),
            people,
            modules,
            ledger,
            crm=crm_server(dice, weather, crm_key),
            mail=mail_server(dice, weather, net=number % NETS in NET),
            tracing=tracing,
        )
        if number % COPY_EVERY == COPY:
            self.world.persons.copying = random.Random(f"{number} copies")
        if number % MOVE_EVERY == MOVE:
            self.world.persons.moving = random.Random(f"{number} moves")
            self.world.crm.drops, self.world.mail.drops = number % 3 == 0, number % 2 == 0
            self.world.mail.resets = number % 4 == 1
        self.cycles = 0

    def run(self) -> Verdict:
        """Go through it; no exception leaves this but a fault of the simulation itself."""
        world = self.world
        broken, text = "", ""
        try:
            self.loop.run_until_complete(self._whole())
        except Violation as violation:
            broken, text = violation.name, violation.text
        except Stuck as stuck:
            broken, text = "I3", f"the engine does not come to an end: {stuck}"
        except Exception as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            broken = "no internal error"
            text = f"{error.__class__.__name__}: {error} ({where.name}, line {where.lineno})"
        finally:
            self._sweep()
        return Verdict(
            self.number,
            broken,
            text,
            world.weather.struck,
            world.crashes,
            self.cycles,
            self.loop.ms,
            tuple(world.trace),
        )

    def _sweep(self) -> None:
        self.loop.set_exception_handler(lambda *_: None)
        self.loop._ready.clear()  # type: ignore[attr-defined]
        self.loop._scheduled.clear()  # type: ignore[attr-defined]
        self.loop.close()

    async def _whole(self) -> None:
        world, dice = self.world, self.dice
        await world.start()
        world.busy = dice.choice((0.0, 0.05, 0.1))
        if self.number % (2 * previewing.EVERY) == previewing.REST:
            # Before anything was ever synchronised.
            for _ in range(3):
                world.persons.act()
            await previewing.look_and_apply(world)
        for _ in range(dice.randint(4, 8) if self.big else dice.randint(2, 4)):
            for _ in range(dice.randint(0, 6 if self.big else 4)):
                world.persons.act()
            await asyncio.sleep(dice.choice((0, 0, 200, 7200)))
            await self._cycle(dice.choice((Priority.SCHEDULE, Priority.SCHEDULE, Priority.ADMIN)))
            if dice.random() < 0.3:
                await settle_all(world, sample=True)
                await decide_all(world, sample=True)
            if self.number % previewing.EVERY == previewing.REST:
                await previewing.look_and_apply(world)
        world.weather.calm = True
        await self._settle()
        for check in invariants.FINALLY.values():
            check(world)
        before = (world.store.commits, len(world.crm.log) + len(world.mail.log))
        world.calls.clear()
        await self._cycle()
        invariants.idle(world, before, world.calls)
        if undoing.wanted(self.number):
            await undoing.undo_something(self)
            await self._settle()
            for check in (invariants.no_duplicate, invariants.converged, invariants.no_private_body):
                check(world)

    async def _cycle(self, priority: Priority = Priority.SCHEDULE) -> None:
        self.cycles += 1
        await self.world.cycle(priority)
        for check in invariants.ALWAYS.values():
            check(self.world)

    async def _settle(self) -> None:
        """Cycles without faults, and an admin who decides what waits, until nothing is left to do."""
        world = self.world
        for turn in range(ENOUGH):
            await asyncio.sleep(3600)
            decided = await settle_all(world) if turn == 1 else 0
            decided += await decide_all(world)
            world.calls.clear()
            world.pages = 0
            written = len(world.crm.log) + len(world.mail.log)
            versions = self._versions()
            await self._cycle(Priority.ADMIN)
            written = len(world.crm.log) + len(world.mail.log) - written
            news, self._seen = versions - getattr(self, "_seen", 0), self._versions()
            if turn > 0:
                invariants.cost(world, world.calls, world.pages, news + written + self._waiting)
            if turn > 0 and not written and not decided and not self._left():
                return
            self._waiting = self._left()
        if self._left():
            invariants.converged(world)

    _waiting = 0

    def _versions(self) -> int:
        return sum(
            len(shelf.log) for one in (self.world.crm, self.world.mail) for shelf in one.shelves.values()
        )

    def _left(self) -> int:
        rows = self.world.rows(
            # A mailbox that failed last time says so until a cycle has gone well, which then takes that back.
            "SELECT (SELECT count(*) FROM dirty) + (SELECT count(*) FROM mailbox WHERE failures > 0) + "
            "(SELECT count(*) FROM intent WHERE state IN ('planned','in_flight','unknown'))"
        )
        return int(rows[0][0])


def run_seed(number: int, *, tracing: bool = False, kinds: Collection[str] | None = None) -> Verdict:
    """Run one seed; a failing one is run again to write its trace."""
    if _LOG.level != QUIET:
        _LOG.setLevel(QUIET)  # forgets what every logger knew of its level
    # What a seed leaves behind is little and is collected after it: looking for it meanwhile takes a fifteenth of its time.
    gc.disable()
    try:
        verdict = Seed(number, tracing=tracing, kinds=kinds).run()
    finally:
        gc.enable()
    if verdict.broken and not tracing:
        again = Seed(number, tracing=True, kinds=kinds).run()
        if (again.broken, again.text) != (verdict.broken, verdict.text):
            return Verdict(
                number,
                "reproducible",
                f"{verdict.broken}: {verdict.text}; the second time {again.broken}: {again.text}",
                trace=again.trace,
            )
        return again
    return verdict
