"""What is told to people: one notice for each transition, stored in the outbox as it was when it happened."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict

from alerting.observation import Observation
from alerting.wording import effect_text, interval_text
from schemas.evidence import Evidence
from schemas.rules import RegressionRule, Rule, ThresholdRule, revision_of

Kind = Literal["threshold", "regression", "no_data", "error", "rollback"]


class Notice(BaseModel):
    """One alert at one moment. `labels` and `annotations` are those of Alertmanager's webhook; `links` are paths."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: Kind
    transition: str
    firing: bool
    fingerprint: str
    title: str
    summary: str
    severity: str
    labels: dict[str, str]
    annotations: dict[str, str] = {}
    evidence: list[Evidence] = []
    links: dict[str, str] = {}
    starts_at: datetime
    ends_at: datetime | None = None


def alert_notice(
    rule: Rule, observation: Observation, *, alert_id: str, kind: Kind, transition: str, reason: str, starts_at: datetime
) -> Notice:
    """The notice of an alert that begins to fire. `reason` completes the observation's own."""
    own = kind == rule.kind
    labels = labels_of(rule, observation, kind)
    evidence = list(observation.evidence) if own else []
    return Notice(
        kind=kind,
        transition=transition,
        firing=True,
        fingerprint=observation.fingerprint if own else trouble_fingerprint(observation, kind),
        title=title_of(rule, labels, kind),
        summary=observation.reason if own else f"{observation.reason} ({reason})",
        severity=labels["severity"],
        labels=labels,
        annotations={**_annotations(rule, observation), **_figures(evidence)},
        evidence=evidence,
        links=_links(alert_id, evidence),
        starts_at=starts_at,
    )


def changed(
    notice: Notice,
    *,
    transition: str,
    firing: bool,
    summary: str,
    ends_at: datetime | None,
    evidence: list[Evidence] | None = None,
) -> Notice:
    """The same alert at a later moment."""
    annotations = {**notice.annotations, "summary": summary}
    update = {"transition": transition, "firing": firing, "summary": summary, "ends_at": ends_at, "annotations": annotations}
    return notice.model_copy(update={**update, **({} if evidence is None else {"evidence": evidence})})


def labels_of(rule: Rule, observation: Observation, kind: Kind) -> dict[str, str]:
    """Every label of an alert; what Tracewarden sets wins over what the rule adds."""
    severity = rule.severity if kind == rule.kind else "warning"
    return {
        **rule.labels,
        **observation.identity,
        **(observation.details or {}),
        "severity": severity,
        "kind": kind,
    }


def trouble_fingerprint(observation: Observation, kind: Kind) -> str:
    """Missing data and failures are alerts of their own beside the one they hold."""
    return Observation({**observation.identity, "kind": kind}, observation.signal, "", observation.at).fingerprint


def title_of(rule: Rule, labels: Mapping[str, str], kind: Kind) -> str:
    """One line."""
    if kind == "no_data":
        return f"{rule.name}: no data"
    if kind == "error":
        return f"{rule.name}: cannot be evaluated"
    if isinstance(rule, RegressionRule):
        return f"{labels['target']}: release {labels['release']} is worse than {labels.get('baseline', 'before')}"
    where = ", ".join(f"{name} {value}" for name, value in labels.items() if name in rule.group_by)
    return f"{rule.name}: {rule.metric} {rule.bad_side} {rule.threshold:g}{' for ' + where if where else ''}"


def _annotations(rule: Rule, observation: Observation) -> dict[str, str]:
    own = {"summary": observation.reason, "description": rule.description, "revision": revision_of(rule)}
    if isinstance(rule, ThresholdRule) and observation.value is not None:
        own["value"] = f"{observation.value:.6g}"
    return {**{name: text for name, text in own.items() if text}, **rule.annotations}


def _figures(evidence: list[Evidence]) -> dict[str, str]:
    """The leading comparison as annotations, for receivers that show nothing else."""
    if not evidence:
        return {}
    first = evidence[0]
    return {
        "metric": first.metric,
        "effect": effect_text(first),
        "interval": interval_text(first),
        "n_candidate": str(first.n_candidate),
        "n_baseline": str(first.n_baseline),
        "baseline": first.baseline,
        "example_traces": " ".join(first.example_traces),
        "generation": str(first.generation),
    }


def _links(alert_id: str, evidence: list[Evidence]) -> dict[str, str]:
    links = {"alert": f"/v1/alerts/{alert_id}"}
    if evidence:
        first = evidence[0]
        links["comparison"] = (
            f"/v1/compare?target={first.target}&baseline={first.baseline}&candidate={first.candidate}&metric={first.metric}"
        )
        links |= {f"trace {trace}": f"/v1/traces/{trace}" for trace in first.example_traces[:3]}
    return links
