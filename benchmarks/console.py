"""What a painted frame of the console costs: CPU of its thread, lines that are painted, and bytes that a terminal is sent.

The app runs at 120x40 on a driver without a terminal, over a store that nothing else writes. Thread time does not count
what neighbours on the machine do (though they slow it by the caches that they share); lines and bytes are the same
everywhere.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC
from functools import partial
from pathlib import Path
from typing import cast

from textual import events
from textual.driver import Driver
from textual.geometry import Size
from textual.strip import Strip

from benchmarks.rows import Row
from engine.service import (
    Actor,
    JobRow,
    JobState,
    LimitRow,
    Module,
    PolicyRow,
    PolicyState,
    Role,
    Store,
    Table,
    UserRow,
    UserState,
)
from tui import keys
from tui.app import SynclineApp
from tui.host import PULL_SECONDS
from tui.port import Engine
from tui.screens.frame import Frame
from tui.screens.queue import QueueScreen
from tui.widgets.lines import LineView
from tui.widgets.store_table import StoreTable

SIZE = (120, 40)

#: Rows of the large table.
MANY = 50_000

#: Frames of which the median is told.
FRAMES = 40

#: A frame that takes longer than this (seconds of wall time) is not coming.
PATIENCE = 60.0

NOW = 1_795_266_012_000


@dataclass(frozen=True, slots=True)
class Gate:
    """The most that something may cost.

    Attributes:
        name: what is done.
        cpu_ms: CPU of the thread in milliseconds.
        size: bytes to the terminal.
        lines: lines that are painted.
    """

    name: str
    cpu_ms: float
    size: int | None = None
    lines: int | None = None


ROW = Gate("one row of 50,000 changed", 4, 600, 1)
HIDDEN = Gate("a row of 50,000 changed that is not shown", 4, 0, 0)
ROWS = Gate("all visible rows changed", 15, 16_000)
PANELS = Gate("a line in each of 4 log panels", 25, 24_000)
HEADER = Gate("the header", 5, 800)
RETURN = Gate("return to the Queue at 50,000 rows", 60)
PAGE = Gate("page down at 50,000 rows", 30)
OPEN = Gate("open the Queue at 50,000 rows, made ahead", 60, 16_000, 60)
AT_ONCE = Gate("open the Queue at 50,000 rows right after attaching, not made yet", 60, 16_000, 60)

#: Bytes of a second in which every row that is shown, or every panel, changes at each pull.
BUSY_SIZE = 60_000


@dataclass(frozen=True, slots=True)
class Cost:
    """What frames cost: CPU of the best and of the median frame in milliseconds, bytes and lines of the largest."""

    gate: Gate
    best_ms: float
    median_ms: float
    size: int
    lines: int


class NullDriver(Driver):
    """A terminal that takes everything at once and counts it."""

    written = 0

    @property
    def is_headless(self) -> bool:
        """Frames are rendered as for a terminal."""
        return False

    def write(self, data: str) -> None:
        """Count."""
        self.written += len(data.encode())

    def start_application_mode(self) -> None:
        """Tell the size, as a terminal does."""
        size = Size(*(self._size or SIZE))
        self.send_message(events.Resize(size, size))

    def disable_input(self) -> None:
        """There is none."""

    def stop_application_mode(self) -> None:
        """There is nothing to restore."""


class StillClock:
    """A clock that moves when it is told."""

    def __init__(self) -> None:
        self.now = NOW

    def now_ms(self) -> int:
        """Epoch milliseconds."""
        return self.now


class StillEngine:
    """Rows without an engine: what the screens that are measured ask for."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.clock = StillClock()

    async def lines(self, mailbox: str, before_seq: int | None = None, limit: int = 200) -> list[object]:
        """Nothing is on disk."""
        return []


