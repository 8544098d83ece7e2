"""Reading the feeds of both sides into the ledger, page by page, each page in one transaction with its cursor."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.ledger import feeds
from engine.ledger import gone as gone_units
from engine.ledger import observe as units
from engine.ledger.feeds import ScopeRow
from engine.ledger.fence import Fence
from engine.ledger.observe import PageResult, Seen
from engine.ledger.schema import Gone
from engine.ledger.store import Ledger
from engine.model.clock import Clock
from engine.model.modules import Side
from engine.model.port import Connector, Observation, Page
from engine.model.turns import in_slices
from engine.net.errors import CursorExpired, ErrorKind, ProviderError
from engine.sync.audience import Audience
from engine.sync.context import Feed, PolicyContext, Run, SuspiciousSource
from engine.sync.filters import DAY_MS
from engine.sync.resolve import crm_seen, mailbox_seen

#: A source that had at least so many items and returns none is not believed (domain.md 5.7) ...
SUSPICIOUS = 10

#: ... until it has said so for a day, and so many of its items are not found by their ids either.
EMPTY_MS = DAY_MS
PROBES = 50

#: A source that is found to have lost more than this share of its items at once is told to an admin (in percent).
SHRUNK_PERCENT = 30

#: A cursor that still works is stored again at least this often, although nothing changed.
CURSOR_REFRESH_MS = DAY_MS

#: A feed that was read before and now is refused or not found stops its own modules, and nothing else.
LOST = frozenset({ErrorKind.PERMISSION, ErrorKind.NOT_FOUND})

Resolve = Callable[[Observation], Sequence[Seen] | None]
"""The mailboxes' items of an observation; empty when no mailbox receives it (any more), None to ignore it."""


@dataclass(slots=True)
class Reading:
    """What reading one feed brought."""

    pages: int = 0
    result: PageResult | None = None
    complete: bool = False


async def read_crm(
    context: PolicyContext,
    audience: Audience,
    *,
    complete: bool,
    on_page: Callable[[Feed, Page, Counter[int]], None] | None = None,
) -> None:
    """Read every CRM feed of the policy once, for all its mailboxes.

    Args:
        context: the policy.
        audience: its mailboxes, and what each receives.
        complete: read everything instead of what changed (somebody is new under the policy).
        on_page: hears of each page with the number of items by mailbox id.
    """
    for feed in context.crm_feeds:

        def resolve(observation: Observation) -> Sequence[Seen] | None:
            return crm_seen(context.policy, observation, audience)

        def heard(page: Page, seen: Sequence[Seen], feed: Feed = feed) -> None:
            if on_page is not None:
                on_page(feed, page, Counter(one.mailbox_id for one in seen))

        try:
            await _read(
                context.ledger,
                context.clock,
                context.crm,
                context.fence,
                Side.CRM,
                feed,
                resolve,
                frozenset(mailbox_id for mailbox_id, _ in audience.everybody),
                check_stop=context.check_stop,
                complete=complete,
                cursor_days=_cursor_days(context, Side.CRM, feed),
                lag_seconds=0,
                heard=heard,
            )
        except (ProviderError, SuspiciousSource) as error:
            # An object that can no longer be read, or is suddenly empty, stops what lives in it, and nothing else.
            if isinstance(error, ProviderError):
                if error.kind not in LOST or feed.row.full_at is None:
                    raise
                await context.ledger.write(gone_units.deny, context.fence, feed.row.id, context.clock.now_ms())
            context.lost[feed.scope.key] = str(error)
            if len(context.lost) == len(context.crm_feeds):
                raise  # nothing at all can be read: that concerns the policy as a whole


async def read_mailbox(run: Run, feed: Feed) -> Reading:
    """Read one feed of a mailbox."""
    number = 0

    def resolve(observation: Observation) -> Sequence[Seen] | None:
        seen = mailbox_seen(run.policy, run.record.id, run.account.email, observation, run.containers)
        return None if seen is None else [seen]

    def heard(page: Page, seen: Sequence[Seen]) -> None:
        nonlocal number
        number += 1
        if page.observations:
            run.note(f"read {feed.scope.key} page {number} ({len(page.observations)} items)")

    return await _read(
        run.ledger,
        run.clock,
        run.base.mailbox,
        run.fence,
        Side.MAILBOX,
        feed,
        resolve,
        frozenset({run.record.id}),
        check_stop=run.check_stop,
        complete=False,
        cursor_days=_cursor_days(run.base, Side.MAILBOX, feed),
        lag_seconds=lag_of(run.base, Side.MAILBOX, feed),
        heard=heard,
        tell=run.note,
    )


def lag_of(context: PolicyContext, side: Side, feed: Feed) -> int:
    """How long after a write a feed may still show the old state, seconds."""
    found = (context.capability(side, module) for module in feed.scope.modules)
    return max((one.lag_seconds for one in found if one is not None), default=0)


