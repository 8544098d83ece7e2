"""Work that somebody asks for now and waits for: a cycle, a job, a look at the drop labels."""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.jobs.queue import Priority
from engine.monitor.actor import By
from engine.monitor.commands import RunJob
from engine.monitor.rows import RunRow
from engine.runtime.timekeeper import FULL, LABELS
from engine.service.commands import do
from engine.service.parts import Parts
from engine.service.reports import report as report_of
from engine.service.views import ServiceError


async def check_labels(parts: Parts, policy: str | None, by: By) -> list[RunRow]:
    """Look at the drop labels of an enabled policy (or of all) now, and wait until that is done. Needs ``running``.

    Raises:
        ServiceError: there is no such policy, or it is off.
    """
    await parts._allow(by, "labels", policy or "all")
    jobs = [LABELS.prefix + name for name in parts._enabled(policy)]
    jobs = [job for job in jobs if job in parts.store.jobs]
    for job in jobs:
        await parts._timekeeper.finished(job)
        parts._timekeeper.start(job, None, Priority.ADMIN)
    for job in jobs:
        await parts._timekeeper.finished(job)
    await parts._audit(by, "drop-label check", policy or "all", "done")
    return [run for job in jobs if (run := parts.store.jobs[job].last) is not None]


async def sync(parts: Parts, policy: str | None, by: By) -> dict[str, Any]:
    """Run one cycle of an enabled policy (or of all) to its end, and report it. Needs ``running``.

    Raises:
        ServiceError: there is no such policy, or it is off.
    """
    await parts._allow(by, "sync", policy or "all")
    names = parts._enabled(policy)
    parts._office.calls = Counter()
    for row in parts.store.users.values():
        row.calls = 0
    started = parts.clock.monotonic()
    for name in names:
        # A cycle that the schedule has already begun is the one asked for.
        if not parts._timekeeper.running(FULL.prefix + name):
            parts._timekeeper.start(FULL.prefix + name, None, Priority.ADMIN)
    for name in names:
        await parts._timekeeper.finished(FULL.prefix + name)
    await parts._audit(by, "sync", policy or "all", "done")
    report = await report_of(parts, policy)
    report["totals"]["seconds"] = round(parts.clock.monotonic() - started, 3)
    report["policies"] = [
        {"name": name, "result": last.result, "note": last.note}
        for name in names
        if (last := parts.store.jobs[FULL.prefix + name].last) is not None
    ]
    return report


async def run_job(parts: Parts, job: str, by: By) -> RunRow:
    """Run a job now, to its end. Needs ``running``.

    Raises:
        ServiceError: it cannot be run now; the text says why.
    """
    answer = await do(parts, RunJob(job), by)
    if not answer.ok:
        raise ServiceError(answer.text)
    await parts._timekeeper.finished(job)
    last = parts.store.jobs[job].last
    assert last is not None
    return last