def company(users: int) -> Store:
    """A store with one policy in the middle of a cycle, of so many users."""
    store = Store()
    policy = PolicyRow("Sales EMEA", PolicyState.ENABLED, "Salesforce", "salesforce", "Workspace", "google")
    policy.modules, policy.users, policy.running, policy.initialised = frozenset(Module), users, True, True
    policy.next_full_ms = NOW + 600_000
    store.policies[policy.id] = policy
    store.jobs["full:Sales EMEA"] = JobRow("full:Sales EMEA", "Full sync", JobState.RUNNING)
    for number in range(users):
        row = UserRow(f"u{number:05d}@example.com", policy.id, UserState.IDLE)
        row.next_full_ms, row.last_success_ms = NOW + 600_000, NOW - 60_000
        if number % 100 == 0:
            row.state, row.done, row.total = UserState.SYNCING, number % 90, 100
            row.step, row.rate, row.started_ms = row.steps[1].step, 29.0, NOW - 9000
        store.users[row.id] = row
    engine = store.engine
    engine.running, engine.started_ms, engine.slots = True, NOW - 3_600_000, 16
    engine.states = {UserState.SYNCING: users // 100, UserState.IDLE: users - users // 100}
    engine.buckets.extend(number * 37 % 60 for number in range(300))
    engine.first_done, engine.first_total, engine.eta_seconds = 1592, 7260, (60.0, 84.0)
    engine.providers = {"Google": "ok", "Salesforce": "ok"}
    store.limits["Google Calendar"] = LimitRow("Google Calendar", 6120, 10_000, "a minute")
    return store


class Bench:
    """A running app and its meters."""

    def __init__(self, app: SynclineApp, engine: StillEngine) -> None:
        self.app, self.engine, self.store = app, engine, engine.store

    @property
    def driver(self) -> NullDriver:
        """The counting terminal."""
        return cast(NullDriver, self.app._driver)

    @property
    def screen(self) -> Frame:
        """What is shown."""
        return cast(Frame, self.app.screen)

    async def until(self, reached: Callable[[], bool]) -> None:
        """Let the app run until something is so.

        Raises:
            TimeoutError: it does not come to be.
        """
        async with asyncio.timeout(PATIENCE):
            while not reached():  # noqa: ASYNC110 - Textual tells by no event
                await asyncio.sleep(0.001)

    async def tab(self, pane: str) -> None:
        """Show a tab by its key."""
        self.press(next(digit for digit, each in keys.TABS.items() if each == pane))
        await self.until(lambda: bool(self.app.screen_stack) and pane == self.screen.PANE)
        await self.settled()

    async def settled(self) -> None:
        """Let the app run until it has nothing left to do or to paint."""
        quiet = 0
        async with asyncio.timeout(PATIENCE):
            while quiet < 5:
                before = self.driver.written
                await asyncio.sleep(0.02)
                idle = before == self.driver.written and self.app.screen_stack
                quiet = quiet + 1 if idle else 0

    async def frame(
        self, act: Callable[[], object], shown: Callable[[], bool] = lambda: True, paints: bool = True
    ) -> tuple[float, int, int]:
        """Do something and let the app paint what comes of it, until it is shown.

        Returns:
            milliseconds of CPU of this thread, bytes, and lines painted.
        """
        driver, lines = self.driver, _Painted.lines
        before, begun = driver.written, time.thread_time()
        act()
        async with asyncio.timeout(PATIENCE):
            rounds = 0
            while rounds < 3 or (paints and driver.written == before) or not shown():
                rounds += 1
                await asyncio.sleep(0)
                # What the frame timer does, at once: waiting for it would measure its wake-ups as well.
                if self.app.screen_stack:
                    self.screen._on_timer_update()
        spent = (time.thread_time() - begun) * 1000
        return spent, driver.written - before, _Painted.lines - lines

    def press(self, key: str) -> None:
        """A key as the terminal sends it."""
        self.driver.send_message(events.Key(key, key if len(key) == 1 else None))

    async def frames(
        self, gate: Gate, act: Callable[[int], object], number: int = FRAMES, paints: bool = True
    ) -> Cost:
        """Measure so many frames, after two that fill the caches."""
        found = [await self.frame(partial(act, each), paints=paints) for each in range(number + 2)][2:]
        return _cost(gate, found)


def _cost(gate: Gate, frames: Sequence[tuple[float, int, int]]) -> Cost:
    spent, sizes, lines = zip(*frames, strict=True)
    return Cost(gate, min(spent), statistics.median(spent), max(sizes), max(lines))


class _Painted:
    """Counts the lines that are painted, of all widgets."""

    lines = 0


@contextlib.asynccontextmanager
async def running(users: int, *, ahead: bool = True) -> AsyncIterator[Bench]:
    """The app over a store of so many users, on the tab Policies; its other tabs are made, as a session makes them."""
    engine = StillEngine(company(users))
    app = SynclineApp(
        cast(Engine, engine), Actor("alice", Role.ADMIN), zone=UTC, pull_seconds=None, ahead=ahead
    )
    app.driver_class = NullDriver
    app.animation_level = "none"
    painted, _Painted.lines = LineView.render_line, 0

    def counted(view: LineView, y: int) -> Strip:
        _Painted.lines += 1
        return painted(view, y)

    LineView.render_line = counted  # type: ignore[method-assign, assignment]
    task = asyncio.create_task(app.run_async(size=SIZE))
    bench = Bench(app, engine)
    try:
        await bench.until(lambda: app.is_running and app._driver is not None)
        if ahead:
            await bench.until(lambda: all(pane in app._screen_stacks for pane in app.MODES))
        await bench.settled()
        with app._context():
            yield bench
    finally:
        app.exit()
        await task
        LineView.render_line = painted  # type: ignore[method-assign]


async def changed_row(bench: Bench) -> Cost:
    """One visible row changes."""
    row = bench.store.users["u00600@example.com"]

    def change(number: int) -> None:
        row.done = number
        bench.store.touch(Table.USERS, row)
        bench.screen.pull()

    return await bench.frames(ROW, change)


async def hidden_row(bench: Bench) -> Cost:
    """A row changes that is not on the page."""
    row = bench.store.users["u49900@example.com"]

    def change(number: int) -> None:
        row.done = number
        bench.store.touch(Table.USERS, row)
        bench.screen.pull()

    return await bench.frames(HIDDEN, change, paints=False)


async def changed_rows(bench: Bench) -> Cost:
    """Every visible row changes."""
    rows = [bench.store.users[f"u{number:05d}@example.com"] for number in range(0, 5000, 100)]

    def change(number: int) -> None:
        for row in rows:
            row.done = number
            bench.store.touch(Table.USERS, row)
        bench.screen.pull()

    return await bench.frames(ROWS, change)


async def header(bench: Bench) -> Cost:
    """A second passes: throughput, times and counts."""

    def change(number: int) -> None:
        engine = bench.store.engine
        engine.buckets.append(number * 53 % 60)
        engine.first_done += 37
        engine.states[UserState.SYNCING] += 1
        bench.screen._frame()

    return await bench.frames(HEADER, change)


async def page_down(bench: Bench) -> Cost:
    """The key for the next page."""
    return await bench.frames(PAGE, lambda number: bench.press("pagedown"), 10)


async def panels(bench: Bench) -> Cost:
    """A line in each of four panels, and their progress."""
    users = [f"u{number:05d}@example.com" for number in range(0, 400, 100)]
    for number in range(60):
        for user in users:
            bench.store.append(user, NOW + number, "+", f"contact {number:04d} Ada Lovelace created", 1)
    bench.app.view.ticked, bench.app.view.automatic = users, False
    await bench.tab(keys.MONITORS)

    def change(number: int) -> None:
        for user in users:
            row = bench.store.users[user]
            row.done += 1
            bench.store.append(user, NOW + 1000 * number, "~", f"contact {number:04d} Grace Hopper updated", 1)
            bench.store.touch(Table.USERS, row)
        bench.screen.pull()

    return await bench.frames(PANELS, change)


async def open_queue(tries: int = 3, *, ahead: bool = True) -> Cost:
    """The key 2 in Policies, until the rows are painted; for the first time in an app, so several apps.

    Args:
        tries: so many apps.
        ahead: the tab was made before, as a session does within half a second; else the key comes sooner than that.
    """
    found = []
    for _ in range(tries):
        async with running(MANY, ahead=ahead) as bench:
            gc.collect()
            found.append(await bench.frame(partial(bench.press, "2"), partial(_filled, bench)))
    return _cost(OPEN if ahead else AT_ONCE, found)


def _filled(bench: Bench) -> bool:
    """Whether the Queue shows a page of rows, and the terminal has been sent all of it."""
    screen = bench.app.screen if bench.app.screen_stack else None
    if not isinstance(screen, QueueScreen) or not screen.is_mounted or not screen.query(StoreTable):
        return False
    table = screen.table
    shown = screen.shown and len(table.order) == len(bench.store.users) and table.text().count("@") > 10
    return shown and not screen._dirty_widgets and not screen._layout_required and screen.settled


async def return_to_queue(bench: Bench) -> Cost:
    """The key 2 in Policies when the Queue has been open before and more rows changed since than it was told of."""
    rows = list(bench.store.users.values())[:: MANY // 2000]
    found = []
    for number in range(5):
        await bench.tab(keys.POLICIES)
        bench.engine.clock.now += 5000
        for row in rows:
            row.done += number
            bench.store.touch(Table.USERS, row)
        found.append(await bench.frame(partial(bench.press, "2"), partial(_filled, bench)))
    return _cost(RETURN, found)


async def costs() -> list[Cost]:
    """All gates."""
    found: list[Cost] = [await open_queue(), await open_queue(ahead=False)]
    async with running(MANY) as bench:
        await bench.tab(keys.QUEUE)
        steps: tuple[Callable[[Bench], Awaitable[Cost]], ...] = (
            changed_row, hidden_row, changed_rows, header, return_to_queue, page_down, panels
        )  # fmt: skip
        for step in steps:
            found.append(await step(bench))
            await bench.settled()
    return found


def busy(found: Iterable[Cost]) -> int:
    """Bytes of a second at its busiest: the larger of all rows and all panels, with the header, at each pull."""
    sizes = {cost.gate.name: cost.size for cost in found}
    return round((max(sizes[ROWS.name], sizes[PANELS.name]) + sizes[HEADER.name]) / PULL_SECONDS)


async def measure(folder: Path, users: int) -> list[Row]:
    """The gates as rows: the figure, and beside it the most that it may be. ``folder`` and ``users`` are not used."""
    rows = []
    found = await costs()
    for cost in found:
        name = f"console: {cost.gate.name}"
        rows.append(Row(f"{name}, CPU", round(cost.median_ms, 2), "ms", peer=cost.gate.cpu_ms))
        if cost.gate.size is not None:
            rows.append(Row(f"{name}, bytes", cost.size, "B", peer=cost.gate.size))
    rows.append(Row("console: a busy screen, uncompressed", busy(found), "B/s", peer=BUSY_SIZE))
    return rows
