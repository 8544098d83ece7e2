"""One HTTP client per provider: bounded, counted, never retrying, with errors that name the server and the remedy."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import MappingProxyType

import httpx

from engine.net.errors import ErrorKind, ProviderError
from engine.net.net import Net

Params = Mapping[str, str | int | bool] | Sequence[tuple[str, str | int | bool]]

#: Google compresses answers only for a user agent that contains "gzip".
_HEADERS = MappingProxyType({"user-agent": "Syncline/0.1 (gzip)", "accept": "application/json"})

#: Events after which bytes of a request leave this machine; without its body a server does not carry a request out.
_BYTES_LEAVE = frozenset({"http11.send_request_headers.started", "http11.send_request_body.started"})


class Http:
    """A thin cover over ``httpx.AsyncClient``.

    At most ``connections`` requests are in flight; the rest wait here, first come first served, and not inside
    httpcore, whose pool scans every connection for every waiting request (providers.md section 2, finding 4).
    Proxies of the environment are not used (``trust_env`` off), so that a loopback address stays one; name one
    with ``proxy``.
    """

    def __init__(
        self,
        net: Net,
        provider: str,
        *,
        timeout: float = 30.0,
        connections: int = 8,
        base_headers: Mapping[str, str] | None = None,
        proxy: str | None = None,
    ) -> None:
        """Make a client.

        Args:
            net: shared TLS context, clock and observer.
            provider: the name people know, e.g. ``Google Calendar``; stands in every error.
            timeout: seconds to connect, and seconds without a byte while writing or reading.
            connections: most connections, which is also the most requests in flight.
            base_headers: sent with every request.
            proxy: URL of an HTTP proxy.
        """
        self._net = net
        self._provider = provider
        self._slots = asyncio.Semaphore(connections)
        self._client = httpx.AsyncClient(
            verify=net.tls,
            http1=True,
            http2=False,
            trust_env=False,
            follow_redirects=False,
            proxy=proxy,
            timeout=httpx.Timeout(timeout, pool=None),
            limits=httpx.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=60.0
            ),
            headers={**_HEADERS, **(base_headers or {})},
        )

    async def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        content: bytes | str | None = None,
        params: Params | None = None,
        account: str = "",
    ) -> httpx.Response:
        """Send one request and read the whole answer, whatever its status.

        Args:
            method: HTTP verb.
            url: absolute URL.
            headers: added to the base headers.
            content: body as it goes over the wire.
            params: query parameters, encoded here.
            account: mailbox address for the observer, empty when there is none.

        Raises:
            ProviderError: no complete answer came. ``UNAVAILABLE`` with ``maybe_applied`` False when the connection
                was never made and True when the request may have arrived; ``CONFIGURATION`` for an address that
                cannot be used or a certificate that cannot be trusted.
        """
        async with self._slots:
            self._net.observer.called(self._provider, account)
            try:
                return await self._client.request(
                    method,
                    url,
                    headers=headers,
                    content=content,
                    params=list(params.items()) if isinstance(params, Mapping) else params,  # type: ignore[arg-type]
                    extensions={"trace": self._before_bytes},
                )
            except (httpx.HTTPError, httpx.InvalidURL) as error:
                raise self._explain(error, url) from None

    async def _before_bytes(self, event: str, _about: Mapping[str, object]) -> None:
        """Ask for the permit at the last moment: waiting for a slot and connecting take time, and a suspended process more.

        The events are httpcore's; what is raised here closes the connection and comes out of ``send``.
        """
        if event in _BYTES_LEAVE:
            self._net.permit()

    async def aclose(self) -> None:
        """Close all connections."""
        await self._client.aclose()

    def _explain(self, error: Exception, url: str) -> ProviderError:
        """The provider error for what httpx raised. Only the host is named: the rest of a URL may hold secrets."""
        host = host_of(url)
        if isinstance(error, (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError)):
            return ProviderError(
                ErrorKind.CONFIGURATION,
                self._provider,
                f"the address of {host} cannot be used",
                advice="Check the URL in the connection's settings; it starts with https:// and has no blanks",
            )
        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError, httpx.PoolTimeout)):
            return self._unreached(error, host)
        if isinstance(error, httpx.TimeoutException):
            what = f"{host} did not answer in time"
        elif isinstance(error, httpx.DecodingError):
            what = f"the answer of {host} could not be decompressed"
        else:
            what = f"the connection to {host} was lost before the answer was complete"
        return ProviderError(
            ErrorKind.UNAVAILABLE,
            self._provider,
            what,
            advice="It will be tried again; if it persists, check the network and the provider's status page",
            maybe_applied=True,
        )

    def _unreached(self, error: Exception, host: str) -> ProviderError:
        certificate = _cause(error, ssl.SSLCertVerificationError)
        if isinstance(certificate, ssl.SSLCertVerificationError):
            return ProviderError(
                ErrorKind.CONFIGURATION,
                self._provider,
                f"the certificate of {host} is not trusted ({certificate.verify_message})",
                advice="Add the issuing authority to this machine's trust store, or correct the host name",
            )
        if isinstance(error, httpx.ConnectTimeout):
            what = f"{host} could not be reached in time"
        else:
            cause = _cause(error, OSError)
            reason = cause.strerror if isinstance(cause, OSError) and cause.strerror else "no connection"
            what = f"{host} could not be reached ({reason})"
        return ProviderError(
            ErrorKind.UNAVAILABLE,
            self._provider,
            what,
            advice="Check the host name, the network and the firewall; it will be tried again",
        )


def host_of(url: str) -> str:
    """Host and port of a URL, for texts; ``the server`` when it has none."""
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, TypeError):
        return "the server"
    if not parsed.host:
        return "the server"
    return f"{parsed.host}:{parsed.port}" if parsed.port else parsed.host


def retry_after(response: httpx.Response, now_ms: int) -> float | None:
    """Seconds of a ``Retry-After`` header, which is either a number or an HTTP date (RFC 9110 section 10.2.3)."""
    value = response.headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return max(0.0, (at - datetime.fromtimestamp(now_ms / 1000, UTC)).total_seconds())


def _cause(error: BaseException, kind: type[BaseException]) -> BaseException | None:
    """The first exception of a kind in the chain below ``error``.

    httpx keeps the operating system's error below its own and httpcore's; with several addresses of one host
    asyncio joins them into a text, and then none is found.
    """
    seen: BaseException | None = error
    while seen is not None:
        if isinstance(seen, kind):
            return seen
        seen = seen.__cause__ or seen.__context__
    return None
