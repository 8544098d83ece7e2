"""The façade: everything that screens and the command line may know of the engine."""

from __future__ import annotations

from engine.model.modules import STEP_MODULES, STEPS, Direction, ItemOutcome, Module, Side, Step
from engine.model.states import CycleKind, JobState, PolicyState, StepState, UserState
from engine.monitor.commands import (
    Answer,
    CancelUser,
    Command,
    DisableJob,
    DisablePolicy,
    EnableJob,
    EnablePolicy,
    PauseUser,
    ResumeUser,
    RunJob,
    StopJob,
    SyncNow,
    TestPolicy,
    VerifyPolicy,
)
from engine.monitor.report import VerifyRow
from engine.monitor.rows import (
    EngineRow,
    JobRow,
    LimitRow,
    Line,
    PolicyRow,
    RunRow,
    StepRow,
    UserRow,
)
from engine.monitor.store import Store, Subscription, Table

__all__ = [
    "STEPS",
    "STEP_MODULES",
    "Answer",
    "CancelUser",
    "Command",
    "CycleKind",
    "Direction",
    "DisableJob",
    "DisablePolicy",
    "EnableJob",
    "EnablePolicy",
    "EngineRow",
    "ItemOutcome",
    "JobRow",
    "JobState",
    "LimitRow",
    "Line",
    "Module",
    "PauseUser",
    "PolicyRow",
    "PolicyState",
    "ResumeUser",
    "RunJob",
    "RunRow",
    "Side",
    "Step",
    "StepRow",
    "StepState",
    "StopJob",
    "Store",
    "Subscription",
    "SyncNow",
    "Table",
    "TestPolicy",
    "UserRow",
    "UserState",
    "VerifyPolicy",
    "VerifyRow",
]
