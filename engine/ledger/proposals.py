"""Units of work on previews: what a cycle would do to a mailbox, kept as intents in state ``proposed``.

A proposal is never sent and blocks nothing; no unit but those of this file reads it. When it is applied, a cycle plans
the link afresh, and only if that gives the same writes are they made (``engine.sync.preview_apply``). A proposal that no
longer holds becomes ``outdated`` with its reason. A preview is the record of a cycle of kind ``preview``; each mailbox
has one at most. The record of a dropped one stays, so that its id never means another preview.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import cycle, dirty, intent, link, mailbox
from engine.ledger.sql import chunks, inserting, select_in, set_columns
from engine.ledger.statement import Statement

#: States of a row of a preview.
STATES = ("proposed", "outdated")

#: ``cycle.kind`` of a preview.
PREVIEW = "preview"

#: ``cycle.state`` of a preview that was replaced, dropped, or is too old.
DROPPED = "dropped"

NOT_DIRTY = "it was synced since the preview"


@dataclass(frozen=True, slots=True)
class Proposal:
    """One line of a preview.

    Attributes:
        kind: ``create``, ``update``, ``delete``; ``merge`` (two items that become twins, with what is written to one
            side; one line per side, or one without side); ``hold`` (it would wait for an admin, ``why`` says why);
            ``container`` (a group, calendar or label that would be made).
        side: that is written to; for ``hold`` where the item is.
        fields: the item as it shall be (update), or as it is (hold, delete); a create has it in ``patch``.
        patch: field to new value.
        before: field to present value.
        twin: of a merge, the link that goes up in this one.
        held: why a guard would make this write wait; empty when it would go through.
        guests: how many people the provider would mail.
        id: of the stored row; 0 before. It may come again in another ``preview``, whose id never does.
        state: ``proposed`` or ``outdated``, then with ``reason``.
    """

    link_id: int
    module: str
    kind: str
    side: str = ""
    remote_id: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)
    patch: Mapping[str, Any] = field(default_factory=dict)
    before: Mapping[str, Any] = field(default_factory=dict)
    etag: str | None = None
    why: str = ""
    twin: int = 0
    held: str = ""
    guests: int = 0
    id: int = 0
    preview: int = 0
    state: str = "proposed"
    reason: str = ""


_MINE = (intent.c.mailbox_id == sa.bindparam("mailbox"), intent.c.state.in_(STATES))
_LINES = sa.select(intent).where(*_MINE).order_by(intent.c.id)
_DELETES = Statement(
    sa.select(intent.c.id, intent.c.module, intent.c.side)
    .where(*_MINE, intent.c.cycle_id == sa.bindparam("preview"), intent.c.kind == "delete")
    .order_by(intent.c.id)
)
_MAILED = Statement(
    sa.select(intent.c.id, intent.c.guests)
    .where(
        *_MINE,
        intent.c.cycle_id == sa.bindparam("preview"),
        intent.c.guests > 0,
        intent.c.error == "",
        intent.c.kind != "hold",
    )
    .order_by(intent.c.id)
)
_LINKS_OF = Statement(sa.select(intent.c.link_id).where(intent.c.id.in_(sa.bindparam("ids", expanding=True))))
_DUE = Statement(sa.select(dirty.c.link_id).where(dirty.c.link_id.in_(sa.bindparam("ids", expanding=True))))
_BEYOND = (link.c.state == "filtered", link.c.start_at.is_not(None))
_COMING_IN = Statement(sa.select(link.c.id).where(*_BEYOND, link.c.id.in_(sa.bindparam("ids", expanding=True))))
_COME_IN = Statement(
    sa.select(link.c.id)
    .where(
        link.c.mailbox_id == sa.bindparam("mailbox"),
        link.c.state == "filtered",
        link.c.start_at <= sa.bindparam("until"),
    )
    .order_by(link.c.id)
)
_CHILDREN = Statement(
    sa.select(link.c.parent_link, link.c.id, link.c.occurrence).where(
        link.c.occurrence.is_not(None), link.c.parent_link.in_(sa.bindparam("ids", expanding=True))
    )
)
_WRITTEN = Statement(
    sa.select(intent.c.link_id, intent.c.state, intent.c.error)
    .where(intent.c.cycle_id == sa.bindparam("cycle"), intent.c.mailbox_id == sa.bindparam("mailbox"))
    .order_by(intent.c.id)
)
_BEGUN = Statement(sa.insert(cycle).returning(cycle.c.id), ("mailbox_id", "policy", "kind", "started_at"))
_FORGET_LINES = Statement(
    sa.delete(intent).where(
        intent.c.mailbox_id.in_(sa.bindparam("ids", expanding=True)), intent.c.state.in_(STATES)
    )
)
_DROP = Statement(
    sa.update(cycle)
    .where(
        cycle.c.mailbox_id.in_(sa.bindparam("ids", expanding=True)),
        cycle.c.kind == PREVIEW,
        cycle.c.state != DROPPED,
    )
    .values(state=DROPPED)
)


@cache
def _page(modules: bool, kinds: bool, ids: bool, limited: bool) -> Statement:
    query = _LINES.where(intent.c.id > sa.bindparam("after"))
    if modules:
        query = query.where(intent.c.module.in_(sa.bindparam("modules", expanding=True)))
    if kinds:
        query = query.where(intent.c.kind.in_(sa.bindparam("kinds", expanding=True)))
    if ids:
        query = query.where(intent.c.link_id.in_(sa.bindparam("ids", expanding=True)))
    return Statement(query.limit(sa.bindparam("most")) if limited else query)


def begin(connection: sa.Connection, fence: Fence, now: int) -> int:
    """Open the preview of a mailbox; an earlier one is forgotten. Returns the id of its record.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    drop(connection, [fence.mailbox_id])
    return int(
        _BEGUN.scalar(
            connection, mailbox_id=fence.mailbox_id, policy=fence.policy, kind=PREVIEW, started_at=now
        )
    )


