"""Pull, push and streaming notifications, read by exchangelib and by a listener of ours."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from exchangelib import Message, Task
from exchangelib.errors import ErrorInvalidWatermark, ErrorSubscriptionNotFound
from exchangelib.services import SendNotification
from lxml import etree

from tests.sandbox.exchange.library import account
from tests.sandbox.exchange.office import NAMES, SCHEMA, M, Office, S, Watch, office

_OK = (
    f'<s:Envelope xmlns:s="{S}"><s:Body><m:SendNotificationResult xmlns:m="{M}">'
    "<m:SubscriptionStatus>{}</m:SubscriptionStatus></m:SendNotificationResult></s:Body></s:Envelope>"
)


class Listener:
    """An HTTP server that takes notifications; ``answers`` says how each is answered, OK when empty."""

    def __init__(self) -> None:
        self.bodies: queue.Queue[bytes] = queue.Queue()
        self.answers: queue.Queue[str] = queue.Queue()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                try:
                    word = outer.answers.get_nowait()
                except queue.Empty:
                    word = "OK"
                content = _OK.format(word).encode()
                self.send_response(200 if word in ("OK", "Unsubscribe") else 503)
                self.send_header("Content-Type", "text/xml")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                outer.bodies.put(body)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}/listener"

    def __enter__(self) -> Listener:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def next(self) -> Any:
        """The next notification, checked against the schema and parsed by exchangelib."""
        body = self.bodies.get(timeout=20)
        inner = etree.fromstring(body).find("s:Body/*", NAMES)
        assert inner is not None
        if SCHEMA.is_dir():
            assert Watch.schema is not None
            assert Watch.schema.validate(etree.fromstring(etree.tostring(inner))), Watch.schema.error_log
        return next(iter(SendNotification(protocol=None).parse(body)))


def until(condition: Callable[[], bool]) -> None:
    """Wait for what the server does after its last answer."""
    end = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.005)


@contextmanager
def pushing(**settings: Any) -> Iterator[tuple[Office, Listener]]:
    quick = {"exchange_push_minute_seconds": 60.0, "exchange_push_retry_seconds": 0.01, **settings}
    with office(quick) as running, Listener() as listener:
        yield running, listener


def test_pull_subscriptions_tell_once_what_has_happened(exchange: Office) -> None:
    with account(exchange) as anna:
        subscription_id, watermark = anna.inbox.subscribe_to_pull(timeout=10)
        message = Message(folder=anna.inbox, subject="one")
        message.save()
        message.subject = "two"
        message.save(update_fields=["subject"])
        Task(folder=anna.tasks, subject="elsewhere").save()
        notes = list(anna.inbox.get_events(subscription_id, watermark))
        events = [event for note in notes for event in note.events]
        assert [type(event).__name__ for event in events] == ["CreatedEvent", "ModifiedEvent"]
        assert {event.item_id.id for event in events} == {message.id}
        last = events[-1].watermark
        again = [event for note in anna.inbox.get_events(subscription_id, last) for event in note.events]
        assert [type(event).__name__ for event in again] == ["StatusEvent"]
        with pytest.raises(ErrorInvalidWatermark):
            list(anna.inbox.get_events(subscription_id, watermark))
        exchange.advance(11 * 60)
        with pytest.raises(ErrorSubscriptionNotFound):
            list(anna.inbox.get_events(subscription_id, last))


def test_push_notifications_are_posted_with_watermarks() -> None:
    with pushing() as (running, listener), account(running) as anna:
        subscription_id, watermark = anna.inbox.subscribe_to_push(listener.url, status_frequency=1)
        first = listener.next()
        assert (first.subscription_id, first.previous_watermark) == (subscription_id, watermark)
        assert [type(event).__name__ for event in first.events] == ["StatusEvent"]
        Message(folder=anna.inbox, subject="one").save()
        note = listener.next()
        assert "CreatedEvent" in [type(event).__name__ for event in note.events]
        assert note.previous_watermark == watermark
        listener.answers.put("Unsubscribe")
        Message(folder=anna.inbox, subject="two").save()
        assert listener.next().previous_watermark != watermark
        until(lambda: running.world.counters["exchange.push_ended"] == 1)
        with pytest.raises(ErrorSubscriptionNotFound):
            anna.inbox.unsubscribe(subscription_id)


def test_a_push_that_fails_is_repeated_and_loses_nothing() -> None:
    with pushing() as (running, listener), account(running) as anna:
        anna.inbox.subscribe_to_push(listener.url, status_frequency=1)
        listener.next()
        for _ in range(3):
            listener.answers.put("busy")
        Message(folder=anna.inbox, subject="one").save()
        notes = [listener.next() for _ in range(4)]
        assert len({note.previous_watermark for note in notes}) == 1
        assert running.world.counters["exchange.push_failed"] == 3


def test_silence_is_broken_by_status_pings() -> None:
    with pushing(exchange_push_minute_seconds=0.05) as (running, listener), account(running) as anna:
        anna.inbox.subscribe_to_push(listener.url, status_frequency=1)
        for _ in range(3):
            assert [type(event).__name__ for event in listener.next().events] == ["StatusEvent"]


def test_a_listener_that_stays_away_loses_its_subscription() -> None:
    with pushing(exchange_push_minute_seconds=0.05) as (running, listener), account(running) as anna:
        for _ in range(20):
            listener.answers.put("busy")
        subscription_id, _ = anna.inbox.subscribe_to_push(listener.url, status_frequency=1)
        until(lambda: running.world.counters["exchange.push_ended"] == 1)
        assert running.world.counters["exchange.push_given_up"] == 1
        with pytest.raises(ErrorSubscriptionNotFound):
            anna.inbox.unsubscribe(subscription_id)


def test_streaming_delivers_while_the_connection_is_open() -> None:
    settings = {"exchange_stream_minute_seconds": 30.0, "exchange_stream_ping_seconds": 0.05}
    with office(settings) as running, account(running, max_connections=2) as anna:
        subscription_id = anna.inbox.subscribe_to_streaming()
        heard: list[str] = []
        sent = False
        for note in anna.inbox.get_streaming_events(subscription_id, connection_timeout=1):
            kinds = [type(event).__name__ for event in note.events]
            heard += kinds
            if not sent:
                sent = True
                Message(folder=anna.inbox, subject="one").save()
            elif "CreatedEvent" in kinds:
                break
        assert "CreatedEvent" in heard
        anna.inbox.unsubscribe(subscription_id)


def test_a_streaming_connection_ends_after_its_time() -> None:
    with office({"exchange_stream_minute_seconds": 0.05}) as running, account(running) as anna:
        subscription_id = anna.inbox.subscribe_to_streaming()
        notes = list(anna.inbox.get_streaming_events(subscription_id, connection_timeout=1))
        assert notes == []
        with pytest.raises(ErrorSubscriptionNotFound):
            list(anna.inbox.get_streaming_events("nobody's", connection_timeout=1))
