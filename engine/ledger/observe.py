"""Units of work that record what a feed showed: items, new links, dirty marks and the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import dirty, item, link, match_key, scope
from engine.ledger.sql import chunks, insert, insert_ids, select_in

#: ``dirty.not_before`` of a link that failed before and is being written now: not due, but its failures are kept.
WHILE_WRITING = 2**62


@dataclass(frozen=True, slots=True)
class ScopeRow:
    """A feed as the ledger knows it. ``generation`` counts complete snapshots; ``full_at`` is the time of the last."""

    id: int
    key: str
    remote_id: str
    cursor: str | None
    generation: int
    read_at: int | None
    full_at: int | None


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
    changed: list[tuple[sa.Row[Any], Seen]] = field(default_factory=list)
    quiet: list[tuple[sa.Row[Any], Seen]] = field(default_factory=list)
    gone: list[sa.Row[Any]] = field(default_factory=list)
    same: list[int] = field(default_factory=list)


def scopes_of(connection: sa.Connection, policy: str, mailbox_id: int) -> list[ScopeRow]:
    """All feeds of a mailbox (or of the policy's CRM, for 0)."""
    rows = connection.execute(
        sa.select(scope).where(scope.c.policy == policy, scope.c.mailbox_id == mailbox_id).order_by(scope.c.id)
    )
    return [
        ScopeRow(row.id, row.key, row.remote_id, row.cursor, row.generation, row.read_at, row.full_at)
        for row in rows
    ]


# Statements are costly to build; those that every cycle asks for are built once.
_SCOPE = sa.select(scope).where(scope.c.id == sa.bindparam("scope_id"))
_LIVE = sa.select(sa.func.count()).where(item.c.scope_id == sa.bindparam("scope_id"), item.c.deleted == 0)
_NOT_LISTED = (
    sa.select(item.c.remote_id, item.c.own)
    .where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.deleted == 0,
        item.c.generation < sa.bindparam("listed"),
    )
    .distinct()
)


def scope_by_id(connection: sa.Connection, scope_id: int) -> ScopeRow:
    """One feed as it stands now."""
    row = connection.execute(_SCOPE, {"scope_id": scope_id}).one()
    return ScopeRow(row.id, row.key, row.remote_id, row.cursor, row.generation, row.read_at, row.full_at)


def ensure_scope(
    connection: sa.Connection, policy: str, mailbox_id: int, side: str, key: str, remote_id: str
) -> ScopeRow:
    """The feed's row, made when it is new. A changed container id starts the feed afresh."""
    statement = insert(connection, scope).values(
        policy=policy, mailbox_id=mailbox_id, side=side, key=key, remote_id=remote_id
    )
    connection.execute(
        statement.on_conflict_do_update(
            index_elements=["policy", "mailbox_id", "side", "key"],
            set_={"remote_id": remote_id, "cursor": None},
            where=scope.c.remote_id != remote_id,
        )
    )
    row = connection.execute(
        sa.select(scope).where(
            scope.c.policy == policy,
            scope.c.mailbox_id == mailbox_id,
            scope.c.side == side,
            scope.c.key == key,
        )
    ).one()
    return ScopeRow(row.id, row.key, row.remote_id, row.cursor, row.generation, row.read_at, row.full_at)


def begin_snapshot(connection: sa.Connection, fence: Fence, scope_id: int) -> int:
    """Start a complete listing: the cursor is dropped and a new generation begins. Returns the generation."""
    check(connection, fence)
    generation: int = connection.execute(
        sa.update(scope)
        .where(scope.c.id == scope_id)
        .values(generation=scope.c.generation + 1, cursor=None)
        .returning(scope.c.generation)
    ).scalar_one()
    return generation


def live_count(connection: sa.Connection, scope_id: int) -> int:
    """How many live items the ledger knows in a feed."""
    return connection.execute(_LIVE, {"scope_id": scope_id}).scalar_one()


