"""The engine is killed fifty times while people work on both sides: nothing is there twice, missing or lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.acceptance.kills import LAG, rampage

#: Kills in all, spread over towns of 25 each: ``make test`` runs 50, KILLS=1000 as many as one likes.
KILLS = int(os.environ.get("KILLS", "50"))
EACH = 25


@pytest.mark.parametrize("seed", range(2, 2 + max(KILLS // EACH, 1)))
def test_an_engine_that_is_killed_again_and_again_loses_nothing_and_doubles_nothing(
    tmp_path: Path, seed: int
) -> None:
    figures = rampage(tmp_path, seed, EACH, lag=LAG * (seed % 2))
    assert figures.kills.total() == EACH
    assert figures.edits["deleted"]
    assert figures.edits["held deletes"]


def test_the_same_with_exchange(tmp_path: Path) -> None:
    """A few in every run; ``python -m tests.acceptance.kills --exchange`` as many as one likes."""
    figures = rampage(tmp_path, 11, 8, exchange=True)
    assert figures.kills.total() == 8
