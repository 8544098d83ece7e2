"""Tests as a user's story: press, read, wait for what must come."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from textual.pilot import Pilot
from textual.widgets import Input

from tests.screens.fake import FakeService
from tui.app import SynclineApp
from tui.screens.frame import Frame


class User:
    """An admin at the keys."""

    def __init__(self, app: SynclineApp, pilot: Pilot[None]) -> None:
        self.app, self.pilot = app, pilot

    @property
    def service(self) -> FakeService:
        assert isinstance(self.app.engine, FakeService)
        return self.app.engine

    @property
    def commands(self) -> list[object]:
        """What the service was asked."""
        return [command for command, _ in self.service.commands]

    async def press(self, *keys: str) -> None:
        """Press keys, one after the other."""
        for key in keys:
            await self.pilot.press(key)
        await self.pilot.pause()

    async def type(self, text: str) -> None:
        """Type a text into the field that has the keys."""
        field = self.app.focused
        assert isinstance(field, Input)
        field.insert_text_at_cursor(text)
        await self.pilot.pause()

    async def pull(self) -> None:
        """What the timer does four times a second."""
        if isinstance(self.app.screen, Frame):
            self.app.screen.pull()
        await self.pilot.pause()

    def text(self) -> str:
        """The whole screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def until(self, true: Callable[[], bool]) -> None:
        """Wait for a condition, at most five seconds."""
        async with asyncio.timeout(5):
            while not true():
                await self.pilot.pause()

    async def sees(self, text: str) -> None:
        """Wait until a text is on the screen."""
        try:
            async with asyncio.timeout(5):
                while text not in self.text():
                    await self.pull()
        except TimeoutError:
            raise AssertionError(f"{text!r} is not on the screen:\n{self.text()}") from None
