"""Push of a whole engine: channels of a real Google sandbox, made, heard, renewed and ended; and subscriptions of Exchange."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from engine.ledger import mailboxes
from engine.model.modules import Module
from engine.model.port import Account, Channel, News, Page, PushMode, Scope
from engine.push import tokens
from engine.push.exchange import Notification
from engine.runtime import pushing
from engine.runtime.pushing import Pusher
from engine.sandbox.google.accounts import add_user
from engine.service import DisablePolicy, Service, UserState
from tests.clocks import AheadClock
from tests.ledgers import begun
from tests.mailbox.google.conftest import Google, google, google_server, service_account
from tests.runtime.test_freshness import FILE
from tests.sync.fakes import FakeCrm, FakeMail, VirtualClock
from tests.sync.world import A, B

__all__ = ["google", "google_server", "service_account"]

MINUTE = 60_000
HOUR = 60 * MINUTE
HOUR_AGO = {"utc": f"{datetime.now(UTC) - timedelta(hours=1):%Y-%m-%dT%H:%M:%SZ}", "zone": "UTC"}


def file(port: int = 0, more: str = "") -> str:
    """With a listener whose port is chosen before, since providers must be told it."""
    push = f'[push]\nbind = "127.0.0.1:{port}"\npublic_url = "http://127.0.0.1:{port}"\n' if port else ""
    return push + FILE.replace("{contact}", "enabled = true").replace('"key.json"', f'"key.json"\n{more}')


def free_port() -> int:
    import socket

    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is due is looked at at once."""
    monkeypatch.setattr(pushing, "TICK_SECONDS", 0.02)


async def until(true: Callable[[], Any]) -> None:
    async with asyncio.timeout(90):
        while not true():  # noqa: ASYNC110 - what is awaited is in several tasks and threads
            await asyncio.sleep(0.02)


@asynccontextmanager
async def engine(folder: Path, clock: AheadClock, text: str, mail: Any) -> AsyncIterator[Service]:
    service = await Service.open(begun(folder / "data"), clock=clock)
    try:
        answer = await service.apply(text, "sales.toml", "test")
        assert answer.ok, answer
        crm = FakeCrm(VirtualClock(), [A, B])
        crm.usage = lambda: []  # type: ignore[attr-defined]
        service._office._crm["crm"] = crm  # type: ignore[assignment]
        if mail is not None:
            service._office._mailbox["mail"] = mail
        async with service.running(schedule=False):
            yield service
    finally:
        await service.close()


def at_rest(service: Service) -> bool:
    """Nothing is hinted, and nothing runs that was."""
    pusher = service._pusher
    reading = [task for task in pusher._reading.values() if task is not None and not task.done()]
    return not (service._timekeeper.running("full:Sales") or pusher._hints or reading)


def channels(google: Google) -> dict[str, str]:
    return {row["id"]: row["user"] for row in google.world.db.execute("SELECT id, user FROM google_channels")}


