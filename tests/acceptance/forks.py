"""Processes of the stories, forked from one that has imported engine and sandbox already.

That saves a second or more for each, and changes nothing for them.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

PRELOADED = [
    "tests.acceptance.engine_process",
    "tests.acceptance.sandbox_process",
    # What an engine imports when it is needed alone: migrations, connectors, and at its first call exchangelib, which takes half
    # a second.
    "alembic.command",
    "engine.crm.salesforce",
    "engine.mailbox.google.connector",
    "engine.mailbox.exchange.connector",
    "engine.mailbox.exchange.sessions",
]


def fork(target: Callable[..., None], *arguments: Any) -> ForkServerProcess:
    """Start ``target(*arguments)`` in a process of its own."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    process = context.Process(target=target, args=arguments, daemon=True)
    process.start()
    return process
