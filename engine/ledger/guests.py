"""Units of work on writes that would make a provider mail guests: those beyond the policy's budget wait for an admin.

Such an intent is ``held`` in mode ``guests``. An admin's decision is a closed state of it that is carried to the next
plan of the link: ``invited`` (its guests may be mailed) or ``quiet`` (it is written without a mail).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import dirty, guard, intent, journal, link
from engine.ledger.statement import Statement, chunks
from engine.ledger.worklist import mark_dirty

#: ``intent.mode`` of a write that waits because of its guests.
MODE = "guests"

#: Closed states that carry an admin's decision to the next plan.
INVITED, QUIET = "invited", "quiet"

KEPT = "an admin leaves it unwritten, so that no guest is mailed"


@dataclass(frozen=True, slots=True)
class Invitation:
    """A planned write for which guests would be mailed.

    Attributes:
        guests: how many.
        sent: it was sent before and is repeated: it counts, and cannot be held any more.
        decision: ``invited`` or ``quiet`` when an admin has decided, else empty.
        allowed: how many guests the decision was about.
    """

    id: int
    module: str
    guests: int
    sent: bool
    decision: str
    allowed: int


_DECIDED = intent.alias("decided")
_INVITATIONS = Statement(
    sa.select(
        intent.c.id,
        intent.c.module,
        intent.c.guests,
        intent.c.sent_at,
        _DECIDED.c.state.label("decision"),
        _DECIDED.c.guests.label("allowed"),
    )
    .outerjoin(
        _DECIDED,
        sa.and_(
            _DECIDED.c.link_id == intent.c.link_id,
            _DECIDED.c.side == intent.c.side,
            _DECIDED.c.state.in_((INVITED, QUIET)),
        ),
    )
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.notify == 1,
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
    )
    .order_by(intent.c.id)
)
_HELD = sa.select(intent).where(intent.c.state == "held", intent.c.mode == MODE).order_by(intent.c.id)
_HELD_IN = Statement(_HELD.where(intent.c.mailbox_id.in_(sa.bindparam("ids", expanding=True))))
_HELD_OF = Statement(_HELD.where(intent.c.link_id.in_(sa.bindparam("ids", expanding=True))))
_DECISIONS = Statement(
    sa.select(intent.c.id)
    .where(intent.c.mailbox_id == sa.bindparam("mailbox"), intent.c.state.in_((INVITED, QUIET)))
    .limit(1)
)
_CHANGED = Statement(
    sa.select(intent.c.id)
    .join(dirty, dirty.c.link_id == intent.c.link_id)
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "held",
        intent.c.mode == MODE,
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
    )
)


def invitations(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[Invitation]:
    """Planned writes of a mailbox for which guests would be mailed, oldest first."""
    rows = _INVITATIONS.rows(connection, mailbox=mailbox_id, modules=list(modules))
    return [
        Invitation(
            row.id, row.module, row.guests, row.sent_at is not None, row.decision or "", row.allowed or 0
        )
        for row in rows
    ]


def silence(connection: sa.Connection, fence: Fence, ids: Sequence[int]) -> None:
    """Let planned writes be made without a mail.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks(ids):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(notify=0, guests=0))


def hold(
    connection: sa.Connection, fence: Fence, cycle_id: int, found: Sequence[Invitation], why: str, now: int
) -> None:
    """Let planned writes wait for an admin; all else goes on.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks([one.id for one in found]):
        connection.execute(
            sa.update(intent)
            .where(intent.c.id.in_(piece), intent.c.state == "planned")
            .values(state="held", mode=MODE, error=why)
        )
    writes: Counter[str] = Counter(one.module for one in found)
    mailed: Counter[str] = Counter()
    for one in found:
        mailed[one.module] += one.guests
    connection.execute(
        sa.insert(guard),
        [
            {
                "mailbox_id": fence.mailbox_id,
                "cycle_id": cycle_id,
                "module": module,
                "deletes": count,
                "total": mailed[module],
                "why": why,
                "at": now,
                "side": "mailbox",
                "cause": "guests",
            }
            for module, count in writes.items()
        ],
    )


def decisions(connection: sa.Connection, mailbox_id: int) -> bool:
    """Whether decisions are still to be carried to a plan."""
    return _DECISIONS.first(connection, mailbox=mailbox_id) is not None


def outlook(
    connection: sa.Connection, mailbox_id: int, modules: Sequence[str]
) -> tuple[bool, list[Invitation]]:
    """``decisions`` and ``invitations`` in one look."""
    return decisions(connection, mailbox_id), invitations(connection, mailbox_id, modules)


def forget(connection: sa.Connection, fence: Fence) -> None:
    """Forget decisions that have been carried out, or about which nothing is left to do: each counts once.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    later = intent.alias("later")
    mine = sa.and_(later.c.link_id == intent.c.link_id, later.c.side == intent.c.side)
    done = sa.exists().where(mine, later.c.state == "done", later.c.id > intent.c.id)
    open_ = sa.exists().where(mine, later.c.state.in_(("planned", "in_flight", "unknown", "held")))
    due = sa.exists().where(dirty.c.link_id == intent.c.link_id)
    ids = connection.execute(
        sa.select(intent.c.id).where(
            intent.c.mailbox_id == fence.mailbox_id,
            intent.c.state.in_((INVITED, QUIET)),
            sa.or_(done, ~sa.or_(open_, due)),
        )
    ).scalars()
    for piece in chunks(ids.all()):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(state="void"))


