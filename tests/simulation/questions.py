"""Conflict rules that ask and unite, people who invite guests, and an admin who decides what waits in the inbox.

A third of the seeds, but for some that found a bug before there were questions, whose stories stay as they were.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from engine.ledger import conflicts
from engine.ledger import fence as fences
from engine.ledger.conflicts import Verdict
from engine.ledger.fence import Fence
from engine.model.canonical import FIELDS, SEVERAL, Kind, attendees
from engine.model.modules import Module
from engine.model.policy import ConflictRule, Policy
from tests.sync.fakes import OBJECT_OF, Thing, place_of

PLAIN = frozenset({10, 37, 75, 254, 2747, 3940, 4798, 7144})

TOKEN = re.compile(r"v\d+")

if TYPE_CHECKING:
    from tests.simulation.people import People
    from tests.simulation.world import SimWorld


def with_questions(policy: Policy, number: int) -> Policy:
    """The policy of a seed, whose admin may want to be asked, or lists to be united."""
    dice = random.Random(f"{number} asks")
    if number in PLAIN or dice.random() > 0.33:
        return policy
    modules = {
        module: replace(settings, conflicts=_rules(dice, module)) for module, settings in policy.modules.items()
    }
    whole = dice.choice((policy.conflict, ConflictRule.ASK, ConflictRule.UNION))
    return replace(policy, conflict=whole, modules=modules)


def _rules(dice: random.Random, module: Module) -> Mapping[str, ConflictRule]:
    single = [one for one in ConflictRule if one is not ConflictRule.UNION]
    return {
        name: dice.choice([*ConflictRule] if field.kind in SEVERAL else single)
        for name, field in FIELDS[module].items()
        if dice.random() < 0.2 or field.kind in SEVERAL
    }


def invites(people: People, thing: Thing) -> bool:
    """Whether somebody changes the guests of this item rather than another field."""
    rule = people.world.policy.rule(thing.module, "attendees") if thing.module is Module.APPOINTMENT else None
    return rule in {ConflictRule.UNION, ConflictRule.ASK} and people.dice.random() < 0.5


def invite(people: People, provider: Any, where: str, thing: Thing) -> None:
    """Invite somebody, or take out a guest who was invited: who is added must not be lost."""
    guests = list(thing.fields.get("attendees") or ())
    if guests and people.dice.random() < 0.3:
        out = guests.pop(people.dice.randrange(len(guests)))
        people.seen.add(out["email"].partition("@")[0])
        said = f"takes out {out['email']}"
    else:
        guests.append({"email": f"{people.token()}@x.test"})
        said = f"invites {guests[-1]['email']}"
    provider.edit(where, thing.id, attendees=attendees(guests))
    people.world.note("person", provider.side, said, "of", thing.id)


def quarrel(people: People, provider: Any, thing: Thing, field: str) -> None:
    """Somebody on the other side changes the same field before a cycle comes by, where the admin wants to be asked."""
    world, dice = people.world, people.dice
    if world.policy.rule(thing.module, field) is not ConflictRule.ASK or dice.random() < 0.4:
        return
    other: Any = world.mail if provider is world.crm else world.crm
    keys = {match_of(thing)}
    for email in world.people:
        for twin in other.of(email, thing.module):
            if match_of(twin) in keys and twin.parent is None and thing.parent is None:
                where = OBJECT_OF[thing.module] if other is world.crm else f"{email}/{place_of(thing.module)}"
                if (where, twin.id) in people.own:
                    continue
                people.seen |= set(TOKEN.findall(str(twin.fields.get(field))))
                value = people.token()
                other.edit(where, twin.id, **{field: value})
                world.note("person", other.side, "edits as well", twin.id, field, value)
                return


def match_of(thing: Thing) -> str:
    """By what an item is the same on both sides: its name."""
    return str(thing.fields.get("family") or thing.fields.get("subject"))


async def decide_all(world: SimWorld, *, sample: bool = False) -> int:
    """Decide about every conflict that waits, or about a part of them; how many that were."""
    decided = 0
    for mailbox_id, _ in world.rows("SELECT id, email FROM mailbox ORDER BY id"):
        found = await world.store.read(conflicts.listed, [mailbox_id])
        if sample:
            found = [one for one in found if world.dice.random() < 0.5]
        if not found:
            continue
        decided += len(found)
        verdicts = [_verdict(world, one.module, one.conflict) for one in found]
        epoch = await world.store.read(fences.epoch, world.policy.name, mailbox_id)
        fence = Fence(world.policy.name, mailbox_id, epoch)
        done = await world.store.write(conflicts.decide, fence, verdicts, "admin", world.clock.now_ms())
        for one in verdicts:
            world.note(
                "admin", "conflict", one.id, one.choice, one.value, "decided" if one.id in done else "over"
            )
    return decided


def _verdict(world: SimWorld, module: str, conflict: conflicts.Conflict) -> Verdict:
    """One side's value, or another: a text of the admin's own, or the one that was last agreed."""
    choice = world.dice.choice(("crm", "mailbox", "edit"))
    if choice != "edit":
        return Verdict(conflict.id, choice, getattr(conflict, choice))
    kind = FIELDS[Module(module)][conflict.field].kind
    # Not a value that must not be lost: it stands nowhere until both sides have it, and another decision may replace it.
    value = f"chosen for {conflict.id}" if kind is Kind.TEXT else conflict.base
    return Verdict(conflict.id, choice, value if value is not None else conflict.crm)
