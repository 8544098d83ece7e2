"""What Salesforce's refusals mean: of a whole request, of one record, of a login."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import httpx

from engine.crm.salesforce.settings import PROVIDER
from engine.model.port import Outcome, Result
from engine.net.errors import ErrorKind, ProviderError
from engine.net.http import retry_after

#: Seconds to wait once the org's requests of 24 hours are used up; the window rolls, so some return all the time.
DAILY_LIMIT_WAIT = 900.0

#: Seconds to wait when too many long requests run at once (25 of 20 seconds or more).
CONCURRENCY_WAIT = 10.0

_NO_COLUMN = re.compile(r"No such column '([\w.]+)' on (?:entity|sobject of type) '?(\w+)")

#: Why a login is refused and what to do, by a part of ``error: error_description``.
_LOGIN_ADVICE = (
    ("no client credentials user enabled", "Enable the Client Credentials Flow of the app and choose its Run As user"),
    ("user hasn't approved this consumer", "Pre-authorise the user for the app: Admin approved users, and a profile "
     "or permission set that holds him"),
    ("user is inactive", "Activate the user in Salesforce or choose another one"),
    ("inactive_user", "Activate the user in Salesforce or choose another one"),
    ("audience is invalid", "Set audience to https://login.salesforce.com, or https://test.salesforce.com for a sandbox"),
    ("expired", "Check this machine's clock; it must agree with Salesforce to three minutes"),
    ("invalid assertion", "Check that private_key_file belongs to the certificate uploaded to the app"),
    ("invalid_client_id", "Check client_id; a new app needs up to ten minutes until it is known"),
    ("client identifier invalid", "Check client_id; a new app needs up to ten minutes until it is known"),
    ("invalid_client", "Check the consumer secret; it may have been rotated"),
    ("unsupported_grant_type", "Enable this OAuth flow in the app's settings"),
    ("ip restricted", "Relax the IP restrictions of the app or allow this machine's address"),
)  # fmt: skip

#: Codes of one record that mean: try later.
_LATER = frozenset(
    {"UNABLE_TO_LOCK_ROW", "REQUEST_LIMIT_EXCEEDED", "SERVER_UNAVAILABLE", "ALL_OR_NONE_OPERATION_ROLLED_BACK",
     "PROCESSING_HALTED"}
)  # fmt: skip


class SalesforceError(ProviderError):
    """A refusal of a whole request that keeps Salesforce's ``errorCode``."""

    def __init__(self, kind: ErrorKind, code: str, detail: str, **more: Any) -> None:
        super().__init__(kind, PROVIDER, detail, **more)
        self.code = code

    @property
    def missing_column(self) -> str:
        """The field that the org does not have or hides, when that is what it complained about, else empty."""
        found = _NO_COLUMN.search(self.detail) if self.code == "INVALID_FIELD" else None
        return found[1] if found else ""


def first_error(body: Any) -> tuple[str, str]:
    """``errorCode`` and ``message`` of a REST error body, which is a list or, in a few places, a single mapping."""
    error = body[0] if isinstance(body, list) and body else body
    if not isinstance(error, Mapping):
        return "", ""
    return str(error.get("errorCode") or error.get("statusCode") or ""), str(error.get("message") or "")


def refusal(response: httpx.Response, now_ms: int) -> SalesforceError:
    """The error of a response with status 400 or above."""
    try:
        code, message = first_error(json.loads(response.content))
    except ValueError:
        code, message = "", ""
    return classify(response.status_code, code, message, retry_after(response, now_ms))


