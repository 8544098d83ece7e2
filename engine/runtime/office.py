"""What an engine holds while it is open: ledger, store, network, connectors, the stored configuration."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from engine.connect import connect_crm, connect_mailbox
from engine.crm.connector import CrmConnector
from engine.jobs.queue import EmbeddedQueue
from engine.jobs.runner import Runner
from engine.jobs.trouble import RETRY_MINUTES
from engine.ledger import history, mailboxes
from engine.ledger.incidents import Incident, record
from engine.ledger.store import Ledger
from engine.mailbox.connector import MailboxConnector
from engine.model.activity import Activity, ActivityKind
from engine.model.clock import Clock
from engine.model.config import policy_from_doc
from engine.model.config_setup import setup_from_docs
from engine.model.incident import Heal, IncidentKind, IncidentState, Strike
from engine.model.policy import Connection, Policy
from engine.model.setup import Setup
from engine.monitor.calls import HourlyCalls
from engine.monitor.fold import Fold
from engine.monitor.rows import LimitRow
from engine.monitor.store import Store
from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net
from engine.runtime.incidents import Incidents

#: With one CRM and one mail connection their names say nothing on the Limits screen.
SIMPLE = 2

#: Monitor lines kept in memory while the ledger cannot be written.
MOST_UNSAVED = 10_000

#: Limits shown at most.
MOST_LIMITS = 24


def family(provider: str) -> str:
    """The name under which the header shows a provider: one word for all of Google's APIs."""
    return "Google" if provider.startswith(("Google", "Gmail")) else provider


class _Listener:
    """Hears of calls and waits and tells the store."""

    def __init__(self, office: Office) -> None:
        self._office = office

    def called(self, provider: str, account: str) -> None:
        """One HTTP request was sent."""
        office = self._office
        office.calls[provider] += 1
        row = office.store.users.get(account)
        if row is not None:
            row.calls += 1
            office.hourly.add(account, office.clock.now_ms())
        name = family(provider)
        engine = office.store.engine
        if (
            engine.providers.get(name) != "ok"
            and engine.provider_until_ms.get(name, 0) <= office.clock.now_ms()
        ):
            engine.providers[name] = "ok"
            engine.provider_until_ms.pop(name, None)

    def waiting(self, provider: str, account: str, seconds: float, reason: str) -> None:
        """A provider asked us to wait, or a quota of ours ran out."""
        office = self._office
        name = family(provider)
        engine = office.store.engine
        engine.providers[name] = "wait"
        until = office.clock.now_ms() + int(seconds * 1000)
        engine.provider_until_ms[name] = max(until, engine.provider_until_ms.get(name, 0))
        if account in office.store.users and seconds >= 1:
            now = office.clock.now_ms()
            office.fold(
                Activity(
                    ActivityKind.THROTTLED,
                    account,
                    now,
                    until_ms=now + int(seconds * 1000),
                    text=f"{provider}: waiting {seconds:.0f} s ({reason})",
                )
            )


