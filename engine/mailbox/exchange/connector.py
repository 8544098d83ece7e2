"""Exchange behind the mailbox port: each scope goes to the part that knows it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from engine.mailbox.exchange import apply, doctor, feed, records, separate, streaming, structure, subscribe
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.mailstore import ExchangeStore
from engine.mailbox.exchange.settings import ExchangeSettings
from engine.model.canonical import CONTACT_FIELDS, EVENT_FIELDS, TASK_FIELDS
from engine.model.modules import CONTACT_MODULES, EVENT_MODULES, RECORD_MODULES, Module
from engine.model.port import (
    Account,
    Capability,
    Channel,
    Containers,
    CreateKey,
    Finding,
    Guard,
    News,
    Observation,
    Outcome,
    Page,
    PushMode,
    Scope,
    Structure,
    Write,
)
from engine.net.net import Net


class ExchangeConnector(ExchangeStore):
    """A ``MailboxConnector`` and ``MailStore``. Holds connections, nothing that matters after a crash.

    Scope keys: ``contacts``, ``calendar`` (the person's own, by categories), ``calendar:crm`` (a separate one), ``tasks``,
    ``mail`` (drop folders).
    """

    def __init__(self, settings: ExchangeSettings, net: Net) -> None:
        self.client = ExchangeClient(settings, net)
        self.listed = {}
        self.moved = set()
        self._threads: ThreadPoolExecutor | None = None

    def capability(self, module: Module) -> Capability | None:
        """What Exchange can do for a module."""
        if module in RECORD_MODULES:
            return records.capability(module)
        fields = TASK_FIELDS if module is Module.TASK else None
        if module in EVENT_MODULES:
            fields = EVENT_FIELDS
        elif module in CONTACT_MODULES:
            fields = CONTACT_FIELDS
        if fields is None:
            return None
        names = frozenset(fields)
        return Capability(
            fields=names,
            writable=names,
            create_key=CreateKey.PROBE,
            guard=Guard.ETAG,
            batch=apply.group(self.client.settings.batch_size),
            parallel=2,
            tombstones=True,
            exceptions=module in EVENT_MODULES,
            net=True,
            resets=True,
        )

    def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of what changed since ``cursor``; everything when it is ``None``.

        Raises:
            CursorExpired: start again with ``None``.
            ProviderError: a call failed.
        """
        if scope.key == records.SCOPE_KEY:
            return records.changes(self.client, scope, cursor)
        if scope.key == separate.SCOPE_KEY:
            return separate.changes(self.client, scope, cursor)
        return feed.changes(self.client, scope, cursor)

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        """The present state of items by id; what does not exist comes back as deleted."""
        if not ids:
            return []
        if scope.key == records.SCOPE_KEY:
            return await records.fetch(self.client, scope, ids)
        return await feed.fetch(self.client, scope, ids)

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        """The changed occurrences of series; only calendars have any."""
        return await feed.occurrences(self.client, scope, series) if series else []

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        """Make the changes; one outcome per write, in order."""
        if not writes:
            return []
        if scope.key == records.SCOPE_KEY:
            return await records.apply(self.client, scope, writes)
        return await apply.apply(self.client, scope, writes)

    async def ensure(self, account: Account, structure_: Structure, known: Mapping[str, str]) -> Containers:
        """See ``engine.mailbox.exchange.structure.ensure``."""
        return await structure.ensure(self.client, account, structure_, known)

    async def survey(self, account: Account, structure_: Structure, known: Mapping[str, str]) -> Containers:
        """See ``engine.mailbox.exchange.structure.survey``."""
        return await structure.survey(self.client, account, structure_, known)

    async def occupied(self, scope: Scope, ids: Sequence[str]) -> set[str]:
        """Folders in which the person has filed mails; other items hold nothing."""
        if scope.account is None or scope.key != records.SCOPE_KEY or not ids:
            return set()
        return await records.occupied(self.client, scope.account, ids)

    async def remove(self, account: Account, made: Mapping[str, str]) -> dict[str, str]:
        """See ``engine.mailbox.exchange.structure.remove``."""
        return await structure.remove(self.client, account, made)

    async def verify(self, account: Account, structure_: Structure, known: Mapping[str, str]) -> list[Finding]:
        """See ``engine.mailbox.exchange.structure.verify``."""
        return await structure.verify(self.client, account, structure_, known)

    @property
    def push_mode(self) -> PushMode:
        """As the connection says."""
        mode = self.client.settings.mode
        known = {"push": PushMode.PUSH, "pull": PushMode.PULL, "streaming": PushMode.STREAM}
        return known.get(mode, PushMode.NONE)

    async def subscribe(
        self, account: Account, scopes: Sequence[Scope], channel_id: str, address: str, token: str
    ) -> list[tuple[str, Channel]]:
        """See ``engine.mailbox.exchange.subscribe.subscribe``."""
        return await subscribe.subscribe(
            self.client, account, scopes, channel_id, address, token, self.push_mode
        )

    async def unsubscribe(self, account: Account, channel: Channel) -> None:
        """See ``engine.mailbox.exchange.subscribe.unsubscribe``."""
        await subscribe.unsubscribe(self.client, account, channel, self.push_mode)

    async def changed(self, account: Account, channel: Channel) -> tuple[str, News]:
        """See ``engine.mailbox.exchange.subscribe.changed``."""
        return await subscribe.changed(self.client, account, channel)

    def stream(
        self, account: Account, channels: Sequence[Channel], minutes: int
    ) -> AsyncIterator[tuple[str, News]]:
        """See ``engine.mailbox.exchange.streaming.stream``."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(streaming.CONNECTIONS, thread_name_prefix="exchange-stream")
        return streaming.stream(self.client, self._threads, account, channels, minutes)

    def usage(self) -> list[tuple[str, float, float]]:
        """Calls at once beside what the server bears at present; it is the only limit that Exchange lets us see."""
        return [("Exchange calls at once", float(self.client.active), float(self.client.lane.limit))]

    async def check(self, account: Account | None) -> list[Finding]:
        """See ``engine.mailbox.exchange.doctor.check``."""
        return await doctor.check(self.client, account)

    async def close(self) -> None:
        """Close connections."""
        await self.client.close()
        if self._threads is not None:
            # Their sockets are closed by now; a thread that is still on its way out keeps nobody waiting.
            self._threads.shutdown(wait=False, cancel_futures=True)
