"""The mail part of the port: mails that people drop on labels or into folders, and the CRM's archive of e-mails.

A mail system may offer a ``MailStore``, a CRM a ``MailArchive``; ``store_of`` and ``archive_of`` tell. The engine branches
on ``MailCapability`` only. No body is kept in any of these values longer than one batch is filed.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from engine.model.modules import Module
from engine.model.port import Account, Outcome


class Layout(StrEnum):
    """How a mail system knows where a mail lies."""

    LABELS = "labels"  # any number of labels on one mail; filing it under another takes it away nowhere
    FOLDERS = "folders"  # one folder; dropping a mail on a record moves it


@dataclass(frozen=True, slots=True)
class MailCapability:
    """What a mail system can do.

    Attributes:
        layout: labels or folders.
        heads: most mails whose headers one call should ask for.
        source_bytes: bytes of whole mails that one call should bring.
    """

    layout: Layout
    heads: int = 50
    source_bytes: int = 4_000_000


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a mail lies now, as the feed or a listing tells it.

    Attributes:
        mail: the provider's id.
        thread: the provider's id of its conversation.
        places: ids of the labels or the folder it lies under now.
        added: ids of places to which it came since the cursor; of a listing, the place that lists it.
        left: ids of places from which it was taken since the cursor.
        arrived: it came into the mailbox since the cursor.
        gone: it was deleted or thrown away.
        message: its Message-ID without angle brackets, where the feed tells it of a mail that arrived.
    """

    mail: str
    thread: str
    places: tuple[str, ...] = ()
    added: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    arrived: bool = False
    gone: bool = False
    message: str = ""


@dataclass(frozen=True, slots=True)
class MailPage:
    """Part of the feed; the cursor is on the last page only.

    ``listed``: places whose whole content this page tells: a mail of which we know that it lay there, and which the page
    does not name, has left. A provider that tells of removals by themselves names none.
    ``names``: full names of the labels or folders by id, where they came along.
    """

    placements: tuple[Placement, ...]
    cursor: str | None = None
    listed: tuple[str, ...] = ()
    names: dict[str, str] | None = None


class Sensitivity(StrEnum):
    """The ``Sensitivity`` header (RFC 2156 5.3.4), which Outlook and others set."""

    NORMAL = "normal"
    PERSONAL = "personal"
    PRIVATE = "private"
    CONFIDENTIAL = "confidential"


@dataclass(frozen=True, slots=True)
class MailHead:
    """The headers of a mail: all that is read of one that is private.

    Attributes:
        mail, thread, places: as in ``Placement``.
        size: bytes of the whole mail.
        headers: raw values by lower-case name; of several with one name, the first.
        received_ms: when the mail system took it, epoch milliseconds.
        sent: it lies among what the mailbox's owner sent.
        gone: it is in the trash.
        draft: it is not sent yet.
    """

    mail: str
    thread: str
    places: tuple[str, ...]
    size: int
    headers: Mapping[str, str]
    received_ms: int
    sent: bool = False
    gone: bool = False
    draft: bool = False


@dataclass(frozen=True, slots=True)
class Move:
    """A change of where mails lie. With folders ``add`` names one folder and the mails leave where they were."""

    mails: tuple[str, ...]
    add: tuple[str, ...] = ()
    remove: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Moved:
    """How a move ended; ``ids``: by their old ids the new ones of mails whose ids a move changes, as far as known."""

    outcome: Outcome
    ids: Mapping[str, str] = field(default_factory=dict)


