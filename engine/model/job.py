"""Jobs that ship with the product, how an admin may override them, and access groups: values, all of them valid.

A shipped definition is code and never changes by what an admin does. What an admin sets is an *override* in a layer of its
own: it is stored, shown, exported, and removed again. The switch (enabled) is no part of either; it is off until an admin
turns it on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import time
from enum import StrEnum

from engine.model.operator import is_operator
from engine.model.policy import Connection, Policy

CALENDAR = "CalendarSynchronization"

#: Context of a job that runs with the policies' own connections, for all operators (Pega's words).
SYSTEM = "system runtime context"

#: Kinds of mailbox connection that are polled by the job in the system runtime context.
POLLED = frozenset({"exchange"})

#: Stands for the last day of a month.
LAST_DAY = 0


class ScheduleKind(StrEnum):
    """When a job runs (the kinds of Pega's job scheduler; domain.md 5.4)."""

    STARTUP = "startup"
    MINUTES = "minutes"
    SEVERAL = "several-times-a-day"
    DAILY = "daily"
    WEEKLY = "weekly"
    MONTHLY = "monthly"
    YEARLY = "yearly"


@dataclass(frozen=True, slots=True)
class JobSettings:
    """The definition of a job.

    Attributes:
        schedule: its kind; which of the next six count depends on it.
        minutes: every so many minutes.
        times: several times a day, at these.
        at: time of day.
        days: weekdays, 0 (Monday) to 6.
        day: of the month, 1 to 31; ``LAST_DAY`` for the last. Months without it have no run.
        month: 1 to 12.
        zone: in which all of these are meant.
        context: ``SYSTEM`` or the name of an access group.
        skip_older_than_days: how far the first run for a mailbox looks back (Pega's IsSkipAppointment).
    """

    schedule: ScheduleKind = ScheduleKind.MINUTES
    minutes: int = 15
    times: tuple[time, ...] = (time(7), time(12), time(17))
    at: time = time(2)
    days: tuple[int, ...] = (0,)
    day: int = 1
    month: int = 1
    zone: str = "UTC"
    context: str = SYSTEM
    skip_older_than_days: int = 180


@dataclass(frozen=True, slots=True)
class ShippedJob:
    """A job as it ships."""

    name: str
    about: str
    settings: JobSettings = JobSettings()


SHIPPED: Mapping[str, ShippedJob] = {
    CALENDAR: ShippedJob(
        CALENDAR,
        "Reads the calendars of all operators and brings them and the CRM in step, appointments alone.",
    )
}

#: Settings that count for a kind of schedule, beside the zone.
USES: Mapping[ScheduleKind, tuple[str, ...]] = {
    ScheduleKind.STARTUP: (),
    ScheduleKind.MINUTES: ("minutes",),
    ScheduleKind.SEVERAL: ("times",),
    ScheduleKind.DAILY: ("at",),
    ScheduleKind.WEEKLY: ("days", "at"),
    ScheduleKind.MONTHLY: ("day", "at"),
    ScheduleKind.YEARLY: ("month", "day", "at"),
}


@dataclass(frozen=True, slots=True)
class AccessGroup:
    """A context: with whose credentials, and for whom, a job runs.

    Attributes:
        connection: the mailbox connection whose credentials the runs use; empty: each policy's own.
        policies: whose operators; empty: of all policies whose mailbox connection is of the kind of ``connection`` (or is
            polled, when that is empty, too).
        operators: addresses; empty: all operators of these policies.
    """

    name: str
    connection: str = ""
    policies: tuple[str, ...] = ()
    operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Person:
    """A target user, as far as the choice of operators asks."""

    email: str
    policy: str
    calendar_sync: bool
    exchange_email: str


@dataclass(frozen=True, slots=True)
class Share:
    """What a run does in one policy: with which connection, for whom."""

    policy: str
    connection: str
    operators: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scope:
    """What a run covers, and who is left out with the reason."""

    shares: tuple[Share, ...] = ()
    left_out: Mapping[str, str] = field(default_factory=dict)


def scope_of(
    group: AccessGroup | None,
    policies: Mapping[str, Policy],
    connections: Mapping[str, Connection],
    people: Sequence[Person],
) -> Scope:
    """Whom a run of the job serves, and with which connections. ``group`` is None in the system runtime context."""
    shares = []
    left: dict[str, str] = {}
    for name, policy in policies.items():
        if not _covers(group, policy, connections):
            continue
        operators = []
        for person in people:
            if person.policy != name:
                continue
            if group is not None and group.operators and person.email not in group.operators:
                continue
            if is_operator(person.calendar_sync, person.email, person.exchange_email):
                operators.append(person.email)
            else:
                left[person.email] = "Calendar Sync is off for this person"
        shares.append(Share(name, (group.connection if group else "") or policy.mailbox, tuple(operators)))
    return Scope(tuple(shares), left)


def _covers(group: AccessGroup | None, policy: Policy, connections: Mapping[str, Connection]) -> bool:
    own = connections.get(policy.mailbox)
    kind = own.kind if own is not None else ""
    if group is None:
        return kind in POLLED
    if group.policies:
        return policy.name in group.policies
    if group.connection:
        given = connections.get(group.connection)
        return given is not None and given.kind == kind
    return kind in POLLED
