"""Tables of the control database: SQLAlchemy Core on one MetaData, one module for each part.

A module takes `metadata` and `UtcDateTime` from `schemas.control.base` and is named in the imports below, so that whoever
imports this package sees every table. The migrations under `storage/alembic` create them; a test compares the two.
"""

from schemas.control import alerting, analysis, core, progress, targets
from schemas.control.base import UtcDateTime, metadata

__all__ = ["UtcDateTime", "alerting", "analysis", "core", "metadata", "progress", "targets"]
