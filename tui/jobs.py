"""``syncline jobs enable|disable|run|stop|edit|reset|trace NAME``: what Job Scheduler does by keys."""

from __future__ import annotations

from argparse import Namespace
from typing import Any

from engine.service import (
    Command,
    DisableJob,
    EditJob,
    EnableJob,
    RemoveOverride,
    Service,
    StopJob,
    TraceJob,
    changed,
)
from tui import exits
from tui.exits import Trouble
from tui.out import Out
from tui.run import running


async def do(service: Service, given: Namespace, out: Out) -> int:
    """Carry out one of them. A run is waited for where no engine serves beside this command."""
    verb, name, *rest = given.filter
    job = _known(service, name)
    command: Command
    match verb:
        case "enable":
            command = EnableJob(job)
        case "disable":
            command = DisableJob(job)
        case "run":
            return await _run(service, job, given, out)
        case "stop":
            command = StopJob(job)
        case "reset":
            command = RemoveOverride(job)
        case "trace":
            command = TraceJob(job, rest == ["on"])
        case _:
            command = await _edit(service, job, rest)
    answer = await service.do(command, out.by)
    if not answer.ok:
        raise Trouble(exits.USAGE, answer.text, answer.details)
    out.show({"done": answer.text}) if given.json else out.print(answer.text)
    return exits.OK


def _known(service: Service, name: str) -> str:
    """The id of a job by its id or title."""
    wanted = name.casefold()
    for row in service.store.jobs.values():
        if wanted in {row.id.casefold(), row.title.casefold()}:
            return row.id
    names = ", ".join(row.title or row.id for row in service.store.jobs.values())
    raise Trouble(exits.USAGE, f"there is no job {name!r}; there are: {names}")


async def _edit(service: Service, job: str, pairs: list[str]) -> EditJob:
    if not service.store.jobs[job].shipped:
        raise Trouble(exits.USAGE, f"{service.store.jobs[job].title} follows its policy; edit that")
    document: dict[str, Any] = dict((await service.jobs.draft(job)).document)
    for pair in pairs:
        key, _, text = pair.partition("=")
        try:
            document = changed(document, key, text, "job")
        except StopIteration:
            document[key] = text  # no such setting: checking the document tells which there are
    return EditJob(job, document)


async def _run(service: Service, job: str, given: Namespace, out: Out) -> int:
    """Run a job to its end."""
    async with running(service, schedule=False):
        run = await service.run_job(job, out.by)
    if given.json:
        out.show({"job": job, "result": run.result, "items": run.items, "errors": run.errors, "note": run.note})
    else:
        out.print(f"{job}: {run.result}, {run.items:,} items, {run.errors:,} errors; {run.note}")
    return exits.OK if run.result in {"ok", "skipped"} else exits.FAULTS
