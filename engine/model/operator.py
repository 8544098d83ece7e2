"""Operators: the people for whom CalendarSynchronization runs (Pega's word; domain.md 5.4 and 6.2)."""

from __future__ import annotations


def is_operator(calendar_sync: bool, email: str, exchange_email: str) -> bool:
    """Whether the job runs for a person: Calendar Sync is on, and the address of the mailbox is known.

    The Exchange e-mail is the person's own address where no other is given.
    """
    return calendar_sync and bool(exchange_email or email)
