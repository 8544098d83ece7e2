"""The guest-mail guard: a cycle lets a provider mail no more guests than the policy's budget; the rest waits.

A first sync, and a policy that does not invite, mail nobody (invariant I12).
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger import guests as units
from engine.model.modules import ItemOutcome, Module
from engine.model.policy import Attendees, Policy
from engine.model.states import CycleKind
from engine.sync.context import Run


def may_mail(policy: Policy, kind: CycleKind) -> bool:
    """Whether guests may be mailed at all."""
    return policy.calendar.attendees is Attendees.INVITED and kind is not CycleKind.FIRST


def over_budget(rows: Sequence[tuple[int, int]], budget: int, spent: int = 0) -> list[int]:
    """Which of ``(id, guests)``, taken in order, do not fit into what is left of the budget."""
    over = []
    for key, guests in rows:
        if spent + guests > budget:
            over.append(key)
        else:
            spent += guests
    return over


async def hold_invitations(run: Run, modules: Sequence[Module]) -> None:
    """Hold planned writes that would mail guests beyond the budget; carry out what an admin decided about earlier ones."""
    names = [module.value for module in modules]
    decided, planned = await run.ledger.read(units.outlook, run.record.id, names)
    if decided:
        await run.ledger.write(units.forget, run.fence)
        _, planned = await run.ledger.read(units.outlook, run.record.id, names)
    planned = [one for one in planned if one.id not in run.mails]
    if not planned:
        return
    if not may_mail(run.policy, run.kind):
        await run.ledger.write(units.silence, run.fence, [one.id for one in planned])
        return
    quiet = [one.id for one in planned if one.decision == units.QUIET]
    if quiet:
        await run.ledger.write(units.silence, run.fence, quiet)
    # What was sent before may have mailed, or mail now: it counts first. What an admin let through does not count.
    free = {one.id for one in planned if one.decision == units.INVITED and one.guests <= one.allowed}
    rest = [one for one in planned if one.id not in free and one.id not in quiet]
    run.mails |= {one.id: one.guests for one in rest if one.sent}
    budget = run.policy.guest_mail_budget
    fresh = [one for one in rest if not one.sent]
    over = set(over_budget([(one.id, one.guests) for one in fresh], budget, sum(run.mails.values())))
    run.mails |= {one.id: one.guests for one in fresh if one.id not in over}
    run.mails |= dict.fromkeys(free, 0)
    held = [one for one in fresh if one.id in over]
    if not held:
        return
    guests = sum(one.guests for one in held)
    why = f"it would mail guests beyond the {budget:,} that the policy allows in one cycle"
    await run.ledger.write(units.hold, run.fence, run.cycle_id, held, why, run.clock.now_ms())
    for module in modules:
        count = sum(one.module == module for one in held)
        if count:
            run.count({(module, ItemOutcome.HELD): count})
    run.note(
        f"{len(held):,} writes that would mail {guests:,} guests wait: the policy allows {budget:,} in one cycle. "
        "Key h on the user, or syncline held, shows and settles them",
        "⚑",
    )
