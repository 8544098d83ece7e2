"""Signs and words of states: readable without colour, one cell wide in every terminal.

All signs are of Unicode width class N or Na; the ASCII twins are for ``--ascii`` and are put in at paint time.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.service import ItemOutcome, JobState, StepState, UserState


@dataclass(frozen=True, slots=True)
class Sign:
    """How a state looks.

    Attributes:
        sign: one cell.
        word: at most 11 cells.
        role: the name of a style in the theme.
    """

    sign: str
    word: str
    role: str


QUEUED = Sign("◌", "queued", "quiet")
FIRST = Sign("◷", "first", "first")
SYNCING = Sign("▸", "syncing", "busy")
IDLE = Sign("✓", "idle", "text")
PAUSED = Sign("=", "paused", "quiet")
BACKOFF = Sign("↻", "backoff", "warn")
HELD = Sign("⚑", "held", "alert")
CONFLICT = Sign("!", "conflicts", "alert")
QUARANTINED = Sign("⊗", "quarantined", "fault")
FAILED = Sign("✗", "failed", "fault")
STALE = Sign("!", "stale", "alert")
INCIDENT = Sign("⊠", "incidents", "fault")
OFF = Sign("⊘", "off", "off")

USER: dict[UserState, Sign] = {
    UserState.QUEUED: QUEUED,
    UserState.INITIALIZING: FIRST,
    UserState.SYNCING: SYNCING,
    UserState.IDLE: IDLE,
    UserState.PAUSED: PAUSED,
    UserState.BACKOFF: BACKOFF,
    UserState.QUARANTINED: QUARANTINED,
    UserState.FAILED: FAILED,
    UserState.STALE: STALE,
    UserState.DISABLED: OFF,
}

#: What needs an admin first comes first.
URGENCY: dict[UserState, int] = {
    state: place
    for place, state in enumerate(
        (
            UserState.FAILED,
            UserState.QUARANTINED,
            UserState.STALE,
            UserState.BACKOFF,
            UserState.INITIALIZING,
            UserState.SYNCING,
            UserState.QUEUED,
            UserState.PAUSED,
            UserState.IDLE,
            UserState.DISABLED,
        )
    )
}

FAULTY = frozenset({UserState.FAILED, UserState.QUARANTINED, UserState.STALE})
TROUBLED = FAULTY | {UserState.BACKOFF}
ACTIVE = frozenset({UserState.INITIALIZING, UserState.SYNCING})
MOVING = ACTIVE | {UserState.BACKOFF}
RESTING = frozenset({UserState.PAUSED, UserState.DISABLED})

STEP: dict[StepState, Sign] = {
    StepState.PENDING: Sign("◌", "waits", "quiet"),
    StepState.RUNNING: Sign("▸", "runs", "busy"),
    StepState.DONE: Sign("✓", "done", "text"),
    StepState.SKIPPED: Sign("⊘", "off in policy", "off"),
    StepState.FAILED: Sign("✗", "failed", "fault"),
}

JOB: dict[JobState, Sign] = {
    JobState.ENABLED: Sign("✓", "on", "text"),
    JobState.DISABLED: OFF,
    JobState.RUNNING: Sign("▸", "runs", "busy"),
    JobState.STOPPING: Sign("◌", "stopping", "quiet"),
    JobState.ERROR: Sign("✗", "fault", "fault"),
}

RESULT: dict[str, Sign] = {
    "running": Sign("▸", "runs", "busy"),
    "ok": Sign("✓", "ok", "text"),
    "failed": Sign("✗", "failed", "fault"),
    "stopped": Sign("=", "stopped", "quiet"),
    "skipped": Sign("⊘", "skipped", "off"),
}

PARTLY = Sign("!", "partly", "alert")

OUTCOME: tuple[tuple[str, ItemOutcome], ...] = (
    ("+", ItemOutcome.CREATED),
    ("~", ItemOutcome.UPDATED),
    ("-", ItemOutcome.DELETED),
    ("⚑", ItemOutcome.HELD),
    ("✗", ItemOutcome.FAILED),
)

#: Role of an activity line by its sign.
LINE_ROLE: dict[str, str] = {"✗": "fault", "⚑": "alert", "↻": "warn", "!": "alert", "▸": "busy", "◷": "first"}

_ASCII = str.maketrans(
    {
        "◌": ".",
        "◷": "i",
        "▸": ">",
        "✓": "+",
        "↻": "~",
        "⚑": "?",
        "⊗": "Q",
        "⊠": "M",  # the key that shows them
        "✗": "X",
        "⊘": "o",
        "►": ">",
        "▴": "^",
        "▾": "v",
        "…": "~",
        "·": ".",
        "│": "|",
        "─": "-",
        "↑": "^",
        "↓": "v",
        "↵": "enter",
        "▁": " ",
        "▂": ".",
        "▃": ":",
        "▄": "-",
        "▅": "=",
        "▆": "+",
        "▇": "*",
        "█": "#",
    }
)


def to_ascii(text: str) -> str:
    """Our signs in ASCII; letters of names stay as they are."""
    return text.translate(_ASCII)
