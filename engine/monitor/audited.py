"""The audit log as people read it, and what an object was before and after a command."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from engine.monitor.commands import Command
from engine.monitor.store import Store

#: Longest text of what was before or after, in characters.
MOST = 20_000


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One entry.

    Attributes:
        at_ms: epoch milliseconds UTC.
        actor: who asked; ``engine`` for what it noticed by itself.
        origin: from where.
        command: what was asked.
        object: of what: a policy, a mailbox, a job, a file.
        before: how it stood before, as text.
        after: how it stood then.
        result: the answer.
    """

    id: int
    at_ms: int
    actor: str
    origin: str
    command: str
    object: str
    before: str
    after: str
    result: str


def subject(command: Command) -> str:
    """The object of a command, for the log."""
    value: Any = next(iter(asdict(command).values()), "")
    if isinstance(value, tuple | list):
        return ", ".join(str(each) for each in value[:20]) + (", ..." if len(value) > 20 else "")
    return str(value)


def standing(store: Store, name: str) -> str:
    """How a policy, a mailbox or a job stands now; empty for anything else, and for what is not there."""
    if name in store.policies:
        row = store.policies[name]
        found: dict[str, object] = {"state": row.state, "users": row.users, "rollout": row.rollout_stage}
    elif name in store.users:
        user = store.users[name]
        found = {"state": user.state, "held": user.held, "conflicts": user.conflicts}
    elif name in store.jobs:
        job = store.jobs[name]
        found = {"state": job.state, "schedule": job.schedule}
    else:
        return ""
    return " ".join(f"{key}={value}" for key, value in found.items() if value not in {"", 0, None})


def lines_changed(before: str, after: str) -> tuple[str, str]:
    """The lines of two texts that are in one of them only; each side is cut to ``MOST`` characters."""
    old, new = before.splitlines(), after.splitlines()
    kept = set(old) & set(new)
    return _cut([line for line in old if line not in kept]), _cut([line for line in new if line not in kept])


def _cut(lines: list[str]) -> str:
    text = "\n".join(lines)
    return text if len(text) <= MOST else text[:MOST] + "\n..."
