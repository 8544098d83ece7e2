"""Units of work that record what a feed showed: items, new links, dirty marks and the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.restored import beside, hold_restored, restored_beside
from engine.ledger.schema import Gone, dirty, item, link, match_key, scope
from engine.ledger.sql import insert_ids, set_columns
from engine.ledger.statement import Statement, at_once, chunks

#: ``dirty.not_before`` of a link that failed before and is being written now: not due, but its failures are kept.
WHILE_WRITING = 2**62


@dataclass(slots=True)
class ScopeRow:
    """A feed as the ledger knows it. ``generation`` counts complete snapshots; ``full_at`` is the time of the last.

    ``vanished_at``: when its container was last found to be gone; ``denied_at``: since when it may not be read;
    ``empty_at``: since when it lists nothing although it had items.
    """

    id: int
    key: str
    remote_id: str
    cursor: str | None
    generation: int
    read_at: int | None
    full_at: int | None
    vanished_at: int | None = None
    denied_at: int | None = None
    empty_at: int | None = None


def _scope_row(row: Any) -> ScopeRow:
    return ScopeRow(
        row.id,
        row.key,
        row.remote_id,
        row.cursor,
        row.generation,
        row.read_at,
        row.full_at,
        row.vanished_at,
        row.denied_at,
        row.empty_at,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """One item of a page, resolved to a mailbox and a module by the observer.

    Attributes:
        mailbox_id: whose; for a CRM feed the mailbox that it is fanned out to.
        own: the user's own item, outside the policy: remembered by its match keys only.
        keys: by which it may be matched to an item of the other side, strongest first (``ref:...`` before natural ones).
    """

    mailbox_id: int
    remote_id: str
    module: str
    fields: dict[str, Any]
    etag: str | None
    marker: str | None = None
    native: Any = None
    containers: tuple[str, ...] = ()
    parent: str | None = None
    occurrence: str | None = None
    modified: int | None = None
    own: bool = False
    keys: tuple[str, ...] = ()


@dataclass(slots=True)
class PageResult:
    """What a page changed."""

    new: int = 0
    changed: int = 0
    deleted: int = 0
    own: int = 0
    unchanged: int = 0


@dataclass(slots=True)
class _Changes:
    new: list[Seen] = field(default_factory=list)
    changed: list[tuple[Any, Seen]] = field(default_factory=list)
    quiet: list[tuple[Any, Seen]] = field(default_factory=list)
    gone: list[Any] = field(default_factory=list)
    same: list[int] = field(default_factory=list)


def _in(column: sa.ColumnElement[Any], name: str = "ids") -> sa.ColumnElement[bool]:
    return column.in_(sa.bindparam(name, expanding=True))


_SCOPES = Statement(
    sa.select(scope)
    .where(scope.c.policy == sa.bindparam("of_policy"), scope.c.mailbox_id == sa.bindparam("mailbox"))
    .order_by(scope.c.id)
)
_SCOPE = Statement(sa.select(scope).where(scope.c.id == sa.bindparam("scope_id")))
_SCOPE_NAMED = Statement(
    sa.select(scope).where(
        scope.c.policy == sa.bindparam("policy"),
        scope.c.mailbox_id == sa.bindparam("mailbox_id"),
        scope.c.side == sa.bindparam("side"),
        scope.c.key == sa.bindparam("key"),
    )
)


def _upsert_scope(insert: Any) -> Any:
    new = insert(scope)
    return new.on_conflict_do_update(
        index_elements=["policy", "mailbox_id", "side", "key"],
        set_={"remote_id": new.excluded.remote_id, "cursor": None},
        where=scope.c.remote_id != new.excluded.remote_id,
    )


_UPSERT_SCOPE = Statement(_upsert_scope, ("policy", "mailbox_id", "side", "key", "remote_id"))
_BEGIN_SNAPSHOT = Statement(
    sa.update(scope)
    .where(scope.c.id == sa.bindparam("scope_id"))
    .values(generation=scope.c.generation + 1, cursor=None)
    .returning(scope.c.generation)
)
_LIVE = Statement(
    sa.select(sa.func.count(item.c.remote_id.distinct()).label("live")).where(
        item.c.scope_id == sa.bindparam("scope_id"), item.c.deleted == 0
    )
)
_NOT_LISTED = Statement(
    sa.select(item.c.remote_id, item.c.own)
    .where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.deleted == 0,
        item.c.generation < sa.bindparam("listed"),
    )
    .distinct()
)


@at_once
def scopes_of(connection: sa.Connection, policy: str, mailbox_id: int) -> list[ScopeRow]:
    """All feeds of a mailbox (or of the policy's CRM, for 0)."""
    return [_scope_row(row) for row in _SCOPES.rows(connection, of_policy=policy, mailbox=mailbox_id)]


@at_once
def scope_by_id(connection: sa.Connection, scope_id: int) -> ScopeRow:
    """One feed as it stands now."""
    return _scope_row(_SCOPE.one(connection, scope_id=scope_id))


def ensure_scope(
    connection: sa.Connection, policy: str, mailbox_id: int, side: str, key: str, remote_id: str
) -> ScopeRow:
    """The feed's row, made when it is new. A changed container id starts the feed afresh."""
    named = {"policy": policy, "mailbox_id": mailbox_id, "side": side, "key": key}
    _UPSERT_SCOPE.run(connection, **named, remote_id=remote_id)
    return _scope_row(_SCOPE_NAMED.one(connection, **named))


def begin_snapshot(connection: sa.Connection, fence: Fence, scope_id: int) -> int:
    """Start a complete listing: the cursor is dropped and a new generation begins. Returns the generation."""
    check(connection, fence)
    generation: int = _BEGIN_SNAPSHOT.scalar(connection, scope_id=scope_id)
    return generation


def live_count(connection: sa.Connection, scope_id: int) -> int:
    """How many live items the ledger knows in a feed."""
    count: int = _LIVE.scalar(connection, scope_id=scope_id)
    return count


_KNOWN = Statement(
    sa.select(
        item.c.id,
        item.c.mailbox_id,
        item.c.remote_id,
        item.c.link_id,
        item.c.etag,
        item.c.fields,
        item.c.deleted,
        item.c.own,
        link.c.base.is_(None).label("lone"),
    )
    .outerjoin(link, link.c.id == item.c.link_id)
    .where(item.c.scope_id == sa.bindparam("scope_id"), _in(item.c.remote_id))
)


def _changes(
    connection: sa.Connection,
    scope_id: int,
    seen: Sequence[Seen],
    gone: Sequence[str],
    served: Collection[int],
) -> _Changes:
    """Compare a page with the ledger."""
    changes = _Changes()
    ids = list(dict.fromkeys([one.remote_id for one in seen] + list(gone)))
    known: dict[str, dict[int, Any]] = {}
    for found in _KNOWN.among(connection, ids, scope_id=scope_id):
        known.setdefault(found.remote_id, {})[found.mailbox_id] = found
    latest: dict[tuple[str, int], Seen] = {(one.remote_id, one.mailbox_id): one for one in seen}
    for (remote_id, mailbox_id), listed in latest.items():
        one, row = listed, known.get(remote_id, {}).get(mailbox_id)
        if row is not None and row.link_id is not None and one.own:
            one = replace(
                listed, own=False
            )  # a linked item that left our group or lost our colour stays linked
        if row is None:
            changes.new.append(one)
        elif row.deleted or (row.link_id is None and not one.own):
            changes.changed.append((row, one))
        elif row.etag is not None and row.etag == one.etag:
            changes.same.append(row.id)
        elif one.own or (row.fields or {}) == one.fields:
            # A new version of the same content: remember the version, wake nobody.
            changes.quiet.append((row, one))
        else:
            changes.changed.append((row, one))
    for remote_id, rows in known.items():
        for mailbox_id, old in rows.items():
            # Deleted, or (CRM feeds) no longer this mailbox's: it has gone to another owner.
            if not old.deleted and mailbox_id in served and (remote_id, mailbox_id) not in latest:
                changes.gone.append(old)
    return changes


def page_changes(
    connection: sa.Connection,
    scope_id: int,
    seen: Sequence[Seen],
    gone: Sequence[str],
    served: Collection[int],
) -> bool:
    """Whether recording this page would change anything; read only, so that an idle page commits nothing."""
    changes = _changes(connection, scope_id, seen, gone, served)
    return bool(changes.new or changes.changed or changes.quiet or changes.gone)


def record_page(
    connection: sa.Connection,
    fence: Fence,
    scope_id: int,
    side: str,
    seen: Sequence[Seen],
    gone: Sequence[str],
    served: Collection[int],
    *,
    cursor: str | None,
    generation: int,
    snapshot: bool,
    now: int,
    how: Gone = Gone.TOLD,
    untold: bool = False,
    told: Collection[str] = (),
    page: int = 1,
) -> PageResult:
    """Record one page.

    Args:
        connection: the write transaction.
        fence: of the mailbox, or of the policy for a CRM feed.
        scope_id: the feed.
        side: ``crm`` or ``mailbox``.
        seen: items that live.
        gone: remote ids that are deleted, or that no mailbox receives any more.
        served: mailboxes that this feed speaks for; rows of others are left alone.
        cursor: where the next read starts, on the last page only.
        generation: the snapshot's generation, stamped on what it lists.
        snapshot: whether this is a complete listing; its last page sets ``full_at``.
        now: engine clock.
        how: how far what is ``gone`` may be believed.
        untold: the feed tells net differences, and the cursor that is stored does not reach what this page shows.
        told: what the new cursor reaches of that.
        page: which page of this reading it is; an occurrence may be on an earlier one than its series.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    changes = _changes(connection, scope_id, seen, gone, served)
    result = PageResult(
        new=sum(not one.own for one in changes.new),
        changed=len(changes.changed),
        deleted=len(changes.gone),
        own=sum(one.own for one in changes.new),
        unchanged=len(changes.same) + len(changes.quiet),
    )
    # What is gone makes room: an item may have been restored in the place of the one that replaced it.
    if changes.gone:
        _bury(connection, [row.id for row in changes.gone], now, how)
    # Series before their changed occurrences, which are nothing without them.
    masters = [one for one in changes.new if one.parent is None]
    occurrences = [one for one in changes.new if one.parent is not None]
    if masters:
        _insert(connection, scope_id, side, masters, generation, now, untold=untold)
        if page > 1:
            # What this page shows as well is recorded with it (seed 116895).
            here = {(one.mailbox_id, one.remote_id) for one in seen}
            _adopt_occurrences(connection, scope_id, side, masters, here, generation, now, untold)
    if occurrences:
        _insert(
            connection,
            scope_id,
            side,
            occurrences,
            generation,
            now,
            keep_strays=snapshot or cursor is None,
            untold=untold,
        )
    _change(connection, scope_id, side, changes.changed, generation, now, untold)
    _renew_keys(connection, side, [(row, one) for row, one in changes.quiet if one.own])
    _NEW_VERSION.many(
        connection,
        [
            {
                "b_id": row.id,
                "b_etag": one.etag,
                "b_native": None if one.own else one.native,
                "b_containers": list(one.containers),
                "b_modified": one.modified,
                "b_generation": generation,
                "b_read_at": now,
            }
            for row, one in changes.quiet
        ],
    )
    if snapshot:
        _LISTED.run_among(connection, changes.same, b_generation=generation)
    if cursor is not None and snapshot:
        end_snapshot(connection, fence, scope_id, cursor, now)
    elif cursor is not None:
        if page > 1:
            _FORGET_STRAYS.run(connection, scope_id=scope_id)
        _TOLD.run_among(connection, told, scope_id=scope_id)
        set_columns(connection, scope, "id", scope_id, cursor=cursor, read_at=now)
    return result


def end_snapshot(
    connection: sa.Connection, fence: Fence, scope_id: int, cursor: str, now: int, *, net: bool = False
) -> None:
    """A complete listing has ended, and what it did not list is settled: from now on only changes are read.

    ``net``: the feed tells net differences; what was not listed, but lives, it has yet to tell of.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    _FORGET_STRAYS.run(connection, scope_id=scope_id)
    if net:
        _TOLD_BY_LISTING.run(connection, scope_id=scope_id)
        _LEFT_OUT.run(connection, scope_id=scope_id)
    set_columns(connection, scope, "id", scope_id, cursor=cursor, read_at=now, full_at=now)


_NEW_VERSION = Statement(
    sa.update(item)
    .where(item.c.id == sa.bindparam("b_id"))
    .values(
        {
            name: sa.bindparam(f"b_{name}")
            for name in ("etag", "native", "containers", "modified", "generation", "read_at")
        }
    )
)
_LISTED = Statement(sa.update(item).where(_in(item.c.id)).values(generation=sa.bindparam("b_generation")))
_GONE = Statement(
    sa.update(item)
    .where(item.c.id == sa.bindparam("b_id"))
    .values(deleted=sa.bindparam("b_how"), read_at=sa.bindparam("b_now"))
)
_DROP_KEYS = Statement(sa.delete(match_key).where(match_key.c.item_id == sa.bindparam("b_id")))
_LINKS_OF = Statement(sa.select(item.c.link_id).where(_in(item.c.id), item.c.link_id.is_not(None)))
# Occurrences whose series never came are the user's own: nothing of what they say is kept.
_FORGET_STRAYS = Statement(
    sa.update(item)
    .where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.own == 1,
        item.c.parent.is_not(None),
        item.c.fields.is_not(None),
    )
    .values(fields=None, native=None)
)


