"""Where analyzers stand, what drift is measured against, what people calibrated, and the reports."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"

MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_analyzers()
    _create_drift()
    _create_judgements()
    _create_reports()


def _create_analyzers() -> None:
    op.create_table(
        "analyzer_cursors",
        sa.Column("analyzer", sa.String(63), nullable=False),
        sa.Column("topic", sa.String(255), nullable=False),
        sa.Column("log_partition", sa.Integer, nullable=False, autoincrement=False),
        sa.Column("next_offset", sa.BigInteger, nullable=False),
        sa.Column("planned_end", sa.BigInteger),
        sa.Column("allowance", sa.Integer),
        sa.Column("seen_at", MOMENT),
        sa.Column("failures", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("analyzer", "topic", "log_partition", name="pk_analyzer_cursors"),
    )
    op.create_table(
        "embedder_versions",
        sa.Column("version", sa.String(128), nullable=False),
        sa.Column("dimensions", sa.Integer, nullable=False),
        sa.Column("features", sa.Integer, nullable=False),
        sa.Column("seed", sa.Integer, nullable=False),
        sa.Column("bandwidth", sa.Float, nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("version", name="pk_embedder_versions"),
    )


def _create_drift() -> None:
    op.create_table(
        "drift_references",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("slice_key", sa.String(64), nullable=False),
        sa.Column("slice", sa.JSON, nullable=False),
        sa.Column("scale", sa.String(16), nullable=False),
        sa.Column("embedder_version", sa.String(128), nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("state", sa.JSON, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("replaced_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_drift_references"),
    )
    op.create_index(
        "ix_drift_references_project_slice_key_scale_embedder_version",
        "drift_references",
        ["project", "slice_key", "scale", "embedder_version"],
    )


def _create_judgements() -> None:
    op.create_table(
        "calibrations",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("analyzer", sa.String(63), nullable=False),
        sa.Column("service", sa.String(256), nullable=False),
        sa.Column("parameters", sa.JSON, nullable=False),
        sa.Column("n", sa.Integer, nullable=False),
        sa.Column("quality", sa.JSON, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_calibrations"),
    )
    op.create_index(
        "ix_calibrations_project_analyzer_service_created_at", "calibrations", ["project", "analyzer", "service", "created_at"]
    )
    op.create_table(
        "budgets",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("dimension", sa.String(32), nullable=False),
        sa.Column("value", sa.String(256), nullable=False),
        sa.Column("usd_per_month", sa.Float, nullable=False),
        sa.Column("updated_by", sa.String(256), nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "dimension", "value", name="pk_budgets"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_budgets_project"),
    )


def _create_reports() -> None:
    op.create_table(
        "reports",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("period_key", sa.String(64)),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("headline", sa.Text, nullable=False),
        sa.Column("alarming", sa.Boolean, nullable=False),
        sa.Column("data", sa.JSON, nullable=False),
        sa.Column("html", sa.LargeBinary, nullable=False, comment="gzip"),
        sa.Column("markdown", sa.Text, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_reports"),
        sa.UniqueConstraint("project", "period_key", name="uq_reports_project_period_key"),
    )
    op.create_index("ix_reports_project_created_at", "reports", ["project", "created_at"])
    op.create_table(
        "report_schedules",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("enabled", sa.Boolean),
        sa.Column("weekday", sa.String(9)),
        sa.Column("hour", sa.Integer),
        sa.Column("time_zone", sa.String(64)),
        sa.Column("due_at", MOMENT),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", name="pk_report_schedules"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_report_schedules_project"),
    )
