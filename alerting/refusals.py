"""A request that the rules forbid: a short code for programs and a sentence with the way out for people."""

from __future__ import annotations


class RefusedError(Exception):
    """Nothing was changed. `code` is stable, `detail` says why and what would do."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail


class TargetRefusedError(RefusedError):
    """A change of a target or a release that is not possible."""


class RollbackRefusedError(RefusedError):
    """A rollback that must not be, or a step of one that is not possible now."""
