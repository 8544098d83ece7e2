"""One API call after routing and validation, and the two ways it can end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.sandbox.kit.world import World


@dataclass(frozen=True, slots=True)
class Call:
    """A validated request.

    Attributes:
        world: state, clock, counters.
        user: address of the mailbox that the access token impersonates.
        method: discovery method id, e.g. ``calendar.events.insert``, ``people.people.connections.list``.
        params: path and query parameters by discovery name; repeated ones as lists; integers and booleans converted.
        body: parsed JSON body, or None. Of a media upload: the metadata, while ``params["__media__"]`` holds the bytes.
        headers: request headers, lower-case names (``if-match``).
    """

    world: World
    user: str
    method: str
    params: Mapping[str, Any]
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


class ApiError(Exception):
    """A refusal in Google's terms; the framework turns it into the error body of the API's generation.

    Attributes:
        status: HTTP status.
        reason: ``errors[0].reason`` of the older APIs (``duplicate``, ``conditionNotMet``, ``fullSyncRequired``).
        message: human text.
        grpc: ``status`` of the newer body (``FAILED_PRECONDITION``, ``ALREADY_EXISTS``); guessed from the HTTP status
            when empty.
        info_reason: ``ErrorInfo.reason`` detail of the newer body (``EXPIRED_SYNC_TOKEN``), if any.
        headers: extra response headers (``Retry-After``).
        location: the parameter, field or header at fault; of the older body only.
    """

    def __init__(
        self,
        status: int,
        reason: str,
        message: str,
        *,
        grpc: str = "",
        info_reason: str = "",
        domain: str = "global",
        headers: Mapping[str, str] | None = None,
        location: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message
        self.grpc = grpc
        self.info_reason = info_reason
        self.domain = domain
        self.headers = dict(headers or {})
        self.location = location


@dataclass(frozen=True, slots=True)
class Reply:
    """A successful answer. ``body`` None means 204 without content; bytes are JSON text that is ready to send."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Call], Reply]
"""A handler is synchronous, does its writes in one SQLite transaction, and raises ``ApiError`` to refuse."""
