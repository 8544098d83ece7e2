"""The event loop of an engine that shows screens."""

from __future__ import annotations

import asyncio
from typing import Any


class EngineLoop(asyncio.SelectorEventLoop):
    """An event loop on which nobody may make all tasks eager.

    Textual 8.2.8 installs ``asyncio.eager_task_factory`` on the whole loop when an app starts (Python 3.12 and newer): the
    engine's tasks would start in another order from then on, and asyncssh drops its own answers, so that the second login
    hangs for ever.
    """

    def set_task_factory(self, factory: Any) -> None:
        """Take a factory, unless it is the eager one."""
        if factory is not getattr(asyncio, "eager_task_factory", ...):
            super().set_task_factory(factory)
