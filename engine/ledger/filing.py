"""Units of work on mails that are filed: what was seen, what is on its way to the CRM, and how it ended.

A page of the feed is recorded with its cursor in one transaction. A filing is written ahead with its key before the CRM is
asked (``sent``), and so is the removal of its label (``released``), so that an engine that dies anywhere repeats what may
be repeated and takes nothing of its own for a person's doing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from engine.ledger.fence import Fence, check
from engine.ledger.schema import filing, item, mail_watch, mailbox
from engine.ledger.sql import chunks, insert, set_columns
from engine.ledger.statement import Statement, at_once
from engine.model.modules import RECORD_MODULES

OPEN = ("waiting", "sent", "unfiling")

#: States that a mail dropped once more leaves.
_AGAIN = ("refused", "unfiled", "left", "gone")


@dataclass(frozen=True, slots=True)
class Target:
    """A record's drop label. ``mail`` is the provider's id of its quick connect mail, ``label`` its full name as we know it."""

    place: str
    module: str
    record: str
    name: str
    mail: str
    label: str
    link_id: int
    closed: bool = False


@dataclass(frozen=True, slots=True)
class Seen:
    """A mail that is to be filed, as a page of the feed showed it."""

    mail: str
    thread: str
    place: str
    via: str
    module: str
    target: str
    record: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class FilingRow:
    """One mail and one record, see the table."""

    id: int
    mailbox_id: int
    mail: str
    thread: str
    message: str
    place: str
    via: str
    module: str
    target: str
    record: str
    name: str
    key: str
    activity: str
    state: str
    reason: str
    subject: str
    sender: str
    sent_at: int | None
    incoming: int
    files: int
    attempt: int
    not_before: int
    at: int
    done_at: int | None
    left_at: int | None
    released: int
    email: str = ""
    policy: str = ""


@dataclass(slots=True)
class PageOutcome:
    """What became of a page: how many mails are new to us, and rows whose label a person took off."""

    new: int = 0
    left: list[FilingRow] = field(default_factory=list)


_WATCH = Statement(sa.select(mail_watch.c.cursor).where(mail_watch.c.mailbox_id == sa.bindparam("which")))
_NAMES = Statement(sa.select(mail_watch.c.names_at).where(mail_watch.c.mailbox_id == sa.bindparam("which")))
_WORK = Statement(
    sa.select(sa.func.min(filing.c.not_before).label("least")).where(
        filing.c.mailbox_id == sa.bindparam("which"), sa.text("state IN ('waiting','sent','unfiling')")
    )
)
_RELEASE = Statement(
    sa.select(filing.c.id).where(filing.c.mailbox_id == sa.bindparam("which"), sa.text("released = 1")).limit(1)
)


@at_once
def cursor_of(connection: sa.Connection, mailbox_id: int) -> str:
    """Where the check of a mailbox goes on; empty when it never began."""
    return _WATCH.scalar(connection, which=mailbox_id) or ""


@at_once
def names_at(connection: sa.Connection, mailbox_id: int) -> int:
    """When the names of the labels were last looked at, epoch milliseconds; 0: never."""
    return _NAMES.scalar(connection, which=mailbox_id) or 0


@at_once
def has_work(connection: sa.Connection, mailbox_id: int, now: int) -> bool:
    """Whether anything of a mailbox is due: to be filed, unfiled, or moved."""
    least = _WORK.scalar(connection, which=mailbox_id)
    return (least is not None and least <= now) or _RELEASE.scalar(connection, which=mailbox_id) is not None


_OURS, _THEIRS = item.alias("ours"), item.alias("theirs")
_DROP_LABEL = (
    _OURS.c.mailbox_id == sa.bindparam("mailbox"),
    _OURS.c.side == "mailbox",
    _OURS.c.module.in_(sorted(RECORD_MODULES)),
    _OURS.c.deleted == 0,
    _THEIRS.c.deleted == 0,
)
_ITS_RECORD = sa.and_(_THEIRS.c.link_id == _OURS.c.link_id, _THEIRS.c.side == "crm")
_TARGET_PLACES = Statement(sa.select(_OURS.c.remote_id).join(_THEIRS, _ITS_RECORD).where(*_DROP_LABEL))
_TARGETS = Statement(
    sa.select(
        _OURS.c.remote_id,
        _OURS.c.native,
        _OURS.c.link_id,
        _THEIRS.c.module,
        _THEIRS.c.remote_id.label("record"),
        _THEIRS.c.fields,
    )
    .join(_THEIRS, _ITS_RECORD)
    .where(*_DROP_LABEL)
)


def target_places(connection: sa.Connection, mailbox_id: int) -> list[str]:
    """The drop labels of a mailbox, by their ids alone: all that a look at folders needs when nothing has changed."""
    return _TARGET_PLACES.scalars(connection, mailbox=mailbox_id)


def targets(connection: sa.Connection, mailbox_id: int) -> list[Target]:
    """The drop labels of a mailbox: those of live records that have one."""
    rows = _TARGETS.rows(connection, mailbox=mailbox_id)
    found = []
    for row in rows:
        native, fields = row.native or {}, row.fields or {}
        name = str(fields.get("name") or fields.get("number") or "")
        found.append(
            Target(
                row.remote_id,
                row.module,
                row.record,
                name,
                str(native.get("message") or ""),
                str(native.get("name") or ""),
                row.link_id,
                bool(fields.get("closed")),
            )
        )
    return found


def rename(connection: sa.Connection, fence: Fence, place: str, name: str) -> None:
    """A drop label has another full name now.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    ours = sa.and_(
        item.c.mailbox_id == fence.mailbox_id,
        item.c.side == "mailbox",
        item.c.remote_id == place,
        item.c.module.in_(sorted(RECORD_MODULES)),
    )
    for row in connection.execute(sa.select(item.c.id, item.c.native).where(ours)).all():
        set_columns(connection, item, "id", row.id, native={**(row.native or {}), "name": name})


