"""Re-initialise, undo and leave at the keys: what is about to happen is told first, and numbers are typed."""

from __future__ import annotations

import pytest

from engine.service import (
    CycleRow,
    LeavePolicy,
    LeavePreview,
    LeaveRow,
    PolicyState,
    Reinit,
    Reinitialize,
    UndoCycle,
    UndoLine,
    UndoPreview,
)
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW, FakeService
from tests.screens.test_snapshots import keys
from tui.app import SynclineApp
from tui.screens.confirm import Confirm
from tui.screens.history import HistoryScreen
from tui.screens.reinit import ReinitDialog

WANG = "c.wang@example.com"
SMALL, LARGE = (80, 24), (140, 40)
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])


def did(number: int, kind: str = "full sync", **more: object) -> CycleRow:
    values: dict[str, object] = {
        "id": number,
        "mailbox": WANG,
        "policy": "Sales EMEA",
        "kind": kind,
        "state": "ok",
        "started_ms": NOW - (430 - number) * 15 * MINUTE,
        "ended_ms": NOW - (430 - number) * 15 * MINUTE + 4000,
        **more,
    }
    return CycleRow(**values)  # type: ignore[arg-type]


def history() -> list[CycleRow]:
    return [
        did(424, "undo", about=418, counts={"updated": 37, "created": 2}, wrote=39, left=3),
        did(421, counts={"updated": 4}, wrote=4),
        did(418, counts={"updated": 38, "deleted": 2, "created": 2}, wrote=42, undone_by=424),
        did(417, state="failed", error="calendar: 403 forbidden", counts={"created": 1}, wrote=1),
        did(402, "first sync", counts={"created": 1351}, wrote=1351),
    ]


def preview() -> UndoPreview:
    lines = (
        UndoLine(
            WANG,
            "contact",
            "Ann Lee",
            "mailbox",
            "restore",
            (("job title", "Boss", "Clerk"), ("company", "New", "")),
        ),
        UndoLine(WANG, "appointment", "Review", "mailbox", "recreate"),
        UndoLine(WANG, "task", "Send offer", "crm", "remove"),
        UndoLine(WANG, "contact", "Bo Lind", "mailbox", "left", (), "changed since: phone at work"),
    )
    return UndoPreview((did(421),), {"restore": 2, "recreate": 1, "remove": 1, "left": 1}, lines)


def leaving() -> LeavePreview:
    rows = (
        LeaveRow(
            WANG,
            "contact",
            1351,
            2,
            17,
            ("Ann Lee: edited in the mailbox, and the edit has not reached the CRM",),
        ),
        LeaveRow(WANG, "appointment", 580, 0, 0),
    )
    return LeavePreview(rows, {WANG: ("group:contact", "label:CRM")})


@pytest.fixture
def app(build: Build) -> SynclineApp:
    shown = build()
    service = shown.engine
    assert isinstance(service, FakeService)
    service.did, service.undoing, service.leaving = history(), preview(), leaving()
    return shown


async def test_resync_is_the_first_choice_and_enter_is_no(app: SynclineApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.press("2", "R")
        await user.sees("(•) Resync")
        await user.sees("remove 214 synced items")
        await user.press("enter")
        await user.sees("Nothing was changed.")
        assert user.commands == []
        await user.press("R", "right", "y")
        await user.until(lambda: bool(user.commands))
        command = user.commands[0]
        assert isinstance(command, Reinitialize)
        assert (command.mode, command.modules, len(command.mailboxes)) == (Reinit.RESYNC, ("contact",), 1)


async def test_clear_wants_the_number_of_items(app: SynclineApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        await user.press("2", "R", "down", "down")
        await user.sees("Type the number of items")
        await user.press("y", "7", "enter")
        assert isinstance(app.screen, ReinitDialog)
        assert user.commands == []
        await user.press("2", "1", "5", "backspace", "4", "enter")
        await user.until(lambda: bool(user.commands))
        command = user.commands[0]
        assert isinstance(command, Reinitialize)
        assert (command.mode, command.modules) == (Reinit.CLEAR, ())


async def test_a_cycle_is_undone_after_its_preview(app: SynclineApp) -> None:
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        await user.press("2", "enter", "H")
        assert isinstance(app.screen, HistoryScreen)
        app.screen.mailbox = WANG
        app.screen.refresh_rows()
        await user.sees("undone by cycle 424")
        await user.press("down", "down", "U")
        await user.sees("cannot be undone: cycle 424 has undone it")
        await user.press("up", "U")
        await user.until(lambda: isinstance(app.screen, Confirm))
        await user.sees("job title: Boss → Clerk")
        await user.sees("left alone")
        await user.type("4")
        await user.press("enter")
        await user.until(lambda: bool(user.commands))
        assert user.commands == [UndoCycle(421)]


async def test_a_policy_is_left_only_when_it_is_off(app: SynclineApp) -> None:
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        store = user.service.store
        await user.press("1")
        name = app.screen.table.current  # type: ignore[attr-defined]
        store.policies[name].state = PolicyState.ENABLED
        await user.press("L")
        await user.sees("o turns it off")
        store.policies[name].state = PolicyState.DISABLED
        await user.press("L")
        await user.until(lambda: isinstance(app.screen, Confirm))
        await user.sees("1,931 items that Syncline made")
        await user.sees("stays: c.wang@example.com: Ann Lee")
        await user.type("1931")
        await user.press("enter")
        await user.until(lambda: bool(user.commands))
        assert user.commands == [LeavePolicy(name)]


@SIZES
def test_reinit(snap_compare, app: SynclineApp, size: tuple[int, int]) -> None:
    assert snap_compare(app, terminal_size=size, run_before=keys("2", "R", "down", "down", "2"))


@SIZES
def test_history(snap_compare, app: SynclineApp, size: tuple[int, int]) -> None:
    async def open_history(pilot) -> None:  # type: ignore[no-untyped-def]
        await pilot.press("2")
        app.open_history(WANG)
        await keys("down")(pilot)

    assert snap_compare(app, terminal_size=size, run_before=open_history)


@SIZES
def test_undo(snap_compare, app: SynclineApp, size: tuple[int, int]) -> None:
    async def open_undo(pilot) -> None:  # type: ignore[no-untyped-def]
        await pilot.press("2")
        app.open_history(WANG)
        await keys("down", "U")(pilot)

    assert snap_compare(app, terminal_size=size, run_before=open_undo)


@SIZES
def test_leave(snap_compare, app: SynclineApp, size: tuple[int, int]) -> None:
    service = app.engine
    assert isinstance(service, FakeService)
    for row in service.store.policies.values():
        row.state = PolicyState.DISABLED
    assert snap_compare(app, terminal_size=size, run_before=keys("1", "L"))
