"""Who asks for something, and what he may ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.monitor.commands import (
    AcknowledgeIncidents,
    CancelUser,
    Command,
    DecideConflict,
    DropPreview,
    PauseUser,
    PreviewPolicy,
    ResumeUser,
    RunJob,
    SettleHeld,
    StopJob,
    SyncNow,
    TestConnection,
    TestPolicy,
    TraceJob,
    VerifyPolicy,
)


class Role(StrEnum):
    """What an admin may do; each may do what those before it may."""

    VIEWER = "viewer"  # look
    OPERATOR = "operator"  # run, pause and cancel; test and verify; settle what waits
    ADMIN = "admin"  # everything: policies, connections, jobs, what removes data, the engine

    def suffices(self, needed: Role) -> bool:
        """Whether it may do what ``needed`` may."""
        order = list(Role)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks.

    Attributes:
        name: user and machine, for the audit log and the header.
        role: what he may do; to look, unless somebody says more.
        origin: from where, for people: ``ssh 10.0.0.5``, a terminal; empty inside of the engine's own process.
        advice: what gives him another role, for a refusal.
        again: who he is by the roles as they stand now, ``None`` when he has none any more; for somebody whose connection may
            outlive a change of them.
    """

    name: str
    role: Role = Role.VIEWER
    origin: str = ""
    advice: str = ""
    again: Callable[[], Actor | None] | None = field(default=None, compare=False, repr=False)

    def __str__(self) -> str:
        return self.name

    def now(self) -> Actor:
        """The same with the role that he has now."""
        if self.again is None:
            return self
        told = "the role was taken away since the connection was made; whoever runs the engine gives one in roles.toml"
        return self.again() or Actor(self.name, Role.VIEWER, self.origin, told)


#: A bare name has no role of its own: it stands for whoever runs the engine's own process, as long as that serves nobody
#: else. An engine that people connect to takes it for somebody who may look.
By = Actor | str


def actor_of(by: By, unnamed: Role = Role.VIEWER) -> Actor:
    """Who asks, with his role; ``unnamed`` is that of a bare name."""
    return by if isinstance(by, Actor) else Actor(by, unnamed)


#: Commands that an operator may send. Every other one, also one that is new here, is an admin's.
OPERATES: frozenset[type[Command]] = frozenset(
    {
        AcknowledgeIncidents,
        CancelUser,
        DecideConflict,
        DropPreview,
        PauseUser,
        PreviewPolicy,
        ResumeUser,
        RunJob,
        SettleHeld,
        StopJob,
        SyncNow,
        TestConnection,
        TestPolicy,
        TraceJob,
        VerifyPolicy,
    }
)

#: What calls of the service need that are no commands.
CALLS: Mapping[str, Role] = {
    "apply": Role.ADMIN,
    "export": Role.OPERATOR,  # writes a file on the engine's host
    "sync": Role.OPERATOR,
    "verify": Role.OPERATOR,
    "labels": Role.OPERATOR,
    "stop": Role.ADMIN,
}


def needs(command: type[Command] | str) -> Role:
    """The role that a command, or a call by its name, needs."""
    if isinstance(command, str):
        return CALLS.get(command, Role.ADMIN)
    return Role.OPERATOR if command in OPERATES else Role.ADMIN


def refusal(by: By, command: type[Command] | str) -> str:
    """Why somebody may not do something now, and what would let him; empty when he may."""
    actor, needed = actor_of(by).now(), needs(command)
    if actor.role.suffices(needed):
        return ""
    who = "an admin" if needed is Role.ADMIN else "an operator"
    told = f"{actor.name} is {_article(actor.role)} here, and this needs {who}; nothing was changed"
    return f"{told}. {actor.advice}" if actor.advice else told


def _article(role: Role) -> str:
    return f"a {role}" if role is Role.VIEWER else f"an {role}"