def propose(connection: sa.Connection, fence: Fence, preview: int, found: Sequence[Proposal]) -> None:
    """Store some lines of a preview.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    rows = [
        {
            "mailbox_id": fence.mailbox_id,
            "cycle_id": preview,
            "link_id": one.link_id,
            "side": one.side,
            "module": one.module,
            "kind": one.kind,
            "key": f"merge:{one.twin}" if one.twin else "",
            "remote_id": one.remote_id,
            "fields": dict(one.fields),
            "patch": dict(one.patch),
            "before": dict(one.before),
            "etag": one.etag,
            "state": "proposed",
            "why": one.why,
            "error": one.held,
            "notify": int(one.guests > 0),
            "guests": one.guests,
        }
        for one in found
    ]
    if rows:
        inserting(intent, tuple(rows[0])).many(connection, rows)


def finish(
    connection: sa.Connection, fence: Fence, preview: int, counts: Mapping[str, int], fault: str, now: int
) -> None:
    """Close the record of a preview; ``counts`` are of what it does not list, as ``module.filtered``.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    state = "failed" if fault else "ok"
    set_columns(connection, cycle, "id", preview, state=state, counts=dict(counts), error=fault, ended_at=now)


def hold(connection: sa.Connection, fence: Fence, ids: Sequence[int], why: str) -> None:
    """Note why a guard would make some writes wait.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks(ids):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(error=why))


def deletes(connection: sa.Connection, preview: int, mailbox_id: int) -> dict[tuple[str, str], list[int]]:
    """Ids of the proposed deletes by (module, side)."""
    found: dict[tuple[str, str], list[int]] = {}
    for row in _DELETES.rows(connection, mailbox=mailbox_id, preview=preview):
        found.setdefault((row.module, row.side), []).append(row.id)
    return found


def mailed(connection: sa.Connection, preview: int, mailbox_id: int) -> list[tuple[int, int]]:
    """Proposed writes that would mail guests, as (id, guests), without those that would wait."""
    return [(row.id, row.guests) for row in _MAILED.rows(connection, mailbox=mailbox_id, preview=preview)]


# -- reading -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Preview:
    """The record of a mailbox's preview. Times are epoch milliseconds; ``ended_at`` is None while it is made."""

    id: int
    mailbox_id: int
    email: str
    policy: str
    started_at: int
    ended_at: int | None
    fault: str
    counts: Mapping[str, int]


