"""The conflict inbox: three values beside each other, one key for either side, one to type another."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from engine.service import ConflictRow, DecideConflict, Keep, Table
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW, FakeService
from tui.app import SynclineApp
from tui.screens.confirm import Confirm
from tui.screens.conflicts import ConflictsScreen
from tui.screens.edit_value import EditValue
from tui.screens.policy_detail import PolicyScreen
from tui.screens.queue import QueueScreen
from tui.screens.user_detail import UserScreen

WANG, MOORE = "c.wang@example.com", "b.moore@example.com"
SMALL, LARGE = (80, 24), (140, 40)

PHONE = ConflictRow(
    id=12,
    mailbox=WANG,
    policy="Sales EMEA",
    module="contact",
    name="Ann Lee",
    field="phone_work",
    label="phone at work",
    crm="+49 30 111111",
    agreed="+49 30 100000",
    theirs="+49 30 222222",
    crm_ms=NOW - 42 * MINUTE,
    mailbox_ms=NOW - 7 * MINUTE,
    why="both sides changed it",
    since_ms=NOW - 5 * MINUTE,
    typed="+49 30 222222",
    allowed="a phone number such as +49 30 1234567; nothing clears the field",
    link=512,
)


def waiting() -> list[ConflictRow]:
    """Some of each kind."""
    long = "Bring the contract, the price list of 2027 and two pens; the door code is with the caretaker. "
    return [
        PHONE,
        replace(
            PHONE,
            id=13,
            module="appointment",
            name="Quarterly review 四半期",
            field="body",
            label="description",
            crm=long * 4,
            agreed="",
            theirs="Bring nothing.",
            why="each side has a value of its own",
            allowed="a text",
        ),
        replace(
            PHONE,
            id=14,
            module="appointment",
            name="(private)",
            field="start",
            label="start",
            crm="2026-11-23 09:00 Europe/Berlin",
            agreed="2026-11-23 08:00 Europe/Berlin",
            theirs="2026-11-24 09:00 Europe/Berlin",
        ),
        replace(
            PHONE,
            id=15,
            name="Bob Ray",
            field="title",
            label="job title",
            crm="Buyer",
            agreed="Clerk",
            theirs="Head of buying",
            decided="the CRM's value, by bob@ops-02; the next cycle carries it out",
        ),
        replace(PHONE, id=16, mailbox=MOORE, name="Eva Ott"),
    ]


def with_conflicts(app: SynclineApp) -> FakeService:
    service = app.engine
    assert isinstance(service, FakeService)
    service.conflicting = waiting()
    for row in service.store.users.values():
        row.conflicts = sum(one.mailbox == row.id and not one.decided for one in service.conflicting)
    service.store.engine.conflicts = 4
    return service


@asynccontextmanager
async def at_inbox(build: Build, size: tuple[int, int] = SMALL) -> AsyncIterator[User]:
    app = build()
    with_conflicts(app)
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        await user.press("2")
        assert isinstance(app.screen, QueueScreen)
        assert app.screen.table.select(WANG)
        await user.press("C")
        await user.sees("3 fields waiting, 1 decided")
        yield user


def screen(user: User) -> ConflictsScreen:
    assert isinstance(user.app.screen, ConflictsScreen)
    return user.app.screen


async def settled(user: User, pilot: Pilot[None]) -> None:
    shown, last = "", "-"
    while shown != last:
        screen(user).repaint()
        await pilot.pause()
        shown, last = str(user.app.screen._compositor.render_strips()), shown


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
@pytest.mark.parametrize("row", ["12", "13"], ids=["phone", "text"])
def test_inbox(snap_compare, build: Build, size: tuple[int, int], row: str) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_conflicts(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        app.open_conflicts(mailbox=WANG)
        await user.sees("3 fields waiting, 1 decided")
        screen(user).table.select(row)
        await settled(user, pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)


def test_inbox_of_a_policy(snap_compare, build: Build) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_conflicts(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        app.open_conflicts(policy="Sales EMEA")
        await user.sees("4 fields waiting, 1 decided")
        await settled(user, pilot)

    assert snap_compare(app, terminal_size=LARGE, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_edit(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_conflicts(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        app.open_conflicts(mailbox=WANG)
        await user.sees("3 fields waiting, 1 decided")
        await user.press("e")
        app.screen.query_one(Input).value = "nobody knows"
        await user.sees("is no phone number")

    assert snap_compare(app, terminal_size=size, run_before=before)


async def test_an_empty_inbox_says_so(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_conflicts(mailbox=WANG)
        await user.sees("No conflict waits for you in this mailbox")
        for key in ("less_than_sign", "e"):
            await user.press(key)
            await user.sees("There is no row to act on. No conflict waits")
        assert user.commands == []


@pytest.mark.parametrize(("key", "choice"), [("less_than_sign", Keep.CRM), ("greater_than_sign", Keep.MAILBOX)])
async def test_one_key_keeps_either_side(build: Build, key: str, choice: Keep) -> None:
    async with at_inbox(build) as user:
        await user.press(key)
        await user.until(lambda: bool(user.commands))
        assert user.commands == [DecideConflict(WANG, (12,), choice)]
        assert user.service.commands[0][1] == "alice@ops-01"


async def test_many_at_once_after_a_yes_mailbox_by_mailbox(build: Build) -> None:
    app = build()
    with_conflicts(app)
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        app.open_conflicts(policy="Sales EMEA")
        await user.sees("4 fields waiting")
        await user.press("a", "greater_than_sign")
        assert isinstance(app.screen, Confirm)
        assert "Keep the mailbox's value of 5 fields" in user.text()
        await user.press("enter")
        await user.sees("Nothing was changed.")
        assert user.commands == []
        await user.press("greater_than_sign", "y")
        await user.until(lambda: len(user.commands) == 2)
        assert user.commands == [
            DecideConflict(MOORE, (16,), Keep.MAILBOX),
            DecideConflict(WANG, (12, 13, 14, 15), Keep.MAILBOX),
        ]


async def test_a_value_is_typed_and_what_is_none_is_told(build: Build) -> None:
    async with at_inbox(build) as user:
        await user.press("e")
        assert isinstance(user.app.screen, EditValue)
        field = user.app.screen.query_one(Input)
        assert field.value == "+49 30 222222"
        assert "a phone number such as +49 30 1234567" in user.text()
        field.value = "nobody knows"
        await user.sees("'nobody knows' is no phone number")
        await user.press("enter")
        assert isinstance(user.app.screen, EditValue)
        assert user.commands == []
        field.value = "+49 30 333333"
        await user.press("enter")
        await user.until(lambda: bool(user.commands))
        assert user.commands == [DecideConflict(WANG, (12,), Keep.EDIT, "+49 30 333333")]


async def test_leaving_the_edit_changes_nothing_and_marks_are_not_edited_at_once(build: Build) -> None:
    async with at_inbox(build) as user:
        await user.press("e", "escape")
        assert screen(user)
        await user.press("space", "space", "e")
        await user.sees("A value is typed for one field at a time")
        assert user.commands == []


async def test_from_a_users_page_and_a_policys(build: Build) -> None:
    app = build()
    with_conflicts(app)
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_user(WANG)
        await pilot.pause()
        await user.press("C")
        await user.sees("Ann Lee")
        await user.press("escape")
        assert isinstance(app.screen, UserScreen)
        app.open_policy("Sales EMEA")
        await pilot.pause()
        await user.press("C")
        await user.sees("Eva Ott")
        assert "Policies / Sales EMEA / conflicts" in user.text()
        await user.press("escape")
        assert isinstance(app.screen, PolicyScreen)


async def test_the_list_follows_the_cycles_and_the_header_counts(build: Build) -> None:
    async with at_inbox(build, LARGE) as user:
        await user.sees("conflicts 4")
        user.service.conflicting = user.service.conflicting[:1]
        row = user.service.store.users[WANG]
        row.conflicts = 1
        user.service.store.touch(Table.USERS, row)
        await user.sees("1 field waiting")


async def test_a_refusal_is_told(build: Build) -> None:
    async with at_inbox(build) as user:
        user.service.refuse = f"a cycle of {WANG} is running; try again when it has ended"
        await user.press("less_than_sign")
        await user.sees("a cycle of c.wang@example.com is running")


async def test_the_filter_finds_by_state_and_field(build: Build) -> None:
    async with at_inbox(build) as user:
        await user.press("slash")
        await user.type("is:open field:phone")
        await user.press("enter")
        await user.sees("1 shown")
        assert "Ann Lee" in user.text()
        assert "Quarterly" not in user.text()


async def test_the_item_of_a_conflict_is_explained(build: Build) -> None:
    async with at_inbox(build) as user:
        await user.press("W")
        await user.until(lambda: bool(user.service.asked))
        assert user.service.asked[0][0] == "#512"
