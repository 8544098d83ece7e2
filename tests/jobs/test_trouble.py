"""How long a mailbox is retried: the back-off, the end of it, exactly once, and what a provider asks for."""

from __future__ import annotations

from engine.jobs.runner import due_retries
from engine.jobs.trouble import CYCLES, Trouble
from tests.sync.fakes import VirtualClock
from tests.sync.world import A, World

MINUTE = 60_000


def test_the_back_off_doubles_and_the_last_try_is_made_when_the_time_is_over() -> None:
    clock = VirtualClock()
    trouble = Trouble(clock)
    trouble.minutes = lambda _connection: 40
    begin, waits = clock.ms, []
    while True:
        verdict = trouble.failed("mail", A)
        if verdict.retry_at is None:
            break
        waits.append((verdict.retry_at - clock.ms) // 1000)
        clock.ms = verdict.retry_at
    assert waits == [30, 60, 120, 240, 480, 960, 40 * 60 - 1890]
    assert clock.ms - begin == 40 * MINUTE
    assert verdict.cancelled
    assert verdict.said.startswith("retried for 40 minutes and cancelled")
    clock.ms += MINUTE
    again = trouble.failed("mail", A)
    assert (again.cancelled, again.retry_at) == (False, None)
    assert again.rests_until == clock.ms + 960_000
    trouble.healed(A)
    assert trouble.failed("mail", A).retry_at == clock.ms + 30_000


def test_what_a_provider_asks_for_wins_when_it_is_longer() -> None:
    clock = VirtualClock()
    trouble = Trouble(clock)
    assert trouble.failed("mail", A, 5).retry_at == clock.ms + 30_000
    assert trouble.failed("mail", A, 300).retry_at == clock.ms + 300_000
    assert trouble.failed("mail", A, 7200).retry_at == clock.ms + 7_200_000, "also beyond the time for retries"


def test_what_an_earlier_engine_stored_counts() -> None:
    clock = VirtualClock()
    trouble = Trouble(clock)
    trouble.known = lambda job, _mailbox: (clock.ms - 29 * MINUTE, False) if job == CYCLES else None
    assert trouble.failed("mail", A).retry_at == clock.ms + 30_000
    clock.ms += 61_000
    assert trouble.failed("mail", A).cancelled
    trouble.known = lambda *_: (0, True)
    assert trouble.failed("mail", A, job="other").retry_at is None, "it was given up already"
    trouble.healed(A, job="other")
    assert trouble.failed("mail", A, job="other").retry_at is not None, "and that is over now"


async def test_a_full_sync_gives_a_mailbox_up_once_and_leaves_it_to_the_schedule() -> None:
    world = await World().start()
    await world.cycle()
    told: list[tuple[str, str]] = []

    async def give_up(_job: str, mailbox: str, error: str, _said: str) -> None:
        told.append((mailbox, error))

    world.runner.trouble.minutes = {"mail": 10}.__getitem__
    world.runner.trouble.give_up = give_up
    for fault in ("unavailable", "throttled"):
        world.mail.faults = lambda point, *_, fault=fault: fault if point == "changes" else None  # type: ignore[misc]
        await world.cycle()
        attempts = 1
        while world.runner.retries:
            world.clock.ms = max(world.clock.ms, *world.runner.retries.values())
            assert due_retries(world.runner.retries, world.clock.ms) == [A]
            await world.cycle()
            attempts += 1
        assert attempts == 5  # after 0, 1.5, 3.5, 6.5 and 10 minutes; a cycle takes one here
        for _ in range(3):
            await world.cycle()
            assert not world.runner.retries
        world.mail.faults = lambda *_: None
        await world.cycle()
    assert [mailbox for mailbox, _ in told] == [A, A]
    assert "unavailable" in told[0][1]
    assert "throttled" in told[1][1]
    assert len([one for one in world.told if "retried for 10 minutes and cancelled" in one.text]) == 2
