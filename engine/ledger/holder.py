"""Which engine holds the ledger. The file lock keeps a second engine out; this keeps a first one out that lost its lock.

A lock can be lost without notice: an admin removes the lock file, a volume is mounted twice, a network file system knows
no locks. Whoever opens the ledger last holds it; every transaction of an older engine is refused from then on, also those
that no fence of a mailbox guards (``engine.ledger.fence``).
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.ledger.health import LedgerTaken
from engine.ledger.schema import lease
from engine.ledger.statement import Statement

_NAME = "store"

_HOLDER = Statement(sa.select(lease.c.token, lease.c.holder).where(lease.c.name == _NAME))
_BEAT = Statement(
    sa.update(lease).where(lease.c.name == _NAME).values(expires_at=sa.bindparam("now")),
)


def take(connection: sa.Connection, holder: str) -> int:
    """Make this engine the holder; returns its token.

    Args:
        holder: for people: process, host and since when.
    """
    token = connection.scalar(
        sa.update(lease)
        .where(lease.c.name == _NAME)
        .values(token=lease.c.token + 1, holder=holder)
        .returning(lease.c.token)
    )
    if token is None:
        token = 1
        connection.execute(sa.insert(lease).values(name=_NAME, holder=holder, token=token, expires_at=0))
    return int(token)


def check(connection: sa.Connection, token: int) -> None:
    """Refuse to go on when another engine has taken the ledger.

    Raises:
        LedgerTaken: it has; the text names it.
    """
    found = _HOLDER.first(connection)
    if found is None or found.token != token:
        by = "another syncline" if found is None else f"another syncline ({found.holder})"
        raise LedgerTaken(
            f"the ledger was taken over by {by}: this one writes nothing more, neither here nor to a provider; end it"
        )


def beat(connection: sa.Connection, now: int) -> None:
    """Write something harmless: it tells whether the ledger can be written."""
    _BEAT.run(connection, now=now)
