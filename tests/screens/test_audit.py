"""The audit log on screen, and on the command line."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from engine.service import AuditRow, Role, SessionRow
from tests.screens import fake
from tests.screens.conftest import Build
from tests.screens.driver import User
from tui.app import SynclineApp

ROWS = [
    AuditRow(
        3, fake.NOW - 60_000, "vera@ops-01", "ssh 10.0.0.7", "DisablePolicy", "Sales EMEA", "", "",
        "refused: vera@ops-01 is a viewer here, and this needs an admin; nothing was changed",
    ),
    AuditRow(
        2, fake.NOW - 120_000, "otto@ops-01", "pts/3", "PauseUser", "a.diaz@example.com", "state=idle", "state=paused",
        "a.diaz@example.com is paused",
    ),
    AuditRow(1, fake.NOW - 3_600_000, "ada@ops-01", "pts/1", "apply", "acme.toml", "old = 1", "new = 1", "applied"),
]  # fmt: skip


async def test_who_did_what_is_listed_filtered_and_explained(build: Build) -> None:
    app = build()
    app.engine.audits = list(ROWS)  # type: ignore[attr-defined]
    async with app.run_test(size=(140, 40)) as pilot:
        user = User(app, pilot)
        await user.press("quotation_mark")
        await user.sees("3 entries")
        assert "is a viewer here" in user.text()
        await user.press("slash")
        await user.type("who:otto")
        await user.press("enter")
        await user.sees("state=paused")
        await user.sees("state=idle")
        assert "vera" not in user.text()
        await user.press("escape", "escape")
        await user.until(lambda: "entries" not in user.text())


SMALL, LARGE = (80, 24), (140, 40)
BOTH = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])


def opened(key: str, text: str):  # type: ignore[no-untyped-def]
    async def before(pilot: Pilot[None]) -> None:
        user = User(pilot.app, pilot)  # type: ignore[arg-type]
        await user.press(key)
        await user.sees(text)

    return before


def people(app: SynclineApp) -> None:
    rows = (
        SessionRow("1", "alice@ops-01", "pts/3", Role.ADMIN, fake.NOW - 120_000, (140, 40)),
        SessionRow("2", "otto@ops-01", "ssh 10.0.0.5", Role.OPERATOR, fake.NOW - 3_600_000, (100, 30)),
        SessionRow(
            "3", "vera@helpdesk.example.com", "ssh 2001:db8::7", Role.VIEWER, fake.NOW - 86_400_000, (80, 24)
        ),
    )
    app.session_id = "1"
    app.engine.store.sessions.update((row.id, row) for row in rows)


@BOTH
@pytest.mark.parametrize("rows", [ROWS, []], ids=["entries", "empty"])
def test_log(snap_compare, build: Build, rows: list[AuditRow], size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    app.engine.audits = list(rows)  # type: ignore[attr-defined]
    shown = f"{len(rows)} entries"
    assert snap_compare(app, terminal_size=size, run_before=opened("quotation_mark", shown))


def test_log_in_plain(snap_compare, build: Build) -> None:  # type: ignore[no-untyped-def]
    app = build(theme="syncline-plain")
    app.engine.audits = list(ROWS)  # type: ignore[attr-defined]
    assert snap_compare(app, terminal_size=SMALL, run_before=opened("quotation_mark", "3 entries"))


@BOTH
def test_who_is_attached(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    people(app)
    assert snap_compare(app, terminal_size=size, run_before=opened("number_sign", "Who is attached"))


def test_who_is_attached_in_plain(snap_compare, build: Build) -> None:  # type: ignore[no-untyped-def]
    app = build(theme="syncline-plain")
    people(app)
    assert snap_compare(app, terminal_size=SMALL, run_before=opened("number_sign", "Who is attached"))
