"""Every failpoint of the scenarios is killed once, and every tenth once more while it recovers: the end is the same."""

from __future__ import annotations

import pytest

from engine.model.port import CreateKey
from tests.simulation.killing import KEYS, Kill, again, failpoints, run

PARTS = 4


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("key", KEYS)
def test_killed_at_every_failpoint_it_goes_on_and_ends_the_same(key: CreateKey, part: int) -> None:
    total = failpoints(key)
    assert total > 100
    for at in range(1 + part, total + 1, PARTS):
        kill = Kill(at)
        run(key, kill)
        assert kill.deaths == 1


@pytest.mark.parametrize("key", KEYS)
def test_killed_again_while_it_recovers_it_goes_on_and_ends_the_same(key: CreateKey) -> None:
    for kill in again(key):
        run(key, kill)
