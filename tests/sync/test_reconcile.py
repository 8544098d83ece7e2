"""The planner as a pure function: properties over random trees, and the cases of the table in words."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.canonical import FIELDS, compact, same
from engine.model.modules import Direction, Module, Side
from engine.model.policy import ConflictRule, DeleteMode
from engine.model.port import WriteKind
from engine.sync.reconcile import Decision, Rules, Tree, Verdict, View, after_write, reconcile

NAMES = ("title", "company", "email", "phone_work")
TABLE = FIELDS[Module.CONTACT]
#: Of each property; together with the series of test_reconcile_series.py far more than 5,000 in every run.
MANY = settings(max_examples=700, deadline=None)

TEXTS = (None, "a", "b", "c")


def some_fields(dice: random.Random) -> dict[str, Any]:
    phone = dice.choice((None, "030 123456", "+49 30 123456"))
    return compact(
        {
            "title": dice.choice(TEXTS),
            "company": dice.choice(TEXTS),
            "email": dice.choice((None, "A@x.test", "a@x.test", "b@x.test")),
            "phone_work": phone and {"raw": phone, "e164": "+4930123456"},
        }
    )


def some_view(dice: random.Random, near: dict[str, Any] | None, *, read_only: bool) -> View | None:
    """A side: never there, deleted, as the base, or edited."""
    if dice.random() < 0.15:
        return None
    values = {**(near or {}), **dict.fromkeys(dice.sample(NAMES, dice.randint(0, 4)))}
    fresh = some_fields(dice)
    values = compact({name: fresh.get(name) if value is None else value for name, value in values.items()})
    modified = dice.choice((None, 0, 1, 2, 3))
    return View(dice.random() < 0.8, values, {}, "1", "x", modified, read_only and dice.random() < 0.3)


def some_tree(seed: int) -> Tree:
    # One number is drawn per example, since drawing every field apart is a hundred times slower.
    dice = random.Random(seed)
    base = dice.choice((None, some_fields(dice)))
    crm, mailbox = (some_view(dice, base, read_only=flag) for flag in (False, True))
    return Tree(1, Module.CONTACT, base, crm, mailbox)


def some_rules(seed: int) -> Rules:
    dice = random.Random(seed)
    every = frozenset(NAMES)
    return Rules(
        shared=every,
        writable={
            side: dice.choice((every, frozenset(dice.sample(NAMES, dice.randint(0, 4))))) for side in Side
        },
        direction=dice.choice(list(Direction)),
        conflict=dice.choice(list(ConflictRule)),
        deletes={side: dice.choice(list(DeleteMode)) for side in Side},
        conflicts={name: dice.choice(list(ConflictRule)) for name in NAMES if dice.random() < 0.3},
    )


def trees() -> st.SearchStrategy[Tree]:
    return st.integers(0, 2**32).map(some_tree)


rules = st.integers(0, 2**32).map(some_rules)
BOTH_WAYS = Rules(frozenset(NAMES), dict.fromkeys(Side, frozenset(NAMES)))


def carried_out(tree: Tree, decision: Decision) -> Tree:
    """The tree after everything planned was written and answered."""
    base = tree.base if decision.base is None else decision.base
    sides: dict[Side, View | None] = {Side.CRM: tree.crm, Side.MAILBOX: tree.mailbox}
    for write in decision.writes:
        old = sides[write.side]
        if write.kind is WriteKind.CREATE:
            sides[write.side] = View(True, write.patch, etag="1", remote_id="new", modified=9)
            base = write.patch
            continue
        assert old is not None
        if write.kind is WriteKind.DELETE:
            sides[write.side] = replace(old, live=False)
            continue
        sides[write.side] = replace(old, fields=compact({**old.fields, **write.patch}), modified=9)
        base = compact({**(base or {}), **write.patch})
    return Tree(tree.link_id, tree.module, base, sides[Side.CRM], sides[Side.MAILBOX])


@MANY
@given(trees(), rules)
def test_the_plan_depends_on_nothing_but_its_input(tree: Tree, how: Rules) -> None:
    assert reconcile(tree, how) == reconcile(tree, how)


@MANY
@given(trees(), rules)
def test_once_carried_out_nothing_is_left_to_write(tree: Tree, how: Rules) -> None:
    after = carried_out(tree, reconcile(tree, how))
    again = reconcile(after, how)
    assert again.writes == ()
    assert again.lost == ()


@MANY
@given(trees(), st.sampled_from(ConflictRule))
def test_two_live_sides_agree_after_one_round_and_so_does_the_base(tree: Tree, rule: ConflictRule) -> None:
    if tree.crm is None or tree.mailbox is None:
        return
    tree = replace(
        tree, crm=replace(tree.crm, live=True), mailbox=replace(tree.mailbox, live=True, read_only=False)
    )
    how = replace(BOTH_WAYS, conflict=rule)
    after = carried_out(tree, reconcile(tree, how))
    last = reconcile(after, how)
    assert last.verdict is Verdict.AGREED
    waits = {ask.name for ask in last.asks}
    assert not waits or rule is ConflictRule.ASK
    assert after.crm is not None
    assert after.mailbox is not None
    for name in NAMES:
        kind = TABLE[name].kind
        c, m, b = (fields_.get(name) for fields_ in (after.crm.fields, after.mailbox.fields, last.base or {}))
        if name in waits:
            assert same(kind, b, (tree.base or {}).get(name))
            continue
        assert same(kind, c, m)
        assert same(kind, c, b)


@MANY
@given(trees(), rules)
def test_no_value_that_somebody_wrote_is_overruled_without_a_journal_row(tree: Tree, how: Rules) -> None:
    decision = reconcile(tree, how)
    lost = {(row.side, row.name) for row in decision.lost}
    base = tree.base or {}
    for write in decision.writes:
        if write.kind is not WriteKind.UPDATE:
            continue
        for name, value in write.before.items():
            edited = value is not None and not (
                tree.base is not None and same(TABLE[name].kind, value, base.get(name))
            )
            assert not edited or (write.side, name) in lost
    for write in decision.writes:
        if write.kind is WriteKind.DELETE:
            view = tree.side(write.side)
            assert view is not None
            assert write.before == view.fields  # goes into the journal with the delete


@MANY
@given(trees(), rules)
def test_a_side_is_written_only_if_the_direction_and_the_provider_let_it(tree: Tree, how: Rules) -> None:
    for write in reconcile(tree, how).writes:
        assert how.direction.writes(write.side)
        view = tree.side(write.side)
        if view is not None and view.live:
            assert not view.read_only
        if write.kind is not WriteKind.DELETE:
            assert set(write.patch) <= how.writable[write.side]


@MANY
@given(trees(), rules)
def test_what_both_sides_show_becomes_the_base(tree: Tree, how: Rules) -> None:
    if tree.crm is None or tree.mailbox is None or not (tree.crm.live and tree.mailbox.live):
        return
    decision = reconcile(tree, how)
    for name in NAMES:
        c, m = tree.crm.fields.get(name), tree.mailbox.fields.get(name)
        if same(TABLE[name].kind, c, m):
            assert (decision.base or {}).get(name) == c


def mirrored(tree: Tree, how: Rules) -> tuple[Tree, Rules]:
    swap = {ConflictRule.CRM: ConflictRule.MAILBOX, ConflictRule.MAILBOX: ConflictRule.CRM}
    ways = {Direction.TO_CRM: Direction.TO_MAILBOX, Direction.TO_MAILBOX: Direction.TO_CRM}
    return replace(tree, crm=tree.mailbox, mailbox=tree.crm), replace(
        how,
        writable={side: how.writable[side.other] for side in Side},
        direction=ways.get(how.direction, how.direction),
        conflict=swap.get(how.conflict, how.conflict),
        conflicts={name: swap.get(rule, rule) for name, rule in how.conflicts.items()},
        deletes={side: how.deletes[side.other] for side in Side},
    )


@MANY
@given(trees(), rules)
def test_the_two_sides_are_treated_alike_but_for_policy(tree: Tree, how: Rules) -> None:
    times = [view.modified or 0 for view in (tree.crm, tree.mailbox) if view is not None]
    if len(times) == 2 and times[0] == times[1]:
        # A tie goes to the CRM, by policy.
        swap = {ConflictRule.NEWEST: ConflictRule.CRM, ConflictRule.UNION: ConflictRule.CRM}
        fields_ = {name: how.rule(TABLE[name]) for name in NAMES}
        how = replace(how, conflicts={name: swap.get(rule, rule) for name, rule in fields_.items()})
    if tree.mailbox is not None:
        tree = replace(tree, mailbox=replace(tree.mailbox, read_only=False))
    one, other = reconcile(tree, how), reconcile(*mirrored(tree, how))
    assert one.verdict == other.verdict

    def shape(decision: Decision, flip: bool) -> set[tuple[Any, ...]]:
        return {
            (write.side.other if flip else write.side, write.kind, str(sorted(write.patch.items())))
            for write in decision.writes
        }

    assert shape(one, False) == shape(other, True)


# -- in words --------------------------------------------------------------------------------------------


def view(modified: int = 0, **values: Any) -> View:
    return View(True, values, etag="1", remote_id="x", modified=modified)


GONE = View(False, {"title": "a"}, remote_id="x")


def plan(base: Any, crm: View | None, mailbox: View | None, **how: Any) -> Decision:
    return reconcile(Tree(1, Module.CONTACT, base, crm, mailbox), replace(BOTH_WAYS, **how))


def test_different_fields_edited_on_both_sides_are_both_kept() -> None:
    decision = plan({"title": "a"}, view(title="b"), view(title="a", company="c"))
    assert {(write.side, *write.patch.items()) for write in decision.writes} == {
        (Side.MAILBOX, ("title", "b")),
        (Side.CRM, ("company", "c")),
    }
    assert not decision.lost


@pytest.mark.parametrize(("rule", "winner"), [("newest", "m"), ("crm", "c"), ("mailbox", "m")])
def test_the_rule_decides_about_one_field_edited_on_both_sides(rule: str, winner: str) -> None:
    decision = plan({"title": "a"}, view(1, title="c"), view(2, title="m"), conflict=ConflictRule(rule))
    assert [write.patch for write in decision.writes] == [{"title": winner}]
    assert decision.conflict
    assert [(lost.name, lost.winner) for lost in decision.lost] == [("title", winner)]


def test_an_edit_beats_a_delete_on_either_side() -> None:
    for crm, mailbox in ((view(title="b"), GONE), (GONE, view(title="b"))):
        decision = plan({"title": "a"}, crm, mailbox, deletes=dict.fromkeys(Side, DeleteMode.MIRROR))
        assert [write.kind for write in decision.writes] == [WriteKind.CREATE]
        assert decision.lost


def test_an_unchanged_item_follows_a_delete_where_the_policy_mirrors_it() -> None:
    assert plan({"title": "a"}, GONE, view(title="a")).writes[0].kind is WriteKind.DELETE
    assert plan({"title": "a"}, view(title="a"), GONE).verdict is Verdict.ABSENT
    assert plan({"title": "a"}, GONE, GONE).verdict is Verdict.TOMBSTONE


def test_a_cleared_value_clears_the_other_side() -> None:
    decision = plan({"title": "a", "company": "c"}, view(company="c"), view(title="a", company="c"))
    assert [write.patch for write in decision.writes] == [{"title": None}]


def test_what_a_provider_made_of_our_value_is_no_edit_until_somebody_edits_it() -> None:
    accepted = after_write(Module.CONTACT, frozenset({"title"}), {"title": "a"}, {"title": "<a>"})
    rewritten = replace(view(title="<a>"), accepted=accepted)
    assert plan({"title": "a"}, view(title="a"), rewritten).verdict is Verdict.AGREED
    edited = replace(view(title="b"), accepted=accepted)
    assert [write.patch for write in plan({"title": "a"}, view(title="a"), edited).writes] == [{"title": "b"}]


def test_somebody_elses_meeting_is_neither_changed_nor_deleted_nor_copied() -> None:
    foreign = replace(view(title="a"), read_only=True)
    assert plan({"title": "a"}, view(title="b"), foreign).writes == ()
    assert plan({"title": "a"}, GONE, foreign).verdict is Verdict.ABSENT
    assert plan(None, None, foreign).verdict is Verdict.NOTHING