@dataclass(slots=True)
class Office:
    """Everything that one open engine shares between its loops and its commands."""

    ledger: Ledger
    clock: Clock
    store: Store
    fold: Fold
    queue: EmbeddedQueue
    calls: Counter[str] = field(default_factory=Counter)
    hourly: HourlyCalls = field(default_factory=HourlyCalls)
    connections: dict[str, Connection] = field(default_factory=dict)
    policies: dict[str, Policy] = field(default_factory=dict)
    setup: Setup = field(default_factory=Setup)
    mailbox_ids: dict[str, int] = field(default_factory=dict)
    _crm: dict[str, CrmConnector] = field(default_factory=dict)
    _mailbox: dict[str, MailboxConnector] = field(default_factory=dict)
    _retired: list[CrmConnector | MailboxConnector] = field(default_factory=list)
    net: Net = field(init=False)
    runner: Runner = field(init=False)
    incidents: Incidents = field(init=False)

    def __post_init__(self) -> None:
        self.net = Net(
            clock=self.clock, dice=random.Random(), observer=_Listener(self), permit=self.ledger.check_held
        )
        self.runner = Runner(self.ledger, self.clock, self.fold, self.queue, self.crm, self.mailbox)
        trouble = self.runner.trouble
        trouble.minutes, trouble.known, trouble.give_up = self._retried, self._failing, self._give_up
        self.incidents = Incidents(self.ledger, self.clock, self.store, self.policies, self.connections)

    async def load(self) -> None:
        """Read connections and policies from the ledger; connectors are made again when needed, and runs keep theirs."""
        stored = await self.ledger.read(mailboxes.connections)
        self.connections = {name: Connection(name, kind, settings) for name, kind, settings in stored}
        self.policies = {
            record.name: policy_from_doc(record.name, record.settings)
            for record in await self.ledger.read(mailboxes.policies)
        }
        self.setup = setup_from_docs(await self.ledger.read(mailboxes.sections))
        self.incidents.policies, self.incidents.connections = self.policies, self.connections
        # A run may have begun since whoever loads has looked: it must not find its connections closed.
        self.retire_connectors()
        await self.sweep()

    async def close_connectors(self) -> None:
        """Close all connections."""
        connectors = [*self._crm.values(), *self._mailbox.values()]
        self._crm.clear()
        self._mailbox.clear()
        await asyncio.gather(*(connector.close() for connector in connectors))
        await self.sweep()

    def retire_connectors(self) -> None:
        """Let new cycles make their connections anew, with the secrets as they are on disk now; those that run keep theirs."""
        self._retired += [*self._crm.values(), *self._mailbox.values()]
        self._crm.clear()
        self._mailbox.clear()

    async def sweep(self) -> None:
        """Close retired connections, once nothing runs that may use one."""
        if self._retired and not self.queue.running() and not self.runner.busy:
            retired, self._retired = self._retired, []
            await asyncio.gather(*(connector.close() for connector in retired))

    async def forget_connector(self, name: str) -> None:
        """Close the connector of one connection; it is made again, with its new settings, when needed."""
        for connectors in (self._crm, self._mailbox):
            connector = connectors.pop(name, None)
            if connector is not None:
                await connector.close()

    def crm(self, name: str) -> CrmConnector:
        """The CRM connector of a connection.

        Raises:
            ProviderError: its settings cannot work.
        """
        if name not in self._crm:
            self._crm[name] = connect_crm(self._named(name), self.net)
        return self._crm[name]

    def mailbox(self, name: str) -> MailboxConnector:
        """The mail connector of a connection.

        Raises:
            ProviderError: its settings cannot work.
        """
        if name not in self._mailbox:
            self._mailbox[name] = connect_mailbox(self._named(name), self.net)
        return self._mailbox[name]

    def _named(self, name: str) -> Connection:
        try:
            return self.connections[name]
        except KeyError:
            raise ProviderError(
                ErrorKind.CONFIGURATION,
                name,
                "there is no connection of this name",
                advice="Apply a configuration that has it",
            ) from None

    def _retried(self, connection: str) -> int:
        """The notification frequency of a mailbox connection, minutes."""
        found = self.connections.get(connection)
        given = None if found is None else found.settings.get("notification_frequency")
        return RETRY_MINUTES if given is None else int(given)

    def _failing(self, job: str, mailbox: str) -> tuple[int, bool] | None:
        """Since when a mailbox fails, and whether it was given up, as its incident has it."""
        found = self.incidents.live(mailbox, IncidentKind.JOB if job else IncidentKind.CYCLE)
        return None if found is None else (found.first_ms, found.state == IncidentState.CANCELLED)

    async def _give_up(self, job: str, mailbox: str, error: str, said: str) -> None:
        """A mailbox was retried for long enough: its failure mail is due."""
        await self.flush()  # its last failure is on record first
        await self.incidents.cancel(mailbox, error, said, IncidentKind.JOB if job else IncidentKind.CYCLE)

    @property
    def unwell(self) -> bool:
        """Whether the ledger cannot be used now."""
        return self.ledger.fault is not None

    async def flush(self) -> None:
        """Store what cycles leave in memory: monitor lines, times of success, incidents, in one transaction."""
        lines, self.fold.unsaved = self.fold.unsaved, []
        fresh, self.runner.fresh = self.runner.fresh, {}
        strikes, heals = self.fold.faults.take()
        rows = [
            (self.mailbox_ids[email], at, sign, text, level)
            for email, at, sign, text, level in lines
            if email in self.mailbox_ids
        ]
        if rows or fresh or strikes or heals:
            try:
                changed = await self.ledger.write(_flush, rows, fresh, self.incidents.timed(strikes), heals)
            except Exception:
                self.fold.unsaved = lines[-MOST_UNSAVED:] + self.fold.unsaved
                self.runner.fresh = fresh | self.runner.fresh
                self.fold.faults.put_back(strikes, heals)
                raise
            self.incidents.show(changed)

    def usage(self) -> list[LimitRow]:
        """Quotas in use, as the connectors count them: the busiest first, few enough for a screen."""
        found = []
        for name, connector in {**self._crm, **self._mailbox}.items():
            for limit, used, granted in connector.usage():
                shown = limit if len(self.connections) <= SIMPLE else f"{name}: {limit}"
                found.append(LimitRow(shown, used, granted))
        found.sort(key=lambda row: row.used / row.limit if row.limit else 0, reverse=True)
        return found[:MOST_LIMITS]


def _flush(
    connection: Any,
    rows: list[tuple[int, int, str, str, int]],
    fresh: dict[int, int],
    strikes: list[Strike],
    heals: list[Heal],
) -> list[Incident]:
    if rows:
        history.add_lines(connection, rows)
    for mailbox_id, at in fresh.items():
        mailboxes.set_mailbox(connection, mailbox_id, last_success_at=at)
    return record(connection, strikes, heals) if strikes or heals else []