async def test_a_change_in_a_calendar_is_told_and_read_at_once(
    tmp_path: Path, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "HINT_MS", 0)
    google.world.settings["google_channel_seconds"] = 600
    for email in (A, B):
        add_user(google.world, email, email.split("@")[0], "UTC")
    clock, port = AheadClock(), free_port()
    roots = {"calendar": "/calendar/v3/", "people": "/", "tasks": "/", "gmail": "/"}
    lines = [f'{api}_url = "{google.url}{root}"\n{api}_batch_url = ""' for api, root in roots.items()]
    more = "\n".join(["push = true", f'token_uri = "{google.url}/token"', *lines])
    text = file(port, more).replace('"key.json"', f'"{google.key_file}"')
    connector = google.connector()
    async with engine(tmp_path, clock, text, None) as service:
        pusher = service._pusher
        await until(lambda: pusher.port)
        await service.sync("Sales", "admin")
        await pusher.look()
        assert sorted(channels(google).values()) == [A, B]
        await until(lambda: all(sub.pinged_at for sub in pusher._subs.values()))  # the sync messages
        await until(lambda: at_rest(service))
        asked = google.world.counters.copy()
        other = service.store.users[B].calls
        body = {
            "summary": "Pushed",
            "start": {"dateTime": "2026-12-01T10:00:00Z"},
            "end": {"dateTime": "2026-12-01T11:00:00Z"},
        }
        request = connector.client.calendar.events.insert(calendarId="primary", body=body)
        await connector.client.execute(request, Account(A), idempotent=False)
        lists = "google.calendar.events.list"
        await until(lambda: google.world.counters[lists] > asked[lists] and at_rest(service))
        assert service.store.users[B].calls == other  # nobody else was read
        told = google.world.counters - asked
        assert not [name for name in told if "people" in name or "tasks" in name], told
        assert service.store.users[A].state is UserState.IDLE
        (row,) = service._pusher.report()
        assert (row["mode"], row["live"], row["failing"]) == ("watch", 2, [])
        assert (await service.status())["push"] == [row]
        told = [one for one in await service.doctor() if one.check == "push" and one.connection == "mail"]
        assert "2 subscriptions live" in told[0].detail

        # Whoever leaves is not watched any more.
        answer = await service.apply(
            text.replace(f'[[users]]\nemail = "{B}"\npolicy = "Sales"\n', ""), "sales.toml", "test"
        )
        assert answer.ok, answer
        await until(lambda: list(channels(google).values()) == [A])

        # Before a channel ends there is a new one; then the old one is stopped.
        old = set(channels(google))
        for sub in pusher._subs.values():
            sub.made_at -= 570_000
            sub.expires_at = (sub.expires_at or 0) - 570_000
        await pusher.look()
        new = channels(google)
        assert list(new.values()) == [A]
        assert not old & set(new)


async def test_a_message_with_a_wrong_token_or_of_an_ended_channel_is_no_hint(tmp_path: Path) -> None:
    mail = PushedMail()
    async with engine(tmp_path, AheadClock(), file(free_port()), mail) as service:
        pusher = service._pusher
        await until(lambda: pusher.port)
        await service.sync("Sales", "admin")
        await pusher.look()
        name = next(iter(pusher._subs))
        hint = Notification(f"SUB-{name}", "W1", 1)
        pusher._hints.clear()
        assert not pusher.notified(f"{name}.wrong", hint)
        assert not pusher.notified(f"nobody.{tokens.token_of(pusher._key, 'nobody')}", hint)
        assert not pusher.notified(
            f"{name}.{tokens.token_of(pusher._key, name)}", Notification("OTHER", "W", 1)
        )
        assert pusher._hints == {}
        assert pusher.notified(f"{name}.{tokens.token_of(pusher._key, name)}", hint)
        assert list(pusher._hints) in ([A], [B])
        ledger = (tmp_path / "data" / "ledger.sqlite").read_bytes()
        await service._flush()
        assert tokens.token_of(pusher._key, name).encode() not in ledger
        assert (tmp_path / "data" / "push.key").stat().st_mode & 0o077 == 0


class PushedMail(FakeMail):
    """A mail system that pushes as Exchange does, with status pings every half an hour."""

    def __init__(self) -> None:
        super().__init__(VirtualClock())
        self.usage = lambda: []  # type: ignore[method-assign]
        self.push_mode = PushMode.PUSH
        self.subscribed: list[tuple[str, str, str]] = []
        self.refuse: Exception | None = None
        self.news: asyncio.Queue[tuple[str, News] | Exception] = asyncio.Queue()
        self.streamed: list[list[str]] = []
        self.scopes: list[str] = []

    async def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        self.scopes.append(scope.remote_id)
        async for page in super().changes(scope, cursor):
            yield page

    async def stream(
        self, account: Account, channels: list[Channel], minutes: int
    ) -> AsyncIterator[tuple[str, News]]:
        self.streamed.append(sorted(channel.remote_id for channel in channels))
        while True:
            told = await self.news.get()
            if isinstance(told, Exception):
                raise told
            yield told

    async def subscribe(
        self, account: Account, scopes: list[Scope], channel_id: str, address: str, token: str
    ) -> list[tuple[str, Channel]]:
        if self.refuse is not None:
            raise self.refuse
        self.subscribed.append((account.email, channel_id, token))
        return [("", Channel(f"SUB-{channel_id}", channel_id, "W0"))]

    async def unsubscribe(self, account: Account, channel: Channel) -> None:
        return None

    async def changed(self, account: Account, channel: Channel) -> tuple[str, News]:
        return "W9", News(1)


