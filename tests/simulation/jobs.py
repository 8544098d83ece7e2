"""Seeds in which CalendarSynchronization runs between the full syncs: its window, its kills, the same invariants."""

from __future__ import annotations

import asyncio
import random
from typing import Any

from engine.jobs.errands import Errand
from engine.jobs.queue import Priority
from engine.ledger.fence import Fence
from engine.ledger.mailboxes import MailboxRecord
from engine.model.clock import Clock
from engine.model.modules import EVENT_MODULES, Module
from engine.model.states import CycleKind
from engine.sync import cycle
from engine.sync.calendar import window_of
from engine.sync.context import PolicyContext, Run
from tests.simulation import invariants
from tests.simulation.run import Seed


def calendar_errand(clock: Clock, past_days: int = 180) -> Errand:
    """What a run of the job does in one policy, without the engine around it."""

    async def work(context: PolicyContext, record: MailboxRecord, fence: Fence, stop: asyncio.Event) -> Run:
        window = window_of(record, clock.now_ms(), past_days)
        return await cycle.run_cycle(context, record, fence, CycleKind.CALENDAR, stop, window=window)

    return Errand(
        work,
        None,
        writes=True,
        kind=CycleKind.CALENDAR,
        modules=frozenset(EVENT_MODULES),
        initialised=True,
    )


class JobSeed(Seed):
    """A seed with runs of the job before and after its cycles, while faults may strike."""

    def __init__(self, number: int, **options: Any) -> None:
        super().__init__(number, **options)
        self.coin = random.Random(number)
        self.runs = 0

    @property
    def concerned(self) -> bool:
        """Whether calendars are synchronised at all."""
        return Module.APPOINTMENT in self.world.modules

    async def _job(self) -> None:
        if self.world.weather.calm or self.coin.random() < 0.4:
            return
        self.runs += 1
        # Short windows, so that much lies outside of them.
        await self.world.cycle(errand=calendar_errand(self.world.clock, self.coin.choice((1, 30, 180))))
        for check in invariants.ALWAYS.values():
            check(self.world)

    async def _cycle(self, priority: Priority = Priority.SCHEDULE) -> None:
        await self._job()
        await super()._cycle(priority)
        await self._job()
