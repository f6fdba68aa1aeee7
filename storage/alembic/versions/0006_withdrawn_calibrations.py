"""When a calibration was withdrawn: it stays, since scores name it, and holds no more."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    op.add_column("calibrations", sa.Column("withdrawn_at", sa.DateTime(timezone=True)))
