"""The audit log tells from where a command came, and how its object stood before and after"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for name in ("origin", "before", "after"):
        op.add_column("audit", sa.Column(name, sa.Text(), server_default="", nullable=False))
    op.create_index("ix_audit_object", "audit", ["object", "id"])
