"""What cycles did, what an undo or a leave would do, and how much a re-initialise would touch: rows for people."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


@dataclass(frozen=True, slots=True)
class CycleRow:
    """One cycle that did something. Times are epoch milliseconds.

    Attributes:
        kind: ``full sync``, ``first sync``, ``undo``, ``leave`` ...
        state: ``ok``, ``failed``, ``stopped``, ``running``, or ``asked``: an order that is still to be carried out.
        counts: items by outcome (created, updated, deleted ...), over all modules.
        wrote: writes that can be undone.
        left: items that an undo or a leave did not touch.
        about: the cycle that this one undid.
        undone_by: the undo that took this one back.
    """

    id: int
    mailbox: str
    policy: str
    kind: str
    state: str
    started_ms: int
    ended_ms: int | None
    counts: Mapping[str, int] = field(default_factory=dict)
    wrote: int = 0
    left: int = 0
    about: int | None = None
    undone_by: int | None = None
    error: str = ""


@dataclass(frozen=True, slots=True)
class DayRow:
    """What the cycles of a mailbox did in the last 24 hours; those that found nothing to do are not counted.

    Attributes:
        cycles: that did something, or failed.
        failed: of these.
        items: written, on either side.
        errors: items that failed.
        calls: of providers, of all cycles; since the engine's start when that is less than a day ago.
        hours: items by hour, the oldest first.
    """

    cycles: int = 0
    failed: int = 0
    items: int = 0
    errors: int = 0
    calls: int = 0
    hours: tuple[int, ...] = (0,) * 24


@dataclass(frozen=True, slots=True)
class WrittenRow:
    """One write of a cycle, or one item that it left alone. ``at_ms`` is epoch milliseconds.

    Attributes:
        id: its place in the journal.
        link: the number of the item, for explaining it.
        side: where it was written: ``crm`` or ``mailbox``.
        kind: ``create``, ``update``, ``delete`` or ``left``.
        fields: (label, before, after) of what changed; empty for a private item.
    """

    id: int
    link: int
    module: str
    name: str
    side: str
    kind: str
    at_ms: int
    fields: tuple[tuple[str, str, str], ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class UndoLine:
    """What an undo would do with one side of an item, or why it would leave it alone.

    Attributes:
        what: ``restore``, ``remove``, ``recreate`` or ``left``.
        side: ``crm`` or ``mailbox``.
        fields: (label, as it is, as it will be) of what is restored; empty for a private item.
    """

    mailbox: str
    module: str
    name: str
    side: str
    what: str
    fields: tuple[tuple[str, str, str], ...] = ()
    why: str = ""


@dataclass(frozen=True, slots=True)
class UndoPreview:
    """What an undo would do, from what was last seen. It reads both sides again before it writes.

    Attributes:
        cycles: the cycles that would be undone.
        counts: number of lines by ``what``.
        lines: the first of them; ``counts`` knows how many there are.
    """

    cycles: tuple[CycleRow, ...]
    counts: Mapping[str, int]
    lines: tuple[UndoLine, ...]

    @property
    def writes(self) -> int:
        """How many items would be written; an admin types it."""
        return sum(number for what, number in self.counts.items() if what != "left")

    def said(self) -> tuple[str, ...]:
        """What is about to happen, for the confirmation."""
        verbs = (
            ("restore", "restored"),
            ("remove", "removed"),
            ("recreate", "made again"),
            ("left", "left alone"),
        )
        told = ", ".join(f"{self.counts[key]:,} {word}" for key, word in verbs if self.counts.get(key))
        which = ", ".join(str(row.id) for row in self.cycles[:5])
        return (
            f"Undo of cycle {which}: {told or 'nothing to do'}.",
            "Both sides are read first: what was edited since is left alone and listed.",
            "What is put back stays on its side, until somebody changes it. Guests get no mail.",
        )


@dataclass(frozen=True, slots=True)
class LeaveRow:
    """What leaving would do in one mailbox with one module.

    Attributes:
        remove: items that we made, and that would go.
        edited: items that we made, and that stay because the person has edited them.
        own: the person's own items that were only linked; they stay.
        examples: names of items that stay, each with its reason; private ones are not named.
    """

    mailbox: str
    module: str
    remove: int = 0
    edited: int = 0
    own: int = 0
    examples: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LeavePreview:
    """What leaving would do: rows by mailbox and module, and containers that go when they are empty, by mailbox."""

    rows: tuple[LeaveRow, ...]
    containers: Mapping[str, tuple[str, ...]]

    @property
    def remove(self) -> int:
        """How many items would go; an admin types it."""
        return sum(row.remove for row in self.rows)

    @property
    def stay(self) -> int:
        """How many items that we made would stay."""
        return sum(row.edited for row in self.rows)

    def said(self, policy: str) -> tuple[str, ...]:
        """What is about to happen, for the confirmation."""
        boxes = len(self.containers)
        where = f"the mailbox {next(iter(self.containers))}" if boxes == 1 else f"{boxes:,} mailboxes"
        items = "item" if self.remove == 1 else "items"
        return (
            f"{self.remove:,} {items} that Syncline made in {where} of {policy} will be removed, with the groups, "
            "labels and calendars that it made, as far as they are empty.",
            "The persons' own items stay, also those that were linked; so do all records in the CRM.",
            *((f"{self.stay:,} stay, since the person has edited them.",) if self.stay else ()),
            "Enabled again, the policy begins afresh with these mailboxes.",
        )


class Reinit(StrEnum):
    """How modules of a mailbox begin afresh."""

    NONE = "none"  # drop what was asked
    RESYNC = "resync"  # push again, without reading the CRM again
    FULL = "full"  # read the CRM again, then push
    CLEAR = "clear"  # remove what we made, then full
