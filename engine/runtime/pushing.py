"""Push of one engine: subscriptions made, renewed and ended; the listener's notifications turned into delta reads.

A push is only a hint that queues a run of that mailbox, a few seconds after the first of several, or of its calendar alone where
nothing else is told to have changed (``engine.runtime.hinted``); the schedule goes on as it is, so that a notification that is lost costs time and nothing else. A channel is made anew before it ends and the old one stopped
then; a subscription of Exchange whose status pings fail to come twice is taken for lost and made anew (domain.md 5.6).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.jobs.queue import Priority
from engine.jobs.schedule import in_blackout
from engine.ledger import mailboxes
from engine.ledger import subscriptions as units
from engine.ledger.health import LedgerFault
from engine.ledger.mailboxes import MailboxRecord
from engine.ledger.subscriptions import SubscriptionRecord
from engine.model.incident import IncidentKind, Strike
from engine.model.modules import EVENT_MODULES, Module
from engine.model.port import Channel, News, Pushing, PushMode, Scope
from engine.model.setup import Push
from engine.model.states import FaultClass, PolicyState, UserState
from engine.monitor.rows import LimitRow
from engine.net.errors import ErrorKind, ProviderError
from engine.push import tokens
from engine.push.exchange import Notification
from engine.push.fault import ListenerFault
from engine.push.google import WatchMessage
from engine.runtime import words
from engine.runtime.hinted import read_calendars
from engine.runtime.office import Office
from engine.runtime.timekeeper import FULL, Timekeeper
from engine.sync.cycle import account_of
from engine.sync.faults import backoff_ms

log = logging.getLogger(__name__)

#: Hints of one moment become one run: so long after the first of them, milliseconds.
HINT_MS = 2_000

#: So often it is looked at what is due, in seconds; what changed in the configuration is looked at at once.
TICK_SECONDS = 1.0

#: Subscriptions are looked through so often, milliseconds.
LOOK_MS = 30_000

#: A pull subscription is asked so often, milliseconds.
PULL_MS = 60_000

#: A streaming connection lasts so many minutes (1 to 30), serves so many subscriptions, and rests so long after it broke.
STREAM_MINUTES = 20
STREAMED = 200
STREAM_PAUSE_MS = 5_000

#: A channel is renewed so long before its end, milliseconds, or when nine tenths of its life are over, if that is later.
EARLY_MS = 3_600_000

#: After two periods without a ping a subscription is lost (StatusFrequency); so much is granted beside, milliseconds.
GRACE_MS = 60_000

#: Calls for subscriptions at once.
AT_ONCE = 4

#: The listener itself, as an incident names it.
LISTENER = "push listener"

#: Modes whose notifications need the listener.
_POSTED = frozenset({PushMode.WATCH, PushMode.PUSH})


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A mailbox whose changes are to be told."""

    record: MailboxRecord
    policy: str
    connection: str
    connector: Pushing
    mode: PushMode

    @property
    def scopes(self) -> list[Scope]:
        """Its feeds, as its last cycle stored them; calendars only where that is all that can be watched."""
        account = account_of(self.record)
        found = [
            Scope(key, remote_id, tuple(Module(name) for name in names), account)
            for key, remote_id, names in self.record.scopes
        ]
        if self.mode is not PushMode.WATCH:
            return found
        return [scope for scope in found if set(scope.modules) & EVENT_MODULES]


