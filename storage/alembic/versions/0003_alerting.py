"""Alert rules and states, alerts, the outbox, channels, silences and leases."""

from __future__ import annotations

from datetime import UTC, datetime

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"

ROW_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _create_rules()
    _create_alert_states()
    _create_alert_transitions()
    _create_alerts()
    _create_deliveries()
    _create_channels()
    _create_silences()
    _create_leases()


def _create_rules() -> None:
    op.create_table(
        "rules",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("name", sa.String(63), nullable=False),
        sa.Column("origin", sa.String(8), nullable=False),
        sa.Column("spec", sa.JSON, nullable=False),
        sa.Column("revision", sa.String(16), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("updated_at", MOMENT, nullable=False),
        sa.Column("updated_by", sa.String(256), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_rules"),
        sa.UniqueConstraint("project", "name", name="uq_rules_project_name"),
    )


def _create_alert_states() -> None:
    op.create_table(
        "alert_states",
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("rule_id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("phase", sa.String(16), nullable=False),
        sa.Column("since", MOMENT, nullable=False),
        sa.Column("progress_s", sa.Float, nullable=False),
        sa.Column("counted_at", MOMENT),
        sa.Column("health", sa.String(16), nullable=False),
        sa.Column("troubled_since", MOMENT),
        sa.Column("reported", sa.Boolean, nullable=False),
        sa.Column("flapping", sa.Boolean, nullable=False),
        sa.Column("episode", sa.Integer, nullable=False),
        sa.Column("evaluated_at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("value", sa.JSON),
        sa.Column("revision", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("project", "rule_id", "fingerprint", name="pk_alert_states"),
    )


def _create_alert_transitions() -> None:
    op.create_table(
        "alert_transitions",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("rule_id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("episode", sa.Integer, nullable=False),
        sa.Column("transition", sa.String(24), nullable=False),
        sa.Column("from_state", sa.String(16), nullable=False),
        sa.Column("to_state", sa.String(16), nullable=False),
        sa.Column("at", MOMENT, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("revision", sa.String(16), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_alert_transitions"),
    )
    op.create_index(
        "ix_alert_transitions_project_rule_id_fingerprint_at", "alert_transitions", ["project", "rule_id", "fingerprint", "at"]
    )


def _create_alerts() -> None:
    op.create_table(
        "alerts",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("rule_id", sa.String(32), nullable=False),
        sa.Column("rule_name", sa.String(63), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("episode", sa.Integer, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("severity", sa.String(16), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("target", sa.String(128), nullable=False),
        sa.Column("labels", sa.JSON, nullable=False),
        sa.Column("notice", sa.JSON, nullable=False),
        sa.Column("evidence", sa.JSON, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("revision", sa.String(16), nullable=False),
        sa.Column("fired_at", MOMENT, nullable=False),
        sa.Column("resolved_at", MOMENT),
        sa.Column("notified_at", MOMENT, nullable=False),
        sa.Column("rollback", sa.String(16), nullable=False),
        sa.Column("rollback_id", sa.String(32)),
        sa.Column("rollback_detail", sa.Text),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint(
            "project", "rule_id", "fingerprint", "kind", "episode", name="uq_alerts_project_rule_id_fingerprint_kind_episode"
        ),
    )
    op.create_index("ix_alerts_project_fired_at", "alerts", ["project", "fired_at"])
    op.create_index("ix_alerts_rollback", "alerts", ["rollback"])
    op.create_index("ix_alerts_state", "alerts", ["state"])


def _create_deliveries() -> None:
    op.create_table(
        "deliveries",
        sa.Column("id", ROW_NUMBER, nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("rule_id", sa.String(32), nullable=False),
        sa.Column("fingerprint", sa.String(32), nullable=False),
        sa.Column("episode", sa.Integer, nullable=False),
        sa.Column("transition", sa.String(32), nullable=False),
        sa.Column("channel", sa.String(128), nullable=False),
        sa.Column("group_key", sa.String(256), nullable=False),
        sa.Column("group_interval_s", sa.Float, nullable=False),
        sa.Column("firing", sa.Boolean, nullable=False),
        sa.Column("notice", sa.JSON, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("state_reason", sa.Text, nullable=False),
        sa.Column("not_before", MOMENT, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("message_id", sa.String(40)),
        sa.Column("claimed_by", sa.String(64)),
        sa.Column("claimed_until", MOMENT),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.Column("finished_at", MOMENT),
        sa.PrimaryKeyConstraint("id", name="pk_deliveries"),
        sa.UniqueConstraint("project", "rule_id", "fingerprint", "episode", "transition", "channel", name="uq_deliveries_key"),
    )
    op.create_index("ix_deliveries_fingerprint_channel_id", "deliveries", ["fingerprint", "channel", "id"])
    op.create_index("ix_deliveries_message_id", "deliveries", ["message_id"])
    op.create_index("ix_deliveries_state_not_before", "deliveries", ["state", "not_before"])


def _create_channels() -> None:
    op.create_table(
        "channels",
        sa.Column("name", sa.String(128), nullable=False),
        sa.Column("type", sa.String(16), nullable=False),
        sa.Column("configured", sa.Boolean, nullable=False),
        sa.Column("address_hash", sa.String(64), nullable=False),
        sa.Column("disabled_at", MOMENT),
        sa.Column("disabled_reason", sa.Text),
        sa.Column("not_before", MOMENT),
        sa.PrimaryKeyConstraint("name", name="pk_channels"),
    )


def _create_silences() -> None:
    op.create_table(
        "silences",
        sa.Column("id", sa.String(32), nullable=False),
        sa.Column("project", sa.String(128), nullable=False),
        sa.Column("matchers", sa.JSON, nullable=False),
        sa.Column("starts_at", MOMENT, nullable=False),
        sa.Column("ends_at", MOMENT, nullable=False),
        sa.Column("comment", sa.Text, nullable=False),
        sa.Column("created_by", sa.String(256), nullable=False),
        sa.Column("created_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_silences"),
        sa.ForeignKeyConstraint(["project"], ["projects.name"], name="fk_silences_project"),
    )
    op.create_index("ix_silences_project_ends_at", "silences", ["project", "ends_at"])


def _create_leases() -> None:
    leases = op.create_table(
        "leases",
        sa.Column("name", sa.String(64), nullable=False),
        sa.Column("holder", sa.String(64), nullable=False),
        sa.Column("token", sa.Integer, nullable=False),
        sa.Column("expires_at", MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("name", name="pk_leases"),
    )
    # The row is there from the start, so that taking the lease is an UPDATE that two processes cannot both win.
    long_ago = datetime(2000, 1, 1) if op.get_bind().dialect.name == "sqlite" else datetime(2000, 1, 1, tzinfo=UTC)  # noqa: DTZ001 - SQLite keeps no zone
    op.bulk_insert(leases, [{"name": "alerting", "holder": "", "token": 0, "expires_at": long_ago}])
