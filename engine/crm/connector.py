"""The port of a CRM: a connector whose feeds serve all mailboxes at once."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.model.modules import Module
from engine.model.port import Connector, CrmUser, Scope


class CrmConnector(Connector, Protocol):
    """A CRM. Its feeds are read once for all mailboxes; ``Observation.owner`` tells whose item it is."""

    def scopes(self, modules: Sequence[Module]) -> tuple[Scope, ...]:
        """The feeds that bring these modules; several modules may share one (calls and tasks, for Salesforce)."""
        ...

    async def users(self, *, managers: bool = False) -> list[CrmUser]:
        """Everybody who may own records; ``managers``: with each one's manager, in the same calls."""
        ...
