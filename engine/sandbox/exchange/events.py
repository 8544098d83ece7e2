"""What happens in mailboxes, and who has subscribed to hear of it: pull, push and streaming subscriptions.

Subscriptions live in memory, as on a real server: a restart or failover ends them, and clients must subscribe again.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field

MOST_KEPT = 10_000
"""Events that a subscription keeps at most; a client that reads more slowly is told that it has missed some."""


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
class Subscription:
    """One subscription.

    Attributes:
        id: as the client names it.
        kind: ``pull``, ``push`` or ``streaming``.
        account: name of the account that made it.
        mailbox: row of the mailbox.
        folders: rows of folders; None for all of the mailbox.
        kinds: event kinds that are wanted.
        start: number of the first event of ``events``.
        events: what has happened and is not known to have been read.
        expires_ms: of ``pull``, when it ends unless it is asked before.
        minutes: of ``pull`` its timeout, of ``push`` its status frequency.
        url: of ``push``.
        caller_data: of ``push``, sent along with each notification.
        missed: whether events were thrown away.
        news: set when something has happened.
        listener: of ``streaming``, the number of the connection that serves it; 0 without.
    """

    id: str
    kind: str
    account: str
    mailbox: int
    folders: frozenset[int] | None
    kinds: frozenset[str]
    start: int = 0
    events: list[Event] = field(default_factory=list)
    expires_ms: int = 0
    minutes: int = 30
    url: str = ""
    caller_data: str = ""
    missed: bool = False
    news: asyncio.Event = field(default_factory=asyncio.Event)
    listener: int = 0

    @property
    def end(self) -> int:
        """Number that the next event will get; what a watermark says."""
        return self.start + len(self.events)

    def wants(self, event: Event) -> bool:
        """Whether the event is of those that were subscribed to."""
        if event.mailbox != self.mailbox or event.kind not in self.kinds:
            return False
        if self.folders is None:
            return True
        places = {event.folder, event.old_folder} | ({event.row} if event.of_folder else set())
        return bool(places & self.folders)

    def drop_before(self, number: int) -> None:
        """Forget events that the client has read."""
        gone = min(max(0, number - self.start), len(self.events))
        del self.events[:gone]
        self.start += gone


class Hub:
    """Subscriptions of one server, by id."""

    def __init__(self) -> None:
        self.subscriptions: dict[str, Subscription] = {}
        self._listeners = 0

    def add(self, subscription: Subscription) -> None:
        """Begin a subscription."""
        self.subscriptions[subscription.id] = subscription

    def publish(self, events: Iterable[Event]) -> None:
        """Tell every subscription what has happened; call it after the commit."""
        for event in events:
            for one in self.subscriptions.values():
                if one.wants(event):
                    one.events.append(event)
                    if len(one.events) > MOST_KEPT:
                        one.drop_before(one.start + 1)
                        one.missed = True
                    one.news.set()

    def expire(self, now_ms: int) -> None:
        """End the pull subscriptions that nobody has asked for in time."""
        for one in list(self.subscriptions.values()):
            if one.kind == "pull" and one.expires_ms <= now_ms:
                del self.subscriptions[one.id]

    def next_listener(self) -> int:
        """The number of a new streaming connection."""
        self._listeners += 1
        return self._listeners

    def clear(self) -> None:
        """End all subscriptions, as a failover of the mailbox does."""
        for one in self.subscriptions.values():
            one.news.set()
        self.subscriptions.clear()


def new_id(prefix: str) -> str:
    """An id for a subscription of that server or mailbox name."""
    return prefix + secrets.token_urlsafe(24)
