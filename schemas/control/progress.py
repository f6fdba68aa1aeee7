"""How far each partition of the trace log is in the store."""

from __future__ import annotations

import sqlalchemy as sa

from schemas.control.base import UtcDateTime, metadata

log_progress = sa.Table(
    "log_progress",
    metadata,
    sa.Column("topic", sa.String(255), primary_key=True),
    sa.Column("log_partition", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("log_offset", sa.BigInteger, nullable=False, comment="everything before it is in the store"),
    sa.Column("watermark", UtcDateTime, nullable=False, comment="everything received before it is in the store"),
    sa.Column("updated_at", UtcDateTime, nullable=False),
)