def _bury(connection: sa.Connection, item_ids: Sequence[int], now: int, how: Gone) -> None:
    _GONE.many(connection, [{"b_id": one, "b_now": now, "b_how": int(how)} for one in item_ids])
    mark_dirty(connection, waiting_for(connection, item_ids))
    _DROP_KEYS.many(connection, [{"b_id": one} for one in item_ids])
    links = [row.link_id for row in _LINKS_OF.among(connection, item_ids)]
    mark_dirty(connection, [*links, *beside(connection, links)])


_GONE_KEY, _HELD_KEY = match_key.alias("gone"), match_key.alias("held")
_WAITING_FOR = Statement(
    sa.select(link.c.id)
    .distinct()
    .select_from(_GONE_KEY)
    .join(
        _HELD_KEY, sa.and_(_HELD_KEY.c.mailbox_id == _GONE_KEY.c.mailbox_id, _HELD_KEY.c.key == _GONE_KEY.c.key)
    )
    .join(item, item.c.id == _HELD_KEY.c.item_id)
    .join(link, link.c.id == item.c.link_id)
    .where(_in(_GONE_KEY.c.item_id), _HELD_KEY.c.side != _GONE_KEY.c.side, link.c.state == "held")
)


def waiting_for(connection: sa.Connection, item_ids: Sequence[int]) -> list[int]:
    """Held links that wait because of these items of the user's own: they may go on when the item is gone."""
    return [row.id for row in _WAITING_FOR.among(connection, item_ids)]


