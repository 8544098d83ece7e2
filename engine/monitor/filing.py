"""A filed mail as screens and scripts read it."""

from __future__ import annotations

from dataclasses import dataclass

#: States in the words of the table of filed mails.
STATES = ("waiting", "sent", "unfiling", "filed", "refused", "unfiled", "left", "gone")


@dataclass(frozen=True, slots=True)
class FiledRow:
    """One mail and the record it was filed to, or why it was not.

    Attributes:
        id: of the filing.
        email, policy: whose mailbox, under which policy.
        state: waiting, sent (on its way), filed, refused, unfiling, unfiled, left, gone.
        reason: why it was refused or waits, or what was odd about it.
        subject, sender: of the mail; nothing of a private one.
        module, name, record: the record; ``people`` are the contacts and leads on the mail.
        via: dropped, created, followed, inbox, sent.
        incoming: received, not sent.
        files: attachments.
        sent_ms, at_ms, done_ms: when it was sent, first seen, settled; epoch milliseconds.
        again_ms: when it is tried again; None when it is settled.
        attempt: how often it was tried.
        activity: the CRM's id of the e-mail.
    """

    id: int
    email: str
    policy: str
    state: str
    reason: str
    subject: str
    sender: str
    module: str
    name: str
    record: str
    via: str
    incoming: bool
    files: int
    sent_ms: int | None
    at_ms: int
    done_ms: int | None
    again_ms: int | None
    attempt: int
    activity: str
    message: str


@dataclass(frozen=True, slots=True)
class RetryFiling:
    """Try mails again that were refused or wait, with the next drop-label check; by ids of ``FiledRow``."""

    ids: tuple[int, ...]
