"""Targets, releases, generations, gateways that poll, and rollbacks."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_targets()
    _create_releases()
    _create_generations()
    _create_pollers()
    _create_rollbacks()
    _create_transitions()


def _of_target(table: str) -> sa.ForeignKeyConstraint:
    return sa.ForeignKeyConstraint(
        ["project", "target"], ["targets.project", "targets.name"], name=f"fk_{table}_project_target"
    )


def _create_targets() -> None:
    op.create_table(
        "targets",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("weights", sa.JSON, nullable=False),
        sa.Column("current", sa.String(128)),
        sa.Column("previous", sa.String(128)),
        sa.Column("last_known_good", sa.String(128)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("changed_at", MOMENT, nullable=False),
        sa.Column("executor", sa.String(32), nullable=False),
        sa.Column("webhook", sa.String(128)),
        sa.Column("mode", sa.String(16)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "name", name="pk_targets"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_targets_project"),
    )


def _create_releases() -> None:
    op.create_table(
        "releases",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("content", sa.JSON, nullable=False),
        sa.Column("content_hash", sa.String(64), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("rolled_back_at", MOMENT),
        sa.PrimaryKeyConstraint("project", "target", "name", name="pk_releases"),
        _of_target("releases"),
    )


def _create_generations() -> None:
    op.create_table(
        "generations",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("weights", sa.JSON, nullable=False),
        sa.Column("current", sa.String(128)),
        sa.Column("previous", sa.String(128)),
        sa.Column("last_known_good", sa.String(128)),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("rollback_id", sa.String(32)),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "target", "generation", name="pk_generations"),
        _of_target("generations"),
    )


def _create_pollers() -> None:
    op.create_table(
        "pollers",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("gateway", sa.String(200), nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("seen_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("project", "target", "gateway", name="pk_pollers"),
        _of_target("pollers"),
    )


def _create_rollbacks() -> None:
    op.create_table(
        "rollbacks",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("state", sa.String(24), nullable=False),
        sa.Column("state_reason", sa.Text, nullable=False),
        sa.Column("mode", sa.String(16), nullable=False),
        sa.Column("automatic", sa.Boolean, nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("from_release", sa.String(128), nullable=False),
        sa.Column("to_release", sa.String(128), nullable=False),
        sa.Column("from_weights", sa.JSON, nullable=False),
        sa.Column("from_generation", sa.Integer, nullable=False),
        sa.Column("generation", sa.Integer),
        sa.Column("evidence", sa.JSON),
        sa.Column("evidence_id", sa.String(128)),
        sa.Column("idempotency_key", sa.String(256)),
        sa.Column("request_hash", sa.String(64)),
        sa.Column("approved_by", sa.String(256)),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("executed_at", MOMENT),
        sa.Column("propagated_at", MOMENT),
        sa.Column("verify_from", MOMENT),
        sa.Column("finished_at", MOMENT),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("next_attempt_at", MOMENT),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_until", MOMENT),
        sa.Column("figures", sa.JSON),
        sa.PrimaryKeyConstraint("id", name="pk_rollbacks"),
        _of_target("rollbacks"),
        sa.UniqueConstraint("project", "target", "idempotency_key", name="uq_rollbacks_project_target_idempotency_key"),
    )
    op.create_index("ix_rollbacks_project_target_created_at", "rollbacks", ["project", "target", "created_at"])
    op.create_index("ix_rollbacks_state", "rollbacks", ["state"])


def _create_transitions() -> None:
    op.create_table(
        "rollback_transitions",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("rollback_id", sa.String(32), nullable=False),
        sa.Column("from_state", sa.String(24)),
        sa.Column("to_state", sa.String(24), nullable=False),
        sa.Column("actor", sa.String(256), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("figures", sa.JSON),
        sa.Column("at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rollback_transitions"),
        sa.ForeignKeyConstraint(["rollback_id"], ["rollbacks.id"], name="fk_rollback_transitions_rollback_id"),
    )
    op.create_index("ix_rollback_transitions_rollback_id_id", "rollback_transitions", ["rollback_id", "id"])