_RECENT = Statement(
    sa.select(item.c.remote_id, item.c.etag, item.c.deleted).where(
        item.c.scope_id == sa.bindparam("scope_id"),
        sa.or_(item.c.written_at > sa.bindparam("since"), item.c.deleted != 0),
        _in(item.c.remote_id),
    )
)
_UNTOLD = Statement(
    sa.select(item.c.remote_id).where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.untold == sa.literal_column("1"),
        item.c.deleted == 0,
    )
)
_TOLD = Statement(
    sa.update(item)
    .where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.untold == sa.literal_column("1"),
        _in(item.c.remote_id),
    )
    .values(untold=0)
)
_GENERATION = sa.select(scope.c.generation).where(scope.c.id == sa.bindparam("scope_id")).scalar_subquery()
_TOLD_BY_LISTING = Statement(
    sa.update(item)
    .where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.untold == sa.literal_column("1"),
        item.c.generation == _GENERATION,
    )
    .values(untold=0)
)
_LEFT_OUT = Statement(
    sa.update(item)
    .where(item.c.scope_id == sa.bindparam("scope_id"), item.c.deleted == 0, item.c.generation < _GENERATION)
    .values(untold=1)
)
_HERE = Statement(
    sa.select(item.c.id, item.c.remote_id, item.c.deleted, item.c.mailbox_id).where(
        item.c.scope_id == sa.bindparam("scope_id"), _in(item.c.remote_id)
    )
)


