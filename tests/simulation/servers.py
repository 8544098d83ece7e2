"""The two servers of a seed: how they recognise a repeated create, how late their feeds are, what they make of values."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from engine.model.canonical import compact
from engine.model.modules import Module
from engine.model.port import Capability, CreateKey, Outcome, Result, Scope, Write, WriteKind
from tests.simulation.faults import Weather
from tests.simulation.loop import SimClock
from tests.sync.fakes import FakeCrm, FakeMail, FakeProvider


def _html(value: str) -> str:
    return value if value.startswith("<p>") else f"<p>{value}</p>"


def _trimmed(value: str) -> str:
    return " ".join(value.split())[:40]


def _phone(value: dict[str, Any]) -> dict[str, Any]:
    digits = "".join(one for one in value["raw"] if one.isdigit())
    return {"raw": f"({digits[:3]}) {digits[3:]}", "e164": value["e164"]}


REWRITES: dict[str, Callable[[Any], Any]] = {
    "notes": _html,
    "body": _html,
    "title": _trimmed,
    "location": _trimmed,
    "phone_work": _phone,
}


class Documents(FakeProvider):
    """Writes are patches on the document that the writer names, as on real servers: what it forgets is gone."""

    windowed = False
    #: The feed tells the difference between two states: what came and went between two reads is in none of them.
    net = False
    weather: Weather

    def _change(self, scope: Scope, write: Write) -> Outcome:
        outcome = super()._change(scope, write)
        if write.kind is WriteKind.UPDATE and outcome.result is Result.DONE and write.native is not None:
            shelf = self.shelf(scope.remote_id)
            now = replace(shelf.now[write.remote_id], native=dict(write.native))
            shelf.now[write.remote_id] = shelf.log[-1] = now
            return Outcome(Result.DONE, self.show(now))
        return outcome

    def _kept(self, fields: Any) -> dict[str, Any]:
        kept = super()._kept(fields)
        if self.rewrites and not self.weather.calm and kept != compact(fields):
            self.weather.struck["server rewrite"] += 1
        return kept

    def capability(self, module: Module) -> Capability | None:
        found = self._capabilities.get(module)
        if found is None:
            plain = super().capability(module)
            assert plain is not None
            found = self._capabilities[module] = replace(plain, **self.extra)
        return found

    _capabilities: dict[Module, Capability]
    extra: dict[str, Any]


class SimCrm(Documents, FakeCrm):
    """The CRM."""


class SimMail(Documents, FakeMail):
    """The mail system."""


def _furnish(server: Any, dice: random.Random, weather: Weather) -> None:
    server.weather = weather
    server._capabilities = {}
    server.extra = {}
    server.page_size = dice.randint(1, 6)
    if weather.has("server rewrite"):
        names = dice.sample(sorted(REWRITES), dice.randint(1, 3))
        server.rewrites = {name: REWRITES[name] for name in names}


def crm_server(
    dice: random.Random, weather: Weather, key: CreateKey
) -> Callable[[SimClock, Sequence[str]], SimCrm]:
    """Makes the CRM of a seed."""

    def make(clock: SimClock, people: Sequence[str]) -> SimCrm:
        server = SimCrm(clock, people, key)
        _furnish(server, dice, weather)
        return server

    return make


def mail_server(
    dice: random.Random,
    weather: Weather,
    *,
    key: CreateKey | None = None,
    lag: int | None = None,
    net: bool = False,
) -> Callable[[SimClock], SimMail]:
    """Makes the mail system of a seed, or the one that is asked for; ``lag`` in seconds, ``net`` as Exchange's feeds are."""
    key = key or dice.choice(list(CreateKey))
    if lag is None:
        lag = dice.choice((90, 300)) if weather.has("lagging feed") else 0

    def make(clock: SimClock) -> SimMail:
        server = SimMail(clock, key, lag)
        _furnish(server, dice, weather)
        server.windowed = weather.has("windowed removal")
        server.net = net
        server.extra = {"windowed": server.windowed, "net": net}
        return server

    return make