class Pusher:
    """The subscriptions of one engine. It hears what the listener is told (``engine.push.listener.Hints``)."""

    def __init__(self, office: Office, keeper: Timekeeper, folder: Path) -> None:
        self._office = office
        self._keeper = keeper
        self._key_file = folder / "push.key"
        self._key = b""
        self._subs: dict[str, SubscriptionRecord] = {}
        self._emails: dict[int, str] = {}
        self._heard: set[str] = set()
        self._hints: dict[str, int] = {}
        #: Calendars that are being read, by policy.
        self._reading: dict[str, asyncio.Task[None] | None] = {}
        #: Hinted mailboxes in which more than the calendar may have changed.
        self._more: set[str] = set()
        #: Ids of a mailbox's calendars, and of its other feeds' containers.
        self._places: dict[int, tuple[frozenset[str], frozenset[str]]] = {}
        self._waits: dict[int, tuple[int, int]] = {}
        self._next_look = 0
        self._next_pull = 0
        self._wanted = 0
        self._changed = asyncio.Event()
        self._turn = asyncio.Lock()
        self._streams: dict[tuple[str, tuple[str, ...]], asyncio.Task[None]] = {}
        self.port = 0

    # -- what the listener hears -----------------------------------------------------------------------

    def watched(self, message: WatchMessage) -> bool:
        """A message of a Google channel."""
        sub = self._subs.get(message.channel)
        if not tokens.is_token(self._key, message.channel, message.token) or sub is None:
            return False
        if sub.resource and message.resource and sub.resource != message.resource:
            return False
        sub.resource = sub.resource or message.resource
        # Only calendars can be watched.
        self._hear(sub, message.channel, changed=message.state != "sync", calendar=True)
        return True

    def notified(self, token: str, notification: Notification) -> bool:
        """A notification of an Exchange subscription; its path ends in ``name.token``."""
        name, _, given = token.rpartition(".")
        if not tokens.is_token(self._key, name, given):
            return False
        sub = self._subs.get(name)
        if sub is None or (sub.state == "live" and notification.subscription not in {sub.remote_id, ""}):
            return False
        if notification.error:
            sub.error = notification.error
            sub.pinged_at = 0  # looked at next: it is made anew
            self._next_look = 0
            return False
        sub.watermark = notification.watermark or sub.watermark
        self._told(sub, name, News(notification.changes, notification.places))
        return True

    def _told(self, sub: SubscriptionRecord, name: str, news: News) -> None:
        """A subscription to all containers of a mailbox tells what has changed, and in which of them."""
        calendars, others = self._places.get(sub.mailbox_id, (frozenset(), frozenset()))
        only = bool(news.places & calendars) and not news.places & others
        self._hear(sub, name, changed=news.changes > 0, calendar=only)

    def _hear(self, sub: SubscriptionRecord, name: str, *, changed: bool, calendar: bool) -> None:
        now = self._office.clock.now_ms()
        sub.pinged_at = now
        self._heard.add(name)
        if changed:
            sub.changed_at = now
            self.hint(self._emails.get(sub.mailbox_id, ""), calendar=calendar)

    def hint(self, email: str, *, calendar: bool = False) -> None:
        """Something changed in a mailbox, or in its ``calendar`` alone: it is read soon."""
        if email:
            if not calendar:
                self._more.add(email)
            self._hints.setdefault(email, self._office.clock.now_ms() + HINT_MS)

    # -- running ---------------------------------------------------------------------------------------

    def again(self) -> None:
        """The configuration was changed."""
        self._next_look = 0
        self._waits.clear()
        self._changed.set()

    async def serve(self) -> None:
        """Listen where the configuration says so, and keep subscriptions, until cancelled."""
        try:
            await self._serve()
        finally:
            await self._hang_up(list(self._streams))

    async def _serve(self) -> None:
        loaded = False
        while True:
            self._changed.clear()
            push = self._office.setup.push
            try:
                if not loaded:
                    await self._load()
                    loaded = True
                if push is None:
                    await self._work(None)
                    continue
                # With the section alone: its web server costs a start of the app 0.2 s of a core.
                from engine.push.listener import listening

                self._key = self._key or await asyncio.to_thread(tokens.load_key, self._key_file)
                async with listening(push, self) as self.port:
                    await self._office.incidents.heal(IncidentKind.PUSH, LISTENER)
                    await self._work(push)
            except LedgerFault:  # told by the service on every screen
                await self._pause(5.0)
            except (ListenerFault, OSError) as fault:
                advice = "It is tried again every minute; mailboxes are polled as before."
                await self._tell(LISTENER, "", str(fault), advice)
                await self._pause(60.0)
            finally:
                self.port = 0

    async def _load(self) -> None:
        found = await self._office.ledger.read(units.current)
        for sub in found:
            if sub.state == "asked":  # nobody knows whether the provider made it; it ends by itself
                await self._office.ledger.write(
                    units.change, sub.id, state="ended", error="the engine ended meanwhile"
                )
            else:
                self._subs[_name(sub)] = sub

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._changed.wait(), seconds)
        except TimeoutError:
            return

    async def _work(self, push: Push | None) -> None:
        """Look after subscriptions and hints until the configuration changes."""
        while self._office.setup.push == push:
            try:
                await self.tick()
            except LedgerFault:
                pass  # told by the service on every screen; the next look tries again
            except Exception as error:
                log.exception("push failed")
                await self._tell(
                    LISTENER, "", f"internal error: {error.__class__.__name__}", "See syncline.log."
                )
            self._changed.clear()
            await self._pause(TICK_SECONDS)

    async def tick(self) -> None:
        """One look: what was heard is stored, hints that are due are queued, subscriptions are kept."""
        await self.store_heard()
        self._submit()
        now = self._office.clock.now_ms()
        if now >= self._next_look and not self._office.unwell:
            self._next_look = now + LOOK_MS
            await self.look()
        await self._listen_in()
        if now >= self._next_pull and not self._office.unwell:
            self._next_pull = now + PULL_MS
            await self._pull()

    async def store_heard(self) -> None:
        """Store what subscriptions have told; an engine that ends does it once more."""
        heard, self._heard = self._heard, set()
        rows = [
            (sub.id, sub.pinged_at or 0, sub.changed_at, sub.watermark)
            for name in heard
            if (sub := self._subs.get(name)) is not None
        ]
        if rows:
            await self._office.ledger.write(units.heard, rows)

    def _submit(self) -> None:
        """Queue a run of the mailboxes whose hints are due, one for each policy."""
        now, office = self._office.clock.now_ms(), self._office
        due = [email for email, at in self._hints.items() if at <= now]
        by_policy: dict[str, set[str]] = {}
        calendars: dict[str, set[str]] = {}
        for email in due:
            del self._hints[email]
            more = email in self._more
            self._more.discard(email)
            user = office.store.users.get(email)
            policy = office.store.policies.get(user.policy) if user is not None else None
            if user is None or policy is None or policy.state is not PolicyState.ENABLED:
                continue
            if user.state is UserState.PAUSED or in_blackout(office.policies[policy.id].scheduling, now):
                continue  # the schedule comes by when it may
            (by_policy if more else calendars).setdefault(policy.id, set()).add(email)
        for name, emails in calendars.items():
            under_way = self._reading.get(name)
            if under_way is not None and not under_way.done():
                self._hints |= dict.fromkeys(emails, now)  # what comes meanwhile is read together, right after
            else:
                self._reading[name] = self._keeper.spawn(read_calendars(office, self._keeper, name, emails))
        for name, emails in by_policy.items():
            self._keeper.start(FULL.prefix + name, emails, Priority.SCHEDULE)

    # -- subscriptions ---------------------------------------------------------------------------------

    async def look(self) -> None:
        """Make what is missing, renew what ends, give up what is lost, end what nobody wants any more."""
        async with self._turn:
            await self._look()

    async def _look(self) -> None:
        office = self._office
        records = await office.ledger.read(mailboxes.mailboxes)
        self._emails = {record.id: record.email for record in records}
        self._places = {record.id: _places(record) for record in records}
        wanted = {one.record.id: one for record in records if (one := self._of(record)) is not None}
        self._wanted = len(wanted)
        by_mailbox: dict[int, list[tuple[str, SubscriptionRecord]]] = {}
        for name, sub in self._subs.items():
            by_mailbox.setdefault(sub.mailbox_id, []).append((name, sub))
        gate = asyncio.Semaphore(AT_ONCE)
        work: list[Coroutine[Any, Any, None]] = []
        for mailbox_id, subs in by_mailbox.items():
            if mailbox_id not in wanted:
                work.append(self._end(gate, subs))
        for mailbox_id, one in wanted.items():
            work.append(self._keep(gate, one, by_mailbox.get(mailbox_id, [])))
        await asyncio.gather(*work)
        connections = {one.connection for one in wanted.values()}
        failing = {one.connection for one in wanted.values() if one.record.id in self._waits}
        await office.incidents.heal(IncidentKind.PUSH, *(connections - failing))

    def _of(self, record: MailboxRecord) -> _Wanted | None:
        office = self._office
        policy = office.policies.get(record.policy)
        row = office.store.policies.get(record.policy)
        if policy is None or row is None or row.state is not PolicyState.ENABLED:
            return None
        if record.phase != "ready" or record.paused or not record.calendar_sync:
            return None
        try:
            connector = office.mailbox(policy.mailbox)
        except ProviderError:
            return None  # told where it is used
        if not isinstance(connector, Pushing):
            return None
        mode = connector.push_mode
        if mode is PushMode.NONE or (mode in _POSTED and not self.port):
            return None
        return _Wanted(record, record.policy, policy.mailbox, connector, mode)

    async def _keep(
        self, gate: asyncio.Semaphore, one: _Wanted, subs: Sequence[tuple[str, SubscriptionRecord]]
    ) -> None:
        now = self._office.clock.now_ms()
        good = [sub for _, sub in subs if not self._ends(one, sub, now)]
        if good or self._waits.get(one.record.id, (0, 0))[1] > now:
            return
        async with gate:
            try:
                await self._make(one)
                for name, old in subs:
                    await self._drop(one, name, old)
            except ProviderError as error:
                attempts = self._waits.get(one.record.id, (0, 0))[0] + 1
                self._waits[one.record.id] = (attempts, now + backoff_ms(attempts, error.retry_after))
                if error.kind is not ErrorKind.THROTTLED:
                    await self._tell(
                        one.connection,
                        one.policy,
                        f"cannot be told of changes in {one.record.email}: {error}",
                        "It is tried again by itself; mailboxes are polled as before.",
                    )
            else:
                self._waits.pop(one.record.id, None)

    def _ends(self, one: _Wanted, sub: SubscriptionRecord, now: int) -> bool:
        """Whether a subscription is lost, or ends soon."""
        if sub.mode != one.mode or sub.connection != one.connection:
            return True
        if sub.expires_at is not None:
            life = sub.expires_at - sub.made_at
            return now >= max(sub.expires_at - EARLY_MS, sub.made_at + life * 9 // 10)
        if one.mode is PushMode.PUSH:
            settings = self._office.connections[one.connection].settings
            period = int(settings.get("notification_frequency", 30)) * 60_000
            last = sub.made_at if sub.pinged_at is None else sub.pinged_at
            return now > last + 2 * period + GRACE_MS
        return sub.pinged_at == 0

    async def _make(self, one: _Wanted) -> None:
        """Subscribe: written ahead, asked for, written down; then the gap until now is read."""
        office = self._office
        scopes = one.scopes
        if not scopes:
            return
        name = uuid.uuid4().hex
        now = office.clock.now_ms()
        push = office.setup.push
        address = push.public_url if push is not None else ""
        row: dict[str, Any] = {
            "connection": one.connection,
            "mailbox_id": one.record.id,
            "scope": "",
            "mode": one.mode.value,
            "remote_id": name,
            "resource": name if one.mode is not PushMode.WATCH else "",
            "made_at": now,
        }
        (first,) = await office.ledger.write(units.add, [row])
        asked = SubscriptionRecord(
            first, one.connection, one.record.id, "", one.mode.value, name, row["resource"], "", "asked", now
        )
        self._subs[name] = asked
        try:
            made = await one.connector.subscribe(
                account_of(one.record), scopes, name, address, tokens.token_of(self._key, name)
            )
        except BaseException as error:
            self._subs.pop(name, None)
            text = str(error) if isinstance(error, ProviderError) else "cut short"
            await office.ledger.write(units.change, first, state="ended", error=text)
            raise
        if not made:
            self._subs.pop(name, None)
            await office.ledger.write(units.change, first, state="ended", error="nothing of it can be watched")
            return
        for number, (key, channel) in enumerate(made):
            await self._made(asked if not number else None, one, key, channel, now)
        self.hint(one.record.email)

    async def _made(
        self, asked: SubscriptionRecord | None, one: _Wanted, key: str, channel: Channel, now: int
    ) -> None:
        values: dict[str, Any] = {
            "scope": key,
            "remote_id": channel.remote_id,
            "resource": channel.resource,
            "watermark": channel.watermark,
            "state": "live",
            "expires_at": channel.expires_ms,
        }
        ledger = self._office.ledger
        if asked is None:
            row = {
                "connection": one.connection,
                "mailbox_id": one.record.id,
                "mode": one.mode.value,
                "made_at": now,
            }
            (number,) = await ledger.write(units.add, [{**row, **values}])
            asked = SubscriptionRecord(
                number, one.connection, one.record.id, key, one.mode.value, "", "", "", "live", now
            )
        else:
            await ledger.write(units.change, asked.id, **values)
        for field, value in values.items():
            setattr(asked, field, value)
        self._subs[_name(asked)] = asked

    async def _drop(self, one: _Wanted, name: str, sub: SubscriptionRecord) -> None:
        """End a subscription at its provider, and here in any case."""
        self._subs.pop(name, None)
        error = sub.error
        try:
            await one.connector.unsubscribe(
                account_of(one.record), Channel(sub.remote_id, sub.resource, sub.watermark)
            )
        except ProviderError as fault:
            error = str(fault)  # it ends by itself; what it still tells is refused
        await self._office.ledger.write(units.change, sub.id, state="ended", error=error)

    async def _end(
        self,
        gate: asyncio.Semaphore,
        subs: Sequence[tuple[str, SubscriptionRecord]],
    ) -> None:
        """End the subscriptions of a mailbox that nobody wants any more."""
        async with gate:
            for name, sub in subs:
                record = await self._office.ledger.read(mailboxes.mailbox_by_id, sub.mailbox_id)
                try:
                    connector = self._office.mailbox(sub.connection)
                except ProviderError:
                    connector = None
                if isinstance(connector, Pushing):
                    mode = PushMode(sub.mode)
                    await self._drop(_Wanted(record, record.policy, sub.connection, connector, mode), name, sub)
                else:
                    self._subs.pop(name, None)
                    await self._office.ledger.write(units.change, sub.id, state="ended")

    async def _listen_in(self) -> None:
        """One long connection for each group of streaming subscriptions; a group that has changed gets another one."""
        groups: dict[str, list[str]] = {}
        for name, sub in self._subs.items():
            if sub.mode == PushMode.STREAM and sub.state == "live" and sub.pinged_at != 0:
                groups.setdefault(sub.connection, []).append(name)
        wanted = {
            (connection, tuple(sorted(names)[at : at + STREAMED]))
            for connection, names in groups.items()
            for at in range(0, len(names), STREAMED)
        }
        await self._hang_up([key for key in self._streams if key not in wanted])
        for key in wanted:
            if key not in self._streams or self._streams[key].done():
                self._streams[key] = asyncio.get_running_loop().create_task(self._stream(*key))

    async def _hang_up(self, keys: Sequence[tuple[str, tuple[str, ...]]]) -> None:
        tasks = [self._streams.pop(key) for key in keys]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _stream(self, connection: str, names: tuple[str, ...]) -> None:
        """Hear what a group tells, until its connection's time is over; what is lost is made anew with the next look."""
        subs = {sub.remote_id: sub for name in names if (sub := self._subs.get(name)) is not None}
        if not subs:
            return
        first = next(iter(subs.values()))
        try:
            connector = self._office.mailbox(connection)
            assert isinstance(connector, Pushing)
            record = await self._office.ledger.read(mailboxes.mailbox_by_id, first.mailbox_id)
            channels = [Channel(sub.remote_id, sub.resource, sub.watermark) for sub in subs.values()]
            async for remote_id, news in connector.stream(account_of(record), channels, STREAM_MINUTES):
                sub = subs.get(remote_id)
                if sub is not None:
                    self._told(sub, _name(sub), news)
        except (ProviderError, LedgerFault) as error:
            log.warning("push: %s: %s", connection, error)
            for sub in subs.values():
                sub.pinged_at, sub.error = 0, str(error)
            self._next_look = self._office.clock.now_ms() + STREAM_PAUSE_MS

    async def _pull(self) -> None:
        """Ask the subscriptions that are asked."""
        subs = [sub for sub in self._subs.values() if sub.mode == PushMode.PULL and sub.state == "live"]
        if not subs:
            return
        records = {record.id: record for record in await self._office.ledger.read(mailboxes.mailboxes)}
        gate = asyncio.Semaphore(AT_ONCE)

        async def ask(sub: SubscriptionRecord) -> None:
            record = records.get(sub.mailbox_id)
            if record is None:
                return
            async with gate:
                try:
                    connector = self._office.mailbox(sub.connection)
                    assert isinstance(connector, Pushing)
                    channel = Channel(sub.remote_id, sub.resource, sub.watermark)
                    sub.watermark, news = await connector.changed(account_of(record), channel)
                except ProviderError as error:
                    if error.kind is not ErrorKind.THROTTLED:
                        sub.pinged_at, sub.error = 0, str(error)  # it is made anew with the next look
                        self._next_look = 0
                    return
            self._told(sub, _name(sub), news)

        await asyncio.gather(*(ask(sub) for sub in subs))

    # -- telling ---------------------------------------------------------------------------------------

    async def _tell(self, subject: str, policy: str, text: str, advice: str) -> None:
        log.warning("push: %s: %s", subject, text)
        strike = Strike(
            IncidentKind.PUSH,
            policy,
            subject,
            FaultClass.CONNECTION,
            text,
            advice,
            "push",
            self._office.clock.now_ms(),
        )
        with contextlib.suppress(LedgerFault):  # told by the service on every screen
            await self._office.incidents.strike(strike)

    def usage(self) -> list[LimitRow]:
        """Live subscriptions of each connection, beside how many are wanted in all."""
        counts: dict[str, set[int]] = {}
        for sub in self._subs.values():
            if sub.state == "live":
                counts.setdefault(f"{sub.connection}: {sub.mode} subscriptions", set()).add(sub.mailbox_id)
        return [LimitRow(name, len(found), max(self._wanted, len(found))) for name, found in counts.items()]

    def report(self) -> list[dict[str, Any]]:
        """How push stands, by connection: mode, live, lost, wanted, last ping, as JSON-able values."""
        found: dict[str, dict[str, Any]] = {}
        for sub in self._subs.values():
            row = found.setdefault(
                sub.connection,
                {"connection": sub.connection, "mode": sub.mode, "live": 0, "renewing": 0, "last_ping": None},
            )
            row["live" if sub.state == "live" else "renewing"] += 1
            row["last_ping"] = max(row["last_ping"] or 0, sub.pinged_at or 0) or None
        waiting = {self._emails.get(mailbox_id, "") for mailbox_id in self._waits}
        for row in found.values():
            row["failing"] = sorted(waiting)
        return list(found.values())


async def check(office: Office) -> list[tuple[str, str, bool, str, str]]:
    """What ``doctor`` says of push: connection, check, whether it passed, detail, advice."""
    push = office.setup.push
    found: list[tuple[str, str, bool, str, str]] = []
    posted = {
        one.name: one.kind
        for one in office.connections.values()
        if one.settings.get("push") is True or one.settings.get("mode") == "push"
    }
    if push is None:
        return [
            (
                name,
                "push",
                False,
                "it is to tell of changes by itself, and nobody listens",
                "Add the section [push] to the configuration; until then it is polled",
            )
            for name in posted
        ]
    https = push.public_url.startswith("https://")
    for name, kind in posted.items():
        if kind == "google" and not https and not push.public_url.startswith("http://127."):
            text = f"push.public_url is {push.public_url}, and Google calls https only"
            found.append(
                (name, "push", False, text, "Put a proxy with a certificate in front, and name its address")
            )
    subs = await office.ledger.read(units.current)
    found.append(("push", "listener", True, f"{push.bind}, reached as {push.public_url}", ""))
    for name in sorted({sub.connection for sub in subs}):
        mine = [sub for sub in subs if sub.connection == name]
        last = max((sub.pinged_at or 0 for sub in mine), default=0)
        when = words.clock_utc(last) if last else "never"
        live = sum(sub.state == "live" for sub in mine)
        detail = (
            f"{mine[0].mode}: {words.count(live, 'subscription', 'subscriptions')} live, last heard of {when}"
        )
        found.append((name, "push", True, detail, ""))
    return found


def _places(record: MailboxRecord) -> tuple[frozenset[str], frozenset[str]]:
    """Ids of a mailbox's calendars, and of its other feeds' containers, as its last cycle stored them."""
    calendars = {
        remote_id for _, remote_id, names in record.scopes if {Module(name) for name in names} & EVENT_MODULES
    }
    return frozenset(calendars), frozenset(remote_id for _, remote_id, _ in record.scopes) - calendars


def _name(sub: SubscriptionRecord) -> str:
    """The name of our choice under which its notifications come."""
    return sub.remote_id if sub.mode == PushMode.WATCH else sub.resource
