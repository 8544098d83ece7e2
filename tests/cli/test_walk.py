"""The first five minutes of a newcomer, in a real terminal: enable, watch, verify, leave, come back."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.test_demo import SMALL, Terminal
from tui import exits


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    shown = Terminal("demo", *SMALL, "--data-dir", str(tmp_path / "data"))
    yield shown
    shown.close()


def test_first_sync_verified_and_found_again(terminal: Terminal, tmp_path: Path) -> None:
    terminal.until("Acme Sales")
    terminal.press("o")
    terminal.until("Policies / Acme Sales / first sync")
    terminal.press("t")
    terminal.until("checks passed just now")
    terminal.press("P")
    terminal.until("No preview of the last 24 hours.")
    terminal.press("P")
    terminal.until("nothing was written")
    terminal.press("\x1b")
    terminal.until("1 of 1 read")
    terminal.press("Gkkk    ")
    terminal.press("o")
    terminal.until("Guests get no mail.")
    terminal.press("1\r")
    terminal.until("Acme Sales: the first sync has ended")
    terminal.press("2\r")
    terminal.until("first sync finished")
    terminal.press("1")
    terminal.until("Errors")
    terminal.press("V")
    terminal.until("Confirmed 1 of 1 mailbox")
    terminal.until("all confirmed")
    terminal.press("q")
    assert terminal.ended() == exits.OK

    again = Terminal("demo", "--data-dir", str(tmp_path / "data"))
    try:
        again.until("Acme Sales")
        again.press("2r")
        again.until("full sync of ann.berg@acme.example alone: started")
        again.press("\r")
        again.until("full sync finished, 0 items written")
        again.press("q")
        assert again.ended() == exits.OK
    finally:
        again.close()
    assert (tmp_path / "data" / "syncline.log").read_text() == ""
