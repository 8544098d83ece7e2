"""Access tokens: fetched once for all who wait, kept until shortly before they expire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field

from engine.net.net import Net

#: Seconds before expiry at which a token is no longer handed out; google-auth's own constant (3 min 45 s).
MARGIN_SECONDS = 225.0

#: Most seconds of jitter on top, so that thousands of tokens fetched together are not renewed together.
JITTER_SECONDS = 60.0

Key = Hashable


@dataclass(frozen=True, slots=True)
class Token:
    """An access token as the provider gave it.

    Attributes:
        value: the secret; not part of ``repr``.
        expires_in: seconds of life from when it was fetched.
    """

    value: str = field(repr=False)
    expires_in: float


@dataclass(frozen=True, slots=True)
class _Kept:
    value: str = field(repr=False)
    until: float  # monotonic seconds


class TokenCache:
    """Tokens by key (an account with its scopes, say). One fetch per key runs at a time; all who ask share its end."""

    def __init__(self, net: Net, fetch: Callable[[Key], Awaitable[Token]]) -> None:
        """Make an empty cache.

        Args:
            net: clock and dice.
            fetch: gets a fresh token for a key; what it raises reaches everybody who waits for that key.
        """
        self._net = net
        self._fetch = fetch
        self._kept: dict[Key, _Kept] = {}
        self._running: dict[Key, asyncio.Task[str]] = {}

    async def get(self, key: Key) -> str:
        """A token that is good for some minutes at least.

        Raises:
            ProviderError: what ``fetch`` raised.
        """
        kept = self._kept.get(key)
        if kept is not None and self._net.clock.monotonic() < kept.until:
            return kept.value
        task = self._running.get(key)
        if task is None:
            # A task of its own: one waiter that is cancelled must not take the fetch from the others.
            task = asyncio.create_task(self._renew(key))
            self._running[key] = task
            task.add_done_callback(lambda done: self._ended(key, done))
        return await asyncio.shield(task)

    def invalidate(self, key: Key, token: str) -> None:
        """Forget a token that a provider refused, unless a newer one has taken its place already."""
        kept = self._kept.get(key)
        if kept is not None and kept.value == token:
            del self._kept[key]

    async def _renew(self, key: Key) -> str:
        asked = self._net.clock.monotonic()
        token = await self._fetch(key)
        margin = MARGIN_SECONDS + self._net.dice.uniform(0, JITTER_SECONDS)
        # A token that lives only minutes is used for half its life rather than never.
        self._kept[key] = _Kept(token.value, asked + max(token.expires_in - margin, token.expires_in / 2))
        return token.value

    def _ended(self, key: Key, task: asyncio.Task[str]) -> None:
        if self._running.get(key) is task:
            del self._running[key]
        if not task.cancelled():
            task.exception()  # marks it as seen when every waiter has gone