def recently_written(
    connection: sa.Connection, scope_id: int, remote_ids: Sequence[str], since: int
) -> dict[str, str | None]:
    """What a late feed may show in an older version: remote id to the version that we know (None: deleted).

    Items that we wrote after ``since``, and all that we know as deleted: whether a feed shows such an item because it was
    restored, or because it has not heard of the end yet, only the item itself can tell.
    """
    rows = _RECENT.among(connection, remote_ids, scope_id=scope_id, since=since)
    return {row.remote_id: None if row.deleted else row.etag for row in rows}


@at_once
def untold(connection: sa.Connection, scope_id: int) -> list[str]:
    """Live items that we know, and that the state which a feed's cursor stands for does not hold."""
    return [row.remote_id for row in _UNTOLD.rows(connection, scope_id=scope_id)]


def known_ids(
    connection: sa.Connection, scope_id: int, mailbox_id: int, remote_ids: Sequence[str]
) -> list[str]:
    """Those of the ids that a mailbox has in a feed."""
    rows = _HERE.among(connection, remote_ids, scope_id=scope_id)
    return [row.remote_id for row in rows if row.mailbox_id == mailbox_id]


def bury_missing(
    connection: sa.Connection,
    fence: Fence,
    scope_id: int,
    remote_ids: Sequence[str],
    now: int,
    how: Gone = Gone.ABSENT,
) -> int:
    """Mark items as deleted whose absence was proved by id. Returns how many."""
    check(connection, fence)
    ids = [row.id for row in _HERE.among(connection, remote_ids, scope_id=scope_id) if not row.deleted]
    _bury(connection, ids, now, how)
    return len(ids)


