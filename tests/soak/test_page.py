"""The page on reliability says what its figures say."""

from __future__ import annotations

import pytest

from tests.soak.__main__ import main
from tests.soak.page import PAGE, page, stored


def test_page_and_figures_are_in_step() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(stored()), "run: python -m tests.soak"


def test_a_part_that_was_not_run_is_named() -> None:
    shown = page({"when": "2026-11-22", "where": "here."})
    assert "Not run in this soak: simulation, kills, disk, points, mutants." in shown


def test_figures_of_failures_are_published_too() -> None:
    simulation = {
        "first": 0,
        "seeds": 2_000,
        "failed": 1,
        "failures": {"I2 no duplicate": 1},
        "simulated_days": 9.5,
        "cycles": 10,
        "crashes": 3,
        "seeds_per_second_per_core": 25.0,
        "faults": {"lost reply": 1_234},
    }
    kills = {
        "kills": 25,
        "rampages": 2,
        "failed_seeds": [7],
        "edits": {"deleted": 3},
        "by_phase_and_moment": {"edits: lost": 4},
        "seconds": 1,
    }
    shown = page({"when": "2026-11-22", "where": "here.", "simulation": simulation, "kills": kills})
    assert "2,000 seeds (from 0 on), of which 1 failed" in shown
    assert "| lost reply | 1,234 |" in shown
    assert "I2 no duplicate 1" in shown
    assert "towns that lost or doubled something: 7." in shown


def test_a_file_that_is_not_there_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--kills", "/nowhere/kills.json"])
    assert "--kills /nowhere/kills.json: " in capsys.readouterr().err
