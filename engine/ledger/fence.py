"""Fencing: every commit of a cycle checks that the epoch under which it started is still the mailbox's (or policy's).

An engine that starts takes the lease of the whole ledger and makes all older epochs stale. An older engine that is still
about (it was suspended, say) can finish nothing, and its lease keeps it from beginning anything new.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.schema import lease, mailbox, policy
from engine.ledger.statement import Statement, at_once
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


_ENGINE = "engine"
_OF_ENGINE = sa.select(lease.c.token).where(lease.c.name == _ENGINE)
_TOKEN = Statement(_OF_ENGINE)
_HELD = _OF_ENGINE.scalar_subquery().label("token")
_MAILBOX = Statement(sa.select(mailbox.c.epoch, _HELD).where(mailbox.c.id == sa.bindparam("which")))
_POLICY = Statement(sa.select(policy.c.epoch, _HELD).where(policy.c.name == sa.bindparam("which")))
_EVERY_MAILBOX = Statement(sa.update(mailbox).values(epoch=mailbox.c.epoch + 1))
_EVERY_POLICY = Statement(sa.update(policy).values(epoch=policy.c.epoch + 1))


def _now(connection: sa.Connection, policy_name: str, mailbox_id: int) -> Any:
    """The present ``epoch``, and the ``token`` of the engine that holds the ledger; None: it has been removed."""
    if mailbox_id:
        return _MAILBOX.first(connection, which=mailbox_id)
    return _POLICY.first(connection, which=policy_name)


def check(connection: sa.Connection, fence: Fence) -> None:
    """Refuse to go on when somebody else has taken over.

    Raises:
        StaleLease: the epoch is no longer this holder's.
    """
    found = _now(connection, fence.policy, fence.mailbox_id)
    if found is None or found.epoch != fence.epoch:
        raise StaleLease(
            f"the lease on {'mailbox ' + str(fence.mailbox_id) if fence.mailbox_id else fence.policy} was taken over"
        )


@at_once
def epoch(connection: sa.Connection, policy_name: str, mailbox_id: int, lease_token: int | None = None) -> int:
    """The present epoch; a cycle reads it when it starts.

    Args:
        connection: a transaction.
        policy_name: the policy.
        mailbox_id: the mailbox, 0 for the CRM feeds of the policy.
        lease_token: what ``take_all`` gave the engine that asks; ``None`` for commands that need no running engine.

    Raises:
        StaleLease: the policy or mailbox has been removed, or another engine has taken over.
    """
    found = _now(connection, policy_name, mailbox_id)
    if found is None:
        raise StaleLease(f"{policy_name} or its mailbox {mailbox_id} has been removed")
    if lease_token is not None and found.token != lease_token:
        raise StaleLease("another engine has taken over this ledger; this one writes nothing more")
    return int(found.epoch)


def _next_token(insert: Any) -> Any:
    taken = insert(lease).values(name=_ENGINE, holder="", token=1)
    return taken.on_conflict_do_update(index_elements=["name"], set_={"token": lease.c.token + 1})


_NEXT_TOKEN = Statement(_next_token)


def take_all(connection: sa.Connection) -> int:
    """A new engine begins: whatever an older one still had in hand can no longer be committed. Returns its lease token."""
    _EVERY_MAILBOX.run(connection)
    _EVERY_POLICY.run(connection)
    _NEXT_TOKEN.run(connection)
    token: int = _TOKEN.scalar(connection)
    return token
