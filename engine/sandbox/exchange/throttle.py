"""Throttling as Exchange's policies do it: connections at once, and requests per minute, for each account."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from engine.sandbox.exchange.errors import SoapFault
from engine.sandbox.kit.world import World

DEFAULTS: dict[str, int | None] = {
    "concurrency": 27,
    "requests_per_minute": None,
    "hanging_connections": 10,
}
"""``EWSMaxConcurrency`` of Exchange 2013 and later; what a minute allows depends on the server's health, and is not
limited unless told; ``HangingConnectionLimit``."""
_MINUTE = 60_000


class Throttle:
    """Books of one server.

    ``settings["exchange_quota"]`` may hold any key of ``DEFAULTS`` (None: no limit) and ``enabled`` (False: nothing is
    limited).

    Raises:
        ValueError: the settings name an unknown limit.
    """

    def __init__(self, world: World) -> None:
        self._world = world
        self._running: Counter[str] = Counter()
        self._hanging: Counter[str] = Counter()
        self._spent: dict[str, deque[int]] = {}
        unknown = set(self._settings) - set(DEFAULTS) - {"enabled"}
        if unknown:
            raise ValueError(
                f"exchange_quota: unknown key {sorted(unknown)[0]!r}; allowed: {', '.join(DEFAULTS)}, enabled"
            )

    @property
    def _settings(self) -> Mapping[str, Any]:
        found: Mapping[str, Any] = self._world.settings.get("exchange_quota", {})
        return found

    def _limit(self, name: str) -> int | None:
        if not self._settings.get("enabled", True):
            return None
        found: int | None = self._settings.get(name, DEFAULTS[name])
        return found

    @contextmanager
    def admitted(self, account: str, hanging: bool = False) -> Iterator[None]:
        """The length of a request of an account.

        Raises:
            SoapFault: ``ErrorServerBusy`` with the milliseconds to wait, or ``ErrorExceededConnectionCount``.
        """
        self._charge(account)
        books, limit = (
            (self._hanging, self._limit("hanging_connections"))
            if hanging
            else (self._running, self._limit("concurrency"))
        )
        if limit is not None and books[account] >= limit:
            raise SoapFault(
                "ErrorExceededConnectionCount",
                "You have exceeded the available concurrent connections for your account. Try again once your other"
                " requests have completed.",
                {
                    "Policy": "HangingConnectionLimit" if hanging else "EWSMaxConcurrency",
                    "MaxConcurrency": str(limit),
                },
            )
        books[account] += 1
        try:
            yield
        finally:
            books[account] -= 1

    def _charge(self, account: str) -> None:
        limit = self._limit("requests_per_minute")
        if limit is None:
            return
        now = self._world.clock.now_ms()
        spent = self._spent.setdefault(account, deque())
        while spent and spent[0] <= now - _MINUTE:
            spent.popleft()
        if len(spent) >= limit:
            raise busy(spent[0] + _MINUTE - now)
        spent.append(now)


def busy(back_off_ms: int) -> SoapFault:
    """``ErrorServerBusy``, with how long the client must wait (``BackOffMilliseconds``)."""
    return SoapFault(
        "ErrorServerBusy",
        "The server cannot service this request right now. Try again later.",
        {"BackOffMilliseconds": str(max(1, back_off_ms))},
    )