def previews(connection: sa.Connection, policy: str, email: str | None = None) -> list[Preview]:
    """The previews of a policy's mailboxes, by address."""
    query = (
        sa.select(cycle, mailbox.c.email)
        .join(mailbox, mailbox.c.id == cycle.c.mailbox_id)
        .where(mailbox.c.policy == policy, mailbox.c.removed == 0)
        .where(cycle.c.kind == PREVIEW, cycle.c.state != DROPPED)
        .order_by(mailbox.c.email)
    )
    if email is not None:
        query = query.where(mailbox.c.email == email)
    return [
        Preview(
            row.id,
            row.mailbox_id,
            row.email,
            row.policy,
            row.started_at,
            row.ended_at,
            row.error,
            row.counts or {},
        )
        for row in connection.execute(query)
    ]


@dataclass(frozen=True, slots=True)
class Sum:
    """Lines of a kind for a mailbox and module: how many items, how many would wait, how many guests would be mailed."""

    mailbox_id: int
    module: str
    kind: str
    items: int
    held: int
    guests: int
    outdated: int


def sums(connection: sa.Connection, mailbox_ids: Sequence[int]) -> list[Sum]:
    """The lines of previews, summed by mailbox, module and kind."""
    # As ``lines`` tells it: nothing is left to do about a link that is neither on the work list nor coming in.
    coming = sa.exists().where(
        link.c.id == intent.c.link_id, link.c.state == "filtered", link.c.start_at.is_not(None)
    )
    over = sa.or_(
        intent.c.state == "outdated", sa.and_(intent.c.link_id > 0, dirty.c.link_id.is_(None), ~coming)
    )
    rows = select_in(
        connection,
        sa.select(
            intent.c.mailbox_id,
            intent.c.module,
            intent.c.kind,
            # A merge or an update that writes to both sides is one item; containers have no link.
            sa.func.count(
                sa.distinct(sa.case((intent.c.link_id > 0, intent.c.link_id), else_=-intent.c.id))
            ).label("items"),
            sa.func.sum(sa.case((intent.c.error != "", 1), else_=0)).label("held"),
            sa.func.sum(sa.case((intent.c.error == "", intent.c.guests), else_=0)).label("guests"),
            sa.func.sum(sa.case((over, 1), else_=0)).label("outdated"),
        )
        .outerjoin(dirty, dirty.c.link_id == intent.c.link_id)
        .where(intent.c.state.in_(STATES))
        .group_by(intent.c.mailbox_id, intent.c.module, intent.c.kind),
        intent.c.mailbox_id,
        mailbox_ids,
    )
    return [
        Sum(row.mailbox_id, row.module, row.kind, row.items, row.held, row.guests, row.outdated) for row in rows
    ]


def lines(
    connection: sa.Connection,
    mailbox_id: int,
    *,
    modules: Collection[str] | None = None,
    kinds: Collection[str] | None = None,
    ids: Collection[int] | None = None,
    after: int = 0,
    limit: int = 0,
) -> list[Proposal]:
    """Lines of a mailbox's preview in the order in which they would be carried out.

    Args:
        connection: a transaction.
        mailbox_id: whose.
        modules: of these alone.
        kinds: of these alone.
        ids: these alone; a line that writes to the other side of the same item comes with it.
        after: the id of the last line of the page before.
        limit: at most so many (and what belongs to the last item); 0 for all.
    """
    if (modules is not None and not modules) or (kinds is not None and not kinds):
        return []
    asked: dict[str, Any] = {"mailbox": mailbox_id, "after": after}
    if modules is not None:
        asked["modules"] = list(modules)
    if kinds is not None:
        asked["kinds"] = list(kinds)
    if ids is not None:
        wanted = {row.link_id for row in _LINKS_OF.among(connection, ids)} - {0}
        page = _page(modules is not None, kinds is not None, True, False)
        found = sorted(page.among(connection, sorted(wanted), **asked), key=lambda row: row.id)
    else:
        if limit:
            asked["most"] = limit + 1
        found = _page(modules is not None, kinds is not None, False, limit > 0).rows(connection, **asked)
        if limit and len(found) > limit:
            # The second line of an item goes to the same page as the first: they follow one another.
            last = found[limit]
            together = last.link_id and found[limit - 1].link_id == last.link_id
            found = found if together else found[:limit]
    due = {row.link_id for row in _DUE.among(connection, {row.link_id for row in found})}
    due |= _coming_in(connection, [row.link_id for row in found if row.link_id not in due])
    return [_proposal(row, row.link_id in due or row.link_id == 0) for row in found]


