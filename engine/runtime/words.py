"""Numbers with their nouns, as people say them."""

from __future__ import annotations


def count(number: int, one: str, several: str) -> str:
    """``1 mailbox``, ``1,202 mailboxes``."""
    return f"{number:,} {one if number == 1 else several}"


def mailboxes(number: int) -> str:
    """So many mailboxes."""
    return count(number, "mailbox", "mailboxes")