def conversations(connection: sa.Connection, mailbox_id: int, threads: Sequence[str]) -> dict[str, list[Seen]]:
    """What the mails of some conversations were filed to, for those that come later."""
    found: dict[str, dict[tuple[str, str], Seen]] = {}
    for piece in chunks([thread for thread in threads if thread]):
        rows = connection.execute(
            sa.select(filing)
            .where(
                filing.c.mailbox_id == mailbox_id,
                filing.c.thread.in_(piece),
                filing.c.state.in_(("waiting", "sent", "filed")),
                filing.c.via.in_(("dropped", "created", "followed")),
                filing.c.target != "new",
            )
            .order_by(filing.c.id)
        )
        for row in rows:
            seen = Seen("", row.thread, "", "followed", row.module, row.target, row.record, row.name)
            found.setdefault(row.thread, {})[(row.module, row.target)] = seen
    return {thread: list(those.values()) for thread, those in found.items()}


def known(
    connection: sa.Connection, mailbox_id: int, mails: Sequence[str], messages: Sequence[str]
) -> set[str]:
    """Those of some mails and of some Message-IDs of which the mailbox has a row."""
    found: set[str] = set()
    for column, wanted in ((filing.c.mail, mails), (filing.c.message, messages)):
        for piece in chunks(wanted):
            query = sa.select(column).where(filing.c.mailbox_id == mailbox_id, column.in_(piece))
            found |= set(connection.execute(query).scalars())
    return found


def lying(connection: sa.Connection, mailbox_id: int, places: Sequence[str]) -> list[tuple[str, str]]:
    """Mails that lie in some places as far as we know, with their place; those that we move away ourselves do not."""
    found: list[tuple[str, str]] = []
    for piece in chunks(places):
        query = sa.select(filing.c.mail, filing.c.place).where(
            filing.c.mailbox_id == mailbox_id, filing.c.place.in_(piece), filing.c.released == 0
        )
        found += [(row.mail, row.place) for row in connection.execute(query)]
    return found


