"""Tabs that are hidden, that come back, and that are made before anybody asks for them."""

from __future__ import annotations

import contextlib
import random
from collections.abc import AsyncIterator

import pytest

from engine.service import Table, UserState
from tests.screens.conftest import Build
from tests.screens.driver import User
from tui import keys
from tui.app import SynclineApp
from tui.filter import parse
from tui.screens.frame import Frame
from tui.screens.queue import QueueScreen, _urgency
from tui.screens.user_detail import UserScreen
from tui.widgets.store_table import StoreTable


@contextlib.asynccontextmanager
async def at_keys(app: SynclineApp, size: tuple[int, int] = (120, 40)) -> AsyncIterator[User]:
    """An admin with a terminal."""
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield User(app, pilot)


def queue(user: User) -> StoreTable[object]:
    """The table of the Queue, which is shown."""
    assert isinstance(user.app.screen, QueueScreen)
    return user.app.screen.table


async def made(user: User) -> None:
    """Wait until every tab is made and done with."""
    stacks = user.app._screen_stacks
    await user.until(lambda: all(pane in stacks for pane in keys.TABS.values()))
    screens = [stacks[pane][0] for pane in keys.TABS.values()]
    await user.until(lambda: all(isinstance(each, Frame) and not each.ahead for each in screens))


async def test_a_hidden_tab_shows_at_once_what_changed_meanwhile(build: Build) -> None:
    async with at_keys(build()) as user:
        await user.press("2", "1")
        row = user.service.store.users["i.novak@example.com"]
        row.state, row.why = UserState.FAILED, "404 mailbox not found"
        user.service.store.touch(Table.USERS, row)
        user.service.clock.now += 5000
        await user.press("2")
        assert queue(user).order[0] == "i.novak@example.com"
        assert "404 mailbox" in user.text()


async def test_hidden_tabs_are_told_in_bounds_and_screens_that_are_left_nothing(build: Build) -> None:
    async with at_keys(build()) as user:
        await user.press("2", "enter")
        assert isinstance(user.app.screen, UserScreen)
        await user.press("3", "4", "1")
        store = user.service.store
        for _ in range(3):
            for row in store.users.values():
                store.touch(Table.USERS, row)
        assert len(store._subscriptions) == len(keys.TABS)
        for each in list(store._subscriptions):
            if Table.USERS in each._dirty:
                assert (each.pending(Table.USERS) or 0) <= len(store.users)
    assert not store._subscriptions


@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
async def test_a_tab_that_was_made_ahead_looks_like_one_that_was_not(
    build: Build, size: tuple[int, int]
) -> None:
    async with at_keys(build(), size) as user:
        await user.press("2")
        await user.sees("Steps" if size[0] > 80 else "last never")
        await user.pull()
        expected = user.text()
    async with at_keys(build(ahead=True), size) as user:
        await made(user)
        assert user.app.current_mode == keys.POLICIES
        assert "Sales EMEA" in user.text()
        await user.press("2")
        await user.until(lambda: user.text() == expected)
        await user.press("j", "3", "2")
        assert "kim.lee" in user.text()


async def test_every_tab_made_ahead_is_painted_and_sent_when_it_is_shown(build: Build) -> None:
    async with at_keys(build(ahead=True)) as user:
        await made(user)
        for digit, pane in keys.TABS.items():
            await user.press(digit)
            screen = user.app.screen
            assert isinstance(screen, Frame)
            await user.until(lambda screen=screen: screen.settled and not screen._held_back)
            assert pane == screen.PANE
            assert f"[{digit} " in user.text()


async def test_a_key_does_not_wait_for_tabs_that_are_being_made(build: Build) -> None:
    async with at_keys(build(ahead=True)) as user:
        await user.until(lambda: keys.QUEUE in user.app._screen_stacks)
        await user.press("2")  # in the middle of it
        await user.sees("kim.lee@")
        await made(user)
        assert user.app.current_mode == keys.QUEUE
        row = user.service.store.users["kim.lee@example.com"]
        row.state, row.why = UserState.FAILED, "a new reason"
        user.service.store.touch(Table.USERS, row)
        await user.sees("a new reason")


async def test_a_tab_made_ahead_fits_a_terminal_that_has_another_size_by_then(build: Build) -> None:
    async with at_keys(build(ahead=True), (140, 40)) as user:
        await made(user)
        await user.pilot.resize_terminal(80, 24)
        await user.press("2")
        await user.until(lambda: user.app.screen.size == (80, 24))
        lines = user.text().splitlines()
        assert len(lines) == 24
        assert any("kim.lee@" in line for line in lines)
        assert "Limits now" not in user.text()


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("filtered", ["", "state:idle,failed"])
async def test_rows_that_changed_stand_where_a_whole_sort_would_put_them(
    build: Build, filtered: str, reverse: bool
) -> None:
    chance = random.Random(5)
    async with at_keys(build()) as user:
        await user.press("2")
        table, store = queue(user), user.service.store
        table.set_filter(parse(filtered, ("state", "policy")))
        if reverse:
            table.reverse()
        for letter in ("", "m", "g"):
            if letter:
                table.set_sort(letter)
            for _ in range(30):
                for row in chance.sample(list(store.users.values()), 3):
                    row.state, row.done = chance.choice(list(UserState)), chance.randrange(5)
                    store.touch(Table.USERS, row)
                user.service.clock.now += 3000
                user.app.screen.pull()  # type: ignore[attr-defined]
                found, cursor = list(table.order), table.cursor
                table._order_all()
                assert found == table.order
                assert cursor is None or cursor in table.order or not table.order
        assert _urgency is table._urgency
