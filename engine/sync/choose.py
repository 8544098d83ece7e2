"""Before the records of a mailbox are planned: which of them have no room, and which must be looked at for that."""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger import mailboxes
from engine.ledger import records as units
from engine.model.modules import RECORD_MODULES, Module
from engine.sync.assigned import crowded_out, rules_of, to_look_at
from engine.sync.context import Run

#: What the mailbox's row says about the rules by which its records were chosen last.
RULES = "rules:records"


def rules_changed(run: Run) -> bool:
    """Whether the policy has other rules than those by which the records were chosen last."""
    return run.containers.get(RULES) != rules_of(run.policy)


async def choose_records(run: Run, modules: Sequence[Module]) -> frozenset[int]:
    """Links of the records that have no room, after putting all that must be looked at on the work list."""
    now = run.clock.now_ms()
    out: frozenset[int] = frozenset()
    wake: list[int] = []
    for module in modules:
        if module not in RECORD_MODULES:
            continue
        rows = await run.ledger.read(units.records, run.record.id, module.value)
        over = crowded_out(run.policy, module, rows, now)
        wake += to_look_at(run.policy, module, rows, over, now)
        out |= over
    if wake:
        await run.ledger.write(units.wake, run.fence, wake)
    return out


async def remember_rules(run: Run) -> None:
    """The records were chosen by the policy as it is now."""
    run.containers[RULES] = rules_of(run.policy)
    await run.ledger.write(mailboxes.set_mailbox_fenced, run.fence, containers=run.containers)
