"""Why on the screen: a key on any row that stands for a user, a job or an item; everything scrolls and can be copied."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from engine.service import (
    Explanation,
    Fact,
    FieldView,
    Filtered,
    Hit,
    Item,
    KeptCount,
    Section,
    Table,
    UserState,
)
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.fake import NOW, FakeService
from tests.screens.test_held import waiting
from tui.app import SynclineApp
from tui.screens.ask import Ask
from tui.screens.confirm import Report
from tui.screens.explain import ExplainScreen
from tui.screens.queue import QueueScreen
from tui.screens.user_detail import UserScreen
from tui.screens.why import WhyScreen

WANG = "c.wang@example.com"
NOVAK = "井藤.健二@example.com"
SMALL, LARGE = (80, 24), (140, 40)
SIZES = pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])


def hit(link: int | None = 12, **more: object) -> Hit:
    values: dict[str, object] = {
        "link": link,
        "mailbox": WANG,
        "module": "contact",
        "name": "Ann Lee",
        "state": "live",
        "reason": "",
        "side": "crm",
        "remote_id": f"003{link}",
        **more,
    }
    return Hit(**values)  # type: ignore[arg-type]


def item() -> Item:
    """A contact whose title was changed on both sides and whose last write was refused."""
    return Item(
        hit(),
        "Sales EMEA",
        "Refused 2 times in a row: 400 Invalid value for field phoneNumbers. It is tried again 2026-11-21 14:01:12 CET, "
        "in 60 s; five failures set it aside.",
        "fault",
        (
            FieldView("given", "given name", "Ann", "Ann", "Ann"),
            FieldView("family", "family name", "Lee", "Lee", "Lee"),
            FieldView("title", "job title", "Chief Buyer", "Buyer", "Head of buying", "both", "to the mailbox"),
            FieldView("phone_mobile", "mobile phone", "+49 170 1234567", "", "", "crm", "to the mailbox"),
            FieldView("notes", "notes", "1,204 characters", "1,204 characters", "1,204 characters"),
        ),
        (
            Section(
                "Planned now (looked at, nothing is written)",
                (
                    Fact(
                        "mailbox",
                        "update: job title, mobile phone; job title, mobile phone changed in the CRM; only if it still is version %EgUBAg4=",
                    ),
                    Fact(
                        "journal", "mailbox: job title: both sides differed; the CRM was changed last", "alert"
                    ),
                ),
            ),
            Section(
                "Both sides",
                (
                    Fact("CRM", "there, id 003AB00001, in Contact"),
                    Fact(
                        "",
                        "changed there 2026-11-21 13:52:00 CET, 8 min ago; version 7, read 3 min ago",
                        "quiet",
                    ),
                    Fact("mailbox", "there, id people/c42, in contacts, carries our mark"),
                    Fact("", "carries group:contact", "quiet"),
                ),
            ),
            Section(
                "Rules of the policy",
                (
                    Fact("flows", "both ways"),
                    Fact("both changed", "the newer change wins, by server time"),
                    Fact("deletes", "CRM to mailbox: mirror; mailbox to CRM: never"),
                ),
            ),
            Section(
                "Work and last writes",
                (
                    Fact("work list", "due 2026-11-21 14:01:12 CET, in 60 s, after 2 failures", "alert"),
                    Fact(
                        "update",
                        "in the mailbox: refused, sent 2026-11-21 13:59:40 CET, 32 s ago; job title changed in the CRM",
                        "fault",
                    ),
                    Fact("", "400 Invalid value for field phoneNumbers", "fault"),
                ),
            ),
            Section(
                "Journal",
                (Fact("create", "mailbox: new in the CRM; 2026-11-20 09:00:00 CET, 29 h ago (cycle 3)"),),
            ),
        ),
    )


def kept(after: int = 0) -> Filtered:
    counts = (
        KeptCount("filtered", "appointment", "ended more than 45 days ago", 1204),
        KeptCount("own", "contact", "the person's own, outside the policy's groups and colours", 311),
        KeptCount("absent", "contact", "deleted in one place; the policy keeps it in the other", 7),
        KeptCount("dismissed", "task", "an admin dismissed it: 400 invalid due date", 1),
    )
    rows = tuple(
        hit(
            number,
            module="appointment",
            name="(private)" if number % 7 == 0 else f"Weekly {number}",
            state="filtered",
            reason="ended more than 45 days ago",
        )
        for number in range(after + 1, after + 31)
    )
    return Filtered(WANG, counts, rows, after + 30 if after < 60 else None)


def filled(app: SynclineApp) -> FakeService:
    service = app.engine
    assert isinstance(service, FakeService)
    service.held = waiting()
    service.explained = [Explanation(query, item=item()) for query in ("#12", "#7", "#1", "ann lee")]
    service.explained.append(
        Explanation(
            "lee",
            hits=(
                hit(12),
                hit(13, name="Bo Lee", state="held", reason="several items have the same name"),
                hit(None, state="own", name="the person's own item"),
            ),
            more=True,
        )
    )
    service.kept = {after: kept(after) for after in (0, 30, 60)}
    return service


@asynccontextmanager
async def at_queue(build: Build, mailbox: str = WANG, size: tuple[int, int] = SMALL) -> AsyncIterator[User]:
    app = build()
    filled(app)
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        await user.press("2")
        assert isinstance(app.screen, QueueScreen)
        assert app.screen.table.select(mailbox)
        yield user


@SIZES
@pytest.mark.parametrize("what", ["user", "hits", "item"])
def test_screen(snap_compare, build: Build, what: str, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    app = build()
    filled(app)

    async def before(pilot: Pilot[None]) -> None:
        user = User(app, pilot)
        if what == "user":
            app.open_why(NOVAK)
            await user.sees("Weekly 1")
        else:
            app.open_explained("lee" if what == "hits" else "#12", WANG)
            await user.sees("Which one?" if what == "hits" else "Chief Buyer")
        await user.pull()

    assert snap_compare(app, terminal_size=size, run_before=before)


async def test_a_user_says_why_it_does_not_run_and_the_key_opens_the_rest(build: Build) -> None:
    async with at_queue(build, NOVAK) as user:
        await user.press("W")
        await user.sees("It waits for its schedule: the next full sync is")
        assert isinstance(user.app.screen, WhyScreen)
        await user.sees("30 of 1,212 items")
        await user.sees("ended more than 45 days ago")
        assert "1,204" in user.text()
        await user.press("enter")
        await user.sees("Refused 2 times in a row")
        assert user.service.asked == [("#1", WANG)]
        await user.press("escape")
        assert isinstance(user.app.screen, WhyScreen)


async def test_more_pages_come_when_the_cursor_reaches_the_end(build: Build) -> None:
    async with at_queue(build) as user:
        await user.press("W")
        await user.sees("30 of 1,212 items")
        await user.press("G")
        await user.sees("60 of 1,212 items")
        await user.press("G")
        await user.sees("90 of 1,212 items")
        await user.press("G", "g")
        await user.sees("90 of 1,212 items")


async def test_the_answer_follows_the_state(build: Build) -> None:
    async with at_queue(build, NOVAK) as user:
        await user.press("W")
        await user.sees("It waits for its schedule")
        row = user.service.store.users[NOVAK]
        row.state, row.why = UserState.PAUSED, "paused by bob"
        user.service.store.touch(Table.USERS, row)
        await user.sees("It is paused by bob: p lets it run again.")


async def test_an_item_is_asked_for_by_words(build: Build) -> None:
    async with at_queue(build) as user:
        await user.press("F")
        assert isinstance(user.app.screen, Ask)
        await user.type("ann lee")
        await user.press("enter")
        await user.sees("Chief Buyer")
        assert user.service.asked == [("ann lee", WANG)]
        assert isinstance(user.app.screen, ExplainScreen)
        await user.press("F")
        await user.type("lee")
        await user.press("enter")
        await user.sees("3 items fit 'lee'")
        await user.press("enter")
        await user.sees("Chief Buyer")
        await user.press("escape", "escape", "escape")
        assert isinstance(user.app.screen, QueueScreen)


async def test_nothing_found_says_how_to_ask_and_no_answer_asks_nothing(build: Build) -> None:
    async with at_queue(build) as user:
        await user.press("F")
        await user.type("nobody")
        await user.press("enter")
        await user.sees("No item fits 'nobody': ask by the number")
        await user.press("F", "escape")
        await user.press("F", "enter")
        assert isinstance(user.app.screen, QueueScreen)
        assert user.service.asked == [("nobody", WANG)]


async def test_the_explanation_scrolls_and_is_copied_whole(build: Build) -> None:
    async with at_queue(build) as user:
        user.app.open_explained("#12", WANG)
        await user.sees("Chief Buyer")
        assert "new in the CRM" not in user.text()
        await user.press("G")
        await user.sees("new in the CRM")
        await user.press("g")
        await user.sees("Chief Buyer")
        await user.press("y")
        await user.sees("Copied the explanation")
        copied = user.app.clipboard
        assert "contacts: Ann Lee   Sales EMEA   #12" in copied
        assert "new in the CRM" in copied
        assert "both changed, → to the mailbox" in copied


async def test_an_explanation_is_read_again_when_a_cycle_has_ended(build: Build) -> None:
    async with at_queue(build) as user:
        user.app.open_explained("#12", WANG)
        await user.sees("Chief Buyer")
        row = user.service.store.users[WANG]
        row.state, row.ended_ms = UserState.IDLE, NOW
        user.service.store.touch(Table.USERS, row)
        await user.pull()
        await user.until(lambda: user.service.asked == [("#12", WANG)] * 2)


async def test_held_items_are_explained_by_their_number(build: Build) -> None:
    async with at_queue(build) as user:
        await user.press("h")
        await user.sees("6 items waiting")
        assert user.app.screen.table.select("7")  # type: ignore[attr-defined]
        await user.press("W")
        await user.sees("Chief Buyer")
        assert user.service.asked == [("#7", WANG)]


async def test_policies_jobs_users_and_monitors_answer_the_same_key(build: Build) -> None:
    async with at_queue(build, NOVAK) as user:
        await user.press("enter")
        assert isinstance(user.app.screen, UserScreen)
        await user.sees("It waits for its schedule")
        await user.press("W")
        assert isinstance(user.app.screen, WhyScreen)
        await user.press("1")
        assert user.app.screen.table.select("Sales EMEA")  # type: ignore[attr-defined]
        await user.press("W")
        assert isinstance(user.app.screen, Report)
        assert "It runs now." in user.app.screen.text()
        await user.press("escape", "4", "W")
        assert isinstance(user.app.screen, Report)
        await user.press("escape", "3", "W")
        assert isinstance(user.app.screen, WhyScreen)


async def test_a_user_that_is_gone_is_said_to_be_gone(build: Build) -> None:
    async with at_queue(build, NOVAK) as user:
        await user.press("W")
        await user.sees("It waits for its schedule")
        del user.service.store.users[NOVAK]
        user.service.store.reshape(Table.USERS)
        await user.sees("is no user of any policy")


@SIZES
async def test_who_is_stale_is_counted_in_the_header_and_first_on_its_lists(
    build: Build, size: tuple[int, int]
) -> None:
    app = build()
    store = filled(app).store
    row = store.users["f.khan@example.com"]
    row.stale_since_ms = row.last_success_ms = NOW - 3_600_000
    store.engine.stale = store.policies["Sales EMEA"].stale = 1
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        await user.sees("! stale 1")
        assert app.screen.table.current == "Sales EMEA"  # type: ignore[attr-defined]
        await user.sees("1 stale: no cycle has ended well for three intervals")
        await user.press("2")
        assert app.screen.table.current == "f.khan@example.com"  # type: ignore[attr-defined]
        await user.sees("! queued")
        await user.press("enter")
        await user.sees("It is stale besides")


async def test_the_wait_that_a_provider_asked_for_counts_down_in_the_header(build: Build) -> None:
    app = build()
    service = filled(app)
    service.store.engine.providers["Google"] = "wait"
    service.store.engine.provider_until_ms["Google"] = NOW + 40_000
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        await user.sees("Google ↻ 40 s")
        service.clock.now += 15_000
        await user.sees("Google ↻ 25 s")
        service.clock.now += 25_000
        await user.sees("Google ✓")
