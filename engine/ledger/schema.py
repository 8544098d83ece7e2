"""The tables. Times are epoch milliseconds UTC; documents are JSON text; a mailbox id of 0 means "all mailboxes".

Two partial unique indexes are the last line of defence against duplicates (sync.md section 2): one live item per
link and side, and one open intent per link and side.
"""

from __future__ import annotations

import json
from enum import IntEnum
from typing import Any

import orjson
import sqlalchemy as sa

metadata = sa.MetaData()


_AS_JSON = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_DATETIME


def dump(value: Any) -> str | None:
    """A document as compact JSON text; ``None`` stays ``None``."""
    if value is None:
        return None
    try:
        return orjson.dumps(value, option=_AS_JSON).decode()
    except TypeError:  # an integer beyond 64 bits, a key that is no plain string: rare, and no reason to fail
        return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def load(text: str | None) -> Any:
    """The document of a text."""
    return None if text is None else orjson.loads(text)


class Doc(sa.types.TypeDecorator[Any]):
    """A JSON document as compact text; ``None`` stays NULL."""

    impl = sa.Text
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """To text."""
        return dump(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Any:
        """From text."""
        return load(value)


class Gone(IntEnum):
    """How an item was found to be deleted: the value of ``item.deleted`` (0: it lives)."""

    TOLD = 1  # by a tombstone, or it was our own delete
    ABSENT = 2  # a complete listing lacks it, and it is not found by its id either
    SHRUNK = 3  # as ABSENT, together with a large part of its source
    VANISHED = 4  # it went with its container
    DENIED = 5  # so says the first reading after access had been refused


def _int(name: str, default: int | None = None, **options: Any) -> sa.Column[int]:
    if default is None:
        return sa.Column(name, sa.BigInteger, **options)
    return sa.Column(name, sa.BigInteger, nullable=False, server_default=str(default), **options)


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer, "sqlite"), primary_key=True)


def _text(name: str, **options: Any) -> sa.Column[str]:
    return sa.Column(name, sa.Text, **options)


connection = sa.Table(
    "connection",
    metadata,
    _text("name", primary_key=True),
    _text("kind", nullable=False),
    sa.Column("settings", Doc, nullable=False),
)

policy = sa.Table(
    "policy",
    metadata,
    _text("name", primary_key=True),
    sa.Column("settings", Doc, nullable=False),
    _text("state", nullable=False, server_default="disabled"),
    _int("initialised", 0),
    _int("epoch", 0),
    _text("fault", nullable=False, server_default=""),
    _int("last_full_at"),
    _text("fault_class", nullable=False, server_default=""),
    # A canary roll-out: its waves, the present one, its state and why it stopped (engine.jobs.rollout)
    sa.Column("rollout", Doc),
)

mailbox = sa.Table(
    "mailbox",
    metadata,
    _id(),
    _text("email", nullable=False, unique=True),
    _text("policy", nullable=False),
    _text("crm_user", nullable=False, server_default=""),
    _text("zone", nullable=False, server_default=""),
    # new: never initialised; baseline: phase A is done; ready: the first sync has ended
    _text("phase", nullable=False, server_default="new"),
    _int("paused", 0),
    _text("paused_by", nullable=False, server_default=""),
    _int("epoch", 0),
    sa.Column("containers", Doc),
    sa.Column("scopes", Doc),
    _text("structure", nullable=False, server_default=""),
    _int("next_full_at"),
    _int("last_success_at"),
    _int("failures", 0),
    _int("backoff_until"),
    _text("fault", nullable=False, server_default=""),
    _text("fault_kind", nullable=False, server_default=""),
    _int("removed", 0),
    _text("fault_class", nullable=False, server_default=""),
    # The wave of a canary roll-out that admits this mailbox; NULL: it is not held back
    _int("wave"),
    # What the next cycle shall begin afresh: {module: resync, full or clear} (engine.sync.reinit)
    sa.Column("reinit", Doc),
    # Whether this person's calendar is synchronised, and the address of the mailbox where it is not ``email``
    _int("calendar_sync", 1),
    _text("exchange_email", nullable=False, server_default=""),
    # When the first run of CalendarSynchronization, which alone looks back, ended for this mailbox (engine.sync.calendar)
    _int("calendar_first_at"),
    # Whose CRM records this person's drop labels show beside their own (engine.sync.teams): {of, at, members}
    sa.Column("team", Doc),
    sa.Index("ix_mailbox_policy", "policy"),
)

