"""The engine's own work, without provider or network: a first sync of contacts, and idle cycles on small and large ledgers."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

import sqlalchemy as sa

from benchmarks.instant import EMAIL, OWNER, InstantCrm, InstantMail, contact
from benchmarks.rows import Row
from engine.jobs.queue import EmbeddedQueue
from engine.jobs.runner import PolicyRun, Runner
from engine.ledger import mailboxes
from engine.ledger.schema import item, link, mailbox, scope
from engine.ledger.sql import inserting
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


def _short(number: int) -> dict[str, str]:
    """What is enough of a contact that is never read."""
    return {"given": "Ada", "family": f"Lovelace {number}", "email": f"ada.{number}@example.com"}


def link_contacts(connection: sa.Connection, crm_scope: int, mail_scope: int, count: int) -> None:
    """Insert ``count`` contacts that both sides agree on, as a long life would have left them."""
    owner = connection.execute(sa.select(mailbox.c.id)).scalar_one()
    both = ((Side.CRM, crm_scope), (Side.MAILBOX, mail_scope))
    for first in range(1, count + 1, 10_000):
        numbers = range(first, min(first + 10_000, count + 1))
        inserting(link, ("id", "mailbox_id", "module", "base", "state")).many(
            connection,
            [
                {"id": one, "mailbox_id": owner, "module": "contact", "base": _short(one), "state": "live"}
                for one in numbers
            ],
        )
        items = (
            {
                "mailbox_id": owner,
                "side": side.value,
                "scope_id": scope_id,
                "remote_id": f"{side.value}-{one}",
                "link_id": one,
                "module": "contact",
                "etag": "1",
                "fields": _short(one),
            }
            for side, scope_id in both
            for one in numbers
        )
        inserting(item, _ITEM).many(connection, list(items))


_ITEM = ("mailbox_id", "side", "scope_id", "remote_id", "link_id", "module", "etag", "fields")


@dataclass(frozen=True, slots=True)
class Idle:
    """What an idle cycle of one mailbox costs, with the run of its policy around it.

    Attributes:
        cpu_ms: CPU of each cycle that was measured, in milliseconds.
        calls: of the provider, in one cycle.
        statements: of SQL, in one cycle.
        commits: of all cycles.
    """

    cpu_ms: tuple[float, ...]
    calls: int
    statements: int
    commits: int


async def fill(on: Bench, links: int) -> None:
    """Give a new ledger ``links`` links, and run the cycles after which there is nothing left to do."""
    await on.cycle()
    rows = await on.ledger.read(lambda connection: connection.execute(sa.select(scope)).all())
    by_side = {row.side: row.id for row in rows}
    await on.ledger.write(link_contacts, by_side["crm"], by_side["mailbox"], links)
    await on.cycle()


async def idle(on: Bench, cycles: int = _CYCLES) -> Idle:
    """Measure idle cycles."""
    commits = on.ledger.commits
    on.crm.calls.clear()
    on.mail.calls.clear()
    with _statements(on.ledger) as told:
        await on.cycle()
    calls = len(on.crm.calls) + len(on.mail.calls)
    spent = []
    for _ in range(cycles):
        begun = time.process_time()
        await on.cycle()
        spent.append((time.process_time() - begun) * 1000)
    return Idle(tuple(spent), calls, len(told), on.ledger.commits - commits)


@contextlib.contextmanager
def _statements(ledger: SqliteLedger) -> Iterator[list[str]]:
    """The statements that SQLite is given meanwhile, without those that begin and end a transaction."""
    told: list[str] = []

    def hear(text: str) -> None:
        if not text.startswith(("BEGIN", "COMMIT", "ROLLBACK")):
            told.append(text)

    def checkout(connection: Any, _record: Any, _proxy: Any) -> None:
        connection.set_trace_callback(hear if listening else None)

    listening = True
    for engine in (ledger._reader, ledger._writer):
        sa.event.listen(engine, "checkout", checkout)
    try:
        yield told
    finally:
        listening = False


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
    idles = {}
    for links in (SMALL, LARGE):
        async with bench(folder / str(links)) as on:
            await fill(on, links)
            idles[links] = await idle(on)
    small, large = (median(idles[links].cpu_ms) for links in (SMALL, LARGE))
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
        Row(f"idle cycle on {SMALL:,} links: CPU", round(small, 2), "ms", peer=WANTED_IDLE_MS),
        Row(f"idle cycle on {LARGE:,} links: CPU", round(large, 2), "ms", peer=WANTED_IDLE_MS),
        Row(
            f"idle cycle on {LARGE:,} links: CPU, by {SMALL:,}",
            round(large / small, 2),
            "times",
            peer=WANTED_RATIO,
        ),
        Row(f"idle cycle on {LARGE:,} links: calls", idles[LARGE].calls, "calls", floor=2),
        Row(f"idle cycle on {LARGE:,} links: SQL", idles[LARGE].statements, "statements"),
        Row(f"idle cycle on {LARGE:,} links: commits", idles[LARGE].commits, "commits"),
    ]
