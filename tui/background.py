"""Starts an engine that outlives this terminal, and waits until it listens. Standard library only."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

#: What an engine tells who has started it instead of where it listens, when another one holds the data directory.
BUSY = "busy"


class NotStarted(Exception):
    """The engine has ended before it listened; the text is what it said.

    Attributes:
        busy: whether another process holds the data directory; it may be an engine that is about to listen.
    """

    def __init__(self, text: str, *, busy: bool = False) -> None:
        super().__init__(text)
        self.busy = busy


def start(folder: str, more: Sequence[str] = ()) -> int:
    """Start ``syncline serve`` on a data directory; returns its process number when it listens.

    What it says goes to ``serve.log`` there. It has no terminal and is in a session of its own, so that neither Ctrl+C nor
    a hang-up reaches it.

    Args:
        folder: the data directory; made if need be.
        more: further words for ``serve``.

    Raises:
        NotStarted: it cannot work on this directory.
    """
    import subprocess

    log = os.path.join(folder, "serve.log")
    try:
        os.makedirs(folder, mode=0o700, exist_ok=True)
        number = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    except OSError as error:
        raise NotStarted(
            f"cannot use the directory {folder}: {error.strerror}; name another with --data-dir"
        ) from None
    get, put = os.pipe()
    words = [sys.executable, "-m", "tui.cli", "serve", "--data-dir", folder, "--ready-fd", str(put), *more]
    with os.fdopen(number, "wb") as errors:
        process = subprocess.Popen(  # noqa: S603 - our own command line
            words,
            stdin=subprocess.DEVNULL,
            stdout=errors,
            stderr=errors,
            pass_fds=(put,),
            start_new_session=True,
            cwd="/",
        )
    os.close(put)
    with os.fdopen(get) as told:
        line = told.readline().strip()  # ends with the engine at the latest
    if not line or line == BUSY:
        process.wait()
        with open(log, encoding="utf-8", errors="replace") as file:
            said = [each.strip() for each in file.read()[-4000:].splitlines() if each.strip()]
        raise NotStarted(
            "\n".join(said[-6:]).removeprefix("syncline: ") or f"the engine ended with {process.returncode}",
            busy=line == BUSY,
        )
    process.returncode = 0  # it is nobody's child any more: no warning that it still runs
    return process.pid
