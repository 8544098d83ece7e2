"""The engine is killed while it files mails: each stands in the CRM once, with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.filing_kills import rampage


@pytest.mark.parametrize("seed", [1, 2])
def test_mails_are_filed_once_although_the_engine_is_killed_on_the_way(tmp_path: Path, seed: int) -> None:
    figures = rampage(tmp_path, mailboxes=3, mails=24, kills=3, seed=seed)
    assert (figures.missing, figures.twice, figures.files) == (0, 0, 24)


def test_mails_at_exchange_are_filed_once_although_the_engine_is_killed_on_the_way(tmp_path: Path) -> None:
    figures = rampage(tmp_path, mailboxes=2, mails=12, kills=3, system="exchange")
    assert (figures.missing, figures.twice, figures.files) == (0, 0, 12)


@pytest.mark.parametrize(("system", "mailboxes", "mails"), [("google", 3, 30), ("exchange", 2, 16)])
def test_nothing_but_the_calls_that_it_takes(tmp_path: Path, system: str, mailboxes: int, mails: int) -> None:
    figures = rampage(tmp_path, mailboxes=mailboxes, mails=mails, kills=0, system=system)
    assert figures.calls <= figures.floor * 1.10
