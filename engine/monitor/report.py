"""Reports that are read on demand rather than pulled: what a verification found, and what waits for an admin."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


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


class Waits(StrEnum):
    """Why an item waits for an admin."""

    DELETE = "delete"  # Delete Safety holds its delete
    CREATE = "create"  # one of many creates of what the other side seems to have already
    GUESTS = "guests"  # it would mail more guests than the policy's budget allows
    TWIN = "twin"  # the other side has an item of its own that may be the same
    QUARANTINE = "quarantine"  # it was refused too often


@dataclass(frozen=True, slots=True)
class HeldRow:
    """One item that waits for an admin.

    Attributes:
        id: by which it is settled; it stays the same as long as it waits.
        mailbox: whose.
        policy: of that mailbox.
        kind: why it waits; see ``engine.monitor.commands.SETTLES`` for what can be done about it.
        module: ``contact``, ``appointment`` ...
        name: of the item; a private one is named ``(private)``.
        side: where the item is (``crm`` or ``mailbox``); for a delete, where it would be deleted; for a create, where
            it would be made.
        reason: for people.
        since_ms: since when, or when it was last looked at; epoch milliseconds, None when nobody knows.
        guests: how many guests would be mailed about it.
        before: the item's fields as (label, value) for people, without texts; empty for a private one.
    """

    id: int
    mailbox: str
    policy: str
    kind: Waits
    module: str
    name: str
    side: str
    reason: str
    since_ms: int | None
    before: tuple[tuple[str, str], ...] = ()
    guests: int = 0


@dataclass(frozen=True, slots=True)
class ConflictRow:
    """One field of one item that both sides changed, and that waits for an admin.

    Attributes:
        id: by which it is decided; it stays the same until the field is settled.
        mailbox: whose.
        policy: of that mailbox.
        module: ``contact``, ``appointment`` ...
        name: of the item; a private one is named ``(private)``, and its texts are shown so as well.
        field: its canonical name; ``label`` is what people read.
        crm: what the CRM shows, as people read it; "" for nothing.
        agreed: on what both last agreed.
        theirs: what the mailbox shows.
        crm_ms: when the item was last changed in the CRM, by its clock; epoch milliseconds, None when nobody knows.
        mailbox_ms: and in the mailbox.
        why: it waits, for people.
        since_ms: since when.
        decided: what was decided and is yet to be carried out; "" while it waits.
        typed: the newer value as a line that can be typed and changed.
        allowed: what can be typed, in words.
        link: of the item, by which it is explained.
    """

    id: int
    mailbox: str
    policy: str
    module: str
    name: str
    field: str
    label: str
    crm: str
    agreed: str
    theirs: str
    crm_ms: int | None
    mailbox_ms: int | None
    why: str
    since_ms: int
    decided: str = ""
    typed: str = ""
    allowed: str = ""
    link: int = 0


@dataclass(frozen=True, slots=True)
class WaveRow:
    """One wave of a roll-out: its number from 1, ``admitted`` or ``waits``, and its mailboxes."""

    wave: int
    state: str
    mailboxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RolloutReport:
    """How far a roll-out is.

    Attributes:
        policy: whose.
        stage: ``running``, ``asks``, ``stopped``, or empty when none is under way.
        text: the same for people, with the reason of a stop.
        waves: in order; empty when none is under way or to come.
    """

    policy: str
    stage: str
    text: str
    waves: tuple[WaveRow, ...] = ()


@dataclass(frozen=True, slots=True)
class MailRow:
    """A failure or recovery mail to one address. Times are epoch milliseconds."""

    kind: str  # failure | recovery
    address: str
    state: str  # waiting | sending | sent | dropped
    attempts: int
    written_ms: int
    sent_ms: int | None
    not_before_ms: int
    error: str