def not_listed(connection: sa.Connection, scope_id: int, generation: int) -> list[tuple[str, bool]]:
    """Live items that the complete snapshot ``generation`` did not list: (remote id, whether it is the user's own)."""
    rows = _NOT_LISTED.rows(connection, scope_id=scope_id, listed=generation)
    return [(row.remote_id, bool(row.own)) for row in rows]


_MARK_DIRTY = Statement(
    lambda insert: (
        insert(dirty)
        .from_select(
            ["link_id", "mailbox_id", "module"],
            sa.select(link.c.id, link.c.mailbox_id, link.c.module).where(_in(link.c.id)),
        )
        .on_conflict_do_update(index_elements=["link_id"], set_={"not_before": 0, "deferred": 0})
    )
)
_WAITING_OCCURRENCES = Statement(
    sa.select(link.c.id).where(_in(link.c.parent_link), link.c.state == "filtered")
)


def mark_dirty(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Put links on the work list, to be looked at now; a waiting back-off ends, since something changed."""
    _MARK_DIRTY.run_among(connection, link_ids)


def wake_occurrences(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Put changed occurrences that had nowhere to go back on the work list: their series is on both sides now."""
    mark_dirty(connection, [row.id for row in _WAITING_OCCURRENCES.among(connection, link_ids)])


_AGREED_OCCURRENCES = Statement(
    sa.select(link.c.id).where(
        link.c.parent_link.in_(sa.bindparam("ids", expanding=True)),
        link.c.base.is_not(None),
        link.c.state != "tombstone",
    )
)


def occurrences_afresh(connection: sa.Connection, link_ids: Sequence[int], side: str) -> None:
    """A series was made again on a side: what its changed occurrences were there went with the old one.

    They are made anew on the new one, from what the other side shows.
    """
    for children in chunks([row.id for row in _AGREED_OCCURRENCES.among(connection, link_ids)]):
        connection.execute(
            sa.update(item)
            .where(item.c.link_id.in_(children), item.c.side == side, item.c.deleted == 0)
            .values(deleted=Gone.TOLD)
        )
        connection.execute(
            sa.update(item).where(item.c.link_id.in_(children), item.c.side == side).values(link_id=None)
        )
        connection.execute(
            sa.update(link)
            .where(link.c.id.in_(children))
            .values(base=None, state="new", reason="", generation=link.c.generation + 1)
        )
        mark_dirty(connection, children)


_KEY = Statement(
    lambda insert: insert(match_key).on_conflict_do_nothing(), ("mailbox_id", "key", "side", "item_id")
)


def _insert(
    connection: sa.Connection,
    scope_id: int,
    side: str,
    seen: Sequence[Seen],
    generation: int,
    now: int,
    *,
    keep_strays: bool = False,
    untold: bool = False,
) -> None:
    """Insert new items; what is not the user's own gets a link of its own until a match is found.

    ``keep_strays``: occurrences whose series is not known keep their fields, since a later page may bring the series.
    """
    parents = _parent_links(connection, scope_id, [one for one in seen if one.parent])
    # A changed occurrence of a series that is the user's own is the user's own as well.
    seen = [
        replace(one, own=True) if one.parent and (one.mailbox_id, one.parent) not in parents else one
        for one in seen
    ]
    free = _occurrence_links(connection, side, seen, parents)
    links: list[int | None] = [None] * len(seen)
    fresh: list[int] = []
    for index, one in enumerate(seen):
        if one.own:
            continue
        parent = parents.get((one.mailbox_id, one.parent or ""))
        existing = free.get((parent, one.occurrence)) if parent else None
        if existing is not None:
            links[index] = existing
        else:
            fresh.append(index)
    ids = insert_ids(
        connection,
        link,
        [
            {
                "mailbox_id": seen[index].mailbox_id,
                "module": seen[index].module,
                "parent_link": parents.get((seen[index].mailbox_id, seen[index].parent or "")),
                "occurrence": seen[index].occurrence,
            }
            for index in fresh
        ],
    )
    for index, link_id in zip(fresh, ids, strict=True):
        links[index] = link_id
    item_ids = insert_ids(
        connection,
        item,
        [
            {
                "mailbox_id": one.mailbox_id,
                "side": side,
                "scope_id": scope_id,
                "remote_id": one.remote_id,
                "link_id": link_id,
                **_item_values(one, generation, now),
                "untold": int(untold),
                **({"fields": one.fields, "native": one.native} if keep_strays else {}),
            }
            for one, link_id in zip(seen, links, strict=True)
        ],
    )
    keys = [
        {"mailbox_id": one.mailbox_id, "side": side, "item_id": item_id, "key": key}
        for one, item_id in zip(seen, item_ids, strict=True)
        for key in one.keys
    ]
    _KEY.many(connection, keys)
    mark_dirty(connection, [link_id for link_id in links if link_id is not None])


_STRAYS = Statement(
    sa.select(item).where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.link_id.is_(None),
        item.c.deleted == 0,
        item.c.fields.is_not(None),
        item.c.parent.is_not(None),
    )
)
_KEYS_OF = Statement(sa.select(match_key.c.item_id, match_key.c.key).where(_in(match_key.c.item_id)))
_DROP_ITEM = Statement(sa.delete(item).where(item.c.id == sa.bindparam("b_id")))


