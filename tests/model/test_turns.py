"""Long work is cut into slices: others come in between, and the results are those of a plain loop."""

from __future__ import annotations

import asyncio

import pytest

from engine.model.turns import SLICE, in_slices


async def test_others_have_their_turn_in_every_slice() -> None:
    turns: list[int] = []
    done: list[int] = []

    async def other() -> None:
        while len(done) < 5 * SLICE:
            turns.append(len(done))
            await asyncio.sleep(0)

    def work(number: int) -> int:
        done.append(number)
        return -number

    waits = asyncio.ensure_future(other())
    assert await in_slices(work, range(5 * SLICE + 7)) == [-number for number in range(5 * SLICE + 7)]
    await waits
    assert max(after - before for before, after in zip([0, *turns], turns, strict=False)) <= SLICE


async def test_a_fault_is_the_callers() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_slices(lambda number: 1 // number, [1, 0])
