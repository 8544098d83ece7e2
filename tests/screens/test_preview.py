"""Previews on the screen: sums, items field by field, and writing a part after its number was typed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from engine.service import (
    ApplyPreview,
    DropPreview,
    FieldChange,
    PreviewKind,
    PreviewPolicy,
    PreviewReport,
    PreviewRow,
    PreviewSum,
)
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW, FakeService
from tui.app import SynclineApp
from tui.screens.confirm import Confirm
from tui.screens.preview import PreviewScreen
from tui.screens.preview_rows import PreviewRowsScreen

POLICY = "Support"
ANN, BEN = "ann.berg@example.com", "ben.ito@example.com"
SMALL, LARGE = (80, 24), (140, 40)


def row(number: int, kind: PreviewKind, name: str, *changes: FieldChange, **more: object) -> PreviewRow:
    side = str(more.pop("side", "mailbox"))
    why = str(more.pop("why", "new in the CRM"))
    return PreviewRow(f"7.{number}", number, ANN, "contact", kind, name, side, why, changes, **more)  # type: ignore[arg-type]


def change(label: str, before: str, after: str, side: str = "mailbox") -> FieldChange:
    return FieldChange(side, label, before, after)


ROWS = [
    row(
        11,
        PreviewKind.CREATE,
        "井藤 健二",
        change("given name", "", "健二"),
        change("family name", "", "井藤"),
        change("e-mail", "", "ito@acme.example"),
    ),
    row(
        12,
        PreviewKind.MERGE,
        "Tom Lee",
        change("job title", "", "Head of Purchasing"),
        change("phone at work", "", "+49 30 1234", "crm"),
        side="mailbox,crm",
        why="job title changed in the CRM; phone at work changed in the mailbox",
    ),
    row(
        14,
        PreviewKind.UPDATE,
        "Ann Lee",
        change("job title", "Buyer", "Head of Purchasing"),
        change("mobile phone", "+49 170 1", ""),
        why="job title, mobile phone changed in the CRM",
    ),
    row(
        15,
        PreviewKind.DELETE,
        "Old One",
        change("family name", "One", ""),
        why="deleted in the CRM",
        held="61 deletes, more than the 50 that the policy allows in one cycle",
    ),
    row(
        16,
        PreviewKind.HOLD,
        "Eve Fox",
        change("e-mail", "eve@acme.example", ""),
        side="crm",
        why="the mailbox already has an item of its own with the same e-mail address",
    ),
    row(17, PreviewKind.UPDATE, "(private)", outdated="it changed since the preview"),
]

SUMS = (
    PreviewSum(ANN, "", container=3),
    PreviewSum(ANN, "contact", create=1, update=2, delete=1, merge=1, held=2, filtered=4, unchanged=120),
    PreviewSum(ANN, "appointment", create=12, guests=7, filtered=88, unchanged=3),
    PreviewSum(BEN, "contact", create=1204, merge=31, held=2),
    PreviewSum(BEN, "opportunity", create=18, outdated=1),
)


def with_preview(app: SynclineApp) -> FakeService:
    service = app.engine
    assert isinstance(service, FakeService)
    service.preview = list(ROWS)
    fault = ((BEN, "tasks: Google Tasks: 503 backend error; it is tried again next cycle"),)
    service.previewed = PreviewReport(POLICY, False, NOW - 4 * MINUTE, 96, 2, SUMS, fault, "made", True)
    return service


@asynccontextmanager
async def at_preview(build: Build, size: tuple[int, int] = SMALL) -> AsyncIterator[User]:
    app = build()
    with_preview(app)
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        await user.press("1")
        assert app.screen.table.select(POLICY)  # type: ignore[attr-defined]
        await user.press("P")
        await user.sees("2 of 96 mailboxes")
        yield user


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_sums(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_preview(app)

    async def before(pilot: Pilot[None]) -> None:
        app.open_preview(POLICY)
        await User(app, pilot).sees("2 of 96 mailboxes")

    assert snap_compare(app, terminal_size=size, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_items(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    with_preview(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        app.open_preview_rows(POLICY, ANN, "contact")
        await user.sees("6 items")
        await user.press("down", "down")

    assert snap_compare(app, terminal_size=size, run_before=before)


async def test_all_of_a_first_sync_is_written_after_its_number_was_typed(build: Build) -> None:
    async with at_preview(build) as user:
        await user.press("E")
        assert isinstance(user.app.screen, Confirm)
        await user.sees("Write 1,270 items")
        await user.sees("7 guests will be mailed")
        await user.type("1271")
        await user.press("enter")
        assert user.commands == []
        await user.type("1270")
        await user.press("enter")
        assert user.commands == [ApplyPreview(POLICY)]


async def test_marked_rows_alone_are_written(build: Build) -> None:
    async with at_preview(build) as user:
        await user.press("down", "space", "E")
        await user.type("5")
        await user.press("enter")
        assert user.commands == [ApplyPreview(POLICY, parts=((ANN, "contact"),))]


async def test_items_are_shown_field_by_field_and_marked_ones_written(build: Build) -> None:
    async with at_preview(build) as user:
        await user.press("down", "enter")
        assert isinstance(user.app.screen, PreviewRowsScreen)
        await user.sees("ito@acme.example")
        await user.press("down", "space")
        await user.sees("Buyer → Head of Purchasing")
        await user.press("space", "E")
        await user.sees("2 items will be written")
        await user.type("2")
        await user.press("enter")
        assert user.commands == [ApplyPreview(POLICY, ANN, ids=("7.12", "7.14"))]


async def test_what_waits_or_no_longer_holds_is_not_written(build: Build) -> None:
    async with at_preview(build) as user:
        await user.press("down", "enter")
        await user.sees("6 items")
        await user.press("G", "space", "E")
        await user.sees("There is nothing to write here")
        assert user.commands == []


async def test_it_is_made_afresh_and_dropped(build: Build) -> None:
    async with at_preview(build) as user:
        await user.press("P")
        user.service.previewing = True
        await user.sees("being made")
        user.service.previewing = False
        await user.press("D")
        assert user.commands == [PreviewPolicy(POLICY), DropPreview(POLICY)]


async def test_without_a_preview_the_screen_says_how_to_make_one(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_preview(POLICY)
        await user.sees("P reads both sides")
        assert isinstance(app.screen, PreviewScreen)
        await user.press("E")
        await user.sees("There is nothing to write here")
