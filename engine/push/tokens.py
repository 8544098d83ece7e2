"""What a notification must bring along: made from a key of this engine and the id, so that no token is ever stored."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
from pathlib import Path


def load_key(path: Path) -> bytes:
    """The key in a file of this engine alone (0600), made at first use.

    Raises:
        OSError: it can be neither read nor made.
    """
    try:
        key = path.read_bytes()
    except FileNotFoundError:
        key = secrets.token_bytes(32)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(key)
    if len(key) < 16:
        raise OSError(f"{path} is no key; remove it, then it is made anew and all subscriptions with it")
    return key


def token_of(key: bytes, name: str) -> str:
    """The token of a subscription of this name: 43 characters that fit into a header and into a path."""
    digest = hmac.new(key, name.encode(), hashlib.sha256).hexdigest()
    return digest[:43]


def is_token(key: bytes, name: str, given: str) -> bool:
    """Whether a token is the one of a subscription; takes the same time for every wrong one."""
    return hmac.compare_digest(token_of(key, name).encode(), given.encode("utf-8", "replace"))
