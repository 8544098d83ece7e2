"""The notification frequency of an Exchange connection, over real sockets: one cancel, one mail to each address, one recovery."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from engine.service import CALENDAR, Service
from tests.acceptance.forks import fork
from tests.acceptance.mailroom import SERVICES, Mailroom
from tests.acceptance.test_exchange import BOTH, cycle
from tests.acceptance.town import town
from tests.clocks import AheadClock, HastyClock
from tests.failure_cases.scene import TINY
from tests.ledgers import begun
from tests.notify.engine_process import run
from tests.notify.server import Post, mail_server
from tests.notify.test_mails import IT, MINUTE, OPS

#: The mailbox database is not mounted: it passes by itself, and nobody knows when.
AWAY = {
    "service": "exchange",
    "route": "asmx",
    "status": 500,
    "body": {
        "code": "ErrorMailboxStoreUnavailable",
        "message": "The mailbox database is temporarily unavailable.",
    },
    "times": None,
}


class Clock(AheadClock, HastyClock):
    """Ahead and hasty."""


@asynccontextmanager
async def engine(folder: Path, text: str | None, clock: Clock) -> AsyncIterator[Service]:
    """An engine that does what it is asked for, and nothing by its schedule."""
    service = await Service.open(begun(folder / "data"), clock=clock)
    try:
        if text is not None:
            answer = await service.apply(text, "demo.toml", "test")
            assert answer.ok, answer
        async with service.running(schedule=False):
            yield service
    finally:
        await service.close()


def config(room: Mailroom, port: int) -> str:
    told = {"notification_frequency": 30, "notify_sync_failure_to": f"{OPS};{IT}"}
    smtp = f'[smtp]\nhost = "127.0.0.1"\nport = {port}\nsender = "syncline@acme.example"\nsecurity = "none"\n'
    return smtp + room.config(BOTH, mail=told)


def incidents(service: Service) -> list[tuple[str, str, str]]:
    return [(row.kind, row.subject, row.state) for row in service.store.live_incidents.values()]


def ids(post: Post) -> dict[str, set[str]]:
    """Message-IDs by address."""
    found: dict[str, set[str]] = {}
    for address, mail in post.mails:
        found.setdefault(address, set()).add(str(mail["Message-ID"]))
    return found


async def settle(service: Service) -> None:
    """What cycles left in memory is on record, and mails that are due are out."""
    await service._flush()
    await service._mailman.tick()


async def test_a_mailbox_whose_cycles_and_job_fail_is_cancelled_once_and_mailed_once(tmp_path: Path) -> None:
    """Half an hour is over: both are given up as one, each address hears of it once, and once that it is over."""
    post, clock = Post(), Clock()
    with town(tmp_path / "town", users=1, sizes=TINY, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        async with mail_server(post) as port, engine(tmp_path, config(room, port), clock) as service:
            await cycle(service)
            assert (await service.run_job(CALENDAR, "test")).result == "ok"
            place.fault(AWAY)
            states: list[Any] = []
            for _ in range(7):
                report = await service.sync("Demo", "admin")
                assert "temporarily unavailable" in report["users"][0]["text"]
                assert (await service.run_job(CALENDAR, "test")).result == "failed"
                await settle(service)
                states += incidents(service)
                clock.ahead_ms += 6 * MINUTE
            assert {(kind, subject) for kind, subject, _ in states} == {("cycle+job", user)}
            assert [state for *_, state in states] == ["open"] * 5 + ["cancelled"] * 2
            clock.ahead_ms += 60 * MINUTE
            await service.sync("Demo", "admin")
            await service.run_job(CALENDAR, "test")
            await settle(service)
            assert sorted(address for address, _ in post.mails) == [IT, OPS]
            text = post.mails[0][1].get_content()
            for fact in (
                user,
                "Demo",
                "temporarily unavailable",
                "retried for 30 minutes and cancelled",
                "given up",
            ):
                assert fact in text, fact
            assert str(post.mails[0][1]["Subject"]).startswith(f"Syncline: {user} given up: ")
            place.mend()
            await cycle(service)
            await settle(service)
            assert incidents(service) == [("job", user, "cancelled")], "the job has not been well yet"
            assert len(post.mails) == 2
            assert (await service.run_job(CALENDAR, "test")).result == "ok"
            await settle(service)
            assert incidents(service) == []
            assert sorted(address for address, _ in post.mails) == [IT, IT, OPS, OPS]
            assert {str(mail["Subject"]) for _, mail in post.mails[2:]} == {f"Syncline: {user} well again"}
            assert all(len(found) == 2 for found in ids(post).values())


async def test_a_kill_between_sending_and_recording_repeats_the_mail_of_a_job_under_its_own_name(
    tmp_path: Path,
) -> None:
    """At least once on the wire, exactly once by Message-ID: a mail program shows one."""
    post, clock = Post(), Clock()
    with town(tmp_path / "town", users=1, sizes=TINY, options=SERVICES) as place:
        room = Mailroom(place)
        [user] = place.users
        async with mail_server(Post()) as port:
            pass  # nobody listens there until the engine has been killed
        async with engine(tmp_path, config(room, port), clock) as service:
            await cycle(service)
            place.fault(AWAY)
            for _ in range(4):
                assert (await service.run_job(CALENDAR, "test")).result == "failed"
                clock.ahead_ms += 11 * MINUTE
            await settle(service)
            assert incidents(service)[0] == ("job", user, "cancelled")
        ahead = clock.ahead_ms + 20 * MINUTE
        async with mail_server(post, port=port):
            post.go_on.clear()
            for number in (1, 3):
                process = fork(run, tmp_path, ahead)
                await post.until(number)
                process.kill()
                await asyncio.to_thread(process.join)
                post.go_on.set()
            place.mend()
            async with engine(tmp_path, None, Clock(ahead)) as service:
                await settle(service)
                before = len(post.mails)
                assert before <= 4, "at most what was under way at each kill came twice"
                assert {address: len(found) for address, found in ids(post).items()} == {OPS: 1, IT: 1}
                assert (await service.run_job(CALENDAR, "test")).result == "ok"
                await settle(service)
                assert [row for row in incidents(service) if row[0] == "job"] == []
                assert sorted(address for address, _ in post.mails[before:]) == [IT, OPS]
