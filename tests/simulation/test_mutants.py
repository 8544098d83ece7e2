"""The mutation gate: every bug that is planted on purpose is found by the proof that owns it."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import MUTANTS, Mutant, a_create_is_sent_once, a_rewritten_value_is_no_edit


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda one: one.name)
def test_a_planted_bug_is_found(mutant: Mutant, monkeypatch: pytest.MonkeyPatch) -> None:
    mutant.plant(monkeypatch)
    assert mutant.hunt(), f"the engine with the bug {mutant.name!r} was not told from the right one"


@pytest.mark.parametrize("point", ["lost-after", "crash-after"])
async def test_a_create_whose_answer_is_lost_is_sent_once(point: str) -> None:
    await a_create_is_sent_once(point)


async def test_what_a_server_makes_of_a_value_is_no_edit() -> None:
    await a_rewritten_value_is_no_edit()
