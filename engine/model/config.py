"""The declarative configuration: connections, policies and users as one TOML text, checked as a whole.

Either all of it is right, or ``ConfigErrors`` names every fault and nothing is changed. The forms of the app and the
stored policies go through the same tables (``config_policy``, ``config_connections``).
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from engine.model.config_connections import CRM_KINDS, MAILBOX_KINDS, read_connection
from engine.model.config_export import Configuration, export
from engine.model.config_jobs import read_groups, read_jobs
from engine.model.config_policy import policy_from_doc, policy_to_doc, read_policy
from engine.model.config_problems import Collector, ConfigErrors, Problem, join, shown
from engine.model.config_sections import REQUIRED, Setting, read_settings
from engine.model.config_setup import SETUP, read_setup, with_paths
from engine.model.config_values import BAD, email, flag, text, zone
from engine.model.policy import Connection, Policy, TargetUser

__all__ = [
    "CRM_KINDS",
    "MAILBOX_KINDS",
    "ConfigErrors",
    "Configuration",
    "Problem",
    "check_ends",
    "check_name",
    "check_users",
    "export",
    "parse",
    "policy_from_doc",
    "policy_to_doc",
    "read",
    "resolved",
]

#: Longest file, characters: 100,000 users have room in it.
LONGEST = 20_000_000

USER: tuple[Setting, ...] = (
    Setting("email", email(), "Address of the mailbox.", REQUIRED),
    Setting("policy", text(100), "Name of the policy; a mailbox has one policy only.", REQUIRED),
    Setting(
        "crm_user",
        text(100, empty=True),
        "Id of the person in the CRM; empty: found by the e-mail address.",
        "",
    ),
    Setting("zone", zone(empty=True), "Time zone of the person; empty: as in the CRM.", ""),
    Setting(
        "calendar_sync",
        flag(),
        "Whether this person's calendar is synchronised (operators: Calendar Sync); the other modules are not concerned. Unlike in Pega, where operators are switched on one by one, who is in a policy is on until somebody says otherwise.",
        True,
    ),
    Setting(
        "exchange_email",
        email(empty=True),
        "Address of the mailbox at Exchange, where it is another than `email`.",
        "",
    ),
)

_SWITCH = flag()
ENABLED = Setting(
    "enabled",
    _SWITCH,
    "Switches the policy on or off; without it the switch stays as it is (a new policy is off).",
)

_SECTIONS = ("connections", "policies", "users", "access_groups", "jobs", *SETUP)
_NAME = text(100)


def parse(text: str, source: str) -> Configuration:
    """The configuration in a TOML text.

    Args:
        text: TOML 1.0.
        source: where it came from, for messages.

    Raises:
        ConfigErrors: with every problem at once; no secret is ever repeated in it.
    """
    if len(text) > LONGEST:
        raise ConfigErrors(source, [Problem("file", "", f"is longer than {LONGEST:,} characters")])
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigErrors(source, [Problem("file", "", f"is not TOML: {error}")]) from None
    except ValueError:
        raise ConfigErrors(source, [Problem("file", "", "is not TOML: a number in it is too long")]) from None
    except RecursionError:
        raise ConfigErrors(source, [Problem("file", "", "is not TOML: nested too deeply")]) from None
    return read(document, source)


def read(document: Mapping[str, Any], source: str) -> Configuration:
    """The configuration of a document with the sections of the file.

    Raises:
        ConfigErrors: with every problem at once; no secret is ever repeated in it.
    """
    problems = Collector()
    if not document:
        # As a whole configuration it would remove everything; far more likely a pipe broke.
        problems.add("file", "declares nothing", allowed="at least one connection")
    for key in document:
        if key not in _SECTIONS:
            problems.unknown(join("", key), key, _SECTIONS, "section")
    connections = _connections(document.get("connections", {}), problems)
    policies, enabled = _policies(document.get("policies", {}), connections, problems)
    users = _users(document.get("users", []), policies, problems)
    setup = read_setup(document, problems)
    groups = read_groups(
        _named(document.get("access_groups", {}), "access_groups", problems),
        policies,
        connections,
        {user.email: user.policy for user in users},
        problems,
    )
    jobs = read_jobs(_named(document.get("jobs", {}), "jobs", problems), groups, problems)
    problems.done(source)
    return Configuration(
        tuple(each for each in connections.values() if each is not None),
        tuple(each for each in policies.values() if each is not None),
        enabled,
        users,
        setup,
        tuple(each for each in groups.values() if each is not None),
        jobs,
    )


def resolved(configuration: Configuration, folder: Path) -> Configuration:
    """The same with the paths of files made absolute: ``~`` is the home, a relative path starts at ``folder``."""

    def absolute(path: str) -> str:
        return str((folder / Path(path).expanduser()).absolute())

    def of_connection(connection: Connection) -> Connection:
        settings = {
            key: absolute(value) if key.endswith("_file") and isinstance(value, str) and value else value
            for key, value in connection.settings.items()
        }
        return replace(connection, settings=settings)

    return replace(
        configuration,
        connections=tuple(map(of_connection, configuration.connections)),
        setup=with_paths(configuration.setup, absolute),
    )


def _named(raw: Any, section: str, problems: Collector) -> dict[str, Any]:
    """The tables of a section by name, trimmed; names that differ only by case are refused."""
    if not isinstance(raw, Mapping):
        problems.add(section, "is not a table", value=raw, allowed=f"[{section}.NAME] tables")
        return {}
    tables: dict[str, Any] = {}
    seen: dict[str, str] = {}
    for name, table in raw.items():
        where = join(section, name)
        value = _NAME.read(name, where, problems)
        if value is BAD:
            continue
        twin = seen.setdefault(value.casefold(), name)
        if twin != name:
            problems.add(where, f"the same name as {join(section, twin)}", allowed="a name of its own")
        else:
            tables[value] = table
    return tables


def _connections(raw: Any, problems: Collector) -> dict[str, Connection | None]:
    return {
        name: read_connection(name, table, join("connections", name), problems)
        for name, table in _named(raw, "connections", problems).items()
    }


def _policies(
    raw: Any, connections: Mapping[str, Connection | None], problems: Collector
) -> tuple[dict[str, Policy | None], dict[str, bool | None]]:
    policies: dict[str, Policy | None] = {}
    enabled: dict[str, bool | None] = {}
    for name, given in _named(raw, "policies", problems).items():
        where = join("policies", name)
        switch: Any = None
        table = given
        if isinstance(given, Mapping) and ENABLED.name in given:
            switch = _SWITCH.read(given[ENABLED.name], join(where, ENABLED.name), problems)
            table = {key: value for key, value in given.items() if key != ENABLED.name}
        policy = read_policy(name, table, where, problems)
        policies[name] = policy
        enabled[name] = None if switch is BAD else switch
        if policy is not None:
            check_ends(policy, connections, where, problems)
    return policies, enabled


def check_name(name: str, where: str, others: Iterable[str], problems: Collector) -> None:
    """A name of a policy or a connection: allowed, and not that of another one, also not but for its case."""
    value = _NAME.read(name, where, problems)
    twin = next((other for other in others if value is not BAD and other.casefold() == value.casefold()), None)
    if twin is not None:
        problems.add(where, f"{shown(twin)} has this name already", allowed="a name of its own")


def check_ends(
    policy: Policy, connections: Mapping[str, Connection | None], where: str, problems: Collector
) -> None:
    """Both ends of a policy must be connections, and of the right kind."""
    _check_end(policy.crm, CRM_KINDS, connections, join(where, "crm"), problems)
    _check_end(policy.mailbox, MAILBOX_KINDS, connections, join(where, "mailbox"), problems)


def check_users(
    raw: list[Mapping[str, Any]], policies: Iterable[str], problems: Collector
) -> tuple[TargetUser, ...]:
    """Target users as the file would declare them; those with a problem are left out."""
    return _users(raw, dict.fromkeys(policies), problems)


def _check_end(
    name: str,
    kinds: tuple[str, ...],
    connections: Mapping[str, Connection | None],
    where: str,
    problems: Collector,
) -> None:
    """A policy's end must be a connection of the right kind. An empty name was noted already."""
    if not name:
        return
    fitting = [each for each, value in connections.items() if value is None or value.kind in kinds]
    allowed = _names(name, fitting, "none is declared")
    if name not in connections:
        problems.add(where, "no such connection", value=name, allowed=allowed)
    elif name not in fitting:
        problems.add(where, "is a connection of the wrong kind", value=name, allowed=allowed)


