"""docs/rollback.md names every state, code and executor, and the defaults as they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from alerting.executors import EXECUTORS
from alerting.rollback_state import NEXT, RETRY_AFTER_S
from schemas.sections import RollbackSettings
from tests.alerting.test_guardrails import REFUSED_TO_ANYBODY, REFUSED_TO_RULES

TEXT = " ".join((Path(__file__).parents[2] / "docs" / "rollback.md").read_text().split())


@pytest.mark.parametrize("state", sorted(NEXT))
def test_every_state(state: str) -> None:
    assert state in TEXT


@pytest.mark.parametrize("code", sorted({code for code, _ in REFUSED_TO_ANYBODY + REFUSED_TO_RULES}))
def test_every_code(code: str) -> None:
    assert f"`{code}`" in TEXT


@pytest.mark.parametrize("executor", EXECUTORS)
def test_every_executor(executor: str) -> None:
    assert f"| `{executor}`" in TEXT


def test_the_defaults() -> None:
    defaults = RollbackSettings()
    for phrase in (
        f"`rollback.warm_up_samples` ({defaults.warm_up_samples})",
        f"`rollback.cooldown_s` ({defaults.cooldown_s / 60:g} min)",
        f"`rollback.max_per_day` ({defaults.max_per_day})",
        f"`rollback.propagation_timeout_s` ({defaults.propagation_timeout_s:g} s)",
        f"`rollback.verify_timeout_s` ({defaults.verify_timeout_s / 60:g} min)",
        f"`rollback.verify_spans` ({defaults.verify_spans})",
        f"`{defaults.mode}` (default)",
        f"again after {', '.join(f'{seconds:g}' for seconds in RETRY_AFTER_S[:-1])} and {RETRY_AFTER_S[-1]:g} s",
    ):
        assert phrase in TEXT
