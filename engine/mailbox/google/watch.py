"""Watch channels of calendars: Google posts to us when an event changes (providers.md 1.8). Other APIs have none of their own."""

from __future__ import annotations

from collections.abc import Sequence

from engine.mailbox.google.client import GoogleClient
from engine.mailbox.google.errors import HttpFailure
from engine.model.port import Account, Channel, Scope


async def subscribe(
    client: GoogleClient, account: Account, scopes: Sequence[Scope], channel_id: str, address: str, token: str
) -> list[tuple[str, Channel]]:
    """One channel for each calendar feed. See ``engine.model.port.Pushing``."""
    made: list[tuple[str, Channel]] = []
    calendars = [scope for scope in scopes if scope.key.partition(":")[0] == "calendar"]
    for number, scope in enumerate(calendars):
        name = channel_id if not number else f"{channel_id}-{number}"
        body = {"id": name, "type": "web_hook", "address": address, "token": token}
        request = client.calendar.events.watch(calendarId=scope.remote_id, body=body)
        # Made twice is refused as a name that is not unique, so that a repeat would only hide an unknown outcome.
        answer = await client.execute(request, account, idempotent=False)
        made.append((scope.key, Channel(name, str(answer["resourceId"]), expires_ms=int(answer["expiration"]))))
    return made


async def unsubscribe(client: GoogleClient, account: Account, channel: Channel) -> None:
    """Stop a channel."""
    request = client.calendar.channels.stop(body={"id": channel.remote_id, "resourceId": channel.resource})
    try:
        await client.execute(request, account, idempotent=True)
    except HttpFailure as failure:
        if failure.status != 404:
            raise
