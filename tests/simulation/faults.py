"""The kinds of fault, how often a seed suffers from each, and how often each really struck."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Collection, Mapping

#: Name of a fault to the share of its opportunities at which it strikes in a seed that has it.
KINDS: Mapping[str, float] = {
    "lost request": 0.10,
    "lost reply": 0.10,
    "double delivery": 0.12,
    "reorder": 0.15,
    "429/403/5xx": 0.06,
    "412": 0.10,
    "expired cursor": 0.12,
    "lagging feed": 1.0,
    "windowed removal": 0.25,
    "truncated page": 0.15,
    "server rewrite": 1.0,
    "clock jump": 0.04,
    "crash": 0.015,
    "two engines": 0.04,
}

#: Each kind is part of a seed with this probability: few kinds at a time go deeper than all at once.
SHARE = 0.3


class Weather:
    """Which faults a seed suffers from, until it is calm."""

    def __init__(self, dice: random.Random, kinds: Collection[str] | None = None) -> None:
        self.dice = dice
        chosen = [kind for kind in KINDS if dice.random() < SHARE] if kinds is None else list(kinds)
        self.rates = {kind: KINDS[kind] for kind in chosen}
        self.struck: Counter[str] = Counter()
        self.calm = False

    def has(self, kind: str) -> bool:
        """Whether this seed knows a kind of fault at all."""
        return kind in self.rates

    def strikes(self, kind: str) -> bool:
        """Whether it happens now; counts it."""
        if self.calm:
            return False
        rate = self.rates.get(kind)
        if rate is None or self.dice.random() >= rate:
            return False
        self.struck[kind] += 1
        return True