scope = sa.Table(
    "scope",
    metadata,
    _id(),
    _text("policy", nullable=False),
    _int("mailbox_id", 0),
    _text("side", nullable=False),
    _text("key", nullable=False),
    _text("remote_id", nullable=False),
    _text("cursor"),
    _int("generation", 0),
    _int("read_at"),
    _int("full_at"),
    # When its container was last found to be gone and made anew
    _int("vanished_at"),
    # Since when it may not be read any more, or lists nothing although it had items; NULL while all is well
    _int("denied_at"),
    _int("empty_at"),
    sa.UniqueConstraint("policy", "mailbox_id", "side", "key"),
)

link = sa.Table(
    "link",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _text("module", nullable=False),
    sa.Column("base", Doc),
    # new: one side only; live: both sides; held, filtered, quarantined: waits, with reason; tombstone: gone on both
    _text("state", nullable=False, server_default="new"),
    _text("reason", nullable=False, server_default=""),
    _int("generation", 0),
    _int("parent_link"),
    _text("occurrence"),
    _int("start_at"),
    # The link whose item has taken its place: a restored item that waits beside its copy (engine.ledger.restored)
    _int("beside"),
    # How often a field was written back and forth: {field: [times, at]}; three times freeze it (sync.md section 7)
    sa.Column("bounces", Doc),
    sa.Index("ix_link_mailbox", "mailbox_id", "state", "module"),
    # Asked after every run of a policy: must not depend on the number of links.
    sa.Index("ix_link_waiting", "mailbox_id", sqlite_where=sa.text("state IN ('held','quarantined')")),
    sa.Index("ix_link_parent", "parent_link", sqlite_where=sa.text("parent_link IS NOT NULL")),
    sa.Index("ix_link_beside", "beside", sqlite_where=sa.text("beside IS NOT NULL")),
    # The rolling window asks which filtered items have come into it; everything else is not in this index.
    sa.Index(
        "ix_link_window",
        "mailbox_id",
        "start_at",
        sqlite_where=sa.text("state = 'filtered' AND start_at IS NOT NULL"),
    ),
)

item = sa.Table(
    "item",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _text("side", nullable=False),
    _int("scope_id", 0),
    _text("remote_id", nullable=False),
    _int("link_id"),
    _text("module", nullable=False),
    _text("etag"),
    _text("marker"),
    sa.Column("fields", Doc),
    # What the provider made of a value that we wrote: {field: [wrote, shows]} (sync.md section 7)
    sa.Column("accepted", Doc),
    sa.Column("native", Doc),
    sa.Column("containers", Doc),
    _text("parent"),
    _text("occurrence"),
    _int("modified"),
    # 0, or how it was found deleted: Gone
    _int("deleted", 0),
    # The user's own item, outside the policy's groups and colours: only its match keys are kept.
    _int("own", 0),
    _int("generation", 0),
    _int("written_at"),
    _int("read_at"),
    # The state that the feed's cursor stands for does not hold it: a feed of net differences would not tell of its end.
    _int("untold", 0),
    sa.UniqueConstraint("mailbox_id", "side", "scope_id", "remote_id"),
    sa.Index("ix_item_scope", "scope_id", "remote_id"),
    sa.Index("ix_item_link", "link_id", sqlite_where=sa.text("link_id IS NOT NULL")),
    sa.Index("ix_item_marker", "marker", sqlite_where=sa.text("marker IS NOT NULL")),
    sa.Index("ix_item_untold", "scope_id", sqlite_where=sa.text("untold = 1")),
    sa.Index(
        "uq_item_live",
        "link_id",
        "side",
        unique=True,
        sqlite_where=sa.text("deleted = 0 AND link_id IS NOT NULL"),
        postgresql_where=sa.text("deleted = 0 AND link_id IS NOT NULL"),
    ),
)

