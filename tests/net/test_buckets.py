import asyncio

from engine.net.buckets import Buckets
from engine.net.net import Net
from tests.net.virtual import Memory, VirtualClock


async def drain(buckets: Buckets, clock: VirtualClock, times: list[float], count: int, **kw: float) -> None:
    async def one() -> None:
        await buckets.take("k", 1, rate_per_minute=600, **kw)
        times.append(clock.now)

    await clock.run(*(asyncio.create_task(one()) for _ in range(count)))


async def test_no_minute_sees_more_than_the_granted_rate(net: Net, clock: VirtualClock) -> None:
    times: list[float] = []
    await drain(Buckets(net), clock, times, 2000)
    for start in times:
        assert sum(start <= t < start + 60 for t in times) <= 600
    # 2,000 units at 80 % of 600 a minute, less what went at once: the quota is used and not merely respected.
    assert 200 < times[-1] - times[0] < 260


async def test_waiters_are_served_in_the_order_in_which_they_came(net: Net, clock: VirtualClock) -> None:
    buckets = Buckets(net)
    order: list[int] = []

    async def one(number: int) -> None:
        await buckets.take("k", 10 if number % 7 == 0 else 1, rate_per_minute=60, burst=5)
        order.append(number)

    await clock.run(*(asyncio.create_task(one(n)) for n in range(60)))
    assert order == list(range(60))


async def test_the_urgent_do_not_queue(net: Net, clock: VirtualClock) -> None:
    buckets = Buckets(net)
    done: list[str] = []

    async def one(name: str, urgent: bool = False) -> None:
        await buckets.take("k", 1, rate_per_minute=60, burst=20, urgent=urgent)
        done.append(name)

    crowd = [asyncio.create_task(one("crowd")) for _ in range(100)]
    await asyncio.sleep(0)
    for _ in range(5):
        await asyncio.sleep(0)
    before = len(done)
    admin = asyncio.create_task(one("admin", urgent=True))
    for _ in range(5):
        await asyncio.sleep(0)
    assert admin.done()  # from the reserved part, at once
    assert before == 18
    await clock.run(*crowd)


async def test_a_long_wait_is_told_once(net: Net, clock: VirtualClock, memory: Memory) -> None:
    buckets = Buckets(net)
    await buckets.take("k", 5, rate_per_minute=60, burst=5, account="ada@x", provider="Google Tasks")
    assert memory.waits == []
    waiting = asyncio.create_task(
        buckets.take("k", 4, rate_per_minute=60, burst=5, account="ada@x", provider="Google Tasks")
    )
    await clock.run(waiting)
    assert len(memory.waits) == 1
    provider, account, seconds, reason = memory.waits[0]
    assert (provider, account, reason) == ("Google Tasks", "ada@x", "quota")
    assert 4 < seconds < 7


async def test_a_refusal_parks_the_bucket_and_lowers_it(net: Net, clock: VirtualClock, memory: Memory) -> None:
    buckets = Buckets(net)
    times: list[float] = []
    await drain(buckets, clock, times, 1)
    start = clock.now
    buckets.penalise("k", 30)
    await drain(buckets, clock, times, 300)
    after = [t for t in times if t > start]
    assert after[0] - start >= 30
    assert memory.waits[0][3] == "paused by the provider"
    # 108 were in the bucket; the others flow at about half of the usual eight a second.
    assert after[-1] - after[0] > 30


async def test_a_refusal_of_an_unused_bucket_holds_its_first_use(net: Net, clock: VirtualClock) -> None:
    buckets = Buckets(net)
    buckets.penalise("k", 12)
    start = clock.now
    await clock.run(asyncio.create_task(buckets.take("k", 1, rate_per_minute=600)))
    assert clock.now - start >= 12


async def test_usage_counts_the_last_minute(net: Net, clock: VirtualClock) -> None:
    buckets = Buckets(net)
    await buckets.take("a", 3, rate_per_minute=600)
    clock.now += 59
    await buckets.take("a", 4, rate_per_minute=600)
    assert buckets.usage() == [("a", 7, 600)]
    clock.now += 2
    assert buckets.usage() == [("a", 4, 600)]


async def test_a_cancelled_waiter_leaves_nothing_behind(net: Net, clock: VirtualClock) -> None:
    buckets = Buckets(net)
    await buckets.take("k", 5, rate_per_minute=60, burst=5)
    first, second = (asyncio.create_task(buckets.take("k", 3, rate_per_minute=60, burst=5)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    start = clock.now
    await clock.run(first, second)
    assert first.cancelled()
    assert clock.now - start < 6


async def test_unused_buckets_are_dropped_when_there_are_many(net: Net, clock: VirtualClock) -> None:
    buckets = Buckets(net)
    for number in range(4096):
        await buckets.take(number, 1, rate_per_minute=600)
    clock.now += 120
    await buckets.take("new", 1, rate_per_minute=600)
    assert len(buckets.usage()) == 1
