"""The queue of mailboxes: a port, and the dispatcher inside this process behind it.

A queue row is a hint. What must be synced stands in the ledger (a mailbox's phase, its dirty links, an admin's request
in ``work``), so a row that is lost or doubled can delay or repeat a cycle, never lose one.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from enum import IntEnum, StrEnum
from itertools import zip_longest
from math import ceil
from typing import Protocol

#: Of so many runs of a lane it is remembered how long they had waited.
REMEMBERED = 200


class Priority(IntEnum):
    """An admin's request goes before the schedule."""

    SCHEDULE = 0
    RETRY = 1
    ADMIN = 2


class Submitted(StrEnum):
    """What became of a request."""

    NEW = "new"
    BUMPED = "bumped"  # it waited already and moved up
    MERGED = "merged"  # it waited already
    RERUN = "rerun"  # it runs; it will run exactly once more


@dataclass(frozen=True, slots=True)
class Request:
    """A wish to run a mailbox.

    Attributes:
        key: the mailbox address.
        lane: the policy; lanes are served in turn.
        kind: kind of cycle; kinds of several requests merge.
    """

    key: str
    lane: str
    kind: str
    priority: Priority = Priority.SCHEDULE


@dataclass(slots=True)
class Running:
    """One run of a mailbox."""

    key: str
    lane: str
    kinds: frozenset[str]
    stop: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True)
class Wait:
    """How long the mailboxes of a lane wait for their turn, in seconds.

    Attributes:
        p50: half of the last runs had waited no longer.
        p95: 95 of 100 had waited no longer.
        now: how long the one has waited that waits longest; None when nobody waits.
    """

    lane: str
    p50: float
    p95: float
    now: float | None


Handler = Callable[[Running], Awaitable[None]]
"""Carries out a run; what it raises ends the whole queue, so it should raise nothing."""


class JobQueue(Protocol):
    """What the engine needs of a queue, embedded or distributed."""

    def submit(self, requests: Iterable[Request]) -> list[Submitted]:
        """Ask for runs; requests for one key merge, a higher priority moves it up."""
        ...

    def cancel(self, key: str) -> bool:
        """Take a waiting key out, or ask a running one to stop; False when it is neither."""
        ...

    def waiting(self) -> list[str]:
        """Keys in the order in which they will run."""
        ...

    def running(self) -> list[str]:
        """Keys that run now."""
        ...

    def waits(self) -> list[Wait]:
        """How long the mailboxes of each lane wait, the longest wait first."""
        ...

    async def serve(self, handler: Handler, slots: int, stop: asyncio.Event) -> None:
        """Run what is submitted, at most ``slots`` at a time, until ``stop`` is set and the running ones ended."""
        ...


@dataclass(slots=True)
class _Waiting:
    key: str
    lane: str
    kinds: set[str]
    priority: Priority
    since: float


