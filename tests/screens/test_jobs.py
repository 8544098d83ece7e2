"""Jobs that ship: their line, editor, override, trace, and what their runs did."""

from __future__ import annotations

import pytest

from engine.model.job import CALENDAR
from engine.service import EditJob, RemoveOverride, TraceJob
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.test_snapshots import LARGE, SMALL, keys
from tui.screens.confirm import Confirm, Report
from tui.screens.edit_job import JobForm
from tui.screens.edit_policy import PolicyForm
from tui.screens.runs import RunScreen, RunsScreen

SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
#: The job whose last run failed is the first in the list.
OPEN = ("4", "exclamation_mark")


@SIZES
def test_job_in_the_scheduler(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build("running"), terminal_size=size, run_before=keys(*OPEN))


@SIZES
def test_editor(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build("running"), terminal_size=size, run_before=keys(*OPEN, "e"))


@SIZES
def test_editor_with_a_fault(snap_compare, build: Build, size: tuple[int, int]) -> None:
    app = build("running")
    app.engine.jobs.document = {"schedule": "yearly", "month": 2, "day": 30, "at": "25:00"}  # type: ignore[attr-defined]
    assert snap_compare(app, terminal_size=size, run_before=keys(*OPEN, "e", "down", "down"))


@SIZES
def test_runs(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build("running"), terminal_size=size, run_before=keys(*OPEN, "enter"))


@SIZES
def test_run(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build("running"), terminal_size=size, run_before=keys(*OPEN, "enter", "enter", "down"))


def test_trace(snap_compare, build: Build) -> None:
    before = keys(*OPEN, "enter", "enter", "asterisk")
    assert snap_compare(build("running"), terminal_size=LARGE, run_before=before)


async def test_an_admin_edits_the_schedule_and_sees_the_next_runs_before_saving(build: Build) -> None:
    app = build("running")
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.press(*OPEN, "e")
        screen = app.screen
        assert isinstance(screen, JobForm)
        about = screen.query_one("#about").text()  # type: ignore[attr-defined]
        assert "Next runs (every 15 min, UTC)" in about
        assert sum(about.count(f":{minute}") for minute in ("00", "15", "30", "45")) >= 10, about
        await user.press("down", "enter")
        await user.type("0")
        await user.press("enter")
        assert "from 1 to 1440" in str(screen.form.wrong[0])
        assert "first mend what is not right" in screen.query_one("#about").text()  # type: ignore[attr-defined]
        await user.press("ctrl+s")
        assert not user.commands
        await user.press("enter", "backspace")
        await user.type("20")
        await user.press("enter")
        assert "Next runs (every 20 min, UTC)" in screen.query_one("#about").text()  # type: ignore[attr-defined]
        await user.press("ctrl+s")
        assert user.commands == [EditJob(CALENDAR, {"minutes": 20})]


async def test_keys_of_a_job_that_ships_say_why_they_do_nothing_for_others(build: Build) -> None:
    app = build("running")
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.press(*OPEN)
        row = app.engine.store.jobs[CALENDAR]
        await user.press("D")
        await user.sees("as shipped; there is nothing to remove")
        row.overridden = True
        await user.press("D")
        assert isinstance(app.screen, Confirm)
        await user.press("y")
        assert user.commands == [RemoveOverride(CALENDAR)]
        await user.press("asterisk")
        assert user.commands[-1] == TraceJob(CALENDAR, True)
        await user.press("G", "D")
        await user.sees("follows its policy")


async def test_the_times_of_a_policys_job_are_edited_where_they_are(build: Build) -> None:
    app = build("running")
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        await user.press("4", "G")
        assert app.screen.table.current.startswith("full:")  # type: ignore[attr-defined]
        await user.press("e")
        assert isinstance(app.screen, PolicyForm)
        assert app.screen.form.field.path == "scheduling.workdays.minutes"
        await user.sees("[Scheduling]")
        await user.sees("Next full syncs")


async def test_a_run_is_opened_down_to_its_items(build: Build) -> None:
    app = build("running")
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        await user.press(*OPEN, "enter")
        assert isinstance(app.screen, RunsScreen)
        await user.press("enter")
        assert isinstance(app.screen, RunScreen)
        assert app.screen.table.current == "f.khan@example.com", "what failed comes first"
        await user.press("enter")
        await user.sees("the server is busy")
        while app.screen.table.current != "ann.berg@example.com":
            await user.press("down")
        await user.press("enter")
        assert isinstance(app.screen, Report)
        assert "call (private) from CRM" in app.screen.text()
        await user.press("escape")
        app.engine.jobs.traced = False  # type: ignore[attr-defined]
        await user.press("escape", "enter", "asterisk")
        await user.sees("This run was not traced")
