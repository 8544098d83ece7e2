"""Google's refusals: both generations of error bodies, told apart by what can be done about them.

Calendar, Gmail and Tasks answer ``{"error": {"errors": [{"domain", "reason", "message"}], "code", "message"}}``;
People and newer services ``{"error": {"code", "message", "status", "details": [{"@type": "...ErrorInfo", "reason"}]}}``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from email.utils import parsedate_to_datetime

from engine.mailbox.google.settings import Api
from engine.model.port import Outcome, Result
from engine.net.errors import ErrorKind, ProviderError

#: 403 reasons that mean "slow down", the same as 429 (providers.md 1.10).
RATE_REASONS = frozenset({"rateLimitExceeded", "userRateLimitExceeded", "RATE_LIMIT_EXCEEDED"})

#: Reasons that mean "stop for hours" (Calendar usage limits, daily budgets).
QUOTA_REASONS = frozenset({"quotaExceeded", "dailyLimitExceeded", "calendarUsageLimitsExceeded"})

#: Pause after one of ``QUOTA_REASONS``; Google names no time.
QUOTA_PAUSE_SECONDS = 3600.0

_API_OFF = frozenset({"accessNotConfigured", "SERVICE_DISABLED"})
_SCOPE_MISSING = frozenset({"insufficientPermissions", "ACCESS_TOKEN_SCOPE_INSUFFICIENT"})
_EXPIRED = frozenset({"fullSyncRequired", "updatedMinTooLongAgo", "EXPIRED_SYNC_TOKEN"})


class HttpFailure(ProviderError):
    """A request that Google answered with a refusal.

    Attributes:
        api: which API.
        reason: ``errors[0].reason`` of the older bodies, else ``ErrorInfo.reason``, else the newer ``status``.
        grpc: ``error.status`` of the newer bodies (``FAILED_PRECONDITION``), empty in the older.
        info: ``ErrorInfo.reason`` (``EXPIRED_SYNC_TOKEN``), empty when absent.
    """

    def __init__(
        self,
        api: Api,
        kind: ErrorKind,
        detail: str,
        *,
        status: int,
        reason: str = "",
        grpc: str = "",
        info: str = "",
        advice: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(
            kind,
            api.label,
            detail,
            advice=advice,
            status=status,
            retry_after=retry_after,
            maybe_applied=status >= 500,
        )
        self.api = api
        self.reason = reason
        self.grpc = grpc
        self.info = info

    @property
    def cursor_expired(self) -> bool:
        """Whether a feed must be read from its beginning (Calendar 410, People EXPIRED_SYNC_TOKEN)."""
        return bool(_EXPIRED & {self.reason, self.info})


def failure(api: Api, status: int, headers: Mapping[str, str], content: bytes | str) -> HttpFailure:
    """Read a refusal.

    Args:
        api: who answered.
        status: HTTP status, 300 or more.
        headers: response headers with lower-case names.
        content: the body; anything that is no JSON is tolerated.
    """
    try:
        error = json.loads(content)["error"]
    except (ValueError, KeyError, TypeError):
        error = {}
    if not isinstance(error, dict):
        error = {"message": str(error)}
    rows = error.get("errors") or [{}]
    details = [row for row in error.get("details") or () if isinstance(row, dict)]
    info = next((str(row["reason"]) for row in details if row.get("reason")), "")
    grpc = str(error.get("status") or "")
    old = rows[0] if isinstance(rows, list) and isinstance(rows[0], dict) else {}
    reason = str(old.get("reason") or info or grpc)
    message = str(error.get("message") or old.get("message") or f"HTTP {status} without an explanation")
    kind, advice = _classify(api, status, {reason, info})
    return HttpFailure(
        api,
        kind,
        f"{message} ({status} {reason})" if reason else f"{message} ({status})",
        status=status,
        reason=reason,
        grpc=grpc,
        info=info,
        advice=advice,
        retry_after=_pause(headers, {reason, info}),
    )


def _pause(headers: Mapping[str, str], reasons: set[str]) -> float | None:
    value = headers.get("retry-after", "")
    if value.strip().isdigit():
        return float(value)
    if value:
        # An HTTP date is relative to the server's clock, which stands in the same answer.
        try:
            base = parsedate_to_datetime(headers.get("date", ""))
            return max(0.0, (parsedate_to_datetime(value) - base).total_seconds())
        except (ValueError, TypeError):
            pass
    return QUOTA_PAUSE_SECONDS if reasons & QUOTA_REASONS else None


def _classify(api: Api, status: int, reasons: set[str]) -> tuple[ErrorKind, str]:
    if status == 429 or reasons & (RATE_REASONS | QUOTA_REASONS):
        return ErrorKind.THROTTLED, "The connection waits and goes on by itself"
    if status == 401:
        return ErrorKind.CREDENTIAL, "Check that the service account's key has not been revoked"
    if status == 403 and reasons & _API_OFF:
        return ErrorKind.PERMISSION, f"Enable the {api.label} API in the service account's Cloud project"
    if status == 403 and reasons & _SCOPE_MISSING:
        return (
            ErrorKind.PERMISSION,
            f"Authorise the {api.label} scopes for the client in the Admin console, Domain-wide delegation",
        )
    if status == 403:
        return ErrorKind.PERMISSION, "Check that the service is switched on for this user in the Admin console"
    if status in {404, 410}:
        return ErrorKind.NOT_FOUND, ""
    if status in {408, 502, 503, 504} or status >= 500:
        return ErrorKind.UNAVAILABLE, "The connection tries again by itself"
    return ErrorKind.REQUEST, ""


def concerns_all(error: ProviderError) -> bool:
    """Whether a failure is about the connection or the mailbox and not about the item that was written."""
    if error.kind in {ErrorKind.CREDENTIAL, ErrorKind.DELEGATION, ErrorKind.CONFIGURATION}:
        return True
    return isinstance(error, HttpFailure) and bool({error.reason, error.info} & (_API_OFF | _SCOPE_MISSING))


def outcome_of(error: ProviderError) -> Outcome:
    """What a failed write means for the engine (sync.md sections 3.7 and 4).

    404 and 410 are ``GONE``, 412 is ``CONFLICT``, throttling is certainly not applied, what has no answer or a 5xx
    is ``UNKNOWN``, and everything else is the item's own fault.
    """
    if error.kind is ErrorKind.THROTTLED or concerns_all(error):
        return Outcome(Result.REFUSED, reason=error.detail, retry_after=error.retry_after)
    if error.status in {404, 410}:
        return Outcome(Result.GONE, reason=error.detail)
    if error.status == 412:
        return Outcome(Result.CONFLICT, reason=error.detail)
    if error.maybe_applied:
        return Outcome(Result.UNKNOWN, reason=error.detail)
    if error.kind is ErrorKind.UNAVAILABLE:
        return Outcome(Result.REFUSED, reason=error.detail, retry_after=error.retry_after)
    return Outcome(Result.REJECTED, reason=error.detail)
