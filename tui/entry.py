"""The program ``syncline``: a console, if that is what is asked, before anything large is imported; else the command line."""

from __future__ import annotations

import os
import sys
import time
from _socket import socket
from collections.abc import Sequence

from tui import ask, attach, places

USAGE = 2

#: Seconds for which a second terminal waits that comes while the engine is starting.
_STARTING = 10.0


class Wanted:
    """What a command line says that asks for a console. No dataclass: that module is a fifth of the time to attach."""

    __slots__ = ("ascii", "folder", "only_attach", "socket", "theme")

    def __init__(
        self,
        folder: str = "",
        socket: str = "",
        theme: str = "",
        ascii: bool = False,
        only_attach: bool = False,
    ) -> None:
        self.folder, self.socket, self.theme = folder, socket, theme
        self.ascii, self.only_attach = ascii, only_attach


def wanted(words: Sequence[str]) -> Wanted | None:
    """A command line that asks for a console; ``None`` for every other one, right or wrong."""
    found = Wanted()
    rest = list(words)
    while rest:
        word, _, value = rest.pop(0).partition("=")
        if word == "attach" and not value and not found.only_attach:
            found.only_attach = True
        elif word == "--ascii" and not value:
            found.ascii = True
        elif word in {"--data-dir", "--socket", "--theme"} and (value or rest):
            setattr(found, {"--data-dir": "folder"}.get(word, word[2:]), value or rest.pop(0))
        else:
            return None
    if found.theme not in {"", "dark", "light", "plain"} or (found.socket and not found.only_attach):
        return None
    found.folder = os.path.abspath(os.path.expanduser(found.folder or places.data_dir()))
    return found


def console(asked: Wanted) -> int:
    """Attach to the engine, which is started if there is none and that is wanted; returns the exit code."""
    if not attach.is_terminal():
        return _refuse("the console needs a terminal; use status, sync, verify or demo --headless here", USAGE)
    greeting = ""
    try:
        engine = ask.connect(asked.folder, asked.socket)
        if engine is None and asked.only_attach:
            where = (
                asked.socket or " or ".join(places.candidates(asked.folder)) or places.socket_path(asked.folder)
            )
            return _refuse(
                f"no engine works on {asked.folder} (nobody listens at {where}); "
                "syncline without a word starts one, or: systemctl start syncline",
                ask.UNUSABLE,
            )
        if engine is None:
            from tui import background

            try:
                pid = background.start(asked.folder)
                print(
                    f"syncline: no engine was running here; started one in the background (pid {pid})",
                    flush=True,
                )
                greeting = (
                    f"The engine was started in the background (pid {pid}): q leaves it running, Q stops it."
                )
            except background.NotStarted as fault:
                engine = _starting(asked) if fault.busy else None
                if engine is None:
                    return _refuse(str(fault), ask.UNUSABLE)
            engine = engine or ask.connect(asked.folder, asked.socket)
    except PermissionError:
        return _refuse(f"an engine works on {asked.folder}, and this user may not connect to it", ask.UNUSABLE)
    if engine is None:
        return _refuse(
            f"the engine has ended again; {asked.folder}/serve.log and syncline.log tell why", ask.UNUSABLE
        )
    return attach.attach(engine, theme=asked.theme, ascii=asked.ascii, greeting=greeting)[0]


def _starting(asked: Wanted) -> socket | None:
    """Another terminal may have started the engine in the same moment: wait a little for that one to listen."""
    until = time.monotonic() + _STARTING
    while (engine := ask.connect(asked.folder, asked.socket)) is None and time.monotonic() < until:
        time.sleep(0.1)
    return engine


def _refuse(text: str, code: int) -> int:
    print(f"syncline: {text}", file=sys.stderr)
    return code


def main() -> int:
    """Run the program; the return value is the exit code."""
    asked = wanted(sys.argv[1:])
    if asked is not None:
        os.umask(0o077)
        try:
            return console(asked)
        except KeyboardInterrupt:
            return ask.INTERRUPTED
    from tui.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
