"""Trying a whole call again, when that is safe and of use."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from engine.net.errors import ErrorKind, ProviderError
from engine.net.lanes import backoff
from engine.net.net import Net

T = TypeVar("T")

_AGAIN = frozenset({ErrorKind.THROTTLED, ErrorKind.UNAVAILABLE})


async def with_retries(
    net: Net,
    call: Callable[[], Awaitable[T]],
    *,
    idempotent: bool,
    attempts: int = 5,
    budget_seconds: float = 120.0,
    account: str = "",
) -> T:
    """Call ``call`` until it succeeds, fails for good, or is not worth another try.

    Only ``THROTTLED`` and ``UNAVAILABLE`` are tried again. A call that is not idempotent is repeated only if the
    failed one certainly did not reach the server, else it is for the caller to find out what happened.

    Args:
        net: clock and dice.
        call: makes one attempt; raises ``ProviderError``.
        idempotent: whether doing it twice is the same as once.
        attempts: most attempts in all.
        budget_seconds: most seconds from the first attempt to the start of the last one.
        account: mailbox for the observer.

    Raises:
        ProviderError: of the last attempt. When the provider asks for a longer wait than the budget allows, at once.
    """
    deadline = net.clock.monotonic() + budget_seconds
    attempt = 0
    while True:
        try:
            return await call()
        except ProviderError as error:
            attempt += 1
            safe = idempotent or not error.maybe_applied
            if error.kind not in _AGAIN or not safe or attempt >= attempts:
                raise
            wait = max(error.retry_after or 0.0, backoff(net, attempt - 1))
            if net.clock.monotonic() + wait > deadline:
                raise
            net.observer.waiting(error.provider, account, wait, error.detail)
            await net.clock.sleep(wait)
