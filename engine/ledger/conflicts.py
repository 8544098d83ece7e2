"""Units of work on conflicts: fields that stay as they are on both sides until an admin decides.

A row is *open* until somebody decides or the sides agree by themselves, *decided* until a cycle has carried that out,
then *closed*. It is written in the transaction that commits the plan of its link: a link with open conflicts is settled
like any other, so that an idle cycle does not look at it, and is planned again when a side changes or somebody decides.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import conflict, intent, item, journal, link
from engine.ledger.sql import chunks, one_of, select_in
from engine.ledger.statement import Statement
from engine.ledger.worklist import mark_dirty
from engine.model.canonical import FIELDS, same
from engine.model.modules import Module

#: A conflict in these states concerns the next plan of its link.
OPEN = ("open", "decided")

# An alias of a wide table is costly to make.
_MINE, _OTHER = intent.alias("mine"), intent.alias("other")


@dataclass(frozen=True, slots=True)
class Conflict:
    """One field of one link that waits, or whose decision is to be carried out.

    Attributes:
        crm: canonical value that the CRM showed.
        base: on which both last agreed.
        mailbox: canonical value that the mailbox showed.
        state: ``open`` or ``decided``.
        choice: ``crm``, ``mailbox`` or ``edit``; empty while open.
        value: what was decided.
        at: since when it waits, epoch milliseconds.
    """

    id: int
    link_id: int
    field: str
    crm: Any
    base: Any
    mailbox: Any
    why: str
    state: str
    choice: str
    value: Any
    by: str
    at: int


@dataclass(frozen=True, slots=True)
class Asked:
    """What a plan asks about one field; values are canonical."""

    field: str
    crm: Any
    base: Any
    mailbox: Any
    why: str


@dataclass(frozen=True, slots=True)
class Questions:
    """What a plan makes of the conflicts of its link: all that it does not name are closed.

    Attributes:
        asked: fields that wait.
        ruled: fields whose decision is being carried out; they are closed by the plan after it.
    """

    asked: tuple[Asked, ...] = ()
    ruled: frozenset[str] = frozenset()


def _conflict(row: sa.Row[Any]) -> Conflict:
    return Conflict(
        row.id,
        row.link_id,
        row.field,
        row.crm,
        row.base,
        row.mailbox,
        row.why,
        row.state,
        row.choice,
        row.value,
        row.by,
        row.at,
    )


_OF_LINKS = Statement(
    sa.select(conflict).where(one_of(conflict.c.link_id), conflict.c.state.in_(OPEN)).order_by(conflict.c.id)
)


def of_links(connection: sa.Connection, link_ids: Sequence[int]) -> dict[int, tuple[Conflict, ...]]:
    """The open and decided conflicts of links, by link."""
    found: dict[int, list[Conflict]] = {}
    for row in _OF_LINKS.among(connection, link_ids):
        found.setdefault(row.link_id, []).append(_conflict(row))
    return {link_id: tuple(rows) for link_id, rows in found.items()}


def settle(
    connection: sa.Connection,
    mailbox_id: int,
    plans: Iterable[tuple[int, str, Questions]],
    now: int,
) -> None:
    """Open, refresh and close the conflicts of planned links; part of ``links.commit_plan``.

    A decision about values that are no longer shown is void: the field is asked about again.

    Args:
        connection: the write transaction, whose fence was checked.
        mailbox_id: whose.
        plans: (link, module, what its plan asks).
        now: engine clock.
    """
    asked = {link_id: (module, questions) for link_id, module, questions in plans}
    if not asked:
        return
    known = of_links(connection, list(asked))
    fresh: list[dict[str, Any]] = []
    over: list[tuple[int, bool]] = []
    for link_id, (module, questions) in asked.items():
        table = FIELDS[Module(module)]
        rows = {one.field: one for one in known.get(link_id, ())}
        for one in questions.asked:
            values = {"crm": one.crm, "base": one.base, "mailbox": one.mailbox, "why": one.why}
            old = rows.get(one.field)
            if old is None:
                fresh.append(
                    {
                        "mailbox_id": mailbox_id,
                        "link_id": link_id,
                        "module": module,
                        "field": one.field,
                        "at": now,
                        **values,
                    }
                )
                continue
            kind = table[one.field].kind
            still = same(kind, old.crm, one.crm) and same(kind, old.mailbox, one.mailbox)
            if old.state == "decided" and not still:
                values |= {
                    "state": "open",
                    "choice": "",
                    "value": None,
                    "by": "",
                    "decided_at": None,
                    "at": now,
                }
                values["why"] = f"{one.why} again, after {old.by} had decided"
            elif old.state == "decided" or (still and (old.base, old.why) == (one.base, one.why)):
                continue
            connection.execute(sa.update(conflict).where(conflict.c.id == old.id).values(**values))
        names = {one.field for one in questions.asked} | questions.ruled
        over += [(one.id, table[name].body) for name, one in rows.items() if name not in names]
    if fresh:
        connection.execute(sa.insert(conflict), fresh)
    _close(connection, over)


def _close(connection: sa.Connection, rows: Sequence[tuple[int, bool]]) -> None:
    """Close rows, given as (id, whether the field is a text that may be private); such a text is not kept."""
    for piece in chunks([row_id for row_id, _ in rows]):
        connection.execute(sa.update(conflict).where(conflict.c.id.in_(piece)).values(state="closed"))
    for piece in chunks([row_id for row_id, body in rows if body]):
        gone = dict.fromkeys(("crm", "base", "mailbox", "value"))
        connection.execute(sa.update(conflict).where(conflict.c.id.in_(piece)).values(**gone))


def close_all(connection: sa.Connection, link_ids: Sequence[int]) -> None:
    """Close whatever is open about links that end."""
    rows = [one for found in of_links(connection, link_ids).values() for one in found]
    modules = {
        row.id: row.module
        for row in select_in(connection, sa.select(link.c.id, link.c.module), link.c.id, list(link_ids))
    }
    _close(connection, [(one.id, FIELDS[Module(modules[one.link_id])][one.field].body) for one in rows])


_TWO_SIDED = Statement(
    sa.select(_MINE.c.id, _MINE.c.patch, _OTHER.c.patch.label("others"))
    .join(
        _OTHER,
        sa.and_(
            _OTHER.c.link_id == _MINE.c.link_id,
            _OTHER.c.cycle_id == _MINE.c.cycle_id,
            _OTHER.c.side != _MINE.c.side,
            _OTHER.c.kind == "update",
        ),
    )
    .where(one_of(_MINE.c.id))
)


def two_sided(connection: sa.Connection, intent_ids: Sequence[int]) -> dict[int, set[str]]:
    """Fields, by update, that its cycle writes to both sides with the same value.

    Neither side showed such a value (a union, or what an admin typed). It becomes the base when the link is planned
    again and both sides show it: taken for the base after the first write alone, a crash before the second would make
    an edit of what that side still shows.
    """
    found: dict[int, set[str]] = {}
    for row in _TWO_SIDED.among(connection, intent_ids):
        others = row.others or {}
        both = {name for name, value in (row.patch or {}).items() if name in others and others[name] == value}
        found.setdefault(row.id, set()).update(both)
    return found


_PAST_WRITES = Statement(
    sa.select(journal.c.link_id, journal.c.side, journal.c.before, journal.c.after, journal.c.at)
    .where(one_of(journal.c.link_id), journal.c.kind == "update", journal.c.at > sa.bindparam("since"))
    .order_by(journal.c.id)
)


def past_writes(connection: sa.Connection, link_ids: Sequence[int], since: int) -> dict[int, list[Any]]:
    """Updates that we made to links after ``since``, oldest first, by link: rows with side, before, after, at."""
    found: dict[int, list[Any]] = {}
    for row in _PAST_WRITES.among(connection, link_ids, since=since):
        found.setdefault(row.link_id, []).append(row)
    return found


# -- for admins ----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Listed:
    """A conflict with what both sides show of its item.

    Attributes:
        fields: canonical fields by side.
        modified: server time of the last change by side, epoch milliseconds.
    """

    conflict: Conflict
    mailbox_id: int
    module: str
    fields: Mapping[str, Mapping[str, Any]]
    modified: Mapping[str, int | None]


_LISTED = Statement(
    sa.select(conflict)
    .join(link, link.c.id == conflict.c.link_id)
    .where(conflict.c.state.in_(OPEN), one_of(conflict.c.mailbox_id))
)
_SHOWN = Statement(
    sa.select(item.c.link_id, item.c.side, item.c.fields, item.c.modified).where(
        item.c.deleted == 0, one_of(item.c.link_id)
    )
)


def listed(connection: sa.Connection, mailbox_ids: Sequence[int]) -> list[Listed]:
    """The conflicts of some mailboxes that wait or are yet to be carried out, by mailbox, then oldest link first."""
    rows = _LISTED.among(connection, mailbox_ids)
    fields: dict[int, dict[str, Any]] = {}
    modified: dict[int, dict[str, int | None]] = {}
    for one in _SHOWN.among(connection, {row.link_id for row in rows}):
        fields.setdefault(one.link_id, {})[one.side] = one.fields or {}
        modified.setdefault(one.link_id, {})[one.side] = one.modified
    found = [
        Listed(
            _conflict(row),
            row.mailbox_id,
            row.module,
            fields.get(row.link_id, {}),
            modified.get(row.link_id, {}),
        )
        for row in rows
    ]
    return sorted(found, key=lambda one: (one.mailbox_id, one.conflict.link_id, one.conflict.id))


@dataclass(frozen=True, slots=True)
class Verdict:
    """An admin's word about one conflict: ``choice`` is ``crm``, ``mailbox`` or ``edit``, ``value`` is canonical."""

    id: int
    choice: str
    value: Any