def _cursor_days(context: PolicyContext, side: Side, feed: Feed) -> float | None:
    days = [
        capability.cursor_days
        for module in feed.scope.modules
        if (capability := context.capability(side, module)) is not None and capability.cursor_days is not None
    ]
    return min(days, default=None)


async def _read(
    ledger: Ledger,
    clock: Clock,
    connector: Connector,
    fence: Fence,
    side: Side,
    feed: Feed,
    resolve: Resolve,
    served: frozenset[int],
    *,
    check_stop: Callable[[], None],
    complete: bool,
    cursor_days: float | None,
    lag_seconds: int,
    heard: Callable[[Page, Sequence[Seen]], None],
    tell: Callable[[str], None] = lambda _: None,
) -> Reading:
    row = await ledger.read(feeds.scope_by_id, feed.row.id)
    cursor = None if complete else row.cursor
    lifetime = None if cursor_days is None else cursor_days * DAY_MS
    if cursor is not None and lifetime is not None and clock.now_ms() - (row.full_at or 0) > lifetime:
        # A cursor that would die soon is renewed in time, rather than lost at night.
        tell(f"reading all of {feed.scope.key} again: its cursor is about to expire")
        cursor = None
    try:
        return await _pages(
            ledger,
            clock,
            connector,
            fence,
            side,
            feed,
            resolve,
            served,
            cursor,
            row,
            row.cursor,
            row.read_at,
            check_stop,
            lag_seconds,
            heard,
        )
    except CursorExpired:
        tell(f"reading all of {feed.scope.key} again: the provider no longer knows the cursor")
    try:
        return await _pages(
            ledger,
            clock,
            connector,
            fence,
            side,
            feed,
            resolve,
            served,
            None,
            row,
            None,
            None,
            check_stop,
            lag_seconds,
            heard,
        )
    except CursorExpired as error:
        raise ProviderError(
            ErrorKind.UNAVAILABLE,
            feed.scope.key,
            "the cursor expired again while everything was read",
            advice="the next cycle begins afresh",
        ) from error


async def _pages(
    ledger: Ledger,
    clock: Clock,
    connector: Connector,
    fence: Fence,
    side: Side,
    feed: Feed,
    resolve: Resolve,
    served: frozenset[int],
    cursor: str | None,
    row: ScopeRow,
    stored_cursor: str | None,
    stored_at: int | None,
    check_stop: Callable[[], None],
    lag_seconds: int,
    heard: Callable[[Page, Sequence[Seen]], None],
) -> Reading:
    snapshot = cursor is None
    generation, had = 0, 0
    if snapshot:
        had = await ledger.read(feeds.live_count, feed.row.id)
        generation = await ledger.write(feeds.begin_snapshot, fence, feed.row.id)
    reading = Reading(result=PageResult(), complete=snapshot)
    listed = 0
    told: set[str] = set()
    net = tells(connector, feed, "net")
    quiet: list[str] = []
    reached: str | None = None
    how = Gone.TOLD if row.denied_at is None else Gone.DENIED
    async for page in connector.changes(feed.scope, cursor):
        check_stop()
        reading.pages += 1
        observations = await _settled(ledger, clock, connector, feed, page.observations, lag_seconds)
        listed += len(observations)
        last = page.cursor is not None
        if snapshot and last and listed == 0 and had >= SUSPICIOUS:
            await _believe_empty(ledger, clock, connector, fence, feed, row, generation, had)
        # Masters before their occurrences: an occurrence is attached to its master's link.
        live = sorted((one for one in observations if not one.deleted), key=lambda one: one.parent is not None)
        resolved = list(zip(live, await in_slices(resolve, live), strict=True))
        seen = [one for _, rows in resolved for one in rows or ()]
        gone = [one.remote_id for one in observations if one.deleted]
        # What no mailbox receives any more (it has another owner) is gone for those who had it.
        gone += [one.remote_id for one, rows in resolved if rows is not None and not rows]
        if net:
            told.update(one.remote_id for one in page.observations if not one.deleted)
            if last and not snapshot:
                quiet = await ledger.read(feeds.untold, feed.row.id)
                gone += await _ended(connector, feed, [one for one in quiet if one not in told.union(gone)])
        refresh = (
            last
            and page.cursor != stored_cursor
            # What was listed, if only the echo of our own writes, would otherwise be listed again at every cycle.
            and (listed or stored_at is None or clock.now_ms() - stored_at > CURSOR_REFRESH_MS)
        )
        listed_here = bool(seen or gone)
        if (
            snapshot
            or refresh
            or (listed_here and await ledger.read(units.page_changes, feed.row.id, seen, gone, served))
        ):
            result = await ledger.write(
                units.record_page,
                fence,
                feed.row.id,
                side.value,
                seen,
                gone,
                served,
                # The cursor of a complete listing is stored when what it did not list is settled: a process that dies
                # in between would never ask about it again.
                cursor=None if snapshot else page.cursor,
                generation=generation,
                snapshot=snapshot,
                now=clock.now_ms(),
                how=how,
                page=reading.pages,
                # A listing that is not finished begins anew; of changes, the next reading tells once more.
                untold=net and not snapshot and (not last or page.cursor == stored_cursor),
                told=() if page.cursor == stored_cursor else [one for one in quiet if one in told],
            )
            _add(reading.result, result)
        reached = page.cursor
        heard(page, seen)
    if snapshot:
        await _prove_absent(ledger, clock, connector, fence, feed, row, generation, had)
        if reached is not None:
            await ledger.write(units.end_snapshot, fence, feed.row.id, reached, clock.now_ms(), net=net)
    if row.denied_at is not None or row.empty_at is not None:
        await ledger.write(gone_units.admit, fence, feed.row.id)
    return reading


