"""A connector against the Exchange sandbox on a real socket; every request and answer is checked against the schema."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import Any

from engine.mailbox.exchange.connector import ExchangeConnector
from engine.mailbox.exchange.settings import ExchangeSettings
from engine.model.modules import Module
from engine.model.port import Account, Observation, Outcome, Page, Result, Scope, Structure, Write, WriteKind
from engine.net.net import Net
from engine.sandbox.kit.faults import parse, rules
from tests.clocks import HastyClock
from tests.sandbox.exchange.office import ANNA, SERVICE, SERVICE_PASSWORD, Office, office

PASSWORD_VARIABLE = "SYNCLINE_TEST_EXCHANGE_PASSWORD"

STRUCTURE = Structure(
    groups={Module.CONTACT: "CRM Contacts", Module.LEAD: "CRM Leads"},
    calendar_mode=None,
    colours={
        Module.APPOINTMENT: ("CRM Appointment", "#3f51b5"),
        Module.CALL: ("CRM Call", "#0b8043"),
        Module.SERVICE_CALL: ("CRM Service Call", "#d50000"),
    },
    tasks=True,
    labels=("CRM", "CRM/Opportunities", "CRM/Cases"),
)


@dataclass
class Lab:
    """A sandbox and what a test asks of it."""

    office: Office

    @property
    def account(self) -> Account:
        """Anna's mailbox."""
        return Account(ANNA, "Europe/Berlin", "005A")

    def settings(self, **options: Any) -> ExchangeSettings:
        """Settings that reach the sandbox by the service account."""
        plain = ExchangeSettings(
            url=self.office.endpoint,
            username=SERVICE,
            password_env=PASSWORD_VARIABLE,
            timeout=60,
            max_connections=4,
        )
        return replace(plain, **options)

    @asynccontextmanager
    async def connector(self, net: Net | None = None, **options: Any) -> AsyncIterator[ExchangeConnector]:
        """A connector, closed at the end."""
        connector = ExchangeConnector(self.settings(**options), net or Net(clock=HastyClock()))
        try:
            yield connector
        finally:
            await connector.close()
            rules(self.office.world).clear()

    def fault(self, **spec: Any) -> None:
        """Let requests fail; see ``engine.sandbox.kit.faults.Fault``."""
        rules(self.office.world).append(parse({"service": "exchange", **spec}))

    def calls(self) -> Counter[str]:
        """Operations served so far, by name."""
        return Counter(
            {
                name.removeprefix("exchange."): number
                for name, number in self.office.world.counters.items()
                if name.startswith("exchange.") and not name.startswith("exchange.Error")
            }
        )

    def asked(self) -> Counter[str]:
        """Operations served since the last time this was asked."""
        now = self.calls()
        before: Counter[str] = getattr(self, "_before", Counter())
        self._before = now
        return Counter({name: now[name] - before[name] for name in now if now[name] != before[name]})


@contextmanager
def lab(**settings: Any) -> Iterator[Lab]:
    """Start a sandbox; at the end nothing that went over the wire may have broken the schema."""
    os.environ[PASSWORD_VARIABLE] = SERVICE_PASSWORD
    with office(settings) as running:
        yield Lab(running)


async def read(
    connector: ExchangeConnector, scope: Scope, cursor: str | None = None
) -> tuple[list[Observation], str]:
    """A whole feed, and its cursor."""
    pages: list[Page] = [page async for page in connector.changes(scope, cursor)]
    last = pages[-1].cursor
    assert last is not None
    assert all(page.cursor is None for page in pages[:-1])
    return [one for page in pages for one in page.observations], last


async def done(connector: ExchangeConnector, scope: Scope, *writes: Write) -> list[Observation]:
    """Carry out writes, all of which must be done."""
    outcomes = await connector.apply(scope, writes)
    assert [one.result for one in outcomes] == [Result.DONE] * len(writes), outcomes
    return [one.observation for one in outcomes if one.observation is not None]


async def one(connector: ExchangeConnector, scope: Scope, write: Write) -> Outcome:
    """Carry out one write."""
    [outcome] = await connector.apply(scope, [write])
    return outcome


def create(module: Module, key: str, fields: dict[str, Any], **more: Any) -> Write:
    """A create."""
    return Write(WriteKind.CREATE, module, key, fields=fields, patch=fields, **more)


def update(seen: Observation, patch: dict[str, Any], **more: Any) -> Write:
    """An update of what was seen."""
    fields = {**seen.fields, **{name: value for name, value in patch.items() if value is not None}}
    fields = {name: value for name, value in fields.items() if patch.get(name, 0) is not None}
    return Write(
        WriteKind.UPDATE,
        seen.module,
        "u",
        remote_id=seen.remote_id,
        fields=fields,
        patch=patch,
        etag=seen.etag,
        native=seen.native,
        parent=seen.parent,
        occurrence=seen.occurrence,
        **more,
    )


def delete(seen: Observation, **more: Any) -> Write:
    """A delete of what was seen."""
    return Write(
        WriteKind.DELETE,
        seen.module,
        "d",
        remote_id=seen.remote_id,
        etag=seen.etag,
        native=seen.native,
        parent=seen.parent,
        occurrence=seen.occurrence,
        **more,
    )


def scope_of(scopes: Sequence[Scope], key: str) -> Scope:
    """The scope of a key."""
    return next(scope for scope in scopes if scope.key == key)
