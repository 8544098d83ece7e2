import asyncio

import pytest

from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net
from engine.net.retry import with_retries
from tests.net.virtual import Memory, VirtualClock


class Flaky:
    def __init__(self, *errors: ProviderError) -> None:
        self.errors = list(errors)
        self.calls = 0

    async def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def error(kind: ErrorKind, **kw: object) -> ProviderError:
    return ProviderError(kind, "Salesforce", "busy", **kw)  # type: ignore[arg-type]


async def end(clock: VirtualClock, net: Net, call: Flaky, **kw: object) -> object:
    task = asyncio.create_task(with_retries(net, call, **{"idempotent": True, **kw}))  # type: ignore[arg-type]
    await clock.run(task)
    return task.exception() or task.result()


async def test_what_passes_by_itself_is_tried_again(net: Net, clock: VirtualClock, memory: Memory) -> None:
    call = Flaky(error(ErrorKind.UNAVAILABLE, maybe_applied=True), error(ErrorKind.THROTTLED, retry_after=9))
    start = clock.now
    assert await end(clock, net, call) == "done"
    assert call.calls == 3
    assert clock.now - start >= 9
    assert [wait[3] for wait in memory.waits] == ["busy", "busy"]


@pytest.mark.parametrize(
    "kind", [k for k in ErrorKind if k not in {ErrorKind.THROTTLED, ErrorKind.UNAVAILABLE}]
)
async def test_what_needs_a_person_is_not(net: Net, clock: VirtualClock, kind: ErrorKind) -> None:
    call = Flaky(error(kind))
    assert isinstance(await end(clock, net, call), ProviderError)
    assert call.calls == 1


async def test_a_create_that_may_have_arrived_is_left_to_the_caller(net: Net, clock: VirtualClock) -> None:
    call = Flaky(error(ErrorKind.UNAVAILABLE, maybe_applied=True))
    assert isinstance(await end(clock, net, call, idempotent=False), ProviderError)
    assert call.calls == 1
    call = Flaky(error(ErrorKind.UNAVAILABLE, maybe_applied=False))
    assert await end(clock, net, call, idempotent=False) == "done"


async def test_it_ends_after_so_many_attempts(net: Net, clock: VirtualClock) -> None:
    call = Flaky(*(error(ErrorKind.UNAVAILABLE) for _ in range(9)))
    assert isinstance(await end(clock, net, call, attempts=4), ProviderError)
    assert call.calls == 4


async def test_a_wait_beyond_the_budget_is_not_begun(net: Net, clock: VirtualClock) -> None:
    call = Flaky(error(ErrorKind.THROTTLED, retry_after=3600))
    start = clock.now
    failed = await end(clock, net, call, budget_seconds=60)
    assert isinstance(failed, ProviderError)
    assert failed.retry_after == 3600
    assert clock.now == start