def _add(total: PageResult | None, part: PageResult) -> None:
    assert total is not None
    total.new += part.new
    total.changed += part.changed
    total.deleted += part.deleted
    total.own += part.own
    total.unchanged += part.unchanged


async def _settled(
    ledger: Ledger,
    clock: Clock,
    connector: Connector,
    feed: Feed,
    observations: Sequence[Observation],
    lag_seconds: int,
) -> Sequence[Observation]:
    """Replace what a feed may show wrongly by what the provider says by id.

    An old version in a feed that lags (sync.md section 3.4), and a removal that may only mean that an item has left the
    window of a windowed feed (sync.md section 6).
    """
    doubtful = []
    if tells(connector, feed, "windowed"):
        doubtful = [one.remote_id for one in observations if one.deleted]
    if lag_seconds and observations:
        written = await ledger.read(
            feeds.lately_known,
            feed.row.id,
            [one.remote_id for one in observations],
            clock.now_ms() - lag_seconds * 1000,
        )
        doubtful += [
            one.remote_id
            for one in observations
            if one.remote_id in written and written[one.remote_id] != one.etag
        ]
    if not doubtful:
        return observations
    certain = {one.remote_id: one for one in await connector.fetch(feed.scope, list(dict.fromkeys(doubtful)))}
    return [certain.get(one.remote_id, one) for one in observations]


def tells(connector: Connector, feed: Feed, name: str) -> bool:
    """Whether a feed is ``windowed``, or tells ``net`` differences: a trait of the capability record."""
    capabilities = (connector.capability(module) for module in feed.scope.modules)
    return any(capability is not None and getattr(capability, name) for capability in capabilities)


async def _ended(connector: Connector, feed: Feed, ids: Sequence[str]) -> list[str]:
    """Those items that are gone when they are asked for by id.

    A feed of net differences never tells of the end of an item that came and went since its cursor; in the transaction that
    stores the next cursor, since afterwards nobody would ask again.
    """
    return [one.remote_id for one in await connector.fetch(feed.scope, ids) if one.deleted] if ids else []


async def _believe_empty(
    ledger: Ledger,
    clock: Clock,
    connector: Connector,
    fence: Fence,
    feed: Feed,
    row: ScopeRow,
    generation: int,
    had: int,
) -> None:
    """A source that had items and lists none is a failure, unless it keeps saying so and finds none by id either.

    Then what it had is gone, and Delete Safety holds what would follow from it.

    Raises:
        SuspiciousSource: it is not believed (yet).
    """
    first = row.empty_at if row.empty_at is not None else clock.now_ms()
    if row.empty_at is None:
        await ledger.write(gone_units.empty, fence, feed.row.id, first)
    if clock.now_ms() - first >= EMPTY_MS:
        ids = [remote_id for remote_id, _ in await ledger.read(feeds.not_listed, feed.row.id, generation)]
        if all(one.deleted for one in await connector.fetch(feed.scope, ids[:PROBES])):
            return
    raise SuspiciousSource(
        f"{feed.scope.key} returned nothing although it held {had} items; nothing was changed. "
        "Check the account's access to it; the next cycle tries again"
    )


async def _prove_absent(
    ledger: Ledger,
    clock: Clock,
    connector: Connector,
    fence: Fence,
    feed: Feed,
    row: ScopeRow,
    generation: int,
    had: int,
) -> None:
    """Items that a complete snapshot did not list are deleted only if the provider confirms it by id.

    That is the second time that they are found to be absent. It still proves less than a tombstone (ids that all
    changed look the same, and so do records that are hidden from us): the ledger keeps how it was learned.
    """
    missing = await ledger.read(feeds.not_listed, feed.row.id, generation)
    own = [remote_id for remote_id, is_own in missing if is_own]
    ours = [remote_id for remote_id, is_own in missing if not is_own]
    absent = list(own)
    if ours:
        found = await connector.fetch(feed.scope, ours)
        absent.extend(one.remote_id for one in found if one.deleted)
    if not absent:
        return
    how = Gone.ABSENT
    if row.denied_at is not None:
        how = Gone.DENIED
    elif had >= SUSPICIOUS and len(absent) * 100 > SHRUNK_PERCENT * had:
        how = Gone.SHRUNK
    await ledger.write(units.bury_missing, fence, feed.row.id, absent, clock.now_ms(), how)