def _adopt_occurrences(
    connection: sa.Connection,
    scope_id: int,
    side: str,
    masters: Sequence[Seen],
    here: Collection[tuple[int, str]],
    generation: int,
    now: int,
    untold: bool,
) -> None:
    """Link the occurrences that an earlier page of this reading showed before their series, but those that are ``here``."""
    wanted = {(one.mailbox_id, one.remote_id) for one in masters if not one.own and one.fields.get("rule")}
    if not wanted:
        return
    strays = {
        row.id: row
        for row in _STRAYS.rows(connection, scope_id=scope_id)
        if (row.mailbox_id, row.parent) in wanted and (row.mailbox_id, row.remote_id) not in here
    }
    if not strays:
        return
    keys: dict[int, list[str]] = {}
    for row in _KEYS_OF.among(connection, strays):
        keys.setdefault(row.item_id, []).append(row.key)
    _DROP_KEYS.many(connection, [{"b_id": one} for one in strays])
    _DROP_ITEM.many(connection, [{"b_id": one} for one in strays])
    found = [
        Seen(
            mailbox_id=row.mailbox_id,
            remote_id=row.remote_id,
            module=row.module,
            fields=row.fields,
            etag=row.etag,
            marker=row.marker,
            native=row.native,
            containers=tuple(row.containers or ()),
            parent=row.parent,
            occurrence=row.occurrence,
            modified=row.modified,
            keys=tuple(keys.get(row.id, ())),
        )
        for row in strays.values()
    ]
    _insert(connection, scope_id, side, found, generation, now, untold=untold)


def _item_values(one: Seen, generation: int, now: int) -> dict[str, Any]:
    return {
        "module": one.module,
        "etag": one.etag,
        "marker": one.marker,
        "fields": None if one.own else one.fields,
        "accepted": None,
        "native": None if one.own else one.native,
        "containers": list(one.containers),
        "parent": one.parent,
        "occurrence": one.occurrence,
        "modified": one.modified,
        "deleted": 0,
        "own": int(one.own),
        "generation": generation,
        "read_at": now,
    }


