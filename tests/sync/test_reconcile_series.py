"""The planner on series and their changed occurrences: rules that differ in text, starts that move, either side deleted."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.canonical import FIELDS, compact, same
from engine.model.modules import Direction, Module, Side
from engine.model.policy import ConflictRule, DeleteMode
from engine.sync.reconcile import Rules, Tree, Verdict, View, reconcile
from tests.sync.test_reconcile import carried_out, mirrored

NAMES = ("subject", "start", "rule", "location", "cancelled")
TABLE = FIELDS[Module.APPOINTMENT]
MANY = settings(max_examples=500, deadline=None)

#: The first three list the same days.
RULES = (
    ["RRULE:FREQ=DAILY;COUNT=3"],
    ["RRULE:COUNT=3;FREQ=DAILY"],
    ["RRULE:FREQ=DAILY;COUNT=3;INTERVAL=1"],
    ["RRULE:FREQ=DAILY;COUNT=4"],
    ["RRULE:FREQ=DAILY;COUNT=3", "EXDATE:20260106T090000"],
    ["RRULE:FREQ=WEEKLY;BYDAY=MO"],
)


def _fields(dice: random.Random) -> dict[str, Any]:
    day = dice.choice((5, 6))
    zone = dice.choice(("UTC", "Europe/Berlin"))
    return compact(
        {
            "subject": dice.choice(("a", "b")),
            "start": dice.choice(
                ({"utc": f"2026-01-{day:02d}T09:00:00Z", "zone": zone}, {"date": f"2026-01-{day:02d}"})
            ),
            "rule": dice.choice((None, *({"lines": lines} for lines in RULES))),
            "location": dice.choice((None, "x", "y")),
            "cancelled": dice.choice((None, False, True)),
        }
    )


def _view(dice: random.Random, near: dict[str, Any] | None) -> View | None:
    if dice.random() < 0.15:
        return None
    fresh = _fields(dice)
    changed = dice.sample(NAMES, dice.randint(0, 3))
    values = compact({**(near or {}), **{name: fresh.get(name) for name in changed}})
    return View(dice.random() < 0.8, values, {}, "1", "x", dice.choice((None, 1, 2, 3)))


def _case(seed: int) -> tuple[Tree, Rules]:
    dice = random.Random(seed)
    base = dice.choice((None, _fields(dice)))
    every = frozenset(NAMES)
    how = Rules(
        every,
        dict.fromkeys(Side, every),
        direction=dice.choice(list(Direction)),
        conflict=dice.choice((ConflictRule.NEWEST, ConflictRule.CRM, ConflictRule.MAILBOX)),
        deletes={side: dice.choice((DeleteMode.NEVER, DeleteMode.MIRROR)) for side in Side},
    )
    return Tree(1, Module.APPOINTMENT, base, _view(dice, base), _view(dice, base)), how


cases = st.integers(0, 2**32).map(_case)


@MANY
@given(cases)
def test_a_plan_is_pure_and_once_carried_out_nothing_is_left(case: tuple[Tree, Rules]) -> None:
    tree, how = case
    decision = reconcile(tree, how)
    assert decision == reconcile(tree, how)
    again = reconcile(carried_out(tree, decision), how)
    assert (again.writes, again.lost) == ((), ())


@MANY
@given(cases)
def test_two_live_sides_and_the_base_agree_within_two_rounds(case: tuple[Tree, Rules]) -> None:
    tree, how = case
    if tree.crm is None or tree.mailbox is None:
        return
    tree = replace(tree, crm=replace(tree.crm, live=True), mailbox=replace(tree.mailbox, live=True))
    how = replace(how, direction=Direction.BOTH)
    for _ in range(2):
        decision = reconcile(tree, how)
        tree = carried_out(tree, decision)
    last = reconcile(tree, how)
    assert last.verdict is Verdict.AGREED
    assert tree.crm is not None
    assert tree.mailbox is not None
    for name in NAMES:
        kind = TABLE[name].kind
        crm, mailbox = tree.crm.fields.get(name), tree.mailbox.fields.get(name)
        assert same(kind, crm, mailbox)
        assert same(kind, crm, (last.base or {}).get(name))


@MANY
@given(cases)
def test_series_are_treated_alike_on_both_sides_but_for_policy(case: tuple[Tree, Rules]) -> None:
    tree, how = case
    times = [view.modified or 0 for view in (tree.crm, tree.mailbox) if view is not None]
    if len(times) == 2 and times[0] == times[1]:
        return  # a tie goes to the CRM, by policy
    one, other = reconcile(tree, how), reconcile(*mirrored(tree, how))
    assert one.verdict == other.verdict
    assert {(write.side, write.kind) for write in one.writes} == {
        (write.side.other, write.kind) for write in other.writes
    }


@MANY
@given(cases)
def test_rules_that_list_the_same_days_are_never_written(case: tuple[Tree, Rules]) -> None:
    tree, how = case
    for write in reconcile(tree, how).writes:
        if write.kind == "update" and "rule" in write.patch:
            assert not same(TABLE["rule"].kind, write.before.get("rule"), write.patch["rule"])
