"""What goes wrong is found with what the screens tell: reasons whole, the newest incident, terminals without colour."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from engine.ledger.health import fault_of
from engine.service import Store, Table, UserState
from tests.screens import fake
from tests.screens.conftest import Build
from tests.screens.driver import User

MAILBOX = "h.costa@example.com"
REASON = (
    "calendar: Google Calendar: the service account may not act for this user (403); grant the calendar scope to "
    "the client in the admin console, then press r"
)


@asynccontextmanager
async def at_keys(build: Build, size: tuple[int, int] = (80, 24)) -> AsyncIterator[User]:
    app = build("running")
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield User(app, pilot)


def fail(store: Store) -> None:
    row = store.users[MAILBOX]
    row.state, row.why, row.until_ms = UserState.FAILED, REASON, fake.NOW + 30_000
    policy = store.policies[row.policy]
    policy.users_by_state[UserState.FAILED] = 1
    policy.running = False
    store.engine.message, store.engine.message_ms, store.engine.message_ok = (
        f"{MAILBOX}: {REASON}",
        fake.NOW,
        False,
    )
    store.touch(Table.USERS, row)
    store.touch(Table.POLICIES, policy)
    store.touch(Table.ENGINE, store.engine)


def words(user: User) -> str:
    """The screen as running text."""
    return " ".join(user.text().replace("│", " ").split())


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_the_queue_tells_the_whole_reason_and_when_it_is_tried_again(
    build: Build, size: tuple[int, int]
) -> None:
    async with at_keys(build, size) as user:
        await user.press("2")
        fail(user.app.engine.store)
        await user.press("exclamation_mark")
        await user.sees("next try in 30 s")
        if size[0] == 80:
            assert REASON in words(user)
        else:  # panels stand side by side there
            assert "then press r" in user.text()


async def test_a_user_s_page_tells_the_whole_reason(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2")
        fail(user.app.engine.store)
        await user.press("exclamation_mark", "enter")
        await user.sees("next try in 30 s")
        assert REASON in words(user)


async def test_a_policy_counts_its_failed_mailboxes(build: Build) -> None:
    async with at_keys(build) as user:
        fail(user.app.engine.store)
        await user.press("exclamation_mark")
        await user.sees("1 mailbox failed; 2 and ! show where and why")
        assert "! on      Sales EMEA" in user.text()


async def test_the_message_line_keeps_the_newest_incident_and_lets_good_news_go(build: Build) -> None:
    async with at_keys(build) as user:
        fail(user.app.engine.store)
        await user.sees(f"14:00:12 {MAILBOX}: calendar")
        engine = user.app.engine.store.engine
        engine.message, engine.message_ok = "All mailboxes that had failed are well again.", True
        await user.sees("well again")
        user.service.clock.now += 61_000
        await user.pull()
        assert "well again" not in user.text()


async def test_an_incident_is_not_hidden_by_the_answer_to_an_older_key(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("T")
        await user.sees("Times are absolute")
        user.service.clock.now += 1000
        fail(user.app.engine.store)
        user.app.engine.store.engine.message_ms += 1000
        await user.sees(f"{MAILBOX}: calendar")


@pytest.mark.parametrize("size", [(80, 24), (140, 40)])
async def test_a_ledger_that_cannot_be_used_is_told_on_every_screen(
    build: Build, size: tuple[int, int]
) -> None:
    """And stays there, whatever else happens, until it can be used again."""
    path = Path("/var/lib/syncline/ledger.sqlite")
    error = sqlite3.OperationalError("database or disk is full")
    error.sqlite_errorcode = sqlite3.SQLITE_FULL
    text = f"Critical: {fault_of(error, path)}"
    async with at_keys(build, size) as user:
        engine = user.app.engine.store.engine
        engine.fault = text
        user.app.engine.store.touch(Table.ENGINE, engine)
        for key in ("1", "2", "enter", "escape", "3", "4"):
            await user.press(key)
            await user.sees("Critical: the ledger cannot be used: the disk is full; free some space")
            await user.sees("✗ fault")
        engine.fault = ""
        engine.message, engine.message_ms, engine.message_ok = "The ledger can be used again.", fake.NOW, True
        await user.sees("can be used again")
        assert "Critical" not in user.text()


async def test_without_colour_the_terminal_s_own_colours_are_left_alone(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    async with at_keys(build) as user:
        strips = user.app.screen._compositor.render_strips()
        styles = [
            segment.style for strip in strips for segment in strip if segment.text.strip() and segment.style
        ]
        coloured = [
            each for each in styles for side in (each.color, each.bgcolor) if side and not side.is_default
        ]
        assert styles
        assert not coloured
