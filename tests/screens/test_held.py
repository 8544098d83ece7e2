"""Held items on the screen: listed with their reasons, settled by keys, confirmed by what they may break."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from engine.service import HeldRow, Settle, SettleHeld, Table, Waits
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW, FakeService
from tui.app import SynclineApp
from tui.screens.confirm import Confirm
from tui.screens.held import HeldScreen
from tui.screens.queue import QueueScreen
from tui.screens.user_detail import UserScreen

WANG = "c.wang@example.com"
SMALL, LARGE = (80, 24), (140, 40)

ANN = (("given name", "Ann"), ("family name", "Lee"), ("job title", "Buyer"), ("e-mail", "ann@acme.example"))


def waiting() -> list[HeldRow]:
    """Some of each kind."""
    deletes = [
        HeldRow(
            100 + number,
            WANG,
            "Sales EMEA",
            Waits.DELETE,
            "appointment",
            name,
            "mailbox",
            "61 deletes, more than the 50 that the policy allows in one cycle",
            NOW - 12 * MINUTE,
            (("subject", name), ("start", f"2026-12-0{number + 1} 09:00 UTC")),
        )
        for number, name in enumerate(("Kick-off", "Quarterly review", "井藤 訪問"))
    ]
    return [
        *deletes,
        HeldRow(
            7,
            WANG,
            "Sales EMEA",
            Waits.TWIN,
            "contact",
            "Ann Lee",
            "crm",
            "the mailbox already has an item of its own with the same e-mail address",
            NOW - 3 * MINUTE,
            ANN,
        ),
        HeldRow(
            8,
            WANG,
            "Sales EMEA",
            Waits.TWIN,
            "call",
            "(private)",
            "crm",
            "the mailbox already has an item of its own with the same subject and start",
            NOW - 3 * MINUTE,
        ),
        HeldRow(
            9,
            WANG,
            "Sales EMEA",
            Waits.QUARANTINE,
            "task",
            "Send offer",
            "mailbox",
            "400 invalid due date",
            None,
            (("subject", "Send offer"), ("due date", "2026-12-24")),
        ),
    ]


def with_held(app: SynclineApp) -> FakeService:
    service = app.engine
    assert isinstance(service, FakeService)
    service.held = waiting()
    return service


@asynccontextmanager
async def at_held(build: Build, size: tuple[int, int] = SMALL) -> AsyncIterator[User]:
    app = build()
    with_held(app)
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        await user.press("2")
        assert isinstance(app.screen, QueueScreen)
        assert app.screen.table.select(WANG)
        await user.press("h")
        await user.sees("6 items waiting")
        yield user


def screen(user: User) -> HeldScreen:
    assert isinstance(user.app.screen, HeldScreen)
    return user.app.screen


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
@pytest.mark.parametrize("row", ["delete", "twin"])
def test_list(snap_compare, build: Build, size: tuple[int, int], row: str) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_held(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        app.open_held(WANG)
        await user.sees("6 items waiting")
        if row == "twin":
            screen(user).table.select("7")
        shown, last = "", "-"
        while shown != last:
            screen(user).repaint()
            await pilot.pause()
            shown, last = str(app.screen._compositor.render_strips()), shown

    assert snap_compare(app, terminal_size=size, run_before=before)


async def test_every_way_out_of_a_held_delete_and_a_twin_is_in_the_footer_of_80_columns(build: Build) -> None:
    async with at_held(build) as user:
        footer = user.text().splitlines()[-1]
        for told in ("d delete", "K keep", "u theirs", "r again", "B restore", "b both"):
            assert told in footer


async def test_an_empty_list_says_so(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_held(WANG)
        await user.sees("Nothing waits for you in this mailbox")
        await user.press("d")
        await user.sees("There is no row to act on.")
        assert user.commands == []


async def test_from_the_users_page_and_back(build: Build) -> None:
    app = build()
    with_held(app)
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_user(WANG)
        await pilot.pause()
        await user.press("h")
        await user.sees("Quarterly review")
        await user.press("escape")
        assert isinstance(app.screen, UserScreen)


async def test_deletes_are_let_through_only_by_their_number(build: Build) -> None:
    async with at_held(build) as user:
        await user.press("space", "space", "space", "d")
        assert isinstance(user.app.screen, Confirm)
        assert "Delete 3 items" in user.text()
        assert "c.wang@example.com" in user.text()
        await user.press("y", "enter")
        assert user.commands == []
        await user.type("3")
        await user.press("enter")
        await user.until(lambda: bool(user.commands))
        assert user.commands == [SettleHeld(WANG, (100, 101, 102), Settle.APPROVE)]
        assert user.service.commands[0][1] == "alice@ops-01"


async def test_leaving_the_question_changes_nothing(build: Build) -> None:
    async with at_held(build) as user:
        await user.press("d", "escape")
        await user.sees("Nothing was changed.")
        assert user.commands == []


async def test_a_twin_is_used_after_a_yes(build: Build) -> None:
    async with at_held(build) as user:
        screen(user).table.select("7")
        await user.press("u")
        assert isinstance(user.app.screen, Confirm)
        await user.press("enter")
        assert user.commands == []
        await user.press("u", "y")
        await user.until(lambda: bool(user.commands))
        assert user.commands == [SettleHeld(WANG, (7,), Settle.ADOPT)]


@pytest.mark.parametrize(
    ("row", "key", "wanted"),
    [
        ("7", "b", SettleHeld(WANG, (7,), Settle.BOTH)),
        ("7", "K", SettleHeld(WANG, (7,), Settle.KEEP)),
        ("101", "K", SettleHeld(WANG, (101,), Settle.DISCARD)),
        ("9", "r", SettleHeld(WANG, (9,), Settle.RETRY)),
        ("9", "K", SettleHeld(WANG, (9,), Settle.DISMISS)),
    ],
)
async def test_what_breaks_nothing_needs_no_question(build: Build, row: str, key: str, wanted: object) -> None:
    async with at_held(build) as user:
        screen(user).table.select(row)
        await user.press(key)
        await user.until(lambda: bool(user.commands))
        assert user.commands == [wanted]


@pytest.mark.parametrize(
    ("row", "key", "told"),
    [
        ("7", "d", "No held delete is chosen"),
        ("9", "u", "No held twin is chosen"),
        ("9", "b", "No held twin or create is chosen"),
        ("100", "r", "a held delete needs d or K"),
    ],
)
async def test_a_key_that_does_not_fit_says_why(build: Build, row: str, key: str, told: str) -> None:
    async with at_held(build) as user:
        screen(user).table.select(row)
        await user.press(key)
        await user.sees(told)
        assert user.commands == []


async def test_a_refusal_is_told_and_the_list_is_read_again_after_an_answer(build: Build) -> None:
    async with at_held(build) as user:
        user.service.refuse = f"a cycle of {WANG} is running; try again when it has ended"
        screen(user).table.select("7")
        await user.press("b")
        await user.sees("a cycle of c.wang@example.com is running")
        user.service.refuse = ""
        user.service.held = [row for row in user.service.held if row.id != 7]
        await user.press("b")
        await user.sees("5 items waiting")


async def test_new_held_items_appear_when_a_cycle_holds_them(build: Build) -> None:
    async with at_held(build) as user:
        user.service.held = user.service.held[:2]
        row = user.service.store.users[WANG]
        row.held = 2
        user.service.store.touch(Table.USERS, row)
        await user.sees("2 items waiting")


async def test_keep_acts_on_all_that_is_marked_alike(build: Build) -> None:
    async with at_held(build) as user:
        await user.press("a", "K")
        await user.until(lambda: len(user.commands) == 3)
        assert user.commands == [
            SettleHeld(WANG, (100, 101, 102), Settle.DISCARD),
            SettleHeld(WANG, (7, 8), Settle.KEEP),
            SettleHeld(WANG, (9,), Settle.DISMISS),
        ]


async def test_the_filter_finds_by_kind_and_module(build: Build) -> None:
    async with at_held(build) as user:
        await user.press("slash")
        await user.type("is:twin module:contacts")
        await user.press("enter")
        await user.sees("1 shown")
        assert "Ann Lee" in user.text()
        assert "Kick-off" not in user.text()


async def test_guests_are_mailed_or_not_as_the_admin_decides(build: Build) -> None:
    app = build()
    service = with_held(app)
    service.held += [
        HeldRow(
            20 + number,
            WANG,
            "Sales EMEA",
            Waits.GUESTS,
            "appointment",
            name,
            "mailbox",
            "it would mail guests beyond the 50 that the policy allows in one cycle",
            NOW,
            (("subject", name),),
            30 + number,
        )
        for number, name in enumerate(("Town hall", "Review"))
    ]
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        app.open_held(WANG)
        await user.sees("8 items waiting")
        assert screen(user).table.select("20")
        await user.press("at")
        assert isinstance(app.screen, Confirm)
        await user.sees("Mail 30 guests")
        await user.type("30")
        await user.press("enter")
        assert screen(user).table.select("21")
        await user.press("I", "d")
        await user.sees("No held delete is chosen")
        await user.press("K")
        assert user.commands == [
            SettleHeld(WANG, (20,), Settle.APPROVE),
            SettleHeld(WANG, (21,), Settle.QUIET),
            SettleHeld(WANG, (21,), Settle.DISCARD),
        ]
