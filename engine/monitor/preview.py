"""What a preview shows: sums by user and module, and rows with every field before and after."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class PreviewKind(StrEnum):
    """What would become of an item."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"
    MERGE = "merge"  # two items become twins; an empty field takes the other's value
    HOLD = "hold"  # it would wait for an admin
    CONTAINER = "container"  # a group, calendar, list or label that would be made


@dataclass(frozen=True, slots=True)
class PreviewSum:
    """The preview of one module in one mailbox: how many items.

    Attributes:
        mailbox: whose.
        module: ``contact``, ``appointment`` ...; empty for containers.
        held: of all these, how many would wait for an admin: likely duplicates, deletes beyond Delete Safety, mails to
            guests beyond the budget.
        filtered: stay where they are, by the policy's filters.
        unchanged: are the same on both sides.
        guests: people whom the provider would mail.
        outdated: rows that no longer hold.
    """

    mailbox: str
    module: str
    create: int = 0
    update: int = 0
    delete: int = 0
    merge: int = 0
    held: int = 0
    container: int = 0
    filtered: int = 0
    unchanged: int = 0
    guests: int = 0
    outdated: int = 0


@dataclass(frozen=True, slots=True)
class PreviewReport:
    """The previews of a policy's mailboxes.

    Attributes:
        policy: its name.
        running: one is being made, or carried out, now.
        made_ms: when the oldest was begun, epoch milliseconds; None when there is none.
        mailboxes: of the policy, and how many of them have a preview.
        sums: by mailbox, then in the order in which modules are carried out.
        faults: by mailbox, what could not be previewed; "" stands for the policy as a whole.
        last: what the last preview or application came to, one line; empty when there was none since the start.
        ok: whether that went well.
    """

    policy: str
    running: bool
    made_ms: int | None
    mailboxes: int
    previewed: int
    sums: tuple[PreviewSum, ...]
    faults: tuple[tuple[str, str], ...] = ()
    last: str = ""
    ok: bool = True


@dataclass(frozen=True, slots=True)
class FieldChange:
    """One field of a row: where, which, and its value before and after, as people read it."""

    side: str
    label: str
    before: str
    after: str


@dataclass(frozen=True, slots=True)
class PreviewRow:
    """One item of a preview.

    Attributes:
        id: by which it is applied; it never stands for a row of another preview.
        seq: for paging: ``after`` of the next page.
        name: of the item; a private one is named ``(private)`` and shows no values.
        side: that is written to (``crm``, ``mailbox`` or both, joined by a comma); for ``hold`` where the item is.
        held: why it would wait for an admin, although it is no ``hold``.
        guests: how many people the provider would mail.
        outdated: why it no longer holds; empty while it does.
        link: by which the item is explained; 0 for a container.
    """

    id: str
    seq: int
    mailbox: str
    module: str
    kind: PreviewKind
    name: str
    side: str
    why: str
    changes: tuple[FieldChange, ...]
    held: str = ""
    guests: int = 0
    outdated: str = ""
    link: int = 0