def ping(pusher: Pusher, name: str, changes: int = 0, places: frozenset[str] = frozenset()) -> bool:
    token = f"{name}.{tokens.token_of(pusher._key, name)}"
    return pusher.notified(token, Notification(f"SUB-{name}", "W5", changes, places=places))


async def test_a_subscription_without_two_pings_is_made_anew(tmp_path: Path) -> None:
    mail, clock = PushedMail(), AheadClock()
    async with engine(tmp_path, clock, file(free_port()), mail) as service:
        pusher = service._pusher
        await until(lambda: pusher.port)
        await service.sync("Sales", "admin")
        await pusher.look()
        assert sorted(email for email, _, _ in mail.subscribed) == [A, B]
        names = {email: name for email, name, _ in mail.subscribed}
        clock.ahead_ms += 50 * MINUTE
        assert ping(pusher, names[A])
        await pusher.look()
        assert len(mail.subscribed) == 2
        clock.ahead_ms += 15 * MINUTE  # B has not been heard of for more than two periods
        await pusher.look()
        assert [email for email, _, _ in mail.subscribed[2:]] == [B]
        assert not ping(pusher, names[B])  # its old subscription is answered Unsubscribe
        assert ping(pusher, names[A])
    # What was heard is kept: the next engine makes nothing anew.
    async with engine(tmp_path, clock, file(free_port()), mail) as service:
        pusher = service._pusher
        await until(lambda: pusher.port)
        await pusher.look()
        assert len(mail.subscribed) == 3
        assert {sub.watermark for sub in pusher._subs.values()} == {"W0", "W5"}


async def test_what_cannot_be_subscribed_is_an_incident_and_is_tried_again(tmp_path: Path) -> None:
    from engine.net.errors import ErrorKind, ProviderError

    mail, clock = PushedMail(), AheadClock()
    mail.refuse = ProviderError(ErrorKind.PERMISSION, "Fake", "may not subscribe", advice="Give it the right")
    async with engine(tmp_path, clock, file(free_port()), mail) as service:
        pusher = service._pusher
        await until(lambda: pusher.port)
        await service.sync("Sales", "admin")
        await pusher.look()
        (row,) = [one for one in service.store.live_incidents.values() if one.kind == "push"]
        assert (row.subject, row.due_ms) == ("mail", None)
        assert "may not subscribe" in row.text
        await pusher.look()
        assert row.count == 2  # one for each mailbox; they wait before they are tried again
        mail.refuse = None
        clock.ahead_ms += 5 * MINUTE
        await pusher.look()
        assert not [one for one in service.store.live_incidents.values() if one.kind == "push"]
        assert len(mail.subscribed) == 2


async def test_pull_needs_no_listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pushing, "HINT_MS", 10 * HOUR)
    mail = PushedMail()
    mail.push_mode = PushMode.PULL
    async with engine(tmp_path, AheadClock(), file(), mail) as service:
        pusher = service._pusher
        await service.sync("Sales", "admin")
        await pusher.look()
        assert (pusher.port, len(mail.subscribed)) == (0, 2)
        await pusher._pull()
        assert {sub.watermark for sub in pusher._subs.values()} == {"W9"}
        assert set(pusher._hints) == {A, B}


async def test_one_connection_streams_for_all_mailboxes_and_what_breaks_is_made_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from engine.net.errors import ErrorKind, ProviderError

    monkeypatch.setattr(pushing, "HINT_MS", 10 * HOUR)
    monkeypatch.setattr(pushing, "STREAM_PAUSE_MS", 0)
    mail = PushedMail()
    mail.push_mode = PushMode.STREAM
    async with engine(tmp_path, AheadClock(), file(), mail) as service:
        pusher = service._pusher
        await service.sync("Sales", "admin")
        await pusher.look()
        await until(lambda: mail.streamed and len(mail.streamed[-1]) == 2)
        names = {email: f"SUB-{name}" for email, name, _ in mail.subscribed}
        pusher._hints.clear()
        mail.news.put_nowait((names[B], News(0)))  # only a sign of life
        mail.news.put_nowait((names[A], News(3)))
        await until(lambda: pusher._hints)
        assert set(pusher._hints) == {A}
        mail.news.put_nowait(ProviderError(ErrorKind.UNAVAILABLE, "Fake", "the line broke"))
        await until(lambda: len(mail.subscribed) == 4)
        await until(lambda: len(mail.streamed[-1]) == 2 and names[A] not in mail.streamed[-1])
        assert {B, A} == set(pusher._hints)  # what happened meanwhile is read


