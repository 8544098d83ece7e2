"""Reading again, by id, what changed between our reading and our writing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from engine.ledger import feeds as feed_units
from engine.ledger.observe import Seen
from engine.ledger.reread import record_read
from engine.model.modules import ItemOutcome, Module, Side
from engine.model.port import Observation
from engine.sync.audience import audience
from engine.sync.context import Feed, Run
from engine.sync.observe import lag_of, tells
from engine.sync.resolve import crm_seen, mailbox_seen

#: Rounds of planning and writing in one cycle; what is still dirty then waits for the next.
ROUNDS = 3


async def read_again(run: Run, feeds: Sequence[Feed], modules: Sequence[Module], remote_ids: set[str]) -> None:
    """Items that changed between our reading and our writing are read by id and go through planning again."""
    sides: Mapping[Side, Sequence[Feed]] = {
        Side.MAILBOX: feeds,
        Side.CRM: [feed for feed in run.base.crm_feeds if set(feed.scope.modules) & set(modules)],
    }
    for side, candidates in sides.items():
        for feed in candidates:
            known = await run.ledger.read(feed_units.known_ids, feed.row.id, run.record.id, sorted(remote_ids))
            if known:
                await reread(run, side, feed, known)


async def reread(run: Run, side: Side, feed: Feed, remote_ids: list[str]) -> None:
    """Read items of a feed by id and record what they show."""
    connector = run.base.crm if side is Side.CRM else run.base.mailbox
    await record(run, side, feed, await connector.fetch(feed.scope, remote_ids), remote_ids)


async def read_occurrences(run: Run, side: Side, feed: Feed, series: Sequence[str]) -> None:
    """Ask for the changed occurrences of series, whatever the feed has told of them, and record what they show."""
    connector = run.base.crm if side is Side.CRM else run.base.mailbox
    shown = await connector.occurrences(feed.scope, series)
    if shown:
        await record(run, side, feed, shown, [one.remote_id for one in shown])


async def record(
    run: Run, side: Side, feed: Feed, observations: Sequence[Observation], asked: Sequence[str]
) -> None:
    """Record what items of a feed show that were ``asked`` for by id."""
    seen: list[Seen] = []
    gone: list[str] = []
    given: list[str] = []
    here = (run.record.id, run.account.email)
    whom = audience([run.record])
    for observation in observations:
        if observation.deleted:
            gone.append(observation.remote_id)
        elif side is Side.CRM:
            rows = crm_seen(run.policy, observation, whom)
            seen.extend(rows or ())
            if rows is not None and not rows:
                given.append(observation.remote_id)
        else:
            one = mailbox_seen(run.policy, *here, observation, run.containers)
            seen.extend([] if one is None else [one])
    now = run.clock.now_ms()
    made = await run.ledger.write(
        record_read,
        run.fence,
        feed.row.id,
        side.value,
        seen,
        [*gone, *given],
        given=given,
        asked=asked,
        generation=feed.row.generation,
        now=now,
        later=now + max(lag_of(run.base, side, feed), 1) * 1000,
        untold=tells(run.base.crm if side is Side.CRM else run.base.mailbox, feed, "net"),
    )
    run.count(Counter((Module(one.module), ItemOutcome.DELETED) for one in made))
