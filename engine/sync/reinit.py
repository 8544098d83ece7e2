"""Beginning afresh per module: Resync, Full and Clear, carried out once by the mailbox's next cycle.

What is asked stands in the ledger and is crossed off in the transaction that carries it out, so that a kill repeats no more
than a read. Clear has two stages, of which the first ends by asking for the second: remove what we made, then Full.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.ledger import reinit as units
from engine.ledger.mailboxes import MailboxRecord
from engine.model.modules import Module
from engine.sync.context import Feed, PolicyContext, Run
from engine.sync.leave import removal_of, remove_ours
from engine.sync.observe import read_mailbox
from engine.sync.telling import tell_left


async def before_baseline(context: PolicyContext, records: Iterable[MailboxRecord]) -> None:
    """Let the CRM feeds be read completely that mailboxes of this run ask for (Full, and Clear which ends as Full)."""
    wanted = {module for record in records for module, mode in record.reinit.items() if mode in units.READS_CRM}
    feeds = [feed.row.id for feed in context.crm_feeds if wanted & {one.value for one in feed.scope.modules}]
    if feeds:
        await context.ledger.write(units.drop_crm_cursors, context.fence, feeds)


async def begin_afresh(run: Run, modules: Sequence[Module], feeds: Sequence[Feed]) -> None:
    """Carry out what is asked for the modules of a step. The feeds were just read; they are read again if need be."""
    asked = dict(run.reinit)
    here = [module for module in modules if module.value in asked]
    if not here:
        return
    cleared = [module for module in here if asked[module.value] == "clear"]
    if cleared:
        run.note(f"removing what was synced of {_said(cleared)}")
        removal = removal_of(run.base, run.account.email, "clear", edited_too=False)
        await tell_left(run, await remove_ours(run, removal, cleared, feeds))
        stage = {module.value: "clear" for module in cleared}
        await run.ledger.write(units.cross_off, run.fence, stage, "full")
        asked |= dict.fromkeys(stage, "full")
    done = {module.value: asked.pop(module.value) for module in here}
    places = [feed for feed in feeds if set(feed.scope.modules) & set(here)]
    number = await run.ledger.write(units.renew, run.fence, done, [feed.row.id for feed in places])
    run.reinit = asked
    run.note(f"beginning afresh with {_said(here)}: {number} items are looked at again")
    for feed in places:
        await read_mailbox(run, feed)


def _said(modules: Sequence[Module]) -> str:
    return ", ".join(module.value.replace("_", " ") + "s" for module in modules)
