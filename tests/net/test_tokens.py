import asyncio
from collections.abc import Hashable

import pytest

from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net
from engine.net.tokens import Token, TokenCache
from tests.net.virtual import VirtualClock


class Source:
    def __init__(self, expires_in: float = 3600.0) -> None:
        self.fetched: list[Hashable] = []
        self.expires_in = expires_in
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: ProviderError | None = None

    async def __call__(self, key: Hashable) -> Token:
        self.fetched.append(key)
        number = len(self.fetched)
        await self.gate.wait()
        if self.error:
            raise self.error
        return Token(f"{key}-{number}", self.expires_in)


async def test_many_who_ask_at_once_share_one_fetch(net: Net) -> None:
    source = Source()
    source.gate.clear()
    cache = TokenCache(net, source)
    asking = [asyncio.create_task(cache.get("ada")) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    await asyncio.sleep(0)
    source.gate.set()
    got = await asyncio.gather(*asking[1:])
    assert set(got) == {"ada-1"}
    assert asking[0].cancelled()
    assert source.fetched == ["ada"]


async def test_a_token_is_renewed_some_minutes_before_it_expires(net: Net, clock: VirtualClock) -> None:
    cache = TokenCache(net, Source())
    assert await cache.get("ada") == "ada-1"
    clock.now += 3600 - 225 - 61
    assert await cache.get("ada") == "ada-1"
    clock.now += 61
    assert await cache.get("ada") == "ada-2"


async def test_a_short_lived_token_is_still_used_for_half_its_life(net: Net, clock: VirtualClock) -> None:
    cache = TokenCache(net, Source(expires_in=60))
    await cache.get("ada")
    clock.now += 29
    assert await cache.get("ada") == "ada-1"
    clock.now += 2
    assert await cache.get("ada") == "ada-2"


async def test_only_the_refused_token_is_forgotten(net: Net) -> None:
    cache = TokenCache(net, Source())
    first = await cache.get("ada")
    cache.invalidate("ada", first)
    second = await cache.get("ada")
    cache.invalidate("ada", first)  # a late refusal of the old one
    assert await cache.get("ada") == second
    cache.invalidate("nobody", "x")


async def test_a_failed_fetch_fails_all_who_wait_and_the_next_tries_again(net: Net) -> None:
    source = Source()
    source.error = ProviderError(ErrorKind.CREDENTIAL, "Salesforce", "key refused")
    cache = TokenCache(net, source)
    ends = await asyncio.gather(*(cache.get("ada") for _ in range(3)), return_exceptions=True)
    assert all(isinstance(end, ProviderError) for end in ends)
    assert len(source.fetched) == 1
    source.error = None
    with pytest.raises(AssertionError):
        assert await cache.get("ada") == "never"
    assert len(source.fetched) == 2


def test_a_token_does_not_show_itself() -> None:
    assert "hush" not in repr(Token("hush", 10))