@runtime_checkable
class MailStore(Protocol):
    """The mails of one mail system's mailboxes. All methods raise ``ProviderError`` when a call as a whole fails."""

    @property
    def mail_capability(self) -> MailCapability:
        """What it can do."""
        ...

    async def mail_start(self, account: Account) -> str:
        """The cursor of this moment."""
        ...

    def mail_changes(self, account: Account, cursor: str, watched: Sequence[str]) -> AsyncIterator[MailPage]:
        """What happened to mails since the cursor; one call when nothing did.

        Args:
            account: the mailbox.
            cursor: where to start.
            watched: the places that matter, where the layout is folders: those alone are asked. Received and sent mails
                are among them (``mail_inbox``) when mails that arrive matter.

        Raises:
            CursorExpired: list the places instead.
        """
        ...

    async def mail_listed(
        self, account: Account, places: Sequence[str], since_ms: int | None = None
    ) -> list[Placement]:
        """The mails in some places, all or those received since a time. A place that is gone has none."""
        ...

    async def mail_heads(self, account: Account, mails: Sequence[str]) -> list[MailHead]:
        """Headers; mails that are gone are left out. No body is read."""
        ...

    async def mail_sources(self, account: Account, mails: Sequence[str]) -> dict[str, bytes | str]:
        """Whole mails as sent over the wire (RFC 5322), or why one cannot be given; those that are gone are left out."""
        ...

    async def mail_move(self, account: Account, moves: Sequence[Move]) -> list[Moved]:
        """Change where mails lie, as few calls as possible; repeating a move is harmless. One answer per move."""
        ...

    async def mail_deleted(self, account: Account, mails: Mapping[str, str]) -> set[str]:
        """Which of some mails that have left a place were deleted, and not put elsewhere; given with their Message-IDs."""
        ...

    async def mail_places(self, account: Account) -> dict[str, str]:
        """The labels or folders that people and programs made: full name by id; one call."""
        ...

    async def mail_rename(self, account: Account, place: str, name: str) -> Outcome:
        """Give a label or folder its full name (back)."""
        ...

    def mail_inbox(self) -> tuple[str, str]:
        """The place of received and that of sent mails: ``(inbox, sent)``."""
        ...

    def mail_is_ours(self, head: MailHead) -> bool:
        """Whether this is a quick connect mail of ours."""
        ...


@runtime_checkable
class NamesWithHeads(Protocol):
    """A mail store that tells the names of the labels in the same call as headers, so that to look at them costs nothing."""

    async def mail_heads_and_places(
        self, account: Account, mails: Sequence[str]
    ) -> tuple[list[MailHead], dict[str, str] | None]:
        """As ``mail_heads`` and ``mail_places``; None for the names when there was no room for them in the calls."""
        ...


# -- the CRM's side ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody the CRM knows by an address."""

    id: str
    kind: str  # contact, lead or user
    address: str  # lower case
    name: str = ""
    account: str = ""  # CRM id of the contact's company


