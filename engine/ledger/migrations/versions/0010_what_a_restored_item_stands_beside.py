"""A restored item that waits beside its copy knows whose link that copy has, so that it waits as long as the copy lives"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("link", sa.Column("beside", sa.BigInteger()))
    op.create_index("ix_link_beside", "link", ["beside"], sqlite_where=sa.text("beside IS NOT NULL"))
