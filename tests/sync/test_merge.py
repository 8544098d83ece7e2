"""Fields that both sides changed: asked about, decided, united, frozen. The planner alone, and a whole event's trees."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.model.canonical import FIELDS, attendees, compact, same
from engine.model.modules import Direction, Module, Side
from engine.model.policy import ConflictRule, ModuleSettings, Policy
from engine.sync.merge import BOUNCES, PastWrite, Ruling, bounced, union
from engine.sync.reconcile import Decision, Rules, Tree, View, reconcile

MANY = settings(max_examples=300, deadline=None)
EVENT = FIELDS[Module.APPOINTMENT]
NAMES = frozenset({"subject", "body", "location", "start", "end", "attendees", "private"})
ASK = Rules(NAMES, dict.fromkeys(Side, NAMES), conflict=ConflictRule.ASK)
UNION = replace(ASK, conflict=ConflictRule.UNION)


def guests(*names: str) -> list[dict[str, Any]] | None:
    """Attendees; ``ann?`` is optional."""
    return attendees(
        {"email": f"{name.removesuffix('?')}@x.test", "optional": name.endswith("?")} for name in names
    )


def at(hour: int) -> dict[str, Any]:
    return {"utc": f"2026-11-23T{hour:02}:00:00Z", "zone": "Europe/Berlin"}


def view(modified: int = 0, **values: Any) -> View:
    return View(True, compact(values), etag="1", remote_id="x", modified=modified)


def plan(base: Any, crm: View, mailbox: View, rules: Rules = ASK, **tree: Any) -> Decision:
    return reconcile(Tree(1, Module.APPOINTMENT, base, crm, mailbox, **tree), rules)


def patches(decision: Decision) -> dict[tuple[Side, str], Any]:
    return {(write.side, name): value for write in decision.writes for name, value in write.patch.items()}


# -- asked -------------------------------------------------------------------------------------------------


def test_an_asked_field_stays_on_both_sides_while_the_others_flow() -> None:
    decision = plan({"subject": "a"}, view(subject="c", location="Kiel"), view(subject="m"))
    assert patches(decision) == {(Side.MAILBOX, "location"): "Kiel"}
    [ask] = decision.asks
    assert (ask.name, ask.crm, ask.base, ask.mailbox) == ("subject", "c", "a", "m")
    assert decision.base == {"subject": "a"}
    assert decision.writes[0].target == {"subject": "m", "location": "Kiel"}
    assert not decision.lost


def test_a_first_meeting_asks_only_where_both_have_a_value() -> None:
    decision = plan(None, view(subject="c", location="Kiel"), view(subject="m"))
    assert [ask.name for ask in decision.asks] == ["subject"]
    assert patches(decision) == {(Side.MAILBOX, "location"): "Kiel"}


def test_nobody_is_asked_what_only_one_side_can_decide() -> None:
    one_way = replace(ASK, direction=Direction.TO_MAILBOX)
    assert not plan({"subject": "a"}, view(subject="c"), view(subject="m"), one_way).asks


def test_nobody_is_asked_about_the_text_of_a_private_item() -> None:
    decision = plan({"body": "a"}, view(body="c"), view(2, body="m", private=True))
    assert not [ask for ask in decision.asks if ask.name == "body"]


def test_start_and_end_wait_for_each_other() -> None:
    base = {"start": at(9), "end": at(10)}
    crm, mailbox = view(start=at(14), end=at(15)), view(start=at(11), end=at(10))
    decision = plan(base, crm, mailbox)
    assert not decision.writes
    assert {ask.name for ask in decision.asks} == {"start", "end"}
    ruling = {"start": Ruling(at(14), at(11), at(14), "alice")}
    half = plan(base, crm, replace(mailbox, fields={"start": at(11), "end": at(12)}), rulings=ruling)
    assert not half.writes
    assert {ask.name for ask in half.asks} == {"start", "end"}
    ruling["end"] = Ruling(at(15), at(12), at(15), "alice")
    whole = plan(base, crm, replace(mailbox, fields={"start": at(11), "end": at(12)}), rulings=ruling)
    assert patches(whole) == {(Side.MAILBOX, "start"): at(14), (Side.MAILBOX, "end"): at(15)}


# -- decided -----------------------------------------------------------------------------------------------

SEEN = Ruling("c", "m", None, "alice")


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        ("c", {Side.MAILBOX: "c"}),
        ("m", {Side.CRM: "m"}),
        ("x", {Side.MAILBOX: "x", Side.CRM: "x"}),
        (None, {Side.MAILBOX: None, Side.CRM: None}),
    ],
)
def test_what_was_decided_is_written_and_each_loser_journalled(value: Any, wanted: dict[Side, Any]) -> None:
    ruling = {"subject": replace(SEEN, value=value)}
    decision = plan({"subject": "a"}, view(subject="c"), view(subject="m"), rulings=ruling)
    assert patches(decision) == {(side, "subject"): one for side, one in wanted.items()}
    assert {(lost.side, lost.value, lost.why) for lost in decision.lost} == {
        (side, "c" if side is Side.CRM else "m", "decided by alice") for side in wanted
    }
    assert not decision.asks
    assert not decision.conflict
    assert decision.base == {"subject": "a"}, "the base follows when both sides show it"


def test_a_decision_that_was_half_carried_out_is_carried_out_whole() -> None:
    ruling = {"subject": replace(SEEN, value="x")}
    decision = plan({"subject": "a"}, view(subject="c"), view(subject="x"), rulings=ruling)
    assert patches(decision) == {(Side.CRM, "subject"): "x"}


def test_a_decision_about_values_that_are_gone_is_asked_again() -> None:
    ruling = {"subject": replace(SEEN, value="c")}
    decision = plan({"subject": "a"}, view(subject="c"), view(subject="later"), rulings=ruling)
    assert not decision.writes
    assert [ask.mailbox for ask in decision.asks] == ["later"]


# -- united ------------------------------------------------------------------------------------------------


def test_a_union_keeps_what_both_kept_and_what_either_added() -> None:
    base = {"attendees": guests("ann", "bob", "cid")}
    crm, mailbox = view(attendees=guests("ann", "bob", "dan")), view(attendees=guests("ann", "cid", "eve"))
    wanted = guests("ann", "dan", "eve")
    assert patches(plan(base, crm, mailbox, UNION)) == {
        (side, "attendees"): wanted for side in (Side.CRM, Side.MAILBOX)
    }


def test_one_person_is_one_attendee_and_the_edit_of_either_side_counts() -> None:
    base = {"attendees": guests("ann", "bob")}
    decision = plan(
        base, view(1, attendees=guests("ann?", "bob")), view(2, attendees=guests("ann", "bob", "eve")), UNION
    )
    assert patches(decision)[Side.CRM, "attendees"] == guests("ann?", "bob", "eve")


def test_a_single_value_cannot_be_united_so_that_the_newer_wins() -> None:
    decision = plan({"subject": "a"}, view(1, subject="c"), view(2, subject="m"), UNION)
    assert patches(decision) == {(Side.CRM, "subject"): "m"}
    assert decision.conflict


def test_the_rule_of_a_field_comes_before_that_of_its_module_and_its_policy() -> None:
    policy = Policy(
        "p",
        "c",
        "m",
        conflict=ConflictRule.UNION,
        modules={
            Module.APPOINTMENT: ModuleSettings(conflicts={"start": ConflictRule.ASK}),
            Module.TASK: ModuleSettings(conflict=ConflictRule.CRM, conflicts={"due": ConflictRule.MAILBOX}),
        },
    )
    found = {name: policy.rule(Module.APPOINTMENT, name) for name in ("attendees", "subject", "start", "end")}
    assert found == {"attendees": "union", "subject": "newest", "start": "ask", "end": "ask"}
    assert (policy.rule(Module.TASK, "due"), policy.rule(Module.TASK, "subject")) == ("mailbox", "crm")


# -- frozen ------------------------------------------------------------------------------------------------

TITLE = FIELDS[Module.CONTACT]["title"]


def writes(*steps: tuple[str, str, str]) -> list[PastWrite]:
    return [
        PastWrite(side, {"title": old}, {"title": new}, number)
        for number, (side, old, new) in enumerate(steps, 1)
    ]


QUARREL = writes(("crm", "A", "B"), ("mailbox", "B", "A"), ("crm", "A", "B"), ("mailbox", "B", "A"))


def test_what_went_back_and_forth_three_times_goes_no_further() -> None:
    assert BOUNCES == 3
    for known in range(4):
        assert not bounced(
            TITLE, QUARREL[:known], *("crm", "A", "B") if known % 2 == 0 else ("mailbox", "B", "A"), 0
        )
    assert bounced(TITLE, QUARREL, "crm", "A", "B", 0)
    assert not bounced(TITLE, QUARREL, "crm", "A", "C", 0), "a value that is new is an edit"
    assert not bounced(TITLE, QUARREL, "crm", "A", "B", 2), "what came before a decision does not count"


def test_a_person_who_changes_his_mind_again_and_again_is_not_stopped() -> None:
    mind = writes(*((("crm", "A", "B"), ("crm", "B", "A")) * 5))
    assert not bounced(TITLE, mind, "crm", "A", "B", 0)


def test_a_frozen_field_is_asked_about_although_only_one_side_changed() -> None:
    decision = plan(
        {"subject": "a"},
        view(subject="a"),
        view(subject="m", location="Kiel"),
        UNION,
        frozen={"subject": "why"},
    )
    assert [(ask.name, ask.why) for ask in decision.asks] == [("subject", "why")]
    assert patches(decision) == {(Side.CRM, "location"): "Kiel"}


# -- properties ----------------------------------------------------------------------------------------------

PEOPLE = ("ann", "bob", "cid", "dan")


def some_event(dice: random.Random, near: dict[str, Any]) -> dict[str, Any]:
    fresh = {
        "subject": dice.choice((None, "a", "b", "c")),
        "body": dice.choice((None, "x", "y")),
        "start": at(dice.randint(8, 10)),
        "end": at(dice.randint(11, 13)),
        "private": dice.random() < 0.2,
        "attendees": guests(*(name + "?" * (dice.random() < 0.3) for name in PEOPLE if dice.random() < 0.5)),
    }
    return compact({name: fresh[name] if dice.random() < 0.5 else near.get(name) for name in fresh})


def some_tree(seed: int) -> tuple[Tree, Rules]:
    dice = random.Random(seed)
    base = some_event(dice, {}) if dice.random() < 0.8 else None
    crm, mailbox = (view(dice.randint(0, 3), **some_event(dice, base or {})) for _ in range(2))
    rulings = {
        name: Ruling(
            crm.fields.get(name) if dice.random() < 0.8 else "other",
            mailbox.fields.get(name),
            dice.choice((crm.fields.get(name), mailbox.fields.get(name), (base or {}).get(name))),
            "alice",
        )
        for name in ("subject", "start", "attendees")
        if dice.random() < 0.4
    }
    if any("other" in (one.crm, one.value) for name, one in rulings.items() if name != "subject"):
        rulings = {}
    frozen = {name: "bounced" for name in ("subject", "end") if dice.random() < 0.15}
    rules = replace(
        ASK,
        conflict=dice.choice(list(ConflictRule)),
        conflicts={name: dice.choice(list(ConflictRule)) for name in NAMES if dice.random() < 0.3},
    )
    return Tree(1, Module.APPOINTMENT, base, crm, mailbox, rulings, frozen), rules


trees = st.integers(0, 2**32).map(some_tree)


def carried_out(tree: Tree, decision: Decision) -> Tree:
    """Both writes made and answered: the base follows for what was written to one side alone."""
    sides = {Side.CRM: tree.crm, Side.MAILBOX: tree.mailbox}
    base = dict(decision.base or {})
    for write in decision.writes:
        old = sides[write.side]
        assert old is not None
        sides[write.side] = replace(old, fields=compact({**old.fields, **write.patch}), modified=9)
        base |= {name: value for name, value in write.patch.items() if name not in decision.both}
    return replace(tree, base=compact(base), crm=sides[Side.CRM], mailbox=sides[Side.MAILBOX])


@MANY
@given(trees)
def test_asking_and_uniting_are_idempotent_once_carried_out(pair: tuple[Tree, Rules]) -> None:
    tree, rules = pair
    first = reconcile(tree, rules)
    assert first == reconcile(tree, rules)
    again = reconcile(carried_out(tree, first), rules)
    assert not again.writes
    assert not again.lost
    assert {one.name for one in again.asks} == {one.name for one in first.asks}


@MANY
@given(trees)
def test_either_write_alone_then_a_crash_ends_in_the_same_place(pair: tuple[Tree, Rules]) -> None:
    tree, rules = pair
    whole = carried_out(tree, reconcile(tree, rules))
    for kept in Side:
        decision = reconcile(tree, rules)
        cut = replace(decision, writes=tuple(one for one in decision.writes if one.side is kept))
        # A crash voids the write that was not made; its link is planned afresh.
        after = carried_out(tree, cut)
        end = carried_out(after, reconcile(after, rules))
        for name in decision.both:
            for one, other in ((end.crm, whole.crm), (end.mailbox, whole.mailbox)):
                assert one is not None
                assert other is not None
                assert same(EVENT[name].kind, one.fields.get(name), other.fields.get(name))


@MANY
@given(trees)
def test_asking_and_uniting_treat_the_sides_alike(pair: tuple[Tree, Rules]) -> None:
    tree, rules = pair
    assert tree.crm is not None
    assert tree.mailbox is not None
    if tree.crm.modified == tree.mailbox.modified:
        return
    swap = {ConflictRule.CRM: ConflictRule.MAILBOX, ConflictRule.MAILBOX: ConflictRule.CRM}
    mirror = replace(
        tree,
        crm=tree.mailbox,
        mailbox=tree.crm,
        rulings={name: replace(one, crm=one.mailbox, mailbox=one.crm) for name, one in tree.rulings.items()},
    )
    turned = replace(
        rules,
        conflict=swap.get(rules.conflict, rules.conflict),
        conflicts={name: swap.get(rule, rule) for name, rule in rules.conflicts.items()},
    )
    one, other = reconcile(tree, rules), reconcile(mirror, turned)
    assert {ask.name for ask in one.asks} == {ask.name for ask in other.asks}
    there = {(side.other, name): value for (side, name), value in patches(other).items()}
    assert patches(one).keys() == there.keys()
    for key, value in patches(one).items():
        assert same(EVENT[key[1]].kind, value, there[key])


@MANY
@given(st.integers(0, 2**32))
def test_a_union_loses_nobody_whom_somebody_added_or_both_kept(seed: int) -> None:
    dice = random.Random(seed)
    base, crm, mailbox = (guests(*(name for name in PEOPLE if dice.random() < 0.5)) for _ in range(3))
    kind = EVENT["attendees"].kind
    merged = union(kind, base, crm, mailbox, mailbox_newer=dice.random() < 0.5)

    def who(rows: Any) -> set[str]:
        return {row["email"] for row in rows or ()}

    assert who(merged) == (who(base) & who(crm) & who(mailbox)) | (who(crm) - who(base)) | (
        who(mailbox) - who(base)
    )
    for side in (crm, mailbox):
        assert same(kind, union(kind, base, side, merged, mailbox_newer=True) or [], merged or [])
