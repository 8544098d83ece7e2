"""The port of a mail system: a connector that also builds groups, calendars and label trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from engine.model.port import Account, Connector, Containers, Finding, Scope, Structure


class MailboxConnector(Connector, Protocol):
    """A mail system; every scope names its account."""

    async def ensure(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        """Make what is missing of ``structure`` and adopt what is there; ``known`` are ids from an earlier call.

        Idempotent: a repeat after a crash adopts by name or marker and creates nothing twice.
        """
        ...

    async def survey(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        """What is there of ``structure``, found as ``ensure`` finds it, but nothing is made: for previews.

        ``ids`` hold what exists (and what needs no making), ``scopes`` the feeds that can be read now, ``missing`` what
        ``ensure`` would make.
        """
        ...

    async def occupied(self, scope: Scope, ids: Sequence[str]) -> set[str]:
        """Those of our items that hold something of the person's own, as a drop label under which mails were filed."""
        ...

    async def remove(self, account: Account, made: Mapping[str, str]) -> dict[str, str]:
        """Take away the containers that we made (ids by logical name), as far as nothing is left in them. Idempotent.

        Returns:
            by logical name: why it stays, empty when it is gone.
        """
        ...

    async def verify(self, account: Account, structure: Structure, known: Mapping[str, str]) -> list[Finding]:
        """Read the structure back from the provider: one finding per group, calendar, colour, list and label."""
        ...
