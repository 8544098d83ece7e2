"""The environment of an engine: it is one process for many terminals, and inherits none of theirs."""

from __future__ import annotations

import os

#: What a terminal or a shell may have set. Textual and Rich would read it, for all sessions.
_NOT_OURS = ("NO_COLOR", "COLORTERM", "TERM", "TERM_PROGRAM", "LC_TERMINAL", "COLUMNS", "LINES", "ESCDELAY")


def cleanse() -> None:
    """Forget what belongs to a terminal. Must come before Textual is imported, which reads some of it then."""
    for name in [*_NOT_OURS, *(name for name in os.environ if name.startswith("TEXTUAL"))]:
        os.environ.pop(name, None)
    # One colour depth for all sessions of a process: Rich keeps the escape code on the style, and mixed depths leak.
    os.environ["TEXTUAL_COLOR_SYSTEM"] = "256"
    os.environ["TEXTUAL_ANIMATIONS"] = "none"