def record_page(
    connection: sa.Connection,
    fence: Fence,
    cursor: str | None,
    seen: Sequence[Seen],
    left: Mapping[str, Sequence[str]],
    gone: Sequence[str],
    unfile: bool,
    now: int,
) -> PageOutcome:
    """Record what a page of the feed told, with the cursor behind it.

    Args:
        connection: the write transaction.
        fence: of the mailbox.
        cursor: where the next check goes on; None before the last page.
        seen: mails to be filed.
        left: places from which a mail was taken, by mail; our own removals are among them.
        gone: mails that were deleted.
        unfile: whether the policy takes mails out of the CRM whose label was taken off.
        now: engine clock.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    out = PageOutcome()
    for one in seen:
        out.new += _drop(connection, fence.mailbox_id, one, now)
    for piece in chunks(left):
        rows = connection.execute(
            sa.select(filing).where(
                filing.c.mailbox_id == fence.mailbox_id, filing.c.mail.in_(piece), filing.c.released == 0
            )
        ).all()
        for row in rows:
            if row.place and row.place in left[row.mail]:
                _left(connection, row, unfile, now)
                out.left.append(_row(row))
    for piece in chunks(gone):
        connection.execute(
            sa.update(filing)
            .where(
                filing.c.mailbox_id == fence.mailbox_id, filing.c.mail.in_(piece), filing.c.state == "waiting"
            )
            .values(state="gone", reason="the mail was deleted before it was filed", done_at=now)
        )
    if cursor is not None:
        set_cursor(connection, fence, cursor, now)
    return out


def set_cursor(connection: sa.Connection, fence: Fence, cursor: str, now: int) -> None:
    """Where the next check of a mailbox goes on.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    taken = insert(connection, mail_watch).values(mailbox_id=fence.mailbox_id, cursor=cursor, at=now)
    connection.execute(
        taken.on_conflict_do_update(index_elements=["mailbox_id"], set_={"cursor": cursor, "at": now})
    )


def set_names_at(connection: sa.Connection, fence: Fence, now: int) -> None:
    """The names of a mailbox's labels were looked at.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    taken = insert(connection, mail_watch).values(mailbox_id=fence.mailbox_id, names_at=now)
    connection.execute(taken.on_conflict_do_update(index_elements=["mailbox_id"], set_={"names_at": now}))


def _drop(connection: sa.Connection, mailbox_id: int, one: Seen, now: int) -> int:
    """A mail lies under a drop label: new to us, or once more after it was settled. Returns 1 when it is to be filed."""
    known = connection.execute(
        sa.select(filing.c.id, filing.c.state, filing.c.released, filing.c.left_at).where(
            filing.c.mailbox_id == mailbox_id,
            filing.c.mail == one.mail,
            filing.c.module == one.module,
            filing.c.target == one.target,
        )
    ).first()
    if known is None:
        connection.execute(
            sa.insert(filing).values(
                mailbox_id=mailbox_id, mail=one.mail, thread=one.thread, place=one.place, via=one.via,
                module=one.module, target=one.target, record=one.record, name=one.name, at=now,
            )
        )  # fmt: skip
        return 1
    if one.via == "followed" or not one.place:
        return 0
    # One whose label is put back before it was taken out of the CRM: the delete may have been sent by an engine that died, so
    # that it is filed again by its key, which finds it where it still stands.
    if known.state in (*_AGAIN, "unfiling"):
        set_columns(
            connection, filing, "id", known.id,
            state="waiting", reason="", place=one.place, via=one.via, attempt=0, not_before=0, released=0,
            left_at=None, done_at=None,
        )  # fmt: skip
        return 1
    if known.state == "sent" and known.left_at is not None:
        # Taken off and put back while the CRM's answer was out: it is not to be taken out once that is known.
        set_columns(connection, filing, "id", known.id, place=one.place, released=0, left_at=None)
        return 0
    if known.state == "filed" and known.released == 2:
        # Filed already and dropped once more: only the label is to be dealt with again.
        set_columns(connection, filing, "id", known.id, place=one.place, released=1, left_at=None)
    return 0


def _left(connection: sa.Connection, row: Any, unfile: bool, now: int) -> None:
    values: dict[str, Any] = {"left_at": now, "released": 2}
    if row.state == "waiting":
        values |= {"state": "left", "reason": "its label was taken off before it was filed", "done_at": now}
    elif row.state == "filed" and unfile and row.activity:
        values |= {"state": "unfiling", "attempt": 0, "not_before": 0}
    set_columns(connection, filing, "id", row.id, **values)


def due(
    connection: sa.Connection, mailbox_id: int, now: int, states: Sequence[str], most: int
) -> list[FilingRow]:
    """Rows of a mailbox that are to be worked on, the oldest first."""
    return [
        _row(row)
        for row in connection.execute(
            sa.select(filing)
            .where(
                filing.c.mailbox_id == mailbox_id,
                sa.text("state IN ('waiting','sent','unfiling')"),
                filing.c.state.in_(states),
                filing.c.not_before <= now,
            )
            .order_by(filing.c.id)
            .limit(most)
        )
    ]


def to_release(connection: sa.Connection, mailbox_id: int) -> list[FilingRow]:
    """Settled rows whose label is still to be taken off."""
    return [
        _row(row)
        for row in connection.execute(
            sa.select(filing)
            .where(filing.c.mailbox_id == mailbox_id, sa.text("released = 1"))
            .order_by(filing.c.id)
        )
    ]


def same_key(connection: sa.Connection, keys: Sequence[str]) -> list[FilingRow]:
    """Rows of any mailbox with these keys that are filed: the same mail and record."""
    found = []
    for piece in chunks(keys):
        query = sa.select(filing).where(filing.c.key.in_(piece), filing.c.state == "filed")
        found += [_row(row) for row in connection.execute(query.order_by(filing.c.id))]
    return found


def change(connection: sa.Connection, fence: Fence, rows: Iterable[tuple[int, Mapping[str, Any]]]) -> None:
    """Set columns of rows of a mailbox, by id.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for row_id, values in rows:
        set_columns(connection, filing, "id", row_id, **values)


