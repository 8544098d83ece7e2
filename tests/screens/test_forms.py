"""The editors as an admin meets them: type, see what is wrong beside the field, test, save all or nothing."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from engine.service import (
    AddUsers,
    DeleteConnection,
    DeletePolicy,
    RemoveUsers,
    SaveConnection,
    SavePolicy,
    TestConnection,
)
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.test_snapshots import LARGE, SMALL, keys
from tui.screens.connections import ConnectionsScreen
from tui.screens.form import FormScreen
from tui.screens.members import MembersScreen
from tui.screens.policies import PoliciesScreen
from tui.screens.table_frame import TableFrame


@asynccontextmanager
async def at_keys(build: Build, kind: str = "running", size: tuple[int, int] = SMALL) -> AsyncIterator[User]:
    app = build(kind)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield User(app, pilot)


def select(user: User, key: str) -> None:
    assert isinstance(user.app.screen, TableFrame)
    assert user.app.screen.table.select(key)


def form(user: User) -> FormScreen:
    assert isinstance(user.app.screen, FormScreen)
    return user.app.screen


async def go_to(user: User, path: str) -> None:
    """Walk to a field with the keys, page by page."""
    screen = form(user)
    while all(field.path != path for field in screen.form.page.fields):
        await user.press("right")
    while screen.form.field.path != path:
        await user.press("down")


async def test_a_schedule_is_changed_and_saved(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "scheduling.workdays.minutes")
        await user.press("enter", "backspace", "backspace")
        await user.type("30")
        await user.press("enter")
        await user.sees("1 change not saved yet. ctrl+s saves.")
        await user.press("ctrl+s")
        await user.sees("Sales EMEA is stored; the next full sync of each mailbox goes by it.")
        (command,) = user.commands
        assert isinstance(command, SavePolicy)
        assert command.settings["scheduling"]["workdays"]["minutes"] == 30
        assert command.was is not None
        await user.press("ctrl+s")
        await user.sees("Nothing is changed, so there is nothing to save.")


async def test_a_wrong_value_is_told_beside_its_field_and_nothing_is_saved(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "calendar.past_days")
        await user.press("enter")
        await user.type("x")
        await user.sees("✗ '45x': is not allowed")  # while it is typed
        await user.press("tab")
        await user.sees("✗ must be a whole")
        await user.sees("Calendar ✗1")
        await user.press("left", "ctrl+s")
        await user.sees("Nothing was saved. Past days")
        assert form(user).form.field.path == "calendar.past_days"
        assert user.commands == []
        await user.press("U")
        assert form(user).form.texts["calendar.past_days"] == "45"
        assert not form(user).form.dirty


async def test_fields_outside_a_short_page_are_told_of(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "scheduling.zone")
        fields, page = len(form(user).form.page.fields), form(user).pane.page
        assert page < fields
        assert f"▾ {fields - page:,} more below" in user.text()
        assert "more above" not in user.text()
        await user.press("G")
        assert f"▴ {fields - page:,} more above" in user.text()
        assert "more below" not in user.text()
        assert form(user).form.field.label in user.text()


async def test_letters_are_text_while_a_field_is_typed(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "error_addresses")
        await user.press("enter", "q", "question_mark", "at", "t", "full_stop", "d", "e", "enter")
        assert form(user).form.texts["error_addresses"] == "q?@t.de"
        await user.press("enter", "x", "escape")
        assert form(user).form.texts["error_addresses"] == "q?@t.de"


async def test_a_switch_turns_over_and_a_choice_is_offered(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "match_existing")
        await user.press("space")
        assert form(user).form.document["match_existing"] is False
        await go_to(user, "conflict")
        await user.press("enter")
        await user.sees("(•) newest")
        await user.press("down", "enter")
        assert form(user).form.document["conflict"] == "crm"


async def test_leaving_with_changes_is_asked_about(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "match_existing")
        await user.press("space", "escape")
        await user.sees("Match existing: on -> off")
        await user.press("enter")
        await user.sees("Still here. ctrl+s saves.")
        await user.press("escape", "y")
        await user.until(lambda: isinstance(user.app.screen, PoliciesScreen))
        assert user.commands == []


async def test_a_copy_needs_a_name_of_its_own(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("c", "enter")
        await user.type("Sales APAC")
        await user.press("enter", "ctrl+s")
        await user.sees("has this name already")
        await user.press("enter")
        await user.type(" two")
        await user.press("enter", "ctrl+s")
        await user.until(lambda: isinstance(user.app.screen, PoliciesScreen))
        await user.sees("Sales APAC two is stored")
        (command,) = user.commands
        assert isinstance(command, SavePolicy)
        assert command.was is None
        assert isinstance(user.app.screen, PoliciesScreen)
        assert user.app.screen.table.current == "Sales APAC two"


async def test_a_policy_that_is_on_is_not_deleted_and_one_that_is_off_by_its_name(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Support")
        await user.press("D")
        await user.sees("Support is on; o switches it off first.")
        select(user, "Pilot 試験")
        await user.press("D")
        await user.sees("is forgotten, with its settings")
        await user.type("Pilot")
        await user.press("enter")
        assert user.commands == []
        await user.type("Pilot 試験")
        await user.press("enter")
        await user.until(lambda: user.commands == [DeletePolicy("Pilot 試験")])


async def test_the_connection_is_tested_from_within_the_form(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("e", "t")
        await user.sees("modules: 5 of 5 readable")
        (command,) = user.commands
        assert isinstance(command, TestConnection)
        assert command.connection == "Salesforce prod"


async def test_users_are_added_and_taken_out(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("J")
        await user.until(lambda: isinstance(user.app.screen, MembersScreen))
        await user.sees("a.diaz@example.com")
        await user.press("plus")
        await user.type("new@example.com, other@example.com=005A")
        await user.press("enter")
        await user.until(
            lambda: (
                user.commands
                == [AddUsers("Sales EMEA", (("new@example.com", "", ""), ("other@example.com", "005A", "")))]
            )
        )
        await user.press("space", "space", "D")
        await user.sees("2 users leave the policy")
        await user.type("2")
        await user.press("enter")
        await user.until(lambda: len(user.commands) == 2)
        assert user.commands[1] == RemoveUsers("Sales EMEA", ("a.diaz@example.com", "b.moore@example.com"))


async def test_a_new_connection_is_of_any_kind_the_engine_knows(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("ampersand")
        await user.until(lambda: isinstance(user.app.screen, ConnectionsScreen))
        await user.sees("Old Workspace")
        await user.press("plus")
        await user.sees("salesforce")
        await user.sees("google")
        await user.press("down", "enter")
        await user.sees("Credentials file")
        await user.press("enter")
        await user.type("Second")
        await user.press("enter")
        await go_to(user, "credentials_file")
        await user.press("enter")
        await user.type("/etc/key.json")
        await user.press("enter", "ctrl+s")
        await user.until(lambda: isinstance(user.app.screen, ConnectionsScreen))
        assert user.commands == [
            SaveConnection("Second", "google", {"credentials_file": "/etc/key.json"}, None)
        ]


async def test_a_secret_that_is_typed_for_its_path_leaves_the_screen(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("ampersand")
        await user.until(lambda: isinstance(user.app.screen, ConnectionsScreen))
        select(user, "Salesforce prod")
        await user.press("enter")
        await go_to(user, "client_secret_file")
        await user.press("enter")
        await user.type("-----BEGIN KEY hunter2")
        await user.press("enter")
        await user.sees("What you typed was not kept.")
        assert "hunter2" not in user.text()
        assert form(user).form.texts["client_secret_file"] == "/etc/syncline/crm-secret"


async def test_a_connection_in_use_is_not_deleted(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("ampersand")
        await user.until(lambda: isinstance(user.app.screen, ConnectionsScreen))
        select(user, "Salesforce prod")
        await user.press("D")
        await user.sees("Give another connection first to: Sales EMEA")
        select(user, "Old Workspace")
        await user.press("D")
        await user.type("Old Workspace")
        await user.press("enter")
        await user.until(lambda: user.commands == [DeleteConnection("Old Workspace")])


# What they look like


def edited(*names: str):  # type: ignore[no-untyped-def]
    """Sales EMEA in its editor, on the page of the schedule, with a wrong value; then further keys."""

    async def before(pilot: Pilot[None]) -> None:
        user = User(pilot.app, pilot)  # type: ignore[arg-type]
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, "scheduling.workdays.minutes")
        await user.press("enter")
        await user.type("00")
        await user.press("enter")
        await keys(*names)(pilot)

    return before


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_policy_editor(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build(), terminal_size=size, run_before=edited())


def test_policy_editor_plain(snap_compare, build: Build) -> None:
    assert snap_compare(build(theme="syncline-plain"), terminal_size=SMALL, run_before=edited())


def test_policy_editor_while_typing(snap_compare, build: Build) -> None:
    assert snap_compare(build(), terminal_size=SMALL, run_before=edited("down", "enter"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_connections(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build(), terminal_size=size, run_before=keys("ampersand"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_connection_editor(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build(), terminal_size=size, run_before=keys("ampersand", "down", "enter"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_members(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build(), terminal_size=size, run_before=keys("down", "down", "J"))


def test_choice(snap_compare, build: Build) -> None:
    assert snap_compare(
        build(), terminal_size=SMALL, run_before=keys("down", "e", "down", "down", "down", "down", "enter")
    )
