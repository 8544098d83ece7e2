"""Numbers with their nouns, as people say them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo


def count(number: int, one: str, several: str) -> str:
    """``1 mailbox``, ``1,202 mailboxes``."""
    return f"{number:,} {one if number == 1 else several}"


def clock(zone: tzinfo) -> Callable[[int], str]:
    """How to say a moment (epoch milliseconds) in a zone: ``2026-11-21 14:00:12 CET``."""

    def say(at_ms: int) -> str:
        local = datetime.fromtimestamp(at_ms / 1000, UTC).astimezone(zone)
        return f"{local:%Y-%m-%d %H:%M:%S} {local.tzname()}"

    return say


def clock_utc(at_ms: int) -> str:
    """A moment for a record that people of several zones read."""
    return clock(UTC)(at_ms)


def mailboxes(number: int) -> str:
    """So many mailboxes."""
    return count(number, "mailbox", "mailboxes")


def next_wave(policy: str) -> str:
    """How the next wave of a roll-out is admitted."""
    return f"O in Policies, or syncline rollout {policy!r} next, admits the next wave"
