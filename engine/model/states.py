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


class CycleKind(StrEnum):
    """The kinds of cycle."""

    FIRST = "first sync"
    FULL = "full sync"
    LABELS = "drop-label check"
    VERIFY = "verify"
    PREVIEW = "preview"
