"""No key is dead: whatever is pressed wherever, something is seen, and what cannot be done says why."""

from __future__ import annotations

import pytest

from engine.service import Table, UserState
from tests.screens.conftest import Build
from tests.screens.driver import User
from tests.screens.test_items import WANG, with_writes
from tests.screens.test_preview import POLICY, with_preview
from tests.screens.test_why import filled
from tui import keys
from tui.palette import Everything
from tui.screens.exporting import MOST_COPIED
from tui.screens.form import FormScreen
from tui.screens.frame import Frame
from tui.screens.queue import QueueScreen
from tui.screens.table_frame import TableFrame

#: How each pane is reached from Policies, with rows and without; some of them from rows that ``reached`` puts there.
WAYS: dict[str, tuple[str, ...]] = {
    keys.POLICIES: (),
    keys.QUEUE: ("2",),
    keys.MONITORS: ("3",),
    keys.SCHEDULER: ("4",),
    keys.POLICY: ("enter",),
    keys.USER: ("2", "enter"),
    keys.HELD: ("2", "h"),
    keys.HISTORY: ("2", "H"),
    keys.WHY: ("2", "W"),
    keys.PREVIEW: ("P",),
    keys.CONFLICTS: ("2", "C"),
    keys.EDITOR: ("e",),
    keys.MEMBERS: ("J",),
    keys.CONNECTIONS: ("ampersand",),
    keys.CHECKLIST: ("down", "o"),
    keys.AUDIT: ("quotation_mark",),
    keys.INCIDENTS: ("M",),
    keys.OPERATORS: ("Y",),
    keys.FILED: ("2", "i"),
    keys.RUNS: ("4", "enter"),
    keys.RUN: ("4", "exclamation_mark", "enter", "enter"),
    keys.ROWS: ("P", "down", "enter"),
    keys.ITEMS: ("enter",),
    keys.EXPLAIN: (),
}

#: These move and change nothing that is seen where there is one row or none; z and q are tested by themselves.
QUIET = ("move(", "tab(", "app.", "freeze", "pane(", "page(", "back", "mark")


async def reached(user: User, pane: str) -> None:
    if pane == keys.ROWS:
        with_preview(user.app)
        assert user.app.screen.table.select(POLICY)  # type: ignore[attr-defined]
    elif pane == keys.ITEMS:
        with_writes(user.app).open_history(WANG)
        await user.sees("full sync")
    elif pane == keys.EXPLAIN:
        filled(user.app)
        user.app.open_explained("#12", WANG)
    for key in WAYS[pane]:
        await user.press(key)
        await user.pull()  # what a step opens has its rows
    await user.until(lambda: isinstance(user.app.screen, Frame) and pane == user.app.screen.PANE)
    for _ in range(3):
        await user.pull()


@pytest.mark.parametrize("pane", [keys.POLICIES, keys.QUEUE, keys.MONITORS, keys.SCHEDULER, keys.CONNECTIONS])
async def test_a_key_that_does_nothing_on_an_empty_screen_says_why(build: Build, pane: str) -> None:
    app = build("empty")
    async with app.run_test(size=(140, 40)) as pilot:
        user = User(app, pilot)
        await reached(user, pane)
        for key in keys.of(pane):
            for name, action in key.binds.items():
                if action.startswith(QUIET):
                    continue
                app.say("")
                await user.pull()
                before = user.text()
                await user.press(name)
                await user.pull()
                seen = user.text() != before or len(app.screen_stack) > 1 or pane != app.screen.PANE  # type: ignore[attr-defined]
                assert seen, f"{name} in {pane} of an empty engine shows nothing"
                while len(app.screen_stack) > 1:
                    app.pop_screen()
                await user.press("escape")


async def test_help_keeps_a_disabled_key_with_its_reason(build: Build) -> None:
    app = build("empty")
    async with app.run_test(size=(140, 60)) as pilot:
        user = User(app, pilot)
        await user.press("question_mark")
        await user.sees("Enable or disable the policy")
        await user.sees("Not now: There is no row to act on.")


@pytest.mark.parametrize("pane", list(keys.PANES))
async def test_every_action_of_the_pane_is_in_the_palette(build: Build, pane: str) -> None:
    app = build()
    async with app.run_test(size=(140, 40)) as pilot:
        user = User(app, pilot)
        await reached(user, pane)
        palette = Everything(app.screen, None)
        shown = {do.args[0] for _, _, do in palette.actions()}  # type: ignore[attr-defined]
        table = {action for key in keys.of(pane) for action in key.binds.values()}
        assert shown == table
        names = [name for name, _, _ in palette.actions()]
        assert len(set(names)) == len(names)


