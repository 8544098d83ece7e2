"""Units of work on held twins and on quarantine: what an admin decides about them.

A decision stands in the ledger as the state and reason of its link, and the mailbox's next cycle carries it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.links import BESIDE, DISMISSED, KEPT_TWIN, USE_OWN
from engine.ledger.matching import merge_links
from engine.ledger.observe import Seen
from engine.ledger.schema import dirty, item, journal, link, match_key
from engine.ledger.sql import select_in
from engine.ledger.statement import Statement, chunks
from engine.ledger.waiting import WAITING
from engine.ledger.worklist import mark_dirty, waiting_for, wake_occurrences


def _waiting_links(
    connection: sa.Connection, fence: Fence, link_ids: Sequence[int], states: Sequence[str]
) -> list[int]:
    rows = select_in(
        connection,
        sa.select(link.c.id).where(link.c.mailbox_id == fence.mailbox_id, link.c.state.in_(states)),
        link.c.id,
        link_ids,
    )
    return [row.id for row in rows]


def _wake(connection: sa.Connection, link_ids: Sequence[int], reason: str = "") -> None:
    for piece in chunks(link_ids):
        for known, state in ((link.c.base.is_(None), "new"), (link.c.base.is_not(None), "live")):
            connection.execute(
                sa.update(link).where(link.c.id.in_(piece), known).values(state=state, reason=reason)
            )
    mark_dirty(connection, link_ids)
    for piece in chunks(link_ids):
        connection.execute(sa.update(dirty).where(dirty.c.link_id.in_(piece)).values(attempts=0, not_before=0))


def retry(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> list[int]:
    """Put held and quarantined links back on the work list as if nothing had failed. Returns them.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    found = _waiting_links(connection, fence, link_ids, WAITING)
    _wake(connection, found)
    return found


def _forget_names(connection: sa.Connection, item_ids: Iterable[int]) -> None:
    """Drop natural keys; references by our own markers stay."""
    for piece in chunks(item_ids):
        connection.execute(
            sa.delete(match_key).where(match_key.c.item_id.in_(piece), match_key.c.key.not_like("ref:%"))
        )


