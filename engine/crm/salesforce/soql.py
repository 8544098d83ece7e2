"""Writing SOQL and the stamps in it."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

_ESCAPES = str.maketrans(
    {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", '"': '\\"'}
)


def text(value: str) -> str:
    """A quoted string literal."""
    return "'" + value.translate(_ESCAPES) + "'"


def texts(values: Iterable[str]) -> str:
    """A parenthesised list for ``IN``."""
    return "(" + ",".join(map(text, values)) + ")"


def moment(at: datetime) -> str:
    """A date-time literal in UTC with milliseconds, unquoted as SOQL wants it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.") + f"{at.microsecond // 1000:03d}Z"


def stamp(value: str) -> datetime:
    """The instant of a stamp as the API writes it (``2026-11-21T08:00:00.000+0000``).

    Raises:
        ValueError: it is not one.
    """
    at = datetime.fromisoformat(value)
    return at if at.tzinfo else at.replace(tzinfo=UTC)


def utc(value: str) -> str:
    """A stamp in canonical spelling: ``2026-11-21T08:00:00Z``."""
    if value.endswith("+0000"):
        return value[:19] + "Z"
    return stamp(value).astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def epoch_ms(value: str) -> int:
    """A stamp in epoch milliseconds."""
    return round(stamp(value).timestamp() * 1000)
