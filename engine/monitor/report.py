"""Reports that are read on demand rather than pulled: what a verification found."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class VerifyRow:
    """One tick of a verification.

    Attributes:
        mailbox: whose.
        check: what was read back: ``groups``, ``calendar`` (with its colours), ``task list``, ``label tree``,
            ``contacts``, ``leads``, ``appointments``, ``calls``, ``service calls``, ``tasks``, ``drop labels``,
            ``quick connect mails``, ``duplicates``; ``first sync`` or ``access`` when the mailbox could not be read.
        ok: whether what was found is what the ledger says.
        have: how many were found at the provider.
        want: how many the ledger expects.
        detail: what differs, for people; empty when ``ok``.
    """

    mailbox: str
    check: str
    ok: bool
    have: int
    want: int
    detail: str = ""
