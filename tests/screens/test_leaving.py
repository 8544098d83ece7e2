"""An edit that is not saved is not lost by a key that leaves: it is asked about, wherever it is open."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from contextvars import Context

import pytest
from textual.app import ComposeResult
from textual.events import Key

from engine.service import SavePolicy
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.test_forms import form, go_to, select
from tests.screens.test_snapshots import LARGE, SMALL, keys
from tui import keys as keys_of_panes
from tui.screens.confirm import Confirm
from tui.screens.form import FormScreen
from tui.screens.frame import Frame
from tui.screens.policies import PoliciesScreen
from tui.screens.queue import QueueScreen
from tui.screens.unsaved import Unsaved

MINUTES = "scheduling.workdays.minutes"


@asynccontextmanager
async def editing(build: Build, typed: str = "30", finish: bool = True) -> AsyncIterator[User]:
    """Somebody has changed the schedule of Sales EMEA and not saved it."""
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        user = User(app, pilot)
        select(user, "Sales EMEA")
        await user.press("e")
        await go_to(user, MINUTES)
        await user.press("enter", "backspace", "backspace")
        await user.type(typed)
        if finish:
            await user.press("enter")
        yield user


async def test_q_asks_and_esc_stays(build: Build) -> None:
    async with editing(build) as user:
        await user.press("q")
        await user.sees("Not saved: Policies / Sales EMEA (1 change)")
        await user.press("escape")
        assert form(user).form.texts[MINUTES] == "30"
        await user.sees("Nothing was dropped.")
        await user.press("q", "enter")
        assert form(user).form.dirty
        assert user.app.is_running
        assert not user.commands


async def test_q_from_another_tab_knows_of_the_edit(build: Build) -> None:
    async with editing(build) as user:
        await user.press("2", "q")
        await user.sees("Not saved: Policies / Sales EMEA (1 change)")
        await user.press("d")
        await user.until(lambda: not user.app.is_running)
        assert not user.commands


async def test_q_saves_and_leaves(build: Build) -> None:
    async with editing(build) as user:
        await user.press("2", "q", "s")
        await user.until(lambda: not user.app.is_running)
        (command,) = user.commands
        assert isinstance(command, SavePolicy)
        assert command.settings["scheduling"]["workdays"]["minutes"] == 30


async def test_what_cannot_be_saved_is_shown_and_not_left(build: Build) -> None:
    async with editing(build, "0") as user:
        await user.press("3", "q", "s")
        await user.sees("Nothing was saved.")
        assert form(user).form.field.path == MINUTES
        assert user.app.is_running
        assert not user.commands


async def test_ctrl_q_asks_about_what_is_being_typed(build: Build) -> None:
    async with editing(build, finish=False) as user:
        await user.press("ctrl+q")
        await user.until(lambda: isinstance(user.app.screen, Unsaved))
        await user.press("s")
        await user.until(lambda: not user.app.is_running)
        (command,) = user.commands
        assert isinstance(command, SavePolicy)
        assert command.settings["scheduling"]["workdays"]["minutes"] == 30


async def test_another_size_of_the_terminal_keeps_what_is_being_typed(build: Build) -> None:
    async with editing(build, finish=False) as user:
        await user.pilot.resize_terminal(100, 30)
        await user.press("enter")
        assert form(user).form.texts[MINUTES] == "30"


async def test_stopping_the_engine_names_what_would_be_dropped(build: Build) -> None:
    async with editing(build) as user:
        await user.press("Q")
        await user.until(lambda: isinstance(user.app.screen, Confirm))
        await user.sees("Not saved, and dropped: Policies / Sales EMEA (1 change)")
        await user.press("escape")
        assert form(user).form.dirty


async def test_keys_of_tabs_do_not_close_an_edit(build: Build) -> None:
    async with editing(build) as user:
        await user.press("1")
        await user.sees("Not saved: Policies / Sales EMEA (1 change)")
        await user.press("4", "1")
        assert form(user).form.texts[MINUTES] == "30"
        await user.press("escape", "y", "1")
        assert not isinstance(user.app.screen, FormScreen)


async def test_q_leaves_at_once_where_nothing_is_open(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.press("q")
        await User(app, pilot).until(lambda: not app.is_running)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_detach_with_an_edit(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    press = keys("e", "right", "enter", "2", "enter", "q")
    assert snap_compare(build(), terminal_size=size, run_before=press)


async def test_keys_that_come_in_one_packet_are_taken_in_their_order(build: Build) -> None:
    async with editing(build, "45", finish=False) as user:
        for key in ("backspace", "backspace", "2", "7", "left", "0", "enter"):
            user.app.post_message(Key(key, key if len(key) == 1 else None))
        await user.until(lambda: form(user).form.texts[MINUTES] == "207")
        await user.press("2", "slash")
        for key in ("k", "i", "n", "backspace", "m", "enter", "j"):
            user.app.post_message(Key(key, key if len(key) == 1 else None))
        screen = user.app.screen
        assert isinstance(screen, QueueScreen)
        await user.until(lambda: screen.table.filter.source == "kim")
        assert screen.table.order == ["kim.lee@example.com"]


@pytest.mark.parametrize("being_made", [PoliciesScreen, QueueScreen])
async def test_who_leaves_while_a_tab_is_being_made_leaves_without_a_fault(
    build: Build, monkeypatch: pytest.MonkeyPatch, being_made: type[Frame]
) -> None:
    """The first one, as when a connection is lost while it logs in, or one that nobody has asked for yet."""
    app, compose = build(ahead=True), being_made.compose

    def gone(screen: Frame) -> ComposeResult:
        asyncio.get_running_loop().call_soon(app.exit, context=Context())
        app.exit()
        yield from compose(screen)

    monkeypatch.setattr(being_made, "compose", gone)
    await app.run_async(headless=True, size=SMALL)
    assert app.crash is None


async def test_a_key_after_the_one_with_which_an_admin_leaves_does_nothing(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        await pilot.pause()
        for key in "q2":
            app.post_message(Key(key, key))
        await pilot.pause()
    assert app.crash is None
    assert app.current_mode == keys_of_panes.POLICIES
