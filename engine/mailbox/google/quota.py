"""What a call costs in Google's own currency, and which buckets pay for it (providers.md 1.3)."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass

from engine.mailbox.google.settings import Api, Quotas
from engine.net.buckets import Usage

#: Gmail quota units by method; projects made after May 2026.
_GMAIL_UNITS = {
    "gmail.users.getProfile": 1,
    "gmail.users.labels.list": 1,
    "gmail.users.labels.get": 1,
    "gmail.users.labels.create": 5,
    "gmail.users.labels.update": 5,
    "gmail.users.labels.patch": 5,
    "gmail.users.labels.delete": 5,
    "gmail.users.history.list": 2,
    "gmail.users.messages.list": 5,
    "gmail.users.messages.modify": 5,
    "gmail.users.messages.get": 20,
    "gmail.users.messages.trash": 20,
    "gmail.users.messages.untrash": 20,
    "gmail.users.messages.delete": 10,
    "gmail.users.messages.insert": 25,
    "gmail.users.messages.import": 25,
    "gmail.users.messages.batchModify": 50,
    "gmail.users.messages.batchDelete": 50,
}

#: People: units by bucket and method; anything else is one read.
_PEOPLE_COSTS: dict[str, dict[str, float]] = {
    "people.people.createContact": {"reads": 1, "writes": 1},
    "people.people.updateContact": {"reads": 1, "writes": 1},
    "people.people.batchCreateContacts": {"reads": 6, "writes": 6},
    "people.people.batchUpdateContacts": {"reads": 6, "writes": 6},
    "people.people.deleteContact": {"other": 1},
    "people.people.batchDeleteContacts": {"other": 10},
    "people.contactGroups.list": {"groups": 1},
    "people.contactGroups.get": {"groups": 1},
    "people.contactGroups.batchGet": {"groups": 1},
    "people.contactGroups.create": {"other": 1},
    "people.contactGroups.update": {"other": 1},
    "people.contactGroups.delete": {"other": 1},
    "people.contactGroups.members.modify": {"other": 1},
}

_MINUTES_OF_A_DAY = 24 * 60


@dataclass(frozen=True, slots=True)
class Charge:
    """So many units of one bucket.

    A mailbox is quiet for most of its day and busy for the seconds of its cycle, so a good part of a mailbox's own
    quota may go at once. ``fill`` and ``burst`` together never exceed the rate in any minute.

    Attributes:
        bucket: which one.
        cost: units to take.
        rate: units per minute that Google grants.
        fill: part of it by which the bucket refills.
        burst: units that may go at once.
        own: whether the bucket belongs to one mailbox, and not to the whole project.
    """

    bucket: Hashable
    cost: float
    rate: float
    fill: float
    burst: float
    own: bool = True


def _charge(bucket: Hashable, cost: float, rate: float, fill: float, *, own: bool = True) -> Charge:
    """A charge to a bucket of which what does not refill may go at once."""
    return Charge(bucket, cost, rate, fill, rate * (1 - fill), own)


def charges(
    quotas: Quotas, api: Api, method_id: str, account: str, cost: float | None = None
) -> tuple[Charge, ...]:
    """The buckets that one call empties. ``cost`` overrides the table's units."""
    match api:
        case Api.CALENDAR:
            units = 1 if cost is None else cost
            return (
                _charge((api, "user", account), units, quotas.calendar_per_user, 0.5),
                _charge((api, "project"), units, quotas.calendar_per_project, 0.8, own=False),
            )
        case Api.GMAIL:
            units = _GMAIL_UNITS.get(method_id, 5) if cost is None else cost
            return (
                _charge((api, "user", account), units, quotas.gmail_per_user, 0.5),
                _charge((api, "project"), units, quotas.gmail_per_project, 0.8, own=False),
            )
        case Api.PEOPLE:
            rates = {
                "reads": quotas.people_reads_per_user,
                "writes": quotas.people_writes_per_user,
                "groups": quotas.people_group_reads_per_user,
                "other": quotas.people_other_writes_per_user,
            }
            return tuple(
                _charge(
                    (api, name, account),
                    units if cost is None else cost,
                    rates[name],
                    # Deletes come rarely and cost a third of their minute each.
                    0.2 if name == "other" else 0.5,
                )
                for name, units in _PEOPLE_COSTS.get(method_id, {"reads": 1}).items()
            )
        case Api.TASKS:
            # A daily budget: a first sync may spend a fifth of it at once, the rest refills through the day.
            return (
                Charge(
                    (api, "project"),
                    1 if cost is None else cost,
                    quotas.tasks_per_day / _MINUTES_OF_A_DAY,
                    fill=0.8,
                    burst=quotas.tasks_per_day / 5,
                    own=False,
                ),
            )


def limits_of(rows: Iterable[Usage], quotas: Quotas) -> list[tuple[str, float, float]]:
    """Buckets as lines of the Limits screen: ``(name, used in the last minute, granted)``.

    Of the buckets that every mailbox has, the fullest of each kind is shown.
    """
    fullest: dict[str, tuple[float, float]] = {}
    for row in rows:
        api, kind = row.key[0], row.key[1]  # type: ignore[index]
        granted = row.limit
        if api is Api.TASKS:
            name, granted = "Google Tasks at once", quotas.tasks_per_day / 5
        elif kind == "project":
            name = f"{api.label} /min"
        elif kind == "user":
            name = f"{api.label} mailbox /min"
        else:
            name = f"{api.label} {kind} /min"
        used = fullest.get(name, (-1.0, granted))
        if row.used > used[0]:
            fullest[name] = (row.used, granted)
    return [(name, used, granted) for name, (used, granted) in fullest.items()]
