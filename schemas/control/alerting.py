"""Rules, what they found, and what has to be told to whom."""

from __future__ import annotations

from sqlalchemy import JSON, Boolean, Column, Float, ForeignKey, Index, Integer, String, Table, Text, UniqueConstraint

from schemas.control.base import UtcDateTime, metadata
from schemas.control.core import RowNumber

# `project` is "*" for a rule that holds in every project (rules of the file, unless they name one). `spec` is the rule as
# schemas.rules writes it, `revision` its hash.
rules = Table(
    "rules",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("name", String(63), nullable=False),
    Column("origin", String(8), nullable=False),
    Column("spec", JSON, nullable=False),
    Column("revision", String(16), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("updated_at", UtcDateTime(), nullable=False),
    Column("updated_by", String(256), nullable=False),
    UniqueConstraint("project", "name"),
)

# One row for each series or release a rule looks at (`fingerprint` is the hash of its labels): where its state machine
# stands. `progress_s` is the time of evidence gathered in the phase, `counted_at` the last evaluation with data.
alert_states = Table(
    "alert_states",
    metadata,
    Column("project", String(128), primary_key=True),
    Column("rule_id", String(32), primary_key=True),
    Column("fingerprint", String(32), primary_key=True),
    Column("labels", JSON, nullable=False),
    Column("phase", String(16), nullable=False),
    Column("since", UtcDateTime(), nullable=False),
    Column("progress_s", Float, nullable=False),
    Column("counted_at", UtcDateTime()),
    Column("health", String(16), nullable=False),
    Column("troubled_since", UtcDateTime()),
    Column("reported", Boolean, nullable=False),
    Column("flapping", Boolean, nullable=False),
    Column("episode", Integer, nullable=False),
    Column("evaluated_at", UtcDateTime(), nullable=False),
    Column("reason", Text, nullable=False),
    Column("value", JSON),
    Column("revision", String(16), nullable=False),
)

alert_transitions = Table(
    "alert_transitions",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("project", String(128), nullable=False),
    Column("rule_id", String(32), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("transition", String(24), nullable=False),
    Column("from_state", String(16), nullable=False),
    Column("to_state", String(16), nullable=False),
    Column("at", UtcDateTime(), nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("revision", String(16), nullable=False),
    Index(None, "project", "rule_id", "fingerprint", "at"),
)

# One row an episode: from the moment it fires until it is resolved. `kind` is regression, threshold, no_data or error.
# `rollback` says how far a wanted rollback got: '', wanted, deferred, proposed or refused.
alerts = Table(
    "alerts",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", String(128), nullable=False),
    Column("rule_id", String(32), nullable=False),
    Column("rule_name", String(63), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("kind", String(16), nullable=False),
    Column("severity", String(16), nullable=False),
    Column("state", String(16), nullable=False),
    Column("target", String(128), nullable=False),
    Column("labels", JSON, nullable=False),
    Column("notice", JSON, nullable=False),
    Column("evidence", JSON, nullable=False),
    Column("reason", Text, nullable=False),
    Column("revision", String(16), nullable=False),
    Column("fired_at", UtcDateTime(), nullable=False),
    Column("resolved_at", UtcDateTime()),
    Column("notified_at", UtcDateTime(), nullable=False),
    Column("rollback", String(16), nullable=False),
    Column("rollback_id", String(32)),
    Column("rollback_detail", Text),
    UniqueConstraint("project", "rule_id", "fingerprint", "kind", "episode"),
    Index(None, "project", "fired_at"),
    Index(None, "state"),
    Index(None, "rollback"),
)

# The outbox. Rows of one `stream` (fingerprint and channel) go out in the order of `id`. Rows sent together share
# `message_id`, which stays the same over retries so that the receiver can tell a repetition.
deliveries = Table(
    "deliveries",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("project", String(128), nullable=False),
    Column("rule_id", String(32), nullable=False),
    Column("fingerprint", String(32), nullable=False),
    Column("episode", Integer, nullable=False),
    Column("transition", String(32), nullable=False),
    Column("channel", String(128), nullable=False),
    Column("group_key", String(256), nullable=False),
    Column("group_interval_s", Float, nullable=False),
    Column("firing", Boolean, nullable=False),
    Column("notice", JSON, nullable=False),
    Column("state", String(16), nullable=False),
    Column("state_reason", Text, nullable=False),
    Column("not_before", UtcDateTime(), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("message_id", String(40)),
    Column("claimed_by", String(64)),
    Column("claimed_until", UtcDateTime()),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("finished_at", UtcDateTime()),
    UniqueConstraint("project", "rule_id", "fingerprint", "episode", "transition", "channel", name="uq_deliveries_key"),
    Index(None, "state", "not_before"),
    Index(None, "fingerprint", "channel", "id"),
    Index(None, "message_id"),
)

# The configured channels as the alerting role last saw them; `not_before` holds back a channel that asked for it.
channels = Table(
    "channels",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("type", String(16), nullable=False),
    Column("configured", Boolean, nullable=False),
    Column("address_hash", String(64), nullable=False),
    Column("disabled_at", UtcDateTime()),
    Column("disabled_reason", Text),
    Column("not_before", UtcDateTime()),
)

silences = Table(
    "silences",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", ForeignKey("projects.name"), nullable=False),
    Column("matchers", JSON, nullable=False),
    Column("starts_at", UtcDateTime(), nullable=False),
    Column("ends_at", UtcDateTime(), nullable=False),
    Column("comment", Text, nullable=False),
    Column("created_by", String(256), nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    Index(None, "project", "ends_at"),
)

# Who does what only one process may do; `token` grows with every change of hands, so that a late writer is told apart.
leases = Table(
    "leases",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("holder", String(64), nullable=False),
    Column("token", Integer, nullable=False),
    Column("expires_at", UtcDateTime(), nullable=False),
)
