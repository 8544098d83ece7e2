"""What was written to a feed since it was last read is found without reading all of its items"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index(
        "ix_item_written",
        "item",
        ["scope_id", "written_at"],
        sqlite_where=sa.text("written_at IS NOT NULL"),
    )


def downgrade() -> None:
    op.drop_index("ix_item_written", "item")
