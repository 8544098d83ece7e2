"""One engine's line to one server: here requests and answers get lost, doubled, delayed, cut and refused."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from engine.model.modules import Module
from engine.model.port import (
    Account,
    Capability,
    Containers,
    CreateKey,
    CrmUser,
    Finding,
    Observation,
    Outcome,
    Page,
    Result,
    Scope,
    Structure,
    Write,
    WriteKind,
)
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from tests.sync.fakes import FakeProvider, Shelf, Thing

if TYPE_CHECKING:
    from tests.simulation.world import Life, Sender, SimWorld

UNSAID = "the line broke while the answer was awaited"


class Wire:
    """The connector that one life of the engine holds; the server behind it outlives the engine."""

    def __init__(self, server: FakeProvider, world: SimWorld, life: Life) -> None:
        self.server = server
        self.world = world
        self.life = life
        self.weather = world.weather
        self.dice = world.dice

    # -- what no fault touches -----------------------------------------------------------------------------

    def capability(self, module: Module) -> Capability | None:
        return self.server.capability(module)

    def scopes(self, modules: Sequence[Module]) -> tuple[Scope, ...]:
        found: tuple[Scope, ...] = self.server.scopes(modules)  # type: ignore[attr-defined]
        return found

    def usage(self) -> list[tuple[str, float, float]]:
        return []

    async def check(self, account: Account | None) -> list[Finding]:
        return []

    async def close(self) -> None:
        return

    # -- faults --------------------------------------------------------------------------------------------

    async def _begin(self, point: str, scope: Scope | None) -> None:
        """A call leaves: the engine may die, people act meanwhile, the server may refuse."""
        self.life.check()
        self.world.calls[point] += 1
        self.world.note("call", self.server.side, point, scope.remote_id if scope else "")
        self.life.failpoint(f"before {point}")
        self.world.meanwhile()
        if self.world.crowded:
            await asyncio.sleep(self.dice.choice((0, 0, 0.02, 0.3)))
            self.life.check()
        if self.weather.strikes("429/403/5xx"):
            kind, wait = self.dice.choice(
                (
                    (ErrorKind.THROTTLED, 5.0),
                    (ErrorKind.THROTTLED, None),
                    (ErrorKind.PERMISSION, None),
                    (ErrorKind.UNAVAILABLE, None),
                )
            )
            self.world.note("fault", kind.value)
            raise ProviderError(kind, "Server", kind.value, retry_after=wait)

    async def _end(self, point: str) -> None:
        if self.world.crowded:
            await asyncio.sleep(self.dice.choice((0, 0, 0.02, 0.3)))
        self.life.check()
        self.life.failpoint(f"after {point}")

    def _fault(self, kind: str) -> bool:
        struck = self.weather.strikes(kind)
        if struck:
            self.world.note("fault", kind)
        return struck

    # -- reading -------------------------------------------------------------------------------------------

    async def users(self, *, managers: bool = False) -> list[CrmUser]:
        await self._begin("users", None)
        return await self.server.users(managers=managers)  # type: ignore[attr-defined, no-any-return]

    async def ensure(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        await self._begin("ensure", None)
        return await self.server.ensure(account, structure, known)  # type: ignore[attr-defined, no-any-return]

    async def survey(self, account: Account, structure: Structure, known: Mapping[str, str]) -> Containers:
        await self._begin("survey", None)
        return await self.server.survey(account, structure, known)  # type: ignore[attr-defined, no-any-return]

    async def verify(self, account: Account, structure: Structure, known: Mapping[str, str]) -> list[Finding]:
        return []

    async def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        await self._begin("changes", scope)
        server, dice = self.server, self.dice
        shelf = server.shelf(scope.remote_id)
        visible, start = self._span(shelf, cursor)
        latest = {thing.id: thing for thing in shelf.log[start:visible]}
        if cursor is not None and getattr(server, "net", False):
            lived = {thing.id: not thing.deleted for thing in shelf.log[:start]}
            latest = {key: one for key, one in latest.items() if not one.deleted or lived.get(key, False)}
        things = [one for one in latest.values() if cursor is not None or not one.deleted]
        reached, cut = visible, False
        if things and self._fault("truncated page"):
            cut = True
            things = things[: dice.randrange(len(things))]
            kept = {one.id for one in things}
            missing = (n for n in range(start, visible) if shelf.log[n].id not in kept)
            reached = min(missing, default=visible)
        shown = [server.show(one) for one in things]
        shown += self._made_up(shelf, latest, cursor)
        if len(shown) > 1 and self._fault("reorder"):
            dice.shuffle(shown)
        if shown and self._fault("double delivery"):
            shown += dice.sample(shown, dice.randint(1, len(shown)))
        size = server.page_size
        pages = [shown[n : n + size] for n in range(0, len(shown), size)] or [[]]
        end = dice.randrange(len(pages)) if self._fault("expired cursor") else None
        broken = cut and dice.random() < 0.5
        for number, page in enumerate(pages):
            last = number == len(pages) - 1
            if number == end:
                shelf.epoch += 1
                raise CursorExpired
            if last and broken:
                raise ProviderError(ErrorKind.MALFORMED, "Server", "the answer ends in the middle")
            yield Page(tuple(page), f"{shelf.epoch}:{reached}" if last else None, snapshot=cursor is None)
            if not last:
                self.world.pages += 1
                self.life.failpoint("between pages")
                self.world.meanwhile()
        await self._end("changes")

    def _span(self, shelf: Shelf, cursor: str | None) -> tuple[int, int]:
        """(end, start) of what this read shows of the log. A feed that lags does not show the youngest entries."""
        server = self.server
        visible = len(shelf.log)
        if server.lag:
            seen_at = server.clock.ms - server.lag * 1000
            visible = next((n for n, thing in enumerate(shelf.log) if thing.modified > seen_at), visible)
            if visible < len(shelf.log):
                self._fault("lagging feed")
        start = 0
        if cursor is not None:
            epoch, _, number = cursor.partition(":")
            if int(epoch) != shelf.epoch:
                raise CursorExpired
            start = int(number)
        return max(visible, start), start

    def _made_up(self, shelf: Shelf, latest: Mapping[str, Thing], cursor: str | None) -> list[Observation]:
        """Removals that a windowed feed reports although nothing was removed."""
        if cursor is None or not getattr(self.server, "windowed", False):
            return []
        live = [one for one in shelf.live() if one.id not in latest]
        if not live or not self._fault("windowed removal"):
            return []
        return [
            Observation(one.id, one.module, deleted=True) for one in self.dice.sample(live, min(2, len(live)))
        ]

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        await self._begin("fetch", scope)
        now = self.server.shelf(scope.remote_id).now
        found = [
            self.server.show(now[one]) if one in now else Observation(one, scope.modules[0], deleted=True)
            for one in ids
        ]
        await self._end("fetch")
        return found

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        await self._begin("occurrences", scope)
        found = [
            self.server.show(one) for one in self.server.shelf(scope.remote_id).live() if one.parent in series
        ]
        await self._end("occurrences")
        return found

    # -- writing -------------------------------------------------------------------------------------------

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        await self._begin("apply", scope)
        sender = (self.world.turn, self.life.number)
        for write in writes:
            self.world.note("write", write.kind, write.module, write.remote_id or write.key, write.attempt)
        if self._fault("lost request"):
            if self.dice.random() < 0.5:
                return [Outcome(Result.UNKNOWN, reason=UNSAID)] * len(writes)
            raise ProviderError(ErrorKind.UNAVAILABLE, "Server", UNSAID, maybe_applied=True)
        if self._fault("reorder"):
            # The request hangs somewhere and arrives after what was sent later.
            asyncio.get_running_loop().call_later(self.dice.uniform(0.5, 30), self._late, scope, writes, sender)
            raise ProviderError(ErrorKind.UNAVAILABLE, "Server", UNSAID, maybe_applied=True)
        outcomes = [self._one(scope, write, sender) for write in writes]
        if self._fault("double delivery"):
            second = [self._carry_out(scope, write, sender) for write in writes]
            outcomes = second if self.dice.random() < 0.5 else outcomes
        await self._end("apply")
        if self._fault("lost reply"):
            raise ProviderError(ErrorKind.UNAVAILABLE, "Server", UNSAID, maybe_applied=True)
        return outcomes

    def _late(self, scope: Scope, writes: Sequence[Write], sender: Sender) -> None:
        for write in writes:
            self.world.note("late", write.kind, write.module, write.remote_id or write.key)
            taken = write.key in self.server.shelf(scope.remote_id).now
            if not (write.kind is WriteKind.CREATE and self.server.create_key is CreateKey.NATURAL and taken):
                self._carry_out(scope, write, sender)  # an id of our own that was taken once is taken for ever

    def _one(self, scope: Scope, write: Write, sender: Sender) -> Outcome:
        if self._fault("lost request"):
            return Outcome(Result.UNKNOWN, reason=UNSAID)
        if self._fault("429/403/5xx"):
            return Outcome(Result.REFUSED, reason="too many requests", retry_after=3)
        if write.kind is not WriteKind.CREATE and self._fault("412"):
            return Outcome(Result.CONFLICT, reason="precondition failed")
        outcome = self._carry_out(scope, write, sender)
        if outcome.result is Result.DONE and self._fault("lost reply"):
            return Outcome(Result.UNKNOWN, reason=UNSAID)
        return outcome

    def _carry_out(self, scope: Scope, write: Write, sender: Sender) -> Outcome:
        """What the server does with a write that has reached it."""
        server: Any = self.server
        server.mailed += write.notify
        if write.kind is WriteKind.CREATE:
            series = server.shelf(scope.remote_id).now.get(write.parent)
            if series is not None and series.deleted:
                return Outcome(Result.GONE, reason="its series is gone")
            return server._create(scope, write)  # type: ignore[no-any-return]
        before = server.shelf(scope.remote_id).now.get(write.remote_id)
        outcome: Outcome = server._change(scope, write)
        if outcome.result is Result.DONE and before is not None:
            self.world.changed_by_engine(self.server, scope, write, before, sender)
        return outcome