async def test_a_hint_of_the_calendar_reads_the_calendar_alone_and_any_other_all_of_the_mailbox(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "HINT_MS", 0)
    mail = PushedMail()
    async with engine(tmp_path, AheadClock(), file(free_port()), mail) as service:
        pusher, crm = service._pusher, cast(FakeCrm, service._office._crm["crm"])
        await until(lambda: pusher.port)
        await service.sync("Sales", "admin")
        await pusher.look()
        await until(lambda: at_rest(service))
        names = {email: name for email, name, _ in mail.subscribed}
        places = await scopes_of(service)
        calendar = calendar_of(places)
        contacts = next(place for key, place in places.items() if key.startswith("contacts"))

        async def hinted(*where: str) -> list[str]:
            mail.scopes.clear()
            assert ping(pusher, names[A], 1, frozenset(where))
            await until(lambda: mail.scopes and at_rest(service))
            return sorted(set(mail.scopes))

        # What Exchange counts to other folders (Deleted Items) changes nothing.
        crm.add(A, Module.APPOINTMENT, subject="Visit", start=HOUR_AGO, end=HOUR_AGO)
        crm.add(A, Module.CONTACT, given="Ann", family="Lee", email="ann@x.test")
        assert await hinted(calendar, "deleted-items") == [calendar]
        assert [one.fields["subject"] for one in mail.of(A, Module.APPOINTMENT)] == ["Visit"]
        assert mail.of(A, Module.CONTACT) == []
        assert service.store.users[A].state is UserState.IDLE
        # A change elsewhere, or one that is not placed: everything, also what the calendar's cycle left.
        everything = sorted(places.values())
        assert await hinted(calendar, contacts) == everything
        assert len(mail.of(A, Module.CONTACT)) == 1
        assert await hinted() == everything
        # A calendar that cannot be read is told by the ordinary cycle, which retries.
        mail.faults = lambda point, scope, _: (
            "unavailable" if point == "changes" and scope is not None and scope.remote_id == calendar else None
        )
        assert calendar in await hinted(calendar)
        assert service.store.users[A].state is UserState.FAILED
        assert A in service._office.runner.retries


async def test_a_hint_whose_turn_comes_after_its_policy_was_switched_off_writes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pushing, "HINT_MS", 0)
    mail = PushedMail()
    async with engine(tmp_path, AheadClock(), file(free_port()), mail) as service:
        pusher, crm = service._pusher, cast(FakeCrm, service._office._crm["crm"])
        await until(lambda: pusher.port)
        await service.sync("Sales", "admin")
        await pusher.look()
        await until(lambda: at_rest(service))
        names = {email: name for email, name, _ in mail.subscribed}
        crm.add(A, Module.APPOINTMENT, subject="Visit", start=HOUR_AGO, end=HOUR_AGO)
        async with service._office.runner._turns["Sales"]:  # as a long full sync would have it
            assert ping(pusher, names[A], 1, frozenset({calendar_of(await scopes_of(service))}))
            await until(lambda: pusher._reading.get("Sales"))
            assert (await service.do(DisablePolicy("Sales"), "admin")).ok
        await until(lambda: at_rest(service))
        assert mail.of(A, Module.APPOINTMENT) == []
        assert service.store.users[A].state is UserState.DISABLED


async def scopes_of(service: Service) -> dict[str, str]:
    """A's feeds: id of the container by key."""
    records = await service._ledger.read(mailboxes.mailboxes)
    return {key: remote_id for one in records if one.email == A for key, remote_id, _ in one.scopes}


def calendar_of(places: dict[str, str]) -> str:
    """The calendar's id."""
    return next(place for key, place in places.items() if key.startswith("calendar"))
