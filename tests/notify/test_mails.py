"""Failure mails to a real mail server on loopback: one for each incident and address, whatever happens on the way."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from engine.model.incident import IncidentKind, Strike
from engine.model.states import FaultClass
from engine.service import Service
from tests.acceptance.forks import fork
from tests.clocks import AheadClock
from tests.ledgers import begun
from tests.notify.engine_process import run
from tests.notify.server import PASSWORD, Post, certificate, mail_server
from tests.runtime.test_freshness import FILE
from tests.sync.fakes import FakeCrm, FakeMail, VirtualClock
from tests.sync.world import A, B

MINUTE = 60_000
OPS, IT = "ops@acme.example", "it@acme.example"


def file(port: int, more: str = 'security = "none"', addresses: str = f'"{OPS}", "{IT}"') -> str:
    text = FILE.replace("{contact}", "enabled = true").replace(
        "[policies.Sales.modules", f"error_addresses = [{addresses}]\n[policies.Sales.modules", 1
    )
    return f'[smtp]\nhost = "127.0.0.1"\nport = {port}\nsender = "syncline@acme.example"\n{more}\n{text}'


@asynccontextmanager
async def engine(folder: Path, clock: AheadClock, text: str) -> AsyncIterator[Service]:
    """A running engine on fakes that sends its mails only when ``tick`` is called."""
    service = await Service.open(begun(folder / "data"), clock=clock)
    try:
        answer = await service.apply(text, str(folder / "sales.toml"), "test")
        assert answer.ok, answer
        virtual = VirtualClock()
        crm, mail = FakeCrm(virtual, [A, B]), FakeMail(virtual)
        service._office._crm["crm"], service._office._mailbox["mail"] = crm, mail  # type: ignore[assignment]
        yield service
    finally:
        await service.close()


def broken(subject: str = A, at_ms: int = 0, *, kind: IncidentKind = IncidentKind.CYCLE) -> Strike:
    return Strike(
        kind,
        "Sales",
        subject,
        FaultClass.CONNECTION,
        "calendar: Google Calendar: backend error (503)",
        "It is tried again by itself.",
        "full sync, calendar",
        at_ms,
    )


async def fails(service: Service, *subjects: str) -> None:
    now = service.clock.now_ms()
    await service._office.incidents.strike(*(broken(one, now) for one in subjects))


async def tick(service: Service) -> None:
    await service._mailman.tick()


def to(post: Post) -> list[tuple[str, str]]:
    return sorted((address, str(mail["Subject"])[:60]) for address, mail in post.mails)


async def test_one_mail_to_each_address_for_an_incident_and_one_when_it_is_over(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    async with mail_server(post) as port, engine(tmp_path, clock, file(port)) as service:
        await fails(service, A)
        for _ in range(4):
            clock.ahead_ms += 5 * MINUTE
            await fails(service, A)
            await tick(service)
        assert post.mails == []  # it is retried for half an hour before anybody is told
        for _ in range(6):
            clock.ahead_ms += 5 * MINUTE
            await fails(service, A)
            await tick(service)
        assert [address for address, _ in post.mails] == [OPS, IT]
        mail = post.mails[0][1]
        body = mail.get_content()
        assert mail["Subject"] == f"Syncline: {A} fails: calendar: Google Calendar: backend error (503)"
        assert (mail["To"], mail["Auto-Submitted"]) == (OPS, "auto-generated")
        for fact in (
            A,
            "Sales",
            "full sync, calendar",
            "connection",
            "backend error (503)",
            "tried again by itself",
        ):
            assert fact in body
        assert "Attempts      7" in body
        assert post.mails[0][1]["Message-ID"] != post.mails[1][1]["Message-ID"]
        await service._office.incidents.heal(IncidentKind.CYCLE, A)
        await tick(service)
        await tick(service)
        assert len(post.mails) == 4
        assert {mail["Subject"] for _, mail in post.mails[2:]} == {f"Syncline: {A} well again"}
        assert post.mails[2][1]["In-Reply-To"].strip() == post.mails[0][1]["Message-ID"]
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        assert len(post.mails) == 6  # it failed anew: a new incident


async def test_an_incident_that_heals_in_time_is_told_to_nobody(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    async with mail_server(post) as port, engine(tmp_path, clock, file(port)) as service:
        await fails(service, A)
        await service._office.incidents.heal(IncidentKind.CYCLE, A)
        clock.ahead_ms += 60 * MINUTE
        await tick(service)
        assert post.mails == []


async def test_what_is_given_up_is_told_at_once_and_once(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    async with mail_server(post) as port, engine(tmp_path, clock, file(port)) as service:
        await fails(service, A)
        for _ in range(3):
            await service._office.incidents.cancel(A, "given up after 5 minutes", "The next run tries anew.")
            await tick(service)
            await fails(service, A)
            clock.ahead_ms += 40 * MINUTE
            await tick(service)
        assert [address for address, _ in post.mails] == [OPS, IT]
        assert "given up" in post.mails[0][1]["Subject"]


async def test_many_that_fail_together_are_one_mail_and_one_recovery(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    people = [f"p{n}@acme.example" for n in range(61)]
    async with mail_server(post) as port, engine(tmp_path, clock, file(port, addresses=f'"{OPS}"')) as service:
        for one in people:
            clock.ahead_ms += 1000
            await fails(service, one)
        clock.ahead_ms += 30 * MINUTE
        await tick(service)
        await tick(service)
        ((_, mail),) = post.mails
        assert "61 mailboxes of Sales fail" in mail["Subject"]
        assert all(one in mail.get_content() for one in people)
        await service._office.incidents.heal(IncidentKind.CYCLE, *people[:60])
        await tick(service)
        assert len(post.mails) == 1
        await service._office.incidents.heal(IncidentKind.CYCLE, people[60])
        await tick(service)
        assert [str(mail["Subject"]) for _, mail in post.mails[1:]] == [
            "Syncline: 61 mailboxes of Sales well again"
        ]


async def test_starttls_with_login_and_what_the_doctor_says(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    tls, pem = certificate(tmp_path)
    (tmp_path / "pw").write_text(PASSWORD + "\n")
    login = f'username = "bot"\npassword_file = "pw"\nca_file = "{pem.name}"'
    async with (
        mail_server(post, tls=tls, login=True) as port,
        engine(tmp_path, clock, file(port, login)) as service,
    ):
        (row,) = [one for one in await service.doctor() if one.connection == "smtp"]
        assert (row.ok, row.detail) == (True, f"127.0.0.1:{port}, STARTTLS, logged in as bot")
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        assert len(post.mails) == 2
        assert set(post.tls) == {True}
        assert PASSWORD not in await service.export()


async def test_nothing_is_sent_in_the_clear_or_to_a_stranger(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    tls, _ = certificate(tmp_path)
    async with mail_server(post) as plain, mail_server(post, tls=tls) as unknown:
        for port, words in ((plain, "does not agree to STARTTLS"), (unknown, "is not trusted")):
            async with engine(tmp_path / str(port), clock, file(port, "")) as service:
                await fails(service, A)
                clock.ahead_ms += 31 * MINUTE
                await tick(service)
                (row,) = [one for one in service.store.live_incidents.values() if one.kind == "mail"]
                assert words in row.text
                assert "2 mails wait" in row.text
    assert post.mails == []


async def test_a_wrong_password_is_shown_and_never_repeated(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    tls, pem = certificate(tmp_path)
    (tmp_path / "pw").write_text("wrong-and-secret")
    login = f'username = "bot"\npassword_file = "pw"\nca_file = "{pem.name}"'
    async with (
        mail_server(post, tls=tls, login=True) as port,
        engine(tmp_path, clock, file(port, login)) as service,
    ):
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        (row,) = [one for one in service.store.live_incidents.values() if one.kind == "mail"]
        assert "refuses the login of bot: 535" in row.text
        (told,) = [one for one in await service.doctor() if one.connection == "smtp"]
        assert not told.ok
        assert "wrong-and-secret" not in row.text + told.detail + told.advice
        tried = len(post.logins)
        await tick(service)
        assert len(post.logins) == tried  # not at once again
        (tmp_path / "pw").write_text(PASSWORD)
        clock.ahead_ms += 2 * MINUTE
        await tick(service)
        assert len(post.mails) == 2
        assert [one for one in service.store.live_incidents.values() if one.kind == "mail"] == []


async def test_a_server_that_is_down_gets_the_mails_when_it_is_up(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    async with mail_server(Post()) as port:
        pass
    async with engine(tmp_path, clock, file(port)) as service:
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        for _ in range(3):
            await tick(service)
            clock.ahead_ms += 20 * MINUTE
        (row,) = [one for one in service.store.live_incidents.values() if one.kind == "mail"]
        assert (row.subject, row.count) == ("mail server", 3)
        assert "cannot connect" in row.text
        status = await service.status()
        assert status["mails"]["waiting"] == 2
        assert {one["kind"] for one in status["incidents"]} == {"cycle", "mail"}
    async with mail_server(post, port=port), engine(tmp_path, clock, file(port)) as service:
        await tick(service)
        assert sorted(address for address, _ in post.mails) == [IT, OPS]
        assert [one for one in service.store.live_incidents.values() if one.kind == "mail"] == []
        assert (await service.status())["mails"] == {"waiting": 0, "undelivered": []}


async def test_an_address_that_is_refused_is_an_incident_of_its_own_and_can_be_dropped(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    post.refuse[IT] = "550 no such person"
    async with mail_server(post) as port, engine(tmp_path, clock, file(port)) as service:
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        assert [address for address, _ in post.mails] == [OPS]
        (row,) = [one for one in service.store.live_incidents.values() if one.kind == "mail"]
        assert row.subject == IT
        assert "550 no such person" in row.text
        assert (await service.status())["mails"]["undelivered"][0]["address"] == IT
        await service._office.incidents.heal(IncidentKind.CYCLE, A)
        await tick(service)
        assert [address for address, _ in post.mails] == [
            OPS,
            OPS,
        ]  # nobody hears of an end before the beginning
        clock.ahead_ms += 61 * MINUTE
        await tick(service)
        assert row.count == 2
        assert await service._mailman.drop(IT) == 2
        assert row.state == "dismissed"
        clock.ahead_ms += 600 * MINUTE
        await tick(service)
        assert len(post.mails) == 2


async def test_a_mail_refused_for_now_comes_later(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    post.refuse[IT] = "451 greylisted"
    async with mail_server(post) as port, engine(tmp_path, clock, file(port)) as service:
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        post.refuse.clear()
        clock.ahead_ms += MINUTE
        await tick(service)
        assert [address for address, _ in post.mails] == [OPS, IT]


async def test_no_text_of_others_becomes_a_header_or_a_second_mail(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    evil = "x\r\nBcc: eve@evil.example\r\n\r\n.\r\nMAIL FROM:<eve@evil.example>\u2028\u202etail"
    async with mail_server(post) as port, engine(tmp_path, clock, file(port, addresses=f'"{OPS}"')) as service:
        strike = broken(A, clock.now_ms())
        await service._office.incidents.strike(
            Strike(strike.kind, "Sales", A, strike.fault_class, evil, evil, evil, strike.at_ms)
        )
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        ((address, mail),) = post.mails
        assert (address, mail["Bcc"], mail["To"]) == (OPS, None, OPS)
        assert "eve@evil.example" in mail["Subject"]
        assert "\u202e" not in mail["Subject"] + mail.get_content()
        assert "next step" in mail.get_content().lower()


async def test_an_address_with_other_letters_goes_out_as_it_is(tmp_path: Path) -> None:
    post, clock = Post(), AheadClock()
    async with (
        mail_server(post) as port,
        engine(tmp_path, clock, file(port, addresses='"jürgen@acme.example"')) as service,
    ):
        await fails(service, A)
        clock.ahead_ms += 31 * MINUTE
        await tick(service)
        assert [address for address, _ in post.mails] == ["jürgen@acme.example"]


async def test_a_kill_at_any_moment_loses_no_mail_and_repeats_it_only_under_its_own_name(
    tmp_path: Path,
) -> None:
    post, clock = Post(), AheadClock()
    async with mail_server(post) as port:
        async with engine(tmp_path, clock, file(port)) as service:
            await fails(service, A)
        ahead = 31 * MINUTE
        # Killed when the server has the first mail and its answer is not there yet.
        post.go_on.clear()
        process = fork(run, tmp_path, ahead)
        await post.until(1)
        process.kill()
        await asyncio.to_thread(process.join)
        post.go_on.set()
        ((address, before),) = post.mails
        # The next engine sends both; that which may have been lost, once more and unchanged.
        process = fork(run, tmp_path, ahead)
        await post.until(3)
        process.kill()
        await asyncio.to_thread(process.join)
        assert sorted({one for one, _ in post.mails}) == [IT, OPS]
        names = {one: {mail["Message-ID"] for to, mail in post.mails if to == one} for one in (IT, OPS)}
        assert {one: len(found) for one, found in names.items()} == {IT: 1, OPS: 1}
        texts = {mail.as_bytes() for to, mail in post.mails if to == address}
        assert texts == {before.as_bytes()}
        # And an engine after that one sends nothing more than what was in flight at most.
        async with engine(tmp_path, AheadClock(ahead), file(port)) as service:
            await tick(service)
            sent = len(post.mails)
            await tick(service)
            assert len(post.mails) == sent
            assert (await service.status())["mails"]["waiting"] == 0
        assert {one: {mail["Message-ID"] for to, mail in post.mails if to == one} for one in (IT, OPS)} == names
