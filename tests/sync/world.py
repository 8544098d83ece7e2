"""A whole engine on the fakes: ledger in memory, virtual clock, and a process that may die at any point."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import sqlalchemy as sa

from engine.jobs.errands import Errand
from engine.jobs.queue import EmbeddedQueue, Priority
from engine.jobs.runner import PolicyRun, Runner
from engine.ledger import fence, mailboxes
from engine.ledger.schema import dirty, intent, item, journal, link, mailbox
from engine.ledger.store import MemoryLedger
from engine.model.activity import Activity
from engine.model.canonical import FIELDS, same
from engine.model.modules import Module, Side
from engine.model.policy import Policy
from engine.model.port import CreateKey
from tests.ledgers import migrated
from tests.sync.fakes import Crash, FakeCrm, FakeMail, VirtualClock

A, B = "ada@example.org", "bob@example.org"


class TestLedger(MemoryLedger):
    """A memory ledger made from a template (no migration per test) that may kill the process at a write."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__(migrated())
        self.dead = False
        #: Called before and after each write with its number; may raise.
        self.hook: Callable[[str, int], None] = lambda _when, _number: None
        self.number = 0

    async def write(self, unit: Any, *args: Any, **kwargs: Any) -> Any:
        if self.dead:
            raise Crash
        self.number += 1
        number = self.number
        self.hook("before", number)
        result = await super().write(unit, *args, **kwargs)
        self.hook("after", number)
        return result

    def read(self, unit: Any, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, Any]:
        if self.dead:
            raise Crash
        return super().read(unit, *args, **kwargs)


