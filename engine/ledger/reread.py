"""Units of work that record items as they were read by id."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa

from engine.ledger.fence import Fence
from engine.ledger.intents import Open, left_open, put_off, recover
from engine.ledger.observe import Seen, record_page


def record_read(
    connection: sa.Connection,
    fence: Fence,
    scope_id: int,
    side: str,
    seen: Sequence[Seen],
    gone: Sequence[str],
    *,
    given: Collection[str],
    asked: Collection[str],
    generation: int,
    now: int,
    later: int,
    untold: bool,
) -> list[Open]:
    """Record items of one mailbox that were read by id, and settle deletes whose answer was lost.

    In one transaction: an end that came through us never counts as a person's, not even for a moment.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        scope_id: the feed that they belong to.
        side: ``crm`` or ``mailbox``.
        seen: items that live.
        gone: remote ids of those that do not, or that are no longer this mailbox's.
        given: those of ``gone`` that live, as somebody else's: no delete of ours has ended them.
        asked: all remote ids that were asked for.
        generation: of the feed.
        now: engine clock.
        later: when a series is deleted again whose delete was not made: a person may be at work in it, and what he changed
            of its occurrences is told by the feed alone (seed 2747).
        untold: see ``record_page``.

    Returns:
        deletes that were made.

    Raises:
        StaleLease: somebody else has taken over.
    """
    record_page(
        connection,
        fence,
        scope_id,
        side,
        seen,
        gone,
        frozenset({fence.mailbox_id}),
        cursor=None,
        generation=generation,
        snapshot=False,
        now=now,
        untold=untold,
    )
    sent = [
        one
        for one in left_open(connection, fence.mailbox_id)
        if one.kind == "delete" and one.state == "in_flight" and one.scope_id == scope_id and not one.mode
    ]
    ended = set(gone).difference(given)
    removed = [one for one in sent if one.remote_id in ended]
    void = [one for one in sent if one.remote_id in asked and one.remote_id not in ended]
    if removed or void:
        recover(connection, fence, void=void, repeat=(), unknown={}, now=now, removed=removed)
        series = {one.remote_id for one in seen if one.fields.get("rule")}
        put_off(connection, [one.link_id for one in void if one.remote_id in series], later)
    return removed
