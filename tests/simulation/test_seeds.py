"""Many seeds of the simulation, in chunks; ``SYNCLINE_SEEDS=17:18`` runs seed 17 alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from functools import cache

import pytest

from tests.simulation.__main__ import main
from tests.simulation.faults import KINDS
from tests.simulation.invariants import INVARIANTS
from tests.simulation.regressions import REGRESSIONS
from tests.simulation.run import Verdict, run_seed

CHUNK = 50


def _chunks() -> list[range]:
    first, _, last = os.environ.get("SYNCLINE_SEEDS", "0:5000").partition(":")
    numbers = range(int(first), int(last))
    return [numbers[n : n + CHUNK] for n in range(0, len(numbers), CHUNK)]


def _hold(verdict: Verdict) -> None:
    if verdict.broken:
        story = "\n".join(verdict.trace)
        pytest.fail(f"{story}\nseed {verdict.seed}: {verdict.broken}: {verdict.text}", pytrace=False)


@pytest.mark.parametrize("numbers", _chunks(), ids=lambda one: f"{one.start}:{one.stop}")
def test_seeds_hold_every_invariant(numbers: range) -> None:
    for number in numbers:
        _hold(run_seed(number))


@pytest.mark.parametrize("number", sorted(REGRESSIONS))
def test_a_seed_that_once_found_a_bug_holds(number: int) -> None:
    _hold(run_seed(number))


@cache
def _struck() -> Counter[str]:
    struck: Counter[str] = Counter()
    for number in range(100_000, 100_100):
        verdict = run_seed(number)
        struck.update(verdict.struck)
    return struck


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_fault_strikes(kind: str) -> None:
    assert _struck()[kind] > 0


def test_every_invariant_has_its_name() -> None:
    assert list(INVARIANTS) == [f"I{n}" for n in (1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13, 14, 15)]
    assert all((check.__doc__ or "").startswith(f"{name}: ") for name, check in INVARIANTS.items())


def test_a_seed_tells_the_same_story_whenever_and_wherever_it_is_run() -> None:
    """Neither the seeds before it, nor the order of Python's sets, have a say."""
    script = (
        "from tests.simulation.run import run_seed\nimport hashlib\n"
        "for n in (30, 3, 12, 30): print(n, hashlib.sha256('\\n'.join(run_seed(n, tracing=True).trace).encode()).hexdigest())"
    )
    told = [
        subprocess.run(
            [sys.executable, "-c", script],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert told[0] == told[1]
    assert told[0][0] == told[0][3]


@pytest.mark.parametrize("seeds", ["5", "5:x", "5:5", "7:3", ":"])
def test_bad_seeds_are_refused_in_words(seeds: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--seeds", seeds])
    assert end.value.code == 2
    assert "seed" in capsys.readouterr().err


def test_the_command_prints_a_summary_for_people_and_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--seeds", "3:5"]) == 0
    assert "2 seeds, 0 failed" in capsys.readouterr().out
    assert main(["--seeds", "3:5", "--json"]) == 0
    summary = json.loads(capsys.readouterr().out)["summary"]
    assert summary["seeds"] == 2
    assert set(summary["faults"]) == set(KINDS)
