"""Jobs that ship, access groups, what their runs did"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def _id() -> sa.Column[int]:
    return sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False)


def _number(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger(), server_default="0", nullable=False)


def _moment(name: str) -> sa.Column[int]:
    return sa.Column(name, sa.BigInteger())


def _text(name: str, default: str | None = "") -> sa.Column[str]:
    return sa.Column(name, sa.Text(), server_default=default, nullable=False)


def upgrade() -> None:
    added: dict[str, list[sa.Column[Any]]] = {
        "mailbox": [_moment("calendar_first_at")],
        "dirty": [_number("deferred")],
        "job": [sa.Column("override", sa.Text()), _number("trace")],
    }
    for table, columns in added.items():
        for column in columns:
            op.add_column(table, column)
    op.create_table(
        "access_group",
        _text("name", None),
        sa.Column("settings", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("name"),
    )
    op.create_table(
        "run_mailbox",
        _id(),
        _number("run_id"),
        _text("mailbox", None),
        _text("policy", None),
        _number("cycle_id"),
        _text("result", None),
        _number("started_at"),
        _moment("ended_at"),
        sa.Column("counts", sa.Text()),
        sa.Column("filtered", sa.Text()),
        _text("note"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_run_mailbox_run", "run_mailbox", ["run_id", "id"])
    op.create_table(
        "trace",
        _id(),
        _number("run_id"),
        _number("at"),
        _text("mailbox"),
        _text("sign"),
        _text("text", None),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("ix_trace_run", "trace", ["run_id", "id"])