class EmbeddedQueue:
    """The dispatcher of one process: lanes in turn, an admin's requests first, one run per key at a time.

    Args:
        now: seconds of a clock that is never set back.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._waited: dict[str, deque[float]] = {}  # by lane, seconds
        self._waiting: dict[str, _Waiting] = {}
        # By priority, then by lane in the order of their turns, then by key in the order of arrival.
        self._lanes: dict[Priority, OrderedDict[str, OrderedDict[str, _Waiting]]] = {
            priority: OrderedDict() for priority in sorted(Priority, reverse=True)
        }
        self._running: dict[str, Running] = {}
        self._again: dict[str, dict[str, Request]] = {}  # by key and kind
        self._wake = asyncio.Event()

    def submit(self, requests: Iterable[Request]) -> list[Submitted]:
        """Ask for runs."""
        answers = [self._submit(request) for request in requests]
        self._wake.set()
        return answers

    def _submit(self, request: Request) -> Submitted:
        if request.key in self._running:
            asked = self._again.setdefault(request.key, {})
            earlier = asked.get(request.kind)
            if earlier is None or earlier.priority < request.priority:
                asked[request.kind] = request
            return Submitted.RERUN
        waiting = self._waiting.get(request.key)
        if waiting is None:
            self._enter(_Waiting(request.key, request.lane, {request.kind}, request.priority, self._now()))
            return Submitted.NEW
        waiting.kinds.add(request.kind)
        if request.priority <= waiting.priority:
            return Submitted.MERGED
        self._leave(waiting)
        waiting.priority = request.priority
        self._enter(waiting)
        return Submitted.BUMPED

    def _enter(self, waiting: _Waiting) -> None:
        self._waiting[waiting.key] = waiting
        self._lanes[waiting.priority].setdefault(waiting.lane, OrderedDict())[waiting.key] = waiting

    def _leave(self, waiting: _Waiting) -> None:
        del self._waiting[waiting.key]
        lanes = self._lanes[waiting.priority]
        del lanes[waiting.lane][waiting.key]
        if not lanes[waiting.lane]:
            del lanes[waiting.lane]

    def cancel(self, key: str) -> bool:
        """Take a waiting key out, or ask a running one to stop."""
        self._again.pop(key, None)
        waiting = self._waiting.get(key)
        if waiting is not None:
            self._leave(waiting)
            return True
        running = self._running.get(key)
        if running is None:
            return False
        running.stop.set()
        return True

    def waiting(self) -> list[str]:
        """Keys in the order in which they will run (lanes taken in turn within a priority)."""
        order: list[str] = []
        for lanes in self._lanes.values():
            for turn in zip_longest(*lanes.values()):
                order.extend(key for key in turn if key is not None)
        return order

    def running(self) -> list[str]:
        """Keys that run now."""
        return list(self._running)

    def waits(self) -> list[Wait]:
        """How long the mailboxes of each lane wait, the longest wait first."""
        oldest: dict[str, float] = {}
        for lanes in self._lanes.values():
            for lane, keys in lanes.items():
                since = next(iter(keys.values())).since
                oldest[lane] = min(since, oldest.get(lane, since))
        now, told = self._now(), []
        for lane in self._waited.keys() | oldest.keys():
            known = sorted(self._waited.get(lane, ()))
            waits = now - oldest[lane] if lane in oldest else None
            p50, p95 = (known[ceil(len(known) * part) - 1] if known else waits or 0.0 for part in (0.5, 0.95))
            told.append(Wait(lane, p50, p95, waits))
        return sorted(told, key=lambda wait: (-max(wait.p95, wait.now or 0.0), wait.lane))

    def _next(self) -> _Waiting | None:
        for lanes in self._lanes.values():
            if lanes:
                lane, keys = next(iter(lanes.items()))
                chosen = next(iter(keys.values()))
                self._leave(chosen)
                waited = self._waited.setdefault(lane, deque(maxlen=REMEMBERED))
                waited.append(self._now() - chosen.since)
                if lane in lanes:
                    lanes.move_to_end(lane)  # this lane has had its turn
                return chosen
        return None

    async def serve(self, handler: Handler, slots: int, stop: asyncio.Event) -> None:
        """Run what is submitted until ``stop`` is set; running ones are asked to stop and awaited."""
        stopper = asyncio.ensure_future(self._wake_after(stop))
        try:
            async with asyncio.TaskGroup() as group:
                while not stop.is_set():
                    while len(self._running) < slots and (chosen := self._next()) is not None:
                        running = Running(chosen.key, chosen.lane, frozenset(chosen.kinds))
                        self._running[chosen.key] = running
                        group.create_task(self._run(handler, running))
                    self._wake.clear()
                    if not stop.is_set():
                        await self._wake.wait()
                for running in self._running.values():
                    running.stop.set()
        finally:
            stopper.cancel()

    async def _wake_after(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._wake.set()

    async def _run(self, handler: Handler, running: Running) -> None:
        try:
            await handler(running)
        finally:
            del self._running[running.key]
            for again in self._again.pop(running.key, {}).values():
                self._submit(again)
            self._wake.set()