def classify(status: int, code: str, message: str, wait: float | None = None) -> SalesforceError:
    """The error for a status, an ``errorCode`` and a ``message``.

    Codes: REST API Developer Guide, "Status Codes and Error Responses".
    """
    detail = f"{code}: {message}" if code else f"HTTP {status}"

    def error(
        kind: ErrorKind, advice: str = "", wait: float | None = wait, maybe: bool = False
    ) -> SalesforceError:
        return SalesforceError(
            kind, code, detail, advice=advice, status=status, retry_after=wait, maybe_applied=maybe
        )

    if code == "REQUEST_LIMIT_EXCEEDED":
        if "concurrent" in message.lower():
            return error(ErrorKind.THROTTLED, "Too many long requests run at once", wait or CONCURRENCY_WAIT)
        return error(
            ErrorKind.THROTTLED,
            "The org's API requests of the last 24 hours are used up; it goes on as they return",
            wait or DAILY_LIMIT_WAIT,
        )
    if status == 429:
        return error(ErrorKind.THROTTLED)
    if status == 401:
        return error(ErrorKind.CREDENTIAL, "The session is not accepted; check the app and its user")
    if status >= 500 or code in {"SERVER_UNAVAILABLE", "UNKNOWN_EXCEPTION"}:
        return error(ErrorKind.UNAVAILABLE, "It will be tried again", maybe=True)
    if code == "INVALID_QUERY_LOCATOR":
        return error(ErrorKind.UNAVAILABLE, "The listing expired while it was read; it starts again")
    if status == 403:
        return error(
            ErrorKind.PERMISSION, "Give the integration user API access and rights on this object in Salesforce"
        )
    if code == "INVALID_TYPE":
        return error(ErrorKind.PERMISSION, "The integration user cannot see this object; check its permissions")
    if status == 404:
        return error(ErrorKind.NOT_FOUND)
    if status in {301, 302, 307, 308}:
        return error(ErrorKind.CONFIGURATION, "Set login_url to the org's My Domain address")
    return error(ErrorKind.REQUEST)


def login_refusal(response: httpx.Response, now_ms: int) -> ProviderError:
    """The error of the token endpoint, with what to do about it."""
    if response.status_code == 429 or response.status_code >= 500:
        return refusal(response, now_ms)
    try:
        body = json.loads(response.content)
        what = f"{body['error']}: {body.get('error_description', '')}"
    except (ValueError, KeyError, TypeError):
        return ProviderError(
            ErrorKind.CONFIGURATION,
            PROVIDER,
            f"the login address answered HTTP {response.status_code} and no token",
            advice="Check login_url; it is the My Domain address of the org",
            status=response.status_code,
        )
    advice = next(
        (advice for part, advice in _LOGIN_ADVICE if part in what), "Check the app's settings in Salesforce"
    )
    return ProviderError(
        ErrorKind.CREDENTIAL, PROVIDER, f"login refused, {what}", advice=advice, status=response.status_code
    )


def item_outcome(errors: Any, *, existing: bool) -> Outcome:
    """The outcome of one record that a collection refused.

    Args:
        errors: its ``errors`` list of ``{statusCode, message, fields}``.
        existing: it was an update or delete of a record that we believe to exist.
    """
    rows = errors if isinstance(errors, list) else [errors]
    first: Mapping[str, Any] = rows[0] if rows and isinstance(rows[0], Mapping) else {}
    code = str(first.get("statusCode") or first.get("errorCode") or "UNKNOWN_EXCEPTION")
    fields = first.get("fields") or ()
    where = f" ({', '.join(map(str, fields))})" if fields else ""
    reason = f"{code}: {first.get('message') or 'no message'}{where}"
    if code in {"ENTITY_IS_DELETED", "NOT_FOUND"}:
        return Outcome(Result.GONE if existing else Result.REJECTED, reason=reason)
    if existing and not fields and code in {"INVALID_CROSS_REFERENCE_KEY", "MALFORMED_ID"}:
        return Outcome(Result.GONE, reason=reason)
    if code in _LATER:
        return Outcome(Result.REFUSED, reason=reason, retry_after=2.0)
    if code == "UNKNOWN_EXCEPTION":
        return Outcome(Result.UNKNOWN, reason=reason)
    return Outcome(Result.REJECTED, reason=reason)