match_key = sa.Table(
    "match_key",
    metadata,
    _int("mailbox_id", 0, primary_key=True),
    _text("key", primary_key=True),
    _text("side", primary_key=True),
    _int("item_id", 0, primary_key=True),
    sa.Index("ix_match_item", "item_id"),
    sqlite_with_rowid=False,
)

dirty = sa.Table(
    "dirty",
    metadata,
    sa.Column("link_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _int("mailbox_id", 0),
    _text("module", nullable=False),
    _int("attempts", 0),
    _int("not_before", 0),
    # 1: outside the window of CalendarSynchronization, which leaves it to the full sync until it changes again
    _int("deferred", 0),
    sa.Index("ix_dirty_mailbox", "mailbox_id", "module"),
    # The work list is read page by page in the order of its links.
    sa.Index("ix_dirty_order", "mailbox_id", "link_id"),
)

intent = sa.Table(
    "intent",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _int("cycle_id", 0),
    _int("link_id", 0),
    _text("side", nullable=False),
    _int("scope_id", 0),
    _text("module", nullable=False),
    _text("kind", nullable=False),
    _text("key", nullable=False),
    _text("remote_id", nullable=False, server_default=""),
    sa.Column("fields", Doc),
    sa.Column("patch", Doc),
    sa.Column("before", Doc),
    _text("etag"),
    # planned, in_flight, unknown, held: open. done, void, failed: closed. approved, reviewed: closed, and what was
    # decided about a held delete is still to be carried to a plan (engine.ledger.waiting). proposed: part of a
    # preview, which blocks nothing and is sent only after an admin has applied it; outdated: it no longer holds
    # (engine.ledger.proposals). invited, quiet: decided about a write whose guests would be mailed, and still to be
    # carried to a plan (engine.ledger.guests)
    _text("state", nullable=False),
    _int("attempt", 0),
    _int("not_before", 0),
    _int("sent_at"),
    _text("why", nullable=False, server_default=""),
    _text("error", nullable=False, server_default=""),
    _int("notify", 0),
    # How many guests the provider would mail for it
    _int("guests", 0),
    # undo: restores what a cycle replaced; leave: removes what we created; guests: held because its guests would be
    # mailed beyond the budget. Empty: reconciles
    _text("mode", nullable=False, server_default=""),
    sa.Index(
        "uq_intent_open",
        "link_id",
        "side",
        unique=True,
        sqlite_where=sa.text("state IN ('planned','in_flight','unknown','held')"),
        postgresql_where=sa.text("state IN ('planned','in_flight','unknown','held')"),
    ),
    # Not partial: SQLite uses a partial index only for states written out in the statement, not for bound ones, and
    # would read all intents that ever were.
    sa.Index("ix_intent_mailbox", "mailbox_id", "state"),
    sa.Index("ix_intent_link", "link_id", "state"),
)

journal = sa.Table(
    "journal",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _int("cycle_id", 0),
    _int("link_id", 0),
    _text("side", nullable=False),
    _text("kind", nullable=False),
    sa.Column("before", Doc),
    sa.Column("after", Doc),
    _text("why", nullable=False, server_default=""),
    _int("at", 0),
    _int("intent_id", 0),
    sa.Index("ix_journal_link", "link_id"),
    sa.Index("ix_journal_cycle", "cycle_id"),
)

cycle = sa.Table(
    "cycle",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _text("policy", nullable=False),
    _text("kind", nullable=False),
    _int("started_at", 0),
    _int("ended_at"),
    _text("state", nullable=False, server_default="running"),
    sa.Column("counts", Doc),
    _int("calls", 0),
    _text("error", nullable=False, server_default=""),
    # The cycle that this one undoes or applies, and the one that has undone this
    _int("about"),
    _int("undone_by"),
    sa.Index("ix_cycle_mailbox", "mailbox_id", "started_at"),
    # Orders of an admin that are still to be carried out (engine.ledger.orders); asked before every cycle.
    sa.Index("ix_cycle_asked", "mailbox_id", sqlite_where=sa.text("state = 'asked'")),
)

conflict = sa.Table(
    "conflict",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _int("link_id", 0),
    _text("module", nullable=False),
    _text("field", nullable=False),
    sa.Column("crm", Doc),
    sa.Column("base", Doc),
    sa.Column("mailbox", Doc),
    _text("why", nullable=False, server_default=""),
    # open: waits for an admin; decided: the next cycle carries it out; closed
    _text("state", nullable=False, server_default="open"),
    # crm, mailbox or edit; what was decided holds only while both sides still show what the admin saw
    _text("choice", nullable=False, server_default=""),
    sa.Column("value", Doc),
    _text("by", nullable=False, server_default=""),
    _int("at", 0),
    _int("decided_at"),
    sa.Index(
        "uq_conflict_open",
        "link_id",
        "field",
        unique=True,
        sqlite_where=sa.text("state IN ('open','decided')"),
        postgresql_where=sa.text("state IN ('open','decided')"),
    ),
    sa.Index("ix_conflict_mailbox", "mailbox_id", "state"),
    sa.Index("ix_conflict_link", "link_id"),
)

line = sa.Table(
    "line",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _int("at", 0),
    _text("sign", nullable=False),
    _text("text", nullable=False),
    _int("level", 0),
    sa.Index("ix_line_mailbox", "mailbox_id", "id"),
)

guard = sa.Table(
    "guard",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    _int("cycle_id", 0),
    _text("module", nullable=False),
    _int("deletes", 0),
    _int("total", 0),
    _text("why", nullable=False),
    _text("state", nullable=False, server_default="open"),
    _int("at", 0),
    _text("side", nullable=False, server_default=""),
    # threshold, inferred, vanished, denied, shrunk, recreated, guests (engine.sync.guard)
    _text("cause", nullable=False, server_default="threshold"),
    sa.Index("ix_guard_mailbox", "mailbox_id"),
)

filing = sa.Table(
    "filing",
    metadata,
    _id(),
    _int("mailbox_id", 0),
    # The mail system's ids of the mail, its conversation and the label or folder it was dropped on
    _text("mail", nullable=False),
    _text("thread", nullable=False, server_default=""),
    # The Message-ID, once the mail was read
    _text("message", nullable=False, server_default=""),
    _text("place", nullable=False, server_default=""),
    # dropped, created, followed, inbox, sent
    _text("via", nullable=False, server_default=""),
    # What it is filed to: a record's module and id; 'new' until a record is made of it; 'people' for its people alone
    _text("module", nullable=False, server_default=""),
    _text("target", nullable=False, server_default=""),
    _text("record", nullable=False, server_default=""),
    _text("name", nullable=False, server_default=""),
    # The idempotency key in the CRM, and the CRM's id of the e-mail
    _text("key", nullable=False, server_default=""),
    _text("activity", nullable=False, server_default=""),
    # waiting, sent (in flight), unfiling: open. filed, refused, unfiled, left (its label was taken off before it was filed),
    # gone (the mail was deleted before): settled, with the reason for people
    _text("state", nullable=False, server_default="waiting"),
    _text("reason", nullable=False, server_default=""),
    # For people; never a body, and nothing of a private mail
    _text("subject", nullable=False, server_default=""),
    _text("sender", nullable=False, server_default=""),
    _int("sent_at"),
    _int("incoming", 0),
    _int("files", 0),
    _int("attempt", 0),
    _int("not_before", 0),
    _int("at", 0),
    _int("done_at"),
    # When a person took the label off
    _int("left_at"),
    # 0: the label stays; 1: we are about to take it off; 2: it is off
    _int("released", 0),
    sa.UniqueConstraint("mailbox_id", "mail", "module", "target"),
    sa.Index("ix_filing_open", "mailbox_id", sqlite_where=sa.text("state IN ('waiting','sent','unfiling')")),
    sa.Index("ix_filing_release", "mailbox_id", sqlite_where=sa.text("released = 1")),
    sa.Index("ix_filing_thread", "mailbox_id", "thread"),
    sa.Index("ix_filing_key", "key"),
    sa.Index("ix_filing_at", "mailbox_id", "at"),
)

# Where the drop-label check of a mailbox goes on, and when it last looked at the names of the labels
mail_watch = sa.Table(
    "mail_watch",
    metadata,
    sa.Column("mailbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    _text("cursor", nullable=False, server_default=""),
    _int("at", 0),
    _int("names_at", 0),
)

job = sa.Table(
    "job",
    metadata,
    _text("name", primary_key=True),
    _int("enabled", 0),
    _int("next_run_at"),
    # What an admin set over the shipped definition; NULL: the job is as shipped (engine.model.job)
    sa.Column("override", Doc),
    # 1: its runs keep trace lines
    _int("trace", 0),
)

access_group = sa.Table(
    "access_group",
    metadata,
    _text("name", primary_key=True),
    sa.Column("settings", Doc, nullable=False),
)

run = sa.Table(
    "run",
    metadata,
    _id(),
    _text("job", nullable=False),
    _int("started_at", 0),
    _int("ended_at"),
    _text("result", nullable=False, server_default="running"),
    _int("items", 0),
    _int("errors", 0),
    _text("note", nullable=False, server_default=""),
    sa.Index("ix_run_job", "job", "id"),
)

# What a run of a shipped job did for one mailbox
run_mailbox = sa.Table(
    "run_mailbox",
    metadata,
    _id(),
    _int("run_id", 0),
    _text("mailbox", nullable=False),
    _text("policy", nullable=False),
    # The cycle whose items it wrote; 0: it had nothing to write
    _int("cycle_id", 0),
    # ok, failed, cancelled, stopped, skipped
    _text("result", nullable=False),
    _int("started_at", 0),
    _int("ended_at"),
    # {module.outcome: items}, {reason: items that were filtered}
    sa.Column("counts", Doc),
    sa.Column("filtered", Doc),
    _text("note", nullable=False, server_default=""),
    sa.Index("ix_run_mailbox_run", "run_id", "id"),
)

trace = sa.Table(
    "trace",
    metadata,
    _id(),
    _int("run_id", 0),
    _int("at", 0),
    _text("mailbox", nullable=False, server_default=""),
    _text("sign", nullable=False, server_default=""),
    _text("text", nullable=False),
    sa.Index("ix_trace_run", "run_id", "id"),
)

work = sa.Table(
    "work",
    metadata,
    sa.Column("mailbox_id", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("want", Doc, nullable=False),
    _int("priority", 0),
    _int("since", 0),
)

verify = sa.Table(
    "verify",
    metadata,
    _text("policy", primary_key=True),
    _text("mailbox", primary_key=True),
    _text("check", primary_key=True),
    _int("ok", 0),
    _int("have", 0),
    _int("want", 0),
    _text("detail", nullable=False, server_default=""),
    _int("at", 0),
)

audit = sa.Table(
    "audit",
    metadata,
    _id(),
    _int("at", 0),
    _text("actor", nullable=False),
    _text("command", nullable=False),
    _text("object", nullable=False),
    _text("result", nullable=False),
    _text("origin", nullable=False, server_default=""),
    _text("before", nullable=False, server_default=""),
    _text("after", nullable=False, server_default=""),
    sa.Index("ix_audit_object", "object", "id"),
)

lease = sa.Table(
    "lease",
    metadata,
    _text("name", primary_key=True),
    _text("holder", nullable=False),
    _int("token", 0),
    _int("expires_at", 0),
)

# Settings of the engine as a whole, one row a section of the configuration: smtp, push ...
section = sa.Table(
    "section",
    metadata,
    _text("name", primary_key=True),
    sa.Column("settings", Doc, nullable=False),
)

incident = sa.Table(
    "incident",
    metadata,
    _id(),
    # What it is about, the same for every repeat: only one of a key is live (engine.ledger.incidents)
    _text("key", nullable=False),
    # cycle, policy, stale, rollout, mail, push, job, quarantine; cycle+job, policy+job: both fail
    _text("kind", nullable=False),
    _text("policy", nullable=False, server_default=""),
    _int("mailbox_id", 0),
    _text("subject", nullable=False),
    # FaultClass
    _text("class", nullable=False, server_default=""),
    _text("phase", nullable=False, server_default=""),
    _text("text", nullable=False, server_default=""),
    _text("advice", nullable=False, server_default=""),
    # open; cancelled: given up until the next run, still not well: both live. healed, dismissed: over
    _text("state", nullable=False, server_default="open"),
    _int("first_at", 0),
    _int("last_at", 0),
    _int("count", 0),
    _int("closed_at"),
    # When the failure mail is due; NULL: none is sent for it
    _int("due_at"),
    # The incident in whose failure mail it was told: its own, or that of a sibling; 0: not yet
    _int("told", 0),
    _text("seen_by", nullable=False, server_default=""),
    _int("seen_at"),
    sa.Index(
        "uq_incident_live",
        "key",
        unique=True,
        sqlite_where=sa.text("state IN ('open','cancelled')"),
        postgresql_where=sa.text("state IN ('open','cancelled')"),
    ),
    sa.Index("ix_incident_mailbox", "mailbox_id"),
    sa.Index("ix_incident_told", "told"),
)

# The outbox of failure mails: written ahead, with the very text and Message-ID that go out (engine.ledger.mails)
mail = sa.Table(
    "mail",
    metadata,
    _id(),
    _int("incident_id", 0),
    # failure, recovery
    _text("kind", nullable=False),
    _text("address", nullable=False),
    _text("message_id", nullable=False),
    _text("subject", nullable=False),
    _text("body", nullable=False),
    # waiting; sending: handed to the server, answer unknown; sent; dropped
    _text("state", nullable=False, server_default="waiting"),
    _int("attempts", 0),
    _int("not_before", 0),
    _int("written_at", 0),
    _int("sent_at"),
    _text("error", nullable=False, server_default=""),
    sa.UniqueConstraint("incident_id", "kind", "address"),
    sa.Index("ix_mail_state", "state", "not_before"),
)

# What providers tell us of changes by themselves: channels, subscriptions (engine.push)
subscription = sa.Table(
    "subscription",
    metadata,
    _id(),
    _text("connection", nullable=False),
    _int("mailbox_id", 0),
    _text("scope", nullable=False, server_default=""),
    # watch (Google), push, stream, pull (Exchange)
    _text("mode", nullable=False),
    # The id by which the provider's notifications name it
    _text("remote_id", nullable=False),
    _text("resource", nullable=False, server_default=""),
    _text("watermark", nullable=False, server_default=""),
    # asked: being made; live; lost: to be made anew; ended
    _text("state", nullable=False, server_default="asked"),
    _int("made_at", 0),
    _int("expires_at"),
    _int("pinged_at"),
    _int("changed_at"),
    _int("not_before", 0),
    _int("attempts", 0),
    _text("error", nullable=False, server_default=""),
    sa.Index("ix_subscription_remote", "remote_id"),
    sa.Index("ix_subscription_mailbox", "mailbox_id", "state"),
)
