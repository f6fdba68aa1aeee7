"""Alert rules: what is watched, when it counts as bad, and whom to tell. The reference for people is docs/alerting.md."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Collection, Mapping
from datetime import timedelta
from difflib import get_close_matches
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from pydantic_core import ErrorDetails

from schemas.complaint import Complaint, InvalidValueError, complaints_of, near
from schemas.duration import Duration
from schemas.metrics import Metric, UnknownMetricError, find_comparable, find_metric
from schemas.patterns import LABEL_NAME, RULE_NAME

Severity = Literal["info", "warning", "critical"]
Direction = Literal["above", "below"]
Profile = Literal["guard", "steady"]

EVERY_TARGET = "*"
GUARDED_METRICS = ("cost.usd", "tokens.output", "latency", "errors.rate")

Label = Annotated[str, Field(min_length=1, max_length=256)]
LabelName = Annotated[str, Field(pattern=LABEL_NAME)]
Share = Annotated[float, Field(gt=0, lt=1)]
Margin = Annotated[float, Field(ge=0, le=10, allow_inf_nan=False)]

# Labels that Tracewarden sets itself; a rule that set them too would break grouping and links.
RESERVED_LABELS = frozenset({"alertname", "project", "target", "release", "baseline", "severity", "kind"})


class BaseRule(BaseModel):
    """What every kind of rule has."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", serialize_by_alias=True, validate_by_name=True, validate_by_alias=True
    )

    name: Annotated[str, Field(pattern=RULE_NAME)]
    description: Annotated[str, Field(max_length=1000)] = ""
    enabled: bool = True
    severity: Severity = "warning"
    channels: tuple[str, ...] = ()
    """Names of channels; none means every channel."""
    labels: dict[LabelName, Label] = {}
    annotations: dict[LabelName, Annotated[str, Field(max_length=2000)]] = {}
    filters: dict[str, Label] = {}
    """Dimension to value: only these spans count."""

    @field_validator("labels")
    @classmethod
    def _leaves_ours(cls, labels: dict[str, str]) -> dict[str, str]:
        taken = sorted(RESERVED_LABELS & labels.keys())
        if taken:
            raise ValueError(f"{', '.join(taken)} is set by Tracewarden: choose another name")
        return labels


class ThresholdRule(BaseRule):
    """A metric over a window that is worse than a number."""

    kind: Literal["threshold"]
    metric: str
    direction: Direction | None = None
    """The bad side; without one, that of the metric's catalogue entry."""
    threshold: Annotated[float, Field(allow_inf_nan=False)]
    recovery: Annotated[float, Field(allow_inf_nan=False)] | None = None
    """Recovered only on the good side of this; without one, of the threshold."""
    window: Duration = timedelta(minutes=5)
    every: Duration | None = None
    """Without one, alerting.evaluate_every_s."""
    for_: Duration = Field(timedelta(minutes=5), alias="for")
    keep_firing_for: Duration = timedelta(minutes=10)
    min_samples: Annotated[int, Field(ge=1)] | None = None
    group_by: tuple[str, ...] = ()
    no_data: Literal["alert", "ignore"] | None = None
    """Whether silence for two windows is an alert of its own; without one: yes, unless the rule groups."""

    @field_validator("metric")
    @classmethod
    def _exists(cls, name: str) -> str:
        return _known(name).name

    @field_validator("window", "every")
    @classmethod
    def _positive(cls, length: timedelta | None) -> timedelta | None:
        if length is not None and not timedelta(seconds=1) <= length <= timedelta(days=31):
            raise ValueError("must lie between 1s and 31d")
        return length

    @model_validator(mode="after")
    def _fits_its_metric(self) -> ThresholdRule:
        metric = find_metric(self.metric)
        if self.direction is None and metric.worse == "none":
            raise ValueError(f"{metric.name} has no bad side of its own: add direction: above or direction: below")
        if metric.kind == "rate" and self.min_samples is None:
            raise ValueError(
                f"{metric.name} is a share: add min_samples, the requests below which it says nothing (such as 50)"
            )
        _known_dimensions(metric, (*self.filters, *self.group_by))
        return self

    @model_validator(mode="after")
    def _recovers_inside(self) -> ThresholdRule:
        gap = self.recovery_threshold - self.threshold
        if (gap > 0) if self.bad_side == "above" else (gap < 0):
            raise ValueError(
                f"recovery {self.recovery:g} lies beyond the threshold {self.threshold:g}: it must be on the good side of it"
            )
        return self

    @property
    def bad_side(self) -> Direction:
        """Where the metric is worse."""
        return self.direction or ("above" if find_metric(self.metric).worse == "up" else "below")

    @property
    def recovery_threshold(self) -> float:
        """The bound of recovery."""
        return self.threshold if self.recovery is None else self.recovery

    @property
    def reports_silence(self) -> bool:
        """Whether missing data is an alert of its own."""
        return self.no_data == "alert" or (self.no_data is None and not self.group_by)


# What differs between the profiles where a rule does not say; the defaults of the fields are those of `steady`.
_PROFILES: dict[str, dict[str, Any]] = {
    "guard": {"for": "0s", "keep_firing_for": "1m", "alpha": 0.001, "margin": 0.1, "severity": "critical"},
    "steady": {"for": "5m", "keep_firing_for": "10m", "alpha": 0.01, "margin": 0.1},
}


