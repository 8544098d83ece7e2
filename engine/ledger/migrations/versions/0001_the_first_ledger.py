"""The first ledger"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("command", sa.Text(), nullable=False),
        sa.Column("object", sa.Text(), nullable=False),
        sa.Column("result", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "connection",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "cycle",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("state", sa.Text(), server_default="running", nullable=False),
        sa.Column("counts", sa.Text(), nullable=True),
        sa.Column("calls", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("cycle", schema=None) as batch_op:
        batch_op.create_index("ix_cycle_mailbox", ["mailbox_id", "started_at"], unique=False)

    op.create_table(
        "dirty",
        sa.Column("link_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("not_before", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("link_id"),
    )
    with op.batch_alter_table("dirty", schema=None) as batch_op:
        batch_op.create_index("ix_dirty_mailbox", ["mailbox_id", "module"], unique=False)

    op.create_table(
        "guard",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cycle_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("deletes", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("total", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="open", nullable=False),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("guard", schema=None) as batch_op:
        batch_op.create_index("ix_guard_mailbox", ["mailbox_id"], unique=False)

    op.create_table(
        "intent",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cycle_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("link_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), server_default="", nullable=False),
        sa.Column("fields", sa.Text(), nullable=True),
        sa.Column("patch", sa.Text(), nullable=True),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempt", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("not_before", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sent_at", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("error", sa.Text(), server_default="", nullable=False),
        sa.Column("notify", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("intent", schema=None) as batch_op:
        batch_op.create_index("ix_intent_mailbox", ["mailbox_id", "state"], unique=False)
        batch_op.create_index("ix_intent_link", ["link_id", "state"], unique=False)
        batch_op.create_index(
            "uq_intent_open",
            ["link_id", "side"],
            unique=True,
            sqlite_where=sa.text("state IN ('planned','in_flight','unknown','held')"),
            postgresql_where=sa.text("state IN ('planned','in_flight','unknown','held')"),
        )

    op.create_table(
        "item",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("scope_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("link_id", sa.BigInteger(), nullable=True),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("etag", sa.Text(), nullable=True),
        sa.Column("marker", sa.Text(), nullable=True),
        sa.Column("fields", sa.Text(), nullable=True),
        sa.Column("accepted", sa.Text(), nullable=True),
        sa.Column("native", sa.Text(), nullable=True),
        sa.Column("containers", sa.Text(), nullable=True),
        sa.Column("parent", sa.Text(), nullable=True),
        sa.Column("occurrence", sa.Text(), nullable=True),
        sa.Column("modified", sa.BigInteger(), nullable=True),
        sa.Column("deleted", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("own", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("written_at", sa.BigInteger(), nullable=True),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("mailbox_id", "side", "scope_id", "remote_id"),
    )
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.create_index(
            "ix_item_link", ["link_id"], unique=False, sqlite_where=sa.text("link_id IS NOT NULL")
        )
        batch_op.create_index("ix_item_scope", ["scope_id", "remote_id"], unique=False)
        batch_op.create_index(
            "uq_item_live",
            ["link_id", "side"],
            unique=True,
            sqlite_where=sa.text("deleted = 0 AND link_id IS NOT NULL"),
            postgresql_where=sa.text("deleted = 0 AND link_id IS NOT NULL"),
        )

    op.create_table(
        "job",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("enabled", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("next_run_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "journal",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("cycle_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("link_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("before", sa.Text(), nullable=True),
        sa.Column("after", sa.Text(), nullable=True),
        sa.Column("why", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.create_index("ix_journal_cycle", ["cycle_id"], unique=False)
        batch_op.create_index("ix_journal_link", ["link_id"], unique=False)

    op.create_table(
        "lease",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("holder", sa.Text(), nullable=False),
        sa.Column("token", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("expires_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "line",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("sign", sa.Text(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("level", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("line", schema=None) as batch_op:
        batch_op.create_index("ix_line_mailbox", ["mailbox_id", "id"], unique=False)

    op.create_table(
        "link",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("base", sa.Text(), nullable=True),
        sa.Column("state", sa.Text(), server_default="new", nullable=False),
        sa.Column("reason", sa.Text(), server_default="", nullable=False),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("parent_link", sa.BigInteger(), nullable=True),
        sa.Column("occurrence", sa.Text(), nullable=True),
        sa.Column("start_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.create_index("ix_link_mailbox", ["mailbox_id", "state", "module"], unique=False)
        batch_op.create_index(
            "ix_link_parent", ["parent_link"], unique=False, sqlite_where=sa.text("parent_link IS NOT NULL")
        )
        batch_op.create_index(
            "ix_link_waiting",
            ["mailbox_id"],
            unique=False,
            sqlite_where=sa.text("state IN ('held','quarantined')"),
        )
        batch_op.create_index(
            "ix_link_window",
            ["mailbox_id", "start_at"],
            unique=False,
            sqlite_where=sa.text("state = 'filtered' AND start_at IS NOT NULL"),
        )

    op.create_table(
        "mailbox",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("crm_user", sa.Text(), server_default="", nullable=False),
        sa.Column("zone", sa.Text(), server_default="", nullable=False),
        sa.Column("phase", sa.Text(), server_default="new", nullable=False),
        sa.Column("paused", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("paused_by", sa.Text(), server_default="", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("containers", sa.Text(), nullable=True),
        sa.Column("scopes", sa.Text(), nullable=True),
        sa.Column("structure", sa.Text(), server_default="", nullable=False),
        sa.Column("next_full_at", sa.BigInteger(), nullable=True),
        sa.Column("last_success_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("backoff_until", sa.BigInteger(), nullable=True),
        sa.Column("fault", sa.Text(), server_default="", nullable=False),
        sa.Column("fault_kind", sa.Text(), server_default="", nullable=False),
        sa.Column("removed", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
    )
    with op.batch_alter_table("mailbox", schema=None) as batch_op:
        batch_op.create_index("ix_mailbox_policy", ["policy"], unique=False)

    op.create_table(
        "match_key",
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("item_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("mailbox_id", "key", "side", "item_id"),
        sqlite_with_rowid=False,
    )
    with op.batch_alter_table("match_key", schema=None) as batch_op:
        batch_op.create_index("ix_match_item", ["item_id"], unique=False)

    op.create_table(
        "policy",
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), server_default="disabled", nullable=False),
        sa.Column("initialised", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("epoch", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("fault", sa.Text(), server_default="", nullable=False),
        sa.Column("last_full_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("job", sa.Text(), nullable=False),
        sa.Column("started_at", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("result", sa.Text(), server_default="running", nullable=False),
        sa.Column("items", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("errors", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.create_index("ix_run_job", ["job", "id"], unique=False)

    op.create_table(
        "scope",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("mailbox_id", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("side", sa.Text(), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("remote_id", sa.Text(), nullable=False),
        sa.Column("cursor", sa.Text(), nullable=True),
        sa.Column("generation", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("read_at", sa.BigInteger(), nullable=True),
        sa.Column("full_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("policy", "mailbox_id", "side", "key"),
    )
    op.create_table(
        "verify",
        sa.Column("policy", sa.Text(), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("check", sa.Text(), nullable=False),
        sa.Column("ok", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("have", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("want", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("detail", sa.Text(), server_default="", nullable=False),
        sa.Column("at", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("policy", "mailbox", "check"),
    )
    op.create_table(
        "work",
        sa.Column("mailbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("want", sa.Text(), nullable=False),
        sa.Column("priority", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("since", sa.BigInteger(), server_default="0", nullable=False),
        sa.PrimaryKeyConstraint("mailbox_id"),
    )


def downgrade() -> None:
    op.drop_table("work")
    op.drop_table("verify")
    op.drop_table("scope")
    with op.batch_alter_table("run", schema=None) as batch_op:
        batch_op.drop_index("ix_run_job")

    op.drop_table("run")
    op.drop_table("policy")
    with op.batch_alter_table("match_key", schema=None) as batch_op:
        batch_op.drop_index("ix_match_item")

    op.drop_table("match_key")
    with op.batch_alter_table("mailbox", schema=None) as batch_op:
        batch_op.drop_index("ix_mailbox_policy")

    op.drop_table("mailbox")
    with op.batch_alter_table("link", schema=None) as batch_op:
        batch_op.drop_index(
            "ix_link_window", sqlite_where=sa.text("state = 'filtered' AND start_at IS NOT NULL")
        )
        batch_op.drop_index("ix_link_waiting", sqlite_where=sa.text("state IN ('held','quarantined')"))
        batch_op.drop_index("ix_link_parent", sqlite_where=sa.text("parent_link IS NOT NULL"))
        batch_op.drop_index("ix_link_mailbox")

    op.drop_table("link")
    with op.batch_alter_table("line", schema=None) as batch_op:
        batch_op.drop_index("ix_line_mailbox")

    op.drop_table("line")
    op.drop_table("lease")
    with op.batch_alter_table("journal", schema=None) as batch_op:
        batch_op.drop_index("ix_journal_link")
        batch_op.drop_index("ix_journal_cycle")

    op.drop_table("journal")
    op.drop_table("job")
    with op.batch_alter_table("item", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_item_live",
            sqlite_where=sa.text("deleted = 0 AND link_id IS NOT NULL"),
            postgresql_where=sa.text("deleted = 0 AND link_id IS NOT NULL"),
        )
        batch_op.drop_index("ix_item_scope")
        batch_op.drop_index("ix_item_link", sqlite_where=sa.text("link_id IS NOT NULL"))

    op.drop_table("item")
    with op.batch_alter_table("intent", schema=None) as batch_op:
        batch_op.drop_index(
            "uq_intent_open",
            sqlite_where=sa.text("state IN ('planned','in_flight','unknown','held')"),
            postgresql_where=sa.text("state IN ('planned','in_flight','unknown','held')"),
        )
        batch_op.drop_index("ix_intent_link")
        batch_op.drop_index("ix_intent_mailbox")

    op.drop_table("intent")
    with op.batch_alter_table("guard", schema=None) as batch_op:
        batch_op.drop_index("ix_guard_mailbox")

    op.drop_table("guard")
    with op.batch_alter_table("dirty", schema=None) as batch_op:
        batch_op.drop_index("ix_dirty_mailbox")

    op.drop_table("dirty")
    with op.batch_alter_table("cycle", schema=None) as batch_op:
        batch_op.drop_index("ix_cycle_mailbox")

    op.drop_table("cycle")
    op.drop_table("connection")
    op.drop_table("audit")
