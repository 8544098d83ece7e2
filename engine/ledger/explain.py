"""Units that read what the ledger knows of one item, and of items that a filter keeps on their side. They write nothing."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.links import LinkRow, trees
from engine.ledger.schema import conflict, cycle, dirty, intent, item, journal, link, match_key, scope
from engine.ledger.sql import select_in

#: States of a link that no cycle writes and nobody is asked about: counted, and shown by reason.
QUIET_STATES = ("filtered", "absent")

#: So many rows of the ledger are looked at for a name, at most; a longer list helps nobody to choose.
MOST_SCANNED = 5_000

#: Intents and journal rows shown of one item.
MOST_INTENTS = 8
MOST_JOURNAL = 40


@dataclass(frozen=True, slots=True)
class Found:
    """An item that a search came upon.

    Attributes:
        link_id: of its pair; None for the person's own item, of which only match keys are kept.
        state: of the link; ``own`` for the person's own item.
        fields: what the CRM shows, or else the mailbox.
    """

    link_id: int | None
    mailbox_id: int
    module: str
    state: str
    reason: str
    side: str
    remote_id: str
    fields: dict[str, Any]


_HIT: sa.Select[Any] = (
    sa.select(
        item.c.link_id,
        item.c.mailbox_id,
        item.c.module,
        item.c.side,
        item.c.remote_id,
        item.c.fields,
        item.c.own,
        item.c.deleted,
        link.c.module.label("link_module"),
        link.c.state,
        link.c.reason,
    )
    .select_from(item.outerjoin(link, link.c.id == item.c.link_id))
    .order_by(item.c.deleted, item.c.side, item.c.id)
)


def _found(rows: Sequence[sa.Row[Any]], mailbox_ids: Collection[int]) -> list[Found]:
    """One hit per link (or own item), the live CRM row first."""
    hits: dict[tuple[int, str], Found] = {}
    for row in rows:
        if row.mailbox_id not in mailbox_ids or (row.link_id is None and row.deleted):
            continue
        key = (row.link_id or 0, "" if row.link_id else f"{row.mailbox_id} {row.remote_id}")
        if key not in hits:
            hits[key] = Found(
                row.link_id,
                row.mailbox_id,
                row.link_module or row.module,
                row.state or "own",
                row.reason or "",
                row.side,
                row.remote_id,
                row.fields or {},
            )
    return list(hits.values())


def by_link(connection: sa.Connection, link_id: int, mailbox_ids: Collection[int]) -> list[Found]:
    """The item of a link."""
    return _found(connection.execute(_HIT.where(item.c.link_id == link_id)).all(), mailbox_ids)


def by_remote(connection: sa.Connection, remote_id: str, mailbox_ids: Collection[int]) -> list[Found]:
    """Items with this id at a provider, or with this marker of ours."""
    query = _HIT.where(sa.or_(item.c.remote_id == remote_id, item.c.marker == remote_id))
    return _found(connection.execute(query).all(), mailbox_ids)


def by_words(connection: sa.Connection, words: Sequence[str], mailbox_ids: Collection[int]) -> list[Found]:
    """Items whose values hold all these words somewhere, in any case; the caller looks where.

    The database knows upper and lower case of ASCII letters only, so other words are asked for in their usual forms.
    """
    if not words:
        return []
    text = sa.type_coerce(item.c.fields, sa.Text)
    asked = [sa.or_(*(text.like(f"%{_escaped(form)}%", escape="~") for form in _forms(word))) for word in words]
    few = [item.c.mailbox_id.in_(sorted(mailbox_ids))] if len(mailbox_ids) == 1 else []
    rows = list(connection.execute(_HIT.where(*asked, *few).limit(MOST_SCANNED)).all())
    if len(words) == 1 and "@" in words[0]:
        # The person's own contacts keep no values, but their address as a match key.
        keyed = sa.select(match_key.c.item_id).where(match_key.c.key == f"email:{words[0].casefold()}")
        rows += connection.execute(_HIT.where(item.c.id.in_(keyed))).all()
    return _found(rows, mailbox_ids)


def _forms(word: str) -> list[str]:
    if word.isascii():
        return [word]
    return list(dict.fromkeys((word, word.lower(), word.upper(), word.capitalize())))


def _escaped(text: str) -> str:
    return text.replace("~", "~~").replace("%", "~%").replace("_", "~_")


@dataclass(frozen=True, slots=True)
class Material:
    """All that the ledger knows of one link.

    Attributes:
        row: the link as the planner takes it.
        items: every row of either side, the live ones first: with ``scope_key`` and ``scope_read_at``.
        due: its row on the work list (attempts, not_before), None when nothing is to do.
        intents: the last ones, youngest first.
        journal: the last rows, youngest first, each with the ``cycle_kind`` that wrote it.
        conflicts: open or decided ones.
        children: changed occurrences, by state.
    """

    row: LinkRow
    items: tuple[sa.Row[Any], ...]
    due: sa.Row[Any] | None
    intents: tuple[sa.Row[Any], ...]
    journal: tuple[sa.Row[Any], ...]
    conflicts: tuple[sa.Row[Any], ...]
    children: dict[str, int]


def material(connection: sa.Connection, link_id: int) -> Material | None:
    """Read all of one link; None when there is no such link."""
    tree = trees(connection, [link_id])
    if not tree:
        return None
    items = connection.execute(
        sa.select(item, scope.c.key.label("scope_key"), scope.c.read_at.label("scope_read_at"))
        .outerjoin(scope, scope.c.id == item.c.scope_id)
        .where(item.c.link_id == link_id)
        .order_by(item.c.deleted, item.c.side, item.c.id.desc())
    ).all()
    due = connection.execute(sa.select(dirty).where(dirty.c.link_id == link_id)).first()
    intents = connection.execute(
        sa.select(intent).where(intent.c.link_id == link_id).order_by(intent.c.id.desc()).limit(MOST_INTENTS)
    ).all()
    told = connection.execute(
        sa.select(journal, cycle.c.kind.label("cycle_kind"))
        .outerjoin(cycle, cycle.c.id == journal.c.cycle_id)
        .where(journal.c.link_id == link_id)
        .order_by(journal.c.id.desc())
        .limit(MOST_JOURNAL)
    ).all()
    conflicts = connection.execute(
        sa.select(conflict)
        .where(conflict.c.link_id == link_id, conflict.c.state.in_(("open", "decided")))
        .order_by(conflict.c.id)
    ).all()
    children = connection.execute(
        sa.select(link.c.state, sa.func.count()).where(link.c.parent_link == link_id).group_by(link.c.state)
    ).all()
    return Material(
        tree[0],
        tuple(items),
        due,
        tuple(intents),
        tuple(told),
        tuple(conflicts),
        {row[0]: row[1] for row in children},
    )


# -- what a filter keeps on its side -------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Kept:
    """So many items of a mailbox stay on their side for one reason."""

    state: str
    module: str
    reason: str
    count: int


def kept_by_reason(connection: sa.Connection, mailbox_id: int) -> list[Kept]:
    """Filtered and absent links by module and reason, and the person's own items (state ``own``) by module."""
    rows = connection.execute(
        sa.select(link.c.state, link.c.module, link.c.reason, sa.func.count())
        .where(link.c.mailbox_id == mailbox_id, link.c.state.in_(QUIET_STATES))
        .group_by(link.c.state, link.c.module, link.c.reason)
    )
    kept = [Kept(*row) for row in rows]
    own = connection.execute(
        sa.select(item.c.module, sa.func.count())
        .where(
            item.c.mailbox_id == mailbox_id,
            item.c.own == 1,
            item.c.deleted == 0,
            item.c.link_id.is_(None),
        )
        .group_by(item.c.module)
    )
    kept += [Kept("own", module, "", count) for module, count in own]
    return sorted(kept, key=lambda one: (-one.count, one.module, one.state, one.reason))


def kept_links(
    connection: sa.Connection,
    mailbox_id: int,
    *,
    module: str | None,
    reason: str | None,
    after: int,
    limit: int,
) -> list[Found]:
    """A page of filtered and absent links in the order of their ids, from the one after ``after``."""
    query = (
        sa.select(link.c.id)
        .where(link.c.mailbox_id == mailbox_id, link.c.state.in_(QUIET_STATES), link.c.id > after)
        .order_by(link.c.id)
        .limit(limit)
    )
    if module is not None:
        query = query.where(link.c.module == module)
    if reason is not None:
        query = query.where(link.c.reason == reason)
    ids = list(connection.execute(query).scalars())
    rows = list(select_in(connection, _HIT, item.c.link_id, ids))
    hits = {one.link_id: one for one in _found(rows, {mailbox_id})}
    return [hits[one] for one in ids if one in hits]