_KNOWN = sa.select(
    item.c.id,
    item.c.mailbox_id,
    item.c.remote_id,
    item.c.link_id,
    item.c.etag,
    item.c.module,
    item.c.fields,
    item.c.containers,
    item.c.deleted,
    item.c.own,
    item.c.native,
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
    known: dict[str, dict[int, sa.Row[Any]]] = {}
    for found in select_in(connection, _KNOWN.where(item.c.scope_id == scope_id), item.c.remote_id, ids):
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
    # Series before their changed occurrences, which are nothing without them.
    masters = [one for one in changes.new if one.parent is None]
    occurrences = [one for one in changes.new if one.parent is not None]
    if masters:
        _insert(connection, scope_id, side, masters, generation, now)
        if snapshot:
            _adopt_occurrences(connection, scope_id, side, masters, generation, now)
    if occurrences:
        _insert(connection, scope_id, side, occurrences, generation, now, keep_strays=snapshot)
    for row, one in changes.changed:
        _change(connection, scope_id, side, row, one, generation, now)
    _renew_keys(connection, side, [(row, one) for row, one in changes.quiet if one.own])
    if changes.quiet:
        connection.execute(
            sa.update(item)
            .where(item.c.id == sa.bindparam("b_id"))
            .values(
                etag=sa.bindparam("b_etag"),
                native=sa.bindparam("b_native"),
                containers=sa.bindparam("b_containers"),
                modified=sa.bindparam("b_modified"),
                generation=generation,
                read_at=now,
            ),
            [
                {
                    "b_id": row.id,
                    "b_etag": one.etag,
                    "b_native": None if one.own else one.native,
                    "b_containers": list(one.containers),
                    "b_modified": one.modified,
                }
                for row, one in changes.quiet
            ],
        )
    if changes.same and snapshot:
        for piece in chunks(changes.same):
            connection.execute(sa.update(item).where(item.c.id.in_(piece)).values(generation=generation))
    if changes.gone:
        _bury(connection, [row.id for row in changes.gone], now)
    if cursor is not None:
        values: dict[str, Any] = {"cursor": cursor, "read_at": now}
        if snapshot:
            values["full_at"] = now
            _forget_strays(connection, scope_id)
        connection.execute(sa.update(scope).where(scope.c.id == scope_id).values(**values))
    return result


def _bury(connection: sa.Connection, item_ids: Sequence[int], now: int) -> None:
    for piece in chunks(item_ids):
        connection.execute(sa.update(item).where(item.c.id.in_(piece)).values(deleted=1, read_at=now))
        mark_dirty(connection, waiting_for(connection, piece))
        connection.execute(sa.delete(match_key).where(match_key.c.item_id.in_(piece)))
        mark_dirty(
            connection,
            [
                row.link_id
                for row in connection.execute(
                    sa.select(item.c.link_id).where(item.c.id.in_(piece), item.c.link_id.is_not(None))
                )
            ],
        )


def waiting_for(connection: sa.Connection, item_ids: Sequence[int]) -> list[int]:
    """Held links that wait because of these items of the user's own: they may go on when the item is gone."""
    gone, held = match_key.alias("gone"), match_key.alias("held")
    return list(
        connection.execute(
            sa.select(link.c.id)
            .distinct()
            .select_from(gone)
            .join(held, sa.and_(held.c.mailbox_id == gone.c.mailbox_id, held.c.key == gone.c.key))
            .join(item, item.c.id == held.c.item_id)
            .join(link, link.c.id == item.c.link_id)
            .where(gone.c.item_id.in_(item_ids), held.c.side != gone.c.side, link.c.state == "held")
        ).scalars()
    )


def recently_written(
    connection: sa.Connection, scope_id: int, remote_ids: Sequence[str], since: int
) -> dict[str, str | None]:
    """Items that we wrote after ``since``: remote id to the version we got back (None: deleted); a late feed is older."""
    rows = select_in(
        connection,
        sa.select(item.c.remote_id, item.c.etag, item.c.deleted).where(
            item.c.scope_id == scope_id, item.c.written_at > since
        ),
        item.c.remote_id,
        remote_ids,
    )
    return {row.remote_id: None if row.deleted else row.etag for row in rows}


def known_ids(
    connection: sa.Connection, scope_id: int, mailbox_id: int, remote_ids: Sequence[str]
) -> list[str]:
    """Those of the ids that a mailbox has in a feed."""
    rows = select_in(
        connection,
        sa.select(item.c.remote_id).where(item.c.scope_id == scope_id, item.c.mailbox_id == mailbox_id),
        item.c.remote_id,
        remote_ids,
    )
    return [row.remote_id for row in rows]


def bury_missing(
    connection: sa.Connection, fence: Fence, scope_id: int, remote_ids: Sequence[str], now: int
) -> int:
    """Mark items as deleted whose absence was proved by id. Returns how many."""
    check(connection, fence)
    ids = [
        row.id
        for row in select_in(
            connection,
            sa.select(item.c.id).where(item.c.scope_id == scope_id, item.c.deleted == 0),
            item.c.remote_id,
            remote_ids,
        )
    ]
    _bury(connection, ids, now)
    return len(ids)


def not_listed(connection: sa.Connection, scope_id: int, generation: int) -> list[tuple[str, bool]]:
    """Live items that the complete snapshot ``generation`` did not list: (remote id, whether it is the user's own)."""
    rows = connection.execute(_NOT_LISTED, {"scope_id": scope_id, "listed": generation})
    return [(row.remote_id, bool(row.own)) for row in rows]


def mark_dirty(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Put links on the work list, to be looked at now; a waiting back-off ends, since something changed."""
    for piece in chunks(link_ids):
        rows = connection.execute(
            sa.select(link.c.id, link.c.mailbox_id, link.c.module).where(link.c.id.in_(piece))
        ).all()
        if rows:
            connection.execute(
                insert(connection, dirty).on_conflict_do_update(
                    index_elements=["link_id"], set_={"not_before": 0}
                ),
                [{"link_id": row.id, "mailbox_id": row.mailbox_id, "module": row.module} for row in rows],
            )


def wake_occurrences(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Put changed occurrences that had nowhere to go back on the work list: their series is on both sides now."""
    for piece in chunks(link_ids):
        query = sa.select(link.c.id).where(link.c.parent_link.in_(piece), link.c.state == "filtered")
        mark_dirty(connection, connection.execute(query).scalars().all())


def _insert(
    connection: sa.Connection,
    scope_id: int,
    side: str,
    seen: Sequence[Seen],
    generation: int,
    now: int,
    *,
    keep_strays: bool = False,
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
    if keys:
        connection.execute(insert(connection, match_key).on_conflict_do_nothing(), keys)
    mark_dirty(connection, [link_id for link_id in links if link_id is not None])


def _adopt_occurrences(
    connection: sa.Connection, scope_id: int, side: str, masters: Sequence[Seen], generation: int, now: int
) -> None:
    """Link the occurrences that an earlier page of this snapshot listed before their series."""
    wanted = {(one.mailbox_id, one.remote_id) for one in masters if not one.own and one.fields.get("rule")}
    strays = {
        row.id: row
        for row in select_in(
            connection,
            sa.select(item).where(
                item.c.scope_id == scope_id,
                item.c.link_id.is_(None),
                item.c.deleted == 0,
                item.c.fields.is_not(None),
            ),
            item.c.parent,
            list({remote_id for _, remote_id in wanted}),
        )
        if (row.mailbox_id, row.parent) in wanted
    }
    if not strays:
        return
    keys: dict[int, list[str]] = {}
    for row in select_in(connection, sa.select(match_key), match_key.c.item_id, list(strays)):
        keys.setdefault(row.item_id, []).append(row.key)
    for piece in chunks(list(strays)):
        connection.execute(sa.delete(match_key).where(match_key.c.item_id.in_(piece)))
        connection.execute(sa.delete(item).where(item.c.id.in_(piece)))
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
    _insert(connection, scope_id, side, found, generation, now)


def _forget_strays(connection: sa.Connection, scope_id: int) -> None:
    """Occurrences whose series never came are the user's own: nothing of what they say is kept."""
    connection.execute(
        sa.update(item)
        .where(
            item.c.scope_id == scope_id,
            item.c.own == 1,
            item.c.parent.is_not(None),
            item.c.fields.is_not(None),
        )
        .values(fields=None, native=None)
    )


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


def _change(
    connection: sa.Connection,
    scope_id: int,
    side: str,
    row: sa.Row[Any],
    one: Seen,
    generation: int,
    now: int,
) -> None:
    """An item that we knew shows something else."""
    if row.link_id is None and not one.own:
        # The user put an own item under the policy, or we knew it only as a tombstone without link.
        connection.execute(sa.delete(match_key).where(match_key.c.item_id == row.id))
        connection.execute(sa.delete(item).where(item.c.id == row.id))
        _insert(connection, scope_id, side, [one], generation, now)
        return
    values = _item_values(one, generation, now)
    values.pop("accepted")
    values.pop("module")
    if one.marker is None:
        values.pop("marker")
    connection.execute(sa.update(item).where(item.c.id == row.id).values(**values))
    if row.link_id is not None:
        if connection.execute(sa.select(link.c.base.is_(None)).where(link.c.id == row.link_id)).scalar():
            _renew_keys(connection, side, [(row, one)])
        mark_dirty(connection, [row.link_id])
    else:
        _renew_keys(connection, side, [(row, one)])


def _renew_keys(connection: sa.Connection, side: str, pairs: Sequence[tuple[sa.Row[Any], Seen]]) -> None:
    """Items without twin may be found under other keys from now on; who waited because of the old ones is woken."""
    for piece in chunks(pairs):
        ids = [row.id for row, _ in piece]
        mark_dirty(connection, waiting_for(connection, ids))
        connection.execute(sa.delete(match_key).where(match_key.c.item_id.in_(ids)))
        keys = [
            {"mailbox_id": one.mailbox_id, "side": side, "item_id": row.id, "key": key}
            for row, one in piece
            for key in one.keys
        ]
        if keys:
            connection.execute(insert(connection, match_key).on_conflict_do_nothing(), keys)


def _parent_links(connection: sa.Connection, scope_id: int, seen: Sequence[Seen]) -> dict[tuple[int, str], int]:
    """The link of each series master, by mailbox and remote id."""
    if not seen:
        return {}
    rows = select_in(
        connection,
        sa.select(item.c.mailbox_id, item.c.remote_id, item.c.link_id).where(
            item.c.scope_id == scope_id, item.c.link_id.is_not(None)
        ),
        item.c.remote_id,
        list({one.parent for one in seen}),
    )
    return {(row.mailbox_id, row.remote_id): row.link_id for row in rows}


def _occurrence_links(
    connection: sa.Connection, side: str, seen: Sequence[Seen], parents: dict[tuple[int, str], int]
) -> dict[tuple[int | None, str | None], int]:
    """Links of changed occurrences that have no live item on this side yet, by master's link and original start."""
    if not parents:
        return {}
    taken = sa.exists().where(item.c.link_id == link.c.id, item.c.side == side, item.c.deleted == 0)
    rows = select_in(
        connection,
        sa.select(link.c.id, link.c.parent_link, link.c.occurrence).where(
            link.c.occurrence.is_not(None), ~taken
        ),
        link.c.parent_link,
        list(set(parents.values())),
    )
    return {(row.parent_link, row.occurrence): row.id for row in rows}
