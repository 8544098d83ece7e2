"""What went wrong with a provider, told apart by what can be done about it."""

from __future__ import annotations

from enum import StrEnum


class ErrorKind(StrEnum):
    """Classes of failure of a whole call. Retried by itself: ``THROTTLED``, ``UNAVAILABLE``. Never retried blindly:
    ``CREDENTIAL``, ``PERMISSION``, ``CONFIGURATION``."""

    CREDENTIAL = "credential"  # 401: key, secret or token refused
    DELEGATION = "delegation"  # domain-wide delegation missing for this client or this scope
    PERMISSION = "permission"  # 403 for good: scope, role, API not enabled
    THROTTLED = "throttled"  # 429, quota: wait
    UNAVAILABLE = "unavailable"  # 5xx, time-out, connection refused
    MALFORMED = "malformed"  # an answer that cannot be read
    NOT_FOUND = "not found"
    REQUEST = "request"  # 400: we asked something that the provider refuses
    CONFIGURATION = "configuration"  # wrong URL, unreadable key file


class ProviderError(Exception):
    """A call that failed as a whole.

    Attributes:
        kind: the class, which decides whether and when to try again.
        provider: who, in words an admin knows (``Google Calendar``, ``Salesforce``).
        detail: what the provider said; never a secret.
        advice: what to do about it.
        status: HTTP status, ``None`` when there was no answer.
        retry_after: seconds the provider asked to wait.
        maybe_applied: a write may have reached the server (lost reply, 5xx); False when it certainly did not.
    """

    def __init__(
        self,
        kind: ErrorKind,
        provider: str,
        detail: str,
        *,
        advice: str = "",
        status: int | None = None,
        retry_after: float | None = None,
        maybe_applied: bool = False,
    ) -> None:
        super().__init__(f"{provider}: {detail}" + (f". {advice}" if advice else ""))
        self.kind = kind
        self.provider = provider
        self.detail = detail
        self.advice = advice
        self.status = status
        self.retry_after = retry_after
        self.maybe_applied = maybe_applied


class CursorExpired(Exception):
    """The provider no longer knows a feed's cursor (410, Gmail's 404, EXPIRED_SYNC_TOKEN): read the whole feed."""
