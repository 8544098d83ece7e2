"""What the planner needs for fields that both sides changed: decisions of an admin, questions to one, and unions.

Pure values and functions; the merge itself is in ``engine.sync.reconcile``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from engine.model.canonical import Field, Fields, Kind, same

#: Fields that are nothing without each other: while one of them waits for an admin, so do the others.
TOGETHER = (frozenset({"start", "end"}),)

#: A field that went back and forth so often within a day is frozen (sync.md section 7).
BOUNCES = 3


@dataclass(frozen=True, slots=True)
class Ruling:
    """What an admin has decided about one field.

    Attributes:
        crm: what the CRM showed then.
        mailbox: what the mailbox showed then.
        value: what both sides shall show; None clears the field.
        by: the admin.
    """

    crm: Any
    mailbox: Any
    value: Any
    by: str

    def holds(self, kind: Kind, crm: Any, mailbox: Any) -> bool:
        """Whether each side still shows what the admin saw, or has what was decided already (we died in between)."""
        return (same(kind, crm, self.crm) or same(kind, crm, self.value)) and (
            same(kind, mailbox, self.mailbox) or same(kind, mailbox, self.value)
        )


@dataclass(frozen=True, slots=True)
class Ask:
    """A field that stays as it is on both sides until an admin decides."""

    name: str
    crm: Any
    base: Any
    mailbox: Any
    why: str


@dataclass(frozen=True, slots=True)
class PastWrite:
    """A write of ours to one side of a link.

    Attributes:
        side: where.
        before: values of the fields before it.
        after: and after it.
        at: epoch milliseconds.
    """

    side: str
    before: Fields
    after: Fields
    at: int


def union(kind: Kind, base: Any, crm: Any, mailbox: Any, *, mailbox_newer: bool) -> Any:
    """Three-way merge of a field with several values: what both kept, and what either added.

    The same person invited on both sides is one attendee; where both changed how he is invited, the newer side's
    word holds. Merging the result with either of the two once more gives the result again, so that a merge that was
    cut short between its two writes ends as if it had not been.
    """
    key = _by_email if kind is Kind.ATTENDEES else _by_text
    old, ours, theirs = key(base), key(crm), key(mailbox)
    newer, older = (theirs, ours) if mailbox_newer else (ours, theirs)
    merged = []
    for name in sorted(ours.keys() | theirs.keys()):
        if name in ours and name in theirs:
            keep = newer[name]
            # Changed on the older side alone: that is the edit.
            if kind is Kind.ATTENDEES and name in old and same(kind, [newer[name]], [old[name]]):
                keep = older[name]
            merged.append(keep)
        elif name not in old:
            merged.append(ours.get(name, theirs.get(name)))
    return merged or None


def _by_email(rows: Iterable[Mapping[str, Any]] | None) -> dict[str, Any]:
    return {row["email"].casefold(): row for row in rows or ()}


def _by_text(values: Iterable[str] | None) -> dict[str, Any]:
    return {value: value for value in values or ()}


def bounced(field: Field, past: Sequence[PastWrite], side: str, before: Any, after: Any, since: int) -> bool:
    """Whether writing ``after`` over ``before`` would carry a field back and forth once too often.

    A write bounces when it puts back what our last write of the field, to the *other* side, had replaced: some program
    on each side insists on its own value. A person who changes his mind does so on one side, which never counts.

    Args:
        field: the field.
        past: writes to the link, oldest first.
        side: that is about to be written.
        before: what it shows.
        after: what would be written.
        since: earlier writes do not count, epoch milliseconds.
    """
    steps = [
        (one.side, one.before.get(field.name), one.after[field.name])
        for one in past
        if one.at > since and field.name in one.after
    ]
    steps.append((side, before, after))
    count = 0
    for (one, old, new), (other, then, now) in pairwise(steps):
        back = one != other and same(field.kind, old, now) and same(field.kind, new, then)
        count = count + 1 if back else 0
    return count > BOUNCES


def why_frozen(field: Field) -> str:
    """What an admin reads about a field that bounces."""
    return (
        f"written back and forth {BOUNCES} times within a day: on each side something insists on its own value of "
        f"{field.label}; find out which program changes it, then decide"
    )
