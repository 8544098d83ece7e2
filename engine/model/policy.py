"""A sync policy: the rules between one CRM connection and one mail connection, and the people under it.

The settings are those of Riva's policy pages (domain.md 6.1). All values here are already valid: what an admin
types is checked in ``engine.model.config``, which names the field and the allowed values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, time
from enum import StrEnum

from engine.model.canonical import FIELDS, SEVERAL
from engine.model.modules import CONTACT_MODULES, Direction, Module
from engine.model.port import CalendarMode


class ConflictRule(StrEnum):
    """What happens when both sides changed the same field.

    ``UNION`` holds for fields with several values (``canonical.SEVERAL``); said of a whole module or policy, its other
    fields follow ``NEWEST``.
    """

    NEWEST = "newest"
    CRM = "crm"
    MAILBOX = "mailbox"
    ASK = "ask"  # the field stays as it is on both sides until an admin decides
    UNION = "union"  # what both kept, and what either added


class DeleteMode(StrEnum):
    """What a delete on one side does on the other."""

    NEVER = "never"
    MIRROR = "mirror"


class Visibility(StrEnum):
    """Which CRM items a mailbox receives."""

    OWNED = "owned"
    ALL = "all"


class Attendees(StrEnum):
    """How guests are treated (Riva's attendee modes).

    ``UNSHARED`` never writes guests into the mailbox; ``LISTED`` writes them without a mail; ``INVITED`` writes them, and
    the provider mails them about new meetings, changes of time or place, and cancellations, within
    ``Policy.guest_mail_budget`` and never in a first sync.
    """

    UNSHARED = "unshared"
    LISTED = "listed"
    INVITED = "invited"


class PrivateItems(StrEnum):
    """Whether private events flow."""

    SYNC = "sync"
    SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Hours:
    """When cycles run on a kind of day: between ``start`` and ``end`` every ``minutes``.

    ``end`` of 00:00 means midnight at the end of the day.
    """

    start: time = time(0, 0)
    end: time = time(0, 0)
    minutes: int = 15


@dataclass(frozen=True, slots=True)
class Blackout:
    """A weekly period in which no cycle may start. Days are 0 (Monday) to 6; the period may wrap over Sunday."""

    start_day: int
    start: time
    end_day: int
    end: time


@dataclass(frozen=True, slots=True)
class Scheduling:
    """When the cycles of a policy run, in the policy's zone. ``weekends = None``: no cycles on weekend days."""

    zone: str = "UTC"
    workday_days: tuple[int, ...] = (0, 1, 2, 3, 4)
    workdays: Hours = Hours()
    weekends: Hours | None = Hours(minutes=60)
    label_check_minutes: int = 5
    verify: str = "0 5 * * *"
    blackouts: tuple[Blackout, ...] = ()


@dataclass(frozen=True, slots=True)
class AddressBooks:
    """Contacts and leads."""

    groups: Mapping[Module, str] = field(
        default_factory=lambda: {Module.CONTACT: "CRM Contacts", Module.LEAD: "CRM Leads"}
    )
    require_group: bool = True
    default_region: str = ""


@dataclass(frozen=True, slots=True)
class CalendarSettings:
    """Appointments, phone calls and service calls.

    ``require_colour``: a mailbox event without one of our colours stays where it is and is counted as filtered.
    Windows are days before and after today, for the end of an item.
    """

    mode: CalendarMode = CalendarMode.COLOUR
    name: str = "CRM"
    colours: Mapping[Module, tuple[str, str]] = field(
        default_factory=lambda: {
            Module.APPOINTMENT: ("CRM Appointment", "#3f51b5"),
            Module.CALL: ("CRM Phone Call", "#f4511e"),
            Module.SERVICE_CALL: ("CRM Service Call", "#0b8043"),
        }
    )
    require_colour: bool = True
    past_days: int = 45
    future_days: int = 400
    attendees: Attendees = Attendees.LISTED
    private: PrivateItems = PrivateItems.SYNC


class ClosedRecords(StrEnum):
    """What becomes of the drop label of a record that is closed."""

    STAY = "stay"
    KEEP = "keep"  # it moves below *Closed*, and back when the record is opened again
    REMOVE = "remove"  # it is taken away; mails under it stay in the mailbox, and filed ones in the CRM


class RenamedLabels(StrEnum):
    """What becomes of a drop label that a person renamed or moved; mails under it are filed in any case."""

    FOLLOW = "follow"
    REVERT = "revert"


class FirstRecords(StrEnum):
    """Which records have a drop label when a mailbox has more of them than the policy shows."""

    KEPT = "kept"  # those that have one keep it; others get one when there is room
    CHANGED = "changed"  # those changed last
    CLOSING = "closing"  # those whose close date comes first
    AMOUNT = "amount"  # those of the largest amount


class Whose(StrEnum):
    """Whose records have a drop label in a person's mailbox."""

    MINE = "mine"  # those that the person owns in the CRM
    TEAM = "team"  # these, and those of the active CRM users whose manager the person is, directly


@dataclass(frozen=True, slots=True)
class RecordLabels:
    """Which records of one module have a drop label.

    Attributes:
        whose: the person's own, or those of the person's team as well.
        open_only: open ones alone; None: as ``Labels.open_only``.
        most: at most so many of one mailbox; None: as ``Labels.max_records``.
        first: which, when there are more.
        name: what a label is called; words in braces are fields of the record.
    """

    open_only: bool | None = None
    most: int | None = None
    first: FirstRecords = FirstRecords.KEPT
    name: str = "{name}"
    whose: Whose = Whose.MINE


@dataclass(frozen=True, slots=True)
class Labels:
    """The label tree and what is filed below it."""

    master: str = "CRM"
    create_new: tuple[Module, ...] = (Module.CASE, Module.OPPORTUNITY, Module.LEAD, Module.CONTACT)
    assign_to: Mapping[Module, str] = field(
        default_factory=lambda: {Module.OPPORTUNITY: "Opportunities", Module.CASE: "Cases"}
    )
    open_only: bool = True
    max_records: int = 200
    closed: ClosedRecords = ClosedRecords.STAY
    renamed: RenamedLabels = RenamedLabels.FOLLOW
    activities: int = 3  # open tasks and coming appointments in a record's quick connect mail
    records: Mapping[Module, RecordLabels] = field(
        default_factory=lambda: {Module.OPPORTUNITY: RecordLabels(), Module.CASE: RecordLabels()}
    )

    def open_records(self, module: Module) -> bool:
        """Whether open records of a module alone get a drop label."""
        own = self.records[module].open_only
        return self.open_only if own is None else own

    def most(self, module: Module) -> int:
        """Most drop labels of one mailbox for a module."""
        own = self.records[module].most
        return self.max_records if own is None else own

    def of_team(self, module: Module) -> bool:
        """Whether a manager's mailbox has drop labels for the records of the people below as well."""
        own = self.records.get(module)
        return own is not None and own.whose is Whose.TEAM


class AfterFiling(StrEnum):
    """What becomes of the drop label of a mail that has been filed."""

    KEEP = "keep"
    REMOVE = "remove"
    FILED = "move"  # the mail loses the drop label and gets the label *Filed*


class Files(StrEnum):
    """What becomes of the attachments of a mail that is filed."""

    STORE = "store"
    LIST = "list"  # names and sizes stand in the text of the e-mail
    NONE = "none"


#: What a new record takes from the mail, by module and canonical field; see ``engine.sync.mail_records`` for the words in
#: braces.
_FROM_MAIL: Mapping[Module, Mapping[str, str]] = {
    Module.CASE: {"name": "{subject}", "description": "{text}"},
    Module.OPPORTUNITY: {"name": "{subject}", "stage": "Prospecting", "close_date": "{date+30}"},
    Module.LEAD: {"given": "{first}", "family": "{last}", "email": "{address}", "company": "{company}"},
    Module.CONTACT: {"given": "{first}", "family": "{last}", "email": "{address}"},
}


@dataclass(frozen=True, slots=True)
class MailFiling:
    """Mails that people drop on a label, and what is filed by itself.

    Attributes:
        enabled: whether drop labels are looked at.
        after: what becomes of the drop label of a filed mail.
        filed: name of the label for ``after = "move"``, below the master label.
        missing: name of the label that a mail gets from which no record could be made.
        follow: later mails of a conversation that was filed are filed as well.
        unfile: a mail whose drop label is taken away is taken out of the CRM again.
        private: whether mails marked private or confidential are read and filed.
        inbox, sent: whether mails from and to people of the CRM are filed by themselves.
        attachments: stored in the CRM, listed in the text, or left out.
        attachment_mb, mail_mb: the largest attachment that is stored, the largest mail that is filed; megabytes.
        exclude_addresses, exclude_domains: whose mails are never filed.
        create: for "Create New" labels: what a new record's fields are made of.
    """

    enabled: bool = True
    after: AfterFiling = AfterFiling.KEEP
    filed: str = "Filed"
    missing: str = "Missing required matches"
    follow: bool = True
    unfile: bool = False
    private: bool = False
    inbox: bool = False
    sent: bool = False
    attachments: Files = Files.STORE
    attachment_mb: int = 25
    mail_mb: int = 50
    exclude_addresses: tuple[str, ...] = ()
    exclude_domains: tuple[str, ...] = ()
    create: Mapping[Module, Mapping[str, str]] = field(default_factory=lambda: _FROM_MAIL)


@dataclass(frozen=True, slots=True)
class DeleteThreshold:
    """A cycle that would delete more than ``count`` items, or more than ``percent`` of a scope, waits for an admin."""

    count: int
    percent: float


@dataclass(frozen=True, slots=True)
class DeleteSafety:
    """Riva's Delete Safety, with its defaults (domain.md [R44])."""

    contacts: DeleteThreshold = DeleteThreshold(250, 25)
    appointments: DeleteThreshold = DeleteThreshold(50, 10)
    tasks: DeleteThreshold = DeleteThreshold(50, 75)
    other: DeleteThreshold = DeleteThreshold(100, 25)
    inferred: DeleteThreshold = DeleteThreshold(10, 5)


@dataclass(frozen=True, slots=True)
class Rollout:
    """A first sync, or a change of the rules, reaches some mailboxes first.

    Attributes:
        waves: how many mailboxes each wave admits, 0 for all that are left; empty: all at once.
        error_percent: more failed mailboxes, refused items or differing checks of a wave than this stop the roll-out.
        delete_percent: more deletes than this part of the items of a wave stop it.
        ask: an admin says when the next wave begins; otherwise it begins by itself after a good one.
    """

    waves: tuple[int, ...] = ()
    error_percent: float = 5
    delete_percent: float = 1
    ask: bool = True


@dataclass(frozen=True, slots=True)
class ModuleSettings:
    """Switch, direction and rules of one module."""

    enabled: bool = True
    direction: Direction = Direction.BOTH
    visibility: Visibility = Visibility.OWNED
    conflict: ConflictRule | None = None  # None: the policy's rule
    conflicts: Mapping[str, ConflictRule] = field(
        default_factory=dict
    )  # by canonical field, beside ``conflict``


def _default_modules() -> dict[Module, ModuleSettings]:
    one_way = ModuleSettings(direction=Direction.TO_MAILBOX)
    return {
        module: one_way if module in {Module.OPPORTUNITY, Module.CASE} else ModuleSettings()
        for module in Module
    }


_OFF = ModuleSettings(enabled=False)


@dataclass(frozen=True, slots=True)
class Policy:
    """One policy with all its settings; immutable, compared by value."""

    name: str
    crm: str
    mailbox: str
    modules: Mapping[Module, ModuleSettings] = field(default_factory=_default_modules)
    start_date: date | None = None  # CRM items last changed before it stay out of the first sync; None: all
    scheduling: Scheduling = Scheduling()
    address_books: AddressBooks = field(default_factory=AddressBooks)
    calendar: CalendarSettings = field(default_factory=CalendarSettings)
    labels: Labels = field(default_factory=Labels)
    mail: MailFiling = field(default_factory=MailFiling)
    match_existing: bool = True
    conflict: ConflictRule = ConflictRule.NEWEST
    mailbox_deletes: DeleteMode = DeleteMode.NEVER  # what a delete in the mailbox does in the CRM
    crm_deletes: DeleteMode = DeleteMode.MIRROR  # what a delete in the CRM does in the mailbox
    delete_safety: DeleteSafety = DeleteSafety()
    guest_mail_budget: int = (
        50  # guests that one cycle of a mailbox may let the provider mail; above it writes wait
    )
    rollout: Rollout = Rollout()
    error_addresses: tuple[str, ...] = ()
    notify_after_minutes: int = 30  # how long a fault is retried before its failure mail is due

    def settings(self, module: Module) -> ModuleSettings:
        """The settings of a module; a module that is not named is off."""
        return self.modules.get(module, _OFF)

    def on(self, module: Module) -> bool:
        """Whether a module is switched on."""
        return self.settings(module).enabled

    def rule(self, module: Module, name: str) -> ConflictRule:
        """The conflict rule of a field: its own, else its module's, else the policy's.

        The end of an event follows its start unless it has a rule of its own: one is nothing without the other.
        """
        settings = self.settings(module)
        own = settings.conflicts.get(name) or (settings.conflicts.get("start") if name == "end" else None)
        found = own or settings.conflict or self.conflict
        if found is ConflictRule.UNION and FIELDS[module][name].kind not in SEVERAL:
            return ConflictRule.NEWEST
        return found

    def threshold(self, module: Module) -> DeleteThreshold:
        """Delete Safety's threshold for a module."""
        if module in CONTACT_MODULES:
            return self.delete_safety.contacts
        if module is Module.APPOINTMENT:
            return self.delete_safety.appointments
        if module is Module.TASK:
            return self.delete_safety.tasks
        return self.delete_safety.other


@dataclass(frozen=True, slots=True)
class TargetUser:
    """A person under a policy: whose mailbox, and who that is in the CRM.

    ``crm_user`` is the CRM's user id; empty: found by e-mail address at the first sync. ``calendar_sync`` is Pega's
    operator switch *Calendar Sync* and ``exchange_email`` the mailbox's address at Exchange (domain.md 6.2).
    """

    email: str
    policy: str
    crm_user: str = ""
    zone: str = ""  # IANA; empty: the CRM user's zone
    calendar_sync: bool = True
    exchange_email: str = ""  # empty: ``email``


@dataclass(frozen=True, slots=True)
class Connection:
    """A CRM or mail server with its settings.

    ``settings`` hold no secret: a key or client secret is named by the path of its file or by an environment variable.

    Attributes:
        kind: ``salesforce``, ``google`` or ``exchange``.
        settings: checked by ``engine.model.config``; keys per kind are documented in ``docs/configuration.md``.
    """

    name: str
    kind: str
    settings: Mapping[str, str | int | float | bool] = field(default_factory=dict)
