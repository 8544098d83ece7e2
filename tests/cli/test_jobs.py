"""``syncline jobs`` with a verb: what Job Scheduler does by keys, with messages by field and exit codes."""

from __future__ import annotations

import json

from engine.model.job import CALENDAR
from tests.cli.test_commands import Line, line
from tui import exits

__all__ = ["line"]  # the fixture


def job(line: Line) -> dict[str, object]:
    assert line("jobs", "calendar", "--json") == exits.OK
    (row,) = json.loads(line.out)["rows"]
    assert row["job"] == CALENDAR
    return dict(row)


def test_a_job_is_switched_edited_traced_and_reset(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert job(line)["state"] == "disabled"
    assert line("jobs", "enable", "calendarsynchronization") == exits.OK
    assert "CalendarSynchronization is on" in line.out
    assert (
        line("jobs", "edit", CALENDAR, "schedule=weekly", "days=mon, fri", "at=06:30", "zone=Europe/Berlin")
        == exits.OK
    )
    assert "Mon Fri 06:30, system runtime context (an override of the shipped definition)" in line.out
    assert line("jobs", "trace", CALENDAR, "on") == exits.OK
    row = job(line)
    assert (row["state"], row["schedule"], row["zone"]) == ("enabled", "Mon Fri 06:30", "Europe/Berlin")
    assert (row["overridden"], row["traced"]) == (True, True)
    assert line("export") == exits.OK
    assert '[jobs.CalendarSynchronization]\nenabled = true\nschedule = "weekly"' in line.out
    assert line("jobs", "edit", CALENDAR, "schedule=", "days=", "at=") == exits.OK
    assert "every 15 min" in line.out
    assert line("jobs", "reset", CALENDAR) == exits.OK
    assert job(line)["overridden"] is False
    assert line("jobs", "disable", CALENDAR) == exits.OK
    assert job(line)["next_run_ms"] is None


def test_bad_input_names_field_and_allowed_values_and_changes_nothing(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert line("jobs", "edit", CALENDAR, "minutes=0", "at=25:00") == exits.USAGE
    assert "minutes: " in line.err
    assert "a whole number from 1 to 1440" in line.err
    assert "at: " in line.err
    assert line("jobs", "edit", CALENDAR, "minuts=5") == exits.USAGE
    assert "did you mean minutes?" in line.err
    assert job(line)["overridden"] is False
    assert line("jobs", "enable", "Nightly") == exits.USAGE
    assert "there is no job 'Nightly'; there are: " in line.err
    assert line("jobs", "edit", "Full sync Sales", "minutes=5") == exits.USAGE
    assert "follows its policy" in line.err
    assert line("jobs", "reset", CALENDAR) == exits.USAGE
    assert "has no override" in line.err


def test_a_run_that_serves_nobody_says_so(line: Line) -> None:
    assert line("apply", str(line.file)) == exits.OK
    assert line("jobs", "run", CALENDAR, "--json") == exits.OK
    told = json.loads(line.out)
    assert told["result"] == "skipped"
    assert "no policy has mailboxes that are polled" in told["note"]
    assert line("runs", "--json") == exits.OK
    assert json.loads(line.out)["rows"][0]["result"] == "skipped"
