"""The checklist before a policy's first sync: what is right, what is not, and what only an admin can know."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum


class CheckState(StrEnum):
    """How a line of the checklist stands; the last two keep the first sync from starting."""

    OK = "ok"
    LOOK = "look"  # it may be meant so
    UNKNOWN = "unknown"
    WRONG = "wrong"


BLOCKS = frozenset({CheckState.UNKNOWN, CheckState.WRONG})


@dataclass(frozen=True, slots=True)
class CheckLine:
    """What the program has looked at.

    Attributes:
        id: crm, mail, users, mailboxes, preview, guests, deletes, waves, limits, blackout, notify, fault.
        title: what must be right.
        found: how it is, in a few words.
        told: all of it, with what to do; for the line that is chosen.
    """

    id: str
    title: str
    state: CheckState
    found: str
    told: tuple[str, ...] = ()


#: What no program can know: an admin says so before a first sync begins, and the audit log keeps that he did.
ASKED: dict[str, str] = {
    "told": "Users were told: do not sort or delete synced items today",
    "other": "No other sync tool works on these mailboxes any more",
    "backup": "A backup or a retention hold covers these mailboxes",
    "stay": "Nobody stops it: phase A must run to its end",
}


@dataclass(frozen=True, slots=True)
class Checklist:
    """Everything that must be right before the first sync of a policy begins.

    Attributes:
        first: whether a first sync is still to come: the policy is off, and was never synchronised.
        about: what would be synchronised, in one line.
        items: how many items of which module would be written, as far as mailboxes were previewed.
        seconds: how long it lasts, at least and at most; None while nothing was previewed.
    """

    policy: str
    first: bool
    about: str
    mailboxes: int
    lines: tuple[CheckLine, ...]
    items: tuple[tuple[str, int], ...] = ()
    previewed: int = 0
    seconds: tuple[float, float] | None = None

    def missing(self, ticked: Collection[str]) -> str:
        """Why the first sync may not start, given what an admin has ticked; empty when it may."""
        if not self.first:
            return f"{self.policy} was synchronised already: o in Policies switches it on without a checklist"
        wrong = sum(line.state is CheckState.WRONG for line in self.lines)
        unknown = sum(line.state is CheckState.UNKNOWN for line in self.lines)
        open_ = sum(key not in ticked for key in ASKED)
        parts = [
            f"{number} {one if number == 1 else several}"
            for number, one, several in (
                (wrong, "check failed", "checks failed"),
                (unknown, "check is not made yet", "checks are not made yet"),
                (open_, "box is open", "boxes are open"),
            )
            if number
        ]
        return f"{', '.join(parts)}; nothing has been written yet" if parts else ""
