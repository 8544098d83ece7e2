"""Page and sync tokens of the People sandbox: opaque strings that carry their own checksum.

A token is the base64url of a small JSON document plus a CRC, so a shortened or altered one is told from an expired one,
as the real service does (400 INVALID_ARGUMENT against 400 EXPIRED_SYNC_TOKEN).
"""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from typing import Any

from engine.sandbox.google.call import ApiError

SYNC_TOKEN_DAYS = 7
"""Days a sync token lives, counted from the full sync that began its chain (people.connections.list)."""
_DAY_MS = 86_400_000


def pack(kind: str, values: Mapping[str, Any]) -> str:
    """Make a token of ``kind`` (``page`` or ``sync``) that carries ``values``."""
    text = json.dumps([kind, dict(values)], separators=(",", ":"), sort_keys=True).encode()
    return base64.urlsafe_b64encode(zlib.crc32(text).to_bytes(4, "big") + text).decode().rstrip("=")


def unpack(kind: str, token: str) -> dict[str, Any]:
    """Read a token back.

    Raises:
        ApiError: 400 INVALID_ARGUMENT when it was not made by ``pack`` for this kind.
    """
    try:
        data = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        if len(data) < 5 or zlib.crc32(data[4:]) != int.from_bytes(data[:4], "big"):
            raise ValueError(token)
        found, values = json.loads(data[4:])
        if found != kind:
            raise ValueError(token)
    except (ValueError, binascii.Error):
        raise ApiError(400, "badRequest", f"Invalid {kind} token.", grpc="INVALID_ARGUMENT") from None
    return dict(values)


def fingerprint(params: Mapping[str, Any]) -> str:
    """A short digest of the parameters that must stay the same from the first call of a listing to its last.

    Everything counts but the two tokens themselves; masks are compared as sets, and defaults equal their absence.
    """
    kept: dict[str, Any] = {}
    for name, value in sorted(params.items()):
        if name in ("pageToken", "syncToken") or value in (None, "", 0, False, []):
            continue
        if not _is_of_the_method(name):
            continue
        kept[name] = sorted({part.strip() for part in value.split(",")}) if isinstance(value, str) else value
    return format(zlib.crc32(json.dumps(kept, sort_keys=True, default=str).encode()), "08x")


def _is_of_the_method(name: str) -> bool:
    """Global parameters (``quotaUser``, ``alt``, ``fields``) may differ between the calls of a listing."""
    return name in {
        "resourceName",
        "personFields",
        "requestMask.includeField",
        "requestSyncToken",
        "pageSize",
        "sortOrder",
        "sources",
        "groupFields",
    }


def require_same(stored: str, params: Mapping[str, Any], token: str) -> None:
    """Refuse a continued listing whose parameters differ from its first call.

    Raises:
        ApiError: 400 INVALID_ARGUMENT.
    """
    if stored != fingerprint(params):
        raise ApiError(
            400,
            "badRequest",
            f"Request parameters must match the first call that provided the {token}.",
            grpc="INVALID_ARGUMENT",
        )


def require_fresh(full_sync_ms: int, now_ms: int, days: float) -> None:
    """Refuse a sync token whose full sync is more than ``days`` days old.

    Raises:
        ApiError: 400 FAILED_PRECONDITION with ErrorInfo reason ``EXPIRED_SYNC_TOKEN``.
    """
    if now_ms - full_sync_ms > days * _DAY_MS:
        raise ApiError(
            400,
            "failedPrecondition",
            "Sync token is expired. Clear local cache and retry call without the sync token.",
            grpc="FAILED_PRECONDITION",
            info_reason="EXPIRED_SYNC_TOKEN",
            domain="people.googleapis.com",
        )
