"""States of policies, users, steps and jobs, in the words that admins read (domain.md section 4)."""

from __future__ import annotations

from enum import StrEnum


class PolicyState(StrEnum):
    """State of a policy."""

    DISABLED = "disabled"
    ENABLED = "enabled"
    DISABLING = "disabling"
    ERROR = "error"


class UserState(StrEnum):
    """State of one target user, as the Queue shows it."""

    QUEUED = "queued"
    INITIALIZING = "initializing"
    SYNCING = "syncing"
    IDLE = "idle"
    PAUSED = "paused"
    BACKOFF = "backoff"
    QUARANTINED = "quarantined"
    FAILED = "failed"
    STALE = "stale"
    DISABLED = "disabled"


class StepState(StrEnum):
    """State of one of the five steps of a cycle."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    SKIPPED = "skipped"
    FAILED = "failed"


class JobState(StrEnum):
    """State of a scheduled job."""

    ENABLED = "enabled"
    DISABLED = "disabled"
    RUNNING = "running"
    STOPPING = "stopping"
    ERROR = "error"


class FaultClass(StrEnum):
    """How far a fault reaches (Riva's classes: domain.md 5.5), the widest first; ``engine.sync.faults`` tells which."""

    CRITICAL = "critical"  # the engine itself: its ledger, a fault of ours; everybody is concerned
    CONNECTION = "connection"  # a provider cannot be reached, or refuses who we are
    CYCLE = "cycle"  # one mailbox's cycle ended early
    MODULE = "module"  # one step of a cycle; the other steps went on
    ITEM = "item"  # one item; its mailbox went on


class CycleKind(StrEnum):
    """The kinds of cycle."""

    FIRST = "first sync"
    FULL = "full sync"
    LABELS = "drop-label check"
    CALENDAR = "calendar sync"
    VERIFY = "verify"
    PREVIEW = "preview"
    UNDO = "undo"
    CLEAR = "clear"
    LEAVE = "leave"


class Move(StrEnum):
    """What may be asked of a roll-out."""

    NEXT = "next"  # admit the next wave
    ALL = "all"  # admit everybody
    STOP = "stop"  # admit nobody else
