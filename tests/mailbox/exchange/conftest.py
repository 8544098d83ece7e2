"""A sandbox for each test, and Anna's folders in it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, replace

import pytest

from engine.mailbox.exchange.connector import ExchangeConnector
from engine.model.port import CalendarMode, Containers, Scope
from tests.mailbox.exchange.lab import STRUCTURE, Lab, lab


@pytest.fixture
def place() -> Iterator[Lab]:
    with lab() as running:
        yield running


@dataclass(frozen=True)
class Mailbox:
    """A mailbox that is set up, and a connector to it."""

    lab: Lab
    connector: ExchangeConnector
    containers: Containers

    def scope(self, key: str) -> Scope:
        return next(scope for scope in self.containers.scopes if scope.key == key)

    @property
    def calendar(self) -> Scope:
        return self.scope("calendar")

    @property
    def contacts(self) -> Scope:
        return self.scope("contacts")

    @property
    def tasks(self) -> Scope:
        return self.scope("tasks")

    @property
    def mail(self) -> Scope:
        return self.scope("mail")


@pytest.fixture
async def box(place: Lab) -> AsyncIterator[Mailbox]:
    async with place.connector() as connector:
        structure = replace(STRUCTURE, calendar_mode=CalendarMode.COLOUR)
        containers = await connector.ensure(place.account, structure, {})
        place.asked()
        yield Mailbox(place, connector, containers)
