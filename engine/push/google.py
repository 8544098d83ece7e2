"""A notification of a Google watch channel: headers alone, no body (providers.md 1.8)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

#: What a channel tells: its first message, a change, and the end of the resource.
STATES = frozenset({"sync", "exists", "not_exists"})


@dataclass(frozen=True, slots=True)
class WatchMessage:
    """One message.

    Attributes:
        channel: the id that we chose.
        token: what the message brings along; to be checked before anything else is believed.
        resource: Google's id of what is watched.
        state: ``sync``: the channel works, nothing has changed; ``exists``: something has; ``not_exists``: it is gone.
        number: grows by one or more with each message.
    """

    channel: str
    token: str
    resource: str
    state: str
    number: int


def read(headers: Mapping[str, str]) -> WatchMessage | None:
    """The message in the headers (lower-case names) of a request; None when it is none."""
    channel = headers.get("x-goog-channel-id", "")
    state = headers.get("x-goog-resource-state", "")
    number = headers.get("x-goog-message-number", "0")
    if not channel or len(channel) > 64 or state not in STATES or not number.isdecimal():
        return None
    return WatchMessage(
        channel,
        headers.get("x-goog-channel-token", ""),
        headers.get("x-goog-resource-id", ""),
        state,
        int(number[:18]),
    )
