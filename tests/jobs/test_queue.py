"""The contract of the queue: merging, priorities, turns, one re-run, cancelling, stopping."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from engine.jobs.queue import EmbeddedQueue, Priority, Request, Running, Submitted


def ask(
    *keys: str, lane: str = "sales", kind: str = "full sync", priority: Priority = Priority.SCHEDULE
) -> list[Request]:
    return [Request(key, lane, kind, priority) for key in keys]


class Shop:
    """A queue that is served; each run waits until it is let go."""

    def __init__(self, slots: int = 1) -> None:
        self.queue = EmbeddedQueue()
        self.stop = asyncio.Event()
        self.begun: list[str] = []
        self.kinds: list[frozenset[str]] = []
        self.gates: dict[str, asyncio.Event] = {}
        self.stopped: list[str] = []
        self.task = asyncio.ensure_future(self.queue.serve(self.handle, slots, self.stop))

    async def handle(self, running: Running) -> None:
        self.begun.append(running.key)
        self.kinds.append(running.kinds)
        gate = self.gates.setdefault(running.key, asyncio.Event())
        waits = {asyncio.ensure_future(one.wait()) for one in (gate, running.stop)}
        _, left = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for one in left:
            one.cancel()
        if running.stop.is_set():
            self.stopped.append(running.key)
        gate.clear()

    async def finish(self, key: str) -> None:
        self.gates[key].set()
        await self.quiet()

    async def quiet(self) -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    async def close(self) -> None:
        self.stop.set()
        await self.task


async def let_all_go(shop: Shop, keys: Iterable[str]) -> None:
    for key in keys:
        await shop.finish(key)


async def test_requests_for_one_mailbox_merge_and_a_higher_priority_moves_it_up() -> None:
    queue = EmbeddedQueue()
    assert queue.submit(ask("a", "b", "c")) == [Submitted.NEW] * 3
    assert queue.submit(ask("b", kind="verify")) == [Submitted.MERGED]
    assert queue.submit(ask("c", priority=Priority.ADMIN)) == [Submitted.BUMPED]
    assert queue.waiting() == ["c", "a", "b"]


async def test_merged_requests_run_once_with_all_their_kinds() -> None:
    shop = Shop()
    shop.queue.submit(ask("a") + ask("a", kind="verify"))
    await shop.quiet()
    assert shop.kinds == [{"full sync", "verify"}]
    await shop.finish("a")
    assert shop.begun == ["a"]
    await shop.close()


async def test_asking_during_a_run_gives_exactly_one_more() -> None:
    shop = Shop()
    shop.queue.submit(ask("a"))
    await shop.quiet()
    assert shop.queue.submit(ask("a") + ask("a") + ask("a")) == [Submitted.RERUN] * 3
    await shop.finish("a")
    assert shop.begun == ["a", "a"]
    await shop.finish("a")
    assert shop.begun == ["a", "a"]
    await shop.close()


async def test_lanes_are_served_in_turn_and_an_admin_first() -> None:
    shop = Shop()
    shop.queue.submit(ask("s1", "s2", "s3") + ask("m1", lane="marketing") + ask("x", priority=Priority.ADMIN))
    await shop.quiet()
    assert shop.queue.waiting() == ["s1", "m1", "s2", "s3"]
    await let_all_go(shop, ["x", "s1", "m1", "s2", "s3"])
    assert shop.begun == ["x", "s1", "m1", "s2", "s3"]
    await shop.close()


async def test_no_more_run_at_once_than_there_are_slots_and_one_key_never_twice() -> None:
    shop = Shop(slots=2)
    shop.queue.submit(ask("a", "b", "c"))
    await shop.quiet()
    assert shop.queue.running() == ["a", "b"]
    await shop.finish("b")
    assert shop.queue.running() == ["a", "c"]
    await shop.close()
    assert sorted(shop.stopped) == ["a", "c"]


async def test_cancel_takes_out_a_waiting_key_and_stops_a_running_one() -> None:
    shop = Shop()
    shop.queue.submit(ask("a", "b"))
    await shop.quiet()
    assert shop.queue.cancel("b")
    assert shop.queue.waiting() == []
    assert shop.queue.cancel("a")
    await shop.quiet()
    assert shop.stopped == ["a"]
    assert not shop.queue.cancel("a")
    assert shop.begun == ["a"]
    await shop.close()


async def test_stopping_asks_what_runs_to_stop_and_begins_nothing_new() -> None:
    shop = Shop()
    shop.queue.submit(ask("a", "b"))
    await shop.quiet()
    await shop.close()
    assert shop.stopped == ["a"]
    assert shop.begun == ["a"]
    assert shop.queue.waiting() == ["b"]


async def test_how_long_mailboxes_wait_for_their_turn_is_told_by_lane() -> None:
    now = [100.0]
    queue = EmbeddedQueue(now=lambda: now[0])
    gate, stop = asyncio.Event(), asyncio.Event()

    async def handle(running: Running) -> None:
        await gate.wait()

    queue.submit(Request(f"u{number}@example.com", "Sales", "full") for number in range(3))
    queue.submit([Request("ada@example.com", "Support", "full")])
    now[0] = 104.0
    assert [(each.lane, each.p50, each.now) for each in queue.waits()] == [("Sales", 4, 4), ("Support", 4, 4)]
    serving = asyncio.ensure_future(queue.serve(handle, 2, stop))
    await _turns()
    assert len(queue.running()) == 2
    now[0] = 160.0
    sales, support = queue.waits()
    assert (sales.lane, sales.p50, sales.p95, sales.now) == ("Sales", 4, 4, 60)
    assert (support.lane, support.p50, support.now) == ("Support", 4, None)
    gate.set()
    await _turns()
    assert not queue.waiting()
    (sales, *_) = queue.waits()
    assert (sales.lane, sales.p50, sales.p95, sales.now) == ("Sales", 60, 60, None)
    stop.set()
    await serving


async def _turns() -> None:
    for _ in range(20):
        await asyncio.sleep(0)
