"""What an admin does and sees: keys become commands, and the store's news reach the screen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from engine.service import (
    CancelUser,
    DisableJob,
    DisablePolicy,
    EnableJob,
    EnablePolicy,
    JobRow,
    LimitRow,
    Line,
    PauseUser,
    PolicyRow,
    PolicyState,
    ResumeUser,
    RunJob,
    SessionRow,
    StopJob,
    SyncNow,
    Table,
    TestPolicy,
    UserRow,
    UserState,
    VerifyPolicy,
)
from tests.screens import fake
from tests.screens.conftest import Build
from tests.screens.driver import User
from tui.screens.confirm import Confirm
from tui.screens.monitors import MonitorsScreen
from tui.screens.policies import PoliciesScreen
from tui.screens.policy_detail import PolicyScreen
from tui.screens.queue import QueueScreen
from tui.screens.table_frame import TableFrame
from tui.screens.user_detail import UserScreen


@asynccontextmanager
async def at_keys(
    build: Build, kind: str = "running", size: tuple[int, int] = (80, 24), **options: object
) -> AsyncIterator[User]:
    app = build(kind, **options)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield User(app, pilot)


def select(user: User, key: str) -> None:
    screen = user.app.screen
    assert isinstance(screen, TableFrame)
    assert screen.table.select(key)


async def test_one_key_enables_a_policy_and_shows_the_queue(build: Build) -> None:
    async with at_keys(build) as user:
        user.service.store.policies["Pilot 試験"].initialised = True
        select(user, "Pilot 試験")
        await user.press("o")
        assert "The first sync of Pilot 試験 begins at once" in user.text()
        assert user.commands == []
        await user.press("y")
        await user.until(lambda: isinstance(user.app.screen, QueueScreen))
        assert user.commands == [EnablePolicy("Pilot 試験")]
        assert user.service.commands[0][1] == "alice@ops-01"
        await user.sees("Pilot 試験 is enabled; its first sync begins.")


@pytest.mark.parametrize("no", ["enter", "escape", "n"])
async def test_enter_means_no(build: Build, no: str) -> None:
    async with at_keys(build) as user:
        user.service.store.policies["Pilot 試験"].initialised = True
        select(user, "Pilot 試験")
        await user.press("o", no)
        assert user.commands == []
        await user.sees("Nothing was changed.")
        assert user.service.store.policies["Pilot 試験"].state is PolicyState.DISABLED


async def test_a_refusal_is_told_with_its_reason(build: Build) -> None:
    async with at_keys(build) as user:
        user.service.store.policies["Pilot 試験"].initialised = True
        user.service.refuse = "f.khan is in Pilot copy already; remove it there first."
        select(user, "Pilot 試験")
        await user.press("o", "y")
        await user.sees("f.khan is in Pilot copy already; remove it there first.")
        assert isinstance(user.app.screen, PoliciesScreen)


async def test_a_broken_engine_leaves_the_app_up(build: Build) -> None:
    async with at_keys(build) as user:

        async def broken(command: object, by: str) -> None:
            raise RuntimeError("secret-token-123")

        user.service.do = broken  # type: ignore[assignment,method-assign]
        await user.press("r")
        await user.sees("The engine could not do it (RuntimeError)")
        assert "secret-token" not in user.text()


async def test_keys_of_policies(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("r")
        await user.press("o", "y")
        await user.press("t")
        await user.sees("Both connections of Sales EMEA answer")
        assert "5 of 5 modules readable" in user.text()
        await user.press("escape")
        assert user.commands == [
            SyncNow(policy="Sales EMEA"),
            DisablePolicy("Sales EMEA"),
            TestPolicy("Sales EMEA"),
        ]


async def test_pausing_a_policy_pauses_its_users_and_again_resumes_them(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Support")
        await user.press("p")
        await user.until(lambda: len(user.commands) == 2)
        await user.press("p")
        await user.until(lambda: len(user.commands) == 4)
        mailboxes = ["t.nowak@example.com", "r.silva@example.com"]
        assert user.commands == [*map(PauseUser, mailboxes), *map(ResumeUser, mailboxes)]


async def test_verify_ticks_every_mailbox(build: Build) -> None:
    async with at_keys(build) as user:
        select(user, "Sales EMEA")
        await user.press("V")
        await user.until(lambda: isinstance(user.app.screen, PolicyScreen))
        await user.sees("Confirmed 7 of 8 mailboxes")
        assert user.commands == [VerifyPolicy("Sales EMEA")]
        await user.press("exclamation_mark")
        await user.sees("! contacts               1,199 of 1,200   'Ito, Kenji' is not in the mailbox")
        await user.press("enter")
        await user.until(lambda: isinstance(user.app.screen, UserScreen))
        await user.press("escape", "escape")
        assert isinstance(user.app.screen, PoliciesScreen)


async def test_keys_of_the_queue_act_on_the_row_or_on_the_marks(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2")
        select(user, "h.costa@example.com")
        await user.press("r")
        await user.until(lambda: len(user.commands) == 1)
        select(user, "d.patel@example.com")
        await user.press("space", "space", "p")
        await user.until(lambda: len(user.commands) == 3)
        assert user.commands == [
            SyncNow(mailbox="h.costa@example.com"),
            PauseUser("d.patel@example.com"),
            PauseUser("e.rossi@example.com"),
        ]
        await user.sees("e.rossi@example.com is paused. p undoes it. (and 1 more)")


async def test_cancelling_asks_and_phase_a_must_be_typed(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2")
        select(user, "h.costa@example.com")
        await user.press("x")
        await user.sees("there is nothing to cancel")
        select(user, "a.diaz@example.com")
        await user.press("x", "y")
        await user.until(lambda: user.commands == [CancelUser("a.diaz@example.com")])
        select(user, "t.nowak@example.com")
        await user.press("x", "y", "enter")
        assert isinstance(user.app.screen, Confirm)
        await user.type("cancel")
        await user.press("enter")
        await user.until(lambda: user.commands[1:] == [CancelUser("t.nowak@example.com")])


async def test_keys_of_the_scheduler(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("4")
        select(user, "full:Pilot 試験")
        await user.press("o")
        await user.until(lambda: len(user.commands) == 1)
        await user.press("o", "r", "x")
        await user.sees("The job does not run, so there is nothing to stop.")
        select(user, "full:Support")
        await user.press("x", "y")
        await user.until(lambda: len(user.commands) == 4)
        pilot = "full:Pilot 試験"
        assert user.commands == [EnableJob(pilot), DisableJob(pilot), RunJob(pilot), StopJob("full:Support")]


async def test_a_job_that_never_ran_says_so(build: Build) -> None:
    async with at_keys(build) as user:
        user.service.history = []
        await user.press("4")
        select(user, "full:Pilot 試験")
        await user.sees("Never ran. Next run: not applicable (job is off, o turns it on).")


async def test_all_past_runs_of_a_job(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("4")
        select(user, "full:Support")
        await user.press("enter")
        await user.sees("18 Nov 14:00    00:42     ✗ failed       209       2")
        assert "    2 mailboxes refused (403)" in user.text()


async def test_news_reach_the_screen_at_the_next_pull_and_the_cursor_stays_on_its_user(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2")
        select(user, "d.patel@example.com")
        user.service.clock.now += 3000
        row = user.service.store.users["d.patel@example.com"]
        row.state, row.why = UserState.FAILED, "404 mailbox not found"
        user.service.store.touch(Table.USERS, row)
        await user.pull()
        screen = user.app.screen
        assert isinstance(screen, QueueScreen)
        assert screen.table.order[0] == screen.table.current == "d.patel@example.com"
        assert "404 mailbox" in user.text()


async def test_a_live_sort_waits_while_keys_are_pressed(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2", "down")
        screen = user.app.screen
        assert isinstance(screen, QueueScreen)
        before = list(screen.table.order)
        user.service.clock.now += 1500
        row = user.service.store.users["i.novak@example.com"]
        row.state = UserState.FAILED
        user.service.store.touch(Table.USERS, row)
        await user.pull()
        assert screen.table.order == before
        user.service.clock.now += 1000
        await user.pull()
        assert screen.table.order[0] == "i.novak@example.com"


async def test_filter_search_and_esc(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2", "slash")
        await user.type("state:syncing policy:emea")
        await user.press("enter")
        screen = user.app.screen
        assert isinstance(screen, QueueScreen)
        assert screen.table.order == ["a.diaz@example.com", "b.moore@example.com", "c.wang@example.com"]
        assert "3 shown" in user.text()
        await user.press("escape")
        assert len(screen.table.order) == 13
        await user.press("slash")
        await user.type("/costa")
        await user.press("enter")
        assert screen.table.current == "h.costa@example.com"
        assert len(screen.table.order) == 13
        await user.press("escape", "slash")
        await user.type("state:failed")
        await user.press("enter")
        await user.sees("No user matches state:failed. esc clears the filter.")
        await user.press("escape", "slash")
        await user.type("colour:red")
        await user.sees("Unknown filter word 'colour:'.")


async def test_sort_by_a_letter_and_turn_round(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2", "s", "m")
        screen = user.app.screen
        assert isinstance(screen, QueueScreen)
        ids = sorted(user.service.store.users)
        assert screen.table.order == ids
        await user.press("S")
        assert screen.table.order == ids[::-1]
        assert "Mailbox ▾" in user.text()


async def test_monitors_open_by_themselves_for_users_that_start(build: Build) -> None:
    async with at_keys(build, size=(140, 40)) as user:
        await user.press("3")
        screen = user.app.screen
        assert isinstance(screen, MonitorsScreen)
        assert list(screen._panels) == [
            "t.nowak@example.com",
            "r.silva@example.com",
            "c.wang@example.com",
            "a.diaz@example.com",
        ]
        user.service.store.append("t.nowak@example.com", fake.NOW, "+", "'Acme GmbH' from CRM", 1)
        await user.pull()
        assert "14:00:12 + 'Acme GmbH' from CRM" in user.text()


async def test_monitors_of_marked_users(build: Build) -> None:
    async with at_keys(build, size=(140, 40)) as user:
        await user.press("2")
        select(user, "a.diaz@example.com")
        await user.press("space", "space", "m")
        screen = user.app.screen
        assert isinstance(screen, MonitorsScreen)
        await user.until(lambda: list(screen._panels) == ["a.diaz@example.com", "b.moore@example.com"])


async def test_view_all_warns_above_five(build: Build) -> None:
    async with at_keys(build, size=(140, 40)) as user:
        users = user.service.store.users
        for key in ("d.patel@example.com", "e.rossi@example.com"):
            users[key].state = UserState.SYNCING
        await user.press("3", "v")
        await user.sees("7 panels; 5 or fewer are easier to follow.")


async def test_a_held_panel_counts_what_is_new(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("3", "f")
        for number in range(3):
            user.service.store.append("t.nowak@example.com", fake.NOW, "+", f"'New {number}'", 1)
        await user.pull()
        assert "3 new" in user.text()
        assert "'New 2'" not in user.text()
        await user.press("f")
        assert "'New 2'" in user.text()


async def test_scrolling_back_reads_older_lines_from_disk(build: Build) -> None:
    async with at_keys(build, size=(140, 40)) as user:
        user.service.older = [Line(-n, fake.NOW - 60_000 - n, "+", f"'Old {n}'", 1) for n in range(50, 0, -1)]
        await user.press("3", "tab", "tab")
        await user.press("g")
        await user.until(lambda: any(panel._older for panel in user.app.screen._panels.values()))  # type: ignore[attr-defined]
        await user.press("g")
        await user.sees("'Old 50'")


async def test_a_panel_opened_after_a_restart_shows_what_was_before(build: Build) -> None:
    async with at_keys(build) as user:
        user.service.older = [Line(n, fake.NOW - 60_000 + n, "+", f"'Old {n}'", 1) for n in range(1, 501)]
        user.service.store.lines.clear()
        user.service.store.append("h.costa@example.com", fake.NOW - 60_000 + 500, "+", "'Old 500'", 1)
        await user.press("2")
        select(user, "h.costa@example.com")
        await user.press("m")
        await user.sees("'Old 495'")
        assert user.text().count("'Old 500'") == 1
        await user.press("g")
        await user.sees("'Old 301'")


async def test_a_long_reason_leaves_room_for_the_events_and_the_keys(build: Build) -> None:
    async with at_keys(build, "error") as user:
        row = user.service.store.users["ann.berg@example.com"]
        row.why = "Delete Safety holds what was asked to be deleted in this mailbox. " * 6
        row.module_counts = {}
        user.app.open_user(row.id)
        await user.sees("grant the scope in the admin console")
        text = user.text()
        assert "q detach" in text.splitlines()[-1]
        assert all(len(each) <= 80 for each in text.splitlines())
        assert user.app.screen.max_scroll_y == 0
        assert "It failed before it wrote anything." in text
        await user.sees("24 h: 2 cycles failed, items 1,302, errors 3, calls 318")


async def test_the_queue_tells_in_80_columns_who_has_held_items(build: Build) -> None:
    async with at_keys(build) as user:
        row = user.service.store.users["c.wang@example.com"]
        row.held = 237
        user.service.store.touch(Table.USERS, row)
        await user.press("2")
        await user.sees("Held")
        await user.press("s", "h")
        first = user.text().splitlines()[5]
        assert "c.wang" in first
        assert first.endswith("237")


async def test_nobody_is_syncing(build: Build) -> None:
    async with at_keys(build, "empty") as user:
        await user.press("3")
        await user.sees("Nobody is syncing. Tick users in Queue with m, or v shows all that start.")
        await user.press("2")
        await user.sees("Nothing is waiting.")


async def test_q_leaves_at_once_and_the_engine_goes_on(build: Build) -> None:
    app = build()  # a first sync is running
    async with app.run_test() as pilot:
        await pilot.press("q")
        assert isinstance(app.engine, fake.FakeService)
        assert not app.engine.stopped.is_set()
    assert not app.is_running


async def test_the_engine_is_stopped_by_a_typed_word(build: Build) -> None:
    async with at_keys(build) as user:
        user.service.store.sessions["2"] = SessionRow(
            "2", "bob@ops-02", "ssh 10.0.0.5", "operator", fake.NOW - 120_000, (100, 30)
        )
        await user.press("number_sign")
        assert "bob@ops-02: operator, 100x30" in user.text()
        assert "from ssh 10.0.0.5, since 2 min ago" in user.text()
        await user.press("escape", "Q")
        assert "2 mailboxes are in the first sync, which is better not interrupted." in user.text()
        assert "Attached beside you: bob@ops-02." in user.text()
        await user.press("y", "enter", "escape")
        assert not user.service.stopped.is_set()
        await user.press("Q")
        user.service.may_stop = asyncio.Event()
        await user.type("stop")
        await user.press("enter")
        await user.sees("The engine stops after the page it is on.")
        user.service.may_stop.set()
        await asyncio.wait_for(user.service.stopped.wait(), 5)


async def test_what_comes_from_outside_cannot_move_the_cursor(build: Build) -> None:
    async with at_keys(build) as user:
        user.service.store.append("t.nowak@example.com", fake.NOW, "+", "evil \x1b[2J\x07\u202eabc [bold]x", 1)
        await user.press("3")
        assert "\x1b" not in user.text()
        assert "evil [2Jabc [bold]x" in user.text()


async def test_the_palette_opens_a_user_by_name(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("colon")
        await user.type("costa")
        await user.until(lambda: "h.costa" in user.text())
        await user.press("enter")
        await user.until(lambda: isinstance(user.app.screen, UserScreen))


async def test_frozen_view_stays_and_thaws(build: Build) -> None:
    async with at_keys(build) as user:
        await user.press("2", "z")
        row = user.service.store.users["a.diaz@example.com"]
        row.done = 33
        user.service.store.touch(Table.USERS, row)
        await user.pull()
        assert "33 / 61" not in user.text()
        await user.press("z")
        assert "33 / 61" in user.text()


async def test_times_relative_or_absolute(build: Build) -> None:
    async with at_keys(build) as user:
        assert "9 min ago" in user.text()
        await user.press("T")
        assert "9 min ago" not in user.text()
        assert "13:51" in user.text()


async def test_rows_of_names_that_begin_or_end_alike_can_be_told_apart_in_80_columns(build: Build) -> None:
    policies = ("Acme Sales Europe north", "Acme Sales Europe south", "Acme Service Europe")
    people = ("ann.berg@emea.acme.example", "ann.berg@apac.acme.example", "recruiting-emea-01@acme.example")
    people = (*people, "recruiting-emea-02@acme.example")
    async with at_keys(build, "empty") as user:
        store = user.service.store
        for name in policies:
            store.policies[name] = PolicyRow(name)
            for kind, title in (("full", "Full sync"), ("labels", "Drop-label check"), ("verify", "Verify")):
                job = f"{kind}:{name}"
                store.jobs[job] = JobRow(job, f"{title} {name}", policy=name)
        for name in people:
            store.users[name] = UserRow(name, policies[0])
        for table in (Table.POLICIES, Table.USERS, Table.JOBS):
            store.reshape(table)
        for tab, count, width in (
            ("1", len(policies), 22),
            ("2", len(people), 31),
            ("4", 3 * len(policies), 35),
        ):
            await user.press(tab)
            await user.pull()
            shown = {each[1:width].replace("►", " ") for each in user.text().splitlines()[5 : 5 + count]}
            assert len(shown) == count, user.text()


async def test_monitors_of_people_of_one_name_can_be_told_apart(build: Build) -> None:
    async with at_keys(build, "empty", size=(140, 40)) as user:
        store = user.service.store
        for name in ("ann.berg@emea.example", "ann.berg@apac.example", "bo@emea.example"):
            store.users[name] = UserRow(name, "Acme Sales", UserState.SYNCING)
        store.reshape(Table.USERS)
        await user.press("3")
        await user.sees("ann.berg@eme…ple")
        await user.sees("ann.berg@apa…ple")
        await user.sees("▸ bo  ")
        await user.sees("ann.berg@emea.example  Acme Sales")


async def test_the_queue_tells_the_next_sync_of_tomorrow_in_80_columns(build: Build) -> None:
    async with at_keys(build, "empty") as user:
        user.service.store.policies["Sales EMEA"] = PolicyRow("Sales EMEA")
        row = user.service.store.users["m.sato@example.com"] = UserRow("m.sato@example.com", "Sales EMEA")
        row.state, row.next_full_ms = UserState.IDLE, fake.NOW + 14 * 3_600_000
        user.service.store.reshape(Table.USERS)
        await user.press("2")
        await user.sees("next in 14 h")


async def test_a_reason_that_is_cut_in_the_queue_says_where_the_rest_is(build: Build) -> None:
    async with at_keys(build, "error") as user:
        row = user.service.store.users["ann.berg@example.com"]
        row.why = "Delete Safety holds what was asked to be deleted in this mailbox. " * 4 + "h lists it."
        await user.press("2")
        select(user, row.id)
        await user.sees("… ↵ tells all")
        assert "h lists it" not in user.text()
        row.why = "The service account is refused (403). t tests the link."
        user.service.store.touch(Table.USERS, row)
        await user.sees("t tests the link.")
        assert "tells all" not in user.text()


async def test_limits_of_one_connection_can_be_told_apart(build: Build) -> None:
    names = [
        *(f"Acme Workspace: {name}" for name in ("Gmail mailbox /min", "Google Calendar mailbox /min")),
        *(f"Acme Workspace: Google {name} /min" for name in ("People reads", "People writes", "Calendar")),
        "Branch Workspace: Gmail mailbox /min",
    ]
    async with at_keys(build, "empty", size=(140, 40)) as user:
        for name in names:
            user.service.store.limits[name] = LimitRow(name, 0, 90, "")
        user.service.store.reshape(Table.LIMITS)
        await user.press("2")
        await user.sees("Google Calendar mailbox /min ")
        lines = [each.rpartition("││")[2] for each in user.text().splitlines() if "0 of 90" in each]
        assert len({each.partition("[")[0] for each in lines}) == len(names), lines