def _names(wrong: str, names: list[str], none: str) -> str:
    """Names to choose from: the nearest one, or the first few."""
    near = get_close_matches(wrong, names, n=1)
    if near:
        return f"did you mean {shown(near[0])}?"
    return ", ".join(map(shown, names[:10])) + (", …" if len(names) > 10 else "") if names else none


def _users(raw: Any, policies: Mapping[str, Policy | None], problems: Collector) -> tuple[TargetUser, ...]:
    if not isinstance(raw, list):
        problems.add("users", "is not a list of tables", value=raw, allowed="[[users]] tables")
        return ()
    users: list[TargetUser] = []
    first: dict[str, tuple[int, str]] = {}
    mailboxes: dict[str, int] = {}
    people: dict[tuple[str, str], int] = {}
    for index, table in enumerate(raw):
        where = f"users[{index}]"
        values = read_settings(USER, table, where, problems)
        if values is BAD:
            continue
        policy, address = values.get("policy"), values.get("email")
        if policy is not None and policy not in policies:
            problems.add(
                f"{where}.policy",
                "no such policy",
                value=policy,
                allowed=_names(policy, list(policies), "none is declared"),
            )
        if address is None or policy is None:
            continue
        before = first.setdefault(address, (index, policy))
        if before[0] != index:
            problems.add(
                f"{where}.email",
                f"already declared by users[{before[0]}]"
                + (
                    ""
                    if before[1] == policy
                    else f" under the policy {shown(before[1])}; a mailbox has one policy"
                ),
                value=address,
                allowed="each address once",
            )
            continue
        user = TargetUser(**values)
        mailbox = user.exchange_email or address
        other = mailboxes.setdefault(mailbox, index)
        if other != index:
            problems.add(
                f"{where}.{'exchange_email' if user.exchange_email else 'email'}",
                f"is the mailbox of users[{other}] already",
                value=mailbox,
                allowed="one user for each mailbox",
            )
            continue
        # What belongs to a person of the CRM goes to one mailbox; a second one would take it all from the first.
        other = people.setdefault((policy, user.crm_user), index) if user.crm_user else index
        if other != index:
            problems.add(
                f"{where}.crm_user",
                f"is the person of users[{other}] in {shown(policy)} already",
                value=user.crm_user,
                allowed="one mailbox for each person",
            )
            continue
        users.append(user)
    return tuple(users)