_SHOWN = (
    "etag",
    "fields",
    "native",
    "containers",
    "parent",
    "occurrence",
    "modified",
    "deleted",
    "own",
    "generation",
    "read_at",
)
_CHANGED = Statement(
    sa.update(item)
    .where(item.c.id == sa.bindparam("b_id"))
    .values(
        {
            **{name: sa.bindparam(f"b_{name}") for name in _SHOWN},
            # A mark that an item once carried stays known.
            "marker": sa.func.coalesce(sa.bindparam("b_marker", type_=sa.Text), item.c.marker),
            "untold": sa.func.coalesce(sa.bindparam("b_untold", type_=sa.BigInteger), item.c.untold),
        }
    )
)


def _change(
    connection: sa.Connection,
    scope_id: int,
    side: str,
    changed: Sequence[tuple[Any, Seen]],
    generation: int,
    now: int,
    untold: bool,
) -> None:
    """Items that we knew show something else."""
    restored = restored_beside(connection, side, changed)
    apart = {row.id for row, _ in restored}
    # The user put an own item under the policy, or we knew it only as a tombstone without link.
    ours = restored + [(row, one) for row, one in changed if row.link_id is None and not one.own]
    _DROP_KEYS.many(connection, [{"b_id": row.id} for row, _ in ours])
    _DROP_ITEM.many(connection, [{"b_id": row.id} for row, _ in ours])
    for _, one in ours:
        _insert(connection, scope_id, side, [one], generation, now, untold=untold)
    hold_restored(connection, scope_id, [(one.mailbox_id, one.remote_id, row.link_id) for row, one in restored])
    known = [(row, one) for row, one in changed if (row.link_id is not None and row.id not in apart) or one.own]
    rows = []
    for row, one in known:
        # Of an item that lives on the feed has told or not, as before.
        values = {
            **_item_values(one, generation, now),
            "id": row.id,
            "untold": int(untold) if row.deleted else None,
        }
        rows.append({f"b_{name}": values[name] for name in ("id", "marker", "untold", *_SHOWN)})
    _CHANGED.many(connection, rows)
    _renew_keys(connection, side, [(row, one) for row, one in known if row.link_id is None or row.lone])
    mark_dirty(connection, [row.link_id for row, _ in known if row.link_id is not None])


def _renew_keys(connection: sa.Connection, side: str, pairs: Sequence[tuple[Any, Seen]]) -> None:
    """Items without twin may be found under other keys from now on; who waited because of the old ones is woken."""
    ids = [row.id for row, _ in pairs]
    mark_dirty(connection, waiting_for(connection, ids))
    _DROP_KEYS.many(connection, [{"b_id": one} for one in ids])
    _KEY.many(
        connection,
        [
            {"mailbox_id": one.mailbox_id, "side": side, "item_id": row.id, "key": key}
            for row, one in pairs
            for key in one.keys
        ],
    )


_MASTERS = Statement(
    sa.select(item.c.mailbox_id, item.c.remote_id, item.c.link_id).where(
        item.c.scope_id == sa.bindparam("scope_id"), item.c.link_id.is_not(None), _in(item.c.remote_id)
    )
)
_VACANT = Statement(
    sa.select(link.c.id, link.c.parent_link, link.c.occurrence).where(
        link.c.occurrence.is_not(None),
        ~sa.exists().where(
            item.c.link_id == link.c.id, item.c.side == sa.bindparam("of_side"), item.c.deleted == 0
        ),
        _in(link.c.parent_link),
    )
)


def _parent_links(connection: sa.Connection, scope_id: int, seen: Sequence[Seen]) -> dict[tuple[int, str], int]:
    """The link of each series master, by mailbox and remote id."""
    if not seen:
        return {}
    rows = _MASTERS.among(connection, {one.parent for one in seen}, scope_id=scope_id)
    return {(row.mailbox_id, row.remote_id): row.link_id for row in rows}


def _occurrence_links(
    connection: sa.Connection, side: str, seen: Sequence[Seen], parents: dict[tuple[int, str], int]
) -> dict[tuple[int | None, str | None], int]:
    """Links of changed occurrences that have no live item on this side yet, by master's link and original start."""
    if not parents:
        return {}
    rows = _VACANT.among(connection, set(parents.values()), of_side=side)
    return {(row.parent_link, row.occurrence): row.id for row in rows}
