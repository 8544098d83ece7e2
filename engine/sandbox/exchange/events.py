"""What happens in mailboxes, and who has subscribed to hear of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class Event:
    """Something that has happened.

    Attributes:
        kind: ``Created``, ``Modified``, ``Deleted``, ``Moved``, ``Copied`` or ``NewMail``.
        mailbox: row of the mailbox.
        folder: row of the folder in which it happened.
        row: row of the item or folder.
        of_folder: whether ``row`` is a folder.
        old_folder: where it was before (``Moved``, ``Copied``).
        old_row: which row it had before.
        at_ms: when, epoch milliseconds.
        tag: element of the item, for its change key.
    """

    kind: str
    mailbox: int
    folder: int
    row: int
    of_folder: bool
    old_folder: int
    old_row: int
    at_ms: int


@dataclass(slots=True)
class Hub:
    """Subscriptions of one server, by id."""

    subscriptions: dict[str, Any] = field(default_factory=dict)
