"""Units of work on intents: writes are committed as in flight before they are sent, and settled when answered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sqlalchemy as sa

from engine.ledger.conflicts import two_sided
from engine.ledger.copies import Copy, part
from engine.ledger.fence import Fence, check
from engine.ledger.restored import beside, hold
from engine.ledger.schema import dirty, intent, item, journal, link, match_key
from engine.ledger.special import Special, settle
from engine.ledger.sql import one_of, setting
from engine.ledger.statement import Statement
from engine.ledger.worklist import WHILE_WRITING, mark_dirty, occurrences_afresh, take_off, wake_occurrences

#: After so many failures in a row an item is set aside, visible, and its mailbox goes on (sync.md section 3.8).
QUARANTINE_AFTER = 5

#: First wait after a failed item, doubled each time (domain.md 5.5).
RETRY_MS = 30_000


@dataclass(frozen=True, slots=True)
class IntentRow:
    """An open intent with what a connector needs to carry it out."""

    id: int
    link_id: int
    side: str
    scope_id: int
    module: str
    kind: str
    key: str
    remote_id: str
    fields: dict[str, Any]
    patch: dict[str, Any]
    etag: str | None
    native: Any
    shown: dict[str, Any]
    accepted: dict[str, Any]
    containers: tuple[str, ...]
    attempt: int
    notify: bool
    sent_at: int | None
    parent: str | None
    occurrence: str | None
    before: dict[str, Any]
    mode: str


_CURRENT = item.alias("current")
_MASTER = item.alias("master")


_KINDS = Statement(
    sa.select(intent.c.kind, intent.c.side)
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
    )
    .distinct()
)
_ALL_PLANNED = (
    sa.select(
        intent.c.id,
        intent.c.link_id,
        intent.c.side,
        intent.c.scope_id,
        intent.c.module,
        intent.c.kind,
        intent.c.key,
        intent.c.remote_id,
        intent.c.fields,
        intent.c.patch,
        intent.c.etag,
        intent.c.attempt,
        intent.c.notify,
        intent.c.sent_at,
        intent.c.before,
        intent.c.mode,
        _CURRENT.c.native,
        _CURRENT.c.fields.label("shown"),
        _CURRENT.c.accepted,
        _CURRENT.c.containers,
        link.c.occurrence.label("original"),
        _MASTER.c.remote_id.label("parent"),
    )
    .join(link, link.c.id == intent.c.link_id)
    .outerjoin(
        _CURRENT,
        sa.and_(
            _CURRENT.c.link_id == intent.c.link_id, _CURRENT.c.side == intent.c.side, _CURRENT.c.deleted == 0
        ),
    )
    .outerjoin(
        _MASTER,
        sa.and_(
            _MASTER.c.link_id == link.c.parent_link, _MASTER.c.side == intent.c.side, _MASTER.c.deleted == 0
        ),
    )
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"),
        intent.c.state == "planned",
        intent.c.side == sa.bindparam("of_side"),
        intent.c.kind == sa.bindparam("of_kind"),
        intent.c.module.in_(sa.bindparam("modules", expanding=True)),
    )
    .order_by(intent.c.id)
    .limit(sa.bindparam("most"))
)
# Two statements, each of which SQLite reads in the order of an index and stops: a thousand of ten thousand need no sorting.
_PLANNED = Statement(_ALL_PLANNED.where(link.c.parent_link.is_(None)))
_PLANNED_OCCURRENCES = Statement(_ALL_PLANNED.where(_MASTER.c.remote_id.is_not(None)))


def planned(
    connection: sa.Connection,
    mailbox_id: int,
    modules: Sequence[str],
    side: str,
    kind: str,
    limit: int,
    *,
    series: bool = True,
) -> list[IntentRow]:
    """Planned intents of one kind, masters before occurrences (without ``series`` there are none), oldest first.

    An occurrence whose master has no item on this side yet is left out: it waits for the next round.
    """
    asked = {"mailbox": mailbox_id, "modules": modules, "of_side": side, "of_kind": kind}
    rows = _PLANNED.rows(connection, **asked, most=limit)
    if series and len(rows) < limit:
        rows += _PLANNED_OCCURRENCES.rows(connection, **asked, most=limit - len(rows))
    return [
        IntentRow(
            row.id,
            row.link_id,
            row.side,
            row.scope_id,
            row.module,
            row.kind,
            row.key,
            row.remote_id,
            row.fields or {},
            row.patch or {},
            row.etag,
            row.native,
            row.shown or {},
            row.accepted or {},
            tuple(row.containers or ()),
            row.attempt,
            bool(row.notify),
            row.sent_at,
            row.parent,
            row.original,
            row.before or {},
            row.mode,
        )
        for row in rows
    ]


def planned_kinds(connection: sa.Connection, mailbox_id: int, modules: Sequence[str]) -> set[tuple[str, str]]:
    """The (kind, side) of which anything is planned, so that an idle cycle asks once instead of six times."""
    rows = _KINDS.rows(connection, mailbox=mailbox_id, modules=modules)
    return {(row.kind, row.side) for row in rows}


_TAKE_FLIGHT = Statement(
    sa.update(intent)
    .where(one_of(intent.c.id), intent.c.state == "planned")
    .values(state="in_flight", sent_at=sa.bindparam("b_now"))
)


# Changed occurrences go with their series at the provider, or with its old times: what they say is in the journal before that.
_WITH_SERIES = Statement(
    sa.insert(journal).from_select(
        ["mailbox_id", "cycle_id", "link_id", "side", "kind", "before", "why", "at"],
        sa.select(
            intent.c.mailbox_id,
            intent.c.cycle_id,
            item.c.link_id,
            intent.c.side,
            sa.literal("conflict", literal_execute=True),
            item.c.fields,
            sa.case(
                (intent.c.kind == "delete", sa.literal("its series was deleted", literal_execute=True)),
                else_=sa.literal("its series got other times", literal_execute=True),
            ),
            sa.bindparam("b_now", type_=sa.BigInteger),
        )
        .join(link, link.c.parent_link == intent.c.link_id)
        .join(item, sa.and_(item.c.link_id == link.c.id, item.c.side == intent.c.side, item.c.deleted == 0))
        .where(one_of(intent.c.id)),
    )
)


def take_flight(
    connection: sa.Connection, fence: Fence, intent_ids: Sequence[int], now: int, along: Sequence[int] = ()
) -> None:
    """Write ahead: these intents are about to be sent. Every attempt passes here, not only the first.

    ``along``: those of them after which nothing is left of what was changed about the occurrences of their series.
    """
    check(connection, fence)
    _TAKE_FLIGHT.run_among(connection, intent_ids, b_now=now)
    _WITH_SERIES.run_among(connection, along, b_now=now)


@dataclass(frozen=True, slots=True)
class Applied:
    """A write that was made: the item as the provider now shows it.

    ``accepted`` is what the provider made of our values; ``None`` fields for a delete. ``untold``: the feed tells net
    differences, and of an item that is new to it nothing at all if it ends before it was told.
    """

    intent: IntentRow
    remote_id: str
    etag: str | None
    fields: Mapping[str, Any]
    accepted: Mapping[str, Any]
    native: Any
    containers: tuple[str, ...]
    modified: int | None
    drifted: bool  # the answer shows changes that are not ours: look again
    untold: bool = False
    #: A series whose changed occurrences did not outlive the write: they are made anew from what the other side shows.
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Unsettled:
    """A write that was not made, or of which nobody can tell.

    Attributes:
        how: ``again`` (back to planned), ``reread`` (void; the link is looked at again), ``unsure`` (so, after an update
            of which nobody can tell; a delete stays in flight until its item was read by id), ``later`` (so, but not before
            ``not_before``), ``taken`` (so, and a create that finds its place taken again and again is at fault), ``gone``
            (void; the item is read by id, and looked at again), ``unknown`` (wait until ``not_before``, then look for the
            marker), ``failed`` (the item is at fault).
        error: for people.
    """

    intent: IntentRow
    how: str
    error: str = ""
    not_before: int = 0


def record_outcomes(
    connection: sa.Connection,
    fence: Fence,
    applied: Sequence[Applied],
    unsettled: Sequence[Unsettled],
    now: int,
) -> list[int]:
    """Settle a batch in one transaction: items, bases, journal, work list.

    Returns:
        links that went into quarantine.
    """
    check(connection, fence)
    if applied:
        _record_applied(connection, fence, applied, now)
    return _record_unsettled(connection, unsettled, now)


_BASES = Statement(sa.select(link.c.id, link.c.base).where(one_of(link.c.id)))


def _upsert_item(insert: Any) -> Any:
    made = insert(item)
    new = made.excluded
    taken = (
        "link_id",
        "etag",
        "fields",
        "accepted",
        "native",
        "containers",
        "modified",
        "written_at",
        "read_at",
    )
    return made.on_conflict_do_update(
        index_elements=["mailbox_id", "side", "scope_id", "remote_id"],
        set_={
            **{name: new[name] for name in taken},
            "deleted": 0,
            "own": 0,
            "marker": sa.func.coalesce(new.marker, item.c.marker),
            # What the feed has told of already, it tells the end of, too.
            "untold": sa.case((item.c.deleted != 0, new.untold), else_=item.c.untold),
        },
    )


_WRITTEN = Statement(
    _upsert_item,
    (
        "mailbox_id",
        "side",
        "scope_id",
        "remote_id",
        "link_id",
        "module",
        "etag",
        "marker",
        "fields",
        "accepted",
        "native",
        "containers",
        "parent",
        "occurrence",
        "modified",
        "written_at",
        "read_at",
        "untold",
    ),
)
_AGREED = setting(link, "id", ("base", "state", "reason"))
_DROP_KEYS = Statement(
    sa.delete(match_key).where(match_key.c.item_id.in_(sa.select(item.c.id).where(one_of(item.c.link_id))))
)
_NO_LONGER_WRITING = Statement(
    sa.delete(dirty).where(one_of(dirty.c.link_id), dirty.c.not_before == WHILE_WRITING)
)
_NO_FAILURES = Statement(
    sa.update(dirty).where(one_of(dirty.c.link_id), dirty.c.attempts > 0).values(attempts=0)
)
_REMOVED = Statement(
    sa.update(item)
    .where(item.c.link_id == sa.bindparam("b_link"), item.c.side == sa.bindparam("b_side"))
    .values(deleted=1, written_at=sa.bindparam("b_now"))
)
_STATE = setting(link, "id", ("state",))
_DONE = Statement(sa.update(intent).where(one_of(intent.c.id)).values(state="done"))
_CLOSE_WITH = setting(intent, "id", ("state", "error"))
_UNKNOWN = setting(intent, "id", ("state", "error", "not_before"))
# Copied inside the database: the documents need not be read and written again.
_JOURNALLED = Statement(
    sa.insert(journal).from_select(
        ["mailbox_id", "cycle_id", "link_id", "side", "kind", "before", "after", "why", "at", "intent_id"],
        sa.select(
            intent.c.mailbox_id,
            intent.c.cycle_id,
            intent.c.link_id,
            intent.c.side,
            intent.c.kind,
            intent.c.before,
            intent.c.patch,
            intent.c.why,
            sa.bindparam("b_now", type_=sa.BigInteger),
            intent.c.id,
        )
        .where(one_of(intent.c.id))
        .order_by(intent.c.id),
    )
)


def _record_applied(connection: sa.Connection, fence: Fence, applied: Sequence[Applied], now: int) -> None:
    copies = [
        Copy(one.intent.id, one.intent.link_id, one.intent.module, one.intent.side, one.remote_id)
        for one in applied
        if one.intent.kind == "create" and one.intent.attempt
    ]
    parted = part(connection, fence.mailbox_id, copies) if copies else {}
    if parted:
        applied = [
            replace(one, intent=replace(one.intent, link_id=parted.get(one.intent.id, one.intent.link_id)))
            for one in applied
        ]
    _record_linked(connection, fence, applied, now)
    for copy in copies:
        if copy.intent_id in parted:
            hold(connection, parted[copy.intent_id], copy.link_id)
            mark_dirty(connection, [copy.link_id])


def _record_linked(connection: sa.Connection, fence: Fence, applied: Sequence[Applied], now: int) -> None:
    written = [one for one in applied if one.intent.kind != "delete"]
    removed = [one for one in applied if one.intent.kind == "delete"]
    # A create starts afresh: what an earlier generation had and this one lacks is no base.
    updated = [one.intent.link_id for one in written if one.intent.kind == "update"]
    bases = {row.id: row.base or {} for row in _BASES.among(connection, updated)}
    waits = two_sided(connection, [one.intent.id for one in written if one.intent.kind == "update"])
    _WRITTEN.many(
        connection,
        [
            {
                "mailbox_id": fence.mailbox_id,
                "side": one.intent.side,
                "scope_id": one.intent.scope_id,
                "remote_id": one.remote_id,
                "link_id": one.intent.link_id,
                "module": one.intent.module,
                "etag": one.etag,
                "marker": one.intent.key if one.intent.kind == "create" else None,
                "fields": dict(one.fields),
                "accepted": dict(one.accepted) or None,
                "native": one.native,
                "containers": one.containers,
                "parent": one.intent.parent,
                "occurrence": one.intent.occurrence,
                "modified": one.modified,
                "written_at": now,
                "read_at": now,
                "untold": int(one.untold),
            }
            for one in written
        ],
    )
    _AGREED.many(
        connection,
        [
            {
                "which": one.intent.link_id,
                "new_base": {
                    name: value
                    for name, value in {
                        **bases.get(one.intent.link_id, {}),
                        **_agreed(one.intent.patch, waits.get(one.intent.id)),
                    }.items()
                    if value is not None
                },
                "new_state": "live",
                "new_reason": "",
            }
            for one in written
            if not one.intent.mode
        ],
    )
    # Matched for good: natural keys are for one-sided links only.
    _DROP_KEYS.run_among(connection, [one.intent.link_id for one in written])
    _remove(connection, [one.intent for one in removed], now)
    special = [one.intent for one in applied if one.intent.mode]
    settle(connection, [Special(one.link_id, one.side, one.kind, one.mode, one.patch) for one in special])
    _NO_LONGER_WRITING.run_among(connection, [one.intent.link_id for one in applied])
    _NO_FAILURES.run_among(connection, [one.intent.link_id for one in written])
    ids = sorted(one.intent.id for one in applied)
    _DONE.run_among(connection, ids)
    _JOURNALLED.run_among(connection, ids, b_now=now)
    mark_dirty(connection, [one.intent.link_id for one in applied if one.drifted])
    series = [one.intent for one in written if one.intent.kind == "create" and one.intent.fields.get("rule")]
    for side in sorted({one.side for one in series if not one.mode}):
        occurrences_afresh(
            connection, [one.link_id for one in series if one.side == side and not one.mode], side
        )
    wake_occurrences(connection, [one.link_id for one in series])
    for side in sorted({one.intent.side for one in applied if one.reset}):
        again = [one.intent.link_id for one in applied if one.reset and one.intent.side == side]
        occurrences_afresh(connection, again, side)


def _remove(connection: sa.Connection, deletes: Sequence[IntentRow | Open], now: int) -> None:
    _REMOVED.many(connection, [{"b_link": one.link_id, "b_side": one.side, "b_now": now} for one in deletes])
    _STATE.many(connection, [{"which": one.link_id, "new_state": "tombstone"} for one in deletes])
    mark_dirty(connection, beside(connection, [one.link_id for one in deletes]))


def _agreed(patch: Mapping[str, Any], waits: set[str] | None) -> Mapping[str, Any]:
    """What of a patch is the base from now on."""
    return patch if waits is None else {name: value for name, value in patch.items() if name not in waits}


_AGAIN = Statement(
    sa.update(intent)
    .where(intent.c.id == sa.bindparam("b_id"))
    .values(state="planned", attempt=intent.c.attempt + 1)
)
_FAILED = Statement(
    sa.update(dirty).where(dirty.c.link_id == sa.bindparam("b_link")).values(attempts=dirty.c.attempts + 1)
)
_ATTEMPTS = Statement(sa.select(dirty.c.link_id, dirty.c.attempts).where(one_of(dirty.c.link_id)))
_LATER = setting(dirty, "link_id", ("not_before",))
_REASON = setting(link, "id", ("reason",))
_SET_ASIDE = setting(link, "id", ("state", "reason"))


# A delete of which nobody can tell whether it was made: what it took is in the journal in any case.
_UNSURE = Statement(
    sa.insert(journal).from_select(
        ["mailbox_id", "cycle_id", "link_id", "side", "kind", "before", "why", "at", "intent_id"],
        sa.select(
            intent.c.mailbox_id,
            intent.c.cycle_id,
            intent.c.link_id,
            intent.c.side,
            sa.literal("conflict", literal_execute=True),
            intent.c.before,
            sa.literal("a delete was sent, and the answer never came", literal_execute=True),
            sa.bindparam("b_now", type_=sa.BigInteger),
            intent.c.id,
        ).where(one_of(intent.c.id), intent.c.kind == "delete"),
    )
)


def _stays_in_flight(one: Unsettled) -> bool:
    """Whether it is a delete that waits for its item to be read by id; those of an order are settled by the order."""
    return one.how == "unsure" and one.intent.kind == "delete" and not one.intent.mode


def _record_unsettled(connection: sa.Connection, unsettled: Sequence[Unsettled], now: int) -> list[int]:
    by: dict[str, list[Unsettled]] = {}
    for one in unsettled:
        by.setdefault(one.how, []).append(one)
    failed, gone, taken = by.get("failed", []), by.get("gone", []), by.get("taken", [])
    void = [
        one
        for one in unsettled
        if one.how in {"reread", "unsure", "gone", "later", "taken"} and not _stays_in_flight(one)
    ]
    _UNSURE.run_among(connection, [one.intent.id for one in by.get("unsure", [])], b_now=now)
    _AGAIN.many(connection, [{"b_id": one.intent.id} for one in by.get("again", [])])
    _UNKNOWN.many(
        connection,
        [
            {
                "which": one.intent.id,
                "new_state": "unknown",
                "new_error": one.error,
                "new_not_before": one.not_before,
            }
            for one in by.get("unknown", [])
        ],
    )
    _CLOSE_WITH.many(
        connection,
        [
            {"which": one.intent.id, "new_state": state, "new_error": one.error}
            for state, those in (("void", void), ("failed", failed))
            for one in those
        ],
    )
    mark_dirty(connection, [one.intent.link_id for one in (*void, *failed)])
    for one in (*by.get("later", []), *taken):
        put_off(connection, [one.intent.link_id], one.not_before)
    return [
        *_count_failures(connection, failed, now),
        *_count_failures(connection, gone, now, free=1),
        *_count_failures(connection, taken, now, free=2),
    ]


def put_off(connection: sa.Connection, link_ids: Sequence[int], not_before: int) -> None:
    """Look at links of the work list no earlier than that."""
    _LATER.many(connection, [{"which": one, "new_not_before": not_before} for one in link_ids])


def _count_failures(
    connection: sa.Connection, failed: Sequence[Unsettled], now: int, *, free: int = 0
) -> list[int]:
    """Items at fault wait longer each time, and are set aside at last. Returns the links that were.

    The first ``free`` failures are none: an item that is gone when it is written was deleted meanwhile as a rule, and what
    follows from that is planned at once. One that is there whenever it is read is at fault. So is an occurrence whose place
    is taken although nothing that is read tells by what.
    """
    if not failed:
        return []
    _FAILED.many(connection, [{"b_link": one.intent.link_id} for one in failed])
    attempts = {
        row.link_id: row.attempts for row in _ATTEMPTS.among(connection, [one.intent.link_id for one in failed])
    }
    errors = {one.intent.link_id: one.error for one in failed}
    aside = [one for one in errors if attempts[one] >= QUARANTINE_AFTER]
    waits = [one for one in errors if free < attempts[one] < QUARANTINE_AFTER]
    take_off(connection, aside)
    _SET_ASIDE.many(
        connection, [{"which": one, "new_state": "quarantined", "new_reason": errors[one]} for one in aside]
    )
    _LATER.many(
        connection,
        [{"which": one, "new_not_before": now + RETRY_MS * 2 ** (attempts[one] - 1 - free)} for one in waits],
    )
    _REASON.many(connection, [{"which": one, "new_reason": errors[one]} for one in waits])
    return aside


# -- recovery ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Open:
    """An intent that an earlier run left open."""

    id: int
    link_id: int
    module: str
    side: str
    kind: str
    state: str
    sent_at: int | None
    not_before: int
    scope_id: int
    remote_id: str
    patch: dict[str, Any]
    mode: str
    occurrence: str | None


_LEFT_OPEN = Statement(
    sa.select(
        intent.c.id,
        intent.c.link_id,
        intent.c.module,
        intent.c.side,
        intent.c.kind,
        intent.c.state,
        intent.c.sent_at,
        intent.c.not_before,
        intent.c.scope_id,
        intent.c.remote_id,
        intent.c.patch,
        intent.c.mode,
        link.c.occurrence,
    )
    .outerjoin(link, link.c.id == intent.c.link_id)
    .where(
        intent.c.mailbox_id == sa.bindparam("mailbox"), intent.c.state.in_(("planned", "in_flight", "unknown"))
    )
)


def left_open(connection: sa.Connection, mailbox_id: int) -> list[Open]:
    """What an earlier run left open; held deletes are not in it, they wait for an admin."""
    rows = _LEFT_OPEN.rows(connection, mailbox=mailbox_id)
    return [
        Open(
            row.id,
            row.link_id,
            row.module,
            row.side,
            row.kind,
            row.state,
            row.sent_at,
            row.not_before,
            row.scope_id,
            row.remote_id,
            row.patch or {},
            row.mode,
            row.occurrence,
        )
        for row in rows
    ]


def recover(
    connection: sa.Connection,
    fence: Fence,
    *,
    void: Sequence[Open],
    repeat: Sequence[Open],
    unknown: Mapping[int, int],
    now: int,
    landed: Sequence[Open] = (),
    removed: Sequence[Open] = (),
    reset: Sequence[Open] = (),
) -> None:
    """Settle what an earlier run left open (sync.md section 3.2).

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        void: planned again from scratch; harmless, since an update or delete names its etag.
        repeat: creates that may be sent again under the same key.
        unknown: creates that must be looked for first: intent id to the time until which the feed may lag.
        now: engine clock.
        landed: those of ``void`` whose values their item shows: both sides agreed on them, so that they are the base.
        removed: deletes in flight whose item is gone: they were made, as far as anybody can tell.
        reset: those of ``landed`` that were made where changed occurrences do not outlive them.
    """
    check(connection, fence)
    waits = two_sided(connection, [one.id for one in landed])
    for one in landed:
        base = connection.scalar(sa.select(link.c.base).where(link.c.id == one.link_id))
        if base is not None:
            given = {**base, **_agreed(one.patch, waits.get(one.id))}
            agreed = {name: value for name, value in given.items() if value is not None}
            connection.execute(sa.update(link).where(link.c.id == one.link_id).values(base=agreed))
    for one in reset:
        occurrences_afresh(connection, [one.link_id], one.side)
    _CLOSE_WITH.many(
        connection,
        [{"which": one.id, "new_state": "void", "new_error": "planned again after a restart"} for one in void],
    )
    _UNSURE.run_among(connection, [one.id for one in void if one.state == "in_flight"], b_now=now)
    mark_dirty(connection, [one.link_id for one in void])
    _record_removed(connection, removed, now)
    _AGAIN.many(connection, [{"b_id": one.id} for one in repeat])
    _UNKNOWN.many(
        connection,
        [
            {
                "which": intent_id,
                "new_state": "unknown",
                "new_error": "sent, but the answer never came",
                "new_not_before": until,
            }
            for intent_id, until in unknown.items()
        ],
    )


def _record_removed(connection: sa.Connection, deletes: Sequence[Open], now: int) -> None:
    """Deletes whose answer was lost, and whose item is gone.

    Not known as ours, the end of the item would count as a person's, and end its twin although somebody took that back
    from the bin meanwhile (seed 20054).
    """
    _remove(connection, deletes, now)
    _NO_LONGER_WRITING.run_among(connection, [one.link_id for one in deletes])
    ids = sorted(one.id for one in deletes)
    _DONE.run_among(connection, ids)
    _JOURNALLED.run_among(connection, ids, b_now=now)
    # What the other side shows by now may be new.
    mark_dirty(connection, [one.link_id for one in deletes])


# -- what waits ----------------------------------------------------------------------------------------


def held_counts(connection: sa.Connection) -> dict[int, int]:
    """Items that wait for an admin, by mailbox: held and quarantined links, held deletes."""
    counts: dict[int, int] = {}
    links = (
        sa.select(link.c.mailbox_id, sa.func.count())
        .where(link.c.state.in_(("held", "quarantined")))
        .group_by(link.c.mailbox_id)
    )
    deletes = (
        sa.select(intent.c.mailbox_id, sa.func.count())
        .where(intent.c.state == "held")
        .group_by(intent.c.mailbox_id)
    )
    for query in (links, deletes):
        for mailbox_id, count in connection.execute(query):
            counts[mailbox_id] = counts.get(mailbox_id, 0) + count
    return counts
