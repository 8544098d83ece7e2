"""Filed mail: what was filed, what was refused and why, and one key to have it tried again."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from engine.service import FiledRow, RetryFiling
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import MINUTE, NOW, FakeService
from tests.screens.test_snapshots import keys
from tui.app import SynclineApp
from tui.screens.filed import FiledScreen

WANG = "c.wang@example.com"


def row(number: int, state: str, subject: str, reason: str = "", **values: object) -> FiledRow:
    base = {
        "id": number, "email": WANG, "policy": "Sales EMEA", "state": state, "reason": reason, "subject": subject,
        "sender": "Kim Customer", "module": "opportunity", "name": "Acme: 200 pumps", "record": "006000000000001AAA",
        "via": "dropped", "incoming": True, "files": 1, "sent_ms": NOW - 90 * MINUTE, "at_ms": NOW - 5 * MINUTE,
        "done_ms": NOW - 4 * MINUTE, "again_ms": None, "attempt": 1, "activity": "02s000000000001AAA", "message": "a@b",
    }  # fmt: skip
    return FiledRow(**(base | values))  # type: ignore[arg-type]


FILED = [
    row(7, "filed", "Re: Offer 4711", via="followed"),
    row(
        6,
        "refused",
        "Hi",
        "no lead can be made of it: the mail gives no family, no company",
        module="lead",
        name="",
    ),
    row(
        5,
        "refused",
        "(private mail)",
        "it is marked private, and the policy leaves such mails unread",
        sender="",
    ),
    row(4, "waiting", "Drawings", "will be tried again: Salesforce: the server is busy", files=12),
    row(3, "unfiled", "Lunch?", "its label was taken off", module="case", name="00001014"),
]


def with_mails(app: SynclineApp) -> SynclineApp:
    assert isinstance(app.engine, FakeService)
    app.engine.filings = list(FILED)
    return app


async def to_wang(user: User) -> None:
    """Queue, with the cursor on Wang."""
    await user.press("2")
    for _ in range(40):
        if user.app.screen.table.current == WANG:  # type: ignore[attr-defined]
            return
        await user.press("down")


async def test_a_refused_mail_is_found_and_tried_again(build: Build) -> None:
    app = with_mails(build())
    async with app.run_test(size=(140, 40)) as pilot:
        user = User(app, pilot)
        await to_wang(user)
        await user.press("i")
        assert isinstance(app.screen, FiledScreen)
        await user.sees("5 mails, 2 refused")
        await user.sees("Re: Offer 4711")
        await user.press("exclamation_mark")
        await user.sees("no lead can be made of it: the mail gives no family, no company")
        await user.press("r")
        await user.until(lambda: RetryFiling((6,)) in user.commands)
        await user.press("home", "r")  # filed: nothing to try again
        await user.sees("Nothing to try again")


@pytest.mark.parametrize("size", [(80, 24), (140, 40)], ids=["80x24", "140x40"])
def test_filed_mail(snap_compare, build: Build, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = with_mails(build())
    app.engine.filings = [  # type: ignore[attr-defined]
        FiledRow(**({name: getattr(one, name) for name in FiledRow.__dataclass_fields__} | {"email": each}))
        for each in app.engine.store.users
        for one in FILED
    ]

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        await user.press("2", "i")
        await user.sees("5 mails, 2 refused")  # they are read outside of the app's loop
        await keys("down")(pilot)

    assert snap_compare(app, terminal_size=size, run_before=before)
