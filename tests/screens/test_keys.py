"""The key table: one meaning a key, a sentence for each, and the page made from it."""

from __future__ import annotations

from pathlib import Path

import pytest
from textual.binding import Binding

from tests.screens.conftest import Build
from tests.screens.driver import User
from tui import keys
from tui.screens.audit import AuditScreen
from tui.screens.checklist import ChecklistScreen
from tui.screens.conflicts import ConflictsScreen, PolicyConflictsScreen
from tui.screens.connections import ConnectionsScreen
from tui.screens.edit_connection import ConnectionForm
from tui.screens.edit_policy import PolicyForm
from tui.screens.explain import ExplainScreen
from tui.screens.filed import FiledScreen
from tui.screens.frame import Frame
from tui.screens.held import HeldScreen
from tui.screens.history import HistoryScreen
from tui.screens.incidents import IncidentsScreen
from tui.screens.items import ItemsScreen
from tui.screens.members import MembersScreen
from tui.screens.monitors import MonitorsScreen
from tui.screens.operators import OperatorsScreen
from tui.screens.policies import PoliciesScreen
from tui.screens.policy_detail import PolicyScreen
from tui.screens.preview import PreviewScreen
from tui.screens.preview_rows import PreviewRowsScreen
from tui.screens.queue import QueueScreen
from tui.screens.runs import RunScreen, RunsScreen
from tui.screens.scheduler import SchedulerScreen
from tui.screens.user_detail import UserScreen
from tui.screens.why import WhyScreen

SCREENS: tuple[type[Frame], ...] = (
    PoliciesScreen,
    QueueScreen,
    MonitorsScreen,
    SchedulerScreen,
    PolicyScreen,
    UserScreen,
    HeldScreen,
    HistoryScreen,
    WhyScreen,
    ExplainScreen,
    ConflictsScreen,
    PolicyConflictsScreen,
    PolicyForm,
    ConnectionForm,
    MembersScreen,
    ConnectionsScreen,
    IncidentsScreen,
    OperatorsScreen,
    AuditScreen,
    ChecklistScreen,
    FiledScreen,
    ItemsScreen,
    PreviewScreen,
    PreviewRowsScreen,
    RunsScreen,
    RunScreen,
)


def test_every_pane_has_its_screen_here() -> None:
    assert {screen.PANE for screen in SCREENS} == keys.PANES.keys()


def test_no_key_has_two_meanings() -> None:
    seen: dict[str, str] = {}
    for key in keys.KEYS:
        for name in key.binds:
            assert name not in seen, f"{name} means {seen[name]} and {key.meaning}"
            seen[name] = key.meaning


def test_no_key_that_terminals_or_multiplexers_take() -> None:
    taken = {"ctrl+b", "ctrl+a", "ctrl+i", "ctrl+m", "ctrl+h", "ctrl+s", "ctrl+z"}
    for key in keys.KEYS:
        for name in key.binds:
            assert name not in taken or (name == "ctrl+s" and key.where.keys() == {keys.EDITOR})
            assert not name.startswith("alt+")


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.PANE)
def test_every_binding_is_in_the_table_with_its_sentence(screen: type[Frame]) -> None:
    table = {name: key.where[screen.PANE] for key in keys.of(screen.PANE) for name in key.binds}
    bound = [each for each in screen.BINDINGS if isinstance(each, Binding)]
    assert {each.key for each in bound} == table.keys()
    for each in bound:
        assert each.tooltip == table[each.key]
        assert each.tooltip.endswith(".")


@pytest.mark.parametrize("screen", SCREENS, ids=lambda screen: screen.PANE)
def test_every_action_exists(screen: type[Frame]) -> None:
    from tui.app import SynclineApp

    for key in keys.of(screen.PANE):
        for action in key.binds.values():
            name = action.partition("(")[0]
            owner: type[object] = SynclineApp if name.startswith("app.") else screen
            assert hasattr(owner, f"action_{name.removeprefix('app.')}"), f"{action} in {screen.PANE}"


def test_page_is_made_from_the_table() -> None:
    page = Path(__file__).parents[2] / "docs" / "keys.md"
    assert page.read_text() == keys.markdown(), "run: python -m tui.keys > docs/keys.md"


async def test_help_shows_every_key_of_the_pane(build: Build) -> None:
    app = build()
    async with app.run_test(size=(140, 110)) as pilot:
        user = User(app, pilot)
        for digit, pane in keys.TABS.items():
            await user.press(digit, "question_mark")
            shown = user.text()
            for key in keys.of(pane):
                assert key.show in shown
            await user.press("escape")
