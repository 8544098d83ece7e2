"""The engine's own work, without provider or network: a first sync of contacts, and idle cycles on small and large ledgers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import sqlalchemy as sa

from benchmarks.instant import EMAIL, OWNER, InstantCrm, InstantMail, contact
from benchmarks.rows import Row
from engine.jobs.queue import EmbeddedQueue
from engine.jobs.runner import PolicyRun, Runner
from engine.ledger import mailboxes
from engine.ledger.schema import item, link, mailbox, scope
from engine.ledger.store import SqliteLedger
from engine.model.clock import SystemClock
from engine.model.modules import Module, Side
from engine.model.policy import ModuleSettings, Policy

#: Contacts of the first sync, and what is asked of it.
CONTACTS = 10_000
WANTED_PER_SECOND = 5_000

#: Links of the small and of the large ledger, and how much more the large one may cost.
SMALL, LARGE = 1_000, 100_000
WANTED_RATIO = 1.5
WANTED_IDLE_MS = 5.0

_CYCLES = 25


def _policy() -> Policy:
    return Policy("sales", "crm", "mail", modules={Module.CONTACT: ModuleSettings()})


@dataclass(slots=True)
class Bench:
    """An engine on a ledger in a file, between an instant CRM and an instant mailbox."""

    ledger: SqliteLedger
    crm: InstantCrm = field(default_factory=InstantCrm)
    mail: InstantMail = field(default_factory=InstantMail)
    policy: Policy = field(default_factory=_policy)

    async def cycle(self) -> PolicyRun:
        """Run the policy once; raises when anything failed."""
        queue = EmbeddedQueue()
        runner = Runner(
            self.ledger,
            SystemClock(),
            lambda _activity: None,
            queue,
            lambda _name: self.crm,
            lambda _name: self.mail,
        )
        stop = asyncio.Event()
        server = asyncio.ensure_future(queue.serve(runner.handle, 2, stop))
        run = await runner.run_policy(self.policy)
        stop.set()
        await server
        if run.faults:
            raise RuntimeError(f"a cycle failed: {run.faults}")
        return run


@contextlib.asynccontextmanager
async def bench(folder: Path) -> AsyncIterator[Bench]:
    """A bench on a new ledger in ``folder``, with one user."""
    ledger = await SqliteLedger.open(folder / "syncline.db")
    try:
        await ledger.write(
            mailboxes.replace_configuration,
            [("crm", "instant", {}), ("mail", "instant", {})],
            [("sales", {}, True)],
            [(EMAIL, "sales", OWNER, "UTC")],
        )
        yield Bench(ledger)
    finally:
        await ledger.close()


def link_contacts(connection: sa.Connection, crm_scope: int, mail_scope: int, count: int) -> None:
    """Insert ``count`` contacts that both sides agree on, as a long life would have left them."""
    owner = connection.execute(sa.select(mailbox.c.id)).scalar_one()
    for first in range(1, count + 1, 10_000):
        numbers = range(first, min(first + 10_000, count + 1))
        links = [
            {"id": number, "mailbox_id": owner, "module": "contact", "base": contact(number), "state": "live"}
            for number in numbers
        ]
        connection.execute(sa.insert(link), links)
        for side, scope_id in ((Side.CRM, crm_scope), (Side.MAILBOX, mail_scope)):
            items = [
                {
                    "mailbox_id": owner,
                    "side": side.value,
                    "scope_id": scope_id,
                    "remote_id": f"{side.value}-{number}",
                    "link_id": number,
                    "module": "contact",
                    "etag": "1",
                    "fields": contact(number),
                    "containers": [],
                }
                for number in numbers
            ]
            connection.execute(sa.insert(item), items)


@dataclass(frozen=True, slots=True)
class Idle:
    """What an idle cycle costs: CPU of the whole run of the policy, calls, statements and commits."""

    cpu_ms: float
    calls: int
    statements: int
    commits: int


async def idle(folder: Path, links: int, cycles: int = _CYCLES) -> Idle:
    """Idle cycles on a ledger of ``links`` links; the median of ``cycles``."""
    async with bench(folder) as on:
        await on.cycle()
        rows = await on.ledger.read(lambda connection: connection.execute(sa.select(scope)).all())
        by_side = {row.side: row.id for row in rows}
        await on.ledger.write(link_contacts, by_side["crm"], by_side["mailbox"], links)
        await on.cycle()
        commits = on.ledger.commits
        on.crm.calls.clear()
        on.mail.calls.clear()
        spent = []
        for _ in range(cycles):
            begun = time.process_time()
            await on.cycle()
            spent.append(time.process_time() - begun)
        calls = len(on.crm.calls) + len(on.mail.calls)
        return Idle(median(spent) * 1000, calls // cycles, 0, on.ledger.commits - commits)


async def first_sync(folder: Path, contacts: int) -> tuple[float, float]:
    """Seconds and CPU seconds of a first sync of ``contacts`` contacts from the CRM into an empty mailbox."""
    async with bench(folder) as on:
        for number in range(contacts):
            on.crm.add(contact(number))
        begun, cpu = time.perf_counter(), time.process_time()
        run = await on.cycle()
        seconds, spent = time.perf_counter() - begun, time.process_time() - cpu
        if run.written != contacts:
            raise RuntimeError(f"{run.written} of {contacts} contacts were written")
        return seconds, spent


async def measure(folder: Path, users: int) -> list[Row]:
    """First sync and idle cycles; ``users`` is not used."""
    seconds, cpu = await first_sync(folder / "first", CONTACTS)
    small = await idle(folder / "small", SMALL)
    large = await idle(folder / "large", LARGE)
    return [
        Row(
            f"first sync of {CONTACTS:,} contacts, instant provider: speed",
            round(CONTACTS / seconds),
            "items/s",
            peer=WANTED_PER_SECOND,
        ),
        Row(
            f"first sync of {CONTACTS:,} contacts, instant provider: CPU",
            round(cpu * 1e6 / CONTACTS, 1),
            "µs/item",
        ),
        Row(f"idle cycle on {SMALL:,} links: CPU", round(small.cpu_ms, 2), "ms", peer=WANTED_IDLE_MS),
        Row(f"idle cycle on {LARGE:,} links: CPU", round(large.cpu_ms, 2), "ms", peer=WANTED_IDLE_MS),
        Row(
            f"idle cycle on {LARGE:,} links: CPU of {SMALL:,} links",
            round(large.cpu_ms / small.cpu_ms, 2),
            "times",
        ),
        Row(f"idle cycle on {LARGE:,} links: calls", large.calls, "calls", floor=2),
        Row(f"idle cycle on {LARGE:,} links: commits", large.commits, "commits"),
    ]