def decide(
    connection: sa.Connection, fence: Fence, verdicts: Sequence[Verdict], by: str, now: int
) -> list[int]:
    """Store decisions; the next cycle carries them out. One that was made but not carried out may be changed.

    Returns:
        ids of the conflicts decided; one that was closed meanwhile is not among them.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    wanted = {one.id: one for one in verdicts}
    rows = list(
        select_in(
            connection,
            sa.select(conflict.c.id, conflict.c.link_id).where(
                conflict.c.mailbox_id == fence.mailbox_id, conflict.c.state.in_(OPEN)
            ),
            conflict.c.id,
            list(wanted),
        )
    )
    for row in rows:
        one = wanted[row.id]
        connection.execute(
            sa.update(conflict)
            .where(conflict.c.id == row.id)
            .values(state="decided", choice=one.choice, value=one.value, by=by, decided_at=now)
        )
    mark_dirty(connection, sorted({row.link_id for row in rows}))
    return [row.id for row in rows]


def ask_again(connection: sa.Connection) -> int:
    """Plan all links with conflicts once more, since the rules may have changed. Returns how many."""
    found = set(connection.execute(sa.select(conflict.c.link_id).where(conflict.c.state.in_(OPEN))).scalars())
    mark_dirty(connection, sorted(found))
    return len(found)


#: The states are written out rather than bound: only then SQLite uses the index of what is open.
_WAITING = Statement(
    sa.select(conflict.c.mailbox_id, sa.func.count().label("waiting"))
    .where(sa.text("state IN ('open','decided')"), conflict.c.state == "open")
    .group_by(conflict.c.mailbox_id)
)


def counts(connection: sa.Connection) -> dict[int, int]:
    """Conflicts that wait for an admin, by mailbox."""
    return {row.mailbox_id: row.waiting for row in _WAITING.rows(connection)}
