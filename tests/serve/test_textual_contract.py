"""The private names of Textual that the consoles stand on. An upgrade that changes one fails here first."""

from __future__ import annotations

import asyncio
import inspect
import sys

import pytest
from textual._xterm_parser import XTermParser
from textual.app import App
from textual.driver import Driver
from textual.events import Key, ScreenResume
from textual.screen import Screen
from textual.widget import Widget

from tui.screens.alive import alive
from tui.serve.loop import EngineLoop


def test_the_parser_is_fed_ticked_and_its_cache_cleared() -> None:
    parser = XTermParser()
    (key,) = parser.feed("\x1b[106u")
    assert isinstance(key, Key)
    assert key.key == "j"
    assert list(parser.feed("\x1b")) == []
    assert parser._timeout_time is not None
    parser._timeout_time = 0.001  # long ago
    (escape,) = parser.tick()
    assert isinstance(escape, Key)
    assert escape.key == "escape"
    assert XTermParser._parse_extended_key.cache_info().currsize > 0
    XTermParser._parse_extended_key.cache_clear()
    assert XTermParser._parse_extended_key.cache_info().currsize == 0


async def test_an_app_has_what_a_session_sets_and_calls() -> None:
    app: App[None] = App()
    assert {
        "_capture_stdout",
        "_capture_stderr",
        "_exception",
        "error_console",
        "_filters",
        "no_color",
    } <= vars(app).keys()
    app._begin_batch()
    app._end_batch()
    assert app._batch_count == 0
    assert callable(app.post_display_hook)
    assert {"app", "debug", "mouse", "size"} <= inspect.signature(Driver.__init__).parameters.keys()
    assert callable(Driver.process_message)
    assert callable(Driver.send_message)


def test_an_app_makes_the_tasks_of_no_other_eager() -> None:
    loop = EngineLoop()
    try:
        loop.set_task_factory(getattr(asyncio, "eager_task_factory", None))
        assert loop.get_task_factory() is None
        loop.set_task_factory(factory := lambda loop, coro, **options: asyncio.Task(coro, loop=loop, **options))
        assert loop.get_task_factory() is factory
    finally:
        loop.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="eager tasks came with Python 3.12")
def test_textual_would_make_them_eager_otherwise() -> None:
    assert "eager_task_factory" in inspect.getsource(App.run_async)


def test_tabs_are_made_before_they_are_shown() -> None:
    app: App[None] = App()
    assert {
        "_screen_stacks",
        "_css_update_count",
        "_disable_tooltips",
        "_disable_notifications",
        "_batch_count",
    } <= vars(app).keys()
    assert callable(app._init_mode)
    assert ScreenResume().refresh_styles
    screen: Screen[None] = Screen()
    assert "_css_update_count" in vars(screen)
    assert callable(screen._refresh_layout)
    assert callable(screen._get_breakpoint_classes)
    assert screen._layout_required is False


async def test_a_screen_is_painted_once_when_it_is_whole() -> None:
    assert "self.delay_update()" in inspect.getsource(App.switch_mode)
    assert "self._compositor_refresh()" in inspect.getsource(Screen._refresh_layout)
    assert "self._compositor_refresh()" in inspect.getsource(Screen._on_timer_update)
    assert callable(Widget._exchange_repaint_regions)


async def test_a_key_waits_for_the_rows_that_it_means() -> None:
    assert "self._check_bindings(event.key)" in inspect.getsource(App._on_key)


async def test_a_closed_screen_says_so_at_once() -> None:
    app: App[None] = App()
    async with app.run_test() as pilot:
        screen = Screen[None]()
        await app.push_screen(screen)
        assert alive(screen)
        app.pop_screen()
        await pilot.pause()
        assert screen.is_mounted
        assert not alive(screen)
