"""An item that a feed of net differences has yet to tell of says so itself, instead of by the times of two clocks"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("item", sa.Column("untold", sa.BigInteger(), nullable=False, server_default="0"))
    # As it was judged before: what we wrote since the feed was last read.
    op.execute(
        "UPDATE item SET untold = 1 WHERE side = 'mailbox' AND deleted = 0 AND written_at >= "
        "(SELECT coalesce(read_at, 0) FROM scope WHERE scope.id = item.scope_id)"
    )
    op.drop_index("ix_item_written", "item")
    op.create_index("ix_item_untold", "item", ["scope_id"], sqlite_where=sa.text("untold = 1"))
