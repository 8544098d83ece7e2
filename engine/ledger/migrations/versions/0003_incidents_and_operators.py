"""Incidents, the outbox of failure mails, subscriptions, and two fields of operators"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _number(name: str, default: int | None = 0) -> sa.Column[int]:
    if default is None:
        return sa.Column(name, sa.BigInteger())
    return sa.Column(name, sa.BigInteger(), server_default=str(default), nullable=False)


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    if default is None:
        return sa.Column(name, sa.Text(), nullable=False)
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def upgrade() -> None:
    op.add_column("mailbox", _number("calendar_sync", 1))
    op.add_column("mailbox", _text("exchange_email"))
    op.create_table(
        "section",
        _text("name", None),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    columns: list[sa.Column[Any]] = [
        _id(),
        _text("key", None),
        _text("kind", None),
        _text("policy"),
        _number("mailbox_id"),
        _text("subject", None),
        *(_text(name) for name in ("class", "phase", "text", "advice")),
        _text("state", "open"),
        *(_number(name) for name in ("first_at", "last_at", "count")),
        _number("closed_at", None),
        _number("due_at", None),
        _number("told"),
        _text("seen_by"),
        _number("seen_at", None),
    ]
    op.create_table("incident", *columns, sa.PrimaryKeyConstraint("id"))
    op.create_index(
        "uq_incident_live",
        "incident",
        ["key"],
        unique=True,
        sqlite_where=sa.text("state IN ('open','cancelled')"),
        postgresql_where=sa.text("state IN ('open','cancelled')"),
    )
    op.create_index("ix_incident_mailbox", "incident", ["mailbox_id"])
    op.create_index("ix_incident_told", "incident", ["told"])
    op.create_table(
        "mail",
        _id(),
        _number("incident_id"),
        *(_text(name, None) for name in ("kind", "address", "message_id", "subject", "body")),
        _text("state", "waiting"),
        *(_number(name) for name in ("attempts", "not_before", "written_at")),
        _number("sent_at", None),
        _text("error"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("incident_id", "kind", "address"),
    )
    op.create_index("ix_mail_state", "mail", ["state", "not_before"])
    op.create_table(
        "subscription",
        _id(),
        _text("connection", None),
        _number("mailbox_id"),
        _text("scope"),
        _text("mode", None),
        _text("remote_id", None),
        _text("resource"),
        _text("watermark"),
        _text("state", "asked"),
        _number("made_at"),
        *(_number(name, None) for name in ("expires_at", "pinged_at", "changed_at")),
        *(_number(name) for name in ("not_before", "attempts")),
        _text("error"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_subscription_remote", "subscription", ["remote_id"])
    op.create_index("ix_subscription_mailbox", "subscription", ["mailbox_id", "state"])
