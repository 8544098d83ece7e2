"""What the cycle tells the monitors: one small value per step, folded into the store by ``engine.monitor``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from engine.model.modules import ItemOutcome, Module, Step
from engine.model.states import CycleKind, FaultClass, StepState, UserState


class ActivityKind(StrEnum):
    """What happened."""

    STATE = "state"  # the user's state changed
    CYCLE = "cycle"  # a cycle started or ended
    STEP = "step"  # a step changed its state
    PROGRESS = "progress"  # done and total of the current step moved
    ITEMS = "items"  # items were written or otherwise settled: ``counts`` are increments
    NOTE = "note"  # a line for the monitor: pages read, token renewed, cursor expired
    THROTTLED = "throttled"  # the provider asked to wait until ``until_ms``
    FAULT = "fault"  # something failed; ``text`` says what, why and what to do


# Not frozen, as little as the rows of the ledger are: a frozen one takes three times as long to make, and an engine tells
# thousands a second. Nobody changes one.
@dataclass(slots=True)
class Activity:
    """One event of one mailbox.

    Attributes:
        kind: what happened.
        mailbox: e-mail address of the target user.
        at_ms: engine clock, epoch milliseconds.
        policy: the policy's name.
        cycle: kind of cycle this belongs to.
        state: the user's state after it (``STATE``).
        phase: ``A`` (initialising: reading the CRM) or ``B`` (data), empty outside a first sync.
        step, step_state: which of the five steps and its state.
        done, total: progress of the step; ``total`` is None while unknown.
        counts: increments by module and outcome (``ITEMS``); absolute counts of the cycle at its end (``CYCLE``).
        calls: provider calls made since the last event of this mailbox.
        sign: one of ``+ ~ - ⚑ ✗ ✓ ▸`` or empty, the prefix of the line.
        text: the line, for people. Never a secret, never a body.
        until_ms: end of a wait.
        next_full_ms: time of the next full sync (``CYCLE`` end).
        ended: the cycle ended with this event.
        ok: whether it ended well.
        fault: how far a fault reaches (``FAULT``, ``STATE`` of a mailbox in trouble, a refused item).
        whole: the fault is the whole policy's, and told to each of its mailboxes (``STATE``).
        proved: the cycle really asked the providers (``CYCLE`` end); one that skipped every step proved nothing.
    """

    kind: ActivityKind
    mailbox: str
    at_ms: int
    policy: str = ""
    cycle: CycleKind | None = None
    state: UserState | None = None
    phase: str = ""
    step: Step | None = None
    step_state: StepState | None = None
    done: int = 0
    total: int | None = None
    counts: Mapping[tuple[Module, ItemOutcome], int] = field(default_factory=dict)
    calls: int = 0
    sign: str = ""
    text: str = ""
    until_ms: int | None = None
    next_full_ms: int | None = None
    ended: bool = False
    ok: bool = True
    fault: FaultClass | None = None
    proved: bool = True
    whole: bool = False


Emit = Callable[[Activity], None]
"""Where the cycle sends its activities; must not block or raise."""
