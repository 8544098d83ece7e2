"""A roll-out on the policy's page: how far it is, why it stopped, and the key that goes on with it."""

from __future__ import annotations

import pytest

from engine.service import Move, RollOut
from tests.screens.conftest import Build
from tests.screens.test_faults import at_keys
from tests.screens.test_snapshots import LARGE, SMALL, keys

STOPPED = (
    "stopped at wave 1 of 3: 1 of 1 mailboxes of wave 1 failed, more than the 5 % that the policy allows. "
    "t.nowak@example.com: contacts+leads: Google People: The caller does not have permission"
)
ASKS = "wave 1 was good: 1 mailbox, 812 items; wave 2 of 3 waits for you"


@pytest.mark.parametrize("size", [SMALL, LARGE], ids=["80x24", "140x40"])
@pytest.mark.parametrize("stage", ["asks", "stopped"])
def test_policies(snap_compare, build: Build, stage: str, size: tuple[int, int]) -> None:
    app = build("running")
    row = app.engine.store.policies["Marketing"]
    row.rollout, row.rollout_stage = (ASKS if stage == "asks" else STOPPED), stage
    assert snap_compare(app, terminal_size=size, run_before=keys())


async def test_the_next_wave_is_admitted_after_a_confirmation_and_only_where_one_waits(build: Build) -> None:
    async with at_keys(build) as user:
        row = user.service.store.policies["Marketing"]
        await user.press("O")
        await user.sees(f"No roll-out of {row.id} is under way")
        row.rollout, row.rollout_stage = ASKS, "asks"
        await user.press("O", "y")
        assert user.commands == [RollOut(row.id, Move.NEXT)]
        await user.press("X", "y")
        assert user.commands[1:] == [RollOut(row.id, Move.STOP)]
