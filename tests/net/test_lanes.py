import asyncio

from engine.net.lanes import Lane, backoff
from engine.net.net import Net
from tests.net.virtual import Memory, VirtualClock


async def test_slots_bound_what_runs_at_once_and_are_given_in_order(net: Net) -> None:
    lane = Lane(net, "Google Calendar", start=2)
    order: list[int] = []
    running = most = 0

    async def one(number: int) -> None:
        nonlocal running, most
        async with lane.slot():
            order.append(number)
            running += 1
            most = max(most, running)
            await asyncio.sleep(0)
            running -= 1

    await asyncio.gather(*(one(n) for n in range(20)))
    assert most == 2
    assert order == list(range(20))


async def test_a_clean_window_adds_one_slot_up_to_the_most(net: Net) -> None:
    lane = Lane(net, "x", start=4, most=6)
    for _ in range(3):
        lane.ok()
    assert lane.limit == 4
    lane.ok()
    assert lane.limit == 5
    for _ in range(50):
        lane.ok()
    assert lane.limit == 6


async def test_refusals_that_come_together_halve_once(net: Net, clock: VirtualClock, memory: Memory) -> None:
    lane = Lane(net, "Google People", start=8)
    for _ in range(5):
        lane.throttled(3, account="ada@x")
    assert lane.limit == 4
    assert lane.gated_for == 3
    assert memory.waits[0] == ("Google People", "ada@x", 3, "asked to slow down")
    for _ in range(10):
        clock.now += 2
        lane.throttled(0)
    assert lane.limit == 1


async def test_nothing_starts_before_the_gate_opens(net: Net, clock: VirtualClock) -> None:
    lane = Lane(net, "x")
    lane.throttled(20)
    start = clock.now

    async def one() -> None:
        async with lane.slot():
            assert clock.now - start >= 20

    await clock.run(*(asyncio.create_task(one()) for _ in range(5)))
    assert clock.now - start < 24


async def test_without_an_answer_how_long_the_back_off_decides(net: Net) -> None:
    lane = Lane(net, "x")
    assert 0 <= lane.throttled() <= 2


async def test_a_cancelled_waiter_does_not_keep_a_slot(net: Net) -> None:
    lane = Lane(net, "x", start=1)
    release = asyncio.Event()

    async def hold() -> None:
        async with lane.slot():
            await release.wait()

    async def quick() -> str:
        async with lane.slot():
            return "in"

    holder = asyncio.create_task(hold())
    await asyncio.sleep(0)
    gone, other = asyncio.create_task(quick()), asyncio.create_task(quick())
    await asyncio.sleep(0)
    release.set()
    await holder  # hands its slot to the first waiter ...
    gone.cancel()  # ... which is cancelled before it runs
    assert await other == "in"
    assert await quick() == "in"


async def test_back_off_spreads_over_a_growing_range(net: Net) -> None:
    for attempt, most in ((0, 1), (3, 8), (50, 64)):
        waits = [backoff(net, attempt) for _ in range(300)]
        assert min(waits) < most * 0.1
        assert most * 0.9 < max(waits) <= most
