"""Targets, their immutable releases, every generation of their desired state, and rollbacks."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from schemas.control.base import UtcDateTime, metadata
from schemas.control.core import RowNumber

# One row a target: its present desired state. `weights` maps release to percent and adds up to 100 (or is empty before the
# first promotion). `current` is the release promoted last, `previous` the one it replaced, `kind` how this state arose.
targets = Table(
    "targets",
    metadata,
    Column("project", ForeignKey("projects.name"), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("weights", JSON, nullable=False),
    Column("current", String(128)),
    Column("previous", String(128)),
    Column("last_known_good", String(128)),
    Column("kind", String(16), nullable=False),
    Column("changed_at", UtcDateTime(), nullable=False),
    Column("executor", String(32), nullable=False),
    Column("webhook", String(128)),
    Column("mode", String(16)),
    Column("created_at", UtcDateTime(), nullable=False),
)

releases = Table(
    "releases",
    metadata,
    Column("project", String(128), primary_key=True),
    Column("target", String(128), primary_key=True),
    Column("name", String(128), primary_key=True),
    Column("content", JSON, nullable=False),
    Column("content_hash", String(64), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("created_by", String(256), nullable=False),
    Column("rolled_back_at", UtcDateTime()),
    ForeignKeyConstraint(["project", "target"], ["targets.project", "targets.name"]),
)

generations = Table(
    "generations",
    metadata,
    Column("project", String(128), primary_key=True),
    Column("target", String(128), primary_key=True),
    Column("generation", Integer, primary_key=True),
    Column("weights", JSON, nullable=False),
    Column("current", String(128)),
    Column("previous", String(128)),
    Column("last_known_good", String(128)),
    Column("kind", String(16), nullable=False),
    Column("rollback_id", String(32)),
    Column("actor", String(256), nullable=False),
    Column("reason", Text, nullable=False),
    Column("at", UtcDateTime(), nullable=False),
    ForeignKeyConstraint(["project", "target"], ["targets.project", "targets.name"]),
)

# Which generation each gateway last said it had.
pollers = Table(
    "pollers",
    metadata,
    Column("project", String(128), primary_key=True),
    Column("target", String(128), primary_key=True),
    Column("gateway", String(200), primary_key=True),
    Column("generation", Integer, nullable=False),
    Column("seen_at", UtcDateTime(), nullable=False),
    ForeignKeyConstraint(["project", "target"], ["targets.project", "targets.name"]),
)

# `from_generation` is the one the rollback undoes, `generation` the one it made. A worker holds a row until `claimed_until`.
rollbacks = Table(
    "rollbacks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("target", String(128), nullable=False),
    Column("state", String(24), nullable=False),
    Column("state_reason", Text, nullable=False),
    Column("mode", String(16), nullable=False),
    Column("automatic", Boolean, nullable=False),
    Column("actor", String(256), nullable=False),
    Column("reason", Text, nullable=False),
    Column("from_release", String(128), nullable=False),
    Column("to_release", String(128), nullable=False),
    Column("from_weights", JSON, nullable=False),
    Column("from_generation", Integer, nullable=False),
    Column("generation", Integer),
    Column("evidence", JSON(none_as_null=True)),
    Column("evidence_id", String(128)),
    Column("idempotency_key", String(256)),
    Column("request_hash", String(64)),
    Column("approved_by", String(256)),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("executed_at", UtcDateTime()),
    Column("propagated_at", UtcDateTime()),
    Column("verify_from", UtcDateTime()),
    Column("finished_at", UtcDateTime()),
    Column("attempts", Integer, nullable=False),
    Column("next_attempt_at", UtcDateTime()),
    Column("claimed_by", String(64)),
    Column("claimed_until", UtcDateTime()),
    Column("figures", JSON(none_as_null=True)),
    ForeignKeyConstraint(["project", "target"], ["targets.project", "targets.name"]),
    UniqueConstraint("project", "target", "idempotency_key"),
    Index(None, "project", "target", "created_at"),
    Index(None, "state"),
)

rollback_transitions = Table(
    "rollback_transitions",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("rollback_id", ForeignKey("rollbacks.id"), nullable=False),
    Column("from_state", String(24)),
    Column("to_state", String(24), nullable=False),
    Column("actor", String(256), nullable=False),
    Column("reason", Text, nullable=False),
    Column("figures", JSON(none_as_null=True)),
    Column("at", UtcDateTime(), nullable=False),
    Index(None, "rollback_id", "id"),
)
