"""Incidents as values: a fault that opens or repeats one, and the end of one. Their records: ``engine.ledger.incidents``."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from engine.model.states import FaultClass


class IncidentKind(StrEnum):
    """What an incident is about."""

    CYCLE = "cycle"  # the cycles of one mailbox fail
    POLICY = "policy"  # runs of a policy fail before any mailbox has its turn
    STALE = "stale"  # no cycle of a mailbox has ended well for three intervals
    ROLLOUT = "rollout"  # a roll-out was stopped
    JOB = "job"  # a job fails that is not the full sync of a policy
    MAIL = "mail"  # a failure mail cannot be delivered to an address
    PUSH = "push"  # a provider's notifications of a connection fail to come; polling goes on
    LOGIN = "login"  # who may log in cannot be read, so nobody can; who is in stays
    QUARANTINE = "quarantine"  # items of one mailbox were set aside, because they were refused too often


class IncidentState(StrEnum):
    """How an incident stands."""

    OPEN = "open"
    CANCELLED = "cancelled"  # given up until the next run; not well yet
    HEALED = "healed"
    DISMISSED = "dismissed"  # over without having been healed: its subject is gone or switched off


#: States of incidents that are not over.
LIVE = (IncidentState.OPEN, IncidentState.CANCELLED)


def key_of(kind: str, subject: str) -> str:
    """What an incident is about, the same for each of its faults. ``subject``: the mailbox, or else the policy, the job,
    the address, the connection.

    The trouble of a mailbox is one, whether its cycles meet it or a job does, and so is that of a policy: nobody is told
    twice. Which of the two fail stands in its kind (``legs``), and it is over when neither does.
    """
    if kind == IncidentKind.JOB:
        kind = IncidentKind.CYCLE if "@" in subject else IncidentKind.POLICY
    return f"{kind}:{subject}"


def legs(kind: str) -> tuple[str, ...]:
    """What fails of a stored kind: ``cycle+job`` is both the cycles of a mailbox and a job."""
    return tuple(one for one in kind.split("+") if one)


def with_leg(kind: str, leg: str) -> str:
    """A stored kind, of which another leg fails as well; the job comes last."""
    return "+".join(sorted({*legs(kind), leg}, key=lambda one: one == IncidentKind.JOB))


def without_leg(kind: str, leg: str) -> str:
    """A stored kind, of which a leg is well again; empty when nothing fails any more."""
    return "+".join(one for one in legs(kind) if one != leg)


@dataclass(frozen=True, slots=True)
class Strike:
    """One more time that something failed.

    Attributes:
        kind: what the incident is about.
        policy: its policy; empty when it is of none.
        subject: the mailbox's address, or else the name of the policy, job or connection.
        fault_class: how far it reaches.
        text: what failed and why, for people. Never a secret, never a body.
        advice: what to do, or what the engine does next.
        phase: where in the cycle: ``first sync, phase A``, ``full sync, calendar``.
        at_ms: when, epoch milliseconds.
        person: no repeat mends it, it waits for a person; its mail is due soon.
        wait_ms: how long it is retried before its mail is due; None: no mail is sent for it.
        attempts: how many failed attempts this stands for.
    """

    kind: IncidentKind
    policy: str
    subject: str
    fault_class: FaultClass | None
    text: str
    advice: str = ""
    phase: str = ""
    at_ms: int = 0
    person: bool = False
    wait_ms: int | None = None
    attempts: int = 1

    @property
    def key(self) -> str:
        """The incident that it belongs to."""
        return key_of(self.kind, self.subject)


@dataclass(frozen=True, slots=True)
class Heal:
    """Something went well, or is no longer expected to: its incident is over."""

    kind: IncidentKind
    subject: str
    at_ms: int
    state: IncidentState = IncidentState.HEALED

    @property
    def key(self) -> str:
        """The incident that it ends, if one is live."""
        return key_of(self.kind, self.subject)
