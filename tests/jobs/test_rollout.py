"""Waves of a roll-out: who is in which, when one is judged, and what stops it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.jobs import rollout
from engine.jobs.rollout import Member, Progress, Stage, Tally
from engine.model.policy import Rollout
from engine.model.states import Move

SETTING = Rollout(waves=(1, 2, 0))
NEW = [Member(key, "new", None) for key in range(1, 7)]


def begun() -> Progress:
    progress, _ = rollout.begin(SETTING, None, "rules", NEW)
    assert progress is not None
    return progress


def judged(tally: Tally, *, ask: bool = True, items: int = 100, differ: int = 0) -> Progress:
    progress = rollout.tallied(begun(), 1, tally)
    setting = replace(SETTING, ask=ask)
    return rollout.judged(progress, setting, {1: "ann"}, items=items, differ=differ, checks=11)


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ((1, 2, 0), {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 3}),
        ((1,), {1: 1, 2: 2, 3: 2, 4: 2, 5: 2, 6: 2}),
        ((4, 4, 4), {1: 1, 2: 1, 3: 1, 4: 1, 5: 2, 6: 2}),
        ((0,), dict.fromkeys(range(1, 7), 1)),
    ],
)
def test_mailboxes_are_put_into_waves_in_order(sizes: tuple[int, ...], wanted: dict[int, int]) -> None:
    assert rollout.waves(Rollout(waves=sizes), range(1, 7)) == wanted


def test_a_first_sync_begins_with_the_first_wave_and_a_running_policy_with_nobody_held_back() -> None:
    progress, placed = rollout.begin(SETTING, None, "rules", NEW)
    assert progress is not None
    assert (progress.stage, progress.wave, progress.waves) == (Stage.RUNNING, 1, 3)
    assert placed == {1: 1, 2: 2, 3: 2, 4: 3, 5: 3, 6: 3}
    assert [one for one in placed if rollout.admits(progress, placed[one])] == [1]
    ready = [replace(one, phase="ready") for one in NEW]
    progress, placed = rollout.begin(SETTING, None, "rules", ready)
    assert progress is not None
    assert (progress.stage, placed) == (Stage.DONE, {})
    # Then its rules change: they reach the first wave only.
    progress, placed = rollout.begin(SETTING, progress, "other rules", ready)
    assert progress is not None
    assert (progress.stage, progress.wave) == (Stage.RUNNING, 1)
    assert placed[6] == 3


def test_who_joins_waits_for_the_last_wave_and_for_nobody_once_all_are_through() -> None:
    joined = [replace(one, wave=1 if one.id == 1 else 2) for one in NEW[:3]] + [Member(9, "new", None)]
    progress, placed = rollout.begin(SETTING, begun(), "rules", joined)
    assert placed == {9: 3}
    assert progress == begun()
    assert rollout.begin(SETTING, replace(begun(), stage=Stage.DONE), "rules", joined)[1] == {}
    # A roll-out that is taken out of the configuration lets everybody go.
    assert rollout.begin(Rollout(), begun(), "rules", joined) == (None, {1: None, 2: None, 3: None})


def test_a_wave_is_judged_when_all_its_mailboxes_have_shown_how_they_fare() -> None:
    progress = begun()
    assert not rollout.finished(progress, [1])
    passing = Tally(fault="503", failures=1)
    assert not rollout.finished(rollout.tallied(progress, 1, passing), [1]), "it may pass by itself"
    assert rollout.finished(rollout.tallied(progress, 1, replace(passing, failures=3)), [1])
    assert rollout.finished(rollout.tallied(progress, 1, replace(passing, people=True)), [1])
    assert rollout.finished(rollout.tallied(progress, 1, Tally(written=3)), [1])


@pytest.mark.parametrize(
    ("tally", "differ", "why"),
    [
        (Tally(fault="no access", people=True), 0, "1 of 1 mailboxes of wave 1 failed, more than the 5 %"),
        (Tally(written=100, deleted=2), 0, "deleted or would delete 2 of 102 items, more than the 1 %"),
        (Tally(written=90, failed=10), 0, "10 of 100 items of wave 1 were refused"),
        (Tally(written=100), 1, "1 of 11 checks differ when wave 1 is read back"),
    ],
)
def test_what_is_too_bad_stops_the_roll_out_with_its_reason(tally: Tally, differ: int, why: str) -> None:
    after = judged(tally, differ=differ, ask=False)
    assert after.stage is Stage.STOPPED
    assert why in after.why
    assert "stopped at wave 1 of 3" in rollout.said(after)
    assert "stopped" in rollout.held_back(after, 2)


def test_a_good_wave_is_followed_by_the_next_one_by_itself_or_when_an_admin_says_so() -> None:
    good = Tally(written=96, failed=4)
    assert judged(good, ask=False).wave == 2
    asks = judged(good)
    assert (asks.stage, asks.wave) == (Stage.ASKS, 1)
    assert "wave 2 of 3 waits for you" in rollout.said(asks)
    after, refusal = rollout.moved(asks, Move.NEXT, "alice")
    assert after is not None
    assert (after.stage, after.wave, refusal) == (Stage.RUNNING, 2, "")
    assert rollout.held_back(after, 3) == "waits for wave 3 of 3"
    assert "still under way" in rollout.moved(after, Move.NEXT, "alice")[1]
    stopped, _ = rollout.moved(after, Move.STOP, "alice")
    assert stopped is not None
    assert "stopped by alice" in rollout.said(stopped)
    assert rollout.read(stopped.doc()) == stopped
    done, _ = rollout.moved(stopped, Move.ALL, "alice")
    assert done is not None
    assert rollout.held_back(done, 3) == ""
    assert "no roll-out" in rollout.moved(done, Move.NEXT, "alice")[1]
