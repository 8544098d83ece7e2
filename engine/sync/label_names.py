"""What people did to the drop labels themselves: renamed or moved ones are followed or put back, closed records are set aside.

A label is known by its id, so that filing goes on whatever it is called. Its name is looked at when there was something to
file (Gmail tells the names along with the headers, Exchange with what has changed), and every six hours; nothing about it happens in silence.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.ledger import filing as units
from engine.ledger.filing import Target
from engine.model.mail import NamesWithHeads
from engine.model.modules import Module
from engine.model.policy import ClosedRecords, Policy, RenamedLabels
from engine.model.port import Result
from engine.sync.filing import Check
from engine.sync.filing_work import place_id
from engine.sync.structure import branch_path

#: The names are looked at so often, milliseconds.
LOOK_MS = 6 * 3_600_000


async def look_at_names(check: Check) -> None:
    """Compare the names of the drop labels with those that we gave, when it is time to.

    Raises:
        ProviderError: a call failed; the next check looks again.
    """
    run = check.run
    now = run.clock.now_ms()
    # Where the names come along with the headers, a look of its own would be one call for each mailbox that files anything.
    free = isinstance(check.store, NamesWithHeads)
    wait = not check.told or (check.names is None and free)
    if wait and now - await run.ledger.read(units.names_at, check.mailbox_id) < LOOK_MS:
        return
    targets = await run.ledger.read(units.targets, check.mailbox_id)
    present = check.names
    if present is None:
        present = await check.store.mail_places(run.account) if targets else {}
    # Full names were not always kept of folders: one whose own name is the same is where it was.
    for one in targets:
        if "/" not in one.label and (name := present.get(one.place, "")).endswith(f"/{one.label}"):
            await run.ledger.write(units.rename, run.fence, one.place, name)
    targets = await run.ledger.read(units.targets, check.mailbox_id) if targets else []
    renamed = [one for one in targets if one.label and present.get(one.place, one.label) != one.label]
    await _renamed(check, renamed, present)
    lost = [one for one in targets if one.place not in present]
    if lost:
        names = ", ".join(one.name for one in lost[:3])
        run.note(
            f"{len(lost)} drop labels were deleted by hand ({names}); they come back when their records change",
            "!",
        )
    known = {one.place for one in renamed} | {one.place for one in lost}
    await _closed(check, [one for one in targets if one.place not in known])
    await run.ledger.write(units.set_names_at, run.fence, now)


async def _renamed(check: Check, renamed: Sequence[Target], present: dict[str, str]) -> None:
    run = check.run
    for one in renamed:
        name = present[one.place]
        if run.policy.labels.renamed is RenamedLabels.FOLLOW:
            await run.ledger.write(units.rename, run.fence, one.place, name)
            run.note(
                f"the drop label {one.label} was renamed to {name} by hand; mails under it are filed as before",
                "~",
            )
            continue
        outcome = await check.store.mail_rename(run.account, one.place, one.label)
        if outcome.result is Result.DONE:
            run.note(f"the drop label {name}, renamed by hand, is called {one.label} again", "~")
        else:
            run.note(f"the drop label {name} cannot be called {one.label} again: {outcome.reason}", "!")


async def _closed(check: Check, targets: Sequence[Target]) -> None:
    """Labels of closed records go below *Closed*, and come back when a record is opened again."""
    run = check.run
    if run.policy.labels.closed is not ClosedRecords.KEEP:
        return
    for one in targets:
        aside = closed_path(run.policy, Module(one.module))
        branch = aside.rpartition("/")[0]
        lies_aside = one.label.casefold().startswith(aside.casefold() + "/")
        if not one.label or one.closed == lies_aside:
            continue
        own = one.label.rpartition("/")[2]
        wanted = f"{aside if one.closed else branch}/{own}"
        if one.closed:
            await place_id(check, aside)
        outcome = await check.store.mail_rename(run.account, one.place, wanted)
        if outcome.result is Result.DONE:
            await run.ledger.write(units.rename, run.fence, one.place, wanted)
            run.note(f"{own} is {'closed' if one.closed else 'open again'}: its drop label is {wanted}", "~")
        else:
            run.note(f"the drop label of {own} cannot be moved to {wanted}: {outcome.reason}", "!")


def closed_path(policy: Policy, module: Module) -> str:
    """Full path of the label below which the drop labels of closed records are kept."""
    return f"{branch_path(policy, module)}/Closed"
