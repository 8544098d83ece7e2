"""Conflicts, previews, undo, roll-outs"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _text(name: str, default: str = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def upgrade() -> None:
    added: dict[str, list[sa.Column[Any]]] = {
        "policy": [_text("fault_class"), sa.Column("rollout", sa.Text())],
        "mailbox": [
            _text("fault_class"),
            sa.Column("wave", sa.BigInteger()),
            sa.Column("reinit", sa.Text()),
        ],
        "scope": [sa.Column(name, sa.BigInteger()) for name in ("vanished_at", "denied_at", "empty_at")],
        "link": [sa.Column("bounces", sa.Text())],
        "intent": [_number("guests"), _text("mode")],
        "journal": [_number("intent_id")],
        "cycle": [sa.Column("about", sa.BigInteger()), sa.Column("undone_by", sa.BigInteger())],
        "guard": [_text("side"), _text("cause", "threshold")],
    }
    for table, columns in added.items():
        for column in columns:
            op.add_column(table, column)
    op.create_index("ix_dirty_order", "dirty", ["mailbox_id", "link_id"])
    op.create_index("ix_item_marker", "item", ["marker"], sqlite_where=sa.text("marker IS NOT NULL"))
    op.create_table(
        "conflict",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        _number("mailbox_id"),
        _number("link_id"),
        sa.Column("module", sa.Text(), nullable=False),
        sa.Column("field", sa.Text(), nullable=False),
        sa.Column("crm", sa.Text()),
        sa.Column("base", sa.Text()),
        sa.Column("mailbox", sa.Text()),
        _text("why"),
        _text("state", "open"),
        _text("choice"),
        sa.Column("value", sa.Text()),
        _text("by"),
        _number("at"),
        sa.Column("decided_at", sa.BigInteger()),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_cycle_asked", "cycle", ["mailbox_id"], sqlite_where=sa.text("state = 'asked'"))
    op.create_index("ix_conflict_mailbox", "conflict", ["mailbox_id", "state"])
    op.create_index("ix_conflict_link", "conflict", ["link_id"])
    op.create_index(
        "uq_conflict_open",
        "conflict",
        ["link_id", "field"],
        unique=True,
        sqlite_where=sa.text("state IN ('open','decided')"),
        postgresql_where=sa.text("state IN ('open','decided')"),
    )
