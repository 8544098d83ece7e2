"""Units of work on feeds: their cursors, snapshots and generations, and what the ledger knows of their items."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import item, scope
from engine.ledger.sql import one_of
from engine.ledger.statement import Statement, at_once


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


_RECENT = Statement(
    sa.select(item.c.remote_id, item.c.etag, item.c.deleted).where(
        item.c.scope_id == sa.bindparam("scope_id"),
        sa.or_(
            item.c.written_at > sa.bindparam("since"),
            item.c.read_at > sa.bindparam("since"),
            item.c.deleted != 0,
        ),
        one_of(item.c.remote_id),
    )
)
_UNTOLD = Statement(
    sa.select(item.c.remote_id).where(
        item.c.scope_id == sa.bindparam("scope_id"),
        item.c.untold == sa.literal_column("1"),
        item.c.deleted == 0,
    )
)
_HERE = Statement(
    sa.select(item.c.id, item.c.remote_id, item.c.deleted, item.c.mailbox_id).where(
        item.c.scope_id == sa.bindparam("scope_id"), one_of(item.c.remote_id)
    )
)


def lately_known(
    connection: sa.Connection, scope_id: int, remote_ids: Sequence[str], since: int
) -> dict[str, str | None]:
    """What a late feed may show in an older version: remote id to the version that we know (None: deleted).

    Items that we wrote or read after ``since``, by id or in a feed, and all that we know as deleted: whether a feed shows such an item because it was
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


def not_listed(connection: sa.Connection, scope_id: int, generation: int) -> list[tuple[str, bool]]:
    """Live items that the complete snapshot ``generation`` did not list: (remote id, whether it is the user's own)."""
    rows = _NOT_LISTED.rows(connection, scope_id=scope_id, listed=generation)
    return [(row.remote_id, bool(row.own)) for row in rows]
