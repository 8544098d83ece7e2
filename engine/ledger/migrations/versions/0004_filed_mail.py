"""Mails that are filed"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def upgrade() -> None:
    op.create_table(
        "filing",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        _number("mailbox_id"),
        sa.Column("mail", sa.Text(), nullable=False),
        _text("thread"),
        _text("message"),
        _text("place"),
        _text("via"),
        _text("module"),
        _text("target"),
        _text("record"),
        _text("name"),
        _text("key"),
        _text("activity"),
        _text("state", "waiting"),
        _text("reason"),
        _text("subject"),
        _text("sender"),
        sa.Column("sent_at", sa.BigInteger()),
        _number("incoming"),
        _number("files"),
        _number("attempt"),
        _number("not_before"),
        _number("at"),
        sa.Column("done_at", sa.BigInteger()),
        sa.Column("left_at", sa.BigInteger()),
        _number("released"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("mailbox_id", "mail", "module", "target"),
    )
    op.create_index(
        "ix_filing_open",
        "filing",
        ["mailbox_id"],
        sqlite_where=sa.text("state IN ('waiting','sent','unfiling')"),
    )
    op.create_index("ix_filing_release", "filing", ["mailbox_id"], sqlite_where=sa.text("released = 1"))
    op.create_index("ix_filing_thread", "filing", ["mailbox_id", "thread"])
    op.create_index("ix_filing_key", "filing", ["key"])
    op.create_index("ix_filing_at", "filing", ["mailbox_id", "at"])
    op.create_table(
        "mail_watch",
        sa.Column("mailbox_id", sa.BigInteger(), autoincrement=False, nullable=False),
        _text("cursor"),
        _number("at"),
        _number("names_at"),
        sa.PrimaryKeyConstraint("mailbox_id"),
    )