def _coming_in(connection: sa.Connection, link_ids: Sequence[int]) -> set[int]:
    """Filtered items beyond the window: they are previewed while they come in, and are not on the work list yet."""
    return {row.id for row in _COMING_IN.among(connection, set(link_ids))}


def _proposal(row: sa.Row[Any], due: bool) -> Proposal:
    outdated = row.state == "outdated" or not due
    return Proposal(
        row.link_id,
        row.module,
        row.kind,
        row.side,
        row.remote_id,
        row.fields or {},
        row.patch or {},
        row.before or {},
        row.etag,
        row.why,
        int(row.key.removeprefix("merge:") or 0),
        "" if row.state == "outdated" else row.error,
        row.guests,
        row.id,
        row.cycle_id,
        "outdated" if outdated else "proposed",
        row.error if row.state == "outdated" else NOT_DIRTY if outdated else "",
    )


# -- what becomes of them ------------------------------------------------------------------------------


def written(connection: sa.Connection, cycle_id: int, mailbox_id: int) -> dict[int, tuple[str, str]]:
    """What a cycle did with links: link id to (state of its last intent, error)."""
    rows = _WRITTEN.rows(connection, cycle=cycle_id, mailbox=mailbox_id)
    return {row.link_id: (row.state, row.error) for row in rows}


def settle(connection: sa.Connection, fence: Fence, over: Collection[int], outdated: Mapping[int, str]) -> None:
    """After an application: lines of links in ``over`` are gone, those of ``outdated`` keep their reason.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks(sorted(over)):
        connection.execute(
            sa.delete(intent).where(
                intent.c.mailbox_id == fence.mailbox_id, intent.c.link_id.in_(piece), intent.c.state.in_(STATES)
            )
        )
    for link_id, why in outdated.items():
        connection.execute(
            sa.update(intent)
            .where(
                intent.c.mailbox_id == fence.mailbox_id,
                intent.c.link_id == link_id,
                intent.c.state.in_(STATES),
            )
            .values(state="outdated", error=why)
        )


def drop(connection: sa.Connection, mailbox_ids: Sequence[int]) -> int:
    """Forget the previews of some mailboxes. Returns how many lines they had."""
    count = 0
    for piece in chunks(mailbox_ids):
        count += _FORGET_LINES.run(connection, ids=piece)
        _DROP.run(connection, ids=piece)
    return count


def drop_old(connection: sa.Connection, before: int) -> int:
    """Forget previews that were made before a time, epoch milliseconds. Returns how many lines they had."""
    old = connection.execute(
        sa.select(cycle.c.mailbox_id).where(
            cycle.c.kind == PREVIEW, cycle.c.state != DROPPED, cycle.c.started_at < before
        )
    ).scalars()
    return drop(connection, list(old))


def children(connection: sa.Connection, link_ids: Sequence[int]) -> list[tuple[int, int, str]]:
    """Changed occurrences of series: (link of the series, link of the occurrence, original start)."""
    rows = _CHILDREN.among(connection, link_ids)
    return [(row.parent_link, row.id, row.occurrence) for row in rows]


def coming_in(connection: sa.Connection, mailbox_id: int, until: int) -> list[int]:
    """Filtered items that have come into the calendar window, whose last start is ``until`` (epoch milliseconds)."""
    return _COME_IN.scalars(connection, mailbox=mailbox_id, until=until)
