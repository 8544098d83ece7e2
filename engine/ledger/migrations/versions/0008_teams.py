"""A mailbox remembers whose CRM records its drop labels show beside the person's own"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("mailbox", sa.Column("team", sa.Text(), nullable=True))
