"""Sends what google-api-python-client has built: signed, charged, bounded, retried where that is safe, errors told apart.

The library builds URLs, checks parameters and reads answers; the wire is ours (providers.md section 2).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from functools import cached_property
from typing import Any
from urllib.parse import urlencode

import httpx
from googleapiclient.http import HttpRequest

from engine.mailbox.google.auth import Delegation
from engine.mailbox.google.batch import PartResult, send_batches
from engine.mailbox.google.errors import QUOTA_REASONS, HttpFailure, failure
from engine.mailbox.google.quota import Charge, charges
from engine.mailbox.google.services import Collection, build_service
from engine.mailbox.google.settings import Api, GoogleSettings
from engine.mailbox.google.wire import api_of, parse, quota_user, wire
from engine.model.port import Account
from engine.net.beside import Beside
from engine.net.buckets import Buckets
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from engine.net.http import Http
from engine.net.lanes import Lane
from engine.net.net import Net
from engine.net.retry import with_retries

#: A pause longer than this is the engine's to keep, not ours to sleep through.
LONGEST_PAUSE = 60.0


class GoogleClient:
    """All Google calls of one connection. Collections hang on ``calendar``, ``people``, ``tasks`` and ``gmail``::

    request = client.calendar.events.list(calendarId="primary")
    answer = await client.execute(request, account, idempotent=True)
    """

    def __init__(self, settings: GoogleSettings, net: Net) -> None:
        self.settings = settings
        self.net = net
        self.delegation = Delegation(settings, net)
        self.buckets = Buckets(net)
        self.beside = Beside()
        self._http = {api: Http(net, api.label, timeout=settings.timeout) for api in Api}
        self._lanes: dict[tuple[Api, str], Lane] = {}
        self._no_batch = {api for api in Api if not settings.batch_url(api)}
        if not settings.tasks_batch:
            self._no_batch.add(Api.TASKS)
        #: Answers that are the same for every mailbox (the palette of event colours).
        self.memo: dict[str, Any] = {}
        self.memo_lock = asyncio.Lock()
        # One token for all scopes, unless the admin has authorised only some: then one per API.
        self._apart = False

    # -- collections -------------------------------------------------------------------------------------

    @cached_property
    def calendar(self) -> Collection:
        """Calendar v3."""
        return build_service(Api.CALENDAR, self.settings.endpoint(Api.CALENDAR))

    @cached_property
    def people(self) -> Collection:
        """People v1."""
        return build_service(Api.PEOPLE, self.settings.endpoint(Api.PEOPLE))

    @cached_property
    def tasks(self) -> Collection:
        """Tasks v1."""
        return build_service(Api.TASKS, self.settings.endpoint(Api.TASKS))

    @cached_property
    def gmail(self) -> Collection:
        """Gmail v1."""
        return build_service(Api.GMAIL, self.settings.endpoint(Api.GMAIL))

    # -- calls -------------------------------------------------------------------------------------------

    async def execute(
        self,
        request: HttpRequest,
        account: Account,
        *,
        idempotent: bool,
        cost: float | None = None,
        urgent: bool = False,
        attempts: int = 5,
    ) -> Any:
        """Send one request and read its answer.

        Args:
            request: as a collection's method built it; ``request.headers`` may hold ``If-Match``.
            account: the mailbox to act for.
            idempotent: whether it may be sent again when nobody knows whether it was applied.
            cost: quota units; ``None`` takes them from the table of methods.
            urgent: may use the part of the quota that is reserved for what an admin asks for now.
            attempts: most attempts while throttled or unavailable.

        Raises:
            CursorExpired: the feed's cursor is no longer known.
            HttpFailure: Google refused; ``status`` and ``reason`` say why.
            ProviderError: no answer, no token, or one that cannot be read.
        """
        api = api_of(request)
        due = charges(self.settings.quotas, api, request.methodId, account.email, cost)

        async def attempt() -> Any:
            await self._pay(api, due, account, urgent)
            response = await self._signed(
                api, account, lambda token: self._http[api].send(**wire(request, account, token))
            )
            if response.status_code >= 300:
                refusal = failure(api, response.status_code, response.headers, response.content)
                self.heed(api, due, account, refusal)
                if refusal.cursor_expired:
                    raise CursorExpired(refusal.detail)
                raise refusal
            self.lane(api, account).ok()
            content = response.content
            return await self.beside.run(
                len(content), parse, api, request, response.status_code, response.headers, content
            )

        return await with_retries(
            self.net, attempt, idempotent=idempotent, attempts=attempts, account=account.email
        )

    async def execute_batch(
        self, api: Api, requests: Sequence[HttpRequest], account: Account, *, urgent: bool = False
    ) -> list[PartResult]:
        """Send many requests in as few calls as the batch endpoint takes; one result per request, in order.

        Never repeats anything whose outcome is unknown. Where the endpoint answers 404 or 405, or the settings name
        none, the requests go singly from then on.

        Raises:
            ProviderError: no token: nothing was sent.
        """
        return await send_batches(self, api, requests, account, urgent)

    def batches(self, api: Api) -> bool:
        """Whether an API's batch endpoint is used."""
        return api not in self._no_batch

    def without_batch(self, api: Api) -> None:
        """From now on send this API's requests singly."""
        self._no_batch.add(api)

    def lane(self, api: Api, account: Account) -> Lane:
        """The lane of one mailbox in one API."""
        key = (api, account.email)
        if key not in self._lanes:
            self._lanes[key] = Lane(self.net, api.label)
        return self._lanes[key]

    def heed(self, api: Api, due: Sequence[Charge], account: Account, refusal: HttpFailure) -> None:
        """Slow down after a refusal that asks for it. Pauses of hours are left to the engine."""
        pause = refusal.retry_after
        if refusal.status == 503:
            self.lane(api, account).throttled(min(pause or 0.0, LONGEST_PAUSE), account=account.email)
        if refusal.kind is not ErrorKind.THROTTLED or {refusal.reason, refusal.info} & QUOTA_REASONS:
            return
        if pause is not None and pause > LONGEST_PAUSE:
            return
        waited = self.lane(api, account).throttled(pause, account=account.email)
        for charge in due:
            # One mailbox that was too fast must not slow the others down.
            if charge.own or refusal.reason == "rateLimitExceeded":
                self.buckets.penalise(charge.bucket, waited)

    async def pay(
        self, api: Api, requests: Sequence[HttpRequest], account: Account, urgent: bool
    ) -> list[Charge]:
        """Wait until the quota allows a batch of requests; returns what was charged."""
        total: dict[Any, Charge] = {}
        for request in requests:
            for charge in charges(self.settings.quotas, api, request.methodId, account.email):
                known = total.get(charge.bucket)
                cost = charge.cost + (known.cost if known else 0)
                total[charge.bucket] = replace(charge, cost=cost)
        due = list(total.values())
        await self._pay(api, due, account, urgent)
        return due

    async def post_batch(self, api: Api, account: Account, content_type: str, body: bytes) -> httpx.Response:
        """Send one multipart batch, signed; every status comes back."""
        url = f"{self.settings.batch_url(api)}?{urlencode({'quotaUser': quota_user(account)})}"

        async def send(token: str) -> httpx.Response:
            headers = {"authorization": f"Bearer {token}", "content-type": content_type}
            return await self._http[api].send("POST", url, headers=headers, content=body, account=account.email)

        return await self._signed(api, account, send)

    async def token(self, api: Api, account: Account) -> tuple[str, tuple[str, ...]]:
        """An access token for an API and the scopes it was asked for.

        Raises:
            ProviderError: see ``Delegation.token``.
        """
        if not self._apart:
            scopes = self.settings.all_scopes()
            try:
                return await self.delegation.token(account.email, scopes), scopes
            except ProviderError as error:
                # A missing scope refuses the whole list (providers.md 1.9): ask for what this API alone needs.
                if error.kind is not ErrorKind.DELEGATION:
                    raise
        scopes = self.settings.scopes_of(api)
        token = await self.delegation.token(account.email, scopes)
        self._apart = True
        return token, scopes

    async def close(self) -> None:
        """Close all connections."""
        async with AsyncExitStack() as stack:
            stack.push_async_callback(self.delegation.close)
            for http in self._http.values():
                stack.push_async_callback(http.aclose)

    # -- inside ------------------------------------------------------------------------------------------

    async def _pay(self, api: Api, due: Sequence[Charge], account: Account, urgent: bool) -> None:
        for charge in due:
            await self.buckets.take(
                charge.bucket,
                charge.cost,
                rate_per_minute=charge.rate,
                fill=charge.fill,
                burst=charge.burst,
                account=account.email,
                provider=api.label,
                urgent=urgent,
            )

    async def _signed(
        self, api: Api, account: Account, send: Callable[[str], Awaitable[httpx.Response]]
    ) -> httpx.Response:
        """Send with a token; once more with a fresh one when it is refused (401 is before any processing)."""
        token, scopes = await self.token(api, account)
        async with self.lane(api, account).slot():
            response = await send(token)
            if response.status_code == 401:
                self.delegation.invalidate(account.email, scopes, token)
                token, _ = await self.token(api, account)
                response = await send(token)
        return response
