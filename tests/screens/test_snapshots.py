"""Every screen at both sizes, empty, at work and in trouble. Look at them: they are in ``snapshots/``."""

from __future__ import annotations

import pytest
from textual.pilot import Pilot

from tests.screens.conftest import Build
from tui.screens.frame import Frame

SMALL, LARGE = (80, 24), (140, 40)
TABS = {"policies": (), "queue": ("2",), "monitors": ("3",), "scheduler": ("4",)}


def keys(*names: str):  # type: ignore[no-untyped-def]
    async def before(pilot: Pilot[None]) -> None:
        for name in names:
            await pilot.press(name)
        shown, last = "", "-"
        while shown != last:
            if isinstance(pilot.app.screen, Frame):
                pilot.app.screen.repaint()
            await pilot.pause()
            shown, last = str(pilot.app.screen._compositor.render_strips()), shown

    return before


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
@pytest.mark.parametrize("kind", ["empty", "running", "error"])
@pytest.mark.parametrize("tab", TABS)
def test_tab(snap_compare, build: Build, tab: str, kind: str, size: tuple[int, int]) -> None:
    assert snap_compare(build(kind), terminal_size=size, run_before=keys(*TABS[tab]))


@pytest.mark.parametrize("tab", TABS)
def test_plain_theme(snap_compare, build: Build, tab: str) -> None:
    app = build("error", theme="syncline-plain")
    assert snap_compare(app, terminal_size=SMALL, run_before=keys(*TABS[tab]))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_policy_with_verify(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build("running"), terminal_size=size, run_before=keys("down", "down", "down", "V"))


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
def test_user(snap_compare, build: Build, size: tuple[int, int]) -> None:
    assert snap_compare(build("running"), terminal_size=size, run_before=keys("2", "down", "enter"))


def test_help(snap_compare, build: Build) -> None:
    assert snap_compare(build(), terminal_size=SMALL, run_before=keys("2", "question_mark"))


def test_stop_the_engine_while_initialising(snap_compare, build: Build) -> None:
    assert snap_compare(build(), terminal_size=SMALL, run_before=keys("Q"))


def test_light_theme(snap_compare, build: Build) -> None:
    assert snap_compare(build("error", theme="syncline-light"), terminal_size=LARGE, run_before=keys("2"))


def test_ascii(snap_compare, build: Build) -> None:
    assert snap_compare(build("error", ascii=True), terminal_size=SMALL, run_before=keys("2"))


def test_too_small(snap_compare, build: Build) -> None:
    assert snap_compare(build(), terminal_size=(72, 20), run_before=keys())
