"""What a configuration is, and its TOML text that reads back to the same configuration."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import date
from typing import Any

from engine.model.config_jobs import DeclaredJob, group_to_doc, job_to_doc
from engine.model.config_policy import policy_to_doc
from engine.model.config_problems import join, key_text
from engine.model.config_setup import setup_to_docs
from engine.model.job import AccessGroup
from engine.model.policy import Connection, Policy, TargetUser
from engine.model.setup import Setup


@dataclass(frozen=True, slots=True)
class Configuration:
    """What a file declares.

    Attributes:
        connections: CRMs and mail servers.
        policies: all policies.
        enabled: by policy: on, off, or ``None`` to leave the switch as it is.
        users: target users; each address once.
        setup: what concerns the engine as a whole.
        groups: access groups.
        jobs: what is set over the jobs that ship.
    """

    connections: tuple[Connection, ...] = ()
    policies: tuple[Policy, ...] = ()
    enabled: Mapping[str, bool | None] = field(default_factory=dict)
    users: tuple[TargetUser, ...] = ()
    setup: Setup = field(default_factory=Setup)
    groups: tuple[AccessGroup, ...] = ()
    jobs: tuple[DeclaredJob, ...] = ()


def export(configuration: Configuration) -> str:
    """TOML text with every setting of every policy; connections have the settings that were given."""
    out: list[str] = []
    for name, document in setup_to_docs(configuration.setup).items():
        _table(out, name, document)
    for connection in configuration.connections:
        _table(out, join("connections", connection.name), {"kind": connection.kind, **connection.settings})
    for policy in configuration.policies:
        document = policy_to_doc(policy)
        enabled = configuration.enabled.get(policy.name)
        ends = {key: document.pop(key) for key in ("crm", "mailbox")}
        switch = {} if enabled is None else {"enabled": enabled}
        _table(out, join("policies", policy.name), {**ends, **switch, **document})
    for user in configuration.users:
        _table(out, "users", _user(user), array=True)
    for group in configuration.groups:
        _table(out, join("access_groups", group.name), group_to_doc(group))
    for job in configuration.jobs:
        switch = {} if job.enabled is None else {"enabled": job.enabled}
        _table(out, join("jobs", job.name), {**switch, **job_to_doc(job.override)})
    return "\n".join(out).lstrip("\n") + ("\n" if out else "")


def _user(user: TargetUser) -> dict[str, Any]:
    """What a user has beyond the defaults."""
    usual = {field.name: field.default for field in fields(TargetUser)}
    return {name: value for name in usual if (value := getattr(user, name)) != usual[name]}


def _table(out: list[str], path: str, values: Mapping[str, Any], *, array: bool = False) -> None:
    """Append a table: first its plain values, then tables of tables; small ones stay on one line."""
    plain = {key: value for key, value in values.items() if not _nested(value)}
    nested = {key: value for key, value in values.items() if _nested(value)}
    if plain or array or not nested:
        out += ["", f"[[{path}]]" if array else f"[{path}]"]
        out += [f"{key_text(key)} = {value_text(value)}" for key, value in plain.items()]
    for key, value in nested.items():
        _table(out, join(path, key), value)


def _nested(value: Any) -> bool:
    """Whether a value is worth a header of its own: a table of tables or lists, or one of more than three values."""
    return isinstance(value, Mapping) and (
        len(value) > 3 or any(isinstance(each, Mapping | list) for each in value.values())
    )


def value_text(value: Any) -> str:
    """A value as TOML writes it.

    Raises:
        TypeError: TOML has no such value.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # JSON's escapes are all TOML's too, except that DEL must be escaped and surrogates cannot be.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007F")
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(value_text, value)) + "]"
    if isinstance(value, Mapping):
        inner = ", ".join(f"{key_text(key)} = {value_text(each)}" for key, each in value.items())
        return f"{{ {inner} }}" if inner else "{}"
    raise TypeError(f"TOML has no {type(value).__name__}")
