"""The port: the values and the protocol through which the engine speaks to any CRM or mailbox.

A connector translates between a provider and canonical fields. It knows neither ledger nor policy nor clock; it
holds no state that matters after a crash. Everything that differs between providers and that the engine must know
stands in ``Capability``; the engine never asks for a provider's name.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from engine.model.canonical import Fields
from engine.model.modules import Module


class CreateKey(StrEnum):
    """How a create can be repeated after an unknown outcome (sync.md section 4)."""

    NATURAL = "natural"  # own id, external-id upsert or unique name: repeat at once
    MARKER = (
        "marker"  # our marker is on the item but cannot be searched: settle, read the feed, adopt, then repeat
    )
    PROBE = "probe"  # the marker can be looked up by the connector: it probes when ``Write.attempt`` > 0


class Guard(StrEnum):
    """How an update is protected against a change that we have not seen."""

    ETAG = "etag"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Capability:
    """What one provider can do for one module.

    Attributes:
        fields: canonical field names that it can hold and give back; the engine merges the intersection of both sides.
        writable: those of ``fields`` that can be written.
        create_key: how a create may be repeated.
        guard: how updates are protected.
        lag_seconds: how long after a write the feed may still show the old state (People: minutes).
        batch: most writes that one ``apply`` call should be given.
        parallel: how many ``apply`` calls may run at once for one mailbox.
        cursor_days: lifetime of a cursor in days, ``None`` if it does not expire; the engine renews it a day earlier.
        tombstones: whether the feed reports deletions explicitly.
        exceptions: whether the feed and ``apply`` speak of changed occurrences of a series.
        windowed: the feed also reports as removed what only left its window (Graph's calendarView delta): a removal
            counts only after the item was looked for by id.
        net: the feed tells the difference between two states (Exchange's sync state): of an item that we made and somebody
            deleted since the cursor it says nothing at all, and who does not find its own write in it asks by id.
        resets: a series that gets other times or another rule loses what was changed or cancelled about its occurrences, also
            about those that it still has (Exchange; [MS-OXOCAL] 3.1.4.7.3.5).
    """

    fields: frozenset[str]
    writable: frozenset[str]
    create_key: CreateKey
    guard: Guard
    lag_seconds: int = 0
    batch: int = 50
    parallel: int = 1
    cursor_days: float | None = None
    tombstones: bool = True
    exceptions: bool = False
    windowed: bool = False
    net: bool = False
    resets: bool = False


@dataclass(frozen=True, slots=True)
class Account:
    """One mailbox as a connector needs to know it.

    Attributes:
        email: the mailbox's address.
        zone: IANA zone in which all-day items and wall times are read.
        crm_user: id of the person in the CRM (owner of what is created there), empty when unknown.
        exchange_email: the mailbox's address at Exchange, where it is another than ``email``.
    """

    email: str
    zone: str = "UTC"
    crm_user: str = ""
    exchange_email: str = ""


@dataclass(frozen=True, slots=True)
class Scope:
    """One feed with one cursor: a contact list, a calendar, a task list, a mail store, one CRM object.

    Attributes:
        key: stable name inside its account, e.g. ``contacts``, ``calendar``, ``calendar:calls``, ``tasks``, ``mail``;
            for a CRM the object's name, e.g. ``Contact``.
        remote_id: the provider's id of the container (calendar id, task list id, object name).
        modules: what it can hold.
        account: the mailbox, or ``None`` for a CRM feed that serves all mailboxes.
        activities: of a CRM feed of records: so many open tasks and coming appointments are told with each.
    """

    key: str
    remote_id: str
    modules: tuple[Module, ...]
    account: Account | None = None
    activities: int = 0


@dataclass(frozen=True, slots=True)
class Observation:
    """One item as a provider shows it now.

    Attributes:
        remote_id: the provider's id.
        module: what it is; a deleted item may name any module of its scope (the engine knows it by its id).
        fields: canonical fields (compact), empty when deleted.
        etag: version that a guarded update must name, ``None`` where there is none.
        deleted: an explicit tombstone.
        marker: our idempotency key found on the item (``Write.key`` of the create), else ``None``.
        modified: the server's time of last change, epoch milliseconds, ``None`` when the provider tells none.
        owner: CRM user id of the owner (CRM side only).
        containers: ids of containers or markers it carries: contact groups, colour or label ids (mailbox side).
        parent: remote id of the series master, for a changed or cancelled occurrence.
        occurrence: original start of that occurrence (ISO date or UTC date-time with Z).
        native: the part of the provider's document that a lossless patch needs; the ledger gives it back in
            ``Write.native``. Never a body of a private item, never a secret.
    """

    remote_id: str
    module: Module
    fields: Fields = field(default_factory=dict)
    etag: str | None = None
    deleted: bool = False
    marker: str | None = None
    modified: int | None = None
    owner: str | None = None
    containers: tuple[str, ...] = ()
    parent: str | None = None
    occurrence: str | None = None
    native: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a feed.

    Attributes:
        observations: items in the order of the feed.
        cursor: where the next read starts; present on the last page only.
        snapshot: this page belongs to a complete listing (no cursor was given), so that what no page lists is absent.
        total: how many items the whole read will bring, if the provider tells.
    """

    observations: tuple[Observation, ...]
    cursor: str | None = None
    snapshot: bool = False
    total: int | None = None


class WriteKind(StrEnum):
    """What a write does."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class Write:
    """One change that a provider is asked to make.

    An occurrence of a series is there before anybody makes it; to create one is to make it differ from its series, or to
    cancel it. Such a create never passes over what somebody has changed or cancelled there already: an occurrence that is as
    wanted is ``DONE`` with what it shows; one that is as its series makes it is written, guarded by the version that was
    looked at as far as the provider can; any other one is left alone, and is a ``CONFLICT``.

    Attributes:
        kind: create, update or delete.
        module: what it is.
        key: idempotency key, the same for every attempt; a create leaves it on the item as its marker.
        remote_id: the item, empty for a create.
        fields: the whole canonical item as it shall be (create and update), empty for a delete.
        patch: for an update, only the fields that change; ``None`` clears one.
        etag: version the change is based on, for a guarded update or delete.
        native: what ``Observation.native`` or the last outcome gave.
        containers: ids of groups, colours or labels that a new item shall carry.
        parent: remote id of the series master when this is one occurrence.
        occurrence: original start of that occurrence (ISO date or UTC date-time with Z).
        attempt: 0 the first time; above 0 the connector probes for the key first where it can (``CreateKey.PROBE``).
        notify: whether guests may be mailed. False unless the intent says so; never true in a first sync.
        owner: CRM user id that shall own a record created in a CRM.
    """

    kind: WriteKind
    module: Module
    key: str
    remote_id: str = ""
    fields: Fields = field(default_factory=dict)
    patch: Fields = field(default_factory=dict)
    etag: str | None = None
    native: Mapping[str, Any] | None = None
    containers: tuple[str, ...] = ()
    parent: str | None = None
    occurrence: str | None = None
    attempt: int = 0
    notify: bool = False
    owner: str = ""


class Result(StrEnum):
    """How one write ended."""

    DONE = "done"  # applied; the outcome carries the new state
    GONE = "gone"  # update or delete of something that is no longer there (404, 410)
    CONFLICT = "conflict"  # the item changed since we saw it (412, failedPrecondition), nothing was written: read it again
    REFUSED = "refused"  # certainly not applied, try later (429, quota, 503 before processing)
    UNKNOWN = "unknown"  # nobody can tell whether it was applied (time-out, reset, 5xx)
    REJECTED = "rejected"  # certainly not applied and a repeat would not help: the item is at fault


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one write, in the order of the writes.

    Attributes:
        result: how it ended.
        observation: the item after the write as the provider's answer showed it (``DONE`` of create or update).
        reason: for people: what the provider said. No secrets.
        retry_after: seconds, for ``REFUSED``.
    """

    result: Result
    observation: Observation | None = None
    reason: str = ""
    retry_after: float | None = None


class CalendarMode(StrEnum):
    """Riva's CalendarMode: CRM items in the default calendar marked by colour, or in a calendar of their own."""

    COLOUR = "colour"
    SEPARATE = "separate"


@dataclass(frozen=True, slots=True)
class Structure:
    """The containers that a policy needs in a mailbox; names are what people see.

    Attributes:
        groups: contact group name by module (contact, lead).
        calendar_mode: colour or separate calendar.
        calendar_name: name of the separate calendar (mode ``separate``).
        colours: colour by event module as ``#rrggbb`` (mode ``colour``), with the label name beside it.
        tasks: whether a task list is needed.
        labels: full label paths (``CRM/Opportunities``), parents before children.
    """

    groups: Mapping[Module, str] = field(default_factory=dict)
    calendar_mode: CalendarMode | None = None
    calendar_name: str = ""
    colours: Mapping[Module, tuple[str, str]] = field(default_factory=dict)
    tasks: bool = False
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Containers:
    """What ``ensure`` made or found, or ``survey`` found: container id by logical name, and the feeds to read.

    Logical names: ``group:contact``, ``group:lead``, ``calendar`` (the one that is written to),
    ``colour:appointment``, ``colour:call``, ``colour:service_call`` (value goes into ``Write.containers``),
    ``tasks``, ``label:CRM/Opportunities``.

    ``missing``, of ``survey`` alone: what ``ensure`` would make, in words (``group CRM Contacts``).
    """

    ids: Mapping[str, str]
    scopes: tuple[Scope, ...]
    created: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """One line of ``doctor``.

    Attributes:
        ok: whether the check passed.
        check: what was tested, e.g. ``token``, ``delegation``, ``scope people``.
        detail: what was found, for people.
        advice: what to do when it failed.
    """

    ok: bool
    check: str
    detail: str
    advice: str = ""


class PushMode(StrEnum):
    """How a provider tells of changes before the slow poll would see them."""

    NONE = ""
    WATCH = "watch"  # Google: a channel for each calendar, posted to us
    PUSH = "push"  # Exchange: a subscription, posted to us, with status pings
    STREAM = "streaming"  # Exchange: a subscription that we keep a connection open for
    PULL = "pull"  # Exchange: a subscription that we ask now and then


@dataclass(frozen=True, slots=True)
class Channel:
    """A subscription that a provider has made.

    Attributes:
        remote_id: how its notifications name it.
        resource: what else is needed to end it.
        watermark: up to where it has told; Exchange.
        expires_ms: when it ends by itself, epoch milliseconds; None: when nobody takes its notifications.
    """

    remote_id: str
    resource: str = ""
    watermark: str = ""
    expires_ms: int | None = None


@dataclass(frozen=True, slots=True)
class News:
    """What a subscription tells.

    Attributes:
        changes: how many there are; 0: it is alive.
        places: ids of the containers in which they are; empty where the provider names none.
    """

    changes: int
    places: frozenset[str] = frozenset()


@runtime_checkable
class Pushing(Protocol):
    """A mailbox connector whose provider can tell of changes by itself. Both methods raise ``ProviderError``."""

    @property
    def push_mode(self) -> PushMode:
        """How it is set to do so."""
        ...

    async def subscribe(
        self, account: Account, scopes: Sequence[Scope], channel_id: str, address: str, token: str
    ) -> list[tuple[str, Channel]]:
        """Ask to be told of changes of feeds.

        Args:
            account: the mailbox.
            scopes: its feeds; those that cannot be watched are left out of the answer.
            channel_id: a name of our choice, unique; several channels get it with a number.
            address: where notifications go.
            token: what they must bring along.

        Returns:
            (key of the scope, or "" for all of them; the channel).
        """
        ...

    async def unsubscribe(self, account: Account, channel: Channel) -> None:
        """End it; one that is gone already is no error."""
        ...

    async def changed(self, account: Account, channel: Channel) -> tuple[str, News]:
        """Ask a subscription of mode ``PULL``: the new watermark, and what has changed."""
        ...

    def stream(
        self, account: Account, channels: Sequence[Channel], minutes: int
    ) -> AsyncIterator[tuple[str, News]]:
        """Listen to subscriptions of mode ``STREAM`` for some minutes: (its id, what it tells)."""
        ...


@dataclass(frozen=True, slots=True)
class CrmUser:
    """A person in the CRM, as the list of possible target users shows it."""

    id: str
    email: str
    name: str
    zone: str = "UTC"
    active: bool = True
    manager: str = ""  # id of the user's manager; empty: none, or not asked for


class Connector(Protocol):
    """What both kinds of connector do. All methods raise ``engine.net.errors.ProviderError`` when a call as a whole
    fails; a failure of one write is an ``Outcome``."""

    def capability(self, module: Module) -> Capability | None:
        """What this provider can do for a module; ``None`` when it does not know the module."""
        ...

    def changes(self, scope: Scope, cursor: str | None) -> AsyncIterator[Page]:
        """Pages of what changed since ``cursor``; the whole feed when it is ``None``.

        Raises:
            CursorExpired: the provider no longer knows the cursor; start again with ``None``.
        """
        ...

    async def fetch(self, scope: Scope, ids: Sequence[str]) -> list[Observation]:
        """The present state of items by id, in bulk; what does not exist comes back as deleted."""
        ...

    async def occurrences(self, scope: Scope, series: Sequence[str]) -> list[Observation]:
        """The changed and cancelled occurrences that series have now, in any order; a series that is gone has none.

        Asked only of feeds whose capability has ``exceptions``.
        """
        ...

    async def apply(self, scope: Scope, writes: Sequence[Write]) -> list[Outcome]:
        """Make the changes, in as few calls as the provider allows; exactly one outcome per write, in order.

        See ``Write`` for an occurrence that somebody has changed before we could (``engine.model.occurrences``).
        """
        ...

    def usage(self) -> list[tuple[str, float, float]]:
        """Quotas as ``(name, used, granted)``, for the screen; the provider's units and period stand in the name."""
        ...

    async def check(self, account: Account | None) -> list[Finding]:
        """Test access, as ``doctor`` prints it: token, delegation, scopes, one read per API, throttling."""
        ...

    async def close(self) -> None:
        """Close connections."""
        ...
