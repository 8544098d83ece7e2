"""Fencing: a cycle takes an epoch when it starts, and every commit of it checks that the epoch is still its own."""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from engine.ledger.schema import mailbox, policy
from engine.ledger.statement import Statement
from engine.ledger.store import StaleLease


@dataclass(frozen=True, slots=True)
class Fence:
    """The right to write for one mailbox (``mailbox_id`` > 0) or for the CRM feeds of one policy (0)."""

    policy: str
    mailbox_id: int
    epoch: int


def take(connection: sa.Connection, policy_name: str, mailbox_id: int = 0) -> Fence:
    """Begin a new epoch; any older holder can commit nothing from now on."""
    if mailbox_id:
        where, table = mailbox.c.id == mailbox_id, mailbox
    else:
        where, table = policy.c.name == policy_name, policy
    epoch = connection.execute(
        sa.update(table).where(where).values(epoch=table.c.epoch + 1).returning(table.c.epoch)
    ).scalar_one()
    return Fence(policy_name, mailbox_id, epoch)


_MAILBOX_EPOCH = Statement(sa.select(mailbox.c.epoch).where(mailbox.c.id == sa.bindparam("which")))
_EVERY_MAILBOX = Statement(sa.update(mailbox).values(epoch=mailbox.c.epoch + 1))
_EVERY_POLICY = Statement(sa.update(policy).values(epoch=policy.c.epoch + 1))
_POLICY_EPOCH = Statement(sa.select(policy.c.epoch).where(policy.c.name == sa.bindparam("which")))


def _epoch(connection: sa.Connection, policy_name: str, mailbox_id: int) -> int | None:
    if mailbox_id:
        value: int | None = _MAILBOX_EPOCH.scalar(connection, which=mailbox_id)
    else:
        value = _POLICY_EPOCH.scalar(connection, which=policy_name)
    return value


def check(connection: sa.Connection, fence: Fence) -> None:
    """Refuse to go on when somebody else has taken over.

    Raises:
        StaleLease: the epoch is no longer this holder's.
    """
    if _epoch(connection, fence.policy, fence.mailbox_id) != fence.epoch:
        raise StaleLease(
            f"the lease on {'mailbox ' + str(fence.mailbox_id) if fence.mailbox_id else fence.policy} was taken over"
        )


def epoch(connection: sa.Connection, policy_name: str, mailbox_id: int) -> int:
    """The present epoch; a cycle reads it when it starts. ``take`` makes older ones stale.

    Raises:
        StaleLease: the policy or mailbox has been removed.
    """
    value = _epoch(connection, policy_name, mailbox_id)
    if value is None:
        raise StaleLease(f"{policy_name} or its mailbox {mailbox_id} has been removed")
    return value


def take_all(connection: sa.Connection) -> None:
    """A new engine begins: whatever an older one still had in hand can no longer be committed."""
    _EVERY_MAILBOX.run(connection)
    _EVERY_POLICY.run(connection)
