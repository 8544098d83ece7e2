"""What the filter language finds in a row, for the tables of the app and for the lists of the command line alike."""

from __future__ import annotations

from collections.abc import Mapping

from engine.service import JobRow, UserRow, UserState

#: Fields of the Queue, and of the Job Scheduler.
USER_KEYS = ("state", "policy", "user", "step")
JOB_KEYS = ("state", "job", "last")


def user_fields(row: UserRow) -> Mapping[str, str]:
    """Of a user."""
    policy = row.policy.lower()
    step = row.step.value if row.step else ""
    return {
        "state": row.state.value,
        "policy": policy,
        "user": row.id.lower(),
        "step": step,
        "": f"{row.id.lower()} {policy} {row.state.value} {step} {row.why.lower()}",
    }


def job_fields(row: JobRow) -> Mapping[str, str]:
    """Of a job."""
    name = (row.title or row.id).lower()
    last = row.last.result if row.last else "never"
    return {
        "state": row.state.value,
        "job": name,
        "last": last,
        "": f"{name} {row.state.value} {last} {row.schedule.lower()}",
    }


def urgency(row: UserRow, rank: Mapping[UserState, int], stale: int) -> tuple[int, int, str]:
    """The order of the Queue: who is in trouble first, then who works, who waits (by place), and who rests."""
    place = rank[row.state]
    if row.stale_since_ms is not None:
        place = min(place, stale)
    return (place, 1 << 30 if row.place is None else row.place, row.policy)