def make_both(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> list[int]:
    """Let held items be created beside their twins; they are never held for them again. Returns the links.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    found = _waiting_links(connection, fence, link_ids, ("held",))
    mine = [row.id for row in select_in(connection, sa.select(item.c.id), item.c.link_id, found)]
    _forget_names(connection, mine)
    for piece in chunks(found):
        connection.execute(sa.update(link).where(link.c.id.in_(piece)).values(beside=None))
    _wake(connection, found, BESIDE)
    return found


def keep_apart(connection: sa.Connection, fence: Fence, link_ids: Sequence[int], now: int) -> list[int]:
    """Leave held items where they are; they are looked at again when they change. Returns the links.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    found = _waiting_links(connection, fence, link_ids, ("held",))
    for piece in chunks(found):
        connection.execute(
            sa.update(link)
            .where(link.c.id.in_(piece))
            .values(state="filtered", reason=KEPT_TWIN, start_at=None)
        )
        connection.execute(sa.delete(dirty).where(dirty.c.link_id.in_(piece)))
    if found:
        connection.execute(
            sa.insert(journal),
            [
                {
                    "mailbox_id": fence.mailbox_id,
                    "link_id": one,
                    "side": "",
                    "kind": "kept",
                    "why": KEPT_TWIN,
                    "at": now,
                }
                for one in found
            ],
        )
    return found


def dismiss(connection: sa.Connection, fence: Fence, link_ids: Sequence[int], now: int) -> list[int]:
    """Give up items in quarantine until something changes about them on either side. Returns the links.

    They leave the list of what waits and are counted with what the policy filters, under the reason that they were
    dismissed for; a change puts them on the work list with their failures forgotten.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    query = sa.select(link.c.id, link.c.reason).where(
        link.c.mailbox_id == fence.mailbox_id, link.c.state == "quarantined"
    )
    found = {row.id: row.reason for row in select_in(connection, query, link.c.id, link_ids)}
    if not found:
        return []
    given_up = {one: f"{DISMISSED}: {reason}" if reason else DISMISSED for one, reason in found.items()}
    connection.execute(
        sa.update(link)
        .where(link.c.id == sa.bindparam("b_link"))
        .values(state="filtered", reason=sa.bindparam("b_reason"), start_at=None),
        [{"b_link": one, "b_reason": reason} for one, reason in given_up.items()],
    )
    connection.execute(
        sa.insert(journal),
        [
            {
                "mailbox_id": fence.mailbox_id,
                "link_id": one,
                "side": "",
                "kind": "dismissed",
                "why": reason,
                "at": now,
            }
            for one, reason in given_up.items()
        ],
    )
    return list(found)


def _twins(connection: sa.Connection, link_id: int) -> list[sa.Row[Any]]:
    """Items of the other side under the link's strongest natural key that finds anybody."""
    mine, theirs, twin = match_key.alias("mine"), match_key.alias("theirs"), item.alias("twin")
    taken = item.alias("taken")
    rows = connection.execute(
        sa.select(twin.c.id, twin.c.link_id, twin.c.scope_id, twin.c.remote_id, twin.c.own, mine.c.key)
        .select_from(item)
        .join(mine, mine.c.item_id == item.c.id)
        .join(
            theirs,
            sa.and_(
                theirs.c.mailbox_id == mine.c.mailbox_id,
                theirs.c.key == mine.c.key,
                theirs.c.side != mine.c.side,
            ),
        )
        .join(twin, sa.and_(twin.c.id == theirs.c.item_id, twin.c.deleted == 0))
        .where(
            item.c.link_id == link_id,
            item.c.deleted == 0,
            mine.c.key.not_like("ref:%"),
            # Who has a twin already cannot get another one.
            ~sa.exists().where(
                taken.c.link_id == twin.c.link_id, taken.c.side != twin.c.side, taken.c.deleted == 0
            ),
        )
    ).all()
    kinds = sorted({row.key.split(":", 1)[0] for row in rows})
    strongest: dict[int, Any] = {row.id: row for row in rows if row.key.startswith(f"{kinds[0]}:")}
    return list(strongest.values())


def use_own(connection: sa.Connection, fence: Fence, link_ids: Sequence[int]) -> tuple[list[int], list[int]]:
    """Let held items take the one item on the other side as their twin; the next cycle reads it and merges both.

    Returns:
        the links settled, and those whose twin is not exactly one.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    taken, unclear, named = [], [], set()
    for link_id in _waiting_links(connection, fence, link_ids, ("held",)):
        twins = _twins(connection, link_id)
        if len(twins) != 1 or twins[0].id in named:
            unclear.append(link_id)
            continue
        named.add(twins[0].id)
        taken.append(link_id)
        if twins[0].own:
            connection.execute(sa.update(link).where(link.c.id == link_id).values(reason=USE_OWN))
            mark_dirty(connection, [link_id])
        else:
            mine = connection.execute(
                sa.select(item.c.side).where(item.c.link_id == link_id, item.c.deleted == 0)
            ).scalar()
            pair = (link_id, twins[0].link_id)
            keep, drop = pair if mine == "crm" else pair[::-1]
            merge_links(connection, fence, [(keep, drop)])
            _paired(connection, keep)
    return taken, unclear


def _paired(connection: sa.Connection, link_id: int) -> None:
    """A link has found its twin for good: its natural keys are gone, and who was held because of them goes on."""
    ids = connection.execute(sa.select(item.c.id).where(item.c.link_id == link_id)).scalars().all()
    others = [one for one in waiting_for(connection, ids) if one != link_id]
    _forget_names(connection, ids)
    mark_dirty(connection, others)
    wake_occurrences(connection, [link_id])


@dataclass(frozen=True, slots=True)
class Adoption:
    """A link that is to take the person's own item; ``item_id`` is None when there no longer is exactly one."""

    link_id: int
    item_id: int | None = None
    scope_id: int = 0
    remote_id: str = ""


_TAKING_OWN = Statement(
    sa.select(link.c.id).where(
        link.c.mailbox_id == sa.bindparam("mailbox"),
        link.c.state == sa.literal_column("'held'"),  # written out: only then SQLite uses the partial index
        link.c.module.in_(sa.bindparam("modules", expanding=True)),
        link.c.reason == USE_OWN,
    )
)


def adoptions(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> list[Adoption]:
    """What an admin has decided with ``use_own`` and no cycle has done yet."""
    found = []
    for link_id in _TAKING_OWN.scalars(connection, mailbox=mailbox_id, modules=modules):
        twins = _twins(connection, link_id)
        if len(twins) == 1 and twins[0].own:
            found.append(Adoption(link_id, twins[0].id, twins[0].scope_id, twins[0].remote_id))
        else:
            found.append(Adoption(link_id))
    return found


def attach(
    connection: sa.Connection,
    fence: Fence,
    read: Sequence[tuple[Adoption, Seen]],
    again: Sequence[int],
    now: int,
) -> None:
    """Link the person's own items as they were read just now; both sides then merge by the policy's rule.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        read: adoptions, each with its item.
        again: links whose item is gone or no longer the only one: they are looked at afresh.
        now: engine clock.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for adoption, seen in read:
        assert adoption.item_id is not None
        connection.execute(
            sa.update(item)
            .where(item.c.id == adoption.item_id)
            .values(
                link_id=adoption.link_id,
                module=sa.select(link.c.module).where(link.c.id == adoption.link_id).scalar_subquery(),
                etag=seen.etag,
                fields=seen.fields,
                native=seen.native,
                containers=list(seen.containers),
                modified=seen.modified,
                own=0,
                read_at=now,
            )
        )
        _paired(connection, adoption.link_id)
    _wake(connection, [*(adoption.link_id for adoption, _ in read), *again])
