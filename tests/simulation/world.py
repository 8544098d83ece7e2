"""The world of one seed: two servers, a ledger, people, and engines that die, are started again, and meet."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from engine.jobs.errands import Errand
from engine.jobs.queue import EmbeddedQueue, Priority
from engine.jobs.runner import PolicyRun, Runner
from engine.ledger import fence, mailboxes
from engine.ledger.store import MemoryLedger
from engine.model.activity import Activity
from engine.model.modules import Module, Side
from engine.model.policy import Policy
from engine.model.port import Scope, Write, WriteKind
from tests.simulation.faults import Weather
from tests.simulation.loop import SimClock, VirtualLoop
from tests.simulation.people import People, identity
from tests.simulation.store import Store
from tests.simulation.wire import Wire
from tests.sync.fakes import Crash, FakeCrm, FakeMail, FakeProvider, Thing

#: Units that carry no fence: they change nothing that is synchronised.
UNFENCED = frozenset(
    {"start_cycle", "end_cycle", "set_mailbox", "take_all", "ensure_scope", "add_lines", "set_policy", "take"}
)


Sender = tuple[int, int]
"""The cycle that sent a write, which may arrive in a later one: the turn, and the number of the engine's life."""


class Violation(AssertionError):
    """An invariant does not hold."""

    def __init__(self, name: str, text: str) -> None:
        super().__init__(f"{name}: {text}")
        self.name = name
        self.text = text


class Life:
    """One process of the engine, from its start to its death."""

    def __init__(self, world: SimWorld, number: int) -> None:
        self.world = world
        self.number = number
        self.dead = False
        #: Another engine has taken the leases.
        self.stale = False

    def check(self) -> None:
        """The dead do nothing."""
        if self.dead:
            raise Crash

    def die(self, where: str) -> None:
        """Now."""
        self.dead = True
        self.world.crashes += 1
        self.world.note("crash", where)
        raise Crash

    def failpoint(self, where: str) -> None:
        """A moment at which the process may die."""
        self.world.killer(self, where)


