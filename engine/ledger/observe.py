"""Units of work that record what a feed showed: items, new links, dirty marks and the cursor in one transaction."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import sqlalchemy as sa

from engine.ledger.feeds import _HERE
from engine.ledger.fence import Fence, check
from engine.ledger.restored import beside, hold_restored, restored_beside
from engine.ledger.schema import Gone, item, link, match_key, scope
from engine.ledger.sql import insert_ids, one_of, set_columns
from engine.ledger.statement import Statement
from engine.ledger.worklist import mark_dirty, waiting_for


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
    .where(item.c.scope_id == sa.bindparam("scope_id"), one_of(item.c.remote_id))
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
_LISTED = Statement(sa.update(item).where(one_of(item.c.id)).values(generation=sa.bindparam("b_generation")))
_GONE = Statement(
    sa.update(item)
    .where(item.c.id == sa.bindparam("b_id"))
    .values(deleted=sa.bindparam("b_how"), read_at=sa.bindparam("b_now"))
)
_DROP_KEYS = Statement(sa.delete(match_key).where(match_key.c.item_id == sa.bindparam("b_id")))
_LINKS_OF = Statement(sa.select(item.c.link_id).where(one_of(item.c.id), item.c.link_id.is_not(None)))
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


_TOLD = Statement(
    sa.update(item)
    .where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.untold == sa.literal_column("1"),
        one_of(item.c.remote_id),
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
_KEYS_OF = Statement(sa.select(match_key.c.item_id, match_key.c.key).where(one_of(match_key.c.item_id)))
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
        item.c.scope_id == sa.bindparam("scope_id"), item.c.link_id.is_not(None), one_of(item.c.remote_id)
    )
)
_VACANT = Statement(
    sa.select(link.c.id, link.c.parent_link, link.c.occurrence).where(
        link.c.occurrence.is_not(None),
        ~sa.exists().where(
            item.c.link_id == link.c.id, item.c.side == sa.bindparam("of_side"), item.c.deleted == 0
        ),
        one_of(link.c.parent_link),
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