class World:
    """Two providers, a ledger and an engine that can be started again."""

    def __init__(
        self,
        *,
        policy: Policy | None = None,
        people: Sequence[str] = (A,),
        crm_key: CreateKey = CreateKey.NATURAL,
        mail_key: CreateKey = CreateKey.NATURAL,
        lag: int = 0,
    ) -> None:
        self.clock = VirtualClock()
        self.crm = FakeCrm(self.clock, people, crm_key)
        self.mail = FakeMail(self.clock, mail_key, lag)
        self.ledger = TestLedger()
        self.policy = policy or Policy("sales", "crm", "mail")
        self.people = list(people)
        self.told: list[Activity] = []
        self.crashes = 0
        self.runner: Runner

    async def start(self) -> World:
        """Store the configuration and start an engine."""
        await self.configure(self.people)
        await self.restart()
        return self

    async def configure(self, people: Sequence[str]) -> None:
        """The people under the policy."""
        self.people = list(people)
        await self.ledger.write(
            mailboxes.replace_configuration,
            [("crm", "fake", {}), ("mail", "fake", {})],
            [(self.policy.name, {}, True)],
            [(email, self.policy.name, "", "UTC") for email in people],
        )

    async def restart(self) -> None:
        """A new engine on the same ledger."""
        self.ledger.dead = self.crm.dead = self.mail.dead = False
        await self.ledger.write(fence.take_all)
        self.queue = EmbeddedQueue()
        self.runner = Runner(
            self.ledger,
            self.clock,
            self.told.append,
            self.queue,
            lambda _: self.crm,
            lambda _: self.mail,
        )

    def die(self) -> None:
        """Nothing of this process does anything any more."""
        self.ledger.dead = self.crm.dead = self.mail.dead = True
        self.crashes += 1
        raise Crash

    async def cycle(
        self, priority: Priority = Priority.SCHEDULE, *, orders_only: bool = False
    ) -> PolicyRun | None:
        """Run the policy once; None when the process died on the way (and has been started again)."""
        return await self._serve(
            self.runner.run_policy(self.policy, priority=priority, orders_only=orders_only)
        )

    async def errand(self, errand: Errand) -> PolicyRun | None:
        """Run an errand for the policy; None when the process died on the way (and has been started again)."""
        return await self._serve(self.runner.run_errand(self.policy, errand))

    async def _serve(self, work: Coroutine[Any, Any, PolicyRun]) -> PolicyRun | None:
        self.clock.ms += 60_000
        stop = asyncio.Event()
        server = asyncio.ensure_future(self.queue.serve(self.runner.handle, 2, stop))
        crashed, result = False, None
        policy = asyncio.ensure_future(work)
        await asyncio.wait({server, policy}, return_when=asyncio.FIRST_COMPLETED)
        if server.done():
            policy.cancel()  # the process is dead, and nobody is left whom it could wait for
        try:
            result = await policy
        except (Crash, asyncio.CancelledError):
            crashed = True
        stop.set()
        try:
            await server
        except BaseExceptionGroup as group:
            if group.split(Crash)[1] is not None:
                raise
            crashed = True
        if crashed or self.ledger.dead:
            self.ledger.hook = lambda _when, _number: None
            await self.restart()
            return None
        return result

    async def settle(self, rounds: int = 3) -> None:
        """Run some cycles; with a lagging feed, far enough apart."""
        for _ in range(rounds):
            self.clock.ms += 1000 * (self.mail.lag + 60) * 2
            await self.cycle()

    # -- looking ------------------------------------------------------------------------------------------

    async def rows(self, query: sa.Select[Any]) -> Sequence[sa.Row[Any]]:
        return await self.ledger.read(lambda connection: connection.execute(query).all())

    async def journal(self) -> Sequence[sa.Row[Any]]:
        return await self.rows(sa.select(journal).order_by(journal.c.id))

    async def links(self, *states: str) -> Sequence[sa.Row[Any]]:
        query = sa.select(link).order_by(link.c.id)
        return await self.rows(query.where(link.c.state.in_(states)) if states else query)

    async def open_work(self) -> tuple[int, int]:
        """(dirty links, open intents)."""
        due = len(await self.rows(sa.select(dirty)))
        open_ = await self.rows(
            sa.select(intent).where(intent.c.state.in_(("planned", "in_flight", "unknown")))
        )
        return due, len(open_)

    async def mailbox(self, email: str) -> sa.Row[Any]:
        return (await self.rows(sa.select(mailbox).where(mailbox.c.email == email)))[0]

    async def check(self, modules: Sequence[Module] = tuple(Module)) -> None:
        """Invariants I2, I3, I8 and I12 of the whole world, once faults have stopped and cycles have run."""
        assert self.mail.mailed == self.crm.mailed == 0, "somebody was mailed"
        assert self.mail.unguarded == self.crm.unguarded == 0, "a write named no version"
        assert await self.open_work() == (0, 0), "something is left to do"
        rows = await self.rows(sa.select(item).where(item.c.deleted == 0, item.c.link_id.is_not(None)))
        pairs: dict[int, dict[str, sa.Row[Any]]] = {}
        for row in rows:
            assert row.side not in pairs.setdefault(row.link_id, {}), "two live items on one side of a link"
            pairs[row.link_id][row.side] = row
        states = {row.id: row for row in await self.links()}
        for email in self.people:
            self._markers(email, modules)
        for link_id, sides in pairs.items():
            row = states[link_id]
            if row.state != "live":
                continue
            assert set(sides) == {Side.CRM, Side.MAILBOX}, f"link {link_id} is live with one side"
            self._agree(row, sides)

    def _markers(self, email: str, modules: Sequence[Module]) -> None:
        for module in modules:
            for things in (self.crm.of(email, module), self.mail.of(email, module)):
                markers = [one.marker.rpartition(".")[0] for one in things if one.marker]
                assert len(markers) == len(set(markers)), f"two copies of one item: {markers}"

    def _agree(self, row: sa.Row[Any], sides: dict[str, sa.Row[Any]]) -> None:
        table = FIELDS[Module(row.module)]
        for name, info in table.items():
            c, m, b = sides["crm"].fields.get(name), sides["mailbox"].fields.get(name), row.base.get(name)
            if name == "label":  # the CRM knows no labels: that of a record is called by its name
                c = sides["crm"].fields.get("name") if m is not None else None
            assert same(info.kind, c, m), f"{row.module} {row.id}.{name}: CRM {c!r}, mailbox {m!r}"
            assert same(info.kind, c, b), f"{row.module} {row.id}.{name}: both {c!r}, base {b!r}"

    def names(self, side: Side, email: str = A, module: Module = Module.CONTACT) -> list[str]:
        """Family names or subjects of the live items of a mailbox on one side, sorted."""
        things = self.crm.of(email, module) if side is Side.CRM else self.mail.of(email, module)
        return sorted(one.fields.get("family") or one.fields.get("subject") or "" for one in things)

    def family(self, item: str) -> str:
        """The family name of a CRM contact."""
        return str(self.crm.shelf("Contact").now[item].fields["family"])


@contextlib.contextmanager
def faulty(provider: Any, plan: Any) -> Any:
    """Faults while the block runs."""
    earlier, provider.faults = provider.faults, plan
    try:
        yield
    finally:
        provider.faults = earlier