def forget(connection: sa.Connection, fence: Fence, ids: Sequence[int]) -> None:
    """Remove rows that were never anything: a quick connect mail of ours.

    Raises:
        StaleLease: somebody else has taken over.
    """
    check(connection, fence)
    for piece in chunks(ids):
        connection.execute(sa.delete(filing).where(filing.c.id.in_(piece)))


# -- for people ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which filings a view shows: of a mailbox, in some states, whose text contains some words."""

    email: str = ""
    states: tuple[str, ...] = ()
    words: str = ""
    policy: str = ""


def listed(
    connection: sa.Connection, wanted: Wanted, most: int = 500, before: int | None = None
) -> list[FilingRow]:
    """Filings, the newest first; ``before`` is an id at which to go on."""
    query = sa.select(filing, mailbox.c.email, mailbox.c.policy).join(
        mailbox, mailbox.c.id == filing.c.mailbox_id
    )
    if wanted.email:
        query = query.where(mailbox.c.email == wanted.email)
    if wanted.policy:
        query = query.where(mailbox.c.policy == wanted.policy)
    if wanted.states:
        query = query.where(filing.c.state.in_(wanted.states))
    for word in wanted.words.split():
        query = query.where(
            sa.or_(
                *(
                    column.icontains(word, autoescape=True)
                    for column in (filing.c.subject, filing.c.sender, filing.c.name, filing.c.reason)
                )
            )
        )
    if before is not None:
        query = query.where(filing.c.id < before)
    rows = connection.execute(query.order_by(filing.c.id.desc()).limit(most))
    return [_row(row, row.email, row.policy) for row in rows]


def one(connection: sa.Connection, filing_id: int) -> FilingRow | None:
    """One filing."""
    row = connection.execute(
        sa.select(filing, mailbox.c.email, mailbox.c.policy)
        .join(mailbox, mailbox.c.id == filing.c.mailbox_id)
        .where(filing.c.id == filing_id)
    ).first()
    return None if row is None else _row(row, row.email, row.policy)


def retry(connection: sa.Connection, ids: Sequence[int]) -> list[str]:
    """Have refused filings tried again by the next check; returns the addresses of their mailboxes."""
    rows = connection.execute(
        sa.select(filing.c.id, mailbox.c.email)
        .join(mailbox, mailbox.c.id == filing.c.mailbox_id)
        .where(filing.c.id.in_(ids), filing.c.state.in_(("refused", "waiting", "sent", "unfiling")))
    ).all()
    for row in rows:
        state = connection.execute(sa.select(filing.c.state).where(filing.c.id == row.id)).scalar_one()
        values: dict[str, Any] = {"not_before": 0}
        if state == "refused":
            values |= {"state": "waiting", "reason": "", "attempt": 0, "done_at": None}
        set_columns(connection, filing, "id", row.id, **values)
    return sorted({row.email for row in rows})


def counts(connection: sa.Connection, email: str = "") -> dict[str, int]:
    """How many filings are in each state."""
    query = sa.select(filing.c.state, sa.func.count()).group_by(filing.c.state)
    if email:
        query = query.join(mailbox, mailbox.c.id == filing.c.mailbox_id).where(mailbox.c.email == email)
    return {row[0]: row[1] for row in connection.execute(query)}


def _row(row: Any, email: str = "", policy: str = "") -> FilingRow:
    names = FilingRow.__dataclass_fields__
    return FilingRow(
        **{name: getattr(row, name) for name in names if name not in ("email", "policy")},
        email=email,
        policy=policy,
    )