class RegressionRule(BaseRule):
    """A release of a target that is worse than another release, by an anytime-valid comparison."""

    kind: Literal["regression"]
    profile: Profile = "steady"
    metrics: Annotated[tuple[str, ...], Field(min_length=1, max_length=6)]
    target: Annotated[str, Field(min_length=1, max_length=128)] = EVERY_TARGET
    """A target, or * for each."""
    baseline: Annotated[str, Field(min_length=1, max_length=128)] = "previous"
    """previous, last_known_good, or the name of a release."""
    margin: Margin = 0.1
    """Relative change of a cost, token count or latency that is let pass: 0.1 is 10 %."""
    rate_margin: Margin = 0.02
    """Change of a rate that is let pass: 0.02 is two percentage points; of a mean score, a share of its scale's width."""
    alpha: Share = 0.01
    """Chance of any false alarm in 28 days of a target, over all its metrics and promotions together."""
    tolerance: Literal["auto", "none"] = "auto"
    """auto widens the margin of a comparison with the past by how much the past itself varied."""
    min_samples: Annotated[int, Field(ge=30)] = 30
    """Requests per release before it is judged."""
    window: Duration = timedelta(hours=24)
    """Requests of a release counted together: since its promotion, at most this long."""
    baseline_window: Duration = timedelta(hours=24)
    """How far back the baseline reaches when it ran before, not beside, the candidate."""
    for_: Duration = Field(timedelta(minutes=5), alias="for")
    keep_firing_for: Duration = timedelta(minutes=10)
    action: Literal["none", "rollback"] = "none"
    mode: Literal["dry_run", "approve", "auto"] | None = None
    """May only be stricter than rollback.mode of the settings."""

    @model_validator(mode="before")
    @classmethod
    def _fill_from_profile(cls, data: Any) -> Any:
        if not isinstance(data, Mapping):
            return data
        given = dict(data)
        if "metric" in given and "metrics" not in given:
            given["metrics"] = [given.pop("metric")]
        if "for_" in given:
            given["for"] = given.pop("for_")
        profile = given.get("profile", "steady")
        return {**_PROFILES[profile], **given} if isinstance(profile, str) and profile in _PROFILES else given

    @field_validator("metrics")
    @classmethod
    def _comparable(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            _known(name, find_comparable)
        if len(set(names)) < len(names):
            raise ValueError("a metric is named twice: name each once")
        return names

    @field_validator("window", "baseline_window")
    @classmethod
    def _bounded(cls, length: timedelta) -> timedelta:
        if not timedelta(minutes=1) <= length <= timedelta(days=31):
            raise ValueError("must lie between 1m and 31d")
        return length

    @model_validator(mode="after")
    def _guards_carefully(self) -> RegressionRule:
        if self.profile == "guard" and self.alpha > 0.001:
            raise ValueError(f"alpha {self.alpha:g} is too large for a guard, which looks every few seconds: at most 0.001")
        if self.profile == "guard" and self.margin < 0.1:
            raise ValueError(f"margin {self.margin:g} is too small for a guard: at least 0.1")
        for name in self.metrics:
            _known_dimensions(find_metric(name), self.filters)
        return self


Rule = ThresholdRule | RegressionRule

RULE_KINDS: dict[str, type[ThresholdRule] | type[RegressionRule]] = {
    "threshold": ThresholdRule,
    "regression": RegressionRule,
}


class InvalidRuleError(InvalidValueError):
    """A rule cannot be used."""


def parse_rule(data: object, channels: Collection[str] | None = None) -> Rule:
    """A rule from its YAML or JSON form; `channels` are those that exist (None: not checked).

    Raises:
        InvalidRuleError: with every problem.
    """
    if not isinstance(data, Mapping):
        raise _invalid((), "a rule is a mapping with kind, name and the rest")
    model = RULE_KINDS.get(str(data.get("kind")))
    if model is None:
        given = f", not {data['kind']!r}" if "kind" in data else ""
        raise _invalid(("kind",), f"kind must be {' or '.join(RULE_KINDS)}{given}")
    try:
        rule = model.model_validate(data)
    except ValidationError as error:
        raise InvalidRuleError(_complaint(entry, model) for entry in error.errors()) from error
    _known_channels(rule, channels)
    return rule


def dump_rule(rule: Rule) -> dict[str, Any]:
    """The JSON form that `parse_rule` reads back."""
    return rule.model_dump(mode="json", by_alias=True)


def revision_of(rule: Rule) -> str:
    """Sixteen hexadecimal digits that change when the rule does."""
    canonical = json.dumps(dump_rule(rule), sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def _invalid(path: tuple[str | int, ...], detail: str) -> InvalidRuleError:
    return InvalidRuleError([Complaint(path, detail)])


def _known(name: str, find: Callable[[str], Metric] = find_metric) -> Metric:
    try:
        return find(name)
    except UnknownMetricError as error:
        raise ValueError(str(error)) from error


def _known_dimensions(metric: Metric, names: Collection[str]) -> None:
    for name in names:
        if name not in metric.dimensions:
            hint = get_close_matches(name, metric.dimensions, n=1, cutoff=0.5)
            fix = f"did you mean {hint[0]}?" if hint else f"use one of {', '.join(metric.dimensions)}"
            raise ValueError(f"{metric.name} has no dimension {name!r}: {fix}")


def _known_channels(rule: Rule, channels: Collection[str] | None) -> None:
    for place, name in enumerate(rule.channels):
        if channels is not None and name not in channels:
            known = f"configured are {', '.join(sorted(channels))}" if channels else "none is configured"
            raise _invalid(("channels", place), f"there is no channel {name!r}: {known} (alerting.channels)")


def _complaint(entry: ErrorDetails, model: type[BaseModel]) -> Complaint:
    (complaint,) = complaints_of([entry])
    if entry["type"] != "extra_forbidden":
        return complaint
    names = [field.alias or name for name, field in model.model_fields.items()]
    return Complaint(complaint.path, f"no such setting: {near(str(complaint.path[-1]), names)}")
