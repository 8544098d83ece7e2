"""Calls to one Exchange server: threads bounded, counted, retried where that is safe, slowed down when it asks."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import urlencode

from engine.mailbox.exchange import errors, soap
from engine.mailbox.exchange import settings as settings_of
from engine.mailbox.exchange.settings import PROVIDER, ExchangeSettings
from engine.mailbox.exchange.soap import Message
from engine.model.port import Account, Observation
from engine.net.beside import Beside
from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import Http, host_of
from engine.net.lanes import Lane
from engine.net.net import Net
from engine.net.retry import with_retries
from engine.net.tokens import Key, Token, TokenCache

if TYPE_CHECKING:
    from engine.mailbox.exchange.sessions import Reply, Sessions, Ticket

R = TypeVar("R")

#: So many observations of our own writes are kept until the feed shows them, which saves reading them again.
ECHOES = 20_000

#: Answers larger than this are taken apart in a thread: it would hold up the loop (a message is about 3 kB).
SMALL = 20_000


class ExchangeClient:
    """One server for all mailboxes of a connection.

    The lane is the server's: when it is busy, every mailbox slows down. At most ``max_connections`` threads exist, each
    waiting for one answer; the loop never waits.
    """

    def __init__(self, settings: ExchangeSettings, net: Net) -> None:
        """Make no call and import nothing heavy."""
        self.settings = settings
        self.net = net
        self.host = host_of(settings.url)
        self.lane = Lane(net, PROVIDER, start=min(4, settings.max_connections), most=settings.max_connections)
        self.beside = Beside()
        self.active = 0
        self.version = ""
        self._pool: ThreadPoolExecutor | None = None
        self._sessions: Sessions | None = None
        self._opening = asyncio.Lock()
        self._echoes: OrderedDict[tuple[str, str, str], Observation] = OrderedDict()
        self._login: Http | None = None
        self._tokens = TokenCache(net, self._token)

    # -- calls ---------------------------------------------------------------------------------------------

    async def call(
        self,
        account: Account | None,
        operation: str,
        body: str,
        *,
        idempotent: bool,
        attempts: int = 5,
        timeout: float | None = None,
    ) -> list[Message]:
        """One operation; one message for each thing that it asks for.

        Args:
            account: who is impersonated; ``None`` for nobody.
            operation: its name, ``CreateItem``.
            body: its element.
            idempotent: whether it may be repeated although nobody knows whether it arrived.
            attempts: most attempts in all.
            timeout: seconds, where the setting's are too few.

        Raises:
            ProviderError: the call failed as a whole.
        """
        return await with_retries(
            self.net,
            lambda: self._once(account, operation, body, timeout),
            idempotent=idempotent,
            attempts=attempts,
            account="" if account is None else account.email,
        )

    async def prepared(self, account: Account, body: str) -> tuple[bytes, dict[str, str], Sessions]:
        """A request as it is sent, its headers, and the sessions to send it by: for answers that are read as they come.

        Raises:
            ProviderError: there is no way to log in.
        """
        mailbox = account.exchange_email or account.email
        headers = {"content-type": "text/xml; charset=utf-8", "accept": "text/xml", "x-anchormailbox": mailbox}
        if self.settings.auth == settings_of.OAUTH:
            headers["authorization"] = f"Bearer {await self._tokens.get('exchange')}"
        self.net.observer.called(PROVIDER, account.email)
        return soap.envelope(body, self.settings.version, mailbox), headers, await self._open()

    async def _once(
        self, account: Account | None, operation: str, body: str, timeout: float | None
    ) -> list[Message]:
        mailbox = "" if account is None else account.exchange_email or account.email
        known = "" if account is None else account.email
        data = soap.envelope(body, self.settings.version, mailbox)
        headers = {"content-type": "text/xml; charset=utf-8", "accept": "text/xml"}
        if mailbox:
            headers["x-anchormailbox"] = mailbox
        if self.settings.auth != settings_of.OAUTH:
            return await self._sent(known, operation, data, headers, "", timeout)
        token = await self._tokens.get("exchange")
        try:
            return await self._sent(known, operation, data, headers, token, timeout)
        except ProviderError as error:
            if error.kind is not ErrorKind.CREDENTIAL or error.status != 401:
                raise
        # A token that the server no longer takes (revoked, or its clock is ahead of ours): nothing was done, and a fresh one
        # may do. If that is refused as well, it is not the token's age.
        token = await self._tokens.get("exchange")
        return await self._sent(known, operation, data, headers, token, timeout)

    async def _sent(
        self,
        known: str,
        operation: str,
        data: bytes,
        headers: dict[str, str],
        token: str,
        timeout: float | None,
    ) -> list[Message]:
        """Send a request once; ``token`` is its bearer token, empty where another login is used."""
        if token:
            headers = {**headers, "authorization": f"Bearer {token}"}
        sessions = await self._open()
        async with self.lane.slot():
            self.active += 1
            try:
                self.net.observer.called(PROVIDER, known)
                reply = await self._send(sessions, data, headers, timeout or self.settings.timeout)
            finally:
                self.active -= 1
        if not self.version:
            self.version = await self.beside.run(len(reply.content), soap.server_version, reply.content)
        try:
            messages = await self._read(reply, operation)
        except ProviderError as error:
            if error.kind is ErrorKind.THROTTLED:
                self.lane.throttled(error.retry_after, account=known)
            elif error.kind is ErrorKind.CREDENTIAL:
                # The secret may have been renewed: it is read again for the next call.
                self._tokens.invalidate("exchange", token)
                self._drop(sessions)
            raise
        busy = [one for one in messages if one.code in errors.BUSY]
        if busy:
            waits = [one.back_off for one in busy if one.back_off is not None]
            self.lane.throttled(max(waits, default=None), account=known)
        else:
            self.lane.ok()
        return messages

    async def _read(self, reply: Reply, operation: str) -> list[Message]:
        """The messages of an answer.

        Raises:
            ProviderError: it is none, or a fault.
        """
        if reply.status == 200 or (reply.status == 500 and reply.content.lstrip()[:1] == b"<"):
            if reply.status == 500 and b"Envelope" not in reply.content[:400]:
                raise errors.refused(reply.status, reply.headers, reply.content, self.host)
            if len(reply.content) < SMALL:
                return soap.parse(reply.content, operation, self.host)
            return await self.work(lambda: soap.parse(reply.content, operation, self.host))
        raise errors.refused(reply.status, reply.headers, reply.content, self.host)

    async def _send(self, sessions: Sessions, data: bytes, headers: dict[str, str], timeout: float) -> Reply:
        from engine.mailbox.exchange.sessions import Ticket

        ticket = Ticket(self.net.permit)
        try:
            return await self.work(lambda: self._post(sessions, data, headers, timeout, ticket))
        except asyncio.CancelledError:
            ticket.cancel()
            raise

    def _post(
        self, sessions: Sessions, data: bytes, headers: dict[str, str], timeout: float, ticket: Ticket
    ) -> Reply:
        """In a thread."""
        from engine.mailbox.exchange.unreached import explain

        try:
            return sessions.post(data, headers, timeout, ticket)
        except OSError as error:
            # requests' exceptions are OSErrors, too.
            raise explain(error, self.host, sent=ticket.sent) from None

    async def work(self, job: Callable[[], R]) -> R:
        """Run something in one of the threads: what waits for the network, or would hold up the loop."""
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self.settings.max_connections, thread_name_prefix="exchange")
        return await asyncio.get_running_loop().run_in_executor(self._pool, job)

    async def _open(self) -> Sessions:
        """The sessions, made at the first call: that reads the secret and imports exchangelib."""
        if self._sessions is not None:
            return self._sessions
        async with self._opening:
            if self._sessions is None:
                self._sessions = await self.work(self._make)
            return self._sessions

    def _make(self) -> Sessions:
        from engine.mailbox.exchange.sessions import Sessions

        return Sessions(self.settings, self.net)

    def _drop(self, sessions: Sessions) -> None:
        if self._sessions is sessions:
            self._sessions = None
            sessions.close()

    # -- OAuth ---------------------------------------------------------------------------------------------

    async def _token(self, _key: Key) -> Token:
        """A token of the application (client credentials).

        Raises:
            ProviderError: the token endpoint refused it.
        """
        if self._login is None:
            self._login = Http(self.net, PROVIDER, timeout=self.settings.timeout, connections=1)
        secret = await self.work(lambda: settings_of.client_secret(self.settings))
        form = {
            "grant_type": "client_credentials",
            "client_id": self.settings.client_id,
            "client_secret": secret,
            "scope": self.settings.token_scope,
        }
        answer = await self._login.send(
            "POST",
            self.settings.token_url,
            headers={"content-type": "application/x-www-form-urlencoded"},
            content=urlencode(form),
        )
        try:
            document = json.loads(answer.content)
            if answer.status_code == 200:
                return Token(str(document["access_token"]), float(document.get("expires_in", 3600)))
            reason = str(document.get("error") or "")
            said = str(document.get("error_description") or "")
        except (ValueError, KeyError, TypeError, AttributeError):
            reason, said = "", ""
        raise errors.no_token(self.settings, answer.status_code, reason, said)

    # -- echoes --------------------------------------------------------------------------------------------

    def remember(self, account: Account, observation: Observation, version: str) -> None:
        """Keep what a write has left, until the feed tells of it."""
        self._echoes[account.email, observation.remote_id, version] = observation
        while len(self._echoes) > ECHOES:
            self._echoes.popitem(last=False)

    def echo(self, account: Account, remote_id: str, version: str) -> Observation | None:
        """What a write of ours has left, if the item still has that version."""
        return self._echoes.pop((account.email, remote_id, version), None)

    async def close(self) -> None:
        """Close connections; requests that threads still wait for fail now and not after their time-out."""
        sessions, self._sessions = self._sessions, None
        if sessions is not None:
            sessions.abort()
        if self._pool is not None:
            pool, self._pool = self._pool, None
            pool.shutdown(wait=False, cancel_futures=True)
        if self._login is not None:
            await self._login.aclose()
        self._echoes.clear()
