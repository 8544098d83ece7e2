"""Watch channels of calendars: ``events.watch``, ``channels.stop``, and the notifications that Google posts.

As Google does: a ``sync`` message first, then one without a body for each change, told in headers alone; no renewal; https
only, except to this machine. A notification that is not taken is tried twice more and then given up.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from email.utils import formatdate
from typing import Any
from urllib.parse import urlsplit

import httpx
from starlette.types import ASGIApp, Receive, Scope, Send

from engine.sandbox.google import calendar_store as store
from engine.sandbox.google.call import ApiError, Call, Reply
from engine.sandbox.google.errors import invalid
from engine.sandbox.kit.world import World, transaction

log = logging.getLogger(__name__)

#: Life of a channel in seconds when the request does not say, and the longest.
LIFE = 7 * 86_400

_HERE = ("127.0.0.1", "localhost", "::1")
_PAUSES = (0.2, 1.0)

_TABLE = """CREATE TABLE IF NOT EXISTS google_channels (
    id TEXT PRIMARY KEY, user TEXT NOT NULL, calendar TEXT NOT NULL, resource TEXT NOT NULL, token TEXT NOT NULL,
    address TEXT NOT NULL, expires INTEGER NOT NULL, number INTEGER NOT NULL, seen INTEGER NOT NULL);"""


def setup(world: World) -> None:
    """The table of channels."""
    world.db.executescript(_TABLE)


def watch(call: Call) -> Reply:
    """``events.watch``.

    ``settings["google_channel_seconds"]`` is the longest life of a channel (a week unless told).

    Raises:
        ApiError: 400 for a channel that cannot be, 404 for a calendar that is not there.
    """
    world, body = call.world, call.body or {}
    calendar = store.calendar(world, call.user, call.params["calendarId"])
    channel, address = body.get("id", ""), body.get("address", "")
    if not 1 <= len(channel) <= 64 or not channel.isprintable():
        raise invalid("A channel needs an id of 1 to 64 characters.", "id", reason="required")
    if body.get("type") not in {"web_hook", "webhook"}:
        raise invalid("Unknown channel type", "type", reason="unknownChannelType")
    parts = urlsplit(address)
    if not parts.hostname or (parts.scheme != "https" and parts.hostname not in _HERE):
        raise invalid("WebHook callback must be HTTPS", "address", reason="push.webhookUrlNotHttps")
    if world.db.execute("SELECT 1 FROM google_channels WHERE id = ?", (channel,)).fetchone():
        raise ApiError(400, "channelIdNotUnique", f"Channel id {channel} not unique")
    longest = int(world.settings.get("google_channel_seconds", LIFE))
    asked = (body.get("params") or {}).get("ttl", "")
    life = min(int(asked), longest) if str(asked).isdecimal() else longest
    now = world.clock.now_ms()
    expires = now + life * 1000
    if str(body.get("expiration", "")).isdecimal():
        expires = min(int(body["expiration"]), now + longest * 1000)
    resource = hashlib.sha256(f"{call.user} {calendar.id}".encode()).hexdigest()[:26]
    with transaction(world):
        world.db.execute(
            "INSERT INTO google_channels VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?)",
            (
                channel,
                call.user,
                calendar.id,
                resource,
                body.get("token", ""),
                address,
                expires,
                _last(world, calendar.id),
            ),
        )
    answer = {
        "kind": "api#channel",
        "id": channel,
        "resourceId": resource,
        "resourceUri": f"https://www.googleapis.com/calendar/v3/calendars/{calendar.id}/events?alt=json",
        "expiration": str(expires),
    }
    if body.get("token"):
        answer["token"] = body["token"]
    return Reply(answer)


def stop(call: Call) -> Reply:
    """``channels.stop``.

    Raises:
        ApiError: 404 for a channel that is not there, or not of this resource.
    """
    body = call.body or {}
    with transaction(call.world):
        gone = call.world.db.execute(
            "DELETE FROM google_channels WHERE id = ? AND resource = ? AND user = ?",
            (body.get("id", ""), body.get("resourceId", ""), call.user),
        ).rowcount
    if not gone:
        raise ApiError(404, "notFound", f"Channel '{body.get('id', '')}' not found for project")
    return Reply(None)


def _last(world: World, calendar: str) -> int:
    row = world.db.execute("SELECT MAX(seq) FROM google_events WHERE calendar = ?", (calendar,)).fetchone()
    return int(row[0] or 0)


class Announcer:
    """After each request to the sandbox, posts what it changed to the channels that watch it."""

    def __init__(self, app: ASGIApp, world: World) -> None:
        self._app = app
        self._world = world
        self._greeted: set[str] = set()
        self._posts: set[asyncio.Task[None]] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve, then look."""
        await self._app(scope, receive, send)
        if scope["type"] == "http":
            self.look()

    def look(self) -> None:
        """Post what is to be told."""
        world = self._world
        try:
            channels = world.db.execute(
                "SELECT c.*, (SELECT MAX(seq) FROM google_events e WHERE e.calendar = c.calendar) AS last "
                "FROM google_channels c WHERE expires > ?",
                (world.clock.now_ms(),),
            ).fetchall()
        except Exception:  # the tables are made with the first request
            return
        for row in channels:
            if row["number"] == 1 and row["id"] not in self._greeted:
                self._greeted.add(row["id"])
                self._post(dict(row), "sync", 1)
            if (row["last"] or 0) > row["seen"]:
                number = row["number"] + 1
                world.db.execute(
                    "UPDATE google_channels SET seen = ?, number = ? WHERE id = ?",
                    (row["last"], number, row["id"]),
                )
                self._post(dict(row), "exists", number)

    def _post(self, row: dict[str, Any], state: str, number: int) -> None:
        headers = {
            "X-Goog-Channel-ID": row["id"],
            "X-Goog-Message-Number": str(number),
            "X-Goog-Resource-ID": row["resource"],
            "X-Goog-Resource-State": state,
            "X-Goog-Resource-URI": f"https://www.googleapis.com/calendar/v3/calendars/{row['calendar']}/events?alt=json",
            "X-Goog-Channel-Expiration": formatdate(row["expires"] / 1000, usegmt=True),
        }
        if row["token"]:
            headers["X-Goog-Channel-Token"] = row["token"]
        task = asyncio.get_running_loop().create_task(self._send(row["address"], headers))
        self._posts.add(task)
        task.add_done_callback(self._posts.discard)

    async def _send(self, address: str, headers: dict[str, str]) -> None:
        for pause in (*_PAUSES, None):
            try:
                async with httpx.AsyncClient(timeout=5, trust_env=False, verify=False) as client:  # noqa: S501
                    answer = await client.post(address, headers=headers)
                if answer.status_code < 500:
                    self._world.counters["google.notifications"] += 1
                    return
            except httpx.HTTPError as error:
                log.info("notification to %s: %s", address, error)
            if pause is not None:
                await asyncio.sleep(pause)
        self._world.counters["google.notifications_lost"] += 1
