"""What an admin has decided about waiting items is carried out here, before a step is planned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.ledger import guests, twins, waiting
from engine.ledger.observe import Seen
from engine.ledger.twins import Adoption
from engine.sync.context import Feed, Run
from engine.sync.resolve import mailbox_seen


async def carry_out(run: Run, feeds: Sequence[Feed], names: list[str]) -> None:
    """Plan held writes afresh whose items have changed, and read the person's own items that become twins.

    Args:
        run: the cycle.
        feeds: of the mailbox, for the modules of the step.
        names: of these modules.

    Raises:
        ProviderError: an item could not be read; nothing is lost, the next cycle reads it.
    """
    changed = await run.ledger.read(waiting.changed_since_held, run.record.id, names)
    if changed:
        await run.ledger.write(waiting.review, run.fence, changed)
    outdated = await run.ledger.read(guests.changed, run.record.id, names)
    if outdated:
        await run.ledger.write(guests.review, run.fence, outdated)
    wanted = await run.ledger.read(twins.adoptions, run.record.id, names)
    if not wanted:
        return
    read: list[tuple[Adoption, Seen]] = []
    for feed in feeds:
        here = {one.remote_id: one for one in wanted if one.item_id is not None and one.scope_id == feed.row.id}
        if not here:
            continue
        for observation in await run.base.mailbox.fetch(feed.scope, sorted(here)):
            if observation.deleted:
                continue
            seen = mailbox_seen(run.policy, run.record.id, run.account.email, observation, run.containers)
            if seen is not None:
                read.append((here[observation.remote_id], replace(seen, own=False)))
    found = {adoption.link_id for adoption, _ in read}
    again = [one.link_id for one in wanted if one.link_id not in found]
    await run.ledger.write(twins.attach, run.fence, read, again, run.clock.now_ms())
    if read:
        run.note(f"took {len(read)} items of the person's own as twins")
