"""Page and sync tokens: opaque to clients, and bound to the query that they continue."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from typing import Any


def encode(content: dict[str, Any]) -> str:
    """A token that holds ``content`` and a check sum."""
    text = json.dumps(content, separators=(",", ":"), sort_keys=True)
    check = hashlib.sha256(text.encode()).hexdigest()[:8]
    return base64.urlsafe_b64encode((check + text).encode()).decode().rstrip("=")


def decode(token: str) -> dict[str, Any] | None:
    """What ``encode`` put in, or None when the token is damaged or of other origin."""
    try:
        text = base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)).decode()
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    if hashlib.sha256(text[8:].encode()).hexdigest()[:8] != text[:8]:
        return None
    content = json.loads(text[8:])
    return content if isinstance(content, dict) else None


def print_of(params: dict[str, Any]) -> str:
    """A short digest of query parameters, to tell whether a token is used with its own query."""
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()[:12]
