"""What a company is made of, neutral to any provider. People are named by their place in ``Company``'s tuples.

Times are UTC instants; ``zone`` says in which zone a person would have typed them. ``None`` means: not filled in.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, datetime


@dataclass(frozen=True, slots=True)
class User:
    """An employee: owner of CRM rows and of one mailbox."""

    email: str
    given: str
    family: str
    zone: str
    title: str

    @property
    def name(self) -> str:
        """Given and family name."""
        return f"{self.given} {self.family}"


@dataclass(frozen=True, slots=True)
class Address:
    """A postal address; ``country`` is the English country name."""

    street: str
    city: str
    region: str
    postcode: str
    country: str


@dataclass(frozen=True, slots=True)
class Account:
    """A firm that contacts work for. ``owner`` is a place in ``Company.users``."""

    owner: int
    name: str
    domain: str
    phone: str
    address: Address


@dataclass(frozen=True, slots=True)
class Contact:
    """A person at a firm. ``account`` is a place in ``Company.accounts``; phone numbers are valid in ``region``."""

    owner: int
    account: int | None
    language: str
    region: str
    family: str
    given: str | None = None
    middle: str | None = None
    prefix: str | None = None
    suffix: str | None = None
    title: str | None = None
    department: str | None = None
    email: str | None = None
    phone_work: str | None = None
    phone_mobile: str | None = None
    phone_home: str | None = None
    phone_other: str | None = None
    fax: str | None = None
    address: Address | None = None
    other_address: Address | None = None
    birthday: date | None = None
    notes: str | None = None
    twin_of: int | None = None

    @property
    def name(self) -> str:
        """Given and family name, as far as known."""
        return f"{self.given} {self.family}" if self.given else self.family


@dataclass(frozen=True, slots=True)
class Lead:
    """Somebody not yet a contact; the company is plain text."""

    owner: int
    person: Contact
    company: str
    website: str | None
    status: str


@dataclass(frozen=True, slots=True)
class Guest:
    """Somebody invited; ``status`` is ``accepted``, ``declined``, ``tentative`` or ``none``."""

    email: str
    name: str
    status: str
    optional: bool = False


@dataclass(frozen=True, slots=True)
class Series:
    """How an appointment repeats.

    Attributes:
        rule: RFC 5545 value without ``RRULE:``, always bounded by ``COUNT``.
        moved: place of an occurrence (0 is the first) and the minutes by which it was moved.
        cancelled: places of occurrences that do not take place.
    """

    rule: str
    moved: tuple[tuple[int, int], ...] = ()
    cancelled: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Appointment:
    """An appointment or a service call. For ``all_day``, start and end are midnights UTC and the end is exclusive."""

    owner: int
    subject: str
    start: datetime
    end: datetime
    zone: str
    all_day: bool = False
    private: bool = False
    busy: bool = True
    location: str | None = None
    notes: str | None = None
    contact: int | None = None
    account: int | None = None
    guests: tuple[Guest, ...] = ()
    series: Series | None = None


@dataclass(frozen=True, slots=True)
class PhoneCall:
    """A planned or past phone call."""

    owner: int
    subject: str
    start: datetime
    minutes: int
    outbound: bool
    done: bool
    contact: int | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class Todo:
    """A task; ``status`` and ``priority`` are the CRM's usual words."""

    owner: int
    subject: str
    due: date | None
    status: str
    priority: str
    contact: int | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class Opportunity:
    """A deal with an account; ``contacts`` are places in ``Company.contacts``, the first is the main one."""

    owner: int
    name: str
    account: int | None
    contacts: tuple[int, ...]
    stage: str
    amount: float | None
    close: date
    next_step: str | None
    notes: str | None


@dataclass(frozen=True, slots=True)
class Case:
    """A customer's request."""

    owner: int
    subject: str
    account: int | None
    contact: int | None
    status: str
    priority: str
    origin: str
    notes: str | None


@dataclass(frozen=True, slots=True)
class Company:
    """The whole demo company, the same for the same seed, counts and day."""

    users: tuple[User, ...]
    accounts: tuple[Account, ...]
    contacts: tuple[Contact, ...]
    leads: tuple[Lead, ...]
    appointments: tuple[Appointment, ...]
    calls: tuple[PhoneCall, ...]
    service_calls: tuple[Appointment, ...]
    tasks: tuple[Todo, ...]
    opportunities: tuple[Opportunity, ...]
    cases: tuple[Case, ...]
