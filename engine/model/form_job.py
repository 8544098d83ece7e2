"""The form of a job that ships: its fields, their texts, and what is wrong with them; over the table that reads the file."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from engine.model.config_jobs import JOB, job_to_doc, read_job
from engine.model.config_problems import Collector
from engine.model.config_sections import ListOf, Setting
from engine.model.config_values import Kind
from engine.model.job import SHIPPED, SYSTEM, USES, JobSettings, ScheduleKind

#: Fields of which the schedule says whether they count.
_TIMED = frozenset(name for names in USES.values() for name in names)


@dataclass(frozen=True, slots=True)
class JobField:
    """One field of the form.

    Attributes:
        name: as in the file.
        label: for people.
        meaning: one sentence.
        allowed: what may be typed.
        choices: words to choose from; empty where a text is typed.
        shipped: what holds when nothing is set, as it would be typed.
    """

    name: str
    label: str
    meaning: str
    allowed: str
    choices: tuple[str, ...]
    shipped: str


@dataclass(frozen=True, slots=True)
class JobCheck:
    """What is wrong with a form, and what it says when nothing is.

    Attributes:
        problems: by field; an empty name stands for the form as a whole.
        override: the document to store; None when it is as shipped, or has problems.
        settings: what would be in force; None when it has problems.
    """

    problems: Mapping[str, str]
    override: dict[str, Any] | None
    settings: JobSettings | None


def fields(name: str, groups: Iterable[str]) -> tuple[JobField, ...]:
    """The form of a job."""
    shipped = SHIPPED[name].settings
    found = []
    for each in JOB:
        choices = each.kind.choices if isinstance(each.kind, Kind) else ()
        if each.name == "context":
            choices = (SYSTEM, *groups)
        found.append(
            JobField(
                each.name,
                each.name.replace("_", " ").capitalize(),
                each.meaning,
                _allowed(each, choices),
                choices,
                _typed(each, each.kind.write(getattr(shipped, each.name))),
            )
        )
    return tuple(found)


def counts(name: str, schedule: str) -> bool:
    """Whether a field counts for a schedule; all do while the schedule is no word of ours."""
    if name not in _TIMED or schedule not in set(ScheduleKind):
        return True
    return name in USES[ScheduleKind(schedule)]


def _allowed(setting: Setting, choices: tuple[str, ...]) -> str:
    if choices:
        return ", ".join(choices)
    if isinstance(setting.kind, ListOf):
        return f"separated by commas: {setting.kind.kind.allowed}"
    return setting.kind.allowed.replace('"', "")


def texts(settings: JobSettings) -> dict[str, str]:
    """What stands in each field."""
    return {each.name: _typed(each, each.kind.write(getattr(settings, each.name))) for each in JOB}


def _typed(setting: Setting, written: Any) -> str:
    return ", ".join(map(str, written)) if isinstance(written, list) else str(written)


def check(name: str, typed: Mapping[str, str], groups: Iterable[str]) -> JobCheck:
    """Check what was typed, by the rules of the configuration file. What is as shipped is no override.

    Args:
        name: of the job.
        typed: text by field; fields that are missing stay as shipped.
        groups: names of access groups.
    """
    problems = Collector()
    table = {each.name: _value(each, typed[each.name]) for each in JOB if each.name in typed}
    for unknown in typed.keys() - {each.name for each in JOB}:
        problems.unknown(unknown, unknown, [each.name for each in JOB])
    read = read_job(name, table, "", tuple(groups), problems)
    if problems.problems or read is None:
        found: dict[str, str] = {}
        for one in problems.problems:
            at = one.where.lstrip(".").partition(".")[0].partition("[")[0]
            found.setdefault(at, one.message + (f"; allowed: {one.allowed}" if one.allowed else ""))
        return JobCheck(found, None, None)
    shipped = SHIPPED[name].settings
    override = {key: value for key, value in read.override.items() if value != getattr(shipped, key)}
    return JobCheck({}, job_to_doc(override) or None, replace(shipped, **override))


def _value(setting: Setting, typed: str) -> Any:
    """What a text stands for; one that is no value is handed on, and refused by the table with what is allowed."""
    text = typed.strip()
    if isinstance(setting.kind, ListOf):
        return [piece.strip() for piece in text.split(",") if piece.strip()]
    if text.lstrip("-").isdigit() and setting.name in {"minutes", "day", "month", "skip_older_than_days"}:
        return int(text[:12])
    return text
