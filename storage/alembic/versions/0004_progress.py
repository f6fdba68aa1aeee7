"""How far each partition of the trace log is in the store."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "log_progress",
        sa.Column("topic", sa.String(255), primary_key=True),
        sa.Column("log_partition", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("log_offset", sa.BigInteger, nullable=False, comment="everything before it is in the store"),
        sa.Column(
            "watermark", sa.DateTime(timezone=True), nullable=False, comment="everything received before it is in the store"
        ),
        sa.Column("updated_at", sa.DateTime(timezone=True), nullable=False),
    )
