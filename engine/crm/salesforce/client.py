"""Calls to one org: session, lane, errors, queries and composite requests."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlencode

from engine.crm.salesforce.auth import log_in
from engine.crm.salesforce.errors import SalesforceError, classify, first_error, refusal
from engine.crm.salesforce.mapping import Row
from engine.crm.salesforce.settings import PROVIDER, SalesforceSettings
from engine.net.beside import Beside
from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import Http
from engine.net.lanes import Lane
from engine.net.net import Net
from engine.net.retry import with_retries
from engine.net.tokens import Key, Token, TokenCache

#: A lane that is closed for longer than this, in seconds, is an error to the caller rather than a silent wait.
_PATIENCE = 60.0

#: Without it, assignment rules would hand new leads and cases to others than the owner we name.
_HEADERS = {"sforce-auto-assign": "FALSE"}


@dataclass(frozen=True, slots=True)
class Answer:
    """A successful response: its JSON body and the server's time (``Date``), if it told it."""

    body: Any
    date: datetime | None


@dataclass(frozen=True, slots=True)
class QueryPage:
    """A part of a query's result.

    Attributes:
        rows: at most 2,000.
        total: rows of the whole result.
        date: the server's time at this page, if it told it.
        last: nothing follows.
    """

    rows: list[Row]
    total: int
    date: datetime | None
    last: bool


