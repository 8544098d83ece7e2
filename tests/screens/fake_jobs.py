"""The jobs that ship, without an engine: their forms are judged by the engine's own rules, their runs are made up."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from engine.jobs.trigger import next_runs, said
from engine.model.form_job import check_job
from engine.model.job import CALENDAR, SHIPPED
from engine.service import JobDraft, JobVerdict, RunDetail, RunItem, RunMailbox

MINUTE = 60_000
GROUPS = ("Sales reps",)


class FakeJobs:
    """Fits ``tui.port.Jobs``."""

    def __init__(self, now: int) -> None:
        self.now = now
        self.document: dict[str, Any] = {}
        self.traced = True

    async def draft(self, job: str) -> JobDraft:
        shipped = SHIPPED[job]
        return JobDraft(job, shipped.about, dict(self.document), GROUPS, said(shipped.settings), "")

    def check(self, job: str, document: Mapping[str, Any]) -> JobVerdict:
        found = check_job(job, document, GROUPS)
        if found.settings is None:
            return JobVerdict(found.problems)
        runs = tuple(next_runs(found.settings, self.now))
        return JobVerdict(
            (), runs, said(found.settings), "200 operators of Sales EMEA, Support", found.settings.zone
        )

    def next_runs(self, job: str) -> tuple[int, ...]:
        return tuple(next_runs(SHIPPED[job].settings, self.now)) if job in SHIPPED else ()

    async def detail(self, run: int) -> RunDetail:
        begin = self.now - 3 * MINUTE
        boxes = [
            RunMailbox(
                "ann.berg@example.com",
                "Sales EMEA",
                7,
                "ok",
                begin,
                begin + 2_000,
                {
                    "appointment.created": 3,
                    "appointment.updated": 1,
                    "call.created": 2,
                    "appointment.filtered": 4,
                },
                {"ended already; later runs look at future appointments only": 4},
            ),
            RunMailbox(
                "f.khan@example.com",
                "Support",
                0,
                "failed",
                begin,
                begin + 9_000,
                note="calendar: Exchange: the server is busy. It is tried again by itself",
            ),
            RunMailbox("j.ortiz@example.com", "Sales EMEA", 0, "ok", begin, begin + 900),
            RunMailbox(
                "new.hire@example.com",
                "Support",
                0,
                "skipped",
                begin,
                begin,
                note="the first sync of this mailbox has not ended yet",
            ),
        ]
        trace = (
            (begin, "", "▸", "lease 88 taken by pid 4121 on node-1"),
            (begin + 5, "ann.berg@example.com", "", "later run: future appointments that changed"),
            (begin + 900, "ann.berg@example.com", "+", "appointment 'Kick-off' from CRM"),
            (begin + 2_000, "ann.berg@example.com", "✓", "ok"),
        )
        return RunDetail(tuple(boxes), trace if self.traced else ())

    async def items(self, cycle: int) -> list[RunItem]:
        return [
            RunItem("+", "appointment 'Kick-off' from CRM", "done", ""),
            RunItem("~", "appointment 'Review' from CRM: start, end", "done", ""),
            RunItem("+", "call (private) from CRM", "failed", "this value is not allowed"),
        ]


__all__ = ["CALENDAR", "FakeJobs"]
