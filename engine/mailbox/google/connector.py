"""Google Workspace behind the mailbox port: each scope and module goes to the part that knows its API."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import replace
from types import ModuleType

from engine.mailbox.google import calendar, doctor, ensure, gmail, people, remove, survey, tasks, watch
from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.mailstore import GmailStore
from engine.mailbox.google.quota import limits_of
from engine.mailbox.google.settings import Api, GoogleSettings
from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Module
from engine.model.port import (
    Account,
    Capability,
    Channel,
    Containers,
    Finding,
    Observation,
    Outcome,
    Page,
    PushMode,
    Scope,
    Structure,
    Write,
)
from engine.net.net import Net


class GoogleConnector(GmailStore):
    """A ``MailboxConnector`` and ``MailStore``. Holds connections and tokens, nothing that matters after a crash.

    Scope keys: ``contacts``, ``calendar`` (the person's own, colour mode), ``calendar:crm`` (a separate one),
    ``tasks``, ``mail``.
    """

    def __init__(self, settings: GoogleSettings, net: Net) -> None:
        self.client = GoogleClient(settings, net)

    def capability(self, module: Module) -> Capability | None:
        """What Google can do for a module."""
        if module in EVENT_MODULES:
            return calendar.capability(self.client.settings.batch_size(Api.CALENDAR))
        if module in CONTACT_MODULES:
            known = people.capability(module)
            lag = self.client.settings.people_lag_seconds
            return known and replace(known, lag_seconds=lag)
        if module in RECORD_MODULES:
            return gmail.capability(module)
        return tasks.CAPABILITY if module is Module.TASK else None

    def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of what changed since ``cursor``; everything when it is ``None``.

        Raises:
            CursorExpired: start again with ``None``.
            ProviderError: a call failed.
        """
        feed: AsyncIterator[Page] = _part(scope).changes(self.client, scope, cursor)
        return feed

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        """The present state of items by id; what does not exist comes back as deleted."""
        if not ids:
            return []
        found: list[Observation] = await _part(scope).fetch(self.client, scope, ids)
        return found

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        """The changed occurrences of series; only calendars have any."""
        return await calendar.occurrences(self.client, scope, series) if series else []

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        """Make the changes; one outcome per write, in order."""
        if not writes:
            return []
        outcomes: list[Outcome] = await _part(scope).apply(self.client, scope, writes)
        return outcomes

    async def ensure(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        """See ``engine.mailbox.google.ensure.ensure``."""
        return await ensure.ensure(self.client, account, structure, known)

    async def survey(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        """See ``engine.mailbox.google.survey.survey``."""
        return await survey.survey(self.client, account, structure, known)

    async def occupied(self, scope: Scope, ids: Sequence[str]) -> set[str]:
        """Labels under which the person has filed mails; other items hold nothing."""
        if scope.account is None or not set(scope.modules) & RECORD_MODULES:
            return set()
        return await remove.occupied(self.client, scope.account, ids)

    async def remove(self, account: Account, made: Mapping[str, str]) -> dict[str, str]:
        """See ``engine.mailbox.google.remove.remove``."""
        return await remove.remove(self.client, account, made)

    async def verify(self, account: Account, structure: Structure, known: Mapping[str, str]) -> list[Finding]:
        """See ``engine.mailbox.google.ensure.verify``."""
        return await ensure.verify(self.client, account, structure, known)

    @property
    def push_mode(self) -> PushMode:
        """Channels for calendars, where the connection says so."""
        return PushMode.WATCH if self.client.settings.push else PushMode.NONE

    async def subscribe(
        self, account: Account, scopes: Sequence[Scope], channel_id: str, address: str, token: str
    ) -> list[tuple[str, Channel]]:
        """See ``engine.mailbox.google.watch.subscribe``."""
        return await watch.subscribe(self.client, account, scopes, channel_id, address, token)

    async def unsubscribe(self, account: Account, channel: Channel) -> None:
        """See ``engine.mailbox.google.watch.unsubscribe``."""
        await watch.unsubscribe(self.client, account, channel)

    async def changed(self, account: Account, channel: Channel) -> tuple[str, int]:
        """Google has no subscriptions that are asked."""
        raise NotImplementedError

    def stream(
        self, account: Account, channels: Sequence[Channel], minutes: int
    ) -> AsyncIterator[tuple[str, int]]:
        """Google has no subscriptions that stream."""
        raise NotImplementedError

    def usage(self) -> list[tuple[str, float, float]]:
        """Calls or units of the last minute beside Google's limits: by project, and the busiest mailbox of each kind."""
        return limits_of(self.client.buckets.usage(), self.client.settings.quotas)

    async def check(self, account: Account | None) -> list[Finding]:
        """See ``engine.mailbox.google.doctor.check``."""
        return await doctor.check(self.client, account)

    async def close(self) -> None:
        """Close connections."""
        await self.client.close()


def _part(scope: Scope) -> ModuleType:
    """The module that knows a scope's API.

    Raises:
        ValueError: no such scope.
    """
    parts = {"contacts": people, "calendar": calendar, "tasks": tasks, "mail": gmail}
    try:
        return parts[scope.key.partition(":")[0]]
    except KeyError:
        raise ValueError(f"Google has no scope {scope.key!r}; there are {', '.join(parts)}") from None