class SalesforceClient:
    """One org's REST API. Retries by itself only what is safe: reads, and writes that certainly did not arrive."""

    def __init__(self, settings: SalesforceSettings, net: Net) -> None:
        """Make a client; nothing is called before the first request."""
        self._settings = settings
        self._net = net
        self._http = Http(net, PROVIDER, timeout=60.0, base_headers=_HEADERS)
        self._lane = Lane(net, PROVIDER)
        self.beside = Beside()
        self._tokens = TokenCache(net, self._fetch_token)
        self._instance = ""
        #: API requests of the rolling 24 hours, (used, granted), as the last answer told (``Sforce-Limit-Info``).
        self.daily_usage: tuple[int, int] | None = None

    @property
    def instance_url(self) -> str:
        """The org's own address; empty before the first login."""
        return self._instance

    @property
    def root(self) -> str:
        """Path of the REST API's version, e.g. ``/services/data/v62.0``."""
        return f"/services/data/v{self._settings.api_version}"

    async def log_in(self) -> None:
        """Make sure that there is a session.

        Raises:
            ProviderError: the login was refused or a setting cannot work.
        """
        await self._tokens.get("session")

    async def request(
        self,
        method: str,
        path: str,
        *,
        params: Mapping[str, str] | None = None,
        body: Any = None,
        idempotent: bool | None = None,
        size: int = 0,
    ) -> Answer:
        """One call, repeated as far as that is safe; one refresh of the session on 401.

        Args:
            method: HTTP verb.
            path: below the API version's root, or an absolute path that begins with ``/services``.
            params: query parameters.
            body: sent as JSON.
            idempotent: whether a repeat after a lost answer is harmless; by default only for GET.
            size: bytes of the files in the body, of which the loop must not be held up.

        Raises:
            ProviderError: the call failed as a whole.
        """
        content = None if body is None else await self.beside.run(size, _written, body)
        safe = method == "GET" if idempotent is None else idempotent

        async def once() -> Answer:
            return await self._once(method, path, params, content)

        return await with_retries(self._net, once, idempotent=safe)

    async def query(self, soql: str, *, deleted: bool = False) -> AsyncIterator[QueryPage]:
        """Pages of a query.

        Args:
            soql: the query.
            deleted: ``queryAll``: with the recycle bin and archived activities.

        Raises:
            ProviderError: a call failed.
        """
        answer = await self.request("GET", "/queryAll" if deleted else "/query", params={"q": soql})
        while True:
            page, following = self._page(answer)
            yield page
            if page.last:
                return
            answer = await self.request("GET", following)

    async def queries(self, questions: Sequence[str], *, deleted: bool = False) -> list[tuple[QueryPage, str]]:
        """The first pages of up to five queries in one call, each with the path of its next page.

        Raises:
            ProviderError: the call or one of the queries failed.
        """
        requests = [
            {"method": "GET", "referenceId": f"query{number}", "url": self.query_url(soql, deleted=deleted)}
            for number, soql in enumerate(questions)
        ]
        answer = await self.request(
            "POST", "/composite", body={"allOrNone": False, "compositeRequest": requests}, idempotent=True
        )
        found = []
        for part in self._subanswers(answer, len(requests)):
            if isinstance(part, ProviderError):
                raise part
            found.append(self._page(Answer(part, answer.date)))
        return found

    async def more(self, following: str) -> AsyncIterator[QueryPage]:
        """The pages from the path of a next page on.

        Raises:
            ProviderError: a call failed.
        """
        while following:
            page, following = self._page(await self.request("GET", following))
            yield page

    async def rest_of(self, body: Any) -> list[Row]:
        """All rows of a result whose first part, ``body``, came inside a composite answer.

        Raises:
            ProviderError: a call failed.
        """
        rows: list[Row] = []
        answer = Answer(body, None)
        while True:
            page, following = self._page(answer)
            rows += page.rows
            if page.last:
                return rows
            answer = await self.request("GET", following)

    async def rows(self, soql: str, *, deleted: bool = False) -> list[Row]:
        """All rows of a query.

        Raises:
            ProviderError: a call failed.
        """
        return [row async for page in self.query(soql, deleted=deleted) for row in page.rows]

    def query_url(self, soql: str, *, deleted: bool = False) -> str:
        """The URL of a query as a subrequest of a composite names it."""
        return f"{self.root}/{'queryAll' if deleted else 'query'}?{urlencode({'q': soql})}"

    async def composite(
        self, requests: Sequence[Mapping[str, Any]], *, idempotent: bool = False, size: int = 0
    ) -> list[Any]:
        """Several subrequests in one call, each on its own (``allOrNone`` off).

        Args:
            requests: ``{method, url, referenceId, body?}``, at most 25 and five of them queries or collections.
            idempotent: whether a repeat after a lost answer is harmless.
            size: as in ``request``.

        Returns:
            For each subrequest its body, or a ``SalesforceError`` value when it failed.

        Raises:
            ProviderError: the call as a whole failed.
        """
        answer = await self.request(
            "POST",
            "/composite",
            body={"allOrNone": False, "compositeRequest": list(requests)},
            idempotent=idempotent,
            size=size,
        )
        return self._subanswers(answer, len(requests))

    def _subanswers(self, answer: Answer, number: int) -> list[Any]:
        out: list[Any] = []
        try:
            for each in answer.body["compositeResponse"]:
                status, body = int(each["httpStatusCode"]), each["body"]
                out.append(body if status < 400 else classify(status, *first_error(body)))
        except (KeyError, TypeError, ValueError):
            raise self._malformed() from None
        if len(out) != number:
            raise self._malformed()
        return out

    async def close(self) -> None:
        """Close connections."""
        await self._http.aclose()

    async def _once(
        self, method: str, path: str, params: Mapping[str, str] | None, content: bytes | None
    ) -> Answer:
        refreshed = False
        while True:
            token = await self._tokens.get("session")
            if (closed := self._lane.gated_for) > _PATIENCE:
                raise ProviderError(
                    ErrorKind.THROTTLED, PROVIDER, "asked to slow down", retry_after=closed, maybe_applied=False
                )
            full = path if path.startswith("/services") else self.root + path
            headers = {"authorization": f"Bearer {token}"}
            if content is not None:
                headers["content-type"] = "application/json; charset=utf-8"
            async with self._lane.slot():
                response = await self._http.send(
                    method, self._instance + full, headers=headers, params=params, content=content
                )
            self._note_usage(response.headers.get("sforce-limit-info"))
            if response.status_code < 300:
                self._lane.ok()
                return Answer(self._decode(response.content), _date(response.headers.get("date")))
            if response.status_code == 401 and not refreshed:
                # Certainly not applied: the session is checked before anything else.
                self._tokens.invalidate("session", token)
                refreshed = True
                continue
            error = refusal(response, self._net.clock.now_ms())
            self._slow_down(error)
            raise error

    def _slow_down(self, error: SalesforceError) -> None:
        """Close the lane for what passes soon; an empty daily allowance is left to the caller, who must not hang."""
        if error.kind is ErrorKind.THROTTLED or error.status == 503:
            wait = error.retry_after
            if wait is None or wait <= _PATIENCE:
                self._lane.throttled(wait)

    async def _fetch_token(self, key: Key) -> Token:
        async def once() -> tuple[Token, str]:
            return await log_in(self._settings, self._http, self._net)

        token, self._instance = await with_retries(self._net, once, idempotent=True)
        return token

    def _page(self, answer: Answer) -> tuple[QueryPage, str]:
        """A page and the path of the next one."""
        try:
            body = answer.body
            following = body.get("nextRecordsUrl") or ""
            last = bool(body["done"]) or not following
            return QueryPage(body["records"], int(body["totalSize"]), answer.date, last), following
        except (KeyError, TypeError, ValueError, AttributeError):
            raise self._malformed() from None

    def _decode(self, content: bytes) -> Any:
        if not content:
            return None
        try:
            return json.loads(content)
        except ValueError:
            raise self._malformed() from None

    def _malformed(self) -> ProviderError:
        return ProviderError(
            ErrorKind.MALFORMED,
            PROVIDER,
            "the answer cannot be read",
            advice="Check that login_url names the org itself and no proxy page",
            maybe_applied=True,
        )

    def _note_usage(self, header: str | None) -> None:
        """``Sforce-Limit-Info: api-usage=18/15000``."""
        for part in (header or "").split(","):
            name, _, value = part.strip().partition("=")
            used, _, granted = value.partition("/")
            if name == "api-usage" and used.isdigit() and granted.isdigit():
                self.daily_usage = (int(used), int(granted))


def _date(header: str | None) -> datetime | None:
    try:
        at = parsedate_to_datetime(header) if header else None
    except ValueError:
        return None
    return at.replace(tzinfo=UTC) if at and at.tzinfo is None else at


def _written(body: Any) -> bytes:
    return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
