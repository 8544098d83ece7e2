"""Error bodies of the three generations of Google APIs (providers' error guides; recorded traffic)."""

from __future__ import annotations

import json
from typing import Any

from engine.sandbox.google.call import ApiError

_GRPC = {
    400: "INVALID_ARGUMENT",
    401: "UNAUTHENTICATED",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    409: "ALREADY_EXISTS",
    410: "NOT_FOUND",
    412: "FAILED_PRECONDITION",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    501: "UNIMPLEMENTED",
    503: "UNAVAILABLE",
}
_HEADERS = {"If-Match", "Authorization"}


def body(error: ApiError, api: str) -> dict[str, Any]:
    """The JSON body of a refusal.

    Args:
        error: the refusal.
        api: ``calendar`` (``errors`` list only), ``people`` (``status`` and ``details`` only), or another of the
            APIs in between (Gmail and Tasks answer both).
    """
    inner: dict[str, Any] = {"code": error.status, "message": error.message}
    if api != "people":
        item: dict[str, Any] = {"message": error.message, "domain": error.domain, "reason": error.reason}
        if error.location:
            item["location"] = error.location
            item["locationType"] = "header" if error.location in _HEADERS else "parameter"
        inner["errors"] = [item]
    if api != "calendar":
        inner["status"] = error.grpc or _GRPC.get(error.status, "UNKNOWN")
        if error.info_reason:
            inner["details"] = [
                {
                    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
                    "reason": error.info_reason,
                    "domain": f"{api}.googleapis.com",
                }
            ]
    return {"error": inner}


def encoded(error: ApiError, api: str) -> bytes:
    """``body`` as bytes."""
    return json.dumps(body(error, api)).encode()


def unauthenticated() -> ApiError:
    """401 for a missing, unknown or expired access token."""
    return ApiError(
        401,
        "authError",
        "Invalid Credentials",
        location="Authorization",
        headers={"WWW-Authenticate": 'Bearer realm="https://accounts.google.com/", error="invalid_token"'},
    )


def insufficient_scope() -> ApiError:
    """403 for a token whose scopes do not cover the method."""
    return ApiError(
        403,
        "insufficientPermissions",
        "Request had insufficient authentication scopes.",
        info_reason="ACCESS_TOKEN_SCOPE_INSUFFICIENT",
    )


def not_found(message: str = "Not Found") -> ApiError:
    """404."""
    return ApiError(404, "notFound", message)


def invalid(message: str, location: str = "", *, reason: str = "invalid") -> ApiError:
    """400 for a value that cannot be accepted."""
    return ApiError(400, reason, message, location=location)
