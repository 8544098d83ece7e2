"""Delete Safety: a cycle that would delete too much waits for an admin; creates and updates go on (sync.md section 6).

How a delete was learned counts as much as how many there are: what went with its container, with a large part of its
source, or right after a refusal, is held whatever its number. Likewise creates of what the other side has already.

A cycle plans in rounds, and what it has read again or made meanwhile may bring deletes that no earlier round knew of. They
are counted together with those of the earlier rounds.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from engine.ledger import guarding as units
from engine.ledger import waiting
from engine.ledger.guarding import PlannedDelete
from engine.ledger.schema import Gone
from engine.model.canonical import display_name, match_keys
from engine.model.modules import ItemOutcome, Module, Side
from engine.model.policy import DeleteThreshold, Policy
from engine.model.port import WriteKind
from engine.sync.context import Deletes, Run

#: A share says little about a handful of items: the percentage counts from here on.
PERCENT_FROM = 5

#: More creates than this of what the ledger says is there already are held.
RECREATED = 50


class Cause(StrEnum):
    """Why writes are held: the column ``guard.cause``."""

    THRESHOLD = "threshold"
    INFERRED = "inferred"
    VANISHED = "vanished"
    DENIED = "denied"
    SHRUNK = "shrunk"
    RECREATED = "recreated"


#: Deletes learned in these ways are held whatever their number.
_NEVER_ALONE: Mapping[Gone, tuple[Cause, str]] = {
    Gone.VANISHED: (
        Cause.VANISHED,
        "what they were in was deleted as a whole in the {place}, nobody deleted them one by one",
    ),
    Gone.DENIED: (
        Cause.DENIED,
        "the {place} told so in the first reading after it had refused access",
    ),
    Gone.SHRUNK: (
        Cause.SHRUNK,
        "a large part of what the {place} had is gone from it at once",
    ),
}

_NOTHING: Mapping[Gone, int] = {}

_PLACE = {Side.CRM: "CRM", Side.MAILBOX: "mailbox"}


def why_held(deletes: int, total: int, threshold: DeleteThreshold) -> str | None:
    """Why so many deletes wait; ``None`` when they may go on.

    Args:
        deletes: deletes planned in this cycle.
        total: live items before it.
        threshold: the policy's.
    """
    if deletes > threshold.count:
        return f"{deletes} deletes, more than the {threshold.count} that the policy allows in one cycle"
    if deletes > PERCENT_FROM and total and deletes * 100 > threshold.percent * total:
        return f"{deletes} of {total} items would be deleted, more than the {threshold.percent:g} % that the policy allows"
    return None


async def hold_excess(run: Run, modules: list[Module]) -> None:
    """Hold what must not be sent without an admin: deletes by module and side, and creates of what is there."""
    names = [module.value for module in modules]
    planned = await run.ledger.read(units.planned, run.record.id, names)
    if planned.reviews:
        await run.ledger.write(waiting.close_reviews, run.fence)
        planned = await run.ledger.read(units.planned, run.record.id, names)
    groups: dict[tuple[Module, Side], list[PlannedDelete]] = defaultdict(list)
    for one in planned.deletes:
        groups[Module(one.module), Side(one.side)].append(one)
    for (module, side), deletes in groups.items():
        await _hold_deletes(run, module, side, deletes)
    for (name, of_side), count in planned.creates.items():
        if count > RECREATED:
            await _hold_copies(run, Module(name), Side(of_side))


def judge(
    by_how: Mapping[Gone, Sequence[int]],
    side: Side,
    total: int,
    policy: Policy,
    module: Module,
    earlier: Mapping[Gone, int] = _NOTHING,
) -> list[tuple[Cause, Sequence[int], str]]:
    """Which planned deletes wait for an admin, and why. Pure.

    Args:
        by_how: deletes of a module on a side, by how their deletion in the other place was learned.
        side: where they would be deleted.
        total: live items there, before the first delete of the cycle.
        policy: with its thresholds.
        module: of all of them.
        earlier: how many others the cycle has planned before, which count with them.
    """
    found: list[tuple[Cause, Sequence[int], str]] = []
    rest: list[int] = []
    place = _PLACE[side.other]
    for how, ids in by_how.items():
        if how in _NEVER_ALONE:
            cause, why = _NEVER_ALONE[how]
            found.append((cause, ids, f"{len(ids)} deletes: {why.format(place=place)}"))
        else:
            rest += ids
    before = sum(count for how, count in earlier.items() if how not in _NEVER_ALONE)
    over = why_held(before + len(rest), total, policy.threshold(module)) if rest else None
    if over is not None:
        return [*found, (Cause.THRESHOLD, rest, over)]
    inferred = by_how.get(Gone.ABSENT, ())
    many = earlier.get(Gone.ABSENT, 0) + len(inferred)
    over = why_held(many, total, policy.delete_safety.inferred) if inferred else None
    if over is not None:
        found.append(
            (Cause.INFERRED, inferred, f"{over} where the {place} merely no longer lists and finds them")
        )
    return found


async def _hold_deletes(run: Run, module: Module, side: Side, deletes: Sequence[PlannedDelete]) -> None:
    cycle = run.deletes.get((module, side))
    if cycle is None:
        total = await run.ledger.read(units.live_items, run.record.id, module.value, side.value)
        cycle = run.deletes[module, side] = Deletes(total)
    by_how: dict[Gone, list[int]] = defaultdict(list)
    for one in deletes:
        by_how[one.how].append(one.id)
        # A delete that is planned once more (it was refused, or nobody can tell whether it was made) is no second one.
        cycle.how.pop(one.remote_id, None)
    earlier = Counter(cycle.how.values())
    cycle.how |= {one.remote_id: one.how for one in deletes}
    for cause, ids, why in judge(by_how, side, cycle.total, run.policy, module, earlier):
        await _hold(run, module, side, WriteKind.DELETE, ids, cause, cycle.total, why)


async def _hold_copies(run: Run, module: Module, side: Side) -> None:
    """Hold creates of items that the other side has already, as far as the ledger can tell.

    Ids that all changed (a restored or migrated mailbox, a CRM that was imported anew) make everything look new. An
    item is there already when a linked one shows the same natural key: a few such are two people of one name, more
    than fifty at once are not.
    """
    if not await run.ledger.read(units.live_items, run.record.id, module.value, side.value):
        return
    there: set[str] = set()
    shown = await run.ledger.read(units.live_fields, run.record.id, module.value, side.value)
    for fields in shown:
        there.update(match_keys(module, fields))
    planned = await run.ledger.read(units.creates_of, run.record.id, module.value, side.value)
    copies = [key for key, fields in planned if not there.isdisjoint(match_keys(module, fields))]
    if len(copies) > RECREATED:
        why = f"{len(copies)} items are new in the {_PLACE[side.other]} although the {_PLACE[side]} has each of them already"
        await _hold(run, module, side, WriteKind.CREATE, copies, Cause.RECREATED, len(shown), why)


async def _hold(
    run: Run,
    module: Module,
    side: Side,
    kind: WriteKind,
    ids: Sequence[int],
    cause: Cause,
    total: int,
    why: str,
) -> None:
    sample = await run.ledger.write(
        units.hold,
        run.fence,
        run.cycle_id,
        ids,
        module=module.value,
        side=side.value,
        cause=cause.value,
        total=total,
        why=why,
        now=run.clock.now_ms(),
    )
    run.count({(module, ItemOutcome.HELD): len(ids)})
    run.fault(
        f"Delete Safety holds {module.value} {kind.value}s in the {side}: {why}. "
        f"{_named(module, sample, len(ids))}Nothing was {_DONE[kind]}; "
        "key h on the user, or syncline held, shows and settles them"
    )


_DONE = {WriteKind.DELETE: "deleted", WriteKind.CREATE: "created"}


def _named(module: Module, sample: Iterable[Mapping[str, Any]], count: int) -> str:
    """A few of them by name; a private one is not named."""
    names = ["(private)" if one.get("private") else repr(display_name(module, one)) for one in sample]
    if not names:
        return ""
    return f"{', '.join(names)}{' ...' if count > len(names) else ''}. "
