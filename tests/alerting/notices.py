"""Notices for tests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from alerting.notices import Notice
from alerting.notifiers import Envelope
from schemas.evidence import Evidence

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def evidence(metric: str = "cost.usd", effect: float = 0.61) -> Evidence:
    """A comparison that found a regression."""
    return Evidence(
        metric=metric,
        unit="ratio" if metric == "errors.rate" else "USD",
        target="assistant",
        candidate="v2",
        baseline="v1",
        effect=effect,
        interval_low=effect - 0.2,
        interval_high=effect + 0.25,
        confidence=0.9998,
        n_candidate=45,
        n_baseline=612,
        window_start=NOW - timedelta(seconds=12),
        window_end=NOW - timedelta(seconds=2),
        generation=3,
        example_traces=["0af7651916cd43dd8448eb211c80319c", "4bf92f3577b34da6a3ce929d0e0e4736"],
        reason="61 % higher",
    )


def notice(
    *,
    firing: bool = True,
    transition: str | None = None,
    title: str = "assistant: release v2 is worse than v1",
    summary: str = "",
    items: list[Evidence] | None = None,
    fingerprint: str = "0" * 32,
    labels: dict[str, str] | None = None,
) -> Notice:
    """A notice of a regression."""
    found = [evidence()] if items is None else items
    now = (
        "61 % higher than v1, 99.98 % anytime-valid interval +41 % to +86 %"
        if firing
        else "4 % higher than v1, within what is allowed"
    )
    return Notice(
        kind="regression",
        transition=transition or ("firing" if firing else "resolved"),
        firing=firing,
        fingerprint=fingerprint,
        title=title,
        summary=summary or f"cost.usd: {now}",
        severity="critical",
        labels={
            "alertname": "fresh-release",
            "project": "default",
            "target": "assistant",
            "release": "v2",
            "baseline": "v1",
            "severity": "critical",
            "kind": "regression",
            **(labels or {}),
        },
        annotations={"description": "A freshly promoted release.", "effect": "+61 %", "n_candidate": "45"},
        evidence=found,
        links={
            "alert": "/v1/alerts/al_1",
            "comparison": "/v1/compare?target=assistant&baseline=v1&candidate=v2&metric=cost.usd",
            "trace 0af7651916cd43dd8448eb211c80319c": "/v1/traces/0af7651916cd43dd8448eb211c80319c",
        },
        starts_at=NOW,
        ends_at=None if firing else NOW + timedelta(minutes=5),
    )


def envelope(*notices: Notice, message_id: str = "msg_1", sent_at: datetime = NOW) -> Envelope:
    """A message of some notices."""
    return Envelope(message_id, "ops", "default/guard", sent_at, notices or (notice(),))
