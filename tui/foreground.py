"""The app in the engine's own process. Goes away with ``syncline attach``."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace

from engine.service import Service
from tui import exits
from tui.commands import signals
from tui.exits import Trouble
from tui.run import local_zone, opened, running, who


async def app(given: Namespace) -> int:
    """The full-screen app on a data directory."""
    async with opened(given.data_dir) as service:
        return await run_app(service, given)


def need_terminal() -> None:
    """The app cannot be shown in a pipe.

    Raises:
        Trouble: there is no terminal.
    """
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Trouble(exits.USAGE, "the app needs a terminal; use sync, status, verify or demo --headless here")


async def run_app(service: Service, given: Namespace) -> int:
    """Show the app over a service until it is left or a signal comes; cycles stop at their next page boundary.

    Raises:
        Trouble: there is no terminal.
    """
    need_terminal()
    from tui.app import SynclineApp
    from tui.terminal import LastingDriver

    shown = SynclineApp(service, who(), zone=local_zone(), ascii=given.ascii, theme=f"syncline-{given.theme}")
    shown.driver_class = LastingDriver
    tasks: set[asyncio.Task[None]] = set()

    async def leave() -> None:
        # A signal may come while the app is still starting, when it cannot be left yet.
        while not shown.is_running:  # noqa: ASYNC110 - Textual tells by no event
            await asyncio.sleep(0.02)
        shown.request_exit()

    async with running(service):
        with signals(lambda: tasks.add(asyncio.get_running_loop().create_task(leave()))) as heard:
            await shown.run_async()
        for task in tasks:
            task.cancel()
    return exits.OK if heard.number is None else exits.INTERRUPTED
