"""The audit log on screen, and on the command line."""

from __future__ import annotations

from engine.service import AuditRow
from tests.screens import fake
from tests.screens.conftest import Build
from tests.screens.driver import User

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
