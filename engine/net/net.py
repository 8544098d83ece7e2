"""What every connector is given: a clock, dice, one TLS context, and somebody to tell about calls and waits."""

from __future__ import annotations

import random
import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from engine.model.clock import Clock, SystemClock


class Observer(Protocol):
    """Hears of every call and every wait; must not block or raise."""

    def called(self, provider: str, account: str) -> None:
        """One HTTP request was sent (a batch counts as one). ``account`` is a mailbox address or empty."""
        ...

    def waiting(self, provider: str, account: str, seconds: float, reason: str) -> None:
        """A provider asked us to wait, or a quota of ours ran out, for so many seconds."""
        ...


class Silent:
    """An observer that ignores everything."""

    def called(self, provider: str, account: str) -> None:
        """Ignore."""

    def waiting(self, provider: str, account: str, seconds: float, reason: str) -> None:
        """Ignore."""


def _anybody() -> None:
    """No engine but this one is there to mind."""


@dataclass(slots=True)
class Net:
    """Shared by all connectors of one engine.

    Attributes:
        clock: time.
        dice: jitter.
        observer: hears of calls and waits.
        permit: asked before bytes of a request are sent; raises when this engine may send none any more, since another one has
            taken over.
        tls: one context for all clients; making one costs 35 ms and 0.9 MB each (providers.md section 2).
    """

    clock: Clock = field(default_factory=SystemClock)
    dice: random.Random = field(default_factory=random.Random)
    observer: Observer = field(default_factory=Silent)
    permit: Callable[[], None] = _anybody
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)
