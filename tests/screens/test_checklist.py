"""The checklist of a first sync on the screen: what keeps it off, where that is put right, ticks, start, roles."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from engine.service import (
    ASKED,
    Actor,
    ApplyPreview,
    Checklist,
    EnablePolicy,
    JobRow,
    JobState,
    PolicyState,
    PreviewReport,
    Role,
    SavePolicy,
    Table,
    TestPolicy,
    UserRow,
    VerifyPolicy,
    VerifyRow,
    check_policy,
)
from tests.screens import fake
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.test_preview import SUMS
from tui.screens.checklist import ChecklistScreen
from tui.screens.confirm import Confirm
from tui.screens.connections import ConnectionsScreen
from tui.screens.form import FormScreen
from tui.screens.preview import PreviewScreen
from tui.screens.queue import QueueScreen

POLICY = "Pilot 試験"
SMALL, LARGE = (80, 24), (140, 40)


@asynccontextmanager
async def at_list(build: Build, size: tuple[int, int] = SMALL) -> AsyncIterator[User]:
    app = build()
    async with app.run_test(size=size) as pilot:
        user = User(app, pilot)
        assert app.screen.table.select(POLICY)  # type: ignore[attr-defined]
        await user.press("o")
        await user.until(lambda: isinstance(app.screen, ChecklistScreen))
        await user.sees("lines right")
        yield user


async def tick_all(user: User) -> None:
    await user.press("G", "up", "up", "up", "space", "space", "space", "space")


def shown(kind: str, size: tuple[int, int], **options: object):  # type: ignore[no-untyped-def]
    async def before(pilot: Pilot[None]) -> None:
        app = pilot.app
        service = app.engine  # type: ignore[attr-defined]
        if kind == "wrong":
            service.checks, service.seconds = fake.doubtful(), None
        app.open_checklist(POLICY)  # type: ignore[attr-defined]
        user = User(app, pilot)  # type: ignore[arg-type]
        if kind == "gone":
            del service.store.policies[POLICY]
            await user.sees("was deleted meanwhile")
            return
        await user.sees("lines right")
        if kind == "right":
            await tick_all(user)

    return before


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
@pytest.mark.parametrize("kind", ["right", "wrong", "gone"])
def test_list(snap_compare, build: Build, kind: str, size: tuple[int, int]) -> None:  # type: ignore[no-untyped-def]
    assert snap_compare(build(), terminal_size=size, run_before=shown(kind, size))


def test_plain_theme(snap_compare, build: Build) -> None:  # type: ignore[no-untyped-def]
    app = build(theme="syncline-plain")
    assert snap_compare(app, terminal_size=SMALL, run_before=shown("wrong", SMALL))


def test_ascii(snap_compare, build: Build) -> None:  # type: ignore[no-untyped-def]
    assert snap_compare(build(ascii=True), terminal_size=SMALL, run_before=shown("wrong", SMALL))


def peopled(service: fake.FakeService) -> list[str]:
    """Five mailboxes in the policy."""
    names = [f"{name}@example.com" for name in ("t.nowak", "r.silva", "p.lind", "q.ames", "u.fox")]
    for name in names:
        service.store.users[name] = UserRow(name, POLICY)
    return names


def read_back(names: list[str]) -> list[VerifyRow]:
    """Two mailboxes read back, one of them with a difference."""
    counts = {
        "groups": 2,
        "contacts": 5310,
        "calendar": 4,
        "appointments": 92,
        "tasks": 21,
        "label tree": 14,
        "quick connect mails": 3,
    }
    return [
        VerifyRow(
            name,
            check,
            (name, check) != (names[1], "contacts"),
            have,
            have + ((name, check) == (names[1], "contacts")),
        )
        for name in names[:2]
        for check, have in counts.items()
    ]


def synced(service: fake.FakeService) -> None:
    """Its first sync has ended."""
    row = service.store.policies[POLICY]
    row.state, row.initialised, row.last_full_ms = PolicyState.ENABLED, True, fake.NOW


@pytest.mark.parametrize("kind", ["before", "after"])
def test_pilot_and_what_was_read_back(snap_compare, build: Build, kind: str) -> None:  # type: ignore[no-untyped-def]
    app = build()
    names = peopled(app.engine)
    app.engine.pilot = 3
    if kind == "after":
        app.engine.store.policies[POLICY].rollout_stage = "running"
        app.engine.report = read_back(names)
        synced(app.engine)

    async def before(pilot: Pilot[None]) -> None:
        await shown("right" if kind == "before" else "", LARGE)(pilot)
        assert app.screen.table.select("waves" if kind == "before" else "after")  # type: ignore[attr-defined]
        await pilot.pause()

    assert snap_compare(app, terminal_size=LARGE, run_before=before)


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_after_the_first_sync_it_names_the_key_that_reads_back(
    snap_compare,  # type: ignore[no-untyped-def]
    build: Build,
    size: tuple[int, int],
) -> None:
    app = build()
    peopled(app.engine)
    synced(app.engine)

    async def before(pilot: Pilot[None]) -> None:
        app.open_checklist(POLICY)
        await User(app, pilot).sees("not yet: V reads it back")

    assert snap_compare(app, terminal_size=size, run_before=before)


async def test_what_a_first_sync_made_is_read_back_from_its_checklist(build: Build) -> None:
    app = build()
    names = peopled(app.engine)
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.open_checklist(POLICY)
        await user.sees("lines right")
        assert "ead back" not in user.text(), "before it there is nothing to read back"
        await user.press("V")
        await user.sees("Nothing was synchronised yet; V reads it back when the first sync has ended.")
        assert user.commands == []
        row = user.service.store.policies[POLICY]
        row.state, row.running = PolicyState.ENABLED, True
        user.service.store.touch(Table.POLICIES, row)
        await user.sees("when the first sync ends")
        synced(user.service)
        user.service.store.touch(Table.POLICIES, row)
        await user.sees("not yet: V reads it back")
        await user.press("g", "enter")  # the line itself does the same
        await user.until(lambda: user.commands == [VerifyPolicy(POLICY)])
        job = user.service.store.jobs[f"verify:{POLICY}"] = JobRow(f"verify:{POLICY}", f"Verify {POLICY}")
        job.state = JobState.RUNNING
        user.service.store.touch(Table.JOBS, job)
        await user.sees("being read now")
        job.state, user.service.report = JobState.ENABLED, read_back(names)
        user.service.store.touch(Table.JOBS, job)
        await user.sees("! look   Read back from mailboxes   1 of 5 confirmed, 1 differs")
        await user.sees("r.silva@example.com: contacts: 5,310 of 5,311")
        user.service.report = read_back(names)[:7]
        user.service.store.touch(Table.JOBS, job)
        await user.sees("◌ open   Read back from mailboxes   1 of 5 confirmed")


async def test_a_mailbox_that_could_not_be_read_back_says_why(build: Build) -> None:
    app = build()
    names = peopled(app.engine)
    synced(app.engine)
    app.engine.report = [
        *read_back(names)[:7],
        VerifyRow(names[2], "access", False, 0, 1, "Google sign-in: refused"),
    ]
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        app.open_checklist(POLICY)
        await user.sees("! access: 0 of 1, Google sign-in: refused")
        await user.sees("✓ 5,310 of 5,310")
        await user.sees("◌ not yet: V reads it back")


async def test_a_pilot_is_chosen_on_the_checklist_and_stored_in_the_policy(build: Build) -> None:
    async with at_list(build) as user:
        peopled(user.service)
        table = user.app.screen.table  # type: ignore[attr-defined]
        assert table.select("waves")
        await user.press("space")
        await user.sees("Who goes first")
        await user.sees("(•) all at once   5 mailboxes")
        assert "5 first" not in user.text(), "all of them are no pilot"
        await user.press("down", "down", "enter")
        await user.until(lambda: bool(user.commands))
        (command,) = user.commands
        assert isinstance(command, SavePolicy)
        assert command.settings["rollout"]["waves"] == [2]
        assert not [each for each in check_policy(POLICY, command.settings, {}) if "waves" in each.path]
        assert command.was is not None
        user.service.pilot = 2
        await user.press("t")
        await user.sees("Pilot: 2 of 5 mailboxes first: t.nowak@example.com, r.silva@example.com")


async def test_it_starts_when_all_is_right_and_ticked_and_the_number_was_typed(build: Build) -> None:
    async with at_list(build) as user:
        await user.sees("About 42 min to 2 h 44 min: 41,200 contacts, 8,900 appointments, 2,100 tasks")
        await user.press("o")
        await user.sees("Start is off: 4 boxes are open; nothing has been written yet.")
        await tick_all(user)
        await user.sees("13 of 13 lines right")
        await user.press("o")
        assert isinstance(user.app.screen, Confirm)
        await user.type("6")
        await user.press("enter")
        assert user.commands == []
        await user.type("5")
        await user.press("enter")
        await user.until(lambda: isinstance(user.app.screen, QueueScreen))
        assert user.commands == [EnablePolicy(POLICY, tuple(ASKED))]


async def test_what_is_wrong_keeps_it_off_and_has_its_key(build: Build) -> None:
    app = build()
    async with app.run_test(size=LARGE) as pilot:
        user = User(app, pilot)
        user.service.checks = fake.doubtful()
        app.open_checklist(POLICY)
        await user.sees("5 of 13 lines right")
        await tick_all(user)
        await user.press("o")
        await user.sees("Start is off: 1 check failed, 1 check is not made yet; nothing has been written yet.")
        await user.press("g")
        await user.sees("Give the integration user's permission set these rights")
        await user.press("enter")
        await user.until(lambda: isinstance(app.screen, ConnectionsScreen))
        await user.press("escape")
        await user.until(lambda: isinstance(app.screen, ChecklistScreen))
        await user.press("down", "enter")  # the mail connection was not tested
        await user.until(lambda: user.commands == [TestPolicy(POLICY)])
        user.service.checks = fake.checks()  # what was wrong is mended meanwhile
        await user.press("t")
        await user.sees("13 of 13 lines right")
        assert isinstance(app.screen, ChecklistScreen)


async def test_ways_to_the_preview_and_the_editor(build: Build) -> None:
    async with at_list(build) as user:
        user.service.previewed = PreviewReport(POLICY, False, fake.NOW, 5, 5, SUMS)
        await user.press("P")
        await user.until(lambda: isinstance(user.app.screen, PreviewScreen))
        await user.sees("1,235 create")
        await user.press("E")  # all of it is the first sync: back to the list
        await user.until(lambda: isinstance(user.app.screen, ChecklistScreen))
        await user.sees("its checklist comes first")
        assert not any(isinstance(command, ApplyPreview) for command in user.commands)
        await user.press("e")
        await user.until(lambda: isinstance(user.app.screen, FormScreen))


async def test_a_viewer_sees_it_and_cannot_start(build: Build) -> None:
    app = build()
    app.by = Actor("vera@ops-01", Role.VIEWER)
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        app.screen.table.select(POLICY)  # type: ignore[attr-defined]
        await user.press("o")
        await user.sees("lines right")
        await tick_all(user)
        await user.press("o")
        await user.sees("Start is off: vera@ops-01 is a viewer here, and this needs an admin")
        assert user.commands == []
        assert user.service.store.policies[POLICY].state is PolicyState.DISABLED


async def test_a_policy_that_was_synchronised_needs_none(build: Build) -> None:
    async with at_list(build) as user:
        user.service.store.policies[POLICY].initialised = True
        await user.press("escape")
        await user.press("o")
        assert isinstance(user.app.screen, Confirm)


async def test_an_answer_after_the_screen_was_closed_ends_no_console(build: Build) -> None:
    app = build()
    async with app.run_test(size=SMALL) as pilot:
        user = User(app, pilot)
        gate, whole = asyncio.Event(), user.service.checklist

        async def late(policy: str) -> Checklist:
            await gate.wait()
            return await whole(policy)

        user.service.checklist = late  # type: ignore[method-assign]
        app.open_checklist(POLICY)
        await user.until(lambda: isinstance(app.screen, ChecklistScreen))
        await user.press("escape")
        gate.set()
        await user.until(lambda: not app._tasks)
        await user.pull()
        assert app.crash is None
