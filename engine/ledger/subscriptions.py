"""Units of work on subscriptions: what providers were asked to tell us by themselves, and what they last told."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import subscription
from engine.ledger.sql import insert_ids, set_columns, setting

#: States of a subscription that notifications may come for.
CURRENT = ("asked", "live")


@dataclass(slots=True)
class SubscriptionRecord:
    """One subscription; ``name`` is the one that we chose. Times are epoch milliseconds. It holds no token."""

    id: int
    connection: str
    mailbox_id: int
    scope: str
    mode: str
    remote_id: str
    resource: str
    watermark: str
    state: str
    made_at: int
    expires_at: int | None = None
    pinged_at: int | None = None
    changed_at: int | None = None
    not_before: int = 0
    attempts: int = 0
    error: str = ""


def current(conn: sa.Connection) -> list[SubscriptionRecord]:
    """Those that are not over."""
    rows = conn.execute(
        sa.select(subscription).where(subscription.c.state.in_(CURRENT)).order_by(subscription.c.id)
    )
    return [SubscriptionRecord(*row) for row in rows]


def add(conn: sa.Connection, rows: Sequence[dict[str, Any]]) -> list[int]:
    """Write subscriptions ahead, before or after the provider was asked. Returns their ids."""
    return insert_ids(conn, subscription, rows)


def change(conn: sa.Connection, /, subscription_id: int, **values: Any) -> None:
    """Change columns of one."""
    set_columns(conn, subscription, "id", subscription_id, **values)


def heard(conn: sa.Connection, rows: Sequence[tuple[int, int, int | None, str]]) -> None:
    """What was heard of subscriptions since the last call: (id, last ping, last change, watermark)."""
    setting(subscription, "id", ("pinged_at", "changed_at", "watermark")).many(
        conn,
        [
            {"which": one, "new_pinged_at": pinged, "new_changed_at": changed, "new_watermark": watermark}
            for one, pinged, changed, watermark in rows
        ],
    )


def prune(conn: sa.Connection, before: int) -> int:
    """Forget those that ended before a time. Returns how many."""
    return conn.execute(
        sa.delete(subscription).where(subscription.c.made_at < before, subscription.c.state.not_in(CURRENT))
    ).rowcount
