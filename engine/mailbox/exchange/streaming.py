"""Streaming notifications: one long answer of the server for many subscriptions, read by a thread as it comes.

For hosts that cannot be reached from outside (domain.md 5.6). The server counts such connections by account (Exchange 2013 allows
three, later versions ten; providers.md section 3), so that few threads serve all mailboxes of a connection.
"""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from engine.mailbox.exchange import errors, soap
from engine.mailbox.exchange.client import ExchangeClient
from engine.mailbox.exchange.soap import Message
from engine.mailbox.exchange.subscribe import news_of
from engine.mailbox.exchange.xml import M, T, element, leaf
from engine.model.port import Account, Channel, News
from engine.net.errors import ProviderError

if TYPE_CHECKING:
    from engine.mailbox.exchange.sessions import Sessions

#: Long connections of one server at once, and subscriptions in each.
CONNECTIONS = 3
MOST = 200

#: The server sends at least a status event so often; silence beyond it means that the line is dead, seconds.
SILENCE = 120.0

#: A piece of news longer than this is taken for garbage, bytes.
LONGEST = 8_000_000

_END = re.compile(rb"</(?:[A-Za-z_][\w.-]*:)?Envelope\s*>")


async def stream(
    client: ExchangeClient,
    threads: ThreadPoolExecutor,
    account: Account,
    channels: Sequence[Channel],
    minutes: int,
) -> AsyncIterator[tuple[str, News]]:
    """What subscriptions tell, until the connection's time is over, each with its id.

    Args:
        client: of the server.
        threads: one of them reads.
        account: who asks; one of the mailboxes.
        channels: at most ``MOST``.
        minutes: how long the connection lasts, 1 to 30.

    Raises:
        ProviderError: the line broke, or the server knows one of the subscriptions no more.
    """
    ids = "".join(leaf("t:SubscriptionId", channel.remote_id) for channel in channels[:MOST])
    body = element(
        "m:GetStreamingEvents", element("m:SubscriptionIds", ids) + leaf("m:ConnectionTimeout", minutes)
    )
    data, headers, sessions = await client.prepared(account, body)
    loop = asyncio.get_running_loop()
    came: asyncio.Queue[bytes | BaseException | None] = asyncio.Queue()
    over = threading.Event()

    def put(piece: bytes | BaseException | None) -> None:
        if not over.is_set():
            loop.call_soon_threadsafe(came.put_nowait, piece)

    work = loop.run_in_executor(threads, _read, sessions, data, headers, put, over, client.host)
    try:
        while (piece := await came.get()) is not None:
            if isinstance(piece, BaseException):
                raise piece
            for message in soap.parse(piece, "GetStreamingEvents", client.host):
                for told in _told(message):
                    yield told
    finally:
        over.set()
        work.cancel()


def _told(message: Message) -> list[tuple[str, News]]:
    if not message.ok:
        raise errors.fault_of(message.code, message.text, message.back_off)
    found = []
    for notification in message.node.iter(M + "Notification"):
        name = notification.findtext(T + "SubscriptionId") or ""
        found.append((name, news_of(notification)))
    return found


def _read(
    sessions: Sessions,
    data: bytes,
    headers: dict[str, str],
    put: Callable[[bytes | BaseException | None], None],
    over: threading.Event,
    host: str,
) -> None:
    """In a thread: the pieces of the answer, then None; or what went wrong."""
    from engine.mailbox.exchange.unreached import explain

    session: Any = sessions.create_session()
    try:
        with session.post(
            sessions.service_endpoint,
            data=data,
            headers=headers,
            timeout=(30.0, SILENCE),
            allow_redirects=False,
            stream=True,
        ) as answer:
            if answer.status_code != 200:
                names = {name.lower(): value for name, value in answer.headers.items()}
                put(errors.refused(answer.status_code, names, answer.content, host))
                return
            buffer = b""
            for piece in answer.iter_content(None):
                if over.is_set():
                    return
                buffer += piece
                while (end := _END.search(buffer)) is not None:
                    put(buffer[: end.end()])
                    buffer = buffer[end.end() :].lstrip()
                if len(buffer) > LONGEST:
                    put(errors.fault_of("ErrorInternalServerError", "an endless piece of news", None))
                    return
        put(None)
    except ProviderError as error:
        put(error)
    except OSError as error:  # those of requests are, too
        put(explain(error, host, sent=True))
    except BaseException as error:
        put(error)
    finally:
        session.close()
