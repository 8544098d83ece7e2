"""The engine is killed while it files mails: each stands in the CRM once, with its file."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.acceptance.filing_kills import rampage


@pytest.mark.parametrize(("seed", "system"), [(1, "google"), (2, "google"), (1, "exchange")])
def test_mails_are_filed_once_although_the_engine_is_killed_on_the_way(
    tmp_path: Path, seed: int, system: str
) -> None:
    figures = rampage(tmp_path, mailboxes=3, mails=24, kills=3, seed=seed, system=system)
    assert (figures.missing, figures.twice, figures.files) == (0, 0, 24)


@pytest.mark.parametrize("system", ["google", "exchange"])
def test_nothing_but_the_calls_that_it_takes(tmp_path: Path, system: str) -> None:
    figures = rampage(tmp_path, mailboxes=3, mails=30, kills=0, system=system)
    assert figures.calls <= figures.floor * 1.10
