"""What a cycle wrote, drilled into from the history; and the limits where there is no room for their panel."""

from __future__ import annotations

import pytest

from engine.service import CycleRow, WrittenRow
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW
from tests.screens.test_snapshots import LARGE, SMALL
from tui.app import SynclineApp
from tui.screens.items import ItemsScreen

WANG = "c.wang@example.com"


def with_writes(app: SynclineApp) -> SynclineApp:
    service = app.engine
    service.did = [  # type: ignore[attr-defined]
        CycleRow(
            7, WANG, "Sales EMEA", "full sync", "ok", NOW - 9 * MINUTE, NOW - 8 * MINUTE, {"updated": 2}, 3
        )
    ]
    at = NOW - 8 * MINUTE
    service.written = [  # type: ignore[attr-defined]
        WrittenRow(31, 12, "contact", "Ito, Kenji", "mailbox", "create", at, (("company", "", "Acme"),)),
        WrittenRow(
            32,
            14,
            "appointment",
            "Quarterly review",
            "crm",
            "update",
            at,
            (("starts", "9:00 UTC", "10:00 UTC"),),
        ),
        WrittenRow(33, 15, "appointment", "(private)", "mailbox", "delete", at),
        WrittenRow(34, 16, "task", "Send offer", "mailbox", "left", at, (), "somebody has edited it since"),
    ]
    return app


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_items_of_a_cycle(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = with_writes(build())

    async def before(pilot) -> None:  # type: ignore[no-untyped-def]
        user = User(app, pilot)
        app.open_history(WANG)
        await user.sees("full sync")
        await user.press("enter")
        await user.sees("4 writes")
        await user.press("down")
        await user.sees("9:00 UTC -> 10:00 UTC")

    assert snap_compare(app, terminal_size=size, run_before=before)


async def test_a_cycle_is_drilled_into_and_an_item_explained(build: Build) -> None:
    app = with_writes(build())
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_history(WANG)
        await user.sees("full sync")
        await user.press("enter")
        await user.until(lambda: isinstance(app.screen, ItemsScreen))
        await user.sees("4 writes")
        await user.press("exclamation_mark")
        await user.sees("somebody has edited it since")
        await user.press("enter")
        await user.until(lambda: user.service.asked == [("#16", WANG)])


async def test_limits_are_shown_on_a_narrow_screen(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        await user.press("2", "percent_sign")
        await user.sees("Google Calendar")
        await user.sees("3 waiting, next d.patel@example.com")
        await user.sees("Loop lag")
