"""Projects, their API keys, and the audit log."""

from __future__ import annotations

from sqlalchemy import JSON, BigInteger, Column, ForeignKey, Index, Integer, String, Table, Text

from schemas.control.base import UtcDateTime, metadata

DEFAULT_PROJECT = "default"

# SQLite numbers rows by itself only in a column of type INTEGER.
RowNumber = BigInteger().with_variant(Integer(), "sqlite")

projects = Table(
    "projects",
    metadata,
    Column("name", String(128), primary_key=True),
    Column("created_at", UtcDateTime(), nullable=False),
)

# `digest` is HMAC-SHA256(pepper, key) in hexadecimal; the key itself is kept nowhere.
api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("project", ForeignKey("projects.name"), nullable=False),
    Column("name", String(128), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("digest", String(64), nullable=False, unique=True),
    Column("created_at", UtcDateTime(), nullable=False),
    Column("revoked_at", UtcDateTime()),
)

# Append only: triggers in the database refuse every UPDATE and DELETE. No foreign key, so that nothing cascades into it.
audit = Table(
    "audit",
    metadata,
    Column("id", RowNumber, primary_key=True),
    Column("project", String(128), nullable=False),
    Column("at", UtcDateTime(), nullable=False),
    Column("actor", String(256), nullable=False),
    Column("action", String(64), nullable=False),
    Column("subject", String(384), nullable=False),
    Column("before", JSON(none_as_null=True)),
    Column("after", JSON(none_as_null=True)),
    Column("source", Text, nullable=False),
    Index(None, "project", "subject", "id"),
)
