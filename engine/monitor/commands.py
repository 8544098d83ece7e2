"""Typed commands: what an admin may ask of the engine, and the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from engine.model.states import Move
from engine.monitor.filing import RetryFiling
from engine.monitor.history import Reinit
from engine.monitor.report import Waits


@dataclass(frozen=True, slots=True)
class EnablePolicy:
    """Switch a policy on; its first sync begins at once when it was never initialised.

    Attributes:
        policy: its name.
        confirmed: what an admin says is so (``engine.monitor.checklist.ASKED``), when he comes from the checklist of a
            first sync: it is looked at once more, and begins only when everything is right. A script that enables a
            policy says nothing, and is asked nothing.
    """

    policy: str
    confirmed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DisablePolicy:
    """Switch a policy off; running cycles finish, none starts."""

    policy: str


@dataclass(frozen=True, slots=True)
class SyncNow:
    """Run a full sync for a mailbox, or for all mailboxes of a policy, as soon as a slot is free."""

    mailbox: str = ""
    policy: str = ""


@dataclass(frozen=True, slots=True)
class PauseUser:
    """No cycle starts for this mailbox until it is resumed."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class ResumeUser:
    """Let a paused mailbox run again."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class CancelUser:
    """Stop the cycle of this mailbox at the next page; what was done stays done, the rest follows next time."""

    mailbox: str


@dataclass(frozen=True, slots=True)
class VerifyPolicy:
    """Read back from the provider what the first sync built, and tick it."""

    policy: str


@dataclass(frozen=True, slots=True)
class EnableJob:
    """Switch a job on."""

    job: str


@dataclass(frozen=True, slots=True)
class DisableJob:
    """Switch a job off; a running one finishes."""

    job: str


@dataclass(frozen=True, slots=True)
class RunJob:
    """Run a job now."""

    job: str


@dataclass(frozen=True, slots=True)
class EditJob:
    """Set a document, with the names of the file, over the shipped definition of a job; what equals it is no override.

    It takes the place of what was set over it before.
    """

    job: str
    settings: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class RemoveOverride:
    """Let a job be as shipped again; its switch stays."""

    job: str


@dataclass(frozen=True, slots=True)
class TraceJob:
    """Let the next runs of a job keep trace lines, or not."""

    job: str
    on: bool


JobEditing = EditJob | RemoveOverride | TraceJob


@dataclass(frozen=True, slots=True)
class StopJob:
    """Stop a running job at the next page."""

    job: str


@dataclass(frozen=True, slots=True)
class RollOut:
    """Go on with a roll-out, or stop it. Works also while the engine does not run."""

    policy: str
    move: Move


@dataclass(frozen=True, slots=True)
class TestPolicy:
    """Test both connections of a policy; the findings come back in the answer."""

    __test__ = False  # not a pytest class

    policy: str


class Settle(StrEnum):
    """What becomes of an item that waits."""

    APPROVE = "approve"  # let the delete through, or the mails to the guests
    QUIET = "quiet"  # write it without a mail to its guests
    DISCARD = "discard"  # give it up: the item stays as it is until something changes about it
    RESTORE = "restore"  # give up the delete, and make the item again where it was deleted
    RETRY = "retry"  # look at it again as if nothing had failed
    BOTH = "both"  # create it beside its twin
    ADOPT = "adopt"  # use the item that the other side has as its twin, and merge both
    KEEP = "keep"  # leave it where it is, until it changes
    DISMISS = "dismiss"  # give up an item in quarantine until it changes on either side


#: What can be done about an item, by why it waits.
SETTLES: Mapping[Waits, frozenset[Settle]] = {
    Waits.DELETE: frozenset({Settle.APPROVE, Settle.DISCARD, Settle.RESTORE}),
    Waits.CREATE: frozenset({Settle.BOTH, Settle.KEEP}),
    Waits.GUESTS: frozenset({Settle.APPROVE, Settle.QUIET, Settle.DISCARD}),
    Waits.TWIN: frozenset({Settle.ADOPT, Settle.BOTH, Settle.KEEP, Settle.RETRY}),
    Waits.QUARANTINE: frozenset({Settle.RETRY, Settle.DISMISS}),
}


@dataclass(frozen=True, slots=True)
class SettleHeld:
    """Settle items of a mailbox that wait for an admin. Refused while a cycle of the mailbox runs.

    Attributes:
        mailbox: whose.
        ids: of ``HeldRow``; None with ``approve``, ``discard`` or ``restore`` stands for all deletes that wait.
    """

    mailbox: str
    ids: tuple[int, ...] | None
    how: Settle


class Keep(StrEnum):
    """Which value of a field shall stand on both sides."""

    CRM = "crm"
    MAILBOX = "mailbox"
    EDIT = "edit"  # one that the admin types


@dataclass(frozen=True, slots=True)
class DecideConflict:
    """Decide about fields of a mailbox's items that both sides changed. Refused while a cycle of the mailbox runs.

    Attributes:
        mailbox: whose.
        ids: of ``ConflictRow``. The start and the end of an event are decided together, unless a value is typed.
        choice: whose value.
        value: with ``edit``: what was typed; ``ConflictRow.allowed`` says how, and nothing clears the field.
    """

    mailbox: str
    ids: tuple[int, ...]
    choice: Keep
    value: str = ""


@dataclass(frozen=True, slots=True)
class UndoCycle:
    """Undo a cycle from the journal. Carried out at once when nothing runs, also while the policy is off.

    Attributes:
        cycle: its number.
        mailbox: the cycle of this mailbox in the same run; empty: the cycle itself.
        whole_run: the cycles of all mailboxes that ran with it.
    """

    cycle: int
    mailbox: str = ""
    whole_run: bool = False


@dataclass(frozen=True, slots=True)
class LeavePolicy:
    """Remove from the mailboxes of a policy (or one of them) what we made there. The policy must be off.

    Attributes:
        edited_too: also what the person has edited since, which stays otherwise.
    """

    policy: str
    mailbox: str = ""
    edited_too: bool = False


@dataclass(frozen=True, slots=True)
class DropOrder:
    """Give up an undo or a leave that is not carried out to its end; what was done of it stays done.

    Attributes:
        cycle: the order's own number.
    """

    cycle: int


@dataclass(frozen=True, slots=True)
class Reinitialize:
    """Let modules of some mailboxes begin afresh with their next cycle, once; ``Reinit.NONE`` drops what was asked.

    Attributes:
        modules: names; none stands for all.
    """

    mailboxes: tuple[str, ...]
    mode: Reinit
    modules: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreviewPolicy:
    """Show what the next cycle, or the first sync, of a policy or of one mailbox would do; nothing is written.

    A new preview replaces the mailbox's earlier one.
    """

    policy: str = ""
    mailbox: str = ""


@dataclass(frozen=True, slots=True)
class ApplyPreview:
    """Carry out what a preview shows, or a part of it; what changed since is left alone and told.

    The whole preview of a policy that was never initialised is its first sync: the policy is enabled.

    Attributes:
        policy: whose preview.
        mailbox: of this mailbox alone; empty for all.
        ids: of ``PreviewRow``; None for all rows.
        modules: of these modules alone; empty for all.
        kinds: of these kinds (``create``, ``update``, ``delete``, ``merge``) alone; empty for all.
        parts: of these (mailbox, module) alone; empty for all.
    """

    policy: str
    mailbox: str = ""
    ids: tuple[str, ...] | None = None
    modules: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class DropPreview:
    """Forget the preview of a policy or of one mailbox."""

    policy: str
    mailbox: str = ""


@dataclass(frozen=True, slots=True)
class SavePolicy:
    """Store the settings of one policy, by the rules of the configuration file; a new one is off.

    Attributes:
        settings: the whole document, with the names of the file.
        was: the document that the admin began with, so that nobody's change is overwritten unseen; None makes a new
            policy.
    """

    policy: str
    settings: Mapping[str, Any]
    was: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DeletePolicy:
    """Forget a policy that is off, with its users; items stay in the mailboxes and in the CRM."""

    policy: str


@dataclass(frozen=True, slots=True)
class AddUsers:
    """Add users to a policy: (address, CRM user or "", time zone or "") each."""

    policy: str
    users: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, slots=True)
class RemoveUsers:
    """Take users out of their policy; their items stay where they are."""

    policy: str
    mailboxes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SetUser:
    """Say who a user is in the CRM (its id; "" finds by address) and in which zone ("" is the CRM's)."""

    mailbox: str
    crm_user: str
    zone: str


@dataclass(frozen=True, slots=True)
class SaveConnection:
    """Store the settings of one connection, by the rules of the configuration file. See ``SavePolicy.was``."""

    connection: str
    kind: str
    settings: Mapping[str, Any]
    was: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class DeleteConnection:
    """Forget a connection that no policy uses."""

    connection: str


@dataclass(frozen=True, slots=True)
class TestConnection:
    """Test settings of a connection that need not be stored yet.

    Attributes:
        mailbox: with which mailbox a mail connection is tested; empty: with one of its users.
    """

    __test__ = False  # not a pytest class

    connection: str
    kind: str
    settings: Mapping[str, Any]
    mailbox: str = ""


@dataclass(frozen=True, slots=True)
class AcknowledgeIncidents:
    """Somebody has seen live incidents, so that they stand out no more; they stay until they are over."""

    ids: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class DropMails:
    """Give up the failure mails that cannot be delivered to an address (``mail server``: all that wait)."""

    address: str


@dataclass(frozen=True, slots=True)
class RetryMails:
    """Try all failure mails that wait once more, now."""


@dataclass(frozen=True, slots=True)
class SetOperator:
    """Change what an operator is synchronised with; None leaves a value as it is.

    Attributes:
        mailboxes: of these users.
        calendar_sync: whether their calendars are synchronised.
        exchange_email: the address at Exchange, of one user alone; empty: the user's own address.
    """

    mailboxes: tuple[str, ...]
    calendar_sync: bool | None = None
    exchange_email: str | None = None


@dataclass(frozen=True, slots=True)
class ImportUsers:
    """Add and change users from the content of a CSV file, all or nothing; see ``engine.model.user_import``.

    Attributes:
        source: the file's name, for messages.
        content: what is in it.
        mapping: column of the file by field, as far as an admin says it; the rest is guessed.
        policy: of rows that name none.
    """

    source: str
    content: bytes = field(repr=False)
    mapping: tuple[tuple[str, str], ...] = ()
    policy: str = ""


#: Commands about incidents and their mails.
Incidental = AcknowledgeIncidents | DropMails | RetryMails

#: Commands that change the stored configuration.
Editing = (
    SavePolicy
    | DeletePolicy
    | AddUsers
    | RemoveUsers
    | SetUser
    | SetOperator
    | ImportUsers
    | SaveConnection
    | DeleteConnection
    | TestConnection
)

Command = (
    EnablePolicy
    | DisablePolicy
    | SyncNow
    | PauseUser
    | ResumeUser
    | CancelUser
    | VerifyPolicy
    | EnableJob
    | DisableJob
    | RunJob
    | StopJob
    | TestPolicy
    | RollOut
    | SettleHeld
    | PreviewPolicy
    | ApplyPreview
    | DropPreview
    | DecideConflict
    | UndoCycle
    | LeavePolicy
    | DropOrder
    | Reinitialize
    | RetryFiling
    | Editing
    | Incidental
    | JobEditing
)


@dataclass(frozen=True, slots=True)
class Answer:
    """What the engine replied.

    Attributes:
        ok: whether it was done (or queued).
        text: what was done, or why not and what to do; one line.
        details: further lines (findings of a test).
    """

    ok: bool
    text: str
    details: tuple[str, ...] = ()