class LedgerOf:
    """The ledger as one life of the engine holds it."""

    def __init__(self, store: Store, life: Life) -> None:
        self.store = store
        self.life = life

    async def write(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        life, world = self.life, self.life.world
        life.check()
        life.failpoint(f"before {unit.__name__}")
        if world.crowded:
            await asyncio.sleep(0)
            life.check()
        stale = life.stale
        result = await self.store.write(unit, *args, **kwargs)
        if stale and unit.__name__ not in UNFENCED:
            world.wrong.append(
                Violation("I11", f"{unit.__name__} of an engine whose lease was taken over was committed")
            )
        life.failpoint(f"after {unit.__name__}")
        return result

    def read(self, unit: Any, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        self.life.check()
        return MemoryLedger.read(self.store, unit, *args, **kwargs)


class Process:
    """A running engine: what ``engine.runtime`` puts together, without screens and schedules."""

    def __init__(self, world: SimWorld, life: Life) -> None:
        self.world = world
        self.life = life
        self.ledger = LedgerOf(world.store, life)
        self.queue = EmbeddedQueue()
        crm, mail = Wire(world.crm, world, life), Wire(world.mail, world, life)
        self.runner = Runner(
            self.ledger,
            world.clock,
            world.tell,
            self.queue,
            lambda _: crm,
            lambda _: mail,  # type: ignore[arg-type]
        )

    async def cycle(self, priority: Priority) -> PolicyRun | None:
        """Run the policy once; None when the process died on the way."""
        return await self._serve(self.runner.run_policy(self.world.policy, priority=priority))

    async def errand(self, errand: Errand) -> PolicyRun | None:
        """Run an errand for the policy; None when the process died on the way."""
        return await self._serve(self.runner.run_errand(self.world.policy, errand))

    async def _serve(self, work: Coroutine[Any, Any, PolicyRun]) -> PolicyRun | None:
        stop = asyncio.Event()
        server = asyncio.ensure_future(self.queue.serve(self.runner.handle, 2, stop))
        policy = asyncio.ensure_future(work)
        await asyncio.wait({server, policy}, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            policy.cancel()  # the process is dead, and nobody is left whom it could wait for
        stop.set()
        result = None
        for task in (policy, server):
            try:
                found = await task
            except (Crash, asyncio.CancelledError):
                continue
            except BaseExceptionGroup as group:
                rest = group.split(Crash)[1]
                if rest is not None:
                    raise rest.exceptions[0] from None
            else:
                result = result or found
        return None if self.life.dead else result


class SimWorld:
    """Everything that one seed sets up."""

    def __init__(
        self,
        loop: VirtualLoop,
        dice: random.Random,
        weather: Weather,
        policy: Policy,
        people: Sequence[str],
        modules: Sequence[Module],
        store: Store,
        *,
        crm: Callable[[SimClock, Sequence[str]], FakeCrm],
        mail: Callable[[SimClock], FakeMail],
        tracing: bool = False,
    ) -> None:
        self.dice = dice
        self.weather = weather
        self.clock = SimClock(loop)
        self.crm, self.mail = crm(self.clock, people), mail(self.clock)
        self.policy = policy
        self.people = list(people)
        self.modules = list(modules)
        self.store = store
        self.persons = People(self)
        self.crowded = weather.has("two engines") or weather.has("reorder") or len(people) > 1
        self.busy = 0.0
        self.process: Process
        self.second: asyncio.Task[None] | None = None
        self.lives = 0
        self.crashes = 0
        self.calls: Counter[str] = Counter()
        self.pages = 0
        self.told: list[Activity] = []
        self.tracing = tracing
        self.trace: list[str] = []
        #: Runs of the policy so far; a second engine that comes up meanwhile makes its own cycle in the same turn.
        self.turn = 0
        #: Deletes that were made: by the cycle that sent them, mailbox, side, module.
        self.deletes: Counter[tuple[Sender, str, str, Module]] = Counter()
        self.wrong: list[Violation] = []
        #: An admin undoes a cycle: what goes then goes on his word.
        self.undoing = False
        #: Deletes that an admin has let through, so far.
        self.let_through: Counter[tuple[str, str, Module]] = Counter()
        #: Cursors up to which the ledger was found complete, by scope.
        self.read_to: dict[int, str] = {}
        #: Asked at every moment at which a process may die.
        self.killer: Callable[[Life, str], None] = self._chance

    # -- telling -------------------------------------------------------------------------------------------

    def note(self, *words: Any) -> None:
        """A line of the trace."""
        if self.tracing:
            self.trace.append(f"{self.clock.loop.ms / 1000:12.3f}  {' '.join(str(word) for word in words)}")

    def tell(self, activity: Activity) -> None:
        """What the engine tells the screens."""
        self.told.append(activity)
        if self.tracing and activity.text:
            self.note("engine", activity.mailbox.partition("@")[0], activity.sign, activity.text)

    # -- life and death ------------------------------------------------------------------------------------

    def _chance(self, life: Life, where: str) -> None:
        if self.weather.strikes("crash"):
            life.die(where)

    async def boot(self) -> Process:
        """A new process on the same ledger: whatever an older one still has in hand is stale from now on."""
        self.lives += 1
        process = Process(self, Life(self, self.lives))
        process.runner.lease = await self.store.write(fence.take_all)
        return process

    async def start(self) -> None:
        """Store the configuration and start the engine."""
        await self.store.write(
            mailboxes.replace_configuration,
            [("crm", "fake", {}), ("mail", "fake", {})],
            [(self.policy.name, {}, True)],
            [(email, self.policy.name, "", "UTC") for email in self.people],
        )
        self.process = await self.boot()

    def meanwhile(self) -> None:
        """While a call is under way people go on working, clocks are set, and somebody starts a second engine."""
        if self.weather.calm:
            return
        if self.dice.random() < self.busy:
            self.persons.act(working=True)
        if self.weather.strikes("clock jump"):
            hours = self.dice.choice((-2.0, -0.1, 0.1, 2.0, 30.0))
            self.clock.skew += int(hours * 3_600_000)
            self.note("fault", "the engine's clock jumps by", hours, "hours")
        if self.second is None and self.weather.has("two engines") and self.weather.strikes("two engines"):
            self.note("fault", "a second engine starts")
            self.second = asyncio.ensure_future(self._take_over())

    async def _take_over(self) -> None:
        old = self.process.life
        self.process = await self.boot()
        old.stale = True
        await self.process.cycle(Priority.SCHEDULE)

    async def cycle(
        self, priority: Priority = Priority.SCHEDULE, *, errand: Errand | None = None
    ) -> PolicyRun | None:
        """One run of the policy (or an errand for it), and of a second engine if one was started meanwhile."""
        await asyncio.sleep(60)
        self.turn += 1
        self.note("cycle")
        result = await (self.process.cycle(priority) if errand is None else self.process.errand(errand))
        if self.second is not None:
            await self.second
            self.second = None
        if self.process.life.dead:
            self.process = await self.boot()
        if self.wrong:
            raise self.wrong[0]
        for one in self.told:
            if "internal error" in (one.text or ""):
                raise Violation("no internal error", one.text)
        troubles = [
            one for one in self.clock.loop.troubles if "destroyed" not in one
        ]  # the dead leave tasks behind
        if troubles:
            raise Violation("no internal error", troubles[0])
        return result

    # -- what the engine does to the servers ---------------------------------------------------------------

    def changed_by_engine(
        self, server: FakeProvider, scope: Scope, write: Write, before: Thing, sender: Sender
    ) -> None:
        """Invariant I7 at the server: only what is the engine's business, and no delete without a delete."""
        where = scope.remote_id
        if (where, before.id) in self.persons.own:
            self.wrong.append(Violation("I7", f"{write.kind} of {before.id}, a person's own item"))
        if write.kind is not WriteKind.DELETE or self.undoing:
            return
        email = scope.account.email if scope.account else (before.owner or "").removeprefix("u-")
        self.deletes[sender, email, server.side, before.module] += 1
        other: Side = server.side.other
        known = identity(server, where, before)
        double = [
            one
            for one in server.shelf(where).now.values()
            if one.module is before.module and one.marker == before.marker and one.id != before.id
        ]
        if before.marker is not None and double:
            return
        if (other, known) not in self.persons.removed and known.partition("@")[0] and "@" not in known:
            self.wrong.append(
                Violation("I7", f"{server.side} {before.id} ({known}) was deleted, and nobody deleted its twin")
            )

    # -- looking -------------------------------------------------------------------------------------------

    def rows(self, sql: str, *values: Any) -> list[Any]:
        """Rows of the ledger."""
        return self.store.raw.execute(sql, values).fetchall()