async def test_the_palette_finds_every_object_and_what_is_done_with_it(build: Build) -> None:
    app = build()
    async with app.run_test(size=(140, 40)) as pilot:
        user = User(app, pilot)
        await user.press("colon")
        await user.type("emea")
        await user.sees("policy Sales EMEA  sync now")
        await user.sees("policy Sales EMEA  edit")
        await user.sees("job Full sync Sales EMEA  run now")
        await user.press("escape", "colon")
        await user.type("workspace")
        await user.sees("connection Workspace example.com  edit")
        await user.press("escape", "colon")
        await user.type("emea edit")
        await user.sees("policy Sales EMEA  edit")
        await user.press("down", "enter")
        await user.until(lambda: isinstance(user.app.screen, FormScreen))


async def test_a_frozen_view_tells_how_much_has_changed(build: Build) -> None:
    app = build()
    async with app.run_test(size=(80, 24)) as pilot:
        user = User(app, pilot)
        await user.press("2", "z")
        await user.sees("FROZEN, 0 changed")
        store = user.service.store
        for row in list(store.users.values())[:3]:
            row.state = UserState.FAILED
            store.touch(Table.USERS, row)
        await user.sees("FROZEN, 3 changed")
        assert "✗ failed" not in user.text()
        await user.press("z")
        await user.sees("✗ failed")
        assert "FROZEN" not in user.text()


async def test_a_filter_is_completed_and_a_wrong_one_told(build: Build) -> None:
    app = build("error")
    async with app.run_test(size=(80, 24)) as pilot:
        user = User(app, pilot)
        await user.press("2", "slash")
        await user.type("state:fai")
        await user.sees("→ completes: state:failed")
        await user.press("right", "enter")
        assert isinstance(app.screen, QueueScreen)
        assert app.screen.table.filter.source == "state:failed"
        await user.press("escape", "slash")
        await user.type("state:wrong")
        await user.sees("No state is called 'wrong'.")
        await user.press("escape", "slash")
        await user.type('policy:"sales emea" -a.diaz')
        await user.press("enter")
        assert "b.moore@example.com" in app.screen.table.order
        assert "a.diaz@example.com" not in app.screen.table.order
        assert "kim.lee@example.com" not in app.screen.table.order


async def test_a_table_is_exported_as_it_is_filtered(build: Build) -> None:
    app = build("error")
    async with app.run_test(size=(80, 24)) as pilot:
        user = User(app, pilot)
        await user.press("2", "slash")
        await user.type("state:failed")
        await user.press("enter", "vertical_line")
        await user.sees("2 rows shown, with all columns")
        await user.press("enter")
        await user.sees("Written on the engine's host: /var/lib/syncline/exports/Queue.csv")
        ((name, ending, text),) = user.service.exported
        assert (name, ending) == ("Queue", "csv")
        head, first, second, end = text.split("\r\n")
        assert head.startswith("State,Mailbox,Policy")
        assert "ann.berg@example.com" in first
        assert "j.ortiz@example.com" in second
        assert end == ""


async def test_what_is_too_long_for_a_clipboard_is_told(build: Build) -> None:
    app = build()
    async with app.run_test(size=(80, 24)) as pilot:
        user = User(app, pilot)
        await user.press("2")
        row = user.service.store.users["a.diaz@example.com"]
        row.policy = "x" * MOST_COPIED
        await user.press("vertical_line", "down", "down", "enter")
        await user.sees("are too many for a terminal's clipboard; export a file instead.")
        assert isinstance(app.screen, TableFrame)
        row.policy = "Sales EMEA"
        await user.press("vertical_line", "down", "down", "enter")
        await user.sees("Copied 13 rows as CSV.")


async def test_held_items_of_a_policy_are_settled_by_mailbox(build: Build) -> None:
    from tests.screens.test_held import waiting

    app = build()
    async with app.run_test(size=(140, 40)) as pilot:
        user = User(app, pilot)
        user.service.held = waiting()
        app.open_all_held("is:delete")
        await user.sees("Queue / held items of all")
        await user.sees("shown")
        await user.press("a", "K")
        await user.until(lambda: len(user.commands) > 0)


async def test_a_key_that_means_nothing_here_says_so(build: Build) -> None:
    app = build()
    async with app.run_test(size=(80, 24)) as pilot:
        user = User(app, pilot)
        await user.press("2", "tilde")
        await user.sees("~ does nothing here; ? lists the keys.")
        app.say("")
        await user.press("j", "slash")
        await user.type("~j")
        await user.pull()
        assert "does nothing here" not in user.text()
