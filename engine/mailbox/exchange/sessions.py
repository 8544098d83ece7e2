"""The wire: exchangelib's pool of sessions with its logins, and around each byte sent what this engine demands.

Imported at the first call of the first Exchange connection, in a thread: exchangelib takes 0.6 s and 48 MB.

Of exchangelib the pool, the logins (Basic, NTLM) and the table of time zones are used, and no more. Its own way to send a
request repeats a create whose answer was lost, once a pool has two sessions, and under any policy repeats one for each
version of the API that it knows (providers.md 0.4); here a request is sent exactly once, and who sent it decides.
"""

from __future__ import annotations

import logging
import ssl
import threading
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from exchangelib.configuration import Configuration
from exchangelib.credentials import Credentials
from exchangelib.protocol import BaseProtocol, FailFast
from exchangelib.transport import BASIC, NOAUTH, NTLM
from exchangelib.version import EXCHANGE_2016, Version
from requests.adapters import HTTPAdapter
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.connectionpool import HTTPConnectionPool, HTTPSConnectionPool

from engine.mailbox.exchange import settings as settings_of
from engine.mailbox.exchange.settings import ExchangeSettings, misconfigured
from engine.net.net import Net

# Its error level prints whole requests, which are people's appointments.
logging.getLogger("exchangelib").setLevel(logging.CRITICAL + 1)
logging.getLogger("requests_ntlm").setLevel(logging.CRITICAL + 1)
logging.getLogger("spnego").setLevel(logging.CRITICAL + 1)

_LOGINS = {settings_of.BASIC: BASIC, settings_of.NTLM: NTLM, settings_of.OAUTH: NOAUTH}


class NotSent(Exception):
    """Whoever asked for the request has gone before any byte of it was sent."""


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer. Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    content: bytes


class Ticket:
    """One request on its way through a thread; ``cancel`` keeps it from being sent if it is not yet.

    Attributes:
        sent: bytes of it may have left: it may have arrived.
    """

    def __init__(self, permit: Callable[[], None]) -> None:
        self._permit = permit
        self._cancelled = False
        self.sent = False

    def cancel(self) -> None:
        """Its asker no longer waits."""
        self._cancelled = True

    def check(self) -> None:
        """Asked at the last moment, before bytes leave: as ``engine.net.http`` does, and for the same reason."""
        if self._cancelled:
            raise NotSent
        self._permit()
        self.sent = True


_current = threading.local()


class _Asking:
    """A connection that asks the ticket of its thread before it sends; mixed into urllib3's two kinds."""

    sock: Any
    live: weakref.WeakSet[Any]

    def connect(self) -> None:
        """Connect, and be known to who closes the client."""
        super().connect()  # type: ignore[misc]
        self.live.add(self)

    def send(self, data: Any) -> None:
        """Send a piece of a request, unless nobody may or wants to any more."""
        if self.sock is None:
            self.connect()
        ticket = getattr(_current, "ticket", None)
        if ticket is not None:
            ticket.check()
        super().send(data)  # type: ignore[misc]


class _Adapter(HTTPAdapter):
    """One connection at a time, without retries, with our TLS and our connections."""

    def __init__(self, tls: ssl.SSLContext, live: weakref.WeakSet[Any]) -> None:
        self._tls = tls
        body = {"live": live}
        self._pools = {
            "http": type(
                "_Plain",
                (HTTPConnectionPool,),
                {"ConnectionCls": type("_PlainConnection", (_Asking, HTTPConnection), body)},
            ),
            "https": type(
                "_Secure",
                (HTTPSConnectionPool,),
                {"ConnectionCls": type("_SecureConnection", (_Asking, HTTPSConnection), body)},
            ),
        }
        super().__init__(pool_connections=1, pool_maxsize=1, max_retries=0, pool_block=True)

    def init_poolmanager(self, *args: Any, **kwargs: Any) -> None:
        """Requests' own, with our context and our kinds of connection."""
        super().init_poolmanager(*args, **kwargs, ssl_context=self._tls)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def cert_verify(self, conn: Any, url: str, verify: Any, cert: Any) -> None:
        """The context verifies; requests must not add its own list of authorities to it."""
        conn.cert_reqs = "CERT_REQUIRED"


class Sessions(BaseProtocol):  # type: ignore[misc]
    """Sessions to one server, at most ``max_connections``, each with its login (NTLM binds it to the connection).

    Not exchangelib's cached ``Protocol``: that is shared by all who name the same server in this process.
    """

    def __init__(self, settings: ExchangeSettings, net: Net) -> None:
        """Read the secret and make no call.

        Raises:
            ProviderError: ``CONFIGURATION``: the password or the authority cannot be read.
        """
        self._live: weakref.WeakSet[Any] = weakref.WeakSet()
        self._tls = _tls(settings, net)
        login = None
        if settings.auth != settings_of.OAUTH:
            login = Credentials(settings.username, settings_of.password(settings))
        super().__init__(
            Configuration(
                service_endpoint=settings.url,
                credentials=login,
                auth_type=_LOGINS[settings.auth],
                version=Version(build=EXCHANGE_2016),
                retry_policy=FailFast(),
                max_connections=settings.max_connections,
            )
        )

    def get_auth_type(self) -> str:
        """Never guessed: it stands in the settings.

        Raises:
            NotImplementedError: always.
        """
        raise NotImplementedError

    def create_session(self) -> Any:
        """A session with its login, our TLS, and none of the environment's proxies or passwords."""
        session = super().create_session()
        session.trust_env = False
        session.mount(self.service_endpoint, _Adapter(self._tls, self._live))
        return session

    def post(self, body: bytes, headers: Mapping[str, str], timeout: float, ticket: Ticket) -> Reply:
        """Send one request once and read the whole answer; called in a thread.

        Raises:
            OSError: no complete answer came (all exceptions of requests are of that kind).
            NotSent: the ticket was cancelled in time.
        """
        session = self.get_session()
        _current.ticket = ticket
        try:
            answer = session.post(
                self.service_endpoint,
                data=body,
                headers=dict(headers),
                timeout=timeout,
                allow_redirects=False,
            )
            reply = Reply(
                answer.status_code,
                {name.lower(): value for name, value in answer.headers.items()},
                answer.content,
            )
        except BaseException:
            # What is on the connection now is nobody's answer.
            self.retire_session(session)
            raise
        finally:
            _current.ticket = None
        if reply.status in {200, 500}:
            self.release_session(session)
        else:
            self.retire_session(session)
        return reply

    def abort(self) -> None:
        """Close everything, and the sockets of requests that threads still wait for."""
        for connection in list(self._live):
            sock = getattr(connection, "sock", None)
            if sock is not None:
                try:
                    sock.shutdown(2)
                except OSError:
                    continue
        self.close()


def _tls(settings: ExchangeSettings, net: Net) -> ssl.SSLContext:
    if not settings.ca_file:
        return net.tls
    try:
        return ssl.create_default_context(cafile=settings.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = error.strerror or "no certificate in PEM form"
        raise misconfigured(
            f"cannot read {settings.ca_file} (setting ca_file): {reason}",
            "It must hold the certificate of the authority in PEM form",
        ) from None
