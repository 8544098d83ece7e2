"""The planner's values: the three trees of one link, the rules, and the plan that comes of them. No behaviour beyond reading."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.model.canonical import SEVERAL, Field, Fields, same
from engine.model.modules import Direction, Module, Side
from engine.model.policy import ConflictRule, DeleteMode
from engine.model.port import WriteKind
from engine.sync.merge import Ask, Ruling


@dataclass(frozen=True, slots=True)
class View:
    """One side of a link as last seen.

    Attributes:
        live: False when the item is known to be deleted.
        fields: canonical fields shown.
        accepted: what this side made of values that we wrote: field to (wrote, shows). A third element, what was put
            there, says that an undo has restored an earlier value on this side alone (engine.sync.undo).
        etag: version for a guarded write.
        remote_id: the provider's id.
        modified: server time of the last change, epoch milliseconds.
        read_only: the person of this mailbox may not change the shared fields (somebody else's meeting).
    """

    live: bool
    fields: Fields = field(default_factory=dict)
    accepted: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None
    remote_id: str = ""
    modified: int | None = None
    read_only: bool = False

    def value(self, name: str, kind: Any) -> Any:
        """The value of a field, seen through what the provider made of our own writes."""
        shown = self.fields.get(name)
        if not self.accepted:
            return shown
        pair = self.accepted.get(name)
        if pair is not None and same(kind, shown, pair[1]):
            return pair[0]
        return shown

    def replaced(self, name: str, kind: Any) -> Any:
        """What a write to this side replaces, for the journal: where an undo has put an earlier value back, that one."""
        shown = self.fields.get(name)
        pair = self.accepted.get(name)
        if pair is not None and len(pair) > 2 and same(kind, shown, pair[1]):
            return shown
        return self.value(name, kind)


@dataclass(frozen=True, slots=True)
class Tree:
    """One link with its three trees; ``None`` for a side that never was.

    Attributes:
        rulings: what an admin has decided, by field; it holds only while both sides show what he saw.
        frozen: fields that were written back and forth, with what to tell about each.
    """

    link_id: int
    module: Module
    base: Fields | None
    crm: View | None
    mailbox: View | None
    rulings: Mapping[str, Ruling] = field(default_factory=dict)
    frozen: Mapping[str, str] = field(default_factory=dict)

    def side(self, side: Side) -> View | None:
        """The view of a side."""
        return self.crm if side is Side.CRM else self.mailbox


@dataclass(frozen=True, slots=True)
class Rules:
    """What the policy and the two capability records say of a module.

    Attributes:
        shared: fields that both sides hold; all others stay as they are on their side.
        writable: fields that can be written, by side.
        direction: which way the module flows.
        conflict: who wins when both changed a field.
        conflicts: rules of single fields, where they differ from it.
        deletes: what a delete on a side does on the other side.
    """

    shared: frozenset[str]
    writable: Mapping[Side, frozenset[str]]
    direction: Direction = Direction.BOTH
    conflict: ConflictRule = ConflictRule.NEWEST
    deletes: Mapping[Side, DeleteMode] = field(
        default_factory=lambda: {Side.CRM: DeleteMode.MIRROR, Side.MAILBOX: DeleteMode.NEVER}
    )
    conflicts: Mapping[str, ConflictRule] = field(default_factory=dict)

    def rule(self, of: Field) -> ConflictRule:
        """The conflict rule of a field; one with a single value cannot be united, and follows the newer side."""
        found = self.conflicts.get(of.name, self.conflict)
        return ConflictRule.NEWEST if found is ConflictRule.UNION and of.kind not in SEVERAL else found


class Verdict(StrEnum):
    """What becomes of the link."""

    AGREED = "agreed"  # both sides show the base but for fields that an admin is asked about; nothing to write
    WRITE = "write"
    ABSENT = (
        "absent"  # deleted in the mailbox; the CRM keeps it and does not send it again until it changes there
    )
    TOMBSTONE = "tombstone"  # gone on both sides
    NOTHING = "nothing"  # the direction of the module forbids the only possible write


@dataclass(frozen=True, slots=True)
class PlannedWrite:
    """One write on one side.

    Attributes:
        target: all shared fields as they shall be afterwards.
        patch: the fields that change (all of them for a create).
        before: what they were.
        why: for people.
    """

    side: Side
    kind: WriteKind
    target: Fields = field(default_factory=dict)
    patch: Fields = field(default_factory=dict)
    before: Fields = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Lost:
    """A value that a rule overrules; goes into the journal before it is overwritten."""

    side: Side
    name: str
    value: Any
    winner: Any
    why: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The plan for one link.

    Attributes:
        lost: values that are overruled.
        conflict: a rule of the policy has overruled one.
        asks: fields that stay as they are on both sides until an admin decides.
        ruled: fields in which an admin's decision is carried out.
        both: fields that get a value which neither side need show: looked at again when both sides have it.
    """

    link_id: int
    verdict: Verdict
    base: Fields | None
    writes: tuple[PlannedWrite, ...] = ()
    lost: tuple[Lost, ...] = ()
    conflict: bool = False
    asks: tuple[Ask, ...] = ()
    ruled: frozenset[str] = frozenset()
    both: frozenset[str] = frozenset()