# -- what waits ----------------------------------------------------------------------------------------


def held(
    connection: sa.Connection, mailbox_ids: Sequence[int], link_ids: Sequence[int] | None = None
) -> list[sa.Row[Any]]:
    """Intents that wait because of their guests, of some mailboxes (and of some links)."""
    if link_ids is None:
        return _HELD_IN.among(connection, mailbox_ids)
    return [row for row in _HELD_OF.among(connection, link_ids) if row.mailbox_id in mailbox_ids]


def changed(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[int]:
    """Intents that wait because of their guests and about whose items something has changed."""
    return _CHANGED.scalars(connection, mailbox=mailbox_id, modules=list(modules))


def review(connection: sa.Connection, fence: Fence, ids: Sequence[int]) -> None:
    """Plan writes afresh whose items have changed since they were held; the budget is asked again.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks(ids):
        connection.execute(
            sa.update(intent)
            .where(intent.c.id.in_(piece))
            .values(state="void", error="it changed while it waited")
        )


def decide(connection: sa.Connection, fence: Fence, link_ids: Sequence[int], decision: str) -> list[int]:
    """Let held writes go out in the next cycle, with their mails (``invited``) or without (``quiet``).

    They are planned afresh then. Should more guests be concerned than now, they are asked about again.

    Returns:
        the links settled.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    rows = held(connection, [fence.mailbox_id], link_ids)
    for piece in chunks([row.id for row in rows]):
        connection.execute(sa.update(intent).where(intent.c.id.in_(piece)).values(state=decision))
    mark_dirty(connection, [row.link_id for row in rows])
    _close_guards(connection, fence)
    return [row.link_id for row in rows]


def discard(connection: sa.Connection, fence: Fence, link_ids: Sequence[int], now: int) -> list[int]:
    """Give up held writes: both sides stay as they are until something changes about the item.

    Returns:
        the links settled.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    rows = held(connection, [fence.mailbox_id], link_ids)
    state_of = {"create": "filtered", "delete": "absent", "update": "live"}
    for row in rows:
        connection.execute(sa.update(intent).where(intent.c.id == row.id).values(state="void", error=KEPT))
        connection.execute(
            sa.update(link)
            .where(link.c.id == row.link_id)
            .values(state=state_of[row.kind], reason=KEPT, start_at=None)
        )
    if rows:
        connection.execute(
            sa.insert(journal),
            [
                {
                    "mailbox_id": row.mailbox_id,
                    "cycle_id": row.cycle_id,
                    "link_id": row.link_id,
                    "side": row.side,
                    "kind": "kept",
                    "before": row.before,
                    "after": row.patch,
                    "why": KEPT,
                    "at": now,
                }
                for row in rows
            ],
        )
    _close_guards(connection, fence)
    return [row.link_id for row in rows]


def _close_guards(connection: sa.Connection, fence: Fence) -> None:
    waits = sa.exists().where(
        intent.c.mailbox_id == guard.c.mailbox_id,
        intent.c.module == guard.c.module,
        intent.c.state == "held",
        intent.c.mode == MODE,
    )
    connection.execute(
        sa.update(guard)
        .where(
            guard.c.mailbox_id == fence.mailbox_id,
            guard.c.state == "open",
            guard.c.cause == "guests",
            ~waits,
        )
        .values(state="settled")
    )
