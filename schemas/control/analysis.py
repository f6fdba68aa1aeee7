"""Where analyzers stand, what drift is measured against, what people calibrated, and the reports."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from schemas.control.base import UtcDateTime, metadata

# One row for each analyzer and partition of the log. Everything before `next_offset` is analyzed. A plan (`planned_end`
# not null) is the stretch [next_offset, planned_end) that is being worked on: a restart repeats it as it was, with the
# same allowance of texts, so that what it writes replaces itself. `seen_at` is the arrival of the newest span analyzed.
analyzer_cursors = Table(
    "analyzer_cursors",
    metadata,
    Column("analyzer", String(63), primary_key=True),
    Column("topic", String(255), primary_key=True),
    Column("log_partition", Integer, primary_key=True, autoincrement=False),
    Column("next_offset", BigInteger, nullable=False),
    Column("planned_end", BigInteger),
    Column("allowance", Integer),
    Column("seen_at", UtcDateTime()),
    Column("failures", Integer, nullable=False),
    Column("last_error", Text),
    Column("updated_at", UtcDateTime(), nullable=False),
)

# What makes sketches of one embedder comparable: its features' seed and bandwidth, fixed when it was first used.
embedder_versions = Table(
    "embedder_versions",
    metadata,
    Column("version", String(128), primary_key=True),
    Column("dimensions", Integer, nullable=False),
    Column("features", Integer, nullable=False),
    Column("seed", Integer, nullable=False),
    Column("bandwidth", Float, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
)

# What the windows of a stream (`slice`: its labels and part) are compared with. `mode`: pinned by a person, rolling, or
# initial (the first complete units). `state` holds what was computed from it (threshold, null statistics), by version.
drift_references = Table(
    "drift_references",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("slice_key", String(64), nullable=False),
    Column("slice", JSON, nullable=False),
    Column("scale", String(16), nullable=False),
    Column("embedder_version", String(128), nullable=False),
    Column("mode", String(16), nullable=False),
    Column("starts_at", UtcDateTime(), nullable=False),
    Column("ends_at", UtcDateTime(), nullable=False),
    Column("n", Integer, nullable=False),
    Column("state", JSON, nullable=False),
    Column("created_by", String(256), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("replaced_at", UtcDateTime()),
    Index(None, "project", "slice_key", "scale", "embedder_version"),
)

# Weights fitted from people's feedback, one row for each fit; the newest of a service that nobody withdrew holds.
calibrations = Table(
    "calibrations",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("analyzer", String(63), nullable=False),
    Column("service", String(256), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("n", Integer, nullable=False),
    Column("quality", JSON, nullable=False),
    Column("created_by", String(256), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("withdrawn_at", UtcDateTime()),
    Index(None, "project", "analyzer", "service", "created_at"),
)

# Monthly budgets of cost, of the whole project or of one value of a dimension (`dimension` and `value` empty: the whole).
budgets = Table(
    "budgets",
    metadata,
    Column("project", ForeignKey("projects.name"), primary_key=True),
    Column("dimension", String(32), primary_key=True),
    Column("value", String(256), primary_key=True),
    Column("usd_per_month", Float, nullable=False),
    Column("updated_by", String(256), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
)

# Finished reports, whole: what a person read stays as it was. `period_key` makes a scheduled week unique.
reports = Table(
    "reports",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("period_key", String(64)),
    Column("starts_at", UtcDateTime(), nullable=False),
    Column("ends_at", UtcDateTime(), nullable=False),
    Column("created_by", String(256), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("headline", Text, nullable=False),
    Column("alarming", Boolean, nullable=False),
    Column("data", JSON, nullable=False),
    Column("html", LargeBinary, nullable=False, comment="gzip"),
    Column("markdown", Text, nullable=False),
    UniqueConstraint("project", "period_key"),
    Index(None, "project", "created_at"),
)

# When each project's next report is due, and a schedule of its own where it has one (null: the settings').
report_schedules = Table(
    "report_schedules",
    metadata,
    Column("project", ForeignKey("projects.name"), primary_key=True),
    Column("enabled", Boolean),
    Column("weekday", String(9)),
    Column("hour", Integer),
    Column("time_zone", String(64)),
    Column("due_at", UtcDateTime()),
    Column("updated_at", UtcDateTime(), nullable=False),
)