@dataclass(frozen=True, slots=True)
class Address:
    """One participant of a mail."""

    address: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file of a mail; ``data`` is None when it is listed only, ``why`` says then why."""

    name: str
    mime: str
    size: int
    data: bytes | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class ParsedMail:
    """A mail, read.

    Attributes:
        message_id: its Message-ID without angle brackets; one made from its content where it has none.
        own_id: whether the mail brought that id itself.
        subject, text, html: decoded; ``html`` is sanitised.
        sender: who wrote it.
        to, cc, bcc: whom it was sent to.
        sent_ms: its Date header, epoch milliseconds; None when there is no valid one.
        references: Message-IDs that it answers, nearest first.
        attachments: its files.
        notes: what was odd about it, in words, for the view.
    """

    message_id: str
    own_id: bool
    subject: str
    text: str
    html: str
    sender: Address
    to: tuple[Address, ...] = ()
    cc: tuple[Address, ...] = ()
    bcc: tuple[Address, ...] = ()
    sent_ms: int | None = None
    references: tuple[str, ...] = ()
    attachments: tuple[Attachment, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def everybody(self) -> tuple[Address, ...]:
        """Sender and recipients."""
        return (self.sender, *self.to, *self.cc, *self.bcc)


@dataclass(frozen=True, slots=True)
class Filing:
    """One mail to be filed to one record.

    Attributes:
        key: idempotency key: the same mail and record have the same, whoever files it.
        mail: what is filed.
        record, module: the CRM record; empty for a mail that is filed to the people on it alone.
        people: persons by lower-case address.
        incoming: received by the mailbox's owner, not sent by him.
        sent_ms: when it was sent, epoch milliseconds.
        thread: the conversation, by the Message-ID that began it.
        attempt: 0 the first time.
    """

    key: str
    mail: ParsedMail
    record: str
    module: Module | None
    people: Mapping[str, Person]
    incoming: bool
    sent_ms: int
    thread: str = ""
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class Filed:
    """How one filing ended: the outcome's observation is not used, ``activity`` is the CRM's id of the e-mail."""

    outcome: Outcome
    activity: str = ""
    before: bool = False  # it stood in the CRM already


@dataclass(frozen=True, slots=True)
class NewRecord:
    """A record to be made from a mail.

    Attributes:
        key: idempotency key.
        module: what it shall be.
        fields: canonical fields.
        owner: CRM user.
        person: who wrote the mail, when the CRM knows him: a case gets him as its contact, an opportunity his account.
        attempt: 0 the first time.
    """

    key: str
    module: Module
    fields: Mapping[str, Any]
    owner: str
    person: Person | None = None
    attempt: int = 0


@dataclass(frozen=True, slots=True)
class MadeRecord:
    """How the making of a record ended; ``record`` is its CRM id."""

    outcome: Outcome
    record: str = ""


@runtime_checkable
class MailArchive(Protocol):
    """The e-mails of a CRM. All methods raise ``ProviderError`` when a call as a whole fails."""

    async def mail_people(self, addresses: Sequence[str]) -> dict[str, Person]:
        """Contacts, leads and users by lower-case address; of several, the one changed last, contacts first."""
        ...

    async def mail_file(self, filings: Sequence[Filing]) -> list[Filed]:
        """File mails with their people and files; one answer per filing, in order. A repeat finds what is there."""
        ...

    async def mail_find(self, keys: Sequence[str]) -> dict[str, str]:
        """E-mails that stand in the CRM: their ids by key."""
        ...

    async def mail_unfile(self, activities: Sequence[str]) -> list[Outcome]:
        """Take e-mails away again; what is gone already is ``GONE``."""
        ...

    async def mail_create(self, records: Sequence[NewRecord]) -> list[MadeRecord]:
        """Make records from mails; one answer per record, in order. A repeat finds what is there."""
        ...

    def mail_required(self, module: Module) -> tuple[str, ...]:
        """Canonical fields that a new record of this module must have."""
        ...


def store_of(connector: object) -> MailStore | None:
    """The mail store that a mailbox connector offers, if it does."""
    return connector if isinstance(connector, MailStore) else None


async def heads_and_places(
    store: MailStore, account: Account, mails: Sequence[str]
) -> tuple[list[MailHead], dict[str, str] | None]:
    """Headers, and the names of the labels where that costs no call more.

    Raises:
        ProviderError: a call failed.
    """
    if isinstance(store, NamesWithHeads):
        return await store.mail_heads_and_places(account, mails)
    return await store.mail_heads(account, mails), None


def archive_of(connector: object) -> MailArchive | None:
    """The archive of e-mails that a CRM connector offers, if it does."""
    return connector if isinstance(connector, MailArchive) else None


@dataclass(slots=True)
class Hidden:
    """Addresses and domains whose mails are not filed."""

    addresses: frozenset[str] = field(default_factory=frozenset)
    domains: frozenset[str] = field(default_factory=frozenset)

    def hit(self, addresses: Sequence[Address]) -> str:
        """The first address that is excluded, empty when none is. A domain covers its subdomains."""
        for one in addresses:
            address = one.address.casefold()
            domain = address.rpartition("@")[2]
            parts = domain.split(".")
            if address in self.addresses or any(
                ".".join(parts[start:]) in self.domains for start in range(len(parts))
            ):
                return one.address
        return ""
