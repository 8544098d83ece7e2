"""The form of a job that ships: a document with what is set over the shipped definition; the rest stands as the default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.model.config_jobs import JOB, job_to_doc, read_job
from engine.model.config_problems import Collector, join
from engine.model.form import Document, FormPage, FormProblem, fields_of, of_form
from engine.model.job import SHIPPED, SYSTEM, USES, JobSettings, ScheduleKind

#: Settings of the page about the run itself; the others say when.
_RUN = ("context", "skip_older_than_days")


@dataclass(frozen=True, slots=True)
class JobCheck:
    """What is wrong with a form, and what it says when nothing is.

    Attributes:
        problems: by field.
        override: the document to store; None when it is as shipped, or has problems.
        settings: what would be in force; None when it has problems.
    """

    problems: tuple[FormProblem, ...]
    override: dict[str, Any] | None
    settings: JobSettings | None


def job_pages(document: Document, groups: Iterable[str]) -> tuple[FormPage, ...]:
    """The form of a job: when it runs, with the fields that count for the kind of schedule or are set, and how."""
    given = str(document.get("schedule", SHIPPED_SCHEDULE))
    uses = USES[ScheduleKind(given)] if given in set(ScheduleKind) else tuple(each.name for each in JOB)
    # What is set is shown although it does not count now: it may be what is wrong.
    shown = {"schedule", "zone", *uses, *document}
    timed = tuple(each for each in JOB if each.name in shown and each.name not in _RUN)
    how = tuple(each for each in JOB if each.name in _RUN)
    return (
        FormPage("Schedule", fields_of(timed)),
        FormPage(
            "Run",
            tuple(
                replace(field, choices=(SYSTEM, *groups)) if field.path == "context" else field
                for field in fields_of(how)
            ),
        ),
    )


SHIPPED_SCHEDULE = JobSettings().schedule.value


def check_job(name: str, document: Document, groups: Sequence[str]) -> JobCheck:
    """Check what was typed, by the rules of the configuration file. What is as shipped is no override."""
    problems = Collector()
    where = join("jobs", name)
    read = read_job(name, document, where, groups, problems)
    if problems.problems or read is None:
        return JobCheck(of_form(problems.problems, where, job_pages(document, groups)), None, None)
    shipped = SHIPPED[name].settings
    override: Mapping[str, Any] = {
        key: value for key, value in read.override.items() if value != getattr(shipped, key)
    }
    return JobCheck((), job_to_doc(override) or None, replace(shipped, **override))
