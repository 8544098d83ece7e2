"""Access groups and jobs in the declarative configuration: their tables, how they are read, and as documents.

``[jobs.NAME]`` names what an admin overrides of a job that ships (``engine.model.job``); what it does not name stays as
shipped. ``[access_groups.NAME]`` is a context in which a job can run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.model.config_problems import Collector, join
from engine.model.config_sections import ListOf, Setting, read_settings
from engine.model.config_values import (
    BAD,
    Kind,
    Refused,
    clock,
    email,
    flag,
    one_of,
    text,
    weekday,
    whole,
    zone,
)
from engine.model.job import LAST_DAY, SHIPPED, SYSTEM, USES, AccessGroup, JobSettings, ScheduleKind
from engine.model.policy import Connection, Policy

_SHIPPED = JobSettings()

#: Days of the shortest and longest months, leap years counted.
_DAYS_OF = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def month_day() -> Kind:
    """A day of the month, or the last one."""

    def check(raw: Any) -> int:
        if raw == "last":
            return LAST_DAY
        if isinstance(raw, bool) or not isinstance(raw, int) or not 1 <= raw <= 31:
            raise Refused
        return raw

    return Kind('a whole number from 1 to 31, or "last"', check, lambda day: "last" if day == LAST_DAY else day)


JOB: tuple[Setting, ...] = (
    Setting(
        "schedule",
        one_of(ScheduleKind),
        "When it runs: once when the engine starts, every so many `minutes`, at several `times` a day, daily `at` a time, "
        "weekly on `days`, monthly on a `day`, or yearly in a `month` on a `day`.",
        _SHIPPED.schedule,
    ),
    Setting("minutes", whole(1, 1440, "minutes"), "From one run to the next (`minutes`).", _SHIPPED.minutes),
    Setting("times", ListOf(clock(), most=24, sort=True), "Several times a day, at these.", _SHIPPED.times),
    Setting("at", clock(), "Time of day (`daily`, `weekly`, `monthly`, `yearly`).", _SHIPPED.at),
    Setting("days", ListOf(weekday(), most=7, sort=True), "Days of the week (`weekly`).", _SHIPPED.days),
    Setting(
        "day",
        month_day(),
        "Day of the month (`monthly`, `yearly`); months without it have no run.",
        _SHIPPED.day,
    ),
    Setting("month", whole(1, 12), "Month (`yearly`).", _SHIPPED.month),
    Setting("zone", zone(), "Time zone of the times above.", _SHIPPED.zone),
    Setting(
        "context",
        text(100),
        f"With whose credentials and for whom it runs: `{SYSTEM}` (the policies' own connections, all operators of "
        "policies whose mailboxes are polled), or the name of an access group.",
        SYSTEM,
    ),
    Setting(
        "skip_older_than_days",
        whole(0, 3650, "days"),
        "The first run for a mailbox takes all future appointments, and past ones that ended no longer ago than this; "
        "later runs only future ones.",
        _SHIPPED.skip_older_than_days,
    ),
)

ENABLED = Setting(
    "enabled",
    flag(),
    "Switches the job on or off; without it the switch stays as it is (a job is off until somebody turns it on).",
)

ACCESS_GROUP: tuple[Setting, ...] = (
    Setting(
        "connection",
        text(100, empty=True),
        "The mailbox connection whose credentials the runs use, to the same server as the policies' own; empty: each "
        "policy's own.",
        "",
    ),
    Setting(
        "policies",
        ListOf(text(100), most=1000),
        "Whose operators; empty: of all policies with mailboxes of the kind of `connection`, or, when that is empty, too, of "
        "all whose mailboxes are polled.",
        (),
    ),
    Setting(
        "operators",
        ListOf(email(), most=100_000),
        "Addresses of users; empty: all operators of these policies.",
        (),
    ),
)


@dataclass(frozen=True, slots=True)
class DeclaredJob:
    """What a file says of a job.

    Attributes:
        override: the settings that it names, by name.
        enabled: on, off, or ``None`` to leave the switch as it is.
    """

    name: str
    override: Mapping[str, Any] = field(default_factory=dict)
    enabled: bool | None = None


def settings_of(name: str, override: Mapping[str, Any]) -> JobSettings:
    """The effective settings of a job that ships."""
    return replace(SHIPPED[name].settings, **override)


def job_to_doc(override: Mapping[str, Any]) -> dict[str, Any]:
    """An override as a JSON-able document."""
    return {each.name: each.kind.write(override[each.name]) for each in JOB if each.name in override}


def job_from_doc(name: str, document: Mapping[str, Any]) -> dict[str, Any]:
    """A stored override.

    Raises:
        ConfigErrors: it is not valid for this version.
    """
    problems = Collector()
    values = read_settings(JOB, document, join("jobs", name), problems)
    problems.done("the stored configuration")
    return dict(values)


def group_to_doc(group: AccessGroup) -> dict[str, Any]:
    """An access group as a JSON-able document, without what is empty."""
    document = {each.name: each.kind.write(getattr(group, each.name)) for each in ACCESS_GROUP}
    return {name: value for name, value in document.items() if value}


def group_from_doc(name: str, document: Mapping[str, Any]) -> AccessGroup:
    """A stored access group.

    Raises:
        ConfigErrors: it is not valid for this version.
    """
    problems = Collector()
    values = read_settings(ACCESS_GROUP, document, join("access_groups", name), problems)
    problems.done("the stored configuration")
    return AccessGroup(name, **values)


def read_groups(
    tables: Mapping[str, Any],
    policies: Mapping[str, Policy | None],
    connections: Mapping[str, Connection | None],
    users: Mapping[str, str],
    problems: Collector,
) -> dict[str, AccessGroup | None]:
    """The access groups of a file; each names only what there is.

    Args:
        tables: by name.
        policies: by name; None for one that has a problem of its own.
        connections: likewise.
        users: policy by address.
        problems: collects what is wrong.
    """
    found: dict[str, AccessGroup | None] = {}
    for name, table in tables.items():
        where = join("access_groups", name)
        values = read_settings(ACCESS_GROUP, table, where, problems)
        if name.casefold() == SYSTEM:
            problems.add(where, "is the name of the context without a group", allowed="another name")
        found[name] = None if values is BAD else AccessGroup(name, **values)
        group = found[name]
        if group is not None:
            _check_group(group, where, policies, connections, users, problems)
    return found


def _check_group(
    group: AccessGroup,
    where: str,
    policies: Mapping[str, Policy | None],
    connections: Mapping[str, Connection | None],
    users: Mapping[str, str],
    problems: Collector,
) -> None:
    for number, name in enumerate(group.policies):
        if name not in policies:
            problems.add(f"{where}.policies[{number}]", "no such policy", value=name, allowed=_some(policies))
    for number, address in enumerate(group.operators):
        at = f"{where}.operators[{number}]"
        if address not in users:
            problems.add(at, "is no user of any policy", value=address, allowed="addresses of [[users]]")
        elif group.policies and users[address] not in group.policies:
            problems.add(
                at, f"is a user of the policy {users[address]!r}, which the group does not name", value=address
            )
    if not group.connection:
        return
    given = connections.get(group.connection)
    if group.connection not in connections:
        problems.add(
            f"{where}.connection", "no such connection", value=group.connection, allowed=_some(connections)
        )
    if given is None:
        return
    for name in group.policies:
        policy = policies.get(name)
        own = connections.get(policy.mailbox) if policy is not None else None
        if own is not None and (why := _differs(given, own)):
            problems.add(f"{where}.connection", f"{why} of the policy {name!r}", value=group.connection)


def _differs(given: Connection, own: Connection) -> str:
    """Why the credentials of a connection cannot open the mailboxes of another; empty when they can."""
    if given.kind != own.kind:
        return f"is of kind {given.kind}, and not {own.kind} as the mailboxes"
    for key in {*given.settings, *own.settings}:
        address = (key == "url" or key.endswith("_url")) and key != "notification_url"
        if address and given.settings.get(key) != own.settings.get(key):
            return f"leads to another server ({key}) than the mailboxes"
    return ""


def _some(names: Iterable[str]) -> str:
    found = [repr(name) for name in names]
    return ", ".join(found[:10]) if found else "none is declared"


def read_jobs(tables: Mapping[str, Any], groups: Iterable[str], problems: Collector) -> tuple[DeclaredJob, ...]:
    """The jobs of a file; see ``read_job``."""
    found = []
    for name, table in tables.items():
        where = join("jobs", name)
        if name not in SHIPPED:
            problems.unknown(where, name, SHIPPED, "job")
            continue
        job = read_job(name, table, where, groups, problems)
        if job is not None:
            found.append(job)
    return tuple(found)


def read_job(
    name: str, table: Any, where: str, groups: Iterable[str], problems: Collector
) -> DeclaredJob | None:
    """What a table says of a job: every setting checked, and whether together they ever run; ``None`` when unreadable."""
    values = read_settings((ENABLED, *JOB), table, where, problems)
    if values is BAD:
        return None
    enabled = values.pop("enabled", None)
    settings = settings_of(name, values)
    context = settings.context
    if context.casefold() == SYSTEM:
        values = {**values, "context": SYSTEM} if "context" in values else values
    elif context not in groups:
        problems.add(
            f"{where}.context", "no such access group", value=context, allowed=f"{SYSTEM!r}, {_some(groups)}"
        )
    uses = USES[settings.schedule]
    for each in ("times", "days"):
        if each in uses and not getattr(settings, each):
            problems.add(f"{where}.{each}", f'must be given when schedule is "{settings.schedule}"')
    if settings.schedule is ScheduleKind.YEARLY and settings.day > _DAYS_OF[settings.month - 1]:
        problems.add(
            f"{where}.day",
            f"month {settings.month} never has that day",
            value=settings.day,
            allowed=f'1 to {_DAYS_OF[settings.month - 1]}, or "last"',
        )
    return DeclaredJob(name, values, enabled)
